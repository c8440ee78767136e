#pragma once

#include <chrono>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/done.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/completion.hpp>
#include <system_error>
#include <utility>

namespace curfew {

namespace detail {
void start_wait(context ctx, erased_handler<std::error_code> complete);
void start_sleep(context ctx, clock::duration d, erased_handler<result<>> complete);
}  // namespace detail

/// Waits for the end of a context: `auto err = co_await curfew::async_wait(ctx.done());`
///
/// Completes when:  the context ends; with its err. Never for one that cannot end.
/// Cancellation:    none but that.
/// Lifetime:        keeps the context alive.
/// Thread safety:   any thread may start it; the handler runs on its own executor.
template <class Token = default_token>
auto async_wait(done_signal done, Token&& token = {}) {
  return detail::initiate_erased<std::error_code>(
      std::forward<Token>(token),
      [ctx = done.ctx()](detail::erased_handler<std::error_code> complete) mutable {
        detail::start_wait(std::move(ctx), std::move(complete));
      });
}

/// Sleeps for `d` on the clock of `ctx`: the system's, or the manual clock that a test moves.
///
/// Completes when:  `d` has passed (zero or less: at once), or ctx ends.
/// Errors:          the end of ctx, with its cause. A deadline of ctx that comes before: deadline_exceeded.
/// Lifetime:        keeps the context alive.
/// Thread safety:   any thread may start it; the handler runs on its own executor.
template <class Token = default_token>
auto async_sleep_for(context ctx, clock::duration d, Token&& token = {}) {
  return detail::initiate_erased<result<>>(
      std::forward<Token>(token),
      [ctx = std::move(ctx), d](detail::erased_handler<result<>> complete) mutable {
        detail::start_sleep(std::move(ctx), d, std::move(complete));
      });
}

}  // namespace curfew
