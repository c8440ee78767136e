#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstddef>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/detail/await_with.hpp>
#include <curfew/io/task_group.hpp>
#include <curfew/sync/race.hpp>
#include <exception>
#include <expected>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace curfew {

namespace detail {

template <class Range>
using element = std::remove_reference_t<std::ranges::range_reference_t<Range>>;

template <class Range>
concept coroutines_of_context =
    std::ranges::forward_range<Range> && std::ranges::sized_range<Range> &&
    std::is_lvalue_reference_v<std::ranges::range_reference_t<Range>> && coroutine_of_context<element<Range>>;

/// Awaits `f(ctx)` and puts its value, if it succeeds, in its place.
template <class F, class Value>
boost::asio::awaitable<result<>> await_into(std::optional<Value>& place, F& f, context ctx) {
  awaited_outcome<F> got = co_await await_with(f, std::move(ctx));
  if (!got) co_return std::unexpected(std::move(got).error());
  if constexpr (std::is_void_v<typename awaited_outcome<F>::value_type>) {
    place.emplace();
  } else {
    place.emplace(*std::move(got));
  }
  co_return result<>();
}

/// Awaits `f` as one contestant of several; see contest::run.
template <class Result, class F>
boost::asio::awaitable<bool> await_contestant(contest<Result>& of, task_group& group, F& f, const cause& why,
                                              bool permanent_decides = false) {
  std::exception_ptr thrown;
  try {
    Result got = co_await await_with(f, group.ctx());
    co_return of.returned(group, std::move(got), why, permanent_decides);
  } catch (...) {
    thrown = std::current_exception();
  }
  of.threw(group, std::move(thrown), why);
  co_return true;
}

/// Coroutines that are named one by one, with the places of their values.
template <class... F>
class named_coroutines {
 public:
  using values = std::tuple<awaited_value<F>...>;

  explicit named_coroutines(F... f) : f_(std::move(f)...) {}

  /// Calls `visit(f, place)` for each.
  template <class Visit>
  void each(const Visit& visit) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (visit(std::get<I>(f_), std::get<I>(places_)), ...);
    }(std::index_sequence_for<F...>());
  }
  [[nodiscard]] values take() {
    return std::apply([](auto&... place) { return values(*std::move(place)...); }, places_);
  }

 private:
  std::tuple<F...> f_;
  std::tuple<std::optional<awaited_value<F>>...> places_;
};

/// The same for those of a range.
template <class Range>
class ranged_coroutines {
 public:
  using value = awaited_value<element<Range>>;
  using values = all_of<awaited_outcome<element<Range>>>::type::value_type;

  explicit ranged_coroutines(Range range) : range_(std::move(range)), places_(std::ranges::size(range_)) {}

  template <class Visit>
  void each(const Visit& visit) {
    auto place = places_.begin();
    for (auto& f : range_) visit(f, *place++);
  }
  values take() {
    if constexpr (!std::is_void_v<values>) {
      values taken;
      taken.reserve(places_.size());
      for (std::optional<value>& place : places_) taken.push_back(*std::move(place));
      return taken;
    }
  }

 private:
  Range range_;
  std::vector<std::optional<value>> places_;
};

/// Runs all in a group and returns their values.
template <class Coroutines>
boost::asio::awaitable<result<typename Coroutines::values>> all_of_coroutines(context ctx,
                                                                              Coroutines coroutines) {
  if (ctx.err()) co_return error::ended(ctx, "all");
  auto body = [&](task_group& group) -> boost::asio::awaitable<void> {
    const auto executor = co_await boost::asio::this_coro::executor;
    coroutines.each([&](auto& f, auto& place) {
      spawn(
          group, executor, [&f, &place](context its) { return await_into(place, f, std::move(its)); },
          ctx.origin());
    });
  };
  result<> joined = co_await async_task_group(ctx, body, ctx.origin());
  if (!joined) co_return std::move(joined).error();
  if constexpr (std::is_void_v<typename Coroutines::values>) {
    co_return result<>();
  } else {
    co_return coroutines.take();
  }
}

/// Runs all in a group until one decides.
template <class Outcome, class Coroutines>
boost::asio::awaitable<Outcome> race_of_coroutines(context ctx, Coroutines coroutines) {
  if (ctx.err()) co_return error::ended(ctx, "race");
  const cause& why = race_is_decided();
  contest<Outcome> contest;
  auto body = [&](task_group& group) -> boost::asio::awaitable<void> {
    const auto executor = co_await boost::asio::this_coro::executor;
    bool is_empty = true;
    coroutines.each([&](auto& f, auto& /*place*/) {
      is_empty = false;
      spawn(
          group, executor,
          [&](const context& /*its*/) -> boost::asio::awaitable<void> {
            co_await await_contestant(contest, group, f, why);
          },
          ctx.origin());
    });
    if (is_empty) throw_nobody_races();
  };
  std::ignore = co_await async_task_group(ctx, body, ctx.origin());
  co_return contest.outcome(ctx, "race");
}

}  // namespace detail

/// Runs several coroutines at the same time and returns all their values, as `all` does of functions:
///
///     auto user = [&](curfew::context ctx) { return async_find_user(ctx, id); };   // awaitable<result<user>>
///     auto orders = [&](curfew::context ctx) { return async_find_orders(ctx, id); };
///     auto both = co_await curfew::async_all(ctx, user, orders);                    // result<std::tuple<…>>
///
/// They run on the executor of the caller. The first error cancels the context of the others, with the error
/// as the cause; all are over before it returns.
///
/// \param f  Each returns an asio::awaitable of result<T>; or of void, result<> or std::error_code, whose place
///           has a std::monostate. Name a lambda on a line of its own: g++ 12 destroys one inside a co_await
///           expression twice.
/// Errors:         that of the first to fail, in time. The end of ctx, with its cause, if it had ended before.
/// Throws:         what the first to fail threw, if it threw; std::bad_alloc.
/// Cancellation:   they get a context that ends with ctx, and with Asio's per-operation cancellation of the
///                 caller; if all succeed all the same, their values are returned. It always waits for them.
/// Lifetime:       do not destroy the io_context before it is over, unless what the coroutines refer to
///                 outlives that.
template <class... F>
  requires(sizeof...(F) > 0 && (detail::coroutine_of_context<F> && ...))
boost::asio::awaitable<result<std::tuple<detail::awaited_value<F>...>>> async_all(context ctx, F... f) {
  return detail::all_of_coroutines(std::move(ctx), detail::named_coroutines<F...>(std::move(f)...));
}

/// As above, for coroutines whose number is known only at run time: a std::vector of them, or another sized
/// range. \return the values in their order: result<std::vector<T>>; result<> where they have none.
template <class Coroutines>
  requires detail::coroutines_of_context<Coroutines>
auto async_all(context ctx, Coroutines coroutines) {
  return detail::all_of_coroutines(std::move(ctx),
                                   detail::ranged_coroutines<Coroutines>(std::move(coroutines)));
}

/// Runs several coroutines at the same time and returns the value of the first that succeeds, as `race` does
/// of functions: `auto page = co_await curfew::async_race(ctx, from_here, from_there);`
///
/// They run on the executor of the caller. The first success cancels the context of the others, with a cause
/// that says so, and what those return is dropped; all are over before it returns.
///
/// \param f  All return the same: an asio::awaitable of result<T>; or of void, result<> or std::error_code.
///           Name a lambda on a line of its own: g++ 12 destroys one inside a co_await expression twice.
/// Errors:         if all fail, the error of the first that failed, in time, but one that is transient()
///                 before one that is not. The end of ctx, with its cause, if it has ended by then; had it
///                 ended before, none is run.
/// Throws:         what one throws before another has succeeded; it cancels the others, too. std::bad_alloc.
/// Cancellation:   as of async_all; one that succeeds all the same wins.
/// Lifetime:       as async_all.
template <class First, class... F>
  requires(detail::coroutine_of_context<First> && (detail::coroutine_of_context<F> && ...))
boost::asio::awaitable<detail::awaited_outcome<First>> async_race(context ctx, First first, F... f) {
  using returned = detail::awaited_outcome<First>;
  static_assert((std::is_same_v<returned, detail::awaited_outcome<F>> && ...),
                "curfew::async_race: one value comes out, so all coroutines have to return the same "
                "curfew::result<T>");
  return detail::race_of_coroutines<returned>(
      std::move(ctx), detail::named_coroutines<First, F...>(std::move(first), std::move(f)...));
}

/// As above, for coroutines whose number is known only at run time; at least one, else std::invalid_argument.
template <class Coroutines>
  requires detail::coroutines_of_context<Coroutines>
auto async_race(context ctx, Coroutines coroutines) {
  return detail::race_of_coroutines<detail::awaited_outcome<detail::element<Coroutines>>>(
      std::move(ctx), detail::ranged_coroutines<Coroutines>(std::move(coroutines)));
}

}  // namespace curfew
