#pragma once

#include <curfew/core/context.hpp>
#include <memory>
#include <string>

#include "services/packages/package_library.hpp"
#include "services/work.hpp"

namespace curfew_dashboard {

/// The report on the installed packages: what matches `query`, the sizes of sections, what each package needs
/// in all, and what nothing would need without it.
/// Errors: the end of ctx; what the database says.
[[nodiscard]] std::expected<json::value, failure> package_report(const curfew::context& ctx,
                                                                 package_database& from,
                                                                 const std::string& query,
                                                                 const report_progress& tell);

/// `GET /report?q=…`
[[nodiscard]] work_planner plan_packages(std::shared_ptr<package_library> library);

}  // namespace curfew_dashboard
