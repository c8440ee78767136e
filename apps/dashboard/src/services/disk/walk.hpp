#pragma once

#include <cstdint>
#include <curfew/core/context.hpp>
#include <expected>
#include <functional>
#include <string>
#include <vector>

#include "base/panel_lines.hpp"

namespace curfew_dashboard {

/// A regular file; of several hard links to the same one, the first that was met.
struct found_file {
  std::string path;  // bytes, not text
  std::uint64_t size = 0;
};

/// What a walk has met so far.
struct walk_totals {
  std::uint64_t files = 0;
  std::uint64_t directories = 0;
  std::uint64_t bytes = 0;
  std::uint64_t hard_links = 0;  ///< Further names of files that are counted already.
  std::uint64_t unreadable = 0;  ///< Directories and files that could not be looked at.
};

struct found_tree {
  walk_totals totals;
  std::vector<found_file> files;
};

/// Called for each directory when it is entered.
using directory_visitor = std::function<void(const walk_totals& so_far, const std::string& directory)>;

/// All regular files below `root`: follows no symbolic link, stays on one file system, counts hard links
/// once. Looks at ctx at each name. What cannot be read is counted and passed over.
/// Errors: the end of ctx; a root that is no directory or cannot be opened.
[[nodiscard]] std::expected<found_tree, failure> walk_tree(const curfew::context& ctx,
                                                           const std::string& root,
                                                           const directory_visitor& entering);

}  // namespace curfew_dashboard
