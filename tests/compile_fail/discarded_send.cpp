// An item that was not sent is gone with the error that says so.
// expect: error: ignoring return value.*unused-result
#include <curfew/sync/channel.hpp>

void caller(const curfew::context& ctx, curfew::channel<int>& numbers) {
#ifdef CURFEW_MUST_FAIL
  numbers.send(ctx, 1);
#else
  static_cast<void>(numbers.send(ctx, 1));
#endif
}
