#pragma once

// What waits and what is waited for, whoever sleeps: a thread here, an asynchronous operation in io.
//
// A wait has a waiter, and in the list of each thing that can end it (a channel's receivers, the callers of a
// semaphore, …) a wait_entry.
//
//      claim()              finish()
//   open ─────► claimed ───────────────► finished
//
// Invariants
//  1. Of all calls of claim() one succeeds. Who made it decides how the wait ends: it may fill what belongs
//     to an entry of the wait, then it calls finish() and touches neither the waiter nor its entries any
//     more.
//  2. A waiter lives until it is finished, an entry while it is in a list and until its waiter is finished.
//     Hence who holds the lock of a list may look at the waiters of all entries in it.
//  3. An entry that was taken out of its list by somebody else is not put back: its waiter has been claimed.
//     So who fails to claim a waiter takes the entry out, and nobody meets it again.
//  4. `called` is set once, by the one who waits, who from then on sleeps until wake_ is called. Before, it
//     looks at the state by itself.
//
// Nobody claims a waiter whose wait is not complete yet but by invariant 1, and who tries to complete one
// wait and another at once (two parties that both wait in a select) claims only the other: the own waiter is
// in no list before all of its locks are held and nothing was ready; see src/sync/select.cpp.

#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/core/detail/threads.hpp>
#include <utility>

namespace curfew::detail {

class waiter;

/// A wait's place in one list. The links are guarded by the list's lock.
struct wait_entry {
  waiter* owner = nullptr;
  threads::plain<wait_entry*> next = nullptr;  // null: in no list
  threads::plain<wait_entry*> prev = nullptr;

  wait_entry() = default;
  wait_entry(const wait_entry&) = delete;
  wait_entry& operator=(const wait_entry&) = delete;

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

  /// Ends the wait. Only for who has claimed it, who holds no lock.
  /// \param by  The entry that it ends by; null: the end of its context.
  void finish(const wait_entry* by) noexcept {
    by_ = by;
    std::uint32_t seen = claimed;
    // release: what was filled, to the one who waits. acquire: what he did before he went to sleep.
    if (!state_.compare_exchange_strong(seen, claimed | finished, std::memory_order_release,
                                        std::memory_order_acquire)) {
      wake_(*this);
    }
  }

 protected:
  using wake_fn = void (*)(waiter&) noexcept;

  static constexpr std::uint32_t claimed = 1;
  static constexpr std::uint32_t finished = 2;
  static constexpr std::uint32_t called = 4;

  /// \param wake  Called by finish() if the one who waits sleeps; has to publish() first of all that he may
  ///              see.
  explicit waiter(wake_fn wake) noexcept : wake_(wake) {}
  ~waiter() = default;

  [[nodiscard]] bool is_finished() const noexcept {
    return (state_.load(std::memory_order_acquire) & finished) != 0;  // pairs: finish(), publish()
  }

  /// From now on finish() calls wake.
  /// \return false if it is finished already, and wake is not called.
  [[nodiscard]] bool call_me() noexcept {
    return (state_.fetch_or(called, std::memory_order_acq_rel) & finished) == 0;
  }

  void publish() noexcept { state_.fetch_or(finished, std::memory_order_acq_rel); }

  [[nodiscard]] const wait_entry* ended_by() const noexcept { return by_; }

  threads::atomic<std::uint32_t> state_{0};

 private:
  const wake_fn wake_;
  threads::plain<const wait_entry*> by_ = nullptr;
};

/// The wait of a thread, on its stack, in a cache line of its own: the thread looks at it again and again.
class alignas(64) thread_waiter final : public waiter {
 public:
  /// \param ctx  Ends the wait; outlives it.
  explicit thread_waiter(const context& ctx) noexcept : waiter(&wake), ctx_(ctx) {}
  ~thread_waiter() = default;

  /// Waits until it is finished, which it does by itself when the context ends first.
  /// \return what it ended by; null: the end of the context.
  const wait_entry* wait() noexcept;

 private:
  static void wake(waiter& self) noexcept;

  const context& ctx_;
};

/// The entries of those who wait for one thing, first come first served. Not synchronized.
class wait_list {
 public:
  wait_list() = default;
  wait_list(const wait_list&) = delete;
  wait_list& operator=(const wait_list&) = delete;

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] wait_entry* front() const noexcept { return first_; }

  void push_back(wait_entry& e) noexcept {
    if (wait_entry* first = first_; first == nullptr) {
      e.next = &e;
      e.prev = &e;
      first_ = &e;
    } else {
      wait_entry* last = first->prev;
      e.next = first;
      e.prev = last;
      first->prev = &e;
      last->next = &e;
    }
  }

  /// \return whether it was in the list.
  bool remove(wait_entry& e) noexcept {
    wait_entry* next = e.next;
    wait_entry* prev = e.prev;
    if (next == nullptr) return false;
    if (next == &e) {
      first_ = nullptr;
    } else {
      if (first_ == &e) first_ = next;
      next->prev = prev;
      prev->next = next;
    }
    e.next = nullptr;
    e.prev = nullptr;
    return true;
  }

  /// Takes out the first whose waiter can be claimed, and all before it.
  /// \return it, claimed; null if there is none.
  wait_entry* pop_claimed() noexcept {
    while (wait_entry* e = first_) {
      remove(*e);
      if (e->owner->claim()) return e;
    }
    return nullptr;
  }

 private:
  threads::plain<wait_entry*> first_ = nullptr;  // circular
};

/// Claimed waiters that are to be finished once the lock is given back under which they were found.
class finish_list {
 public:
  finish_list() = default;
  finish_list(const finish_list&) = delete;
  finish_list& operator=(const finish_list&) = delete;
  /// Finishes them. Declare it before the lock's guard.
  ~finish_list() {
    while (wait_entry* e = first_) {
      first_ = e->next;
      e->next = nullptr;
      e->owner->finish(e);
    }
  }

  void add(wait_entry& claimed) noexcept {
    if (last_ == nullptr) {
      first_ = &claimed;
    } else {
      last_->next = &claimed;
    }
    last_ = &claimed;
  }

 private:
  wait_entry* first_ = nullptr;
  wait_entry* last_ = nullptr;
};

}  // namespace curfew::detail
