#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/compose.hpp>
#include <concepts>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/assert.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/completion.hpp>
#include <curfew/io/detail/async_wait.hpp>
#include <curfew/io/sync.hpp>
#include <curfew/sync/condition.hpp>
#include <curfew/sync/mutex.hpp>
#include <mutex>
#include <utility>

namespace curfew {

namespace detail {

/// The wait for a notification. It begins by unlocking.
class async_notified {
 public:
  async_notified(condition& by, std::unique_lock<mutex>& lock) noexcept
      : condition_(&by),
        wait_(notified(by), "wait"),
        lock_(&lock) {}

  static bool try_now() noexcept { return false; }
  bool enlist(waiter& w) {
    wait_.enlist(w);
    lock_->unlock();
    return true;
  }
  void delist(const wait_entry* by) noexcept { wait_.delist(by); }
  [[nodiscard]] static const char* what() noexcept { return "condition"; }
  auto outcome(const context& ctx, bool happened) { return wait_.outcome(ctx, happened); }
  /// Passes the notification on.
  void undo() noexcept { condition_->notify_one(); }

 private:
  condition* condition_;
  async_thing<notified> wait_;
  std::unique_lock<mutex>* lock_;
};

/// Waits for a notification, then for the mutex. Nothing cuts the second wait short.
class notified_and_locked {
 public:
  notified_and_locked(context ctx, condition& by, std::unique_lock<mutex>& lock) noexcept
      : ctx_(std::move(ctx)),
        condition_(&by),
        lock_(&lock) {}

  template <class Self>
  void operator()(Self& self) {
    self.reset_cancellation_state(boost::asio::enable_total_cancellation());
    async_notified notification(*condition_, *lock_);
    context ctx = ctx_;
    initiate_wait<void(result<>)>(std::move(self), std::move(ctx), std::move(notification));
  }
  template <class Self>
  void operator()(Self& self, result<> notified) {
    if (lock_->owns_lock()) {  // its context had ended before
      self.complete(std::move(notified));
      return;
    }
    if (notified) pass_on_.to = condition_;
    notified_ = std::move(notified);
    mutex& m = *lock_->mutex();
    context root = root_of(ctx_);  // which does not end: it is for the clock
    async_lock(std::move(root), m,
               boost::asio::bind_cancellation_slot(boost::asio::cancellation_slot(), std::move(self)));
  }
  template <class Self>
  void operator()(Self& self, result<std::unique_lock<mutex>> locked) {
    pass_on_.to = nullptr;
    *lock_ = *std::move(locked);
    self.complete(std::move(notified_));
  }

 private:
  context ctx_;
  condition* condition_;
  std::unique_lock<mutex>* lock_;
  result<> notified_;

  /// Passes the notification on if this is destroyed with its io_context before its handler is called.
  struct undelivered {
    condition* to = nullptr;
    undelivered() = default;
    undelivered(undelivered&& other) noexcept : to(std::exchange(other.to, nullptr)) {}
    undelivered& operator=(undelivered&&) = delete;
    ~undelivered() {
      if (to != nullptr) to->notify_one();
    }
  } pass_on_;
};

}  // namespace detail

/// Unlocks a mutex, waits for a notification that what it guards has changed, and locks it again:
///
///     auto lock = co_await curfew::async_lock(ctx, mutex_);
///     if (!lock) co_return lock.error();
///     auto told = co_await curfew::async_wait(ctx, changed_, *lock);
///
/// Completes when:  it was notified, or ctx has ended, and the lock is held again; with result<>.
/// Errors:          the end of ctx, with its cause. If ctx had ended before, the mutex is not unlocked.
/// Cancellation:    by ctx, or Asio's per-operation cancellation (errc::canceled): ends the wait for the
///                  notification. The wait for the mutex goes on for as long as others hold it.
/// Lifetime:        the condition, the mutex and the variable `lock` live until completion. If it is destroyed with
///                  its io_context before, it holds no lock.
/// Thread safety:   any thread that holds the lock may start it; without the lock held this terminates. The handler
///                  runs on its own executor, never inside this call.
template <class Token = default_token>
  requires(!std::predicate<Token&>)
auto async_wait(context ctx, condition& by, std::unique_lock<mutex>& lock, Token&& token = {}) {
  CURFEW_ASSERT(lock.owns_lock(), "condition: async_wait() without the lock held");
  return boost::asio::async_compose<Token, void(result<>)>(
      detail::notified_and_locked(std::move(ctx), by, lock), token);
}

/// Waits until `ready()` is true. It is called with the lock held: first of all, and after each notification.
///
///     auto lock = co_await curfew::async_lock(ctx, mutex_);
///     if (!lock) co_return lock.error();
///     auto some = [&] { return !queue_.empty(); };
///     auto told = co_await curfew::async_wait(ctx, changed_, *lock, some);
///
/// \return no error if `ready()`; else the end of ctx, with its cause. After the end `ready` is called once more.
/// Throws:  what `ready` throws. The lock is held when this returns or throws.
/// Cancellation, lifetime: as above.
template <class Predicate>
  requires std::predicate<Predicate&>
boost::asio::awaitable<result<>> async_wait(context ctx, condition& by, std::unique_lock<mutex>& lock,
                                            Predicate ready) {
  while (!ready()) {
    result<> notified = co_await async_wait(ctx, by, lock);
    if (notified) continue;
    if (ready()) break;
    co_return notified;
  }
  co_return result<>();
}

}  // namespace curfew
