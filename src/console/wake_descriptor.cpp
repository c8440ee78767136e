#include "console/wake_descriptor.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <tuple>

namespace curfew::inspect {

wake_descriptor::wake_descriptor() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) throw std::system_error(errno, std::system_category(), "eventfd");
}

wake_descriptor::~wake_descriptor() { ::close(fd_); }

void wake_descriptor::notify(int fd) noexcept {
  const int before = errno;
  const std::uint64_t one = 1;
  std::ignore = ::write(fd, &one, sizeof one);  // fails if it is readable already
  errno = before;
}

void wake_descriptor::clear(int fd) noexcept {
  std::uint64_t count = 0;
  std::ignore = ::read(fd, &count, sizeof count);
}

}  // namespace curfew::inspect
