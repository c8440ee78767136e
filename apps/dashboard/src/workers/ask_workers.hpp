#pragma once

#include <curfew/core/context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "services/work.hpp"
#include "workers/disk_workers.hpp"

namespace curfew_dashboard {

/// As plan_disk, but a worker makes the report: the request's context goes with the job, and what the worker tells of its
/// progress comes back. Progress that is lost is lost.
/// Errors of the work: those of disk_report; "unreachable" where Redis is; "unavailable" where the job was given up.
[[nodiscard]] work_planner plan_disk_on_workers(std::vector<std::string> roots,
                                                std::shared_ptr<disk_workers> workers);

}  // namespace curfew_dashboard
