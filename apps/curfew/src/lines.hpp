#pragma once

#include <span>
#include <string>
#include <vector>

#include "forest.hpp"
#include "task.hpp"

namespace curfew_program {

/// The lines of `curfew ls`, with a head. With more than one process there is a column for it.
[[nodiscard]] std::vector<std::string> ls_lines(std::span<const row> rows,
                                                std::span<const std::string> processes);

/// What there is to say of one task, and those around it.
/// \param around  As `family` gives them.
[[nodiscard]] std::vector<std::string> show_lines(const placed_task& of, std::span<const row> around,
                                                  std::span<const std::string> processes);
/// The same of one that is over.
[[nodiscard]] std::vector<std::string> ended_lines(const ended_task& of);
[[nodiscard]] std::vector<std::string> stack_lines(std::span<const stack> stacks);

/// What matters most of a task, in one line: why it was told, what it waits for, where it was opened.
[[nodiscard]] std::string story_of(const placed_task& of);
/// "1.2 s", of a task that was told "-0.3 s"; empty without a deadline.
[[nodiscard]] std::string left_of(const placed_task& of);
/// CPU since it was told; empty where it was not.
[[nodiscard]] std::string for_nobody_of(const placed_task& of);

}  // namespace curfew_program
