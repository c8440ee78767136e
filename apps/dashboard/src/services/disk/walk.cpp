#include "services/disk/walk.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/file_descriptor.hpp"
#include "base/text.hpp"
#include "services/work.hpp"

namespace curfew_dashboard {

namespace {

struct close_directory {
  void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};
using open_directory = std::unique_ptr<DIR, close_directory>;

/// Null with errno set if it cannot be opened, or has become a symbolic link.
open_directory open_at(const std::string& path) {
  file_descriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return nullptr;
  open_directory opened(::fdopendir(fd.get()));
  if (opened) static_cast<void>(fd.release());
  return opened;
}

class walker {
 public:
  walker(const curfew::context& ctx, const directory_visitor& entering) : ctx_(ctx), entering_(entering) {}

  std::expected<found_tree, failure> walk(const std::string& root) {
    struct stat about{};
    // The root itself may be a symbolic link: it was named on purpose.
    if (::stat(root.c_str(), &about) != 0 || !S_ISDIR(about.st_mode))
      return std::unexpected(cannot_open(root));
    file_system_ = about.st_dev;
    waiting_.push_back(root);
    bool first = true;
    while (!waiting_.empty()) {
      const std::string path = std::move(waiting_.back());
      waiting_.pop_back();
      open_directory directory = first ? open_directory(::opendir(path.c_str())) : open_at(path);
      if (!directory && first) return std::unexpected(cannot_open(root));
      first = false;
      if (!directory) {
        ++tree_.totals.unreadable;
        continue;
      }
      ++tree_.totals.directories;
      entering_(tree_.totals, path);
      if (!read(directory.get(), path)) return std::unexpected(ended_failure(ctx_));
    }
    return std::move(tree_);
  }

 private:
  static failure cannot_open(const std::string& root) {
    const int why = errno == 0 ? ENOTDIR : errno;
    return {"unavailable", to_utf8(root).text + ": " + std::generic_category().message(why)};
  }

  /// \return false if the context has ended.
  bool read(DIR* directory, const std::string& path) {
    while (const dirent* name = ::readdir(directory)) {
      if (ctx_.err()) return false;
      const std::string_view plain = name->d_name;
      if (plain != "." && plain != "..") enter(::dirfd(directory), path, name->d_name);
    }
    return true;
  }

  void enter(int directory, const std::string& above, const char* name) {
    struct stat about{};
    if (::fstatat(directory, name, &about, AT_SYMLINK_NOFOLLOW) != 0) {
      ++tree_.totals.unreadable;
      return;
    }
    std::string path = above.ends_with('/') ? above + name : above + '/' + name;
    if (S_ISDIR(about.st_mode)) {
      // Only directories are asked for their file system: overlays give their files other device numbers.
      if (about.st_dev == file_system_) waiting_.push_back(std::move(path));
    } else if (S_ISREG(about.st_mode)) {
      if (about.st_nlink > 1 && !linked_.emplace(about.st_dev, about.st_ino).second) {
        ++tree_.totals.hard_links;
        return;
      }
      const auto size = static_cast<std::uint64_t>(about.st_size);
      ++tree_.totals.files;
      tree_.totals.bytes += size;
      tree_.files.push_back({std::move(path), size});
    }
  }

  const curfew::context& ctx_;
  const directory_visitor& entering_;
  dev_t file_system_ = 0;
  std::vector<std::string> waiting_;  // directories, the deepest last
  std::set<std::pair<dev_t, ino_t>> linked_;
  found_tree tree_;
};

}  // namespace

std::expected<found_tree, failure> walk_tree(const curfew::context& ctx, const std::string& root,
                                             const directory_visitor& entering) {
  errno = 0;
  return walker(ctx, entering).walk(root);
}

}  // namespace curfew_dashboard
