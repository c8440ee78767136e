#include "http/server/tls_transport.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <tuple>
#include <utility>

namespace curfew::http {

tls_transport::tls_transport(transport& from, tls::openssl_ptr<SSL> ssl)
    : transport(from),
      engine_(std::move(ssl), socket_) {}

tls::engine::progress tls_transport::handshake() noexcept {
  const auto now = engine_.handshake();
  if (now == tls::engine::progress::failed) gone_ = true;
  return now;
}

void tls_transport::on_event(std::uint32_t events) noexcept {
  transport::on_event(events);
  if (closed() || gone_) return;
  if (engine_.has_output() && engine_.flush() == tls::engine::progress::failed) gone_ = true;
  shut_down_if_all_is_sent();
}

std::size_t tls_transport::read(std::span<char> into) noexcept {
  if (!may_read()) return 0;
  const ssize_t count = engine_.read(into);
  if (count > 0) {
    if (engine_.is_drained() && !half_closed_) readable_ = false;  // as plain_transport::read
    return static_cast<std::size_t>(count);
  }
  if (count == 0) {
    at_end_ = half_closed_ = true;
  } else if (errno == EAGAIN) {
    readable_ = false;
  } else {
    gone_ = true;
  }
  return 0;
}

transport::written tls_transport::write(std::span<std::string_view> parts) noexcept {
  for (;;) {
    if (gone_) return written::failed;
    const ssize_t count = engine_.write(parts);
    if (count > 0) continue;
    if (count == 0) return written::all;
    if (errno == EAGAIN) return written::blocked;
    gone_ = true;
  }
}

void tls_transport::finish() noexcept {
  finished_ = wants_shutdown_ = true;
  std::ignore = engine_.finish();
  shut_down_if_all_is_sent();
}

void tls_transport::say_goodbye() noexcept {
  if (!finished_) std::ignore = engine_.finish();
}

void tls_transport::shut_down_if_all_is_sent() noexcept {
  if (!wants_shutdown_ || engine_.has_output()) return;
  wants_shutdown_ = false;
  ::shutdown(socket_, SHUT_WR);
}

}  // namespace curfew::http
