// A handler without a parameter would not hold what its case acquires.
// expect: the handler takes what the case acquires
#include <curfew/sync/select.hpp>
#include <curfew/sync/semaphore.hpp>

void caller(const curfew::context& ctx, curfew::semaphore& memory) {
#ifdef CURFEW_MUST_FAIL
  curfew::select(curfew::when(ctx.done(), [] {}), curfew::when(memory.acquiring(), [] {}));
#else
  curfew::select(curfew::when(ctx.done(), [] {}), curfew::when(memory.acquiring(), [](auto /*mine*/) {}));
#endif
}
