#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/completion.hpp>
#include <curfew/io/detail/async_wait.hpp>
#include <curfew/io/detail/await_with.hpp>
#include <curfew/sync/once.hpp>
#include <expected>
#include <type_traits>
#include <utility>

namespace curfew {

/// Has something done once, by whoever needs it first, coroutine or thread:
///
///     auto connect = [&](curfew::context ctx) -> asio::awaitable<curfew::result<>> { … };
///     auto ready = co_await curfew::async_call(ctx, connected_, connect);
///
/// As `once::call`: the first caller awaits `f(ctx)` with its own context, the others wait; if it fails, or is
/// destroyed with its io_context, the next tries.
/// \param f  Returns an asio::awaitable of void, result<> or std::error_code. Name a lambda on a line of its
///           own: g++ 12 destroys one inside a co_await expression twice.
/// Errors:         the end of ctx before its turn came, with its cause: f was not run. What f returned.
/// Throws:         what f throws.
/// Cancellation:   by ctx. Asio's per-operation cancellation is for the coroutine that awaits, and for f.
/// Lifetime:       the once lives until it is over.
template <class F>
  requires detail::coroutine_of_context<F>
boost::asio::awaitable<result<>> async_call(context ctx, once& of, F f) {
  static_assert(std::is_same_v<detail::awaited_outcome<F>, result<>>,
                "curfew::async_call: the coroutine returns an awaitable of void, curfew::result<> or "
                "std::error_code; what it makes it keeps by itself, for all callers");
  if (of.succeeded()) co_return result<>();
  auto waiting = detail::initiate_wait<void(result<>)>(
      default_token(), ctx,
      detail::async_thing(detail::units_wait(detail::once_access::turns(of), 1), "once"));
  result<> turn = co_await std::move(waiting);
  if (!turn) {
    if (of.succeeded()) co_return result<>();
    co_return turn;
  }
  if (of.succeeded()) co_return result<>();
  detail::once_access::turn mine(of);
  result<> outcome = co_await detail::await_with(f, std::move(ctx));
  mine.success = outcome.has_value();
  co_return outcome;
}

}  // namespace curfew
