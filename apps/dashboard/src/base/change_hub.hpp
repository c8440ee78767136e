#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/wakeup.hpp"

namespace curfew_dashboard {

/// Tells any number of coroutines that something has changed.
///
/// Invariant: `listeners_` holds the subscriptions that live. A listener is rung under `mutex_` (which only
/// posts), so nothing touches a subscription after its destructor has returned.
/// Thread safety: any thread. The hub outlives its subscriptions.
class change_hub {
 public:
  /// Is told of changes from its construction to its destruction.
  class subscription {
   public:
    explicit subscription(change_hub& hub) : hub_(hub) {
      const std::lock_guard guard(hub_.mutex_);
      hub_.listeners_.push_back(&wake_);
    }
    subscription(const subscription&) = delete;
    subscription& operator=(const subscription&) = delete;
    ~subscription() {
      const std::lock_guard guard(hub_.mutex_);
      std::erase(hub_.listeners_, &wake_);
    }

    /// Completes when:  something changed since the last call; or ctx ends, with its error.
    asio::awaitable<curfew::result<>> async_wait(curfew::context ctx) {
      return wake_.async_wait(std::move(ctx));
    }
    /// The same as a case of a select.
    [[nodiscard]] auto receiving() noexcept { return wake_.receiving(); }

   private:
    change_hub& hub_;
    wakeup wake_;
  };

  /// How many changes there were.
  [[nodiscard]] std::uint64_t count() const {
    const std::lock_guard guard(mutex_);
    return count_;
  }

  void notify() {
    const std::lock_guard guard(mutex_);
    ++count_;
    for (wakeup* listener : listeners_) listener->notify();
  }

 private:
  mutable std::mutex mutex_;
  std::vector<wakeup*> listeners_;  // guarded by mutex_, as count_
  std::uint64_t count_ = 0;
};

}  // namespace curfew_dashboard
