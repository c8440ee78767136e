#pragma once

#include <curfew/core/context.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <mutex>

namespace curfew::detail {

/// Waits for one thing that has a lock (a `Thing` of select_case.hpp), or the end of ctx.
/// \return false: ctx has ended, and nothing has happened.
template <class Thing>
bool wait_for_one(const context& ctx, Thing& thing) noexcept {
  if (thing.try_now()) return true;
  thread_waiter w(ctx);
  {
    finish_list after;
    const std::lock_guard guard(*thing.lock());
    if (thing.try_locked(after)) return true;
    thing.enlist(w);
  }
  if (w.wait() != nullptr) return true;
  thing.delist();
  return false;
}

}  // namespace curfew::detail
