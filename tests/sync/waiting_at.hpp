#pragma once

#include "sync/waiting.hpp"

#include <cstddef>
#include <curfew/sync/condition.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <curfew/sync/semaphore.hpp>
#include <mutex>
#include <utility>

namespace curfew::testing {

/// How many are in the list of what a thing waits for: those who wait, and those who are about to leave.
template <class Thing>
std::size_t waiting_at(Thing thing) {
  const std::lock_guard guard(*thing.lock());
  return length(thing.waiters());
}
inline std::size_t waiting_at(semaphore& s) { return waiting_at(detail::acquiring(s, 0)); }
inline std::size_t waiting_at(condition& c) { return waiting_at(detail::notified(c)); }

/// A wait in which nobody sleeps, so that a test says who comes first, and sees at once what happens.
template <class Thing>
class pending {
 public:
  explicit pending(Thing thing) : thing_(std::move(thing)) {
    detail::finish_list after;
    const std::lock_guard guard(*thing_.lock());
    at_once_ = thing_.try_locked(after);
    if (!at_once_) thing_.enlist(waiter_);
  }
  pending(const pending&) = delete;
  pending& operator=(const pending&) = delete;
  ~pending() { outcome(); }

  /// It did not have to wait.
  [[nodiscard]] bool at_once() const { return at_once_; }
  [[nodiscard]] bool happened() const { return at_once_ || (waiter_.over() && waiter_.by() != nullptr); }

  /// What the end of a context does first: from now on it does not happen any more.
  /// \return false: it has happened before.
  bool end() noexcept {
    if (at_once_ || !waiter_.claim()) return false;
    waiter_.finish(nullptr);
    return true;
  }

  /// As end(), and leaves the list.
  bool give_up() {
    end();
    return !outcome();
  }

  /// Once it has ended or happens at this moment. Leaves the list in the first case.
  /// \return whether it has happened.
  bool outcome() {
    if (at_once_) return true;
    end();
    await([&] { return waiter_.over(); });
    if (waiter_.by() != nullptr) return true;
    if (!std::exchange(left_, true)) thing_.delist();
    return false;
  }

 private:
  struct sleepless final : detail::waiter {
    sleepless() : waiter([](waiter& /*self*/) noexcept {}) {}
    [[nodiscard]] bool over() const { return is_finished(); }
    [[nodiscard]] const detail::wait_entry* by() const { return ended_by(); }
  };

  sleepless waiter_;
  Thing thing_;
  bool at_once_ = false;
  bool left_ = false;
};

}  // namespace curfew::testing
