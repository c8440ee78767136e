#include "http/wire/proxy_header.hpp"

#include <algorithm>
#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/address_v6.hpp>
#include <cstdint>
#include <optional>

#include "http/message/syntax.hpp"
#include "http/wire/ip.hpp"

namespace curfew::http {

namespace asio = boost::asio;

namespace {

constexpr std::string_view line_start = "PROXY ";
constexpr std::string_view signature{"\r\n\r\n\0\r\nQUIT\n", 12};
constexpr std::size_t start_size = 16;  // of version 2: signature, command, family, length
constexpr std::size_t tlv_head = 3;
constexpr unsigned tls_type = 0x20;
constexpr unsigned client_uses_tls = 1;  // in the first byte of that TLV

/// The next word of a line whose words are separated by one blank.
std::string_view next_word(std::string_view& rest) {
  const auto word = rest.substr(0, rest.find(' '));
  rest.remove_prefix(std::min(rest.size(), word.size() + 1));
  return word;
}

bool is_port(std::string_view digits) {
  return parse_number<std::uint16_t>(digits) && (digits.size() == 1 || digits.front() != '0');
}

std::optional<asio::ip::address> parse(std::string_view text, bool v6) {
  const auto address = parse_ip(text);
  return address && address->is_v6() == v6 ? address : std::nullopt;
}

template <class Address>
Address address_of(const char* bytes) {
  typename Address::bytes_type made;
  std::transform(bytes, bytes + made.size(), made.begin(),
                 [](char c) { return static_cast<unsigned char>(c); });
  return Address(made);
}

}  // namespace

proxy_header::progress proxy_header::feed(std::string_view& bytes) {
  while (!bytes.empty()) {
    if (size_ == wanted_ && rest_ != 0) {
      read_rest(bytes);
      if (rest_ == 0) return progress::done;
      continue;
    }
    const char next = bytes.front();
    bytes.remove_prefix(1);
    if (const auto then = take(next); then != progress::need_more) return then;
  }
  return progress::need_more;
}

proxy_header::progress proxy_header::take(char c) {
  bytes_[size_++] = c;
  const std::string_view all(bytes_.data(), size_);
  if (all.starts_with(line_start)) {
    if (c == '\n') return read_line();
    return size_ == longest_line ? progress::failed : progress::need_more;
  }
  if (line_start.starts_with(all)) return progress::need_more;
  if (!all.starts_with(signature)) return signature.starts_with(all) ? progress::need_more : progress::failed;
  if (size_ < start_size) return progress::need_more;
  if (size_ == start_size) return read_start();
  if (size_ < wanted_) return progress::need_more;
  read_address();
  return rest_ == 0 ? progress::done : progress::need_more;
}

/// "PROXY TCP4 192.0.2.1 198.51.100.1 40312 80\r\n"
proxy_header::progress proxy_header::read_line() {
  std::string_view rest(bytes_.data(), size_ - 1);
  if (!rest.ends_with('\r')) return progress::failed;
  rest.remove_suffix(1);
  rest.remove_prefix(line_start.size());
  const auto protocol = next_word(rest);
  if (protocol == "UNKNOWN") return progress::done;  // whatever comes behind it
  if (protocol != "TCP4" && protocol != "TCP6") return progress::failed;
  const bool v6 = protocol == "TCP6";
  const auto from = parse(next_word(rest), v6);
  const auto to = parse(next_word(rest), v6);
  const bool ports = is_port(next_word(rest)) && is_port(rest);
  if (!from || !to || !ports) return progress::failed;
  source_ = source::address;
  address_ = *from;
  return progress::done;
}

proxy_header::progress proxy_header::read_start() {
  const auto byte = [this](std::size_t at) { return static_cast<unsigned char>(bytes_[at]); };
  constexpr unsigned local = 0x20;  // version and command
  constexpr unsigned proxied = 0x21;
  const unsigned command = byte(12);
  const unsigned family = byte(13);
  const std::size_t length = byte(14) * 256U + byte(15);
  if (command != local && command != proxied) return progress::failed;
  std::size_t block = 0;
  std::size_t kept = 0;  // of the block
  switch (command == local ? 0 : family) {
    case 0x00:  // the proxy does not say; what it sends is skipped
      skip_ = length;
      break;
    case 0x11:  // TCP over IPv4
      kept = block = 12;
      break;
    case 0x21:  // TCP over IPv6
      kept = block = 36;
      break;
    case 0x31:  // a stream over a Unix socket: two paths
      skip_ = block = 216;
      source_ = source::unix_socket;
      break;
    default:
      return progress::failed;
  }
  if (length < block) return progress::failed;
  wanted_ = start_size + kept;
  rest_ = length - kept;
  return length == 0 ? progress::done : progress::need_more;
}

void proxy_header::read_address() {
  source_ = source::address;
  const char* from = &bytes_[start_size];
  if (wanted_ == start_size + 12) {
    address_ = address_of<asio::ip::address_v4>(from);
  } else {
    address_ = address_of<asio::ip::address_v6>(from);
  }
}

/// A TLV that goes beyond the header ends with it.
void proxy_header::read_rest(std::string_view& bytes) {
  while (rest_ != 0 && !bytes.empty()) {
    const std::size_t now = skip_ == 0 ? 1 : std::min({skip_, rest_, bytes.size()});
    if (skip_ != 0) {
      skip_ -= now;
    } else {
      tlv_[tlv_size_++] = static_cast<unsigned char>(bytes.front());
      begin_value();
    }
    rest_ -= now;
    bytes.remove_prefix(now);
  }
}

/// One more byte of a TLV's beginning is there.
void proxy_header::begin_value() {
  if (tlv_size_ < tlv_head) return;
  const std::size_t length = tlv_[1] * 256U + tlv_[2];
  if (tlv_size_ == tlv_head && tlv_[0] == tls_type && length != 0) return;
  if (tlv_size_ > tlv_head) by_tls_ = (tlv_[tlv_head] & client_uses_tls) != 0;
  skip_ = length - (tlv_size_ - tlv_head);
  tlv_size_ = 0;
}

}  // namespace curfew::http
