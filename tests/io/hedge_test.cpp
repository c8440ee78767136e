// A coroutine that is tried a second time when it is late.

#include "io/several.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io/hedge.hpp>
#include <curfew/io/wait.hpp>
#include <functional>
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
using namespace curfew::testing;

/// One result of a vector or a tuple of values.
template <class T>
coroutine<result<>> without_value(coroutine<result<T>> what) {
  auto got = co_await std::move(what);
  if (!got) co_return got.error();
  co_return result<>();
}

using AsyncHedge = coroutines;

/// Two tries, each of which takes a time and ends in its own way.
struct two_tries {
  struct one {
    curfew::clock::duration takes;
    result<int> outcome;
  };
  std::vector<one> tries;
  std::vector<curfew::clock::time_point> calls = {};
  std::vector<cause> causes = {};

  /// Ends when its context does.
  coroutine<result<int>> operator()(context ctx) {
    const std::size_t mine = calls.size();
    calls.push_back(ctx.now());
    const one now = tries.at(mine);
    auto slept = co_await curfew::async_sleep_for(ctx, now.takes);
    if (!slept) {
      causes.push_back(ctx.cause());
      co_return error::ended(ctx, "looking up");
    }
    co_return now.outcome;
  }
};

using calls_at = std::vector<curfew::clock::time_point>;

TEST_F(AsyncHedge, OfOneThatIsFastEnoughMakesNoSecondTry) {
  two_tries f{{{1h - 1ns, 1}}};
  EXPECT_EQ(run(curfew::async_hedge(ctx, 1h, std::ref(f))), 1);
  EXPECT_EQ(f.calls.size(), 1U);
  EXPECT_EQ(clock.now(), at(1h - 1ns));
}

TEST_F(AsyncHedge, MakesTheSecondTryAfterTheDelayAndTheFasterWins) {
  two_tries second_wins{{{5h, 1}, {1h, 2}}};
  EXPECT_EQ(run(curfew::async_hedge(ctx, 1h, std::ref(second_wins))), 2);
  EXPECT_EQ(second_wins.calls, (calls_at{at(0h), at(1h)}));
  EXPECT_EQ(clock.now(), at(2h));
  ASSERT_EQ(second_wins.causes.size(), 1U);
  EXPECT_EQ(second_wins.causes[0], errc::canceled);
  EXPECT_EQ(second_wins.causes[0].message(), "the other try has decided");

  two_tries first_wins{{{90min, 1}, {1h, 2}}};
  EXPECT_EQ(run(curfew::async_hedge(ctx, 1h, std::ref(first_wins))), 1);
  EXPECT_EQ(clock.now(), at(3h + 30min));
  EXPECT_EQ(first_wins.causes.size(), 1U);
}

TEST_F(AsyncHedge, WithoutADelayMakesBothTriesAtOnce) {
  for (const curfew::clock::duration delay : {0s, -1s}) {
    two_tries f{{{1h, 1}, {1min, 2}}};
    const auto began = clock.now();
    EXPECT_EQ(run(curfew::async_hedge(ctx, delay, std::ref(f))), 2);
    EXPECT_EQ(f.calls, (calls_at{began, began}));
  }
}

TEST_F(AsyncHedge, MakesTheSecondTryAtOnceWhenTheFirstFailsWithATransientError) {
  two_tries f{{{1min, refused()}, {1h, 2}}};
  EXPECT_EQ(run(curfew::async_hedge(ctx, 24h, std::ref(f))), 2);
  EXPECT_EQ(f.calls, (calls_at{at(0h), at(1min)}));
  EXPECT_EQ(clock.now(), at(1h + 1min));
}

TEST_F(AsyncHedge, AnErrorThatIsNotTransientDecides) {
  two_tries alone{{{1min, malformed()}}};
  EXPECT_EQ(run(curfew::async_hedge(ctx, 1h, std::ref(alone))).error().message(), malformed().message());
  EXPECT_EQ(alone.calls.size(), 1U);
  two_tries both{{{24h, 1}, {1min, malformed()}}};
  EXPECT_EQ(run(curfew::async_hedge(ctx, 1h, std::ref(both))).error().message(), malformed().message());
  EXPECT_EQ(both.causes.size(), 1U);
}

TEST_F(AsyncHedge, IfBothFailTheErrorIsThatOfTheFirstToFail) {
  const error timeout(errc::deadline_exceeded, "reading");
  two_tries f{{{3h, refused()}, {1h, timeout}}};
  EXPECT_EQ(run(curfew::async_hedge(ctx, 1h, std::ref(f))).error().message(), timeout.message());
  EXPECT_EQ(clock.now(), at(3h)) << "the first was canceled by a failure that decides nothing";
}

TEST_F(AsyncHedge, RethrowsWhatATryThrowsBeforeTheOtherHasDecided) {
  int calls = 0;
  auto f = [&](context its) -> coroutine<result<int>> {
    if (++calls == 2) throw std::runtime_error("bug");
    static_cast<void>(co_await curfew::async_wait(its.done()));
    seen = its.cause();
    throw std::logic_error("dropped");
  };
  EXPECT_THROW(static_cast<void>(run(curfew::async_hedge(ctx, 1h, f))), std::runtime_error);
  EXPECT_EQ(seen.message(), "the other try has decided");
}

TEST_F(AsyncHedge, WithAnEndedContextIsNotCalled) {
  scope.cancel("user left");
  two_tries f;
  EXPECT_EQ(run(curfew::async_hedge(scope, 1h, std::ref(f))).error().message(),
            "hedge: canceled (cause: user left)");
  EXPECT_TRUE(f.calls.empty());
}

TEST_F(AsyncHedge, MakesNoSecondTryOnceItsContextHasEnded) {
  two_tries f{{{24h, 1}}};
  const auto report = curfew::with_timeout(ctx, 1h, cause("report budget"));
  const auto got = run(curfew::async_hedge(report, 1h, std::ref(f)));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message(), "looking up: deadline exceeded (cause: report budget)");
  EXPECT_EQ(f.calls.size(), 1U);
  EXPECT_EQ(clock.now(), at(1h));
}

TEST_F(AsyncHedge, KeepsASuccessThoughItsContextHasEnded) {
  auto kept = start(curfew::async_hedge(scope, 24h, after(1h, 1)));
  scope.cancel();
  EXPECT_EQ(finish(kept), 1);
}

TEST_F(AsyncHedge, HandsOnAValueThatCanOnlyBeMovedOrNone) {
  auto owner = [only = std::make_unique<int>(7)](context) mutable -> coroutine<result<std::unique_ptr<int>>> {
    co_return std::move(only);
  };
  EXPECT_EQ(*run(curfew::async_hedge(ctx, 1h, std::move(owner))).value(), 7);
  auto bad_code = [](context) -> coroutine<std::error_code> {
    co_return std::make_error_code(std::errc::io_error);
  };
  EXPECT_EQ(run(curfew::async_hedge(ctx, 1h, bad_code)).error(), std::errc::io_error);
}

TEST_F(AsyncHedge, HasOneOutcomeInManyThreadsOfAPool) {
  asio::thread_pool pool(4);
  for (int round = 0; round != 50; ++round) {
    std::atomic<int> calls{0};
    std::atomic<int> running{0};
    auto f = [&](context its) -> coroutine<result<int>> {
      const int mine = ++calls;
      ++running;
      for (int hops = 0; hops != 5; ++hops) static_cast<void>(co_await curfew::async_sleep_for(its, 0s));
      --running;
      if (mine == 1 + round % 2) co_return refused();
      co_return mine;
    };
    auto hedge = curfew::async_hedge(curfew::background(), 0s, f);
    auto won = curfew::testing::start(pool, std::move(hedge));
    EXPECT_EQ(won.get(), 2 - round % 2);
    EXPECT_EQ(running, 0) << "it did not wait for both";
  }
}

TEST_F(AsyncHedge, GoesWithItsIoContext) {
  const auto guarded = std::make_shared<int>(0);
  {
    asio::io_context gone;
    std::ignore = curfew::testing::start(gone, curfew::async_hedge(scope, 1h, suspended(guarded)));
    std::ignore = curfew::testing::start(gone, curfew::async_hedge(scope, 0h, suspended(guarded)));
    poll(gone);
  }
  EXPECT_EQ(guarded.use_count(), 1) << "a coroutine outlives its io_context";
  clock.advance(1h);
  EXPECT_EQ(*guarded, 0);
}

// ---- Asio's per-operation cancellation

struct AsyncHedgeDeathTest : ::testing::Test {
  AsyncHedgeDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(AsyncHedgeDeathTest, CanceledByASignalDoesNotBlockTheThread) {
  const auto make = [](context its, const task& waits) {
    return without_value(curfew::async_hedge(std::move(its), 24h, waits));
  };
  EXPECT_EXIT(cancel_by_signal(make), ::testing::ExitedWithCode(0), "");
}

}  // namespace
