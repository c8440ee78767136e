#pragma once

namespace curfew_dashboard {

/// Lets the calling thread, and the threads that it starts, run at once when they wake up, for a short time.
/// For event loops: they notice that nobody waits for some work any more, and that work should not hold them
/// up. Needs no privilege. Has no effect on kernels before 6.12.
void become_prompt_thread() noexcept;

/// Lets all other threads go first: for heavy work. For the rest of the calling thread's life.
void become_background_thread() noexcept;

}  // namespace curfew_dashboard
