#pragma once

// Which task holds which lock, for those that wait for it. The lock itself is not looked at: by then it may be gone.
//
// A table of a fixed size, without locks: two locks of the same place displace each other, and the holder of the displaced
// one is not known then. What is told is never wrong by that: the second word of a place is its lock and its holder in
// one, so that words of two writers fit no lock.

#include <cstdint>

namespace curfew::inspect::held_locks {

/// A lock is known by its address.
[[nodiscard]] inline std::uint64_t number_of(const void* lock) noexcept {
  return reinterpret_cast<std::uintptr_t>(lock);
}

/// \param holder  The id of a task; 0: one that is not known.
void take(std::uint64_t lock, std::uint64_t holder) noexcept;
void give_back(std::uint64_t lock) noexcept;

/// 0: none that is known.
[[nodiscard]] std::uint64_t holder_of(std::uint64_t lock) noexcept;

}  // namespace curfew::inspect::held_locks
