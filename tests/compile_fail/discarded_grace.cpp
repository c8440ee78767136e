// A grace that is dropped ends its hard() at once.
// expect: error: ignoring
#include <chrono>
#include <curfew/sync/grace.hpp>

using namespace std::chrono_literals;

void caller(const curfew::context& ctx) {
#ifdef CURFEW_MUST_FAIL
  curfew::grace(ctx, 1s);
#else
  [[maybe_unused]] const curfew::grace grace(ctx, 1s);
#endif
}
