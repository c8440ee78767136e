#pragma once

#include <algorithm>
#include <chrono>
#include <curfew/core/clock.hpp>

namespace curfew::http {

/// What of a time that a user has set can be added to any point of the clock: a century stands for more, as for
/// clock::duration::max().
[[nodiscard]] inline clock::duration addable(clock::duration d) noexcept {
  return std::min<clock::duration>(d, std::chrono::years(100));
}

}  // namespace curfew::http
