#pragma once

#include <boost/asio/async_result.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/core/done.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/completion.hpp>
#include <curfew/io/detail/async_wait.hpp>
#include <curfew/sync/select.hpp>
#include <curfew/sync/sleep.hpp>
#include <system_error>
#include <tuple>
#include <utility>

namespace curfew {

namespace detail {

/// The wait for the end of a context.
class async_end {
 public:
  explicit async_end(context ctx) noexcept : end_(std::move(ctx)) {}

  [[nodiscard]] bool try_now() const noexcept { return end_.try_now(); }
  [[nodiscard]] static const char* what() noexcept { return "the end of a context"; }
  bool enlist(waiter& w) noexcept {
    end_.enlist(w);
    return true;
  }
  void delist(const wait_entry* /*by*/) noexcept { end_.delist(); }
  [[nodiscard]] std::tuple<std::error_code> outcome(const context& /*ctx*/, bool happened) const {
    return happened ? end_.outcome() : make_error_code(errc::canceled);
  }

 private:
  ending end_;
};

}  // namespace detail

/// Waits for the end of a context: `auto err = co_await curfew::async_wait(ctx.done());`
///
/// Completes when:  the context ends; with its err. Never for one that cannot end.
/// Cancellation:    by Asio's per-operation cancellation: errc::canceled.
/// Lifetime:        keeps the context alive.
/// Thread safety:   any thread may start it; the handler runs on its own executor.
template <class Token = default_token>
auto async_wait(done_signal done, Token&& token = {}) {
  context root = detail::root_of(done.ctx());  // before `done` is moved from
  return detail::initiate_wait<void(std::error_code)>(std::forward<Token>(token), std::move(root),
                                                      detail::async_end(std::move(done).ctx()));
}

/// Sleeps for `d` on the clock of `ctx`: the system's, or the manual clock that a test moves.
///
/// Completes when:  `d` has passed (zero or less: at once), or ctx ends.
/// Errors:          the end of ctx, with its cause. A deadline of ctx that comes before, or at the same moment:
///                  deadline_exceeded.
/// Cancellation:    by ctx, or Asio's per-operation cancellation: errc::canceled.
/// Lifetime:        keeps the context alive.
/// Thread safety:   any thread may start it; the handler runs on its own executor.
template <class Token = default_token>
auto async_sleep_for(context ctx, clock::duration d, Token&& token = {}) {
  auto passed = detail::async_thing(after(ctx, d), "sleeping");
  return detail::initiate_wait<void(result<>)>(std::forward<Token>(token), std::move(ctx), std::move(passed));
}

/// As `async_sleep_for`, until a point in time of ctx's clock.
template <class Token = default_token>
auto async_sleep_until(context ctx, clock::time_point t, Token&& token = {}) {
  auto come = detail::async_thing(detail::instant(detail::root_of(ctx), t), "sleeping");
  return detail::initiate_wait<void(result<>)>(std::forward<Token>(token), std::move(ctx), std::move(come));
}

/// Waits for the next tick: `while (co_await curfew::async_next(ctx, every)) …`
///
/// Completes when:  a tick comes, or ctx ends; at once if a tick has come since the last.
/// Errors:          the end of ctx, with its cause, also where it comes at the same moment as a tick, which is not
///                  taken then.
/// Cancellation:    by ctx, or Asio's per-operation cancellation (errc::canceled): takes no tick.
/// Lifetime:        the ticker lives until completion.
/// Thread safety:   one wait for a ticker at a time; the handler runs on its own executor.
template <class Token = default_token>
auto async_next(context ctx, ticker& of, Token&& token = {}) {
  return detail::initiate_wait<void(result<>)>(std::forward<Token>(token), std::move(ctx),
                                               detail::async_thing(of.ticking(), "waiting for a tick"));
}

}  // namespace curfew
