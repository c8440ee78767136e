#include <curfew/core/detail/assert.hpp>
#include <curfew/sync/detail/wait_for_one.hpp>
#include <curfew/sync/semaphore.hpp>
#include <expected>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <tuple>

// One word tells how many units are available, and whether somebody waits:
//
//      available × 2 + waiting
//
// Invariants
//  1. While `waiting` is not set anybody may change the word, by compare-exchange; who waits is not
//     overtaken, because all who find the bit set go no further without lock_. While it is set only the
//     holder of lock_ changes the word.
//  2. The bit is set and cleared by the holder of lock_ alone. While nobody holds lock_, it is set exactly
//     while somebody is in the list.
//  3. While nobody holds lock_, the first in the list asks for more than is available. So whoever adds units,
//     or takes out the first, calls settle(), and nobody else has to.
//  4. What is available and what is held are together the capacity.
//  5. Who has been granted his units, or can get them from the word, may destroy the semaphore: a release
//     touches it no more after its compare-exchange, and its slow path holds lock_, for which the destructor
//     waits.
//  6. Who holds lock_ while `waiting` is set knows what was done before every release so far: what came
//     before the bit through the acquire that set it, the rest through lock_. So a grant hands all of that
//     on, by finish().
//
// (Whose waiter was claimed elsewhere, by the end of his context or in another case of his select, may still
// be in the list. He counts as one who waits until he has taken himself out.)
//
// Locks. lock_ alone, or with those of other things in a select, which takes them in the order of their
// addresses. Waiters are finished after it is given back; enlist() tells of the one exception.

namespace curfew {

semaphore::~semaphore() {
  const std::lock_guard guard(lock_);  // who is still in release_slowly() goes out of it
  CURFEW_ASSERT(waiters_.empty(), "semaphore or lock: destroyed while something waits for it");
}

void semaphore::release_slowly(std::size_t units) noexcept {
  detail::finish_list after;
  const std::lock_guard guard(lock_);
  std::size_t seen = word_.load(std::memory_order_relaxed);  // invariant 6
  do {
    CURFEW_ASSERT(units <= capacity_ - (seen >> 1),
                  "semaphore: more was released than acquired; of a mutex: it was not locked");
    if ((seen & waiting) != 0) return settle((seen >> 1) + units, after);
    // Nobody waits any more. release: pairs with try_acquire() and enlist()
  } while (!word_.compare_exchange_weak(seen, seen + (units << 1), std::memory_order_release,
                                        std::memory_order_relaxed));
}

/// Grants what the first in the list asks for, as long as there is enough, and writes the word anew. With
/// lock_ held and `waiting` set.
void semaphore::settle(std::size_t available, detail::finish_list& after) noexcept {
  while (auto* first = static_cast<detail::semaphore_entry*>(waiters_.front())) {
    if (first->units > available) break;
    waiters_.remove(*first);
    if (!first->owner->claim()) continue;
    available -= first->units;
    after.add(*first);
  }
  // release: pairs with try_acquire() and enlist(); what the caller knows by invariant 6 goes with it
  word_.store((available << 1) | (waiters_.empty() ? 0 : waiting), std::memory_order_release);
}

/// With lock_ held, in the thread that waits.
void semaphore::enlist(detail::semaphore_entry& e) noexcept {
  waiters_.push_back(e);
  // acquire: pairs with all releases of the word before it
  const std::size_t seen = word_.fetch_or(waiting, std::memory_order_acquire);
  if ((seen & waiting) != 0) return;  // invariant 3 holds of the one before it
  // It is the first, and units may have been released since it was found that there are too few. Then it is
  // granted them here, and finished though lock_ is held: nobody is woken by that, as its wait does not sleep
  // yet.
  detail::finish_list after;
  settle(seen >> 1, after);
}

/// The wait is over without it, or by it.
void semaphore::leave(detail::semaphore_entry& e) noexcept {
  detail::finish_list after;
  const std::lock_guard guard(lock_);
  if (waiters_.remove(e)) settle(word_.load(std::memory_order_relaxed) >> 1, after);
}

detail::acquiring semaphore::acquiring(std::size_t units) {
  if (units > capacity_)
    throw std::invalid_argument("curfew::semaphore::acquiring: more units than there are in all");
  return {*this, units};
}

namespace detail {

bool wait_for_units(semaphore& from, const context& ctx, std::size_t units) noexcept {
  acquiring wait(from, units);
  return wait_for_one(ctx, wait);
}

void wait_for_ever(semaphore& from, std::size_t units) noexcept {
  std::ignore = wait_for_units(from, background(), units);
}

result<> too_many_units(const semaphore& of, std::size_t units) {
  return std::unexpected(
      error(std::make_error_code(std::errc::invalid_argument),
            "acquire " + std::to_string(units) + " of " + std::to_string(of.capacity()) + " units"));
}

result<> ended_wait(const context& ctx, const char* doing) {
  return std::unexpected(error::ended(ctx, doing));
}

}  // namespace detail

}  // namespace curfew
