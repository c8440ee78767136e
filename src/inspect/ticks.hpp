#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <curfew/core/clock.hpp>

namespace curfew::inspect {

/// A point in time, or a duration, of the processor's counter, which is read in a third of the time of the clock.
using ticks = std::uint64_t;

namespace detail_ticks {
/// Nanoseconds in a tick; measured again and again, against the clock.
inline constinit std::atomic<double> factor{1};
}  // namespace detail_ticks

[[nodiscard]] inline ticks ticks_now() noexcept {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  ticks now = 0;
  asm volatile("mrs %0, cntvct_el0" : "=r"(now));
  return now;
#else
  return static_cast<ticks>(clock::now().time_since_epoch().count());
#endif
}

[[nodiscard]] inline std::chrono::nanoseconds as_nanoseconds(ticks duration) noexcept {
  return std::chrono::nanoseconds(static_cast<std::int64_t>(
      static_cast<double>(duration) * detail_ticks::factor.load(std::memory_order_relaxed)));
}

/// From `from` to `to`; none if `to` is before it, which may be so across cores.
[[nodiscard]] inline ticks since(ticks from, ticks to) noexcept { return to > from ? to - from : 0; }

/// Measures for a millisecond, the first time; then since then.
void calibrate() noexcept;
[[nodiscard]] clock::time_point as_time_point(ticks at) noexcept;
[[nodiscard]] ticks as_ticks(std::chrono::nanoseconds duration) noexcept;

}  // namespace curfew::inspect
