#pragma once

#include <chrono>
#include <vector>

#include "inspect/record.hpp"
#include "inspect/thread_block.hpp"

namespace curfew::inspect {

/// The lines that open tasks, and how fast those stop. There is room for some hundreds: a new one takes the place of the
/// one that was counted least, with its count, so that one that comes often stays.
/// Source: Metwally et al., Space-Saving.
namespace place_table {

/// Longer holds of a thread are noted.
inline constexpr std::chrono::milliseconds long_hold{1};

void held(task_ref by, std::chrono::nanoseconds duration) noexcept;
/// A task is over that was told to stop.
void stopped(const past& over, bool was_zombie) noexcept;
[[nodiscard]] std::vector<place_info> all();

}  // namespace place_table

}  // namespace curfew::inspect
