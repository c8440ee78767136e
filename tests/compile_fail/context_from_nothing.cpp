// A context is never null: it comes from background(), todo() or another context.
// expect: deleted
// expect: a context is not made from nothing
#include <curfew/core.hpp>

int main() {
#ifdef CURFEW_MUST_FAIL
  curfew::context ctx;
#else
  curfew::context ctx = curfew::background();
#endif
  return ctx.err() ? 1 : 0;
}
