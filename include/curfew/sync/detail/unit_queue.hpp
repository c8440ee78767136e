#pragma once

#include <cstddef>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/assert.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/detail/threads.hpp>
#include <curfew/core/error.hpp>
#include <curfew/sync/detail/spin_lock.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <limits>
#include <mutex>

namespace curfew::detail {

class units_wait;

/// A wait for units.
struct units_entry final : wait_entry {
  std::size_t units = 0;  // as asked for; set before it is in the list
};

/// The error of a wait that the end of ctx ended.
[[nodiscard]] result<> ended_wait(const context& ctx, const char* doing);

/// A number of units and the queue of those that wait for some: what a semaphore, a mutex, a shared_mutex and a once
/// are made of. See unit_queue.cpp for its invariants.
class unit_queue {
 public:
  [[nodiscard]] static constexpr std::size_t max() noexcept {
    return std::numeric_limits<std::size_t>::max() >> 1;
  }

  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

  /// \param capacity   At most max().
  /// \param available  How many are not acquired; at most `capacity`.
  /// \param whole      Whoever takes so many has it alone, and is shown by inspection as its holder.
  constexpr unit_queue(std::size_t capacity, std::size_t available, std::size_t whole = none) noexcept
      : word_(available << 1),
        capacity_(capacity),
        whole_(whole) {
    CURFEW_ASSERT(capacity <= max(), "semaphore: more units than max()");
    CURFEW_ASSERT(available <= capacity, "semaphore: more units are available than there are");
  }
  unit_queue(const unit_queue&) = delete;
  unit_queue& operator=(const unit_queue&) = delete;
  ~unit_queue();

  /// Takes units if they are there and nothing waits.
  [[nodiscard]] bool try_take(std::size_t units) noexcept {
    // acquire: pairs with the releases of put_back(), put_back_slowly() and settle()
    for (std::size_t seen = word_.load(std::memory_order_relaxed);
         (seen & waiting) == 0 && (seen >> 1) >= units;) {
      if (word_.compare_exchange_weak(seen, seen - (units << 1), std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
        are_taken(units);
        return true;
      }
    }
    return false;
  }

  /// They were taken for what this thread works for.
  void are_taken(std::size_t units) noexcept {
    if (units == whole_) now_holds(this);
  }

  /// \return false: ctx has ended, before or while it waited, and nothing is taken.
  [[nodiscard]] bool take(const context& ctx, std::size_t units, const char* doing) noexcept {
    if (ctx.err()) return false;
    if (!try_take(units)) return wait_and_take(ctx, units, doing);
    if (!ctx.err()) [[likely]]
      return true;
    put_back(units);  // they may have been released after the end
    return false;
  }
  /// However long it takes.
  void take(std::size_t units, const char* doing) noexcept {
    if (!try_take(units)) wait_and_take(units, doing);
  }

  /// More than was taken terminates.
  void put_back(std::size_t units) noexcept {
    if (whole_ != none) holds_no_more(this);
    // release: pairs with the acquires of try_take() and enlist()
    for (std::size_t seen = word_.load(std::memory_order_relaxed);
         (seen & waiting) == 0 && units <= capacity_ - (seen >> 1);) {
      if (word_.compare_exchange_weak(seen, seen + (units << 1), std::memory_order_release,
                                      std::memory_order_relaxed)) {
        return;
      }
    }
    put_back_slowly(units);
  }

  [[nodiscard]] std::size_t available() const noexcept { return word_.load(std::memory_order_relaxed) >> 1; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  /// What its holder is known by; null: it is nothing that one holds alone.
  [[nodiscard]] const void* as_lock() const noexcept { return whole_ == none ? nullptr : this; }

 private:
  friend class units_wait;

  static constexpr std::size_t waiting = 1;

  [[nodiscard]] bool wait_and_take(const context& ctx, std::size_t units, const char* doing) noexcept;
  void wait_and_take(std::size_t units, const char* doing) noexcept;
  void put_back_slowly(std::size_t units) noexcept;
  void enlist(units_entry& e) noexcept;
  void leave(units_entry& e) noexcept;
  void settle(std::size_t available, finish_list& after) noexcept;

  threads::atomic<std::size_t> word_;  // available units × 2, + `waiting`; see unit_queue.cpp
  const std::size_t capacity_;
  const std::size_t whole_;
  spin_lock lock_;
  wait_list waiters_;  // guarded by lock_
};

/// Units of a unit_queue, as a waitable. At most its capacity.
class units_wait {
 public:
  units_wait(unit_queue& from, std::size_t units) noexcept : from_(&from) { entry_.units = units; }
  units_wait(units_wait&& other) noexcept : units_wait(*other.from_, other.entry_.units) {}

  [[nodiscard]] bool try_now() noexcept { return from_->try_take(entry_.units); }
  [[nodiscard]] spin_lock* lock() noexcept { return &from_->lock_; }
  /// Guarded by it.
  [[nodiscard]] const wait_list& waiters() const noexcept { return from_->waiters_; }
  [[nodiscard]] bool try_locked(finish_list& /*after*/) noexcept { return try_now(); }
  /// As units may be put back between try_locked and here, it may be the one to finish the waiter: in the thread
  /// that waits, which is not asleep yet.
  void enlist(waiter& w) noexcept {
    entry_.owner = &w;
    from_->enlist(entry_);
  }
  void delist() noexcept { from_->leave(entry_); }
  /// With the lock held too, if by try_locked(): nothing has set the bit `waiting` since.
  void undo() noexcept { from_->put_back(entry_.units); }
  [[nodiscard]] const wait_entry* entry() const noexcept { return &entry_; }
  [[nodiscard]] const context* ctx() const noexcept { return nullptr; }
  [[nodiscard]] const void* as_lock() const noexcept { return from_->as_lock(); }
  void outcome() const noexcept { from_->are_taken(entry_.units); }

 private:
  unit_queue* from_;
  units_entry entry_;
};

/// A lock of a mutex, as a waitable.
/// \tparam Lock  std::unique_lock or std::shared_lock.
template <class Lock>
class locking : public units_wait {
 public:
  locking(typename Lock::mutex_type& m, unit_queue& from, std::size_t units) noexcept
      : units_wait(from, units),
        mutex_(&m) {}

  /// It is unlocked again unless the handler of a select takes it.
  static constexpr bool outcome_is_held = true;
  [[nodiscard]] Lock outcome() const {
    units_wait::outcome();
    return Lock(*mutex_, std::adopt_lock);
  }

 private:
  typename Lock::mutex_type* mutex_;
};

}  // namespace curfew::detail
