#pragma once

// One mechanism for all waits: a thread sleeps here, an asynchronous operation is posted in io. Modules above may
// derive from `waiter`, as io does; what is waited for is a waitable, see waitable.hpp.
//
// A wait has a waiter, and a wait_entry in the list of each waitable that can end it (a channel's receivers, the
// callers of a semaphore, …).
//
//      claim()              finish()
//   open ─────► claimed ───────────────► finished
//
// Invariants
//  1. Of all calls of claim() one succeeds. Its caller decides how the wait ends: it may fill what belongs
//     to an entry of the wait, then it calls finish() and touches neither the waiter nor its entries any
//     more.
//  2. A waiter lives until it is finished, an entry while it is in a list and until its waiter is finished.
//     Hence the holder of a list's lock may look at the waiters of all entries in it.
//  3. An entry that was taken out of its list by another thread is not put back: its waiter has been claimed, or
//     invariant 4 holds. So a thread that fails to claim a waiter takes the entry out, and it is not met again.
//  4. Ending a context makes has_ended() true first, and then finishes the wait. What others wait for too (a
//     lock, units, a notification) is therefore not given to a wait that has_ended(): its entry is taken out,
//     and it ends by itself.
//  5. `armed` is set once, by the side that waits, which from then on sleeps until wake_ is called. Before, it
//     looks at the state by itself.
//
// While a thread is about to complete one wait and another at once (two selects that meet), it claims only the
// other: its own waiter is in no list before all of its locks are held and nothing was ready; see
// src/sync/select.cpp.

#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/core/detail/intrusive_list.hpp>
#include <curfew/core/detail/threads.hpp>
#include <utility>

namespace curfew::detail {

class waiter;

/// A wait's place in one list, whose lock guards its links.
struct wait_entry : list_hook<> {
  waiter* owner = nullptr;

  wait_entry() = default;

 protected:
  ~wait_entry() = default;
};

class waiter {
 public:
  waiter(const waiter&) = delete;
  waiter& operator=(const waiter&) = delete;

  /// \return whether it is now the caller's to finish.
  bool claim() noexcept {
    // relaxed: it only decides; what the two have to tell each other goes through finish() and the locks
    return (state_.fetch_or(claimed, std::memory_order_relaxed) & claimed) == 0;
  }

  /// Whether the context of the wait has ended; see invariant 4. While it lives, claimed or not.
  [[nodiscard]] bool has_ended() const noexcept { return has_ended_(*this); }

  /// Ends the wait. Its caller has claimed it, and holds no lock.
  /// \param by  The entry that it ends by; null: the end of its context.
  void finish(const wait_entry* by) noexcept {
    by_ = by;
    std::uint32_t seen = claimed;
    // release: what was filled, to the side that waits. acquire: what that did before it went to sleep.
    if (!state_.compare_exchange_strong(seen, claimed | finished, std::memory_order_release,
                                        std::memory_order_acquire)) {
      wake_(*this);
    }
  }

 protected:
  using wake_fn = void (*)(waiter&) noexcept;
  using ended_fn = bool (*)(const waiter&) noexcept;

  static constexpr std::uint32_t claimed = 1;
  static constexpr std::uint32_t finished = 2;
  static constexpr std::uint32_t armed = 4;

  /// \param wake   Called by finish() if the side that waits sleeps; has to publish() before that side may see
  ///               anything.
  /// \param ended  Answers has_ended().
  waiter(wake_fn wake, ended_fn ended) noexcept : wake_(wake), has_ended_(ended) {}
  ~waiter() = default;

  [[nodiscard]] bool is_finished() const noexcept {
    return (state_.load(std::memory_order_acquire) & finished) != 0;  // pairs: finish(), publish()
  }

  /// From now on finish() calls wake.
  /// \return false if it is finished already, and wake is not called.
  [[nodiscard]] bool arm() noexcept {
    return (state_.fetch_or(armed, std::memory_order_acq_rel) & finished) == 0;
  }

  void publish() noexcept { state_.fetch_or(finished, std::memory_order_acq_rel); }

  [[nodiscard]] const wait_entry* ended_by() const noexcept { return by_; }

  threads::atomic<std::uint32_t> state_{0};

 private:
  const wake_fn wake_;
  const ended_fn has_ended_;
  threads::plain<const wait_entry*> by_ = nullptr;
};

/// The wait of a thread, on its stack, in a cache line of its own: the thread looks at it again and again.
class alignas(64) thread_waiter : public waiter {
 public:
  /// \param ctx   Ends the wait; outlives it.
  /// \param what  Is waited for; a literal.
  /// \param lock  By which the holder is known of what is waited for; or null.
  thread_waiter(const context& ctx, const char* what, const void* lock = nullptr) noexcept
      : thread_waiter(ctx, what, &has_ended_of) {
    lock_ = lock;
  }
  ~thread_waiter() = default;

  /// Waits until it is finished, which it does by itself when the context ends first.
  /// \return what it ended by; null: the end of the context.
  const wait_entry* wait() noexcept { return wait(ctx_); }
  /// \param sleeps_under  What else may end it by its deadline, if that is not the context; see `sleeping`.
  const wait_entry* wait(const context& sleeps_under) noexcept;

 protected:
  thread_waiter(const context& ctx, const char* what, ended_fn ended) noexcept
      : waiter(&wake, ended),
        ctx_(ctx),
        what_(what) {}

 private:
  static void wake(waiter& self) noexcept;
  static bool has_ended_of(const waiter& self) noexcept {
    return static_cast<bool>(static_cast<const thread_waiter&>(self).ctx_.err());
  }

  const context& ctx_;
  const char* const what_;
  const void* lock_ = nullptr;
  const sleeping* sleeping_ = nullptr;  // of the thread, before it is called
};

/// The entries of the waits at one place, first come, first served. Not synchronized.
class wait_list : public intrusive_list<wait_entry> {
 public:
  /// Takes out the first whose waiter can be claimed, and all before it.
  /// \return it, claimed; null if there is none.
  wait_entry* pop_claimed() noexcept {
    while (wait_entry* e = pop_front()) {
      if (e->owner->claim()) return e;
    }
    return nullptr;
  }

  /// The same, without those whose context has ended: for what is given to one of them only.
  wait_entry* pop_granted() noexcept {
    while (wait_entry* e = pop_front()) {
      if (!e->owner->has_ended() && e->owner->claim()) return e;
    }
    return nullptr;
  }
};

/// Claimed waiters that are to be finished once the lock is given back under which they were found.
class finish_list {
 public:
  finish_list() = default;
  finish_list(const finish_list&) = delete;
  finish_list& operator=(const finish_list&) = delete;
  /// Finishes them. Declare it before the lock's guard.
  ~finish_list() {
    while (wait_entry* e = claimed_.pop_front()) e->owner->finish(e);
  }

  void add(wait_entry& claimed) noexcept { claimed_.push_back(claimed); }

 private:
  intrusive_list<wait_entry> claimed_;
};

}  // namespace curfew::detail
