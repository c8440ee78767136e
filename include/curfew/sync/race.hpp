#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <curfew/core/cause.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/sync/detail/outcome.hpp>
#include <curfew/sync/task_group.hpp>
#include <deque>
#include <exception>
#include <expected>
#include <mutex>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace curfew {

namespace detail {

/// Functions of which one decides: one that succeeds, or throws.
///
/// Invariants
///  1. Of all calls of claim() one succeeds; that caller alone writes what has been decided.
///  2. failed_ and its flag are guarded by mutex_, under which nothing of the user's runs.
class contest_base {
 public:
  contest_base(const contest_base&) = delete;
  contest_base& operator=(const contest_base&) = delete;

 protected:
  contest_base() = default;
  ~contest_base() = default;

  [[nodiscard]] bool claim() noexcept { return !decided_.exchange(true, std::memory_order_relaxed); }
  /// One has failed, which decides nothing.
  void note(error e) noexcept;
  /// All are over and nothing is decided: the error to report.
  [[nodiscard]] error failure(const context& ctx, const char* doing);

 private:
  // relaxed: it only decides; what is written then is read after the group has been joined
  std::atomic<bool> decided_{false};
  std::mutex mutex_;
  std::optional<error> failed_;
  bool is_transient_ = false;
};

template <class Result>
class contest : contest_base {
 public:
  /// Runs `f(ctx)` as one of them. If it decides, the context of the group is canceled.
  /// \param permanent_decides  An error that is not transient decides, too, unless the context has ended.
  /// \return false: it has failed and decided nothing.
  template <class F>
  bool run(task_group& group, F& f, const cause& why, bool permanent_decides = false) noexcept {
    try {
      return returned(group, call_with(f, group.ctx()), why, permanent_decides);
    } catch (...) {
      threw(group, std::current_exception(), why);
      return true;
    }
  }

  /// The same for one that has been run.
  bool returned(task_group& group, Result got, const cause& why, bool permanent_decides = false) {
    if (!got && (!permanent_decides || group.ctx().err() || got.error().transient())) {
      note(std::move(got).error());
      return false;
    }
    if (!claim()) return true;
    try {
      decided_.emplace(std::move(got));
    } catch (...) {
      thrown_ = std::current_exception();
    }
    group.cancel(why);
    return true;
  }
  void threw(task_group& group, std::exception_ptr what, const cause& why) noexcept {
    if (!claim()) return;
    thrown_ = std::move(what);
    group.cancel(why);
  }

  /// All are over.
  /// \param doing  What is said to have been done if ctx has ended.
  Result outcome(const context& ctx, const char* doing) {
    if (thrown_) std::rethrow_exception(thrown_);
    if (decided_) return *std::move(decided_);
    return std::unexpected(failure(ctx, doing));
  }

 private:
  std::optional<Result> decided_;
  std::exception_ptr thrown_;
};

/// A function of a range as a task holds it: by pointer if the range does, else by value.
template <class Reference>
class held_function {
 public:
  explicit held_function(Reference&& f) : f_(std::forward<Reference>(f)) {}
  [[nodiscard]] auto& get() noexcept { return f_; }

 private:
  std::conditional_t<std::is_lvalue_reference_v<Reference>, Reference, std::remove_cvref_t<Reference>> f_;
};

template <class Range>
concept functions_of_context =
    std::ranges::input_range<Range> && std::invocable<std::ranges::range_reference_t<Range>&, const context&>;

/// What the functions of a range return, as a result<T>.
template <class Range>
using range_outcome = outcome<std::ranges::range_reference_t<Range>&>;

/// What `all` makes of a range of functions that return this.
template <class Outcome>
struct all_of {
  using type = result<std::vector<typename Outcome::value_type>>;
};
template <>
struct all_of<result<>> {
  using type = result<>;
};

/// Calls `f(ctx)` and puts its value, if it succeeds, in its place.
template <class F, class Value>
result<> call_into(std::optional<Value>& place, F& f, const context& ctx) {
  outcome<F&> got = call_with(f, ctx);
  if (!got) return std::unexpected(std::move(got).error());
  if constexpr (std::is_void_v<typename outcome<F&>::value_type>) {
    place.emplace();
  } else {
    place.emplace(*std::move(got));
  }
  return {};
}

/// Why the others are canceled once one has decided.
[[nodiscard]] const cause& race_is_decided();

[[noreturn]] void throw_nobody_races();

/// Calls `begin(start)`, in which each `start(f, place)` runs `f(ctx)` as a task that puts its value into `place`, and
/// waits for all of them.
template <class Begin>
result<> run_all(const context& ctx, Begin begin) {
  if (ctx.err()) return error::ended(ctx, "all");
  task_group group(ctx, ctx.origin());
  begin([&group, &ctx]<class F, class Value>(F&& f, std::optional<Value>& place) {
    group.spawn([function = held_function<F>(std::forward<F>(f)),
                 &place](const context& its) mutable { return call_into(place, function.get(), its); },
                ctx.origin());
  });
  return group.join();
}

/// Calls `begin(start)`, in which each `start(f)` runs `f(ctx)` as a task, of which one decides.
template <class Result, class Begin>
Result run_race(const context& ctx, Begin begin) {
  if (ctx.err()) return error::ended(ctx, "race");
  const cause& why = race_is_decided();
  contest<Result> contest;
  task_group group(ctx, ctx.origin());
  begin([&]<class F>(F&& f) {
    group.spawn([function = held_function<F>(std::forward<F>(f)), &contest, &group,
                 &why](const context& /*its*/) mutable { contest.run(group, function.get(), why); },
                ctx.origin());
  });
  std::ignore = group.join();
  return contest.outcome(ctx, "race");
}

}  // namespace detail

/// Runs several functions at the same time and returns all their values:
///
///     auto both = curfew::all(ctx, [&](const curfew::context& ctx) { return find_user(ctx, id); },
///                                  [&](const curfew::context& ctx) { return find_orders(ctx, id); });
///     if (!both) return both.error();
///     auto& [user, orders] = *both;                          // of a std::tuple
///
/// They run as the tasks of a task_group: in threads of the shared pool and in this one. The first error
/// cancels the context of the others, with the error as the cause; nothing of them outlives the call.
///
/// \param f  Each returns result<T>; or void, result<> or std::error_code, whose place has a std::monostate.
/// Errors:         that of the first function to fail, in time. Functions that had not been started by then
///                 are not run. The end of ctx, with its cause, if it had ended before, or if that kept a
///                 function from being run.
/// Throws:         what the first function to fail threw, if it threw; std::bad_alloc.
/// Cancellation:   the functions get a context that ends with ctx and have to look at it; if all succeed all
///                 the same, their values are returned.
/// Thread safety:  any thread, tasks of groups included.
/// Cost:           an allocation for each function.
/// Source:         golang.org/x/sync/errgroup; Python's asyncio.TaskGroup.
template <class... F>
  requires(sizeof...(F) > 0 && (std::invocable<F&, const context&> && ...))
result<std::tuple<detail::outcome_value<F&>...>> all(const context& ctx, F&&... f) {
  std::tuple<std::optional<detail::outcome_value<F&>>...> got;
  const auto joined = detail::run_all(
      ctx, [&](auto start) { std::apply([&](auto&... place) { (start(f, place), ...); }, got); });
  if (!joined) return joined.error();
  return std::apply([](auto&... place) { return std::tuple(*std::move(place)...); }, got);
}

/// As above, for functions whose number is known only at run time:
///
///     auto pages = curfew::all(ctx, urls | std::views::transform([](const std::string& url) {
///       return [&url](const curfew::context& ctx) { return fetch(ctx, url); };
///     }));
///
/// \return the values in the order of the functions: result<std::vector<T>>; result<> where they have none.
template <class Functions>
  requires detail::functions_of_context<Functions>
detail::all_of<detail::range_outcome<Functions>>::type all(const context& ctx, Functions&& functions) {
  using reference = std::ranges::range_reference_t<Functions>;
  using value = detail::value_of<detail::range_outcome<Functions>>;
  std::deque<std::optional<value>> got;  // whose members stay where they are
  const auto joined = detail::run_all(ctx, [&](auto start) {
    for (auto&& each : functions) start(std::forward<reference>(each), got.emplace_back());
  });
  if (!joined) return joined.error();
  if constexpr (std::is_void_v<typename detail::range_outcome<Functions>::value_type>) {
    return {};
  } else {
    std::vector<value> values;
    values.reserve(got.size());
    for (std::optional<value>& place : got) values.push_back(*std::move(place));
    return values;
  }
}

/// Runs several functions at the same time and returns the value of the first that succeeds:
///
///     auto page = curfew::race(ctx, [&](const curfew::context& ctx) { return fetch(ctx, mirror_a); },
///                                   [&](const curfew::context& ctx) { return fetch(ctx, mirror_b); });
///
/// They run as the tasks of a task_group. The first success cancels the context of the others, with a cause
/// that says so, and what those return is dropped; the call returns when all are over. So the losers should
/// obey their context.
///
/// \param f  All return the same: result<T>; or void, result<> or std::error_code.
/// Errors:         if all fail, the error of the first that failed, in time, but one that is transient()
///                 before one that is not: it says whether another race may be won. The end of ctx, with its
///                 cause, if it has ended by then; had it ended before, none is run.
/// Throws:         what a function throws before another one has succeeded; it cancels the others, too.
///                 std::bad_alloc.
/// Cancellation:   the functions get a context that ends with ctx and have to look at it; one that succeeds
///                 all the same wins.
/// Thread safety:  any thread, tasks of groups included.
/// Cost:           an allocation for each function.
template <class First, class... F>
  requires(std::invocable<First&, const context&> && (std::invocable<F&, const context&> && ...))
detail::outcome<First&> race(const context& ctx, First&& first, F&&... f) {
  using returned = detail::outcome<First&>;
  static_assert(
      (std::is_same_v<returned, detail::outcome<F&>> && ...),
      "curfew::race: one value comes out, so all functions have to return the same curfew::result<T>");
  return detail::run_race<returned>(ctx, [&](auto start) {
    start(first);
    (start(f), ...);
  });
}

/// As above, for functions whose number is known only at run time; at least one, else std::invalid_argument.
template <class Functions>
  requires detail::functions_of_context<Functions>
detail::range_outcome<Functions> race(const context& ctx, Functions&& functions) {
  using reference = std::ranges::range_reference_t<Functions>;
  return detail::run_race<detail::range_outcome<Functions>>(ctx, [&](auto start) {
    bool anything = false;
    for (auto&& each : functions) {
      start(std::forward<reference>(each));
      anything = true;
    }
    if (!anything) detail::throw_nobody_races();
  });
}

}  // namespace curfew
