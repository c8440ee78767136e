#include <algorithm>
#include <array>
#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/address_v6.hpp>
#include <cstdint>
#include <curfew/http/dial.hpp>
#include <curfew/http/errc.hpp>
#include <span>

namespace curfew::http {

namespace ip = boost::asio::ip;

namespace {

struct network_v4 {
  std::uint32_t prefix;
  unsigned length;
};

constexpr std::array special_v4 = {
    network_v4{0x00000000, 8},   // this network
    network_v4{0x0A000000, 8},   // private
    network_v4{0x64400000, 10},  // shared, behind a carrier's NAT; Alibaba's metadata
    network_v4{0x7F000000, 8},   // loopback
    network_v4{0xA83F8110, 32},  // 168.63.129.16, Azure's own services on a host
    network_v4{0xA9FE0000, 16},  // link-local; metadata of most clouds
    network_v4{0xAC100000, 12},  // private
    network_v4{0xC0000000, 24},  // protocol assignments; Oracle's metadata
    network_v4{0xC0000200, 24},  // documentation
    network_v4{0xC0586300, 24},  // 6to4 relays
    network_v4{0xC0A80000, 16},  // private
    network_v4{0xC6120000, 15},  // benchmarks
    network_v4{0xC6336400, 24},  // documentation
    network_v4{0xCB007100, 24},  // documentation
    network_v4{0xE0000000, 4},   // multicast
    network_v4{0xF0000000, 4},   // reserved, broadcast
};

bool is_public(const ip::address_v4& a) noexcept {
  return std::ranges::none_of(special_v4, [number = a.to_uint()](const network_v4& n) {
    return (number ^ n.prefix) >> (32 - n.length) == 0;
  });
}

bool is_public(const ip::address_v6& a) noexcept {
  const auto bytes = a.to_bytes();
  const auto begins_with = [&](std::initializer_list<unsigned char> prefix) {
    return std::equal(prefix.begin(), prefix.end(), bytes.begin());
  };
  const auto last_four = [&] {
    ip::address_v4::bytes_type v4;
    std::copy(bytes.end() - 4, bytes.end(), v4.begin());
    return ip::address_v4(v4);
  };
  if (begins_with({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF})) return is_public(last_four());     // mapped
  if (begins_with({0, 0x64, 0xFF, 0x9B, 0, 0, 0, 0, 0, 0, 0, 0})) return is_public(last_four());  // NAT64
  if ((bytes[0] & 0xE0) != 0x20) return false;  // of the rest nothing is global but 2000::/3
  const bool assignments = begins_with({0x20, 0x01}) && bytes[2] < 2;  // 2001::/23, with Teredo
  const bool documentation =
      begins_with({0x20, 0x01, 0x0D, 0xB8}) || (begins_with({0x3F, 0xFF}) && bytes[2] < 0x10);
  return !assignments && !documentation && !begins_with({0x20, 0x02});  // 6to4 may lead to any IPv4
}

}  // namespace

std::error_code refuse_private_addresses(const ip::tcp::endpoint& to) {
  const ip::address a = to.address();
  if (a.is_v4() ? is_public(a.to_v4()) : is_public(a.to_v6())) return {};
  return errc::address_refused;
}

}  // namespace curfew::http
