#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "inspect/record.hpp"

namespace curfew::inspect {

/// Interrupts a thread, and has it say where it is. One call at a time.
/// \return the addresses of the instructions, innermost first; an error where it does not work for that task any more.
[[nodiscard]] std::expected<std::vector<std::uintptr_t>, std::string> ask_thread(int thread, task_ref at);

}  // namespace curfew::inspect
