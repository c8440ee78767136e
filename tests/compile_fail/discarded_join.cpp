// What failed in a group is known by its join alone.
// expect: error: ignoring return value.*unused-result
#include <curfew/sync/task_group.hpp>

void caller(const curfew::context& ctx) {
#ifdef CURFEW_MUST_FAIL
  curfew::task_group(ctx).join();
#else
  static_cast<void>(curfew::task_group(ctx).join());
#endif
}
