#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/sync/sleep.hpp>
#include <expected>
#include <stdexcept>
#include <system_error>
#include <tuple>

namespace curfew {

namespace {

/// `t + n * step`, or the end of time. `n` and `step` are positive.
clock::time_point later(clock::time_point t, clock::duration step, clock::rep n = 1) noexcept {
  clock::rep far = 0;
  clock::rep sum = 0;
  if (__builtin_mul_overflow(step.count(), n, &far) ||
      __builtin_add_overflow(t.time_since_epoch().count(), far, &sum)) {
    return clock::time_point::max();
  }
  return clock::time_point(clock::duration(sum));
}

/// \return the err of ctx.
std::error_code sleeps_until(const context& ctx, clock::time_point t, const char* what) {
  const cancel_scope either = with_deadline(ctx, t);
  std::ignore = detail::wait_for_end(either, what);
  return ctx.err();
}

}  // namespace

result<> sleep_for(const context& ctx, clock::duration d) {
  const cancel_scope either = with_timeout(ctx, d);
  std::ignore = detail::wait_for_end(either, "sleep");
  if (ctx.err()) return std::unexpected(error::ended(ctx, "sleeping"));
  return {};
}

result<> sleep_until(const context& ctx, clock::time_point t) {
  if (sleeps_until(ctx, t, "sleep")) return std::unexpected(error::ended(ctx, "sleeping"));
  return {};
}

ticker::ticker(const context& ctx, clock::duration period) : root_(detail::root_of(ctx)), period_(period) {
  if (period <= clock::duration::zero())
    throw std::invalid_argument("curfew::ticker: the period has to be more than zero");
  next_ = later(root_.now(), period);
}

/// Takes the tick that has come, if one has, and drops those that came after it.
bool ticker::take_missed() noexcept {
  const auto now = root_.now();
  if (now < next_) return false;
  next_ = later(next_, period_, (now - next_) / period_ + 1);
  return true;
}

/// Takes the tick that was waited for. What has come since is not dropped, however late this is called: it
/// came while there was no tick to work off.
void ticker::take_awaited() noexcept { next_ = later(next_, period_); }

result<> ticker::next(const context& ctx) {
  if (!ctx.err()) {
    if (take_missed()) return {};
    if (!sleeps_until(ctx, next_, "tick")) {
      take_awaited();
      return {};
    }
  }
  return std::unexpected(error::ended(ctx, "waiting for a tick"));
}

}  // namespace curfew
