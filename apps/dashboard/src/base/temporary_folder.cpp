#include "base/temporary_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

namespace curfew_dashboard {

namespace {

namespace fs = std::filesystem;

file_descriptor open_folder(const fs::path& path) noexcept {
  return file_descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

bool is_ours(const file_descriptor& folder) noexcept {
  struct stat about{};
  return ::fstat(folder.get(), &about) == 0 && about.st_uid == ::geteuid();
}

/// What processes left behind that live no more. Removed under the lock: a process that has made the folder meanwhile
/// waits for it, and finds the folder gone.
void remove_abandoned(const fs::path& parent, const std::string& begin) {
  std::error_code ignored;
  for (fs::directory_iterator at(parent, ignored); at != fs::directory_iterator(); at.increment(ignored)) {
    if (!at->path().filename().string().starts_with(begin)) continue;
    const file_descriptor found = open_folder(at->path());
    if (found && is_ours(found) && ::flock(found.get(), LOCK_EX | LOCK_NB) == 0)
      fs::remove_all(at->path(), ignored);
  }
}

[[noreturn]] void fail() {
  throw std::system_error(errno, std::generic_category(), "making a temporary folder");
}

}  // namespace

temporary_folder::temporary_folder(const std::string& purpose) {
  const fs::path parent = fs::temp_directory_path();
  const std::string begin = purpose + '-';
  remove_abandoned(parent, begin);
  while (!lock_) {
    std::string pattern = (parent / (begin + "XXXXXX")).string();
    if (::mkdtemp(pattern.data()) == nullptr) fail();
    file_descriptor made = open_folder(pattern);
    if (made && ::flock(made.get(), LOCK_EX) != 0) fail();
    if (!made || !fs::exists(pattern)) continue;  // taken for an abandoned one before it was locked
    path_ = pattern;
    lock_ = std::move(made);
  }
}

temporary_folder::~temporary_folder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace curfew_dashboard
