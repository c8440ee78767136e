#pragma once

#include <array>
#include <cstdint>
#include <curfew/inspect/stack.hpp>
#include <curfew/inspect/tasks.hpp>
#include <string>

#include "console/json.hpp"

namespace curfew::inspect {

// One value of JSON each, as docs/guide/inspect.md describes them.
void write(json_writer& to, const task_info& task);
void write(json_writer& to, const ended_task& task);
void write(json_writer& to, const place_info& place);
void write(json_writer& to, const thread_stack& stack);
void write(json_writer& to, const totals& all);

/// The fields of a sample: the totals without their histograms, to go on within an object.
void write_brief(json_writer& to, const totals& all);

[[nodiscard]] std::uint64_t sum_of(const histogram& h) noexcept;

inline constexpr std::array<const char*, 3> ending_names{"living", "canceled", "deadline_exceeded"};

}  // namespace curfew::inspect
