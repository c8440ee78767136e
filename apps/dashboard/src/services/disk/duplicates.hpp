#pragma once

#include <cstdint>
#include <curfew/core/context.hpp>
#include <expected>
#include <functional>
#include <string>
#include <vector>

#include "services/disk/content_hash.hpp"
#include "services/disk/walk.hpp"

namespace curfew_dashboard {

/// Files with the same content.
struct duplicate_group {
  std::uint64_t size = 0;  ///< Of each.
  content_hash hash{};     ///< Of the whole content.
  std::vector<std::string> paths;

  [[nodiscard]] std::uint64_t wasted() const noexcept { return size * (paths.size() - 1); }
};

struct duplicate_report {
  std::vector<duplicate_group> groups;  ///< Those that waste most first.
  std::uint64_t unreadable = 0;
};

/// \param fraction  0 to 1.
/// \param text      "Comparing: 1.2 GiB of 3.4 GiB"
using compare_visitor = std::function<void(double fraction, const std::function<std::string()>& text)>;

/// Files of the same size have their first 4 KiB compared, and those still alike all of their content. Empty
/// files are not duplicates. Looks at ctx at each file and each chunk.
/// Errors: the end of ctx.
[[nodiscard]] std::expected<duplicate_report, failure> find_duplicates(const curfew::context& ctx,
                                                                       std::vector<found_file> files,
                                                                       const compare_visitor& compared);

}  // namespace curfew_dashboard
