#include "inspect/held_locks.hpp"

#include <array>
#include <atomic>

namespace curfew::inspect::held_locks {

namespace {

constexpr unsigned place_bits = 12;
constexpr std::uint64_t spread = 0x9e3779b97f4a7c15;  // 2^64 / the golden ratio

struct place {
  std::atomic<std::uint64_t> holder{0};
  std::atomic<std::uint64_t> lock_and_holder{0};
};

constinit std::array<place, std::size_t{1} << place_bits> places;

place& place_of(std::uint64_t lock) noexcept { return places[(lock * spread) >> (64 - place_bits)]; }

/// Odd factors are one to one; by it no two ids differ as two addresses of locks do.
std::uint64_t both(std::uint64_t lock, std::uint64_t holder) noexcept { return lock ^ (holder * spread); }

}  // namespace

void take(std::uint64_t lock, std::uint64_t holder) noexcept {
  if (holder == 0) {
    give_back(lock);
    return;
  }
  place& its = place_of(lock);
  its.holder.store(holder, std::memory_order_relaxed);
  its.lock_and_holder.store(both(lock, holder), std::memory_order_relaxed);
}

void give_back(std::uint64_t lock) noexcept {
  if (holder_of(lock) != 0) place_of(lock).holder.store(0, std::memory_order_relaxed);
}

std::uint64_t holder_of(std::uint64_t lock) noexcept {
  const place& its = place_of(lock);
  const std::uint64_t holder = its.holder.load(std::memory_order_relaxed);
  return its.lock_and_holder.load(std::memory_order_relaxed) == both(lock, holder) ? holder : 0;
}

}  // namespace curfew::inspect::held_locks
