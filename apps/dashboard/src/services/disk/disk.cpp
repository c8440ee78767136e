#include "services/disk/disk.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <chrono>
#include <span>
#include <utility>

#include "base/text.hpp"
#include "base/throttle.hpp"
#include "services/disk/duplicates.hpp"
#include "services/disk/walk.hpp"

namespace curfew_dashboard {

namespace {

constexpr std::size_t largest_shown = 20;
constexpr std::size_t groups_shown = 50;
constexpr std::size_t paths_shown = 20;

json::object named(const std::string& path) {
  json::object made;
  set_text(made, "path", path);
  return made;
}

json::array largest_of(std::vector<found_file>& files) {
  const auto shown = static_cast<std::ptrdiff_t>(std::min(largest_shown, files.size()));
  std::partial_sort(files.begin(), files.begin() + shown, files.end(),
                    [](const auto& a, const auto& b) { return a.size > b.size; });
  json::array rows;
  for (const found_file& file : std::span(files.begin(), files.begin() + shown)) {
    json::object row = named(file.path);
    row["bytes"] = file.size;
    rows.push_back(std::move(row));
  }
  return rows;
}

json::object shown_group(const duplicate_group& group) {
  json::object row;
  row["bytes"] = group.size;
  row["count"] = group.paths.size();
  row["wasted_bytes"] = group.wasted();
  row["hash"] = short_hex(group.hash);
  json::array paths;
  for (const std::string& path : std::span(group.paths).first(std::min(paths_shown, group.paths.size()))) {
    paths.push_back(named(path));
  }
  row["paths"] = std::move(paths);
  return row;
}

json::object totals_to_json(const walk_totals& totals) {
  json::object made;
  made["files"] = totals.files;
  made["directories"] = totals.directories;
  made["bytes"] = totals.bytes;
  made["hard_links"] = totals.hard_links;
  made["unreadable"] = totals.unreadable;
  return made;
}

progress told(const char* phase, const walk_totals& totals, std::optional<double> fraction,
              std::string text) {
  progress p{fraction, std::move(text), {}};
  p.more["phase"] = phase;
  p.more["files"] = totals.files;
  p.more["bytes"] = totals.bytes;
  return p;
}

}  // namespace

std::expected<json::value, failure> disk_report(const curfew::context& ctx, const std::string& root,
                                                const report_progress& tell) {
  const auto began = std::chrono::steady_clock::now();
  throttle pace(progress_interval);
  auto tree = walk_tree(ctx, root, [&](const walk_totals& so_far, const std::string& directory) {
    if (!pace.due()) return;
    tell(told(
        "walk", so_far, std::nullopt,
        with_commas(so_far.files) + " files, " + human_bytes(so_far.bytes) + ", " + to_utf8(directory).text));
  });
  if (!tree) return std::unexpected(std::move(tree).error());

  json::object report = totals_to_json(tree->totals);
  set_text(report, "root", root);
  report["largest"] = largest_of(tree->files);

  auto found = find_duplicates(ctx, std::move(tree->files),
                               [&](double fraction, const std::function<std::string()>& text) {
                                 if (pace.due()) tell(told("compare", tree->totals, fraction, text()));
                               });
  if (!found) return std::unexpected(std::move(found).error());

  std::uint64_t wasted = 0;
  for (const duplicate_group& group : found->groups) wasted += group.wasted();
  json::array groups;
  for (const duplicate_group& group :
       std::span(found->groups).first(std::min(groups_shown, found->groups.size()))) {
    groups.push_back(shown_group(group));
  }
  report["unreadable"] = tree->totals.unreadable + found->unreadable;
  report["duplicate_groups"] = found->groups.size();
  report["wasted_bytes"] = wasted;
  report["duplicates"] = std::move(groups);
  report["elapsed_ms"] =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began).count();
  return report;
}

std::expected<std::string, refusal> disk_root_of(const http::request& request,
                                                 const std::vector<std::string>& roots) {
  std::string root = request.query("root").value_or(roots.front());
  if (std::find(roots.begin(), roots.end(), root) == roots.end()) {
    return std::unexpected(
        refusal{http::status::forbidden,
                "The directory " + root + " is not one that the dashboard was started with (--root)."});
  }
  return root;
}

work_planner plan_disk(std::vector<std::string> roots) {
  return [roots = std::move(roots)](const http::request& request) -> std::expected<heavy_work, refusal> {
    auto root = disk_root_of(request, roots);
    if (!root) return std::unexpected(std::move(root).error());
    return heavy_work([root = *std::move(root)](const curfew::context& ctx, const report_progress& tell) {
      return disk_report(ctx, root, tell);
    });
  };
}

}  // namespace curfew_dashboard
