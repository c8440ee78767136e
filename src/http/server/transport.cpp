#include "http/server/transport.hpp"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <utility>

#include "http/wire/send_parts.hpp"

namespace curfew::http {

transport::transport(transport& from) noexcept
    : loop_(from.loop_),
      socket_(std::exchange(from.socket_, -1)),
      half_closed_(from.half_closed_) {}

void transport::watch(watched& by) noexcept {
  if (!loop_.watch(socket_, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, by)) gone_ = true;
}

void transport::on_event(std::uint32_t events) noexcept {
  if (closed()) return;
  if ((events & EPOLLRDHUP) != 0) half_closed_ = true;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && !finished_) gone_ = true;
  readable_ = true;
}

void transport::close(bool reset) noexcept {
  if (closed()) return;
  if (!reset && !gone_) say_goodbye();
  gone_ = true;
  loop_.unwatch(socket_);  // closing alone would leave it there if a child process had a copy
  if (reset) {
    const struct linger at_once{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  ::close(std::exchange(socket_, -1));
}

std::string_view transport::peek(std::span<char> into) noexcept {
  while (may_read()) {
    const ssize_t count = ::recv(socket_, into.data(), into.size(), MSG_PEEK);
    if (count > 0) return {into.data(), static_cast<std::size_t>(count)};
    if (count == 0) {
      at_end_ = half_closed_ = true;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      readable_ = false;
    } else if (errno != EINTR) {
      gone_ = true;
    }
  }
  return {};
}

void transport::skip(std::size_t size) noexcept {
  const auto into = loop_.scratch();
  while (size != 0) {
    const ssize_t count = ::recv(socket_, into.data(), std::min(size, into.size()), 0);
    if (count > 0) {
      size -= static_cast<std::size_t>(count);
    } else if (count == 0 || errno != EINTR) {
      gone_ = true;
      return;
    }
  }
}

std::size_t plain_transport::read(std::span<char> into) noexcept {
  while (may_read()) {
    const ssize_t count = ::recv(socket_, into.data(), into.size(), 0);
    if (count > 0) {
      const auto size = static_cast<std::size_t>(count);
      // Edge-triggered: what comes after a read that took all there was makes a new event.
      if (size < into.size() && !half_closed_) readable_ = false;
      return size;
    }
    if (count == 0) {
      at_end_ = half_closed_ = true;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      readable_ = false;
    } else if (errno != EINTR) {
      gone_ = true;
    }
  }
  return 0;
}

transport::written plain_transport::write(std::span<std::string_view> parts) noexcept {
  while (std::ranges::any_of(parts, [](std::string_view part) { return !part.empty(); })) {
    if (gone_) return written::failed;
    if (send_parts(socket_, parts) >= 0) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return written::blocked;
    gone_ = true;
    return written::failed;
  }
  return written::all;
}

transport::written transport::write(file_rest& rest) noexcept {
  while (rest.left != 0) {
    const auto into = loop_.scratch();
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(rest.left, into.size()));
    const ssize_t got = read_at(rest.file, into.first(size), rest.offset);
    if (got <= 0) {
      rest.failure = got == 0 ? EIO : errno;
      return written::failed;
    }
    std::array part{std::string_view(into.data(), static_cast<std::size_t>(got))};
    const written now = write(part);
    const auto taken = static_cast<std::size_t>(got) - part[0].size();
    rest.offset += taken;
    rest.left -= taken;
    if (now != written::all) return now;
  }
  return written::all;
}

namespace {

/// No SIGPIPE for this thread: unlike send(), sendfile() has no flag for that.
class without_sigpipe {
 public:
  without_sigpipe() noexcept {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  without_sigpipe(const without_sigpipe&) = delete;
  without_sigpipe& operator=(const without_sigpipe&) = delete;
  ~without_sigpipe() {
    const int kept = errno;
    if (came_ && !was_pending_) {
      const timespec at_once{};
      ::sigtimedwait(&pipe_, nullptr, &at_once);
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = kept;
  }
  /// It has been raised, and is to be forgotten.
  void came() noexcept { came_ = true; }

 private:
  sigset_t pipe_{};
  sigset_t before_{};
  bool was_pending_ = false;
  bool came_ = false;
};

}  // namespace

transport::written plain_transport::write(file_rest& rest) noexcept {
  without_sigpipe quiet;
  while (rest.left != 0) {
    if (gone_) return written::failed;
    auto from = static_cast<off_t>(rest.offset);
    const ssize_t taken = ::sendfile(socket_, rest.file, &from, rest.left);
    if (taken > 0) {
      rest.offset += static_cast<std::uint64_t>(taken);
      rest.left -= static_cast<std::uint64_t>(taken);
    } else if (taken == 0) {
      rest.failure = EIO;
      return written::failed;
    } else if (errno == EAGAIN) {
      return written::blocked;
    } else if (errno == EINVAL || errno == ENOSYS) {
      return transport::write(rest);  // a file system that cannot
    } else if (errno == EIO) {
      rest.failure = errno;
      return written::failed;
    } else if (errno != EINTR) {
      if (errno == EPIPE) quiet.came();
      gone_ = true;
      return written::failed;
    }
  }
  return written::all;
}

void plain_transport::finish() noexcept {
  finished_ = true;
  ::shutdown(socket_, SHUT_WR);
}

}  // namespace curfew::http
