#include "redis/loop_socket.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace curfew::redis {

namespace asio = boost::asio;

void loop_socket::open(int fd) noexcept { fd_ = fd; }

void loop_socket::close() noexcept {
  const int fd = std::exchange(fd_, -1);
  if (watched_) {
    watched_.reset();
  } else if (fd != -1) {
    ::close(fd);
  }
}

loop_socket::watched_type* loop_socket::watch(boost::system::error_code& why) {
  if (!watched_) {
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&name), &size);  // NOLINT(*-reinterpret-cast)
    watched_.emplace(inline_executor(loop_));
    watched_->assign(asio::generic::stream_protocol(name.ss_family, 0), fd_, why);
    if (why) {
      watched_.reset();
      return nullptr;
    }
  }
  return &*watched_;
}

void loop_socket::unwatch() noexcept {
  if (!watched_) return;
  boost::system::error_code refused;
  watched_->release(refused);
  if (!refused) watched_.reset();
}

void loop_socket::cancel() noexcept {
  boost::system::error_code ignored;
  if (watched_) watched_->cancel(ignored);
}

}  // namespace curfew::redis
