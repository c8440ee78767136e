// The same mistake in a call: nobody holds the scope, so nobody could cancel it.
// expect: deleted
// expect: a temporary cancel_scope cancels at the end of the line
#include <curfew/core.hpp>

void work(const curfew::context& ctx);

void caller() {
#ifdef CURFEW_MUST_FAIL
  work(curfew::with_cancel(curfew::background()));
#else
  auto scope = curfew::with_cancel(curfew::background());
  work(scope);
#endif
}
