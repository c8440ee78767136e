#pragma once

// The tasks that were told to stop, from then until they are over. Any thread adds to the lists; one thread, the detector's,
// takes from them and looks at each task once, when the limit has passed: one that is over is recycled, one that is
// not is a zombie. So nothing is looked at that was not told to stop.
//
// Locks. `mutex_` of the zombies and of the longest dying; nothing of a user runs under it, nor is a record touched.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <unordered_set>
#include <utility>
#include <vector>

#include "inspect/record.hpp"
#include "inspect/thread_block.hpp"

namespace curfew::inspect {

/// A list to which any thread adds, and from which one takes all.
class shared_list {
 public:
  void push(task_record& r) noexcept {
    task_record* first = first_.load(std::memory_order_relaxed);
    do {
      r.next = first;
    } while (!first_.compare_exchange_weak(first, &r, std::memory_order_release, std::memory_order_relaxed));
  }
  [[nodiscard]] bool empty() const noexcept { return first_.load(std::memory_order_relaxed) == nullptr; }
  /// The earliest first.
  [[nodiscard]] task_record* take() noexcept {
    task_record* taken = first_.exchange(nullptr, std::memory_order_acquire);
    task_record* turned = nullptr;
    while (taken != nullptr) {
      task_record* r = std::exchange(taken, taken->next);
      r->next = std::exchange(turned, r);
    }
    return turned;
  }

 private:
  detail::threads::atomic<task_record*> first_{nullptr};
};

class told_tasks {
 public:
  // Any thread.

  /// Of a record that has just been told.
  void told(task_record& r) noexcept { told_.push(r); }
  /// Of a record that was a zombie, and has been closed.
  void over(task_record& r) noexcept { over_.push(r); }
  [[nodiscard]] bool has_news() const noexcept { return !told_.empty() || !over_.empty(); }
  [[nodiscard]] std::vector<task_ref> zombies();
  [[nodiscard]] std::size_t zombie_count() const noexcept { return living_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t zombies_ever() const noexcept { return ever_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::vector<past> longest_dying();

  // The detector's thread.

  /// Looks at those that were told before `now` by `limit` or more, and recycles what is over.
  void look(ticks now, ticks limit, const std::function<void(task_ref)>& on_zombie);
  /// Is there one whose limit has not passed?
  [[nodiscard]] bool awaits() const noexcept { return !pending_.empty(); }

 private:
  struct by_record {
    std::size_t operator()(const task_ref& t) const noexcept { return std::hash<const void*>()(t.record); }
  };

  task_ref judge(task_record& r);
  void bury(task_record& r, bool was_zombie) noexcept;
  void keep(past&& p) noexcept;

  shared_list told_;
  shared_list over_;
  std::atomic<std::size_t> living_{0};
  std::atomic<std::uint64_t> ever_{0};
  std::deque<task_record*> pending_;  // in the order in which they were told; the detector's thread

  std::mutex mutex_;
  std::unordered_set<task_ref, by_record> zombies_;  // guarded by mutex_
  std::vector<past> dying_;                          // guarded by mutex_; longest first
};

}  // namespace curfew::inspect
