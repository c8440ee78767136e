#pragma once

#include <cstdint>
#include <curfew/core/detail/threads.hpp>

namespace curfew::detail {

/// For sections of a few instructions in which nothing blocks, allocates or calls out. With std::lock_guard.
///
/// Who finds it taken stays away for a moment, which grows from 0.1 to 0.4 µs: the holder then often takes it
/// several times before the cache line has to move to the other core.
class spin_lock {
 public:
  void lock() noexcept { lock(0); }
  /// \param patience  Stays away for so many pauses, instead; 0: as above.
  void lock(unsigned patience) noexcept {
    for (unsigned tries = 0;; ++tries) {
      // acquire: pairs with the unlock of the previous holder
      if (held_.load(std::memory_order_relaxed) == 0 && held_.exchange(1, std::memory_order_acquire) == 0)
        return;
      threads::relax(tries, patience != 0 ? patience : tries < 2 ? 4U << tries : 16U);
    }
  }

  void unlock() noexcept { held_.store(0, std::memory_order_release); }

 private:
  threads::atomic<std::uint8_t> held_{0};
};

}  // namespace curfew::detail
