#pragma once

#include <chrono>

namespace curfew {

/// The time that deadlines are measured in: monotonic, in nanoseconds. It cannot be set. While the machine
/// is suspended it stands still (CLOCK_MONOTONIC), so a timeout does not count that time. A context made from
/// a `testing::manual_clock` has time points of this type too, which count from that clock's start.
using clock = std::chrono::steady_clock;

}  // namespace curfew
