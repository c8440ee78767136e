#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "task.hpp"

namespace curfew_program {

/// A task with the process that it is of, and how long ago that was looked at.
struct placed_task {
  const curfew_program::task* task = nullptr;
  std::size_t process = 0;
  double since_look_ms = 0;

  [[nodiscard]] double age_ms() const noexcept { return task->age_ms + since_look_ms; }
};

/// A line of the list.
struct row {
  placed_task of;
  std::size_t depth = 0;
  std::string branch;   ///< What is drawn before its name: "│  └─ ".
  bool matches = true;  ///< Not if it is there for a task below it alone.
};

/// By what rows are ordered, most first.
enum class order : std::uint8_t { urgency, age, cpu, for_nobody, left };
[[nodiscard]] std::string_view word_of(order by) noexcept;
[[nodiscard]] order next(order by) noexcept;

struct arrangement {
  order by = order::urgency;
  bool tree = true;
  std::string filter;  ///< Lower case; what has it in its kind, name, place, state or process's name matches.
};

/// Joins the tasks of all processes by their ids, and puts them in order. As trees: a parent comes before its children, and
/// the most urgent task of a tree decides where the tree stands. A task whose parent is not there is a root; of a circle
/// of parents, which only a wrong answer has, one is.
/// \param processes  Their names, for the filter.
[[nodiscard]] std::vector<row> arrange(std::span<const placed_task> tasks, const arrangement& how,
                                       std::span<const std::string> processes);

/// Those that matter for one task: the way down to it, it, and all below it, as trees.
[[nodiscard]] std::vector<row> family(std::span<const placed_task> tasks, std::string_view id);

}  // namespace curfew_program
