// Units whose permit is dropped are released again at once.
// expect: error: ignoring
#include <curfew/sync/semaphore.hpp>

void caller(const curfew::context& ctx, curfew::semaphore& memory) {
#ifdef CURFEW_MUST_FAIL
  memory.acquire(ctx, 64);
#else
  const auto mine = memory.acquire(ctx, 64);
  static_cast<void>(mine->units());
#endif
}
