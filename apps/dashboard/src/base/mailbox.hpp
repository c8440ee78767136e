#pragma once

#include <mutex>
#include <optional>
#include <utility>

#include "base/wakeup.hpp"

namespace curfew_dashboard {

/// Carries the latest of many values from a worker's thread to a coroutine. A value that has not been taken
/// is replaced by the next, so a slow reader costs no memory and delays no worker.
template <class T>
class mailbox {
 public:
  /// Thread safety: any thread.
  void put(T value) {
    {
      const std::lock_guard guard(mutex_);
      latest_ = std::move(value);
    }
    wake_.notify();
  }

  /// Nothing more will come. What is in the box can still be taken.
  void close() {
    {
      const std::lock_guard guard(mutex_);
      closed_ = true;
    }
    wake_.notify();
  }

  /// Completes when:  there is a value; the box is closed and empty, with none; or ctx ends, with its error.
  /// Thread safety:   one coroutine at a time.
  asio::awaitable<curfew::result<std::optional<T>>> async_take(curfew::context ctx) {
    for (;;) {
      {
        const std::lock_guard guard(mutex_);
        if (latest_) co_return std::exchange(latest_, std::nullopt);
        if (closed_) co_return std::optional<T>();
      }
      auto woken = co_await wake_.async_wait(ctx);
      if (!woken) co_return std::unexpected(std::move(woken).error());
    }
  }

 private:
  wakeup wake_;
  std::mutex mutex_;
  std::optional<T> latest_;  // guarded by mutex_, as closed_
  bool closed_ = false;
};

}  // namespace curfew_dashboard
