#pragma once

#include <boost/asio/awaitable.hpp>
#include <concepts>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/sync/detail/outcome.hpp>
#include <functional>
#include <type_traits>
#include <utility>

namespace curfew::detail {

template <class T>
inline constexpr bool is_awaitable = false;
template <class T, class Executor>
inline constexpr bool is_awaitable<boost::asio::awaitable<T, Executor>> = true;

/// A coroutine that is called with a context: `f(ctx)` returns an asio::awaitable.
template <class F>
concept coroutine_of_context = std::invocable<F&, context> && is_awaitable<std::invoke_result_t<F&, context>>;

template <class F>
using awaited = std::invoke_result_t<F&, context>::value_type;

/// What such a coroutine returns, as a result<T>; see `outcome`.
template <class F>
using awaited_outcome = outcome_of<awaited<F>>::type;

/// As outcome_value.
template <class F>
using awaited_value = value_of<awaited_outcome<F>>;

/// Awaits `f(ctx)`, as call_with calls a function. `f` lives until it is over.
template <class F>
boost::asio::awaitable<awaited_outcome<F>> await_with(F& f, context ctx) {
  if constexpr (std::is_void_v<awaited<F>>) {
    co_await std::invoke(f, std::move(ctx));
    co_return result<>();
  } else {
    co_return as_outcome(co_await std::invoke(f, std::move(ctx)));
  }
}

}  // namespace curfew::detail
