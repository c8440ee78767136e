// A coroutine that is tried again when it fails.

#include "io/several.hpp"

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io/retry.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/sync/retry.hpp>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::cause;
using curfew::context;
using curfew::errc;
using curfew::error;
using curfew::result;
using curfew::retry_policy;
using namespace curfew::testing;

using AsyncRetry = coroutines;

/// Fails as often as it is told to, and writes down when it was called.
struct flaky {
  int failures = std::numeric_limits<int>::max();
  error how = refused();
  std::vector<curfew::clock::time_point> calls = {};

  result<int> call(const context& ctx) {
    calls.push_back(ctx.now());
    if (static_cast<int>(calls.size()) <= failures) return how;
    return 42;
  }
  coroutine<result<int>> operator()(context ctx) { co_return call(ctx); }
};

/// A wait of more than an hour, before the second try.
retry_policy long_wait() { return retry_policy().initial(24h).max(24h).seed(7); }

TEST_F(AsyncRetry, TriesAgainAfterErrorsThatAreTransientAtTheSameTimesAsRetry) {
  const auto policy = retry_policy().initial(1s).multiplier(3).max(5s).seed(42);
  flaky f{.failures = 6};
  EXPECT_EQ(run(curfew::async_retry(ctx, policy, std::ref(f))), 42);
  manual_clock other;
  other.autojump();
  flaky twin{.failures = 6};
  EXPECT_EQ(curfew::retry(other.background(), policy, [&](const context& its) { return twin.call(its); }),
            42);
  EXPECT_EQ(f.calls, twin.calls);
  EXPECT_EQ(f.calls.size(), 7U);
  EXPECT_GT(f.calls.back(), at(0s));
}

TEST_F(AsyncRetry, DoesNotTryAgainWhereThatMakesNoSense) {
  flaky permanent{.how = malformed()};
  EXPECT_EQ(run(curfew::async_retry(ctx, retry_policy(), std::ref(permanent))).error().message(),
            malformed().message());
  EXPECT_EQ(permanent.calls.size(), 1U);

  flaky often;
  const auto third = run(curfew::async_retry(ctx, retry_policy().max_tries(3), std::ref(often)));
  EXPECT_EQ(third.error().doing(), "connecting (3 tries)");
  EXPECT_EQ(often.calls.size(), 3U);

  flaky late;
  const auto soon = curfew::with_timeout(ctx, 1ns);
  const auto began = clock.now();
  auto given_up = start(curfew::async_retry(soon, long_wait(), std::ref(late)));
  ASSERT_TRUE(over(given_up));
  EXPECT_EQ(given_up.get().error().doing(), "connecting (1 try, the deadline comes before the next)");
  EXPECT_EQ(clock.now(), began);
}

TEST_F(AsyncRetry, LetsOutWhatATryThrowsAndDoesNotTryAgain) {
  curfew::retry_budget budget(0.5, 3);
  int calls = 0;
  auto throws = [&](context) -> coroutine<result<int>> {
    if (++calls == 2) throw std::runtime_error("bug");
    co_return refused();
  };
  auto tries = curfew::async_retry(ctx, retry_policy().budget(budget), throws);
  EXPECT_THROW(static_cast<void>(run(std::move(tries))), std::runtime_error);
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(budget.left(), 2U) << "the second try was made";
}

TEST_F(AsyncRetry, WithAnEndedContextIsNotCalledAndKeepsAValueThoughItHasEnded) {
  auto ends_it = [&](context) -> coroutine<result<int>> {
    scope.cancel("user left");
    co_return 5;
  };
  EXPECT_EQ(run(curfew::async_retry(scope, retry_policy(), ends_it)), 5);
  flaky f;
  EXPECT_EQ(run(curfew::async_retry(scope, retry_policy(), std::ref(f))).error().message(),
            "before the first try: canceled (cause: user left)");
  EXPECT_TRUE(f.calls.empty());
}

TEST_F(AsyncRetry, IsCanceledInAWaitAtOnceAndTheBudgetGetsItsTokenBack) {
  curfew::retry_budget budget(0.5, 3);
  flaky f;
  auto tries = start(curfew::async_retry(scope, long_wait().budget(budget), std::ref(f)));
  EXPECT_EQ(budget.left(), 2U);
  scope.cancel("user left");
  poll(io);
  ASSERT_TRUE(over(tries));
  EXPECT_EQ(tries.get().error().message(), "waiting for another try (1 try, the last: " +
                                               refused().message() + "): canceled (cause: user left)");
  EXPECT_EQ(f.calls.size(), 1U);
  EXPECT_EQ(budget.left(), 3U);
}

TEST_F(AsyncRetry, ObeysAsiosCancellationSlotInAWaitAndTheBudgetGetsItsTokenBack) {
  curfew::retry_budget budget(0.5, 3);
  flaky f;
  auto what = curfew::async_retry(ctx, long_wait().budget(budget), std::ref(f));
  auto tries = curfew::testing::start(io, std::move(what), signal.slot());
  poll(io);
  EXPECT_EQ(budget.left(), 2U);
  signal.emit(asio::cancellation_type::terminal);
  poll(io);
  ASSERT_TRUE(over(tries));
  EXPECT_EQ(tries.get().error().message(),
            "waiting for another try (1 try, the last: " + refused().message() + "): canceled");
  EXPECT_EQ(f.calls.size(), 1U);
  EXPECT_EQ(budget.left(), 3U);
}

TEST_F(AsyncRetry, TheBudgetGetsItsTokenBackIfItGoesWithItsIoContext) {
  curfew::retry_budget budget(0.5, 3);
  const auto guarded = std::make_shared<int>(0);
  auto f = [kept = guarded](context) -> coroutine<result<int>> {
    ++*kept;
    co_return refused();
  };
  {
    asio::io_context gone;
    std::ignore =
        curfew::testing::start(gone, curfew::async_retry(ctx, long_wait().budget(budget), std::move(f)));
    poll(gone);
    EXPECT_EQ(budget.left(), 2U);
  }
  EXPECT_EQ(budget.left(), 3U);
  EXPECT_EQ(guarded.use_count(), 1) << "a coroutine outlives its io_context";
  clock.advance(48h);
  EXPECT_EQ(*guarded, 1);
}

TEST_F(AsyncRetry, TakesFromTheBudgetForEachRetryAndASuccessFillsIt) {
  curfew::retry_budget budget(0.5, 2);
  const auto policy = retry_policy().budget(budget);
  flaky f;
  EXPECT_EQ(run(curfew::async_retry(ctx, policy, std::ref(f))).error().doing(),
            "connecting (3 tries, the retry budget is used up)");
  EXPECT_EQ(f.calls.size(), 3U);
  EXPECT_EQ(budget.left(), 0U);
  flaky succeeds{.failures = 0};
  EXPECT_TRUE(run(curfew::async_retry(ctx, policy, std::ref(succeeds))));
  EXPECT_TRUE(run(curfew::async_retry(ctx, policy, std::ref(succeeds))));
  EXPECT_EQ(budget.left(), 1U);
}

TEST_F(AsyncRetry, GivesEachTryItsContextAndHandsOnWhatItReturns) {
  std::vector<context> given;
  auto owner = [&](context its) -> coroutine<result<std::unique_ptr<int>>> {
    given.push_back(its);
    if (given.size() < 3) co_return refused();
    co_return std::make_unique<int>(7);
  };
  EXPECT_EQ(*run(curfew::async_retry(scope, retry_policy(), owner)).value(), 7);
  EXPECT_EQ(given, std::vector<context>(3, scope.ctx()));
  int codes = 0;
  auto code = [&](context) -> coroutine<std::error_code> {
    if (++codes < 3) co_return std::make_error_code(std::errc::connection_refused);
    co_return std::error_code();
  };
  auto none = run(curfew::async_retry(scope, retry_policy(), code));
  static_assert(std::is_same_v<decltype(none), result<>>);
  EXPECT_TRUE(none);
  EXPECT_EQ(codes, 3);
}

}  // namespace
