#include <curfew/sync/retry.hpp>

#include "core/allocations.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::manual_clock;

clock::time_point at(clock::duration since_epoch) { return clock::time_point(since_epoch); }

error refused() {
  return error(std::make_error_code(std::errc::connection_refused), "GET http://host/: connecting");
}
error malformed() { return error(std::make_error_code(std::errc::invalid_argument), "parsing the URL"); }

/// A function that fails as often as it is told to, and writes down when it was called.
struct flaky {
  int failures = 0;
  error how = refused();
  std::vector<clock::time_point> calls = {};

  result<int> operator()(const context& ctx) {
    calls.push_back(ctx.now());
    if (static_cast<int>(calls.size()) <= failures) return std::unexpected(how);
    return 42;
  }
};

constexpr int always = std::numeric_limits<int>::max();

struct Retry : ::testing::Test {
  manual_clock clock;
  const context& ctx = clock.background();

  Retry() { clock.autojump(); }
};

// ---- when it tries again

TEST_F(Retry, ReturnsWhatTheFirstTryReturned) {
  flaky f;
  EXPECT_EQ(retry(ctx, retry_policy(), f), 42);
  EXPECT_EQ(f.calls.size(), 1U);
  EXPECT_EQ(clock.now(), at(0s));
}

TEST_F(Retry, TriesAgainAfterErrorsThatAreTransient) {
  flaky f{.failures = 3};
  EXPECT_EQ(retry(ctx, retry_policy(), f), 42);
  EXPECT_EQ(f.calls.size(), 4U);
}

TEST_F(Retry, DoesNotTryAgainAfterOneThatIsNot) {
  flaky f{.failures = always, .how = malformed()};
  const auto got = retry(ctx, retry_policy(), f);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message(), malformed().message());
  EXPECT_EQ(f.calls.size(), 1U);
}

TEST_F(Retry, TriesAgainAsItsPredicateSays) {
  const auto is_malformed = [](const error& e) { return e == std::errc::invalid_argument; };
  const auto policy = retry_policy().retry_if(is_malformed);
  flaky permanent{.failures = 3, .how = malformed()};
  EXPECT_EQ(retry(ctx, policy, permanent), 42);
  EXPECT_EQ(permanent.calls.size(), 4U);
  flaky transient{.failures = always};
  EXPECT_EQ(retry(ctx, policy, transient).error(), std::errc::connection_refused);
  EXPECT_EQ(transient.calls.size(), 1U);
}

TEST(RetryPolicy, TellsWhatWasSet) {
  retry_budget budget;
  const auto policy = retry_policy().initial(1s).multiplier(3).max(5s).max_tries(4).budget(budget).seed(7);
  EXPECT_EQ(policy.initial(), 1s);
  EXPECT_EQ(policy.multiplier(), 3);
  EXPECT_EQ(policy.max(), 5s);
  EXPECT_EQ(policy.max_tries(), 4U);
  EXPECT_EQ(policy.budget(), &budget);
  EXPECT_EQ(policy.seed(), 7U);
  EXPECT_TRUE(policy.retries(refused()));
  EXPECT_FALSE(policy.retries(malformed()));
}

TEST_F(Retry, SaysAfterHowManyTriesItMetAnErrorThatIsNotTransient) {
  int calls = 0;
  const auto got = retry(ctx, retry_policy(), [&](const context&) -> result<int> {
    return std::unexpected(++calls < 3 ? refused() : malformed());
  });
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), std::errc::invalid_argument);
  EXPECT_EQ(got.error().doing(), "parsing the URL (3 tries)");
}

TEST_F(Retry, MakesSoManyTriesAtMost) {
  flaky f{.failures = always};
  const auto got = retry(ctx, retry_policy().max_tries(3), f);
  ASSERT_FALSE(got);
  EXPECT_EQ(f.calls.size(), 3U);
  EXPECT_EQ(got.error(), std::errc::connection_refused);
  EXPECT_TRUE(got.error().transient());
  EXPECT_EQ(got.error().doing(), "GET http://host/: connecting (3 tries)");
}

TEST_F(Retry, OneTryIsNoneAgainAndChangesNothingOfTheError) {
  for (const std::uint32_t most : {0U, 1U}) {
    flaky f{.failures = always};
    const auto got = retry(ctx, retry_policy().max_tries(most), f);
    ASSERT_FALSE(got);
    EXPECT_EQ(f.calls.size(), 1U);
    EXPECT_EQ(got.error().message(), refused().message());
  }
}

TEST_F(Retry, SaysHowManyTriesOfAnErrorThatDoesNotSayWhatWasBeingDone) {
  flaky f{.failures = always, .how = error(std::make_error_code(std::errc::connection_reset))};
  EXPECT_EQ(retry(ctx, retry_policy().max_tries(2), f).error().doing(), "2 tries");
}

TEST_F(Retry, KeepsTheCauseOfTheError) {
  flaky f{.failures = always, .how = error(make_error_code(errc::deadline_exceeded), "one try", "too slow")};
  EXPECT_EQ(retry(ctx, retry_policy().max_tries(2), f).error().message(),
            "one try (2 tries): deadline exceeded (cause: too slow)");
}

TEST_F(Retry, ATryWithADeadlineOfItsOwnIsTriedAgain) {
  int calls = 0;
  const auto got = retry(ctx, retry_policy().initial(0s), [&](const context& given) -> result<int> {
    const auto one_try = with_timeout(given, 1s);
    if (++calls < 3) {
      one_try.done().wait();
      return std::unexpected(error::ended(one_try));
    }
    return calls;
  });
  EXPECT_EQ(got, 3);
  EXPECT_EQ(clock.now(), at(2s));
}

TEST_F(Retry, GivesTheFunctionItsContext) {
  const auto scope = with_cancel(ctx);
  EXPECT_TRUE(retry(scope, retry_policy(), [&](const context& given) -> result<> {
    EXPECT_EQ(given, scope.ctx());
    return {};
  }));
}

TEST_F(Retry, WhatTheFunctionThrowsComesOut) {
  int calls = 0;
  const auto throws = [&](const context&) -> result<int> {
    ++calls;
    throw std::runtime_error("bug");
  };
  EXPECT_THROW(std::ignore = retry(ctx, retry_policy(), throws), std::runtime_error);
  EXPECT_EQ(calls, 1);
}

TEST_F(Retry, TakesFunctionsThatReturnAnErrorCode) {
  int calls = 0;
  const result<> got = retry(ctx, retry_policy(), [&](const context&) {
    return ++calls < 3 ? std::make_error_code(std::errc::connection_reset) : std::error_code();
  });
  EXPECT_TRUE(got);
  EXPECT_EQ(calls, 3);
}

TEST_F(Retry, HandsOnAValueThatCanOnlyBeMoved) {
  auto got = retry(ctx, retry_policy(),
                   [](const context&) -> result<std::unique_ptr<int>> { return std::make_unique<int>(7); });
  ASSERT_TRUE(got);
  EXPECT_EQ(**got, 7);
}

// ---- how long it waits

std::vector<clock::duration> waits_of(const std::vector<clock::time_point>& calls) {
  std::vector<clock::duration> waits;
  for (std::size_t i = 1; i < calls.size(); ++i) waits.push_back(calls[i] - calls[i - 1]);
  return waits;
}

TEST_F(Retry, WaitsForARandomTimeUpToALimitThatGrows) {
  std::vector<clock::duration> longest(6, 0s);
  std::vector<clock::duration> shortest(6, 1h);
  for (std::uint64_t seed = 0; seed != 200; ++seed) {
    flaky f{.failures = 6};
    const auto policy = retry_policy().initial(100ms).multiplier(3).max(2s).seed(seed);
    EXPECT_TRUE(retry(ctx, policy, f));
    const auto waits = waits_of(f.calls);
    ASSERT_EQ(waits.size(), 6U);
    for (std::size_t i = 0; i != 6; ++i) {
      longest[i] = std::max(longest[i], waits[i]);
      shortest[i] = std::min(shortest[i], waits[i]);
    }
  }
  const std::vector<clock::duration> limits{100ms, 300ms, 900ms, 2s, 2s, 2s};
  for (std::size_t i = 0; i != 6; ++i) {
    EXPECT_LE(longest[i], limits[i]);
    EXPECT_GT(longest[i], limits[i] * 9 / 10);  // of 200, with these seeds
    EXPECT_LT(shortest[i], limits[i] / 10);
  }
}

TEST_F(Retry, WaitsTheSameTimesWithTheSameSeed) {
  flaky a{.failures = 5};
  flaky b{.failures = 5};
  flaky c{.failures = 5};
  EXPECT_TRUE(retry(ctx, retry_policy().seed(1), a));
  EXPECT_TRUE(retry(ctx, retry_policy().seed(1), b));
  EXPECT_TRUE(retry(ctx, retry_policy().seed(2), c));
  EXPECT_EQ(waits_of(a.calls), waits_of(b.calls));
  EXPECT_NE(waits_of(a.calls), waits_of(c.calls));
}

TEST_F(Retry, WaitsDifferentTimesInEachCallWithoutASeed) {
  flaky a{.failures = 5};
  flaky b{.failures = 5};
  const retry_policy policy;
  EXPECT_TRUE(retry(ctx, policy, a));
  EXPECT_TRUE(retry(ctx, policy, b));
  EXPECT_NE(waits_of(a.calls), waits_of(b.calls));
}

TEST_F(Retry, TimesBelowZeroCountAsZero) {
  flaky f{.failures = 5};
  EXPECT_TRUE(retry(ctx, retry_policy().initial(-1s), f));
  EXPECT_TRUE(retry(ctx, retry_policy().max(-1s), f));
  EXPECT_EQ(clock.now(), at(0s));
}

TEST_F(Retry, TheLongestOfTimesDoNotOverflow) {
  flaky f{.failures = 50};
  const auto policy =
      retry_policy().initial(1h).max(clock::duration::max()).multiplier(std::numeric_limits<double>::max());
  const auto scope = with_timeout(ctx, 24h * 365 * 200);
  EXPECT_EQ(retry(scope, policy, f).error(), std::errc::connection_refused);
  EXPECT_GE(f.calls.size(), 2U);
}

TEST(RetryPolicy, AMultiplierBelowOneIsRefused) {
  EXPECT_THROW(retry_policy().multiplier(0.9), std::invalid_argument);
  EXPECT_THROW(retry_policy().multiplier(std::numeric_limits<double>::quiet_NaN()), std::invalid_argument);
  EXPECT_THROW(retry_policy().multiplier(std::numeric_limits<double>::infinity()), std::invalid_argument);
}

// ---- deadlines and cancels

TEST_F(Retry, GivesUpAtOnceIfTheDeadlineComesBeforeTheNextTry) {
  flaky f{.failures = always};
  const auto scope = with_timeout(ctx, 10s);
  const auto got = retry(scope, retry_policy().initial(1s).max(1h).seed(1), f);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), std::errc::connection_refused);
  EXPECT_FALSE(scope.err());
  EXPECT_EQ(clock.now(), f.calls.back()) << "it waited for nothing";
  EXPECT_EQ(got.error().doing(), "GET http://host/: connecting (" + std::to_string(f.calls.size()) +
                                     " tries, the deadline comes before the next)");
}

TEST_F(Retry, GivesUpAfterOneTryIfTheDeadlineIsThatNear) {
  flaky f{.failures = always};
  const auto scope = with_timeout(ctx, 1ns);
  const auto got = retry(scope, retry_policy().initial(1h).max(1h).seed(7), f);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().doing(), "GET http://host/: connecting (1 try, the deadline comes before the next)");
  EXPECT_EQ(clock.now(), at(0s));
}

TEST_F(Retry, WithAnEndedContextDoesNotTry) {
  flaky f;
  auto scope = with_cancel(ctx);
  scope.cancel("user left");
  const auto got = retry(scope, retry_policy(), f);
  ASSERT_FALSE(got);
  EXPECT_TRUE(f.calls.empty());
  EXPECT_EQ(got.error().message(), "before the first try: canceled (cause: user left)");
}

TEST_F(Retry, IsCanceledInAWaitAndTellsOfTheLastError) {
  flaky f{.failures = always};
  auto scope = with_cancel(ctx);
  const auto soon = with_timeout(ctx, 30min);
  const on_done cancels(soon, [&] { scope.cancel("user left"); });
  const auto got = retry(scope, retry_policy().initial(24h).max(24h).seed(7), f);
  ASSERT_FALSE(got);
  EXPECT_EQ(f.calls.size(), 1U);
  EXPECT_EQ(clock.now(), at(30min)) << "it stopped waiting at once";
  EXPECT_EQ(got.error(), errc::canceled);
  EXPECT_EQ(got.error().cause(), cause("user left"));
  EXPECT_EQ(got.error().message(),
            "waiting for another try (1 try, the last: GET http://host/: connecting: " +
                std::make_error_code(std::errc::connection_refused).message() +
                "): canceled (cause: user left)");
}

TEST_F(Retry, SaysWhatWasBeingDoneWhenTheContextEndedInATry) {
  auto scope = with_cancel(ctx);
  int calls = 0;
  const auto got = retry(scope, retry_policy(), [&](const context& given) -> result<int> {
    if (++calls < 3) return std::unexpected(refused());
    scope.cancel("user left");
    return std::unexpected(error::ended(given, "GET http://host/: reading"));
  });
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message(), "GET http://host/: reading (3 tries): canceled (cause: user left)");
}

TEST_F(Retry, TellsOfAnotherErrorOfTheTryInWhichTheContextEnded) {
  auto scope = with_cancel(ctx);
  const auto got = retry(scope, retry_policy(), [&](const context&) -> result<int> {
    scope.cancel("user left");
    return std::unexpected(malformed());
  });
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::canceled);
  EXPECT_EQ(got.error().doing(), "1 try, the last: " + malformed().message());
}

TEST_F(Retry, ADeadlineThatComesInATryIsTheEndAndIsNotTriedAgain) {
  const auto scope = with_timeout(ctx, 1s, "report budget");
  int calls = 0;
  const auto got = retry(scope, retry_policy(), [&](const context& given) -> result<int> {
    ++calls;
    given.done().wait();
    return std::unexpected(error::ended(given, "reading"));
  });
  ASSERT_FALSE(got);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(got.error().message(), "reading: deadline exceeded (cause: report budget)");
}

TEST_F(Retry, ReturnsAValueThoughTheContextHasEnded) {
  auto scope = with_cancel(ctx);
  EXPECT_EQ(retry(scope, retry_policy(),
                  [&](const context&) -> result<int> {
                    scope.cancel();
                    return 5;
                  }),
            5);
}

// ---- budget

TEST(RetryBudget, IsFullAtFirstAndEachRetryTakesOne) {
  retry_budget budget(0.1, 3);
  EXPECT_EQ(budget.left(), 3U);
  EXPECT_TRUE(budget.withdraw());
  EXPECT_TRUE(budget.withdraw());
  EXPECT_TRUE(budget.withdraw());
  EXPECT_FALSE(budget.withdraw());
  EXPECT_EQ(budget.left(), 0U);
}

TEST(RetryBudget, EachSuccessBringsAPartOfOne) {
  retry_budget budget(0.25, 1);
  EXPECT_TRUE(budget.withdraw());
  for (int i = 0; i != 3; ++i) {
    budget.deposit();
    EXPECT_FALSE(budget.withdraw());
  }
  budget.deposit();
  EXPECT_TRUE(budget.withdraw());
}

TEST(RetryBudget, HoldsNoMoreThanItsMost) {
  retry_budget budget(1, 2);
  for (int i = 0; i != 10; ++i) budget.deposit();
  budget.give_back();
  EXPECT_EQ(budget.left(), 2U);
}

TEST(RetryBudget, TakesBackWhatWasNotUsed) {
  retry_budget budget(0, 1);
  EXPECT_TRUE(budget.withdraw());
  budget.give_back();
  EXPECT_TRUE(budget.withdraw());
}

TEST(RetryBudget, RefusesNumbersThatMakeNoSense) {
  EXPECT_THROW(retry_budget(-0.1), std::invalid_argument);
  EXPECT_THROW(retry_budget(1.1), std::invalid_argument);
  EXPECT_THROW(retry_budget{std::numeric_limits<double>::quiet_NaN()}, std::invalid_argument);
  EXPECT_THROW(retry_budget(0.1, 0), std::invalid_argument);
}

TEST(RetryBudget, GivesAwayWhatItHasAndNoMoreToManyThreads) {
  retry_budget budget(0.5, 1'000'000);
  while (budget.withdraw()) {
  }
  std::atomic<int> withdrawn{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t != 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i != 10'000; ++i) {
          budget.deposit();
          if (budget.withdraw()) ++withdrawn;
        }
      });
    }
  }
  while (budget.withdraw()) ++withdrawn;
  EXPECT_EQ(withdrawn, 20'000);
}

TEST_F(Retry, WithoutBudgetMakesNoRetry) {
  retry_budget budget(0.1, 2);
  const auto policy = retry_policy().budget(budget);
  flaky f{.failures = always};
  const auto got = retry(ctx, policy, f);
  ASSERT_FALSE(got);
  EXPECT_EQ(f.calls.size(), 3U);
  EXPECT_EQ(got.error(), std::errc::connection_refused);
  EXPECT_EQ(got.error().doing(), "GET http://host/: connecting (3 tries, the retry budget is used up)");
  EXPECT_EQ(clock.now(), f.calls.back());

  flaky other{.failures = always};
  const auto first_try = retry(ctx, policy, other);
  EXPECT_EQ(other.calls.size(), 1U) << "first tries are always made";
  EXPECT_EQ(first_try.error().doing(), "GET http://host/: connecting (1 try, the retry budget is used up)");
}

TEST_F(Retry, SuccessesFillTheBudget) {
  retry_budget budget(0.5, 1);
  const auto policy = retry_policy().budget(budget);
  flaky twice{.failures = 1};
  EXPECT_TRUE(retry(ctx, policy, twice));  // -1 +0.5
  EXPECT_EQ(budget.left(), 0U);
  flaky at_once;
  EXPECT_TRUE(retry(ctx, policy, at_once));  // +0.5
  EXPECT_EQ(budget.left(), 1U);
}

TEST_F(Retry, AnErrorThatIsNotTransientTakesNothingFromTheBudget) {
  retry_budget budget(0.5, 3);
  flaky f{.failures = always, .how = malformed()};
  EXPECT_FALSE(retry(ctx, retry_policy().budget(budget), f));
  EXPECT_EQ(budget.left(), 3U);
}

TEST_F(Retry, ARetryThatIsNotMadeIsGivenBackToTheBudget) {
  retry_budget budget(0.5, 3);
  flaky f{.failures = always};
  auto scope = with_cancel(ctx);
  const auto soon = with_timeout(ctx, 30min);
  const on_done cancels(soon, [&] { scope.cancel(); });
  EXPECT_FALSE(retry(scope, retry_policy().budget(budget).initial(24h).max(24h).seed(7), f));
  EXPECT_EQ(clock.now(), at(30min));
  EXPECT_EQ(budget.left(), 3U);
}

TEST_F(Retry, TakesNothingFromTheBudgetIfTheDeadlineIsTooNear) {
  retry_budget budget(0.5, 3);
  flaky f{.failures = always};
  const auto scope = with_timeout(ctx, 1ns);
  EXPECT_FALSE(retry(scope, retry_policy().budget(budget).initial(1h).seed(7), f));
  EXPECT_EQ(budget.left(), 3U);
}

TEST_F(Retry, WithoutMemoryForTheWaitTheBudgetGetsItsTokenBack) {
  if (!testing::allocations_are_counted) GTEST_SKIP() << "this sanitizer has its own operator new";
  retry_budget budget(0.5, 3);
  const auto fails = [](const context&) { return std::make_error_code(std::errc::connection_refused); };
  const testing::failing_allocation none_left(1);
  EXPECT_THROW(std::ignore = retry(ctx, retry_policy().budget(budget), fails), std::bad_alloc);
  EXPECT_EQ(budget.left(), 3U);
}

}  // namespace
}  // namespace curfew
