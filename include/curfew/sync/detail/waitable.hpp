#pragma once

#include <concepts>
#include <curfew/core/context.hpp>
#include <curfew/sync/detail/spin_lock.hpp>
#include <curfew/sync/detail/waiter.hpp>

namespace curfew::detail {

// A waitable is what a thread, a select or an asynchronous operation waits for: a channel's next item, the end of a
// context, …. One object is one wait. It may be moved until it is enlisted. Modules above may make their own, and wait
// for those of sync, as io does.
//
//   bool try_now()              happens now, if it can without waiting
//   spin_lock* lock()           guards its list; null: it has none, enlist and delist take care themselves
//   bool try_locked(after)      as try_now, with the lock held; waiters to be woken go into `after`
//   void enlist(waiter&)        with the lock held: from now on it may finish the waiter, by its entry()
//   void delist()               without the lock: it no longer may
//   const wait_entry* entry()   what it finishes the waiter by
//   const context* ctx()        on whose clock it waits; null if it has none
//   auto outcome()              what the handler gets, once it has happened
//
// Some have more:
//
//   bool may_happen()           false: it cannot happen now, as far as is seen without the lock
//   void undo()                 takes back that it has happened: in try_now or try_locked, even with the lock
//                               still held, or by the entry
//   bool has_ended()            it is the end of a context, which has ended
//   bool outcome_is_held        a static constant, true: the handler of a select has to take the outcome
//   unsigned spin_pauses()      how many pauses of the processor apart to look again before enlisting
//   const void* as_lock()       by which its holder is known, see now_holds(); null: it is not held by one alone

template <class W>
concept waitable = std::move_constructible<W> && requires(W& w, waiter& by, finish_list& after) {
  { w.try_now() } -> std::same_as<bool>;
  { w.lock() } noexcept -> std::same_as<spin_lock*>;
  { w.try_locked(after) } noexcept -> std::same_as<bool>;
  w.enlist(by);
  { w.delist() } noexcept;
  { w.entry() } noexcept -> std::same_as<const wait_entry*>;
  { w.ctx() } noexcept -> std::same_as<const context*>;
  w.outcome();
};

/// What is given to one of those that wait, such as a lock. It is not given to a wait whose context ended before,
/// so it is taken back where that is seen only afterwards.
template <class W>
concept can_undo = requires(W& w) { w.undo(); };

template <class W>
concept holds_outcome = W::outcome_is_held;

template <class W>
[[nodiscard]] const void* lock_of(const W& what) noexcept {
  if constexpr (requires { what.as_lock(); }) {
    return what.as_lock();
  } else {
    return nullptr;
  }
}

/// \return false: it had happened too late, and is taken back.
template <class W, class HasEnded>
bool is_in_time(W& happened, HasEnded has_ended) noexcept {
  if constexpr (can_undo<W>) {
    if (has_ended()) {
      happened.undo();
      return false;
    }
  }
  return true;
}

}  // namespace curfew::detail
