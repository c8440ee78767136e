#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

namespace curfew::detail {

/// A lock over a byte, for sections of a few instructions in which nothing blocks, allocates or calls
/// out. A waiter spins, then yields, then sleeps, so a holder of lower priority is not starved.
class byte_lock {
 public:
  explicit byte_lock(std::atomic<std::uint8_t>& byte) noexcept : byte_(byte) {
    std::uint8_t free = 0;
    // acquire: pairs with the release in the destructor of the previous holder
    if (!byte_.compare_exchange_weak(free, 1, std::memory_order_acquire, std::memory_order_relaxed)) wait();
  }
  byte_lock(const byte_lock&) = delete;
  byte_lock& operator=(const byte_lock&) = delete;
  ~byte_lock() { byte_.store(0, std::memory_order_release); }

 private:
  void wait() noexcept {
    for (unsigned tries = 0;; ++tries) {
      std::uint8_t free = 0;
      if (byte_.load(std::memory_order_relaxed) == 0 &&
          byte_.compare_exchange_weak(free, 1, std::memory_order_acquire, std::memory_order_relaxed)) {
        return;
      }
      if (tries < 64) {
        __builtin_ia32_pause();
      } else if (tries < 256) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    }
  }

  std::atomic<std::uint8_t>& byte_;
};

}  // namespace curfew::detail
