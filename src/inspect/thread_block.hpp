#pragma once

// What each thread that works for tasks keeps: the time it has spent, numbers, and free records.
//
// CPU. A thread reads the processor's counter at each switch, and charges the time since the last one to the task it
// worked for. Where that was long, it may have been preempted, or have slept in a call that reports no wait: then the
// kernel's clock of the thread says what the CPU time really was. So the clock is read once in 100 µs at most.
//
// Blocks are never destroyed: a dump of another thread reads them. One of a thread that has ended serves the next.

#include <array>
#include <atomic>
#include <cstdint>
#include <curfew/core/cause.hpp>
#include <curfew/inspect/tasks.hpp>
#include <utility>

#include "inspect/record.hpp"

namespace curfew::inspect {

/// A number that one thread changes and others read.
template <class T>
class counter {
 public:
  void add(T more) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }
  [[nodiscard]] T get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<T> value_{};
};

/// A histogram that one thread fills and others read.
class duration_counts {
 public:
  void add(std::chrono::nanoseconds duration) noexcept;
  void add_to(histogram& sum) const noexcept;

 private:
  std::array<counter<std::uint64_t>, histogram::limits.size() + 1> count_;
  counter<std::int64_t> sum_;
};

/// What is kept of a task that is over.
struct past {
  static constexpr std::size_t most = 64;
  std::uint64_t id = 0;
  std::uint64_t parent = 0;
  trace_id trace;
  const task_kind* kind = nullptr;
  std::source_location where;
  ticks opened = 0;
  ticks ended = 0;
  ticks told = 0;  // 0: was not told
  std::int64_t cpu = 0;
  std::int64_t cpu_since = 0;
  std::error_code err;
  curfew::cause why;
  std::uint8_t name_size = 0;
  std::array<char, most> name{};

  void set_name(std::string_view text) noexcept;
  [[nodiscard]] ended_task info() const;
};

struct alignas(64) thread_block {
  // Read by others.
  std::atomic<ticks> since{0};              // the last switch
  std::atomic<std::int64_t> clock_then{0};  // the thread's CPU time at that, as well as it is known; ns
  std::atomic<bool> works{false};
  std::atomic<bool> blocks{false};  // waits, and has said so
  std::atomic<int> thread{0};
  counter<std::uint64_t> opened;
  counter<std::uint64_t> closed;
  counter<std::uint64_t> not_recorded;
  counter<std::int64_t> cpu;
  counter<std::int64_t> cpu_for_nobody;
  std::array<duration_counts, 3> age;
  duration_counts told_to_over;
  duration_counts lag;
  std::atomic<bool> tells_span{false};

  // Guarded by the lock.
  static constexpr std::size_t most_last = 64;
  static constexpr std::size_t most_slow = 16;
  std::atomic<std::uint8_t> lock{0};
  std::array<past, most_last> last;
  std::uint64_t pasts = 0;
  std::array<past, most_slow> slow;

  // Of the thread alone.
  bool on_loop = false;  // runs a coroutine, which holds its event loop
  ticks slow_from = 0;   // what takes longer is among the slowest
  ticks clock_read = 0;
  task_record* free = nullptr;
  std::size_t free_count = 0;
  std::uint64_t next_id = 0;
  std::uint64_t ids_left = 0;

  // Of the list of all.
  std::atomic<bool> taken{true};
  thread_block* next = nullptr;

  /// A thread begins to use it, and has done so.
  void enter() noexcept;
  void leave() noexcept;

  [[nodiscard]] task_record* take() noexcept;
  void recycle(task_record* r) noexcept;
  [[nodiscard]] std::uint64_t new_id() noexcept;

  /// Charges the time since the last switch.
  void charge(ticks now) noexcept;
  /// Has `fill` fill in what is kept of a task that is over. What it had held before is destroyed without the lock.
  template <class Fill>
  void keep(ticks from, ticks to, Fill fill) noexcept;

 private:
  void keep_as_slow(const past& over) noexcept;
};

template <class Fill>
void thread_block::keep(ticks from, ticks to, Fill fill) noexcept {
  curfew::cause forgotten;  // may be the last to hold its text
  const brief_lock guard(lock);
  past& p = last[pasts++ % most_last];
  std::swap(forgotten, p.why);
  fill(p);
  if (curfew::inspect::since(from, to) > slow_from) [[unlikely]]
    keep_as_slow(p);
}

/// That of this thread.
[[nodiscard]] thread_block& own_block() noexcept;

/// The first of all, linked by `next`.
[[nodiscard]] thread_block* first_block() noexcept;

/// The CPU that the task has had, with that of the stretch that is under way.
[[nodiscard]] std::int64_t cpu_by_now(const task_record& r) noexcept;

/// Of one that was told, and has had `cpu` in all: what it has had since; never negative.
[[nodiscard]] std::int64_t cpu_since_told(const task_record& r, std::int64_t cpu) noexcept;

}  // namespace curfew::inspect
