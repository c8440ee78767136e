// A registration stays where it was made: the canceling thread may be inside it.
// expect: deleted
// expect: an on_done stays where it was made
#include <curfew/core.hpp>

#include <utility>

void caller(const curfew::context& ctx) {
  curfew::on_done first(ctx, []() noexcept {});
#ifdef CURFEW_MUST_FAIL
  auto second = std::move(first);
#endif
}
