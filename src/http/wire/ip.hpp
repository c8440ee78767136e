#pragma once

#include <boost/asio/ip/address.hpp>
#include <optional>
#include <string_view>

namespace curfew::http {

/// An address as text, of either family, and nothing else: no scope, no port, no brackets.
[[nodiscard]] std::optional<boost::asio::ip::address> parse_ip(std::string_view text);

/// The same address of IPv4 where it is written as one of IPv6, and without a scope: so that two can be compared.
[[nodiscard]] boost::asio::ip::address plain_ip(const boost::asio::ip::address& any);

/// The first address of the network of which `any` is one, and `bits` the length of its prefix.
/// \param bits  At most 32, or 128.
[[nodiscard]] boost::asio::ip::address first_of_network(const boost::asio::ip::address& any, unsigned bits);

}  // namespace curfew::http
