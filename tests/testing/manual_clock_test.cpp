#include <curfew/testing/manual_clock.hpp>

#include "race.hpp"

#include <atomic>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/on_done.hpp>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace curfew::testing {
namespace {

using namespace std::chrono_literals;

TEST(ManualClock, StandsStillAtTheEpochUntilItIsMoved) {
  manual_clock clock;
  EXPECT_EQ(clock.now(), clock::time_point());
  clock.advance(3ns);
  EXPECT_EQ(clock.now(), clock::time_point(3ns));
  EXPECT_EQ(clock.background().now(), clock.now());
}

TEST(ManualClock, DoesNotGoBack) {
  manual_clock clock;
  clock.advance(1s);
  clock.advance(-1s);
  clock.advance(0s);
  clock.advance(curfew::clock::duration::min());
  EXPECT_EQ(clock.now(), clock::time_point(1s));
}

TEST(ManualClock, StopsBeforeTheEndOfTime) {
  manual_clock clock;
  clock.advance(1s);
  clock.advance(curfew::clock::duration::max());
  EXPECT_EQ(clock.now(), clock::time_point::max() - 1ns);
  clock.advance(1s);
  EXPECT_EQ(clock.now(), clock::time_point::max() - 1ns);
  manual_clock exactly;
  exactly.advance(1s);
  exactly.advance(curfew::clock::duration::max() - 1s);
  EXPECT_EQ(exactly.now(), clock::time_point::max() - 1ns);
}

TEST(ManualClock, HasARootOfItsOwnThatNeverEnds) {
  manual_clock one;
  manual_clock two;
  const auto scope = with_timeout(two.background(), 1s);
  one.advance(1h);
  EXPECT_NE(one.background(), two.background());
  EXPECT_EQ(two.now(), clock::time_point());
  EXPECT_FALSE(scope.err());
  EXPECT_FALSE(one.background().err());
  EXPECT_FALSE(one.background().deadline());
}

TEST(ManualClock, EndsContextsInTheOrderOfTheirDeadlinesEachAtItsTime) {
  manual_clock clock;
  std::vector<std::pair<int, clock::duration>> ends;
  std::vector<std::unique_ptr<cancel_scope>> scopes;
  std::vector<std::unique_ptr<on_done<std::function<void()>>>> callbacks;
  for (const int seconds : {30, 1, 20, 2, 4000, 3}) {
    scopes.push_back(
        std::make_unique<cancel_scope>(with_timeout(clock.background(), std::chrono::seconds(seconds))));
    callbacks.push_back(std::make_unique<on_done<std::function<void()>>>(
        *scopes.back(), [&, seconds] { ends.emplace_back(seconds, clock.now().time_since_epoch()); }));
  }
  clock.advance(100s);
  EXPECT_EQ(ends,
            (std::vector<std::pair<int, clock::duration>>{{1, 1s}, {2, 2s}, {3, 3s}, {20, 20s}, {30, 30s}}));
  EXPECT_EQ(clock.now(), clock::time_point(100s));
}

TEST(ManualClock, EndsADeadlineThatACallbackSetsOnTheWay) {
  manual_clock clock;
  const auto first = with_timeout(clock.background(), 1s);
  std::optional<cancel_scope> second;
  std::optional<cancel_scope> third;
  const on_done start(first, [&] {
    second.emplace(with_timeout(clock.background(), 2s));
    third.emplace(with_timeout(clock.background(), 2s + 1ns));
  });
  clock.advance(3s);
  EXPECT_EQ(second->deadline(), clock::time_point(3s));
  EXPECT_EQ(second->err(), errc::deadline_exceeded);
  EXPECT_FALSE(third->err());
}

TEST(ManualClock, MayBeMovedByACallbackAndStillDoesNotGoBack) {
  manual_clock clock;
  const auto scope = with_timeout(clock.background(), 5s);
  const auto later = with_timeout(clock.background(), 50s);
  const on_done further(scope, [&] { clock.advance(100s); });
  clock.advance(10s);
  EXPECT_EQ(clock.now(), clock::time_point(105s));
  EXPECT_EQ(later.err(), errc::deadline_exceeded);
}

TEST(ManualClock, LeavesCanceledContextsAlone) {
  manual_clock clock;
  auto scope = with_timeout(clock.background(), 1s, "late");
  scope.cancel("early");
  clock.advance(1s);
  EXPECT_EQ(scope.err(), errc::canceled);
  EXPECT_EQ(scope.cause().message(), "early");
}

TEST(ManualClock, MayGoBeforeItsContexts) {
  std::optional<manual_clock> clock(std::in_place);
  auto scope = with_timeout(clock->background(), 1s);
  clock->advance(500ms);
  clock.reset();
  EXPECT_FALSE(scope.err());
  EXPECT_EQ(scope.remaining(), 500ms);
  const auto below = with_timeout(scope, 100ms);
  EXPECT_FALSE(below.err());
  scope.cancel();
  EXPECT_EQ(below.err(), errc::canceled);
}

TEST(ManualClock, TakesTurnsWhenMovedByManyThreads) {
  manual_clock clock;
  std::atomic<int> ends{0};
  std::vector<std::unique_ptr<cancel_scope>> scopes;
  std::vector<std::unique_ptr<on_done<std::function<void()>>>> callbacks;
  for (int i = 1; i <= 400; ++i) {
    scopes.push_back(
        std::make_unique<cancel_scope>(with_timeout(clock.background(), std::chrono::milliseconds(i))));
    callbacks.push_back(std::make_unique<on_done<std::function<void()>>>(*scopes.back(), [&] { ++ends; }));
  }
  {
    std::vector<std::jthread> movers;
    for (int i = 0; i != 4; ++i) {
      movers.emplace_back([&] {
        for (int step = 0; step != 100; ++step) clock.advance(1ms);
      });
    }
  }
  EXPECT_EQ(clock.now(), clock::time_point(400ms));
  EXPECT_EQ(ends, 400);
}

struct derive_against_advance {
  manual_clock clock;
  std::vector<cancel_scope> scopes;

  void left() {
    for (int i = 0; i != 50; ++i) scopes.push_back(with_timeout(clock.background(), 1ns));
  }
  void right() { clock.advance(1ns); }
  void check() const {
    for (const cancel_scope& each : scopes) {
      if (each.deadline() <= clock.now()) {
        EXPECT_EQ(each.err(), errc::deadline_exceeded);
      }
    }
  }
};

TEST(ManualClock, MissesNoDeadlineThatIsSetWhileItMoves) {
  hunt<derive_against_advance>(
      "with_timeout() reads the time, advance() passes the deadline, the timer is set");
}

TEST(ManualClock, AdvancesToTheNextDeadline) {
  manual_clock clock;
  EXPECT_FALSE(clock.advance_to_next());
  const auto late = with_timeout(clock.background(), 5h);
  const auto early = with_timeout(clock.background(), 3s);
  const auto at_once = with_timeout(clock.background(), 3s);
  EXPECT_TRUE(clock.advance_to_next());
  EXPECT_EQ(clock.now(), curfew::clock::time_point(3s));
  EXPECT_TRUE(early.err());
  EXPECT_TRUE(at_once.err());
  EXPECT_FALSE(late.err());
  EXPECT_TRUE(clock.advance_to_next());
  EXPECT_EQ(clock.now(), curfew::clock::time_point(5h));
  EXPECT_TRUE(late.err());
  EXPECT_FALSE(clock.advance_to_next());
  EXPECT_EQ(clock.now(), curfew::clock::time_point(5h));
}

TEST(ManualClock, PassesOverDeadlinesThatWereCanceled) {
  manual_clock clock;
  auto early = with_timeout(clock.background(), 1s);
  const auto late = with_timeout(clock.background(), 1h);
  early.cancel();
  EXPECT_TRUE(clock.advance_to_next());
  EXPECT_EQ(late.err(), errc::deadline_exceeded);
}

// ---- autojump

TEST(Autojump, OneThreadThatWaitsSeesEveryDeadlineAtItsTime) {
  manual_clock clock;
  clock.autojump(1);
  const auto scope = with_timeout(clock.background(), 24h);
  int ticks = 0;
  while (!scope.done().wait_for(1h)) {
    ++ticks;
    EXPECT_EQ(clock.now(), clock::time_point(ticks * 1h));
  }
  EXPECT_EQ(ticks, 23);
  EXPECT_EQ(clock.now(), clock::time_point(24h));
}

TEST(Autojump, WaitsUntilAllThreadsWait) {
  manual_clock clock;
  clock.autojump(2);
  std::atomic<bool> worked{false};
  const auto far = with_timeout(clock.background(), 1h);
  std::jthread worker([&] {
    std::this_thread::sleep_for(5ms);
    EXPECT_EQ(clock.now(), clock::time_point()) << "time passed while this thread worked";
    worked = true;
    EXPECT_EQ(far.done().wait(), errc::deadline_exceeded);
  });
  EXPECT_EQ(far.done().wait(), errc::deadline_exceeded);
  EXPECT_TRUE(worked);
}

TEST(Autojump, BeginsAtOnceIfAllWaitAlready) {
  manual_clock clock;
  const auto scope = with_timeout(clock.background(), 1h);
  std::atomic<bool> awake{false};
  std::jthread waiter([&] {
    EXPECT_EQ(scope.done().wait(), errc::deadline_exceeded);
    awake = true;
  });
  while (!awake) clock.autojump(1);  // the second time at the latest after the thread has come to wait
  EXPECT_EQ(clock.now(), clock::time_point(1h));
}

TEST(Autojump, IsOffAgainWithZero) {
  manual_clock clock;
  clock.autojump(1);
  clock.autojump(0);
  const auto scope = with_timeout(clock.background(), 1h);
  std::jthread waiter([&] { EXPECT_EQ(scope.done().wait(), errc::deadline_exceeded); });
  std::this_thread::sleep_for(5ms);
  EXPECT_EQ(clock.now(), clock::time_point());
  clock.advance(1h);
}

TEST(Autojump, AnEndByHandIsNoWait) {
  manual_clock clock;
  clock.autojump(2);
  auto scope = with_cancel(clock.background());
  const auto far = with_timeout(clock.background(), 1h);
  std::jthread waiter([&] { EXPECT_EQ(scope.done().wait(), errc::canceled); });
  scope.cancel();
  waiter.join();
  const auto ended_before = scope.done().wait();
  EXPECT_EQ(ended_before, errc::canceled);
  EXPECT_EQ(clock.now(), clock::time_point());
  EXPECT_FALSE(far.err());
}

/// Each thread sleeps again and again, for a time of its own; all wake-ups come at their own time, though
/// whoever waits last moves the clock.
TEST(Autojump, ThreadsOfDifferentStepsStayInTime) {
  constexpr int threads = 4;
  manual_clock clock;
  clock.autojump(threads);
  const auto day = with_timeout(clock.background(), 24h);
  std::vector<std::jthread> sleepers;
  for (int t = 0; t != threads; ++t) {
    sleepers.emplace_back([&, step = std::chrono::minutes(7 + t)] {
      const auto began = clock::time_point();
      for (auto next = began + step; next < began + 24h; next += step) {
        ASSERT_FALSE(day.done().wait_until(next));
        ASSERT_EQ(clock.now(), next);
      }
      EXPECT_EQ(day.done().wait(), errc::deadline_exceeded);
      EXPECT_EQ(clock.now(), began + 24h);
    });
  }
}

}  // namespace
}  // namespace curfew::testing
