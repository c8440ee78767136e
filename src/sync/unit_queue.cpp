#include <curfew/sync/detail/unit_queue.hpp>
#include <curfew/sync/detail/wait_for_one.hpp>
#include <curfew/sync/semaphore.hpp>
#include <expected>
#include <mutex>
#include <string>
#include <system_error>
#include <tuple>

// One word tells how many units are available, and whether anything waits:
//
//      available × 2 + waiting
//
// Invariants
//  1. While `waiting` is not set any thread may change the word, by compare-exchange. While it is set only the
//     holder of lock_ changes it. Nothing overtakes a wait, because a thread that finds the bit set goes no further
//     without lock_.
//  2. The bit is set and cleared by the holder of lock_ alone. While no thread holds lock_, it is set exactly
//     while the list is not empty.
//  3. While no thread holds lock_, the first in the list asks for more than is available. So each thread that adds
//     units, or takes out the first, calls settle(); no other has to.
//  4. What is available and what is held are together the capacity.
//  5. The holder of units, or a thread that can get them from the word, may destroy the queue: put_back() touches
//     it no more after its compare-exchange, and its slow path holds lock_, for which the destructor waits.
//  6. The holder of lock_, while `waiting` is set, knows what was done before every put_back() so far: what came
//     before the bit through the acquire that set it, the rest through lock_. So a grant hands all of that
//     on, by finish().
//  7. Units that were put back after the context of a wait had ended do not go to it. settle() asks the context
//     after the word has been read; a thread that takes units from the word does the same, and puts them back.
//
// An entry whose waiter was claimed elsewhere, by the end of its context or in another case of its select, may
// still be in the list. It counts as one that waits until its own thread has taken it out.
//
// Locks. lock_ alone, or with those of other waitables in a select, which takes them in the order of their
// addresses. Waiters are finished after it is given back; enlist() tells of the one exception.

namespace curfew::detail {

unit_queue::~unit_queue() {
  const std::lock_guard guard(lock_);  // threads still in put_back_slowly() leave it
  CURFEW_ASSERT(waiters_.empty(), "semaphore, or lock: destroyed while it is waited for");
  if (whole_ != none) holds_no_more(this);
}

void unit_queue::put_back_slowly(std::size_t units) noexcept {
  finish_list after;
  const std::lock_guard guard(lock_);
  std::size_t seen = word_.load(std::memory_order_relaxed);  // invariant 6
  do {
    CURFEW_ASSERT(units <= capacity_ - (seen >> 1),
                  "semaphore: more was released than acquired; of a mutex: it was not locked");
    if ((seen & waiting) != 0) return settle((seen >> 1) + units, after);
    // Nothing waits any more. release: pairs with try_take() and enlist()
  } while (!word_.compare_exchange_weak(seen, seen + (units << 1), std::memory_order_release,
                                        std::memory_order_relaxed));
}

/// Grants what the first in the list asks for, as long as there is enough, and writes the word anew. With
/// lock_ held and `waiting` set.
void unit_queue::settle(std::size_t available, finish_list& after) noexcept {
  while (auto* first = static_cast<units_entry*>(waiters_.front())) {
    if (first->units > available) break;
    waiters_.remove(*first);
    if (first->owner->has_ended() || !first->owner->claim()) continue;
    available -= first->units;
    after.add(*first);
  }
  // release: pairs with try_take() and enlist(); what the caller knows by invariant 6 goes with it
  word_.store((available << 1) | (waiters_.empty() ? 0 : waiting), std::memory_order_release);
}

/// With lock_ held, in the thread that waits.
void unit_queue::enlist(units_entry& e) noexcept {
  waiters_.push_back(e);
  // acquire: pairs with all releases of the word before it
  const std::size_t seen = word_.fetch_or(waiting, std::memory_order_acquire);
  if ((seen & waiting) != 0) return;  // invariant 3 holds of the one before it
  // It is the first, and units may have been put back since there were too few. Then it is granted them here, and
  // finished though lock_ is held: its wait does not sleep yet, so no thread is woken by that.
  finish_list after;
  settle(seen >> 1, after);
}

/// The wait is over without it, or by it.
void unit_queue::leave(units_entry& e) noexcept {
  finish_list after;
  const std::lock_guard guard(lock_);
  if (waiters_.remove(e)) settle(word_.load(std::memory_order_relaxed) >> 1, after);
}

bool unit_queue::wait_and_take(const context& ctx, std::size_t units, const char* doing) noexcept {
  units_wait wait(*this, units);
  if (!wait_for_one(ctx, wait, doing)) return false;
  are_taken(units);
  return true;
}

void unit_queue::wait_and_take(std::size_t units, const char* doing) noexcept {
  std::ignore = wait_and_take(background(), units, doing);
}

error too_many_units(std::size_t units, std::size_t capacity) {
  return error(std::make_error_code(std::errc::invalid_argument),
               "acquire " + std::to_string(units) + " of " + std::to_string(capacity) + " units");
}

result<> ended_wait(const context& ctx, const char* doing) {
  return std::unexpected(error::ended(ctx, doing));
}

}  // namespace curfew::detail
