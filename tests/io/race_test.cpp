// All of several coroutines, and the first of them.

#include "io/several.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io/race.hpp>
#include <curfew/io/sync.hpp>
#include <curfew/io/wait.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::cause;
using curfew::context;
using curfew::errc;
using curfew::error;
using curfew::result;
using namespace curfew::testing;

/// One result of a vector or a tuple of values.
template <class T>
coroutine<result<>> without_value(coroutine<result<T>> what) {
  auto got = co_await std::move(what);
  if (!got) co_return got.error();
  co_return result<>();
}

// ---- all

using AsyncAll = coroutines;

TEST_F(AsyncAll, ReturnsTheValuesInTheOrderOfTheCoroutinesWhichRunAtTheSameTime) {
  auto word = [](context its) -> coroutine<result<std::string>> {
    static_cast<void>(co_await curfew::async_sleep_for(its, 1h));
    co_return "two";
  };
  auto got = run(curfew::async_all(ctx, after(2h, 1), word));
  static_assert(std::is_same_v<decltype(got), result<std::tuple<int, std::string>>>);
  EXPECT_EQ(got, std::tuple(1, "two"));
  EXPECT_EQ(clock.now(), at(2h));
}

TEST_F(AsyncAll, HasAPlaceForCoroutinesWithoutAValue) {
  int runs = 0;
  auto nothing = [&](context) -> coroutine<void> {
    ++runs;
    co_return;
  };
  auto code = [](context) -> coroutine<std::error_code> { co_return std::error_code(); };
  auto none = [](context) -> coroutine<result<>> { co_return result<>(); };
  auto got = run(curfew::async_all(ctx, nothing, code, none));
  static_assert(
      std::is_same_v<decltype(got), result<std::tuple<std::monostate, std::monostate, std::monostate>>>);
  EXPECT_TRUE(got);
  EXPECT_EQ(runs, 1);
  auto bad_code = [](context) -> coroutine<std::error_code> {
    co_return std::make_error_code(std::errc::io_error);
  };
  EXPECT_EQ(run(curfew::async_all(ctx, nothing, bad_code)).error(), std::errc::io_error);
}

TEST_F(AsyncAll, HandsOnCoroutinesAndValuesThatCanOnlyBeMoved) {
  auto owner =
      [only = std::make_unique<int>(7)](context its) mutable -> coroutine<result<std::unique_ptr<int>>> {
    static_cast<void>(co_await curfew::async_sleep_for(its, 1s));
    co_return std::move(only);
  };
  auto got = run(curfew::async_all(ctx, std::move(owner)));
  ASSERT_TRUE(got);
  EXPECT_EQ(*std::get<0>(*got), 7);
}

TEST_F(AsyncAll, TheFirstErrorInTimeCancelsTheOthersWhichItWaitsFor) {
  auto got = run(curfew::async_all(ctx, fails_after(2h, unknown()), fails_after(1h, refused()),
                                   obedient(seen, cleaned), after(3h, 4)));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message(), refused().message());
  EXPECT_EQ(seen, cause(refused().code(), refused().message()));
  EXPECT_TRUE(cleaned);
  EXPECT_EQ(clock.now(), at(3h)) << "it did not wait for all";
}

TEST_F(AsyncAll, RethrowsWhatTheFirstToFailThrewOnceTheOthersAreOver) {
  auto all = curfew::async_all(ctx, throws_after(1h), fails_after(90min, refused()), obedient(seen, cleaned));
  EXPECT_THROW(static_cast<void>(run(std::move(all))), std::runtime_error);
  EXPECT_EQ(seen.message(), "a task threw an exception");
  EXPECT_TRUE(cleaned);
  auto other_way = curfew::async_all(ctx, throws_after(2h), fails_after(1h, refused()));
  EXPECT_EQ(run(std::move(other_way)).error().message(), refused().message());
}

TEST_F(AsyncAll, WithAnEndedContextRunsNothing) {
  scope.cancel("user left");
  int runs = 0;
  auto count = [&](context) -> coroutine<result<int>> { co_return ++runs; };
  EXPECT_EQ(run(curfew::async_all(scope, count, count)).error().message(),
            "all: canceled (cause: user left)");
  EXPECT_EQ(run(curfew::async_all(scope, std::vector<task>{count})).error().message(),
            "all: canceled (cause: user left)");
  EXPECT_EQ(runs, 0);
}

TEST_F(AsyncAll, EndsWithItsContextAndKeepsValuesThatComeAllTheSame) {
  auto ended = start(curfew::async_all(scope, obedient(seen, cleaned)));
  auto kept = start(curfew::async_all(scope, after(2h, 1), after(1h, 2)));
  scope.cancel("user left");
  poll(io);
  EXPECT_FALSE(over(ended)) << "it did not wait for its coroutine";
  EXPECT_EQ(finish(ended).error().message(), "waiting: canceled (cause: user left)");
  EXPECT_EQ(kept.get(), std::tuple(1, 2));
}

TEST_F(AsyncAll, OfARangeReturnsAVectorOfTheValues) {
  std::vector<task> tasks;
  for (int i = 0; i != 100; ++i) tasks.emplace_back(after((100 - i) * 1s, i));
  auto got = run(curfew::async_all(ctx, std::move(tasks)));
  static_assert(std::is_same_v<decltype(got), result<std::vector<int>>>);
  ASSERT_TRUE(got);
  ASSERT_EQ(got->size(), 100U);
  for (int i = 0; i != 100; ++i) EXPECT_EQ((*got)[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(clock.now(), at(100s));
  EXPECT_EQ(run(curfew::async_all(ctx, std::vector<task>())), std::vector<int>());
}

TEST_F(AsyncAll, OfARangeWithoutValuesIsAResultWithoutAValue) {
  int runs = 0;
  auto count = [&](context) -> coroutine<void> {
    ++runs;
    co_return;
  };
  std::vector<std::function<coroutine<void>(context)>> tasks(3, count);
  auto got = run(curfew::async_all(ctx, tasks));
  static_assert(std::is_same_v<decltype(got), result<>>);
  EXPECT_TRUE(got);
  EXPECT_EQ(runs, 3);
}

TEST_F(AsyncAll, OfARangeTheFirstErrorCancelsTheOthers) {
  const std::vector<task> tasks{after(1min, 1), obedient(seen, cleaned), fails_after(1h, refused())};
  auto got = run(curfew::async_all(ctx, tasks));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message(), refused().message());
  EXPECT_EQ(seen.message(), refused().message());
  EXPECT_TRUE(cleaned);
}

TEST_F(AsyncAll, RunsOnTheExecutorOfTheCaller) {
  asio::thread_pool pool(4);
  auto strand = asio::make_strand(pool);
  int alone = 0;  // not atomic: the strand runs one at a time
  auto hop = [&](context its) -> coroutine<result<int>> {
    for (int i = 0; i != 50; ++i) {
      EXPECT_TRUE(strand.running_in_this_thread());
      ++alone;
      static_cast<void>(co_await curfew::async_sleep_for(its, 0s));
    }
    co_return 1;
  };
  std::future<result<std::vector<int>>> got;
  auto begin = [&] {
    auto all = curfew::async_all(curfew::background(), std::vector<decltype(hop)>(8, hop));
    got = curfew::testing::start(asio::any_io_executor(strand), std::move(all));
  };
  asio::post(strand, begin);  // as Asio counts the owners of an executor in a way that tsan does not see
  pool.join();
  EXPECT_EQ(got.get(), std::vector<int>(8, 1));
  EXPECT_EQ(alone, 8 * 50);
}

TEST_F(AsyncAll, RunsInManyThreadsOfAPool) {
  asio::thread_pool pool(4);
  curfew::channel<int> c(1);
  auto send = [&](context its) -> coroutine<result<>> {
    for (int i = 0; i != 100; ++i) {
      auto sent = co_await curfew::async_send(its, c, 1);
      if (!sent) co_return sent;
    }
    co_return result<>();
  };
  auto receive = [&](context its) -> coroutine<result<int>> {
    int sum = 0;
    for (int i = 0; i != 200; ++i) {
      auto item = co_await curfew::async_receive(its, c);
      sum += item.value().value();
    }
    co_return sum;
  };
  auto all = curfew::async_all(curfew::background(), send, receive, send, send, receive, send);
  auto done = curfew::testing::start(pool, std::move(all));
  const auto got = done.get();
  ASSERT_TRUE(got);
  EXPECT_EQ(std::get<1>(*got) + std::get<4>(*got), 400);
}

TEST_F(AsyncAll, GoesWithItsIoContext) {
  const auto guarded = std::make_shared<int>(0);
  {
    asio::io_context gone;
    std::ignore =
        curfew::testing::start(gone, curfew::async_all(scope, suspended(guarded), suspended(guarded)));
    const std::vector<task> tasks(3, suspended(guarded));
    std::ignore = curfew::testing::start(gone, curfew::async_all(scope, tasks));
    poll(gone);
  }
  EXPECT_EQ(guarded.use_count(), 1) << "a coroutine outlives its io_context";
  EXPECT_EQ(*guarded, 0);
  scope.cancel();
}

// ---- Asio's per-operation cancellation

struct AsyncAllDeathTest : ::testing::Test {
  AsyncAllDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(AsyncAllDeathTest, CanceledByASignalDoesNotBlockTheThread) {
  const auto make = [](context its, const task& waits) {
    return without_value(curfew::async_all(std::move(its), waits, waits));
  };
  EXPECT_EXIT(cancel_by_signal(make), ::testing::ExitedWithCode(0), "");
}

// ---- race

using AsyncRace = coroutines;

TEST_F(AsyncRace, TheFirstSuccessWinsAndCancelsTheOthersWhichItWaitsFor) {
  auto got = run(curfew::async_race(ctx, after(5h, 1), after(1h, 2), obedient(seen, cleaned)));
  static_assert(std::is_same_v<decltype(got), result<int>>);
  EXPECT_EQ(got, 2);
  EXPECT_EQ(seen, errc::canceled);
  EXPECT_EQ(seen.message(), "the race is decided");
  EXPECT_TRUE(cleaned);
  EXPECT_EQ(clock.now(), at(5h));
}

TEST_F(AsyncRace, AFailureDoesNotDecideIt) {
  auto got =
      run(curfew::async_race(ctx, fails_after(1s, malformed()), fails_after(2s, refused()), after(3s, 3)));
  EXPECT_EQ(got, 3);
}

TEST_F(AsyncRace, IfAllFailTheErrorIsTheFirstInTimeButATransientOneBeforeAnother) {
  auto first_in_time = curfew::async_race(ctx, fails_after(2s, malformed()), fails_after(1s, unknown()));
  EXPECT_EQ(run(std::move(first_in_time)).error().message(), unknown().message());
  auto transient = curfew::async_race(ctx, fails_after(1s, malformed()), fails_after(2s, refused()),
                                      fails_after(3s, error(errc::deadline_exceeded, "reading")),
                                      fails_after(4s, unknown()));
  EXPECT_EQ(run(std::move(transient)).error().message(), refused().message());
}

TEST_F(AsyncRace, WhatOneThrowsBeforeASuccessDecidesItToo) {
  auto race = curfew::async_race(ctx, throws_after(1h), after(2h, 2), obedient(seen, cleaned));
  EXPECT_THROW(static_cast<void>(run(std::move(race))), std::runtime_error);
  EXPECT_EQ(seen.message(), "the race is decided");
  EXPECT_TRUE(cleaned);
  EXPECT_EQ(run(curfew::async_race(ctx, throws_after(2h), after(1h, 2))), 2) << "a loser's is dropped";
}

TEST_F(AsyncRace, OfOneIsThatOneWhateverItReturns) {
  auto nothing = [](context) -> coroutine<void> { co_return; };
  auto bad_code = [](context) -> coroutine<std::error_code> {
    co_return std::make_error_code(std::errc::io_error);
  };
  auto owner = [](context) -> coroutine<result<std::unique_ptr<int>>> { co_return std::make_unique<int>(7); };
  auto none = run(curfew::async_race(ctx, nothing));
  static_assert(std::is_same_v<decltype(none), result<>>);
  EXPECT_TRUE(none);
  EXPECT_EQ(run(curfew::async_race(ctx, bad_code)).error(), std::errc::io_error);
  EXPECT_EQ(*run(curfew::async_race(ctx, owner)).value(), 7);
  EXPECT_TRUE(run(curfew::async_race(ctx, bad_code, nothing)));
}

TEST_F(AsyncRace, WithAnEndedContextRunsNothing) {
  scope.cancel("user left");
  int runs = 0;
  auto count = [&](context) -> coroutine<result<int>> { co_return ++runs; };
  EXPECT_EQ(run(curfew::async_race(scope, count, count)).error().message(),
            "race: canceled (cause: user left)");
  EXPECT_EQ(run(curfew::async_race(scope, std::vector<task>{count})).error().message(),
            "race: canceled (cause: user left)");
  EXPECT_EQ(runs, 0);
}

TEST_F(AsyncRace, EndsWithItsContextUnlessOneSucceedsAllTheSame) {
  const auto report = curfew::with_timeout(ctx, 1h, cause("report budget"));
  auto ended = run(curfew::async_race(report, fails_after(1min, refused()), obedient(seen, cleaned)));
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error(), errc::deadline_exceeded);
  EXPECT_EQ(ended.error().cause(), cause("report budget"));
  EXPECT_TRUE(cleaned);
  auto kept = start(curfew::async_race(scope, fails_after(1h, refused()), after(2h, 2)));
  scope.cancel();
  EXPECT_EQ(finish(kept), 2);
}

TEST_F(AsyncRace, OfARangeIsWonByOneAndNobodyCannotWin) {
  const std::vector<task> tasks{fails_after(1s, refused()), obedient(seen, cleaned), after(1h, 3)};
  EXPECT_EQ(run(curfew::async_race(ctx, tasks)), 3);
  EXPECT_EQ(seen.message(), "the race is decided");
  EXPECT_TRUE(cleaned);
  auto of_nobody = curfew::async_race(ctx, std::vector<task>());
  EXPECT_THROW(static_cast<void>(run(std::move(of_nobody))), std::invalid_argument);
}

TEST_F(AsyncRace, HasOneWinnerInManyThreadsOfAPool) {
  asio::thread_pool pool(4);
  for (int round = 0; round != 50; ++round) {
    std::atomic<int> running{0};
    std::vector<task> tasks;
    for (int i = 0; i != 8; ++i) {
      tasks.emplace_back([&running, i](context its) -> coroutine<result<int>> {
        ++running;
        for (int hops = 0; hops != 5; ++hops) static_cast<void>(co_await curfew::async_sleep_for(its, 0s));
        --running;
        if (i % 2 == 0) co_return refused();
        co_return i;
      });
    }
    auto race = curfew::async_race(curfew::background(), std::move(tasks));
    auto won = curfew::testing::start(pool, std::move(race));
    const auto winner = won.get();
    ASSERT_TRUE(winner);
    EXPECT_EQ(*winner % 2, 1);
    EXPECT_EQ(running, 0) << "it did not wait for all";
  }
}

TEST_F(AsyncRace, GoesWithItsIoContext) {
  const auto guarded = std::make_shared<int>(0);
  {
    asio::io_context gone;
    std::ignore =
        curfew::testing::start(gone, curfew::async_race(scope, suspended(guarded), suspended(guarded)));
    const std::vector<task> tasks(3, suspended(guarded));
    std::ignore = curfew::testing::start(gone, curfew::async_race(scope, tasks));
    poll(gone);
  }
  EXPECT_EQ(guarded.use_count(), 1) << "a coroutine outlives its io_context";
  EXPECT_EQ(*guarded, 0);
  scope.cancel();
}

struct AsyncRaceDeathTest : ::testing::Test {
  AsyncRaceDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(AsyncRaceDeathTest, CanceledByASignalDoesNotBlockTheThread) {
  const auto make = [](context its, const task& waits) {
    return without_value(curfew::async_race(std::move(its), waits, waits));
  };
  EXPECT_EXIT(cancel_by_signal(make), ::testing::ExitedWithCode(0), "");
}

}  // namespace
