#pragma once

#include <concepts>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/threads.hpp>
#include <curfew/core/error.hpp>
#include <curfew/sync/detail/spin_lock.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <curfew/sync/mutex.hpp>
#include <mutex>

namespace curfew {

namespace detail {
class notified;
}  // namespace detail

/// Waits, with a mutex given back meanwhile, to be notified that what it guards has changed:
///
///     auto lock = mutex_.acquire(ctx);
///     if (!lock) return lock.error();
///     auto some = changed_.wait(ctx, *lock, [&] { return !queue_.empty(); });
///     if (!some) return some.error();
///
/// Change what is waited for with the mutex held; notify with it or after it. A wait returns when it was
/// notified or its context has ended, and for no other reason; but between the notification and the return
/// others may have the mutex, so use the predicate unless it does not matter.
///
/// The lock is held again whenever `wait` returns, by an error or an exception too. It waits for that however
/// long others hold the mutex; the end of the context ends the waiting for the notification alone.
///
/// A notification is not lost: it goes to the first wait whose context has not ended before. That wait returns
/// no error, even if its context ends before the lock is held again.
///
/// Lifetime:       it outlives all calls of `wait`, but for those that have been notified.
/// Thread safety:  any thread. All waits at the same time use the same mutex.
/// Memory order:   what was done before a notification happens before the return of the wait that it ended.
/// Cost:           a notification without a wait: one atomic load. No allocation.
/// Source:         std::condition_variable_any with a std::stop_token.
class condition {
 public:
  constexpr condition() noexcept = default;
  condition(const condition&) = delete;
  condition& operator=(const condition&) = delete;
  ~condition() = default;

  /// Waits for a notification.
  /// \param lock  Holds its mutex, else this terminates.
  /// Errors:      the end of ctx, with its cause; of one that has ended already at once, without giving the
  ///              lock back.
  [[nodiscard]] result<> wait(const context& ctx, std::unique_lock<mutex>& lock);

  /// Waits until `ready()`, which is called with the lock held: first of all, and after each notification. It
  /// is asked once more when ctx has ended: it is true on return without an error, and not true on return
  /// with one.
  /// Errors:      the end of ctx, with its cause.
  /// Throws:      what `ready` throws.
  template <std::predicate Predicate>
  [[nodiscard]] result<> wait(const context& ctx, std::unique_lock<mutex>& lock, Predicate ready) {
    while (!ready()) {
      result<> notified = wait(ctx, lock);
      if (notified) continue;
      if (ready()) break;
      return notified;
    }
    return {};
  }

  /// Ends the oldest wait, if there is one.
  void notify_one() noexcept;
  /// Ends all waits that there are now.
  void notify_all() noexcept;

 private:
  friend class detail::notified;

  /// With lock_ held, after a change of waiters_.
  void note() noexcept { waited_for_.store(!waiters_.empty(), std::memory_order_relaxed); }

  detail::threads::atomic<bool> waited_for_{false};  // waiters_ is not empty; see condition.cpp
  detail::spin_lock lock_;
  detail::wait_list waiters_;  // guarded by lock_
};

namespace detail {

/// A notification, as something to wait for: never there already.
class notified {
 public:
  explicit notified(condition& by) noexcept : condition_(&by) {}
  notified(notified&& other) noexcept : condition_(other.condition_) {}

  [[nodiscard]] bool try_now() const noexcept { return false; }
  [[nodiscard]] spin_lock* lock() noexcept { return &condition_->lock_; }
  /// Guarded by it.
  [[nodiscard]] const wait_list& waiters() const noexcept { return condition_->waiters_; }
  [[nodiscard]] bool try_locked(finish_list& /*after*/) const noexcept { return false; }
  /// With the mutex held as well, which is given back only then.
  void enlist(waiter& w) noexcept {
    entry_.owner = &w;
    condition_->waiters_.push_back(entry_);
    condition_->note();
  }
  void delist() noexcept {
    const std::lock_guard guard(*lock());
    condition_->waiters_.remove(entry_);
    condition_->note();
  }
  [[nodiscard]] const wait_entry* entry() const noexcept { return &entry_; }
  [[nodiscard]] const context* ctx() const noexcept { return nullptr; }
  void outcome() const noexcept {}

 private:
  struct plain_entry final : wait_entry {};

  condition* condition_;
  plain_entry entry_;
};

}  // namespace detail

}  // namespace curfew
