#pragma once

#include <cstddef>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/sync/detail/unit_queue.hpp>
#include <expected>
#include <mutex>
#include <shared_mutex>

namespace curfew {

/// A mutex whose waiting obeys a context:
///
///     auto lock = mutex_.acquire(ctx);      // result<std::unique_lock<curfew::mutex>>
///     if (!lock) return lock.error();       // ctx has ended; nothing is locked
///
/// First come, first served: nothing overtakes a wait, the thread that unlocked it included. That makes it fair,
/// and slower than std::mutex where threads contend for it all the time.
///
/// What is canceled did not happen: a lock that returns an error is not held. A context that ended before the
/// unlock locks nothing. Not recursive: to lock it again waits until the context ends.
///
/// Lifetime:       its holder may unlock and destroy it if nothing waits, though the holder before may still be
///                 inside `unlock`.
/// Thread safety:  any thread. It belongs to no thread: another one may unlock it, so it may be held across
///                 the `co_await` of a coroutine.
/// Memory order:   what was done before an `unlock` happens before what is done after each lock that follows
///                 it.
/// Cost:           one compare-exchange each while nothing waits. No allocation.
/// Source:         std::mutex; x/sync/semaphore of Go with one unit, since Go's Mutex cannot be canceled.
class mutex {
 public:
  constexpr mutex() noexcept = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;
  ~mutex() = default;

  /// Waits until it is its turn; then the caller holds it, to `unlock`.
  /// Errors: the end of ctx, with its cause. It is not held then.
  [[nodiscard]] result<> lock(const context& ctx) {
    if (!units_.take(ctx, 1, "lock")) [[unlikely]]
      return detail::ended_wait(ctx, "lock");
    return {};
  }

  /// As `lock`; the result unlocks it.
  [[nodiscard]] result<std::unique_lock<mutex>> acquire(const context& ctx) {
    if (!units_.take(ctx, 1, "lock")) [[unlikely]]
      return std::unexpected(error::ended(ctx, "lock"));
    return std::unique_lock(*this, std::adopt_lock);
  }

  /// Waits however long it takes: for std::lock_guard, and where it is never held for long.
  void lock() noexcept { units_.take(1, "lock"); }

  /// Does not wait.
  [[nodiscard]] bool try_lock() noexcept { return units_.try_take(1); }

  /// To unlock what is not locked terminates.
  void unlock() noexcept { units_.put_back(1); }

  /// A case for `select`: it is locked, and its handler takes the std::unique_lock<mutex>.
  [[nodiscard]] detail::locking<std::unique_lock<mutex>> locking() noexcept { return {*this, units_, 1}; }

 private:
  detail::unit_queue units_{1, 1, 1};
};

/// A mutex that readers share and a writer has alone, whose waiting obeys a context:
///
///     auto reading = table_.acquire_shared(ctx);   // result<std::shared_lock<curfew::shared_mutex>>
///     if (!reading) return reading.error();
///
/// First come, first served: a reader that comes while a writer waits waits behind it, and the readers between
/// two writers read together. So neither side starves. It follows that a reader must not lock it again to
/// read: a writer may have come in between, and then both wait until a context ends.
///
/// What is canceled did not happen: a lock that returns an error is not held, and a writer that gives up lets
/// the readers behind it go on. A context that ended before the unlock locks nothing.
///
/// Lifetime, thread safety, memory order and cost: as of `mutex`.
/// Source: std::shared_mutex; Go's sync.RWMutex, in which a waiting writer keeps new readers away too.
class shared_mutex {
 public:
  constexpr shared_mutex() noexcept = default;
  shared_mutex(const shared_mutex&) = delete;
  shared_mutex& operator=(const shared_mutex&) = delete;
  ~shared_mutex() = default;

  /// Waits until it is its turn; then the caller alone holds it, to `unlock`.
  /// Errors: the end of ctx, with its cause. It is not held then.
  [[nodiscard]] result<> lock(const context& ctx) {
    if (!units_.take(ctx, all, "lock")) [[unlikely]]
      return detail::ended_wait(ctx, "lock");
    return {};
  }

  /// As `lock`; the result unlocks it.
  [[nodiscard]] result<std::unique_lock<shared_mutex>> acquire(const context& ctx) {
    if (!units_.take(ctx, all, "lock")) [[unlikely]]
      return std::unexpected(error::ended(ctx, "lock"));
    return std::unique_lock(*this, std::adopt_lock);
  }

  /// Waits however long it takes.
  void lock() noexcept { units_.take(all, "lock"); }

  /// Does not wait.
  [[nodiscard]] bool try_lock() noexcept { return units_.try_take(all); }

  /// To unlock what is not locked terminates.
  void unlock() noexcept { units_.put_back(all); }

  /// Waits until it is its turn; then the caller holds it with other readers, to `unlock_shared`.
  /// Errors: the end of ctx, with its cause. It is not held then.
  [[nodiscard]] result<> lock_shared(const context& ctx) {
    if (!units_.take(ctx, 1, "lock")) [[unlikely]]
      return detail::ended_wait(ctx, "lock shared");
    return {};
  }

  /// As `lock_shared`; the result unlocks it.
  [[nodiscard]] result<std::shared_lock<shared_mutex>> acquire_shared(const context& ctx) {
    if (!units_.take(ctx, 1, "lock")) [[unlikely]]
      return std::unexpected(error::ended(ctx, "lock shared"));
    return std::shared_lock(*this, std::adopt_lock);
  }

  /// Waits however long it takes.
  void lock_shared() noexcept { units_.take(1, "lock"); }

  /// Does not wait. False also where readers hold it and a writer waits.
  [[nodiscard]] bool try_lock_shared() noexcept { return units_.try_take(1); }

  /// To unlock what is not locked terminates; while a writer holds it, this unlocks it for the writer.
  void unlock_shared() noexcept { units_.put_back(1); }

  /// A case for `select`: it is locked, and its handler takes the std::unique_lock<shared_mutex>.
  [[nodiscard]] detail::locking<std::unique_lock<shared_mutex>> locking() noexcept {
    return {*this, units_, all};
  }
  /// The same for a reader, with a std::shared_lock<shared_mutex>.
  [[nodiscard]] detail::locking<std::shared_lock<shared_mutex>> locking_shared() noexcept {
    return {*this, units_, 1};
  }

 private:
  static constexpr std::size_t all = detail::unit_queue::max();

  detail::unit_queue units_{all, all, all};  // a reader has one, a writer all of them
};

}  // namespace curfew
