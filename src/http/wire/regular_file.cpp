#include "http/wire/regular_file.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace curfew::http {

namespace {

constexpr int how_to_open = O_RDONLY | O_CLOEXEC | O_NONBLOCK;

/// \param file  As opened; errno says why it is not.
result<regular_file> judge(descriptor file, const std::string& path) {
  const auto cannot = [&](std::error_code why) { return error(why, "opening the file " + path); };
  regular_file made{std::move(file)};
  if (!made.file.is_open() || ::fstat(made.file.get(), &made.about) != 0)
    return cannot(std::error_code(errno, std::generic_category()));
  if (S_ISDIR(made.about.st_mode)) return cannot(std::make_error_code(std::errc::is_a_directory));
  if (!S_ISREG(made.about.st_mode)) return cannot(std::make_error_code(std::errc::invalid_argument));
  return made;
}

}  // namespace

result<regular_file> regular_file::open(const std::string& path) {
  return judge(descriptor(::open(path.c_str(), how_to_open)), path);
}

result<regular_file> regular_file::open_below(const std::string& folder, const std::string& path) {
  const descriptor root(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.is_open())
    return error(std::error_code(errno, std::generic_category()), "opening the folder " + folder);
  open_how how{};
  how.flags = how_to_open;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  // EAGAIN: something was renamed meanwhile, so ".." could not be judged.
  long opened = -1;
  for (int tries = 0; tries < 8; ++tries) {
    opened = ::syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how);
    if (opened >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return judge(descriptor(static_cast<int>(opened)), folder + '/' + path);
}

ssize_t read_at(int file, std::span<char> into, std::uint64_t offset) noexcept {
  for (;;) {
    const ssize_t got = ::pread(file, into.data(), into.size(), static_cast<off_t>(offset));
    if (got >= 0 || errno != EINTR) return got;
  }
}

}  // namespace curfew::http
