#pragma once

// What a thread that waits outside of core has to tell the clock of its context: a manual clock that jumps by
// itself counts the threads that wait.

#include <curfew/core/context.hpp>

namespace curfew::detail {

/// This thread is going to sleep, and nothing but the context's clock or another thread can wake it;
void tell_blocked(const context& ctx) noexcept;
/// it is going to be woken, which its waker tells before it can run.
void tell_unblocked(const context& ctx) noexcept;

/// A context on the clock of `ctx` that never ends.
[[nodiscard]] context root_of(const context& ctx) noexcept;

}  // namespace curfew::detail
