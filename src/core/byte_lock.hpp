#pragma once

#include <cstdint>
#include <curfew/core/detail/node.hpp>
#include <curfew/core/detail/threads.hpp>

namespace curfew::detail {

/// A lock over bit 0 of a byte, for sections of a few instructions in which nothing blocks, allocates or
/// calls out. The other bits are data: the thread that holds the lock may change them, and they become visible as it is
/// given back, in one store.
class byte_lock {
 public:
  explicit byte_lock(threads::atomic<std::uint8_t>& byte) noexcept : byte_(byte) {
    for (unsigned tries = 0;; ++tries) {
      bits = byte_.load(std::memory_order_relaxed);
      // acquire: pairs with the release in the destructor of the previous holder
      if ((bits & state_bits::locked) == 0 &&
          byte_.compare_exchange_weak(bits, static_cast<std::uint8_t>(bits | state_bits::locked),
                                      std::memory_order_acquire, std::memory_order_relaxed)) {
        waited = tries != 0;
        return;
      }
      threads::relax(tries);
    }
  }
  byte_lock(const byte_lock&) = delete;
  byte_lock& operator=(const byte_lock&) = delete;
  ~byte_lock() { byte_.store(bits, std::memory_order_release); }

  std::uint8_t bits = 0;  ///< What the byte is to be when the lock is given back.
  bool waited = false;    ///< Another thread had it.

 private:
  threads::atomic<std::uint8_t>& byte_;
};

}  // namespace curfew::detail
