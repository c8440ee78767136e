#pragma once

#include <array>
#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <string_view>

namespace curfew::http {

/// The PROXY protocol, version 1 and 2: what a proxy that knows no HTTP sends in front of a connection's bytes.
///
///     started ──"PROXY "──► version 1: a line of at most 107 bytes ────────────────────────┬─► done
///        └─────signature──► version 2: 16 bytes ──► addresses ──► TLVs: what else it tells ───┘
///     any byte that cannot be one of a header ──► failed
///
/// Source: https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt
class proxy_header {
 public:
  enum class progress {
    need_more,
    done,
    failed,  ///< The connection is of no use.
  };
  /// Where the connection came from, as the proxy says.
  enum class source {
    none,         ///< From the proxy itself, or it does not know.
    address,      ///< See address().
    unix_socket,  ///< From a Unix socket of the proxy's machine.
  };

  /// Takes what belongs to the header off the front of `bytes`. What it has taken it keeps.
  progress feed(std::string_view& bytes);

  // Once it is done.

  [[nodiscard]] source from() const noexcept { return source_; }
  [[nodiscard]] const boost::asio::ip::address& address() const noexcept { return address_; }
  /// Did that one connect to the proxy by TLS? Version 2 tells, if the proxy is set up for it.
  [[nodiscard]] bool by_tls() const noexcept { return by_tls_; }

 private:
  static constexpr std::size_t longest_line = 107;

  progress take(char c);
  progress read_line();
  progress read_start();
  void read_address();
  void read_rest(std::string_view& bytes);
  void begin_value();

  std::array<char, longest_line> bytes_{};
  std::size_t size_ = 0;
  std::size_t wanted_ = 0;              // version 2: where the address block ends in bytes_
  std::size_t rest_ = 0;                // version 2: what comes behind it
  std::size_t skip_ = 0;                // of the rest: until the next TLV
  std::array<unsigned char, 4> tlv_{};  // its type, its length, and what that of TLS begins with
  std::size_t tlv_size_ = 0;
  source source_ = source::none;
  boost::asio::ip::address address_;
  bool by_tls_ = false;
};

}  // namespace curfew::http
