#include "inspect/ticks.hpp"

namespace curfew::inspect {

namespace {

struct moment {
  ticks counter = 0;
  clock::time_point time;
};

/// Both at once, as nearly as one of three attempts gets.
moment look() noexcept {
  moment best;
  ticks shortest = ~ticks{0};
  for (int i = 0; i != 3; ++i) {
    const ticks before = ticks_now();
    const auto time = clock::now();
    const ticks took = since(before, ticks_now());
    if (took >= shortest) continue;
    shortest = took;
    best = {before + took / 2, time};
  }
  return best;
}

const moment& start() noexcept {
  static const moment first = look();
  return first;
}

}  // namespace

void calibrate() noexcept {
  const moment& first = start();
  moment now = look();
  while (now.time - first.time < std::chrono::milliseconds(1)) now = look();
  if (now.counter <= first.counter) return;
  detail_ticks::factor.store(static_cast<double>(std::chrono::nanoseconds(now.time - first.time).count()) /
                                 static_cast<double>(now.counter - first.counter),
                             std::memory_order_relaxed);
}

clock::time_point as_time_point(ticks at) noexcept {
  const moment& first = start();
  if (at >= first.counter) return first.time + as_nanoseconds(at - first.counter);
  return first.time - as_nanoseconds(first.counter - at);
}

ticks as_ticks(std::chrono::nanoseconds duration) noexcept {
  return static_cast<ticks>(static_cast<double>(duration.count()) /
                            detail_ticks::factor.load(std::memory_order_relaxed));
}

}  // namespace curfew::inspect
