#pragma once

#include <curfew/inspect/tasks.hpp>
#include <optional>
#include <string>

#include "inspect/record.hpp"

namespace curfew::inspect {

/// None: it is over.
[[nodiscard]] std::optional<task_info> look_at(task_ref which);

/// "http request "GET /x" (id …) was told to stop 250 ms ago (client gone) and works on; main.cpp:12"
[[nodiscard]] std::string one_line(const task_info& zombie);

}  // namespace curfew::inspect
