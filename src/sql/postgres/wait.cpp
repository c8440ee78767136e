#include "sql/postgres/wait.hpp"

#include <poll.h>

#include <array>
#include <tuple>

namespace curfew::sql::postgres {

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
