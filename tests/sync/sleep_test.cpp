#include <curfew/sync/sleep.hpp>

#include "sync/waiting.hpp"

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/sync/select.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <gtest/gtest.h>
#include <latch>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::manual_clock;

/// A manual clock that jumps whenever the one thread of the test waits.
struct jumping_clock : manual_clock {
  jumping_clock() { autojump(); }
};

clock::time_point at(clock::duration since_epoch) { return clock::time_point(since_epoch); }

// ---- sleep_for, sleep_until

TEST(SleepFor, SleepsOnTheClockOfItsContext) {
  const jumping_clock clock;
  EXPECT_TRUE(sleep_for(clock.background(), 3h));
  EXPECT_EQ(clock.now(), at(3h));
}

TEST(SleepFor, OfZeroOrLessReturnsAtOnce) {
  const jumping_clock clock;
  const auto later = with_timeout(clock.background(), 1s);
  EXPECT_TRUE(sleep_for(later, 0s));
  EXPECT_TRUE(sleep_for(later, -1h));
  EXPECT_TRUE(sleep_for(later, clock::duration::min()));
  EXPECT_EQ(clock.now(), at(0s));
}

TEST(SleepFor, IsCutShortByTheEndOfItsContext) {
  manual_clock clock;
  auto scope = with_cancel(clock.background());
  std::jthread sleeper([&] {
    const auto slept = sleep_for(scope, 1h);
    ASSERT_FALSE(slept);
    EXPECT_EQ(slept.error(), errc::canceled);
    EXPECT_EQ(slept.error().cause(), cause("user left"));
    EXPECT_EQ(slept.error().message(), "sleeping: canceled (cause: user left)");
  });
  scope.cancel("user left");
  sleeper.join();
  EXPECT_EQ(clock.now(), at(0s));
}

TEST(SleepFor, OfAnEndedContextFailsAtOnce) {
  const jumping_clock clock;
  auto scope = with_cancel(clock.background());
  scope.cancel();
  EXPECT_EQ(sleep_for(scope, 1h).error(), errc::canceled);
  EXPECT_EQ(sleep_for(scope, 0s).error(), errc::canceled);
  EXPECT_EQ(clock.now(), at(0s));
}

TEST(SleepFor, WaitsForADeadlineThatComesBeforeAndFails) {
  const jumping_clock clock;
  const auto scope = with_timeout(clock.background(), 1s, "report budget");
  const auto slept = sleep_for(scope, 1h);
  ASSERT_FALSE(slept);
  EXPECT_EQ(slept.error(), errc::deadline_exceeded);
  EXPECT_EQ(slept.error().cause(), cause("report budget"));
  EXPECT_EQ(clock.now(), at(1s));
}

TEST(SleepFor, FailsIfTheDeadlineComesAtTheSameMoment) {
  const jumping_clock clock;
  const auto scope = with_timeout(clock.background(), 1s);
  EXPECT_EQ(sleep_for(scope, 1s).error(), errc::deadline_exceeded);
}

TEST(SleepFor, SucceedsIfTheDeadlineComesLater) {
  const jumping_clock clock;
  const auto scope = with_timeout(clock.background(), 1s);
  EXPECT_TRUE(sleep_for(scope, 1s - 1ns));
  EXPECT_FALSE(scope.err());
}

TEST(SleepUntil, SleepsUntilAPointInTime) {
  const jumping_clock clock;
  EXPECT_TRUE(sleep_until(clock.background(), at(5s)));
  EXPECT_EQ(clock.now(), at(5s));
  EXPECT_TRUE(sleep_until(clock.background(), at(7s)));
  EXPECT_EQ(clock.now(), at(7s));
}

TEST(SleepUntil, AMomentThatHasPassedReturnsAtOnce) {
  jumping_clock clock;
  clock.advance(10s);
  EXPECT_TRUE(sleep_until(clock.background(), at(10s)));
  EXPECT_TRUE(sleep_until(clock.background(), clock::time_point::min()));
  EXPECT_EQ(clock.now(), at(10s));
}

TEST(SleepUntil, FailsWithTheEndOfItsContext) {
  const jumping_clock clock;
  const auto scope = with_timeout(clock.background(), 1s);
  const auto slept = sleep_until(scope, clock::time_point::max());
  ASSERT_FALSE(slept);
  EXPECT_EQ(slept.error().message(), "sleeping: deadline exceeded");
  EXPECT_EQ(clock.now(), at(1s));
}

// ---- ticker

TEST(Ticker, TicksAtFixedPointsTheFirstAPeriodAfterItWasMade) {
  jumping_clock clock;
  clock.advance(1s);
  ticker every(clock.background(), 10s);
  for (int i = 1; i <= 5; ++i) {
    EXPECT_TRUE(every.next(clock.background()));
    EXPECT_EQ(clock.now(), at(1s + i * 10s));
  }
}

TEST(Ticker, IsNotShiftedByWorkBetweenTwoTicks) {
  jumping_clock clock;
  ticker every(clock.background(), 10s);
  EXPECT_TRUE(every.next(clock.background()));
  clock.advance(7s);
  EXPECT_TRUE(every.next(clock.background()));
  EXPECT_EQ(clock.now(), at(20s));
}

TEST(Ticker, GivesOneOfTheMissedTicksAtOnceAndDropsTheOthers) {
  jumping_clock clock;
  ticker every(clock.background(), 10s);
  clock.advance(35s);
  EXPECT_TRUE(every.next(clock.background()));
  EXPECT_EQ(clock.now(), at(35s));
  EXPECT_TRUE(every.next(clock.background()));
  EXPECT_EQ(clock.now(), at(40s));
}

TEST(Ticker, ATickThatComesAtThisMomentHasCome) {
  jumping_clock clock;
  ticker every(clock.background(), 10s);
  clock.advance(10s);
  EXPECT_TRUE(every.next(clock.background()));
  EXPECT_EQ(clock.now(), at(10s));
  EXPECT_TRUE(every.next(clock.background()));
  EXPECT_EQ(clock.now(), at(20s));
}

/// However late the thread is to wake up by the tick that it waited for, those that came since count as
/// missed.
TEST(Ticker, ATickThatWasWaitedForIsNotThoseThatCameSince) {
  manual_clock clock;
  ticker every(clock.background(), 10s);
  std::latch has_leapt(1);
  std::jthread waiter([&] {
    EXPECT_TRUE(every.next(clock.background()));  // that of 10 s, whatever the time when this comes to run
    has_leapt.wait();
    EXPECT_TRUE(every.next(clock.background()));  // for those of 20, 30, 40 s
    EXPECT_EQ(clock.now(), at(45s));
    clock.autojump();
    EXPECT_TRUE(every.next(clock.background()));
    EXPECT_EQ(clock.now(), at(50s));
  });
  testing::await([&] { return clock.advance_to_next(); });  // there is a deadline once it waits
  clock.advance(35s);
  has_leapt.count_down();
}

TEST(Ticker, StopsWithItsContextAndTakesNoTick) {
  jumping_clock clock;
  ticker every(clock.background(), 10s);
  const auto scope = with_timeout(clock.background(), 15s);
  EXPECT_TRUE(every.next(scope));
  const auto none = every.next(scope);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message(), "waiting for a tick: deadline exceeded");
  EXPECT_EQ(clock.now(), at(15s));
  EXPECT_TRUE(every.next(clock.background()));
  EXPECT_EQ(clock.now(), at(20s));
}

TEST(Ticker, WithAnEndedContextTakesNoTickThatHasCome) {
  jumping_clock clock;
  ticker every(clock.background(), 10s);
  auto scope = with_cancel(clock.background());
  scope.cancel("user left");
  clock.advance(10s);
  EXPECT_EQ(every.next(scope).error().cause(), cause("user left"));
  EXPECT_TRUE(every.next(clock.background()));
  EXPECT_EQ(clock.now(), at(10s));
}

TEST(Ticker, KeepsTheClockAndNotTheContext) {
  jumping_clock clock;
  auto scope = with_cancel(clock.background());
  ticker every(scope, 10s);
  scope.cancel();
  EXPECT_TRUE(every.next(clock.background()));
  EXPECT_EQ(clock.now(), at(10s));
}

TEST(Ticker, WithoutAPeriodIsRefused) {
  EXPECT_THROW(ticker(background(), 0s), std::invalid_argument);
  EXPECT_THROW(ticker(background(), -1s), std::invalid_argument);
}

TEST(Ticker, OfAPeriodBeyondTheEndOfTimeNeverTicks) {
  jumping_clock clock;
  clock.advance(1s);
  ticker every(clock.background(), clock::duration::max());
  const auto scope = with_timeout(clock.background(), 24h);
  EXPECT_EQ(every.next(scope).error(), errc::deadline_exceeded);
}

TEST(Ticker, TicksOnTheSystemsClock) {
  ticker every(background(), 1ms);
  const auto began = clock::now();
  EXPECT_TRUE(every.next(background()));
  EXPECT_GE(clock::now(), began + 1ms);
}

// ---- ticker, as a case of a select

TEST(TickerInSelect, TicksAtFixedPoints) {
  const jumping_clock clock;
  ticker every(clock.background(), 10s);
  const auto scope = with_timeout(clock.background(), 35s);
  std::vector<clock::time_point> ticks;
  for (bool stop = false; !stop;) {
    select(when(scope.done(), [&] { stop = true; }),
           when(every.ticking(), [&] { ticks.push_back(clock.now()); }));
  }
  EXPECT_EQ(ticks, (std::vector{at(10s), at(20s), at(30s)}));
  EXPECT_EQ(clock.now(), at(35s));
}

TEST(TickerInSelect, IsReadyOnceForAllTicksThatWereMissed) {
  jumping_clock clock;
  ticker every(clock.background(), 10s);
  const auto try_tick = [&] {
    bool ticked = false;
    select(when(every.ticking(), [&] { ticked = true; }), otherwise([] {}));
    return ticked;
  };
  EXPECT_FALSE(try_tick());
  clock.advance(35s);
  EXPECT_TRUE(try_tick());
  EXPECT_FALSE(try_tick());
  EXPECT_TRUE(every.next(clock.background()));
  EXPECT_EQ(clock.now(), at(40s));
}

TEST(TickerInSelect, TakesNoTickIfAnotherCaseHappens) {
  const jumping_clock clock;
  ticker every(clock.background(), 10s);
  EXPECT_EQ(select(when(every.ticking(), [] {}), when(after(clock.background(), 3s), [] {})), 1U);
  EXPECT_EQ(clock.now(), at(3s));
  EXPECT_TRUE(every.next(clock.background()));
  EXPECT_EQ(clock.now(), at(10s));
}

TEST(TickerInSelect, TwoTickersTickIndependently) {
  const jumping_clock clock;
  ticker threes(clock.background(), 3s);
  ticker sevens(clock.background(), 7s);
  std::vector<std::pair<int, clock::time_point>> ticks;
  for (int i = 0; i != 6; ++i) {
    select(when(threes.ticking(), [&] { ticks.emplace_back(3, clock.now()); }),
           when(sevens.ticking(), [&] { ticks.emplace_back(7, clock.now()); }));
  }
  EXPECT_EQ(ticks, (std::vector<std::pair<int, clock::time_point>>{
                       {3, at(3s)}, {3, at(6s)}, {7, at(7s)}, {3, at(9s)}, {3, at(12s)}, {7, at(14s)}}));
}

TEST(TickerInSelect, InTwoCasesGivesEachTickToOneOfThem) {
  const jumping_clock clock;
  ticker every(clock.background(), 10s);
  for (int i = 1; i <= 20; ++i) {
    int ticks = 0;
    select(when(every.ticking(), [&] { ++ticks; }), when(every.ticking(), [&] { ++ticks; }));
    EXPECT_EQ(ticks, 1);
    EXPECT_EQ(clock.now(), at(i * 10s));
  }
}

TEST(TickerInSelect, MayStandInAListThatIsSelectedFromAgainAndAgain) {
  const jumping_clock clock;
  ticker every(clock.background(), 10s);
  case_list cases;
  int ticks = 0;
  cases.when(every.ticking(), [&] { ++ticks; });
  for (int i = 1; i <= 3; ++i) {
    select(cases);
    EXPECT_EQ(ticks, i);
    EXPECT_EQ(clock.now(), at(i * 10s));
  }
}

}  // namespace
}  // namespace curfew
