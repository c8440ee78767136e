#pragma once

#include "sync/waiting.hpp"

#include <cstddef>
#include <curfew/core/context.hpp>
#include <curfew/sync/condition.hpp>
#include <curfew/sync/detail/waitable.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <curfew/sync/semaphore.hpp>
#include <mutex>
#include <utility>

namespace curfew::testing {

/// How many entries the list of a waitable has: of waits, and of those that are about to leave it.
template <detail::waitable W>
std::size_t waiting_at(W what) {
  const std::lock_guard guard(*what.lock());
  return length(what.waiters());
}
inline std::size_t waiting_at(semaphore& s) { return waiting_at(detail::acquiring(s, 0)); }
inline std::size_t waiting_at(detail::unit_queue& q) { return waiting_at(detail::units_wait(q, 0)); }
inline std::size_t waiting_at(condition& c) { return waiting_at(detail::notified(c)); }

/// Acquires units that a test releases by hand.
inline bool take(semaphore& s, std::size_t units = 1) {
  auto got = s.try_acquire(units);
  if (got) got->forget();
  return got.has_value();
}
/// The same, waiting.
inline result<> take(const context& ctx, semaphore& s, std::size_t units = 1) {
  auto got = s.acquire(ctx, units);
  if (!got) return std::unexpected(std::move(got).error());
  got->forget();
  return {};
}

/// A wait without a thread, so that a test says which comes first, and sees at once what happens.
template <detail::waitable W>
class pending {
 public:
  /// \param ctx  Its context, which it looks at like a thread that does not sleep yet: nothing tells it of the end.
  explicit pending(W what, const context& ctx = background()) : waiter_(ctx), what_(std::move(what)) {
    detail::finish_list after;
    const std::lock_guard guard(*what_.lock());
    at_once_ = what_.try_locked(after);
    if (!at_once_) what_.enlist(waiter_);
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
    if (!std::exchange(left_, true)) what_.delist();
    return false;
  }

 private:
  struct sleepless final : detail::waiter {
    explicit sleepless(const context& ctx) : waiter([](waiter& /*self*/) noexcept {}, &look), ctx_(ctx) {}
    [[nodiscard]] bool over() const { return is_finished(); }
    [[nodiscard]] const detail::wait_entry* by() const { return ended_by(); }

   private:
    static bool look(const waiter& self) noexcept {
      return static_cast<bool>(static_cast<const sleepless&>(self).ctx_.err());
    }

    const context ctx_;
  };

  sleepless waiter_;
  W what_;
  bool at_once_ = false;
  bool left_ = false;
};

}  // namespace curfew::testing
