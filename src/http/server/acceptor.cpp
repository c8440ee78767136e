#include "http/server/acceptor.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "http/server/server_state.hpp"

namespace curfew::http {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr std::chrono::milliseconds first_back_off{10};
constexpr std::chrono::seconds longest_back_off{1};

/// What a handler is told of the other end.
std::string name_of(const sockaddr_storage& bytes, socklen_t size) {
  if (bytes.ss_family == AF_UNIX) return "unix:";
  tcp::endpoint from;
  std::memcpy(from.data(), &bytes, std::min<std::size_t>(size, from.capacity()));
  from.resize(size);
  auto ip = from.address();
  if (ip.is_v6() && ip.to_v6().is_v4_mapped())
    ip = asio::ip::make_address_v4(asio::ip::v4_mapped, ip.to_v6());
  return (ip.is_v6() ? '[' + ip.to_string() + ']' : ip.to_string()) + ':' + std::to_string(from.port());
}

}  // namespace

result<> acceptor::open(const std::vector<server_options::listener>& where) {
  std::vector<std::unique_ptr<door>> made;
  for (const auto& one : where) {
    auto sockets = listening_socket::open(one);
    if (!sockets) return sockets.error();
    for (auto& socket : *sockets) made.push_back(std::make_unique<door>(*this, std::move(socket)));
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
    if (!d->socket.is_unix()) return d->socket.url();
  }
  return {};
}

std::vector<std::string> acceptor::addresses() const {
  std::vector<std::string> all;
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
int acceptor::accept(door& at, std::string& from) {
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
  from = name_of(bytes, size);
  return made;
}

void acceptor::accept_from(door& at) {
  constexpr int at_a_time = 64;  // level-triggered: what is left makes another event
  if (paused_) return;           // since an event of the same round
  for (int i = 0; i < at_a_time; ++i) {
    if (server_.open.load() >= server_.settings.max_connections) {
      pause({});
      return;
    }
    std::string from;
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
  if (server_.open.load() < server_.settings.max_connections) resume();
}

void acceptor::resume() {
  if (!paused_ || clock::now() < not_before_) return;
  if (server_.open.load() >= server_.settings.max_connections) return;
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
