// What comes before the requests of a connection: a PROXY header, and the handshake of one that encrypts.

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <utility>

#include "http/message/message_access.hpp"
#include "http/server/connection.hpp"
#include "http/server/server_state.hpp"
#include "http/tls/server_identity.hpp"
#include "http/wire/ip.hpp"

namespace curfew::http {

namespace asio = boost::asio;

/// What comes before the first request of a connection that encrypts: a PROXY header, in plain, and the handshake.
/// \return whether requests follow.
asio::awaitable<bool> connection::secure() {
  in_.expires = clock::now() + worker_.server().settings.handshake_timeout();
  tls_transport* encrypts = nullptr;
  for (;;) {
    if (encrypts == nullptr) {
      const opening first = open_in_plain();
      if (first == opening::close) co_return false;
      if (first == opening::refuse) {
        keep_alive_ = false;
        response reply = text(status::bad_request, "400 Bad Request: this port speaks https://\n");
        linger_ = co_await send_response(std::move(reply), nullptr);
        co_return false;
      }
      if (first == opening::encrypt) {
        auto made = std::make_unique<tls_transport>(*transport_, from_.identity->make_ssl());
        encrypts = made.get();
        transport_ = std::move(made);
      }
    }
    if (encrypts != nullptr) {
      const auto now = encrypts->handshake();
      if (now == tls::engine::progress::failed) {
        handshake_failed(*encrypts);
        co_return false;
      }
      if (now == tls::engine::progress::done) co_return is_client_welcome(*encrypts);
    }
    if (given_up_ || is_stopping() || transport_->gone()) co_return false;
    co_await suspend(in_);
    if (in_.timed_out) {
      if (encrypts != nullptr) worker_.server().handshake_failed(from_.name, "it took too long");
      co_return false;
    }
  }
}

/// Looks at what comes before the handshake, without taking a byte of that.
connection::opening connection::open_in_plain() {
  for (;;) {
    std::string_view first = transport_->peek(worker_.events().scratch());
    if (first.empty()) return transport_->ended() ? opening::close : opening::wait;
    if (!proxy_header_) {
      // A record of a handshake begins with 22, a request with its method.
      const bool is_http = first.front() >= 'A' && first.front() <= 'Z';
      return is_http ? opening::refuse : opening::encrypt;
    }
    const auto size = first.size();
    const bool goes_on = take_proxy_header(first);
    if (!goes_on) return opening::close;
    transport_->skip(size - first.size());
  }
}

/// The client reads why only if it is given the time: a socket that is closed with unread bytes sends a reset.
void connection::handshake_failed(const tls_transport& with) {
  worker_.server().handshake_failed(from_.name, with.failure());
  if (!with.has_told()) return;
  transport_ = std::make_unique<plain_transport>(*transport_);
  linger_ = true;
}

/// The handshake is over. A session that is resumed had its certificate checked when it began.
bool connection::is_client_welcome(const tls_transport& by) {
  from_.by_tls = true;
  if (from_.identity->asks_clients()) from_.certificate = certificate_of_client(by.ssl());
  from_.identity.reset();
  if (from_.certificate && from_.certificate->not_after < std::chrono::system_clock::now()) {
    worker_.server().handshake_failed(from_.name, "the certificate of its session has expired");
    return false;
  }
  request_access::https(exchange_->request()) = true;
  request_access::certificate(exchange_->request()) = from_.certificate;
  return true;
}

/// \return false if the connection is of no use.
bool connection::take_proxy_header(std::string_view& bytes) {
  switch (proxy_header_->feed(bytes)) {
    case proxy_header::progress::need_more:
      return true;
    case proxy_header::progress::failed:
      worker_.server().settings.on_error()(from_.name + ": connection closed: it began with no PROXY header");
      return false;
    case proxy_header::progress::done:
      break;
  }
  const auto source = proxy_header_->from();
  if (source == proxy_header::source::none) {
    // The proxy does not know the client: then no field of a request may name it.
    from_.is_trusted = false;
    proxy_header_.reset();
    return true;
  }
  from_.address.reset();
  if (source == proxy_header::source::address) from_.address = plain_ip(proxy_header_->address());
  from_.by_tls = proxy_header_->by_tls();
  proxy_header_.reset();
  server_state& server = worker_.server();
  from_.told = text_of(from_.address);
  from_.is_trusted = server.trusted.contains(from_.address);
  request_access::client(exchange_->request()) = from_.told;
  request_access::https(exchange_->request()) = from_.by_tls;
  return server.admit(from_);
}

}  // namespace curfew::http
