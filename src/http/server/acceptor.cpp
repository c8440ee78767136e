#include "http/server/acceptor.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "http/server/peer.hpp"
#include "http/server/server_state.hpp"
#include "http/server/trusted.hpp"
#include "http/tls/server_identity.hpp"
#include "http/wire/ip.hpp"

namespace curfew::http {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr std::chrono::milliseconds first_back_off{10};
constexpr std::chrono::seconds longest_back_off{1};

peer peer_of(const sockaddr_storage& bytes, socklen_t size) {
  peer made;
  if (bytes.ss_family == AF_UNIX) {
    made.name = "unix:";
    return made;
  }
  tcp::endpoint from;
  std::memcpy(from.data(), &bytes, std::min<std::size_t>(size, from.capacity()));
  from.resize(size);
  const auto ip = from.address();
  made.address = plain_ip(ip);
  // With its scope, which a link-local address is worth nothing without.
  const std::string text = made.address->is_v4() ? made.address->to_string() : '[' + ip.to_string() + ']';
  made.name = text + ':' + std::to_string(from.port());
  return made;
}

}  // namespace

result<> acceptor::open(const std::vector<server_options::listener>& where) {
  std::vector<std::unique_ptr<door>> made;
  for (const auto& one : where) {
    const bool proxy = one.options.proxy_protocol();
    if (proxy && server_.trusted.empty()) {
      return error(
          std::make_error_code(std::errc::invalid_argument),
          "listening on " + one.address +
              " (it expects the PROXY protocol: name the proxies with trusted_peers, nothing else may "
              "connect)");
    }
    if (const auto& tls = one.options.tls(); tls && tls->expires() < std::chrono::system_clock::now()) {
      server_.settings.on_error()("listening on " + one.address +
                                  ": a certificate has expired; clients will not trust it");
    }
    auto sockets = listening_socket::open(one);
    if (!sockets) return sockets.error();
    for (auto& socket : *sockets) {
      socket.ends_silent_after(server_.settings.silent_peer_timeout());
      made.push_back(std::make_unique<door>(*this, std::move(socket), one.options));
    }
  }
  const std::lock_guard guard(mutex_);
  doors_ = std::move(made);
  return {};
}

std::uint16_t acceptor::port() const noexcept {
  for (const auto& d : doors_) {
    if (!d->socket.is_unix()) return d->socket.port();
  }
  return 0;
}

std::string acceptor::url() const {
  for (const auto& d : doors_) {
    if (d->socket.is_unix()) continue;
    std::string url = d->socket.url();
    if (d->tls) url.insert(std::string_view("http").size(), 1, 's');
    return url;
  }
  return {};
}

std::vector<std::string> acceptor::addresses() const {
  std::vector<std::string> all;
  all.reserve(doors_.size());
  for (const auto& d : doors_) all.push_back(d->socket.address());
  return all;
}

void acceptor::start(std::vector<std::unique_ptr<worker>>& workers) {
  workers_ = &workers;
  server_.on_room = [this] { asio::post(workers_->front()->io(), [this] { resume(); }); };
  const std::lock_guard guard(mutex_);
  for (const auto& d : doors_) workers.front()->events().watch(d->socket.get(), EPOLLIN, *d);
}

void acceptor::stop() noexcept {
  const std::lock_guard guard(mutex_);
  for (const auto& d : doors_) {
    if (d->socket.get() >= 0 && workers_ != nullptr) workers_->front()->events().unwatch(d->socket.get());
    d->socket.close();
  }
}

/// As accept4, and counts the connection; -1 with EBADF once the socket is closed.
int acceptor::accept(door& at, peer& from) {
  sockaddr_storage bytes{};
  socklen_t size = sizeof bytes;
  int made = -1;
  {
    const std::lock_guard guard(mutex_);
    made =
        ::accept4(at.socket.get(), reinterpret_cast<sockaddr*>(&bytes), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (made < 0) return made;
    // Under the lock: after stop() no uncounted connection appears.
    server_.open.fetch_add(1);
  }
  from = peer_of(bytes, size);
  return made;
}

/// May this peer connect here, and once more?
bool acceptor::lets_in(const door& at, peer& from) const {
  from.is_trusted = server_.trusted.contains(from.address);
  from.sends_proxy_header = at.expects_proxy_header;
  if (from.sends_proxy_header && !from.is_trusted) return false;
  if (at.tls) from.identity = tls_server_access::identity(*at.tls);
  return server_.admit(from);
}

void acceptor::accept_from(door& at) {
  constexpr int at_a_time = 64;  // level-triggered: what is left makes another event
  if (paused_) return;           // since an event of the same round
  for (int i = 0; i < at_a_time; ++i) {
    if (server_.open.load() >= server_.settings.max_connections()) {
      pause({});
      return;
    }
    peer from;
    const int made = accept(at, from);
    if (made < 0) {
      switch (errno) {
        case EAGAIN:
        case EBADF:  // the server shuts down
          return;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
          back_off_ = std::clamp<clock::duration>(back_off_ * 2, first_back_off, longest_back_off);
          pause(back_off_);
          return;
        default:
          continue;  // that of one connection, which is gone
      }
    }
    back_off_ = {};
    if (!lets_in(at, from)) {
      ::close(made);
      server_.closed();
      continue;
    }
    server_.opened();
    (*workers_)[turn_++ % workers_->size()]->adopt(made, std::move(from));
  }
}

void acceptor::pause(clock::duration at_least) {
  worker& first = *workers_->front();
  watch_for(0);
  paused_ = true;
  not_before_ = clock::now() + at_least;
  server_.wants_room.store(true);
  first.events().each_tick([this](clock::time_point) {
    resume();
    return paused_;
  });
  // A connection that closed before `wants_room` was set has not called on_room.
  if (server_.open.load() < server_.settings.max_connections()) resume();
}

void acceptor::resume() {
  if (!paused_ || clock::now() < not_before_) return;
  if (server_.open.load() >= server_.settings.max_connections()) return;
  paused_ = false;
  server_.wants_room.store(false);
  watch_for(EPOLLIN);
}

void acceptor::watch_for(std::uint32_t events) {
  const std::lock_guard guard(mutex_);
  for (const auto& d : doors_) {
    if (d->socket.get() >= 0) workers_->front()->events().change(d->socket.get(), events, *d);
  }
}

}  // namespace curfew::http
