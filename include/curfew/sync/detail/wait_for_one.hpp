#pragma once

#include <curfew/core/context.hpp>
#include <curfew/sync/detail/waitable.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <mutex>

namespace curfew::detail {

/// Waits for one waitable that has a lock, or for the end of ctx. If it has `spin_pauses()` it is looked at a few
/// times before its list is entered, which costs the other side more than the look does.
/// \param doing  A literal, which inspection shows with the thread's task.
/// \return false: ctx has ended, and nothing has happened.
template <waitable W>
bool wait_for_one(const context& ctx, W& what, const char* doing) noexcept {
  const auto has_ended = [&] { return static_cast<bool>(ctx.err()); };
  if (what.try_now()) return is_in_time(what, has_ended);
  if constexpr (requires { what.spin_pauses(); }) {
    if (const unsigned pauses = what.spin_pauses(); pauses != 0) {
      for (unsigned tries = 0; tries != 8; ++tries) {
        threads::relax(tries, pauses);
        if (what.try_now()) return is_in_time(what, has_ended);
      }
    }
  }
  thread_waiter w(ctx, doing, lock_of(what));
  {
    finish_list after;
    const std::lock_guard guard(*what.lock());
    if (what.try_locked(after)) return is_in_time(what, has_ended);
    what.enlist(w);
  }
  if (w.wait() != nullptr) return true;
  what.delist();
  return false;
}

}  // namespace curfew::detail
