// An observation that is not kept sees nothing.
// expect: observation that is not kept
#include <curfew/core.hpp>

void caller(curfew::observer& seen) {
  const curfew::observation watch(seen);
#ifdef CURFEW_MUST_FAIL
  curfew::observation{seen};
#endif
}
