#pragma once

namespace curfew_dashboard {

/// Makes the calling thread one that gives way: heavy work must not hold up the event loops of this machine,
/// which are what notices that nobody waits for that work any more. Stays so for the rest of the thread's
/// life.
void become_background_thread() noexcept;

}  // namespace curfew_dashboard
