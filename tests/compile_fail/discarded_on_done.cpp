// A registration that is not kept is removed at the end of the line.
// expect: on_done that is not kept
#include <curfew/core.hpp>

void caller(const curfew::context& ctx) {
  const curfew::on_done stop(ctx, []() noexcept {});
#ifdef CURFEW_MUST_FAIL
  curfew::on_done(ctx, []() noexcept {});
#endif
}
