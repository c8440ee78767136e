#pragma once

#include <chrono>
#include <ctime>

namespace curfew_dashboard {

/// The CPU clock of a thread, readable from any other thread while that thread lives.
class cpu_clock {
 public:
  /// Of the calling thread.
  cpu_clock() noexcept;

  [[nodiscard]] std::chrono::nanoseconds now() const noexcept;

 private:
  clockid_t id_;
};

}  // namespace curfew_dashboard
