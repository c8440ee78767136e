#pragma once

#include <curfew/inspect/tasks.hpp>
#include <optional>

#include "inspect/record.hpp"

namespace curfew::inspect {

/// None: it is over.
[[nodiscard]] std::optional<task_info> look_at(task_ref which);

/// None: it is over, or no task.
[[nodiscard]] std::optional<task_brief> glance_at(task_ref which);

}  // namespace curfew::inspect
