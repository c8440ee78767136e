#pragma once

#include <boost/asio/ip/address.hpp>
#include <curfew/core/error.hpp>
#include <curfew/http/fields.hpp>
#include <curfew/http/server.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace curfew::http {

/// An address without its port: of IPv4 also where the kernel says it as IPv6, without a scope. Null: a Unix socket.
using host = std::optional<boost::asio::ip::address>;

/// "203.0.113.7", "2001:db8::7", "unix:".
[[nodiscard]] std::string text_of(const host& h);

/// The peers whose word counts.
class trusted_networks {
 public:
  trusted_networks() = default;
  /// \param list  "10.0.0.0/8", "2001:db8::/32", "192.0.2.1", "unix:".
  /// Errors: errc::bad_address, with the first that is malformed.
  static result<trusted_networks> parse(const std::vector<std::string>& list);

  [[nodiscard]] bool contains(const host& h) const;
  [[nodiscard]] bool empty() const noexcept { return !unix_ && networks_.empty(); }

 private:
  struct network {
    boost::asio::ip::address address;
    unsigned bits;  // that its addresses have in common
  };

  bool unix_ = false;
  std::vector<network> networks_;
};

/// The client, as the proxies in between name it.
struct told_client {
  host address;
  bool https = false;
};

/// Reads what a trusted proxy has added to a request. Its fields list the hops in their order: the nearest stands
/// rightmost, and what stands left of the first address that is not trusted may be the client's invention.
///
/// \param nearest  The trusted peer itself.
/// \return the rightmost hop that is not trusted; without one the leftmost. `nearest` if there is none, or if one on the
///         way is malformed or tells no address.
[[nodiscard]] told_client find_client(const fields& of, const host& nearest, const trusted_networks& trusted,
                                      forwarding by);

}  // namespace curfew::http
