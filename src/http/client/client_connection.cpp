#include "http/client/client_connection.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <tuple>
#include <utility>

#include "http/client/client_pool.hpp"
#include "http/wire/send_parts.hpp"

namespace curfew::http {

namespace {

constexpr std::uint32_t all_events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

}  // namespace

std::shared_ptr<client_connection> client_connection::make(std::shared_ptr<loop> in, descriptor socket,
                                                           std::weak_ptr<connection_user> user) {
  auto made = std::make_shared<client_connection>(std::move(in), std::move(socket));
  made->user_ = std::move(user);
  if (!made->loop_->watch(made->fd(), all_events, *made)) return nullptr;
  return made;
}

std::shared_ptr<client_connection> client_connection::take_over(std::shared_ptr<loop> in, descriptor socket,
                                                                std::weak_ptr<connection_user> user) {
  auto made = std::make_shared<client_connection>(std::move(in), std::move(socket));
  made->user_ = std::move(user);
  made->loop_->change(made->fd(), all_events, *made);  // no event is lost: it tells what there is by now
  return made;
}

void client_connection::on_event(std::uint32_t events) {
  std::shared_ptr<connection_user> user;
  {
    const std::lock_guard guard(mutex_);
    if (gone_) return;
    if (used_) {
      user = user_.lock();
      if (!user) return;  // being destroyed, and closes it
    } else if (tls_) {
      if (find_quiet()) return;
    } else if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) {
      return;
    }
  }
  if (user) {
    user->on_socket(*this, events);
  } else if (const auto of = pool.lock()) {
    of->spoilt(*this);
  }
}

void client_connection::belongs_to(std::weak_ptr<connection_user> user) noexcept {
  const std::lock_guard guard(mutex_);
  used_ = !user.expired();
  user_ = std::move(user);
}

bool client_connection::is_quiet() noexcept {
  const std::lock_guard guard(mutex_);
  if (tls_) return find_quiet();
  char byte = 0;
  return ::recv(fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

bool client_connection::find_quiet() noexcept {
  std::array<char, 1> byte;
  if (!spoilt_) spoilt_ = tls_->read(byte) >= 0 || errno != EAGAIN;
  return !spoilt_;
}

ssize_t client_connection::read(std::span<char> into) noexcept {
  if (tls_ && spoilt_) {
    errno = ECONNRESET;  // what it has got while it was idle is no answer
    return -1;
  }
  if (tls_) return tls_->read(into);
  ssize_t count = 0;
  do {
    count = ::recv(fd(), into.data(), into.size(), MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  return count;
}

ssize_t client_connection::write(std::span<std::string_view> parts) noexcept {
  if (tls_ && spoilt_) {
    errno = ECONNRESET;
    return -1;
  }
  return tls_ ? tls_->write(parts) : send_parts(fd(), parts);
}

client_connection::remains client_connection::leave() noexcept {
  remains left;
  {
    const std::lock_guard guard(mutex_);
    if (std::exchange(gone_, true)) return left;
    left.socket = std::move(socket_);
    left.tls = std::move(tls_);
    user_.reset();
  }
  loop_->unwatch(left.socket.get());
  loop_->retire(shared_from_this());
  return left;
}

void client_connection::close() noexcept {
  auto left = leave();
  if (left.tls && left.tls->is_open()) std::ignore = left.tls->finish();
  left.tls.reset();  // before its socket
}

std::shared_ptr<client_connection> client_connection::move_to(std::shared_ptr<loop> other,
                                                              std::weak_ptr<connection_user> user) {
  auto left = leave();
  const bool is_spoilt = spoilt_;
  auto moved = std::make_shared<client_connection>(std::move(other), std::move(left.socket));
  moved->user_ = std::move(user);
  moved->tls_ = std::move(left.tls);  // before there are events
  moved->spoilt_ = is_spoilt;
  if (!moved->loop_->watch(moved->fd(), all_events, *moved)) return nullptr;
  moved->pool = pool;
  moved->origin = origin;
  moved->made = made;
  return moved;
}

}  // namespace curfew::http
