// A call's way to a connection that can carry its request: one that is idle, or a new one, by the resolver, the connector, a
// proxy's tunnel and the TLS handshake.

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/error.hpp>
#include <cerrno>
#include <curfew/http/errc.hpp>
#include <utility>

#include "http/client/client_call.hpp"
#include "http/client/proxies.hpp"
#include "http/wire/silent_peer.hpp"
#include "http/wire/unix_address.hpp"

namespace curfew::http {

namespace asio = boost::asio;

namespace {

/// The host as certificates write it: without brackets, zone and port. Not url.host, which is localhost for all below it.
std::string name_of_server(const client_url& url) {
  const std::string_view authority = url.authority;
  if (authority.starts_with('[')) return std::string(authority.substr(1, authority.find(']') - 1));
  return std::string(authority.substr(0, authority.find(':')));
}

}  // namespace

class client_call::attempt final : public watched {
 public:
  explicit attempt(std::weak_ptr<client_call> of) : of_(std::move(of)) {}
  void on_event(std::uint32_t /*events*/) override {
    const auto call = of_.lock();
    if (!call) return;
    const std::lock_guard guard(call->mutex_);
    if (call->phase_ == phase::connecting && !call->asks_) call->advance_connector();
  }

 private:
  std::weak_ptr<client_call> of_;
};

void client_call::hop() {
  enter(phase::queued);
  exchange_.reset();
  proxy_ = client_->options.unix_socket().empty() ? client_->proxies.find(target_.url) : nullptr;
  if (proxy_ && !proxy_->problem.empty()) return fail(errc::bad_url, proxy_->problem);
  if (!proxy_) {
    origin_ = client_->pool->find(target_.url.origin);
  } else {  // over one connection go requests to all servers, but not through a tunnel
    origin_ = client_->pool->find(target_.url.tls ? proxy_->shown + ' ' + target_.url.origin : proxy_->shown);
  }
  waiter_.woken = weak_from_this();
  waiter_.in = loop_;
  if (client_->pool->enter(*origin_, waiter_, loop_.get())) with_place();
}

void client_call::with_place() {
  exchange_ = std::make_unique<client_exchange>(client_->options.max_header_size());
  ++exchange_number_;
  exchange_->lease = client_lease(client_->pool, origin_);
  waiter_.granted = false;
  auto kept = std::move(waiter_.connection);
  kept_ = kept != nullptr;
  timings_.reused = kept_;
  if (!kept) return resolve();
  if (kept->in() == loop_) {
    kept->belongs_to(weak_from_this());
  } else {
    kept = kept->move_to(loop_, weak_from_this());
    if (!kept) return fail(std::error_code(errno, std::generic_category()));
  }
  exchange_->lease.enter(std::move(kept));
  transmit();
}

void client_call::resolve() {
  if (!client_->options.unix_socket().empty()) return connect_to_unix_socket();
  enter(phase::resolving);
  auto known = resolver::shared().find(proxy_ ? proxy_->host : target_.url.host, lookup_,
                                       [of = weak_from_this()](const resolver::answer& to) {
                                         const auto call = of.lock();
                                         if (!call) return;
                                         const std::lock_guard guard(call->mutex_);
                                         if (call->phase_ == phase::resolving) call->connect(to);
                                       });
  if (known) connect(*known);
}

void client_call::connect(const resolver::answer& to) {
  if (!to) {
    const error& why = to.error();
    const bool is_missing = why == asio::error::host_not_found;
    return fail_to_connect(is_missing ? errc::name_not_found : why.code(), why.doing());
  }
  enter(phase::connecting);
  if (!client_->options.on_dial()) return dial(*to);
  ask(dial_question{.to = *to, .port = proxy_ ? proxy_->port : target_.url.port});
}

void client_call::dial(std::shared_ptr<const resolver::addresses> to) {
  connector_ = std::make_shared<connector>(std::move(to), proxy_ ? proxy_->port : target_.url.port,
                                           [in = loop_](int socket) { in->unwatch(socket); });
  advance_connector();
}

void client_call::connect_to_unix_socket() {
  enter(phase::connecting);
  const std::string& path = client_->options.unix_socket();
  const auto to = unix_address::of(path);
  if (!to) return fail(std::make_error_code(std::errc::invalid_argument), path);
  descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return fail(std::error_code(errno, std::generic_category()));
  // It is there at once, or fails: with EAGAIN where the server's queue is full.
  if (::connect(socket.get(), to->get(), to->size) != 0) {
    return fail(errc::connection_refused, path + ": " + std::generic_category().message(errno));
  }
  auto made = client_connection::make(loop_, std::move(socket), weak_from_this());
  if (!made) return fail(std::error_code(errno, std::generic_category()));
  connected(std::move(made));
}

void client_call::advance_connector() {
  switch (connector_->advance(clock::now())) {
    case connector::state::pending:
      watch_attempts();
      return;
    case connector::state::failed:
      return fail_to_connect(connector_->failure(), connector_->detail());
    case connector::state::connected:
      break;
  }
  const bool watched = connector_->fresh().empty();
  descriptor socket(connector_->release());
  ends_silent_after(socket.get(), client_->options.silent_peer_timeout());
  auto made = watched ? client_connection::take_over(loop_, std::move(socket), weak_from_this())
                      : client_connection::make(loop_, std::move(socket), weak_from_this());
  drop_attempts();
  if (!made) return fail(std::error_code(errno, std::generic_category()));
  connected(std::move(made));
}

void client_call::connected(std::shared_ptr<client_connection> made) {
  exchange_->lease.enter(std::move(made));
  if (!target_.url.tls) return transmit();
  if (proxy_) return ask_for_tunnel();
  secure();
}

void client_call::ask_for_tunnel() {
  enter(phase::tunneling);
  std::string host = target_.url.host;
  if (host.find(':') != std::string::npos) host = '[' + host.substr(0, host.find('%')) + ']';
  host.append(1, ':').append(std::to_string(target_.url.port));
  out_ = "CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: curfew\r\n";
  if (!proxy_->credentials.empty()) out_ += "Proxy-Authorization: " + proxy_->credentials + "\r\n";
  out_ += "\r\n";
  unsent_ = {out_};
  exchange_->session.expect(true,
                            exchange_->head);  // what follows a 2xx is the server's, whatever its fields say
  pump_tunnel();
}

void client_call::pump_tunnel() {
  client_connection& to = *exchange_->lease.connection;
  if (has_unsent() && to.write(unsent_) < 0 && errno != EAGAIN)
    return fail_to_connect(errc::connection_lost, {});
  std::array<char, 4096> into;
  for (;;) {
    const ssize_t count = to.read(into);
    if (count > 0) {
      if (take_from_proxy({into.data(), static_cast<std::size_t>(count)}) == progress::over) return;
    } else if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return;
    } else {
      return fail(errc::proxy_refused, proxy_->shown + " has closed the connection");
    }
  }
}

client_call::progress client_call::take_from_proxy(std::string_view bytes) {
  using event = client_session::event;
  bytes = exchange_->with_rest(bytes);
  for (;;) {
    switch (exchange_->session.receive(bytes)) {
      case event::need_more:
        exchange_->keep(bytes);
        return progress::needs_input;
      case event::failed:
        fail(errc::proxy_refused,
             proxy_->shown + " answers with what is not HTTP: " + std::string(exchange_->session.detail()));
        return progress::over;
      case event::interim:
      case event::body:
        break;
      case event::head:
      case event::done: {
        const unsigned status = to_number(exchange_->head.status());
        std::string why;
        if (status < 200 || status >= 300) why = " answers " + exchange_->head.status_line().substr(9);
        if (status == 407)
          why += proxy_->credentials.empty() ? ": it wants credentials" : ": it wants others";
        if (why.empty() && !bytes.empty()) why = " sends bytes before the server could";
        if (!why.empty()) {
          fail(errc::proxy_refused, proxy_->shown + why);
        } else {
          exchange_->input.clear();
          secure();
        }
        return progress::over;
      }
    }
  }
}

void client_call::secure() {
  enter(phase::securing);
  std::string why;
  const auto trust = client_->trust(why);
  if (!trust) return fail(errc::tls_failure, why);
  client_connection& over = *exchange_->lease.connection;
  over.encrypt(trust->begin(name_of_server(target_.url), target_.url.origin, over.fd()));
  shake_hands();
}

void client_call::shake_hands() {
  tls::engine& tls = *exchange_->lease.connection->tls();
  switch (tls.handshake()) {
    case tls::engine::progress::blocked:
      return;
    case tls::engine::progress::failed:
      return fail(tls.was_cut() ? errc::connection_lost : errc::tls_failure, tls.failure());
    case tls::engine::progress::done:
      break;
  }
  std::string why;
  if (const auto trust = client_->trust(why)) why = trust->objection(tls);
  if (!why.empty()) return fail(errc::tls_failure, why);
  transmit();
}

void client_call::watch_attempts() {
  for (const int socket : connector_->fresh()) {
    attempts_.push_back(std::make_shared<attempt>(weak_from_this()));
    if (!loop_->watch(socket, EPOLLOUT | EPOLLET, *attempts_.back()))
      return fail(std::error_code(errno, std::generic_category()));
  }
  if (const auto at = connector_->next_at()) set_alarm(*at);
}

void client_call::drop_attempts() noexcept {
  for (auto& each : std::exchange(attempts_, {})) loop_->retire(std::move(each));
}

}  // namespace curfew::http
