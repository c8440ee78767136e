// The scope would cancel its context, and stop watching, at the end of the line.
// expect: a temporary cancel_scope cancels at the end of the line|deleted function
#include <curfew/io/hangup.hpp>

void serve(const curfew::context& ctx, int connection);

void accept_one(const curfew::context& ctx, int connection) {
#ifdef CURFEW_MUST_FAIL
  serve(curfew::with_hangup(ctx, connection), connection);
#else
  auto scope = curfew::with_hangup(ctx, connection);
  serve(scope, connection);
#endif
}
