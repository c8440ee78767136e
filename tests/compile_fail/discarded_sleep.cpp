// A sleep that was cut short looks like one that was not, unless its result is looked at.
// expect: error: ignoring return value.*unused-result
#include <chrono>
#include <curfew/sync/sleep.hpp>

using namespace std::chrono_literals;

void caller(const curfew::context& ctx) {
#ifdef CURFEW_MUST_FAIL
  curfew::sleep_for(ctx, 1s);
#else
  static_cast<void>(curfew::sleep_for(ctx, 1s));
#endif
}
