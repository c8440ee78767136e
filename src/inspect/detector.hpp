#pragma once

// Finds the zombies: a thread of its own looks at the tasks that were told to stop (told_tasks.hpp), and tells of those that
// have not.

#include <cstddef>
#include <curfew/inspect/inspection.hpp>
#include <vector>

#include "inspect/record.hpp"
#include "inspect/thread_block.hpp"

namespace curfew::inspect::detector {

/// Of a record that has just been told.
void told(task_record& r) noexcept;
/// Of a record that was a zombie, and has been closed.
void over(task_record& r) noexcept;

/// Starts its thread. Throws: std::system_error, std::bad_alloc.
void start(const inspection_options& how);
/// Ends its thread, and waits for that. Records stay in the lists until the next start.
void stop() noexcept;

[[nodiscard]] std::vector<task_ref> zombies();
[[nodiscard]] std::size_t zombie_count() noexcept;
[[nodiscard]] std::uint64_t zombies_ever() noexcept;
[[nodiscard]] std::vector<past> longest_dying();

}  // namespace curfew::inspect::detector
