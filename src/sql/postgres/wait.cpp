#include "sql/postgres/wait.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <tuple>

namespace curfew::sql::postgres {

wake_event::wake_event() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ == -1) throw std::system_error(errno, std::generic_category(), "eventfd");
}

wake_event::~wake_event() { ::close(fd_); }

void wake_event::set() const noexcept {
  const std::uint64_t one = 1;
  std::ignore = ::write(fd_, &one, sizeof one);
}

void wake_event::clear() const noexcept {
  std::uint64_t count = 0;
  std::ignore = ::read(fd_, &count, sizeof count);
}

readiness wait_for(int socket, wants what, const wake_event& waker) noexcept {
  std::array<pollfd, 2> fds{};
  fds[0].fd = socket;
  fds[0].events = what == wants::write ? POLLIN | POLLOUT : POLLIN;
  fds[1].fd = waker.fd();
  fds[1].events = POLLIN;
  std::ignore = ::poll(fds.data(), fds.size(), -1);  // what interrupts it makes the caller look again
  if (fds[1].revents != 0) waker.clear();
  if ((fds[0].revents & (POLLIN | POLLERR | POLLHUP)) != 0) return readiness::readable;
  return fds[0].revents != 0 ? readiness::writable : readiness::none;
}

}  // namespace curfew::sql::postgres
