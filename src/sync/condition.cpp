#include <curfew/core/detail/assert.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/sync/condition.hpp>
#include <mutex>
#include <tuple>
#include <utility>

// Invariants
//  1. A wait is in the list before the mutex is given back. So a thread that changes what it waits for, with the
//     mutex held, and notifies after that finds it there.
//  2. While no thread holds lock_, waited_for_ tells whether the list has entries. A thread that has held the mutex
//     since a wait gave it back cannot miss that wait in it, however weak the load: the mutex orders the two.
//  3. A notification claims the waiter that it ends. One that was claimed before, or whose context has ended, is
//     passed over, and the next is taken.
//
// Locks. lock_ within the mutex, never the other way round: it is given back before the mutex is. Waiters are
// finished after lock_ is given back.

namespace curfew {

result<> condition::wait(const context& ctx, std::unique_lock<mutex>& lock) {
  CURFEW_ASSERT(lock.owns_lock(), "condition: wait() without the lock held");
  if (ctx.err()) return detail::ended_wait(ctx, "wait");

  detail::notified notification(*this);
  detail::thread_waiter w(ctx, "condition");
  {
    const std::lock_guard guard(lock_);
    notification.enlist(w);
  }
  mutex& m = *lock.release();
  m.unlock();
  const bool ended = w.wait() == nullptr;
  if (ended) notification.delist();
  std::ignore = m.lock(detail::root_of(ctx));  // which does not end: it is for the clock
  lock = std::unique_lock(m, std::adopt_lock);
  if (ended) return detail::ended_wait(ctx, "wait");
  return {};
}

void condition::notify_one() noexcept {
  if (!waited_for_.load(std::memory_order_relaxed)) return;  // invariant 2
  detail::finish_list after;
  const std::lock_guard guard(lock_);
  if (detail::wait_entry* first = waiters_.pop_granted(); first != nullptr) after.add(*first);
  note();
}

void condition::notify_all() noexcept {
  if (!waited_for_.load(std::memory_order_relaxed)) return;  // invariant 2
  detail::finish_list after;
  const std::lock_guard guard(lock_);
  while (detail::wait_entry* first = waiters_.pop_granted()) after.add(*first);
  note();
}

}  // namespace curfew
