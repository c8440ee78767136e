#pragma once

#include <chrono>

namespace curfew_dashboard {

/// Says when it is time again: at most once per interval, and not before the first interval has passed.
class throttle {
 public:
  explicit throttle(std::chrono::steady_clock::duration interval)
      : interval_(interval),
        next_(std::chrono::steady_clock::now() + interval) {}

  [[nodiscard]] bool due() {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return false;
    next_ = now + interval_;
    return true;
  }

 private:
  std::chrono::steady_clock::duration interval_;
  std::chrono::steady_clock::time_point next_;
};

/// How often work tells of its progress.
inline constexpr std::chrono::milliseconds progress_interval{100};

}  // namespace curfew_dashboard
