// A context outlives the scope that owns it, but canceled: the scope is what a function returns.
// expect: deleted
// expect: a temporary cancel_scope cancels at the end of the line
#include <curfew/core.hpp>

using namespace std::chrono_literals;

#ifdef CURFEW_MUST_FAIL
curfew::context limited(const curfew::context& ctx) {
  auto scope = curfew::with_timeout(ctx, 5s);
  return scope;
}
#else
curfew::cancel_scope limited(const curfew::context& ctx) {
  auto scope = curfew::with_timeout(ctx, 5s);
  return scope;
}
#endif
