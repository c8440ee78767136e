// A scope that dies at the end of the line would cancel the context made from it at once.
// expect: deleted
// expect: a temporary cancel_scope cancels at the end of the line
#include <curfew/core.hpp>

using namespace std::chrono_literals;

int main() {
#ifdef CURFEW_MUST_FAIL
  curfew::context ctx = curfew::with_timeout(curfew::background(), 5s);
#else
  auto scope = curfew::with_timeout(curfew::background(), 5s);
  curfew::context ctx = scope;
#endif
  return ctx.err() ? 1 : 0;
}
