#pragma once

#include <cstddef>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/assert.hpp>
#include <curfew/core/detail/threads.hpp>
#include <curfew/core/error.hpp>
#include <curfew/sync/detail/spin_lock.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <limits>

namespace curfew {

class once;

namespace detail {

class acquiring;

/// A party that waits for units of a semaphore.
struct semaphore_entry final : wait_entry {
  std::size_t units = 0;  // as asked for; set before it is in the list
};

/// The error of a wait that the end of ctx ended.
[[nodiscard]] result<> ended_wait(const context& ctx, const char* doing);

}  // namespace detail

/// A number of units that are acquired and released, such as connections or megabytes:
///
///     curfew::semaphore memory(512);
///     if (auto got = memory.acquire(ctx, 64); !got) return got.error();   // ctx has ended
///     …
///     memory.release(64);
///
/// First come, first served: whoever waits is overtaken by nobody, neither by who asks for less, though there
/// may be units enough for him, nor by `try_acquire`. So a big request gets its turn.
///
/// What is canceled did not happen: an `acquire` that returns an error holds nothing, and those who waited
/// behind it and now fit go on. One that is granted while its context ends either holds its units and returns
/// no error, or the other way round. A context that has ended already acquires nothing.
///
/// Lifetime:       who has acquired the last unit may destroy it, though others are still inside `release`;
///                 nobody may wait then.
/// Thread safety:  any thread; units may be released in another thread than they were acquired in.
/// Memory order:   what was done before a `release` happens before what is done after each acquire that
///                 follows it, so after the one that it allowed.
/// Cost:           one compare-exchange each while nobody waits. No allocation.
/// Source:         golang.org/x/sync/semaphore. It waits where more is asked for than there is; here it is an
///                 error.
class semaphore {
 public:
  /// How many units one can have at most.
  [[nodiscard]] static constexpr std::size_t max() noexcept {
    return std::numeric_limits<std::size_t>::max() >> 1;
  }

  /// \param units  How many there are in all, none of them acquired. More than max() terminates.
  constexpr explicit semaphore(std::size_t units) noexcept : semaphore(units, units) {
    CURFEW_ASSERT(units <= max(), "semaphore: more units than max()");
  }
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;
  ~semaphore();

  /// Waits until it is its turn and there are as many units, and takes them.
  /// \param units  0 waits for its turn only.
  /// Errors:       the end of ctx, with its cause; std::errc::invalid_argument at once where more is asked
  ///               for than there is in all. Nothing is held then.
  [[nodiscard]] result<> acquire(const context& ctx, std::size_t units = 1);

  /// Takes them if they are there and nobody waits. Does not wait.
  [[nodiscard]] bool try_acquire(std::size_t units = 1) noexcept {
    // acquire: pairs with the releases of release(), release_slowly() and settle()
    for (std::size_t seen = word_.load(std::memory_order_relaxed);
         (seen & waiting) == 0 && (seen >> 1) >= units;) {
      if (word_.compare_exchange_weak(seen, seen - (units << 1), std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }

  /// Gives units back; who waited for them goes on. To release more than was acquired terminates.
  void release(std::size_t units = 1) noexcept {
    // release: pairs with the acquires of try_acquire() and enlist()
    for (std::size_t seen = word_.load(std::memory_order_relaxed);
         (seen & waiting) == 0 && units <= capacity_ - (seen >> 1);) {
      if (word_.compare_exchange_weak(seen, seen + (units << 1), std::memory_order_release,
                                      std::memory_order_relaxed)) {
        return;
      }
    }
    release_slowly(units);
  }

  /// A case for `select`: it gets its turn and its units. The handler gets nothing; it holds them.
  /// Throws: std::invalid_argument where more is asked for than there is in all.
  [[nodiscard]] detail::acquiring acquiring(std::size_t units = 1);

  /// How many units are not acquired, at this moment. They may be promised to one who waits for more.
  [[nodiscard]] std::size_t available() const noexcept { return word_.load(std::memory_order_relaxed) >> 1; }
  /// How many there are in all.
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

 private:
  friend class detail::acquiring;
  friend class once;

  /// Some of which are acquired already.
  constexpr semaphore(std::size_t units, std::size_t available) noexcept
      : word_(available << 1),
        capacity_(units) {}

  static constexpr std::size_t waiting = 1;

  void release_slowly(std::size_t units) noexcept;
  void enlist(detail::semaphore_entry& e) noexcept;
  void leave(detail::semaphore_entry& e) noexcept;
  void settle(std::size_t available, detail::finish_list& after) noexcept;

  detail::threads::atomic<std::size_t> word_;  // available units × 2, + `waiting`; see semaphore.cpp
  const std::size_t capacity_;
  detail::spin_lock lock_;
  detail::wait_list waiters_;  // guarded by lock_
};

namespace detail {

/// The units of a semaphore as a case of a select, or as a wait of its own. At most its capacity.
class acquiring {
 public:
  acquiring(semaphore& from, std::size_t units) noexcept : semaphore_(&from) { entry_.units = units; }
  acquiring(acquiring&& other) noexcept : acquiring(*other.semaphore_, other.entry_.units) {}

  [[nodiscard]] bool try_now() noexcept { return semaphore_->try_acquire(entry_.units); }
  [[nodiscard]] spin_lock* lock() noexcept { return &semaphore_->lock_; }
  /// Guarded by it.
  [[nodiscard]] const wait_list& waiters() const noexcept { return semaphore_->waiters_; }
  [[nodiscard]] bool try_locked(finish_list& /*after*/) noexcept { return try_now(); }
  /// As units may be released between try_locked and here, it may be the one to finish the waiter: by the
  /// waiter's own thread, which has not called call_me() yet.
  void enlist(waiter& w) noexcept {
    entry_.owner = &w;
    semaphore_->enlist(entry_);
  }
  void delist() noexcept { semaphore_->leave(entry_); }
  [[nodiscard]] const wait_entry* entry() const noexcept { return &entry_; }
  [[nodiscard]] const context* ctx() const noexcept { return nullptr; }
  void outcome() const noexcept {}

 private:
  semaphore* semaphore_;
  semaphore_entry entry_;
};

/// As acquire_units, of a context that had not ended.
[[nodiscard]] bool wait_for_units(semaphore& from, const context& ctx, std::size_t units) noexcept;
/// However long it takes.
void wait_for_ever(semaphore& from, std::size_t units) noexcept;

/// \return false: ctx has ended, before or while it waited, and nothing is held.
[[nodiscard]] inline bool acquire_units(semaphore& from, const context& ctx, std::size_t units) noexcept {
  if (ctx.err()) return false;
  return from.try_acquire(units) || wait_for_units(from, ctx, units);
}

/// The error of who asks for more than there is in all.
[[nodiscard]] result<> too_many_units(const semaphore& of, std::size_t units);

}  // namespace detail

inline result<> semaphore::acquire(const context& ctx, std::size_t units) {
  if (units > capacity_) [[unlikely]]
    return detail::too_many_units(*this, units);
  if (!detail::acquire_units(*this, ctx, units)) [[unlikely]]
    return detail::ended_wait(ctx, "acquire");
  return {};
}

}  // namespace curfew
