#pragma once

// Numbers for ids: they are to differ, and need not be secret.

#include <cstdint>

namespace curfew::detail {

/// A bijection that spreads: numbers that differ give numbers that differ in many bits.
[[nodiscard]] constexpr std::uint64_t mixed(std::uint64_t n) noexcept {
  n = (n ^ (n >> 30U)) * 0xbf58476d1ce4e5b9U;
  n = (n ^ (n >> 27U)) * 0x94d049bb133111ebU;
  return n ^ (n >> 31U);
}

/// Of the system. Throws: std::system_error where it has none.
[[nodiscard]] std::uint64_t random_number();

}  // namespace curfew::detail
