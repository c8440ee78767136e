#include "http/server/acceptor.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <curfew/http/errc.hpp>
#include <optional>
#include <utility>

#include "http/server/server_state.hpp"

namespace curfew::http {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr std::chrono::milliseconds first_back_off{10};
constexpr std::chrono::seconds longest_back_off{1};

std::optional<tcp::endpoint> parse(std::string_view address) {
  const auto colon = address.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  auto host = address.substr(0, colon);
  const auto digits = address.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || failed != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  const bool brackets = host.starts_with('[') && host.ends_with(']');
  if (brackets) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  boost::system::error_code bad;
  const auto ip = asio::ip::make_address(std::string(host), bad);
  if (bad || ip.is_v6() != brackets) return std::nullopt;
  return tcp::endpoint(ip, port);
}

std::string host_text(const asio::ip::address& ip) {
  return ip.is_v6() ? '[' + ip.to_string() + ']' : ip.to_string();
}

std::string text_of(const tcp::endpoint& e) {
  return host_text(e.address()) + ':' + std::to_string(e.port());
}

std::string_view advice(int code) {
  switch (code) {
    case EADDRINUSE:
      return " (another program listens there: stop it, or choose another port; port 0 takes a free one)";
    case EACCES:
      return " (ports below 1024 need a privilege)";
    case EADDRNOTAVAIL:
      return " (this machine does not have that address)";
    default:
      return "";
  }
}

}  // namespace

result<> acceptor::open(const std::string& address) {
  const auto where = parse(address);
  if (!where) {
    return std::unexpected(
        error(make_error_code(errc::bad_address), "listening on \"" + address +
                                                      "\" (write it as 127.0.0.1:8080 or [::1]:8080; "
                                                      "0.0.0.0:8080 is for all interfaces)"));
  }
  int made = -1;
  const auto fail = [&] {
    const int code = errno;
    if (made >= 0) ::close(made);
    return std::unexpected(error(std::error_code(code, std::system_category()),
                                 "listening on " + address + std::string(advice(code))));
  };
  made = ::socket(where->protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (made < 0) return fail();
  const int yes = 1;
  // Connections of a predecessor may linger on the address.
  ::setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  // Inherited by the connections: each write is a whole message.
  ::setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (where->address().is_v6()) ::setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
  if (::bind(made, where->data(), static_cast<socklen_t>(where->size())) != 0) return fail();
  if (::listen(made, SOMAXCONN) != 0) return fail();
  tcp::endpoint taken;
  auto size = static_cast<socklen_t>(taken.capacity());
  if (::getsockname(made, taken.data(), &size) != 0) return fail();
  port_ = taken.port();
  const auto ip = where->address();
  host_ = !ip.is_unspecified() ? host_text(ip) : ip.is_v6() ? "[::1]" : "127.0.0.1";
  const std::lock_guard guard(mutex_);
  socket_ = made;
  return {};
}

std::string acceptor::url() const {
  if (port_ == 0) return {};
  return "http://" + host_ + ':' + std::to_string(port_);
}

void acceptor::start(std::vector<std::unique_ptr<worker>>& workers) {
  workers_ = &workers;
  server_.on_room = [this] { asio::post(workers_->front()->io(), [this] { resume(); }); };
  const std::lock_guard guard(mutex_);
  workers.front()->events().watch(socket_, EPOLLIN, *this);
}

void acceptor::stop() noexcept {
  const std::lock_guard guard(mutex_);
  if (socket_ < 0) return;
  // A child process between fork and exec may hold the socket too: closing alone would leave it listening.
  if (workers_ != nullptr) workers_->front()->events().unwatch(socket_);
  ::shutdown(socket_, SHUT_RDWR);
  ::close(std::exchange(socket_, -1));
}

/// As accept4, and counts the connection; -1 with EBADF once the socket is closed.
int acceptor::accept(tcp::endpoint& from) noexcept {
  auto size = static_cast<socklen_t>(from.capacity());
  const std::lock_guard guard(mutex_);
  const int made = ::accept4(socket_, from.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (made < 0) return made;
  from.resize(size);
  // Under the lock: after stop() no uncounted connection appears.
  server_.open.fetch_add(1);
  return made;
}

void acceptor::on_event(std::uint32_t /*events*/) {
  constexpr int at_a_time = 64;  // level-triggered: what is left makes another event
  for (int i = 0; i < at_a_time; ++i) {
    if (server_.open.load() >= server_.settings.max_connections) {
      pause({});
      return;
    }
    tcp::endpoint from;
    const int made = accept(from);
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
    (*workers_)[turn_++ % workers_->size()]->adopt(made, text_of(from));
  }
}

void acceptor::pause(clock::duration at_least) {
  worker& first = *workers_->front();
  {
    const std::lock_guard guard(mutex_);
    if (socket_ < 0) return;
    first.events().change(socket_, 0, *this);
  }
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
  const std::lock_guard guard(mutex_);
  if (socket_ >= 0) workers_->front()->events().change(socket_, EPOLLIN, *this);
}

}  // namespace curfew::http
