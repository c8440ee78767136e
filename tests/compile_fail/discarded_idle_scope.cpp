// A scope that is not kept cancels its context at the end of the line.
// expect: error: ignoring return value.*unused-result
#include <curfew/core.hpp>

void caller(const curfew::context& ctx) {
  const auto idle = curfew::with_idle_timeout(ctx, std::chrono::seconds(30));
#ifdef CURFEW_MUST_FAIL
  curfew::with_idle_timeout(ctx, std::chrono::seconds(30));
#endif
}
