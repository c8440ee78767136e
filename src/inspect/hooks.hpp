#pragma once

#include <curfew/inspect/inspection.hpp>

#include "inspect/record.hpp"
#include "inspect/thread_block.hpp"

namespace curfew::inspect {

/// Makes the hooks those of core, for good; whether they record is another matter.
void install_hooks() noexcept;
void record_from_now_on(bool on) noexcept;
/// What is told of each task that is over. Null: nothing. Waits until no thread is in the one before.
void tell_spans_to(const inspection_options::span_function* tell) noexcept;

/// Of a record that is over and was told, and is still the detector's.
[[nodiscard]] past past_of_told(task_record& r) noexcept;
/// Gives it to the next task.
void release_record(task_record& r) noexcept;

/// Told to stop, and open.
[[nodiscard]] std::uint64_t told_count() noexcept;

}  // namespace curfew::inspect
