#pragma once

#include <cstdint>
#include <curfew/core/detail/threads.hpp>

namespace curfew::detail {

/// For sections of a few instructions in which nothing blocks, allocates or calls out. With std::lock_guard.
class spin_lock {
 public:
  void lock() noexcept {
    for (unsigned tries = 0;; ++tries) {
      // acquire: pairs with the unlock of the previous holder
      if (held_.load(std::memory_order_relaxed) == 0 && held_.exchange(1, std::memory_order_acquire) == 0)
        return;
      threads::relax(tries);
    }
  }

  void unlock() noexcept { held_.store(0, std::memory_order_release); }

 private:
  threads::atomic<std::uint8_t> held_{0};
};

}  // namespace curfew::detail
