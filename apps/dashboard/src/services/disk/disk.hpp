#pragma once

#include <curfew/core/context.hpp>
#include <string>
#include <vector>

#include "services/work.hpp"

namespace curfew_dashboard {

/// The report on a directory tree: the largest files, and those that are there more than once.
[[nodiscard]] std::expected<json::value, failure> disk_report(const curfew::context& ctx,
                                                              const std::string& root,
                                                              const report_progress& tell);

/// The directory that `?root=…` names, which has to be one of `roots`; without it the first of these.
[[nodiscard]] std::expected<std::string, refusal> disk_root_of(const http::request& request,
                                                               const std::vector<std::string>& roots);

/// `GET /report?root=…`; without `root` the first of `roots`, and no other than these.
[[nodiscard]] work_planner plan_disk(std::vector<std::string> roots);

}  // namespace curfew_dashboard
