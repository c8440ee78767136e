#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/detail/await_with.hpp>
#include <curfew/io/race.hpp>
#include <curfew/io/sync.hpp>
#include <curfew/io/task_group.hpp>
#include <curfew/sync/channel.hpp>
#include <curfew/sync/hedge.hpp>
#include <curfew/sync/select.hpp>
#include <expected>
#include <tuple>
#include <utility>
#include <variant>

namespace curfew {

/// Awaits `f(ctx)`, and a second time if no result has come after `delay`; the faster try wins. As `hedge` for
/// functions. Both tries run on the executor of the caller:
///
///     auto lookup_id = [&](curfew::context ctx) { return async_lookup(ctx, id); };   // awaitable<result<entry>>
///     auto value = co_await curfew::async_hedge(ctx, 20ms, lookup_id);
///
/// \param delay  As of `hedge`, on ctx's clock.
/// \param f      Returns an asio::awaitable of result<T>, result<> or std::error_code. Two of them run at a
///               time. Name a lambda on a line of its own: g++ 12 destroys one inside a co_await expression
///               twice.
/// Errors:         the first that is not transient(); if both tries fail, that of the first to fail. The end
///                 of ctx, with its cause, if it has ended by then; had it ended before, f is not called.
/// Throws:         what f throws before the other try has decided; it cancels that one. std::bad_alloc;
///                 std::system_error where there is no timer thread.
/// Cancellation:   as of async_all; a try that succeeds all the same wins.
/// Lifetime:       as async_all.
template <class F>
  requires detail::coroutine_of_context<F>
boost::asio::awaitable<detail::awaited_outcome<F>> async_hedge(context ctx, clock::duration delay, F f) {
  if (ctx.err()) co_return std::unexpected(error::ended(ctx, "hedge"));
  const cause& why = detail::hedge_is_decided();
  detail::contest<detail::awaited_outcome<F>> contest;
  channel<std::monostate> failed(1);
  auto body = [&](task_group& group) -> boost::asio::awaitable<void> {
    const auto executor = co_await boost::asio::this_coro::executor;
    spawn(
        group, executor,
        [&](const context& /*its*/) -> boost::asio::awaitable<void> {
          const bool decided = co_await detail::await_contestant(contest, group, f, why, true);
          if (!decided) std::ignore = failed.try_send(std::monostate());
        },
        ctx.origin());
    spawn(
        group, executor,
        [&](context its) -> boost::asio::awaitable<void> {
          case_list patience;
          patience.when(its.done(), [] {}).when(failed.receiving(), [] {}).when(after(its, delay), [] {});
          std::ignore = co_await async_select(patience);
          if (!its.err()) co_await detail::await_contestant(contest, group, f, why, true);
        },
        ctx.origin());
  };
  std::ignore = co_await async_task_group(ctx, body, ctx.origin());
  co_return contest.outcome(ctx, "hedge");
}

}  // namespace curfew
