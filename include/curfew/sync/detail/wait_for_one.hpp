#pragma once

#include <curfew/core/context.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <mutex>

namespace curfew::detail {

/// Waits for one thing that has a lock (a `Thing` of select_case.hpp), or the end of ctx. If it has `patience()`
/// it is looked at a few times, so many pauses of the processor apart, before its list is entered: that costs
/// the other side more than the look does.
/// \return false: ctx has ended, and nothing has happened.
template <class Thing>
bool wait_for_one(const context& ctx, Thing& thing) noexcept {
  if (thing.try_now()) return true;
  if constexpr (requires { thing.patience(); }) {
    if (const unsigned pauses = thing.patience(); pauses != 0) {
      for (unsigned tries = 0; tries != 8; ++tries) {
        threads::relax(tries, pauses);
        if (thing.try_now()) return true;
      }
    }
  }
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
