#include "http/wire/ip.hpp"

#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/address_v6.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <string>

namespace curfew::http {

namespace asio = boost::asio;

std::optional<asio::ip::address> parse_ip(std::string_view text) {
  // Asio reads up to a null, and looks for the interface of a scope.
  if (text.find_first_not_of("0123456789abcdefABCDEF.:") != std::string_view::npos) return std::nullopt;
  boost::system::error_code bad;
  auto address = asio::ip::make_address(std::string(text), bad);
  if (bad) return std::nullopt;
  return address;
}

asio::ip::address plain_ip(const asio::ip::address& any) {
  if (any.is_v4()) return any;
  const auto v6 = any.to_v6();
  if (v6.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, v6);
  return asio::ip::address_v6(v6.to_bytes());
}

asio::ip::address first_of_network(const asio::ip::address& any, unsigned bits) {
  const auto size = static_cast<unsigned short>(bits);
  if (any.is_v4()) return asio::ip::network_v4(any.to_v4(), size).network();
  return asio::ip::network_v6(any.to_v6(), size).network();
}

}  // namespace curfew::http
