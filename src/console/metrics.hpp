#pragma once

#include <curfew/inspect/tasks.hpp>
#include <string>

namespace curfew::inspect {

/// The totals in Prometheus' text format, version 0.0.4.
[[nodiscard]] std::string metrics(const totals& all);

}  // namespace curfew::inspect
