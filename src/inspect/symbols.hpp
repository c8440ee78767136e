#pragma once

#include <cstdint>
#include <curfew/inspect/stack.hpp>
#include <vector>

namespace curfew::inspect {

/// Appends what stands at that address: the functions inlined there, innermost first, and the one that holds them.
/// One call at a time.
void describe_address(std::uintptr_t address, std::vector<stack_frame>& to);

}  // namespace curfew::inspect
