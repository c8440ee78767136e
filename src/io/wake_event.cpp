#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <curfew/io/detail/wake_event.hpp>
#include <system_error>
#include <tuple>

namespace curfew::detail {

wake_event::wake_event() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ == -1) throw std::system_error(errno, std::generic_category(), "eventfd");
}

wake_event::~wake_event() { ::close(fd_); }

void wake_event::set() const noexcept { std::ignore = ::eventfd_write(fd_, 1); }

void wake_event::clear() const noexcept {
  eventfd_t count = 0;
  std::ignore = ::eventfd_read(fd_, &count);
}

}  // namespace curfew::detail
