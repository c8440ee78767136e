#pragma once

#include <cstdint>
#include <curfew/http/message.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/status.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace curfew_dashboard {

namespace http = curfew::http;

/// Why a request is not let in.
struct refusal {
  http::status status;
  std::string message;
};

/// Looks at a request before its handler: why it is refused, or none.
using gatekeeper = std::function<std::optional<refusal>(const http::request&)>;

/// A Host field in two parts, lower case, the brackets of an IPv6 address kept.
struct host_and_port {
  std::string host;
  std::string port;  ///< Empty if there is none.
};
[[nodiscard]] std::optional<host_and_port> parse_host(std::string_view field);

/// The gate of the front, which browsers talk to. A page from elsewhere can neither read nor change anything,
/// and a foreign host name that points here (DNS rebinding) is refused.
class front_access {
 public:
  /// \param listening  The address listened on, "127.0.0.1:8080"; its host and the loopback names are let in
  ///                   with its port.
  /// \param names      Further host names, with any port.
  front_access(std::string_view listening, std::vector<std::string> names);

  [[nodiscard]] std::optional<refusal> operator()(const http::request& request) const;

 private:
  [[nodiscard]] bool is_ours(const host_and_port& host) const;

  host_and_port listening_;
  std::vector<std::string> names_;
};

/// The gate of a service, which only programs on this machine talk to: refuses what a browser sends, and
/// requests without the token.
class service_access {
 public:
  /// \param token  Empty: requests need none.
  explicit service_access(std::string token) : token_(std::move(token)) {}

  [[nodiscard]] std::optional<refusal> operator()(const http::request& request) const;

 private:
  std::string token_;
};

/// For requests that change something: a form of another site cannot send this type without a preflight.
[[nodiscard]] std::optional<refusal> require_json(const http::request& request);

/// `inner`, for requests that `gate` lets in; the others get an error_response.
[[nodiscard]] http::handler guarded(gatekeeper gate, http::handler inner);

/// `{"error": message}`
[[nodiscard]] http::response error_response(http::status status, std::string_view message);

}  // namespace curfew_dashboard
