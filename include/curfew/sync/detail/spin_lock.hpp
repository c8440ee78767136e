#pragma once

#include <cstdint>
#include <curfew/core/detail/threads.hpp>

namespace curfew::detail {

/// For sections of a few instructions in which nothing blocks, allocates or calls out. With std::lock_guard.
///
/// A thread that finds it taken spins from 0.1 to 0.4 µs before it looks again: the holder then often takes it
/// several times before the cache line has to move to the other core.
class spin_lock {
 public:
  void lock() noexcept { lock(0); }
  /// \param pauses  Spins for so many pauses of the processor, instead; 0: as above.
  void lock(unsigned pauses) noexcept {
    for (unsigned tries = 0;; ++tries) {
      // acquire: pairs with the unlock of the previous holder
      if (held_.load(std::memory_order_relaxed) == 0 && held_.exchange(1, std::memory_order_acquire) == 0)
        return;
      threads::relax(tries, pauses != 0 ? pauses : tries < 2 ? 4U << tries : 16U);
    }
  }

  void unlock() noexcept { held_.store(0, std::memory_order_release); }

 private:
  threads::atomic<std::uint8_t> held_{0};
};

}  // namespace curfew::detail
