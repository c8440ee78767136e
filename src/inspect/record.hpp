#pragma once

// What is kept of a task, and where.
//
//          ┌──────────────────────────── recycle ───────────────────────────┐
//          ▼                                                                │
//        free ──open──► open ──close, was not told──────────────────────────┤
//   (generation even)     │                                                 │
//                         ├─ its context ends ─► told ─┬─ close ──► over ───┤
//                         │                            │       (detector)   │
//                         │       (detector, after the limit)               │
//                         │                            ▼                    │
//                         │                          zombie ─ close ► over ─┘
//                         └ carrier: has no context, is in no list
//
// Invariants
//  1. Records live in slabs that are never unmapped. The generation is odd while the record is open; a task_ref with
//     another one names nothing.
//  2. What is not atomic is written while the generation is even, by the thread that has the record alone, and is
//     constant while it is odd. A reader holds the lock, under which the generation becomes even.
//  3. A record whose task was told is the detector's to recycle: it is in the list of the told, or among the
//     zombies, or, once a zombie has been closed, in the list of the over.
//  4. `told` goes from `not_told` to `told` in the callback of the context, or in close where that comes first, to `zombie`
//     by the detector, and to `over` by close, which finds out by that what it has to do.
//
// Locks. A record's lock is held for a copy, or for the flip of the generation; none is taken under it, and nothing of a
// user runs.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <curfew/core/cause.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/on_done.hpp>
#include <memory>
#include <new>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <system_error>

#include "inspect/ticks.hpp"

namespace curfew::inspect {

struct thread_block;

/// A byte that is locked for a moment.
template <class Byte>
class brief_lock {
 public:
  explicit brief_lock(Byte& byte) noexcept : byte_(byte) {
    for (unsigned tries = 0; byte_.exchange(1, std::memory_order_acquire) != 0; ++tries) {
      detail::threads::relax(tries);
    }
  }
  brief_lock(const brief_lock&) = delete;
  brief_lock& operator=(const brief_lock&) = delete;
  ~brief_lock() { byte_.store(0, std::memory_order_release); }

 private:
  Byte& byte_;
};

/// The name of a task: a short one in place, a longer one on the heap, cut where it is very long.
class task_name {
 public:
  static constexpr std::size_t in_place = 15;
  static constexpr std::size_t most = 200;

  /// Without memory it is cut.
  void assign(std::string_view text) noexcept {
    if (text.size() > most) text = text.substr(0, most);
    size_ = static_cast<std::uint8_t>(text.size());
    if (size_ <= in_place) {
      text.copy(bytes_, size_);  // an empty one may have no address
      return;
    }
    auto* copy = new (std::nothrow) char[size_];
    if (copy == nullptr) {
      size_ = in_place;
      std::memcpy(bytes_, text.data(), size_);
      return;
    }
    std::memcpy(copy, text.data(), size_);
    std::memcpy(bytes_, static_cast<const void*>(&copy), sizeof copy);
  }
  void clear() noexcept {
    if (size_ > in_place) delete[] heap();
    size_ = 0;
  }
  [[nodiscard]] std::string_view view() const noexcept { return {size_ > in_place ? heap() : bytes_, size_}; }

 private:
  [[nodiscard]] char* heap() const noexcept {
    char* copy = nullptr;
    std::memcpy(static_cast<void*>(&copy), bytes_, sizeof copy);
    return copy;
  }

  char bytes_[in_place]{};  // NOLINT(*-c-arrays): with the size it has 16 bytes
  std::uint8_t size_ = 0;
};

/// Of the trace that a task belongs to; zero: none.
struct trace_id {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
};

enum class told_state : std::uint8_t { not_told, told, zombie, over };

/// What a task leaves behind that was told to stop.
struct epitaph {
  detail::threads::plain<ticks> ended;
  curfew::cause why;
  std::error_code err;
  trace_id trace;
};

}  // namespace curfew::inspect

namespace curfew::detail {

struct task_record {
  /// Waits for the end of the task's context.
  class ending : public callback {
   public:
    explicit ending(const context& ctx) noexcept : callback(ctx, &tell) {}
    using callback::delist;
    using callback::enlist;

    /// In place of a callback that was removed before it was called.
    void tell_now() noexcept { tell(this); }

   private:
    static void tell(callback* self) noexcept;
  };

  threads::atomic<std::uint32_t> generation{0};
  threads::atomic<std::uint8_t> lock{0};
  threads::atomic<inspect::told_state> told{inspect::told_state::not_told};
  threads::atomic<bool> carries{false};    // stands for a coroutine that works for many tasks, and is none
  threads::atomic<bool> has_begun{false};  // a thread has worked for it

  threads::atomic<std::uint64_t> id{0};
  threads::plain<std::uint64_t> parent = 0;
  threads::plain<const task_kind*> kind = nullptr;
  std::source_location where;
  threads::plain<inspect::ticks> opened = 0;
  inspect::task_name name;

  threads::atomic<const char*> waits{nullptr};
  threads::atomic<std::uint64_t> waits_on{0};
  threads::atomic<std::int64_t> cpu{0};  // ns, up to the last switch
  threads::atomic<std::int64_t> cpu_when_told{0};
  threads::atomic<inspect::ticks> told_at{0};
  threads::atomic<inspect::thread_block*> thread{nullptr};  // one that works for it

  threads::atomic<task_record*> nested{nullptr};
  threads::atomic<std::uint32_t> nested_generation{0};
  threads::atomic<bool> waits_on_lock{false};  // then that number is the lock's, see held_locks.hpp

  threads::plain<task_record*> next = nullptr;  // in one list: free, told, or over

  // Of a task that is open, its `ending`; of one that is over and was told, its epitaph; else nothing.
  alignas(8) std::byte last[std::max(sizeof(ending), sizeof(inspect::epitaph))]{};  // NOLINT(*-c-arrays)

  [[nodiscard]] ending& its_ending() noexcept { return *std::launder(reinterpret_cast<ending*>(last)); }
  [[nodiscard]] inspect::epitaph& its_epitaph() noexcept {
    return *std::launder(reinterpret_cast<inspect::epitaph*>(last));
  }
  [[nodiscard]] bool is_carrier() const noexcept { return carries.load(std::memory_order_relaxed); }
  [[nodiscard]] bool is(std::uint32_t g) const noexcept {
    return generation.load(std::memory_order_acquire) == g;  // pairs: open
  }
};

static_assert(sizeof(task_record) <= 192 ||
              !threads::has_own_variables);  // under the model checker it is larger

[[nodiscard]] inline bool is_open(std::uint32_t generation) noexcept { return generation % 2 == 1; }
[[nodiscard]] inline bool is_valid(task_ref ref) noexcept { return ref && ref.record->is(ref.generation); }

}  // namespace curfew::detail

namespace curfew::inspect {

using detail::task_record;
using detail::task_ref;

/// All records, in slabs.
namespace records {

inline constexpr std::size_t in_a_slab =
    detail::threads::has_own_variables ? 512 : 8;  // the model checker has few

/// Some free ones, linked by `next`; null where there is no memory.
[[nodiscard]] task_record* take_some() noexcept;
/// Gives back a list.
void give_back(task_record* first) noexcept;

[[nodiscard]] std::size_t slab_count() noexcept;
[[nodiscard]] task_record* slab(std::size_t index) noexcept;

/// Calls `see` with each, until it returns false.
template <class F>
void each(F see) {
  const std::size_t slabs = slab_count();
  for (std::size_t s = 0; s != slabs; ++s) {
    task_record* first = slab(s);
    for (task_record* r = first; r != first + in_a_slab; ++r) {
      if (!see(*r)) return;
    }
  }
}

}  // namespace records

}  // namespace curfew::inspect
