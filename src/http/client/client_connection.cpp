#include "http/client/client_connection.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "http/client/client_pool.hpp"

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

bool client_connection::is_quiet() const noexcept {
  char byte = 0;
  return ::recv(fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

descriptor client_connection::leave() noexcept {
  descriptor socket;
  {
    const std::lock_guard guard(mutex_);
    if (std::exchange(gone_, true)) return {};
    socket = std::move(socket_);
    user_.reset();
  }
  loop_->unwatch(socket.get());
  loop_->retire(shared_from_this());
  return socket;
}

void client_connection::close() noexcept { leave().close(); }

std::shared_ptr<client_connection> client_connection::move_to(std::shared_ptr<loop> other,
                                                              std::weak_ptr<connection_user> user) {
  auto moved = make(std::move(other), leave(), std::move(user));
  if (!moved) return nullptr;
  moved->pool = pool;
  moved->origin = origin;
  return moved;
}

}  // namespace curfew::http
