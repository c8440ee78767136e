#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/detail/await_with.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/sync/retry.hpp>
#include <expected>
#include <utility>

namespace curfew {

/// Awaits `f(ctx)` until it succeeds or another try makes no sense, as `retry` calls a function:
///
///     auto fetch_page = [&](curfew::context ctx) -> asio::awaitable<curfew::result<page>> { … };
///     auto page = co_await curfew::async_retry(ctx, curfew::retry_policy().max_tries(5), fetch_page);
///
/// \param f  Returns an asio::awaitable of result<T>, result<> or std::error_code; what it throws comes out
///           and is not tried again. Name a lambda on a line of its own: g++ 12 destroys one inside a co_await
///           expression twice.
/// \return, errors: as of `retry`.
/// Cancellation:   f gets ctx; a wait ends at once. Asio's per-operation cancellation ends a wait, too
///                 (errc::canceled). Where it came during a try, the wait throws operation_aborted, as any
///                 co_await of Asio does then. A retry_budget gets back what was withdrawn for a try that is not
///                 made, also if this is destroyed with its io_context.
template <class F>
  requires detail::coroutine_of_context<F>
boost::asio::awaitable<detail::awaited_outcome<F>> async_retry(context ctx, retry_policy policy, F f) {
  detail::retrying tries(ctx, policy);
  if (auto why = tries.refused()) co_return std::unexpected(*std::move(why));
  for (;;) {
    detail::awaited_outcome<F> got = co_await detail::await_with(f, ctx);
    if (got) {
      tries.succeeded();
      co_return got;
    }
    if (auto why = tries.failed(std::move(got).error())) co_return std::unexpected(*std::move(why));
    const result<> slept = co_await async_sleep_for(ctx, tries.wait());
    if (auto why = tries.waited(slept)) co_return std::unexpected(*std::move(why));
  }
}

}  // namespace curfew
