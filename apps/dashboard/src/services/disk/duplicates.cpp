#include "services/disk/duplicates.hpp"

#include <algorithm>
#include <map>
#include <span>
#include <utility>

#include "base/text.hpp"
#include "services/work.hpp"

namespace curfew_dashboard {

namespace {

constexpr std::uint64_t first_part = 4096;
constexpr double share_of_first_parts = 0.2;  // of the whole comparison, as far as the progress shows it

using alike = std::vector<found_file>;  // of one size, not known to differ

/// Calls `with` for each run of files of the same size that has more than one.
template <class With>
void each_size(std::vector<found_file>& files, With with) {
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.size > b.size; });
  for (auto begin = files.begin(); begin != files.end() && begin->size > 0;) {
    const auto end = std::find_if(begin, files.end(), [&](const auto& f) { return f.size != begin->size; });
    if (end - begin > 1) with(std::span<found_file>(begin, end));
    begin = end;
  }
}

class comparison {
 public:
  comparison(const curfew::context& ctx, const compare_visitor& compared) : ctx_(ctx), compared_(compared) {}

  std::expected<duplicate_report, failure> run(std::vector<found_file>& files) {
    std::uint64_t candidates = 0;
    each_size(files, [&](std::span<found_file> same) { candidates += same.size(); });
    std::uint64_t seen = 0;
    each_size(files, [&](std::span<found_file> same) {
      std::map<content_hash, alike> by_beginning;
      for (found_file& file : same) {
        if (ctx_.err()) return;
        if (auto hash = hash_file(ctx_, file.path, first_part, [](std::uint64_t) {})) {
          by_beginning[*hash].push_back(std::move(file));
        } else if (!ctx_.err()) {
          ++report_.unreadable;
        }
        ++seen;
        compared_(share_of_first_parts * static_cast<double>(seen) / static_cast<double>(candidates), [&] {
          return "Comparing the beginnings of " + with_commas(candidates) + " files of the same size";
        });
      }
      for (auto& [hash, group] : by_beginning) keep(hash, std::move(group));
    });
    for (const auto& group : to_read_) bytes_to_read_ += group.front().size * group.size();
    for (auto& group : to_read_) {
      if (ctx_.err()) break;
      read_all(group);
    }
    if (ctx_.err()) return std::unexpected(ended_failure(ctx_));
    std::sort(report_.groups.begin(), report_.groups.end(),
              [](const auto& a, const auto& b) { return a.wasted() > b.wasted(); });
    return std::move(report_);
  }

 private:
  /// A group whose beginnings are the same: a small file is known in whole by that.
  void keep(const content_hash& hash, alike group) {
    if (group.size() < 2) return;
    if (group.front().size <= first_part) {
      add(hash, std::move(group));
    } else {
      to_read_.push_back(std::move(group));
    }
  }

  void read_all(alike& group) {
    std::map<content_hash, alike> by_content;
    for (found_file& file : group) {
      const auto hash = hash_file(ctx_, file.path, file.size, [&](std::uint64_t bytes) { read_some(bytes); });
      if (ctx_.err()) return;
      if (hash) {
        by_content[*hash].push_back(std::move(file));
      } else {
        ++report_.unreadable;
      }
    }
    for (auto& [hash, same] : by_content) {
      if (same.size() > 1) add(hash, std::move(same));
    }
  }

  void read_some(std::uint64_t bytes) {
    bytes_read_ += bytes;
    const double part = static_cast<double>(bytes_read_) / static_cast<double>(bytes_to_read_);
    compared_(share_of_first_parts + (1 - share_of_first_parts) * part, [&] {
      return "Comparing contents: " + human_bytes(bytes_read_) + " of " + human_bytes(bytes_to_read_);
    });
  }

  void add(const content_hash& hash, alike same) {
    duplicate_group group;
    group.size = same.front().size;
    group.hash = hash;
    group.paths.reserve(same.size());
    for (found_file& file : same) group.paths.push_back(std::move(file.path));
    std::sort(group.paths.begin(), group.paths.end());
    report_.groups.push_back(std::move(group));
  }

  const curfew::context& ctx_;
  const compare_visitor& compared_;
  std::vector<alike> to_read_;
  std::uint64_t bytes_to_read_ = 0;
  std::uint64_t bytes_read_ = 0;
  duplicate_report report_;
};

}  // namespace

std::expected<duplicate_report, failure> find_duplicates(const curfew::context& ctx,
                                                         std::vector<found_file> files,
                                                         const compare_visitor& compared) {
  return comparison(ctx, compared).run(files);
}

}  // namespace curfew_dashboard
