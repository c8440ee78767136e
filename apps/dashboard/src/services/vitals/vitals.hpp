#pragma once

#include <sys/types.h>

#include <chrono>
#include <curfew/core/context.hpp>
#include <functional>
#include <optional>
#include <string>

#include "services/work.hpp"

namespace curfew_dashboard {

/// Where the vital signs are read from.
struct vitals_source {
  std::string proc = "/proc";
  /// Over which the CPU use of processes is measured.
  std::chrono::milliseconds window{50};
  /// The CPU time that a process has used so far; none if it is gone.
  std::function<std::optional<std::chrono::nanoseconds>(pid_t)> cpu_time;
  std::function<std::string(uid_t)> user_name;

  /// Those of this machine.
  vitals_source();
};

/// Load, memory and the processes that use most CPU, measured over the window.
[[nodiscard]] std::expected<json::value, failure> vitals_report(const curfew::context& ctx,
                                                                const vitals_source& from);

[[nodiscard]] work_planner plan_vitals(vitals_source from);

}  // namespace curfew_dashboard
