// A scope that is dropped cancels at once: nothing would have been limited.
// expect: error: ignoring return value.*unused-result
#include <curfew/core.hpp>

using namespace std::chrono_literals;

void caller(const curfew::context& ctx) {
#ifdef CURFEW_MUST_FAIL
  curfew::with_timeout(ctx, 1s);
#else
  [[maybe_unused]] auto scope = curfew::with_timeout(ctx, 1s);
#endif
}
