#include <curfew/testing.hpp>

#include "race.hpp"

#include <atomic>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/core/detail/manual_time.hpp>
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

// ---- autojump; with groups, channels and coroutines: tests/sync/autojump_test.cpp, tests/io/testing_test.cpp

TEST(Autojump, AThreadThatWaitsSeesEveryDeadlineAtItsTime) {
  manual_clock clock;
  clock.autojump();
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
  clock.autojump();
  std::atomic<bool> worked{false};
  const auto far = with_timeout(clock.background(), 1h);
  thread worker(clock, [&] {
    for (int i = 0; i != 5; ++i) std::this_thread::yield();  // time for the other to fall asleep
    EXPECT_EQ(clock.now(), clock::time_point()) << "time passed while this thread worked";
    worked = true;
    EXPECT_EQ(far.done().wait(), errc::deadline_exceeded);
  });
  EXPECT_EQ(far.done().wait(), errc::deadline_exceeded);
  EXPECT_TRUE(worked);
}

TEST(Autojump, PassesNoTimeWhileTheThreadThatTurnedItOnWorks) {
  manual_clock clock;
  clock.autojump();
  const auto far = with_timeout(clock.background(), 1h);
  thread waiter(clock, [&] { EXPECT_EQ(far.done().wait(), errc::deadline_exceeded); });
  for (int i = 0; i != 5; ++i) std::this_thread::yield();  // time for the other to fall asleep
  EXPECT_EQ(clock.now(), clock::time_point());
  waiter.join();
  EXPECT_EQ(clock.now(), clock::time_point(1h));
}

TEST(Autojump, CountsAThreadThatBeganToWaitBefore) {
  manual_clock clock;
  const auto scope = with_timeout(clock.background(), 1h);
  std::atomic<bool> begun{false};
  thread waiter(clock, [&] {
    begun = true;
    EXPECT_EQ(scope.done().wait(), errc::deadline_exceeded);
  });
  while (!begun) std::this_thread::yield();
  clock.autojump();
  waiter.join();
  EXPECT_EQ(clock.now(), clock::time_point(1h));
}

TEST(Autojump, CountsAStdThreadFromItsFirstSleep) {
  manual_clock clock;
  clock.autojump();
  const auto far = with_timeout(clock.background(), 24h);
  auto go = with_cancel(clock.background());
  std::thread other([&] {
    EXPECT_FALSE(far.done().wait_for(1h));
    EXPECT_EQ(clock.now(), clock::time_point(1h));
    for (int i = 0; i != 5; ++i) std::this_thread::yield();  // it works: the time stands still
    EXPECT_EQ(clock.now(), clock::time_point(1h));
    go.cancel();
  });
  const auto begun = [&] { return detail::state_of_manual_root(clock.background()).changes; };
  while (begun() < 2) std::this_thread::yield();
  EXPECT_EQ(go.done().wait(), errc::canceled);
  EXPECT_EQ(clock.now(), clock::time_point(1h));
  clock.outside([&] { other.join(); });
  EXPECT_EQ(far.done().wait(), errc::deadline_exceeded) << "the thread that has ended is not counted";
}

TEST(Autojump, AWaitOutsideOfCurfewTakesTheThreadOut) {
  manual_clock clock;
  clock.autojump();
  std::atomic<bool> over{false};
  thread sleeper(clock, [&] {
    EXPECT_EQ(with_timeout(clock.background(), 1h).done().wait(), errc::deadline_exceeded);
    over = true;
    over.notify_one();
  });
  const int given = clock.outside([&] {
    over.wait(false);
    return 7;
  });
  EXPECT_EQ(given, 7);
  EXPECT_EQ(clock.now(), clock::time_point(1h));
}

TEST(Autojump, IsOffAgain) {
  manual_clock clock;
  clock.autojump();
  clock.stand_still();
  const auto scope = with_timeout(clock.background(), 1h);
  thread waiter(clock, [&] { EXPECT_EQ(scope.done().wait(), errc::deadline_exceeded); });
  for (int i = 0; i != 5; ++i) std::this_thread::yield();
  EXPECT_EQ(clock.now(), clock::time_point());
  clock.advance(1h);
}

TEST(Autojump, AnEndByHandIsNoWait) {
  manual_clock clock;
  clock.autojump();
  auto scope = with_cancel(clock.background());
  const auto far = with_timeout(clock.background(), 1h);
  thread waiter(clock, [&] { EXPECT_EQ(scope.done().wait(), errc::canceled); });
  scope.cancel();
  waiter.join();
  const auto ended_before = scope.done().wait();
  EXPECT_EQ(ended_before, errc::canceled);
  EXPECT_EQ(clock.now(), clock::time_point());
  EXPECT_FALSE(far.err());
}

TEST(Autojump, StopsWhereAllWaitAndNoDeadlineIsPending) {
  manual_clock clock;
  clock.autojump();
  auto scope = with_cancel(clock.background());
  thread helper(clock, [&] { EXPECT_EQ(scope.done().wait(), errc::canceled); });
  std::thread uncounted([&] { scope.cancel(); });
  helper.join();
  uncounted.join();
  EXPECT_EQ(clock.now(), clock::time_point());
}

TEST(Autojump, AWaitUnderAnotherManualClockTakesTheThreadOutToo) {
  manual_clock one;
  manual_clock two;
  one.autojump();
  two.autojump();
  const auto far = with_timeout(one.background(), 2h);
  thread other(one,
               [&] { EXPECT_EQ(with_timeout(two.background(), 1h).done().wait(), errc::deadline_exceeded); });
  EXPECT_EQ(far.done().wait(), errc::deadline_exceeded);
  other.join();
  EXPECT_EQ(one.now(), clock::time_point(2h));
  EXPECT_EQ(two.now(), clock::time_point(1h));
}

TEST(Autojump, StandsStillWhileAThreadWaitsForTheSystemsTime) {
  manual_clock clock;
  clock.autojump();
  const auto far = with_timeout(clock.background(), 1h);
  thread other(clock, [&] {
    EXPECT_EQ(with_timeout(curfew::background(), 3ms).done().wait(), errc::deadline_exceeded);
    EXPECT_EQ(clock.now(), clock::time_point());
    EXPECT_FALSE(far.err());
  });
  EXPECT_EQ(far.done().wait(), errc::deadline_exceeded);
  EXPECT_EQ(clock.now(), clock::time_point(1h));
}

/// Each thread sleeps again and again, for a time of its own; all wake-ups come at their own time, though
/// the last to wait moves the clock.
TEST(Autojump, ThreadsOfDifferentStepsStayInTime) {
  manual_clock clock;
  clock.autojump();
  const auto day = with_timeout(clock.background(), 24h);
  std::vector<std::unique_ptr<thread>> sleepers;
  for (int t = 0; t != 4; ++t) {
    sleepers.push_back(std::make_unique<thread>(clock, [&, step = std::chrono::minutes(7 + t)] {
      const auto began = clock::time_point();
      for (auto next = began + step; next < began + 24h; next += step) {
        ASSERT_FALSE(day.done().wait_until(next));
        ASSERT_EQ(clock.now(), next);
      }
      EXPECT_EQ(day.done().wait(), errc::deadline_exceeded);
      EXPECT_EQ(clock.now(), began + 24h);
    }));
  }
}

struct wait_against_cancel {
  manual_clock clock;
  std::optional<cancel_scope> scope;
  std::optional<cancel_scope> far;
  std::optional<thread> waiter;

  wait_against_cancel() {
    clock.autojump();
    scope.emplace(with_cancel(clock.background()));
    far.emplace(with_timeout(clock.background(), 1h));
  }
  void left() { scope->cancel(); }
  void right() {
    const detail::activity counted{detail::counting_clock(clock.background())};
    const detail::busy_frame here(counted.clock());
    EXPECT_EQ(scope->done().wait(), errc::canceled);
    EXPECT_EQ(clock.now(), clock::time_point());
  }
  void check() const { EXPECT_FALSE(far->err()); }
};

TEST(Autojump, AThreadThatIsWokenWhileItFallsAsleepCountsAllTheTime) {
  hunt<wait_against_cancel>("wait() is registered, cancel() wakes it, wait() takes itself out");
}

}  // namespace
}  // namespace curfew::testing
