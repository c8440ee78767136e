#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/client/client_url.hpp"

namespace curfew::http {

/// A proxy that requests go through.
struct proxy_server {
  std::string shown;    ///< "http://proxy.example:3128": for errors, and for the pool.
  std::string host;     ///< To be looked up.
  std::string problem;  ///< If it is not empty: what is wrong with its URL, and where that was found.
  std::uint16_t port = 0;
  std::string credentials;  ///< "Basic dTpw", or empty.

  /// \param from  Where it stands, for `problem`: "https_proxy".
  static std::shared_ptr<const proxy_server> parse(std::string_view url, std::string_view from);
};

/// Which requests go through which proxy. Never those to the own machine.
class proxy_rules {
 public:
  using variables = std::function<std::string(const char* name)>;

  /// No proxy for anything.
  proxy_rules() = default;
  /// One proxy for all. \param url  Empty: none.
  explicit proxy_rules(std::string_view url);
  /// As the environment says. \param get  Gives a variable; empty: it is not set.
  static proxy_rules of_environment(const variables& get);
  static proxy_rules of_environment();

  /// Null: none.
  [[nodiscard]] std::shared_ptr<const proxy_server> find(const client_url& url) const;

 private:
  std::shared_ptr<const proxy_server> plain_;
  std::shared_ptr<const proxy_server> tls_;
  std::string exceptions_;  // no_proxy
};

/// Does `no_proxy` name that host? Its items stand behind commas or blanks: a name, for itself and what is below it; an
/// address; a network as 10.0.0.0/8; each perhaps with a port; "*".
[[nodiscard]] bool is_excepted(std::string_view no_proxy, std::string_view host, std::uint16_t port);

}  // namespace curfew::http
