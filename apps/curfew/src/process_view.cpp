#include "process_view.hpp"

#include <algorithm>
#include <utility>

namespace curfew_program {

void rate_meter::add(std::int64_t at_ns, double sum_ms) {
  constexpr std::int64_t second = 1'000'000'000;
  if (!begun_ || sum_ms < sum_ms_ || at_ns < at_ns_) {
    *this = rate_meter();
    begun_ = true;
  } else if (at_ns - at_ns_ < second) {
    return;
  } else {
    cores_ = (sum_ms - sum_ms_) * 1e6 / static_cast<double>(at_ns - at_ns_);
  }
  at_ns_ = at_ns;
  sum_ms_ = sum_ms;
}

void process_view::heard_of(look now, curfew::clock::time_point at) {
  here = true;
  away.clear();
  heard = at;
  cpu.add(now.now_ns, now.totals.cpu_of_process_ms);
  for_nobody.add(now.now_ns, now.totals.cpu_for_nobody_ms);
  last = std::make_shared<const look>(std::move(now));
}

void process_view::gone(std::string reason) {
  here = false;
  away = std::move(reason);
  last = nullptr;
  cpu = {};
  for_nobody = {};
}

}  // namespace curfew_program
