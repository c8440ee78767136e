#include "http/client/connector.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <cerrno>
#include <curfew/core/detail/assert.hpp>
#include <curfew/http/errc.hpp>
#include <utility>

namespace curfew::http {

using boost::asio::ip::tcp;

namespace {

/// Whether the socket has got its own port as the peer's: an ephemeral port that was chosen as the one it asked for.
bool connected_to_itself(int socket) noexcept {
  tcp::endpoint here;
  tcp::endpoint there;
  auto size = static_cast<socklen_t>(here.capacity());
  if (::getsockname(socket, here.data(), &size) != 0) return false;
  here.resize(size);
  size = static_cast<socklen_t>(there.capacity());
  if (::getpeername(socket, there.data(), &size) != 0) return false;
  there.resize(size);
  return here == there;
}

}  // namespace

connector::connector(std::shared_ptr<const resolver::addresses> to, std::uint16_t port,
                     std::move_only_function<void(int)> closing)
    : to_(std::move(to)),
      port_(port),
      closing_(std::move(closing)) {}

connector::~connector() {
  for (const int each : sockets_) drop(each);
}

connector::state connector::advance(clock::time_point now) {
  fresh_ = 0;
  if (state_ != state::pending) return state_;
  for (std::size_t i = 0; i < sockets_.size();) {
    const int socket = sockets_[i];
    switch (look_at(socket)) {
      case outcome::pending:
        ++i;
        break;
      case outcome::connected:
        won(socket);
        return state_;
      case outcome::failed:
        drop(socket);
        if (newest_ == socket) newest_ = -1;
        sockets_.erase(sockets_.begin() + static_cast<std::ptrdiff_t>(i));
        break;
    }
  }
  while (state_ == state::pending && next_ != to_->size() &&
         (newest_ == -1 || now - newest_began_ >= head_start)) {
    begin(now);
  }
  if (state_ == state::pending && sockets_.empty()) state_ = state::failed;
  return state_;
}

void connector::begin(clock::time_point now) {
  const tcp::endpoint to((*to_)[next_++], port_);
  newest_ = -1;
  sockets_.reserve(sockets_.size() + 1);  // nothing is to be closed if that throws
  const int socket = ::socket(to.data()->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (socket == -1) {
    errno_ = 0;
    failure_ = std::error_code(errno, std::generic_category());
    return;
  }
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  outcome now_is = outcome::failed;
  if (::connect(socket, to.data(), static_cast<socklen_t>(to.size())) == 0 || errno == EINPROGRESS) {
    now_is = look_at(socket);  // on one machine it is there at once
  } else {
    errno_ = errno;
    failure_ = errc::connection_refused;
  }
  if (now_is == outcome::failed) {
    ::close(socket);
    return;
  }
  sockets_.push_back(socket);
  ++fresh_;
  if (now_is == outcome::connected) {
    won(socket);
    return;
  }
  newest_ = socket;
  newest_began_ = now;
}

connector::outcome connector::look_at(int socket) noexcept {
  pollfd look{.fd = socket, .events = POLLOUT, .revents = 0};
  if (::poll(&look, 1, 0) <= 0) return outcome::pending;
  int why = 0;
  if ((look.revents & (POLLERR | POLLHUP)) != 0) {
    socklen_t size = sizeof why;
    ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &why, &size);
    if (why == ECONNRESET || why == EPIPE) why = 0;  // it has been connected
  }
  if (why == 0 && connected_to_itself(socket)) why = ECONNREFUSED;
  if (why == 0) return outcome::connected;
  errno_ = why;
  failure_ = errc::connection_refused;
  return outcome::failed;
}

void connector::won(int socket) noexcept {
  for (const int each : sockets_) {
    if (each != socket) drop(each);
  }
  sockets_.assign(1, socket);  // there is room
  state_ = state::connected;
}

void connector::drop(int socket) noexcept {
  if (closing_) closing_(socket);
  ::close(socket);
}

std::optional<clock::time_point> connector::next_at() const noexcept {
  if (state_ != state::pending || next_ == to_->size()) return std::nullopt;
  return newest_began_ + head_start;
}

int connector::release() noexcept {
  CURFEW_ASSERT(state_ == state::connected && !sockets_.empty(),
                "release() is for a connector that is connected");
  const int socket = sockets_.front();
  sockets_.clear();
  fresh_ = 0;
  return socket;
}

std::string connector::detail() const {
  if (errno_ == 0 || errno_ == ECONNREFUSED) return {};
  return std::generic_category().message(errno_);
}

}  // namespace curfew::http
