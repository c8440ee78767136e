#pragma once

#include <array>
#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <string_view>

namespace curfew::http {

/// The PROXY protocol, version 1 and 2: what a proxy that knows no HTTP sends in front of a connection's bytes.
///
///     started ──"PROXY "──► version 1: a line of at most 107 bytes ────────────────────────┬─► done
///        └─────signature──► version 2: 16 bytes ──► addresses ──► the rest, which is skipped ─┘
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

 private:
  static constexpr std::size_t longest_line = 107;

  progress take(char c);
  progress read_line();
  progress read_start();
  void read_address();

  std::array<char, longest_line> bytes_{};
  std::size_t size_ = 0;
  std::size_t wanted_ = 0;  // version 2: where the address block ends in bytes_
  std::size_t skip_ = 0;    // version 2: what comes behind it
  source source_ = source::none;
  boost::asio::ip::address address_;
};

}  // namespace curfew::http
