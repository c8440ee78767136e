#pragma once

#include <cstddef>
#include <cstdint>
#include <curfew/tls/detail/engine.hpp>
#include <span>
#include <string>
#include <string_view>

#include "http/server/transport.hpp"

namespace curfew::http {

/// A connection that encrypts. It goes on with the socket of a plain one, at the first byte of the handshake.
///
/// - The client's close_notify is its half-close: everything that was sent has been read, and an answer may follow. An end
///   of the socket without it may have been made by anybody on the way, so the connection is gone.
/// - EPOLLRDHUP says that the client sends nothing more, and not which of the two it is: the read that comes to it does.
/// - Reads go on until the socket has nothing: bytes that OpenSSL holds make no event.
/// - What is kept is sent at each event, and whenever something is read or written.
class tls_transport final : public transport {
 public:
  /// Throws: std::bad_alloc; the socket is closed then.
  tls_transport(transport& from, tls::openssl_ptr<SSL> ssl);
  ~tls_transport() override { close(); }

  /// Goes on with the handshake; nothing is read or written before it is done.
  tls::engine::progress handshake() noexcept;
  /// Why it has failed.
  [[nodiscard]] const std::string& failure() const noexcept { return engine_.failure(); }
  /// Has the client been told why? Then it needs the time to read that.
  [[nodiscard]] bool has_told() const noexcept { return engine_.reason() != 0; }
  [[nodiscard]] const SSL* ssl() const noexcept { return engine_.ssl(); }

  void on_event(std::uint32_t events) noexcept override;
  std::size_t read(std::span<char> into) noexcept override;
  using transport::write;
  written write(std::span<std::string_view> parts) noexcept override;
  [[nodiscard]] std::size_t kept() const noexcept override { return engine_.kept(); }
  void finish() noexcept override;

 private:
  void say_goodbye() noexcept override;
  void shut_down_if_all_is_sent() noexcept;

  tls::engine engine_;
  bool wants_shutdown_ = false;  // of the socket's sending side
};

}  // namespace curfew::http
