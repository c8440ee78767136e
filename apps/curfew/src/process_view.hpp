#pragma once

#include <chrono>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <memory>
#include <string>

#include "task.hpp"

namespace curfew_program {

/// How fast a sum grows, measured over a second or more.
class rate_meter {
 public:
  /// \param at_ns  On the clock of the process whose sum it is. A sum that shrinks is another process's: it begins anew.
  void add(std::int64_t at_ns, double sum_ms);
  /// A second's growth in seconds: cores. 0 until a second has passed.
  [[nodiscard]] double cores() const noexcept { return cores_; }

 private:
  std::int64_t at_ns_ = 0;
  double sum_ms_ = 0;
  double cores_ = 0;
  bool begun_ = false;
};

/// What is known of a process.
struct process_view {
  std::string name;  // "shop 4711"; its URL, until it says
  bool here = false;
  std::string away = "connecting";   // why it is not here
  std::shared_ptr<const look> last;  // null: never heard of
  curfew::clock::time_point heard;
  rate_meter cpu;
  rate_meter for_nobody;

  void heard_of(look now, curfew::clock::time_point at);
  void gone(std::string reason);
  [[nodiscard]] double since_look_ms(curfew::clock::time_point now) const {
    return std::chrono::duration<double, std::milli>(now - heard).count();
  }
};

}  // namespace curfew_program
