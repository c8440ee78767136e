#pragma once

namespace curfew_dashboard {

/// Makes the calling thread, and those that it starts, ones that run at once when they wake up, for a short
/// time: event loops are what notices that nobody waits for some work any more, and that work should not hold
/// them up. Needs no privilege. Kernels before 6.12 know nothing of it; nothing changes there.
void become_prompt_thread() noexcept;

/// Makes the calling thread one that gives way: for heavy work. Stays so for the rest of its life.
void become_background_thread() noexcept;

}  // namespace curfew_dashboard
