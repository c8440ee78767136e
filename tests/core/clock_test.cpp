#include <curfew/core/clock.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include "at_rest.hpp"
#include "core/timer_wheel.hpp"
#include "core/tree.hpp"
#include "race.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <curfew/core.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <deque>
#include <functional>
#include <gtest/gtest.h>
#include <latch>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <tuple>
#include <vector>

#include "sanitizers.hpp"

// Deadlines by the system's clock, and the limits of any clock. Each wait here is for an end, not for
// a time.
namespace curfew {
namespace {

using namespace std::chrono_literals;

TEST(SystemClock, EndsAContextAtItsDeadlineAndNeverEarly) {
  std::mt19937_64 random(20240229);
  for (int i = 0; i != 100; ++i) {
    const auto timeout = std::chrono::nanoseconds(random() % 500'000);
    const auto before = clock::now();
    const auto scope = with_timeout(background(), timeout);
    ASSERT_GE(*scope.deadline(), before + timeout);
    EXPECT_EQ(scope.done().wait(), errc::deadline_exceeded);
    EXPECT_GE(clock::now(), *scope.deadline());
  }
}

TEST(SystemClock, EndsManyAtOnceEachNotEarly) {
  constexpr int count = 5000;
  std::mt19937_64 random(4711);
  std::latch all(count);
  std::atomic<int> early{0};
  struct waiting {
    cancel_scope scope;
    on_done<std::function<void()>> end;
    waiting(clock::duration timeout, std::latch& ended, std::atomic<int>& too_early)
        : scope(with_timeout(background(), timeout)),
          end(scope, [this, &ended, &too_early] {
            if (clock::now() < *scope.deadline() || scope.err() != errc::deadline_exceeded) ++too_early;
            ended.count_down();
          }) {}
  };
  std::vector<std::unique_ptr<waiting>> waiters;
  for (int i = 0; i != count; ++i) {
    waiters.push_back(std::make_unique<waiting>(std::chrono::nanoseconds(random() % 20'000'000), all, early));
  }
  all.wait();
  EXPECT_EQ(early, 0);
}

TEST(SystemClock, WakesForAnEarlierDeadlineThanTheOneItSleepsFor) {
  const auto late = with_timeout(background(), 1h);
  const auto soon = with_timeout(background(), 1ms);
  EXPECT_EQ(soon.done().wait(), errc::deadline_exceeded);
  EXPECT_FALSE(late.err());
}

TEST(SystemClock, StaysQuietUnderADeadlineAtTheEndOfTime) {
  for (const clock::duration before_the_end : {1ns, 2ns, 32767ns, 32768ns, 32769ns, 1'000'000ns}) {
    const auto far = with_deadline(background(), clock::time_point::max() - before_the_end);
    // The least of several: a thread that is busy takes the processor each time.
    std::clock_t least = CLOCKS_PER_SEC;
    for (int i = 0; i != 20 && least >= CLOCKS_PER_SEC / 100; ++i) {
      const auto began = std::clock();
      const auto soon = with_timeout(background(), 20ms);
      EXPECT_EQ(soon.done().wait(), errc::deadline_exceeded);
      least = std::min(least, std::clock() - began);
    }
    EXPECT_LT(least, CLOCKS_PER_SEC / 100) << "busy while it should sleep";
    EXPECT_FALSE(far.err());
    EXPECT_GT(*far.remaining(), 24h * 365 * 200);
  }
}

TEST(SystemClock, TakesEveryTimeout) {
  for (const clock::duration ended : {0ns, -1ns, clock::duration::min(), clock::duration::min() + 1ns}) {
    EXPECT_EQ(with_timeout(background(), ended).err(), errc::deadline_exceeded) << ended.count();
  }
  for (const clock::duration ahead :
       {clock::duration::max(), clock::duration::max() - 1ns, clock::duration(24h * 365)}) {
    const auto scope = with_timeout(background(), ahead);
    EXPECT_FALSE(scope.err()) << ahead.count();
  }
}

TEST(SystemClock, TakesEveryPointInTime) {
  for (const clock::time_point past : {clock::time_point::min(), clock::time_point::min() + 1ns,
                                       clock::time_point(-1ns), clock::time_point(), clock::now()}) {
    const auto scope = with_deadline(background(), past, "past");
    EXPECT_EQ(scope.err(), errc::deadline_exceeded);
    EXPECT_EQ(scope.cause().message(), "past");
    EXPECT_EQ(scope.deadline(), past);
    EXPECT_EQ(scope.remaining(), 0ns);
  }
  for (const clock::time_point ahead : {clock::time_point::max(), clock::time_point::max() - 1ns}) {
    const auto scope = with_deadline(background(), ahead);
    EXPECT_FALSE(scope.err());
    EXPECT_EQ(scope.deadline().has_value(), ahead != clock::time_point::max());
  }
}

TEST(SystemClock, WaitsForAnEndForAsLongAsTheTypeCanSay) {
  auto scope = with_cancel(background());
  std::jthread other([&] { scope.cancel(); });
  EXPECT_EQ(scope.done().wait_for(clock::duration::max()), errc::canceled);
  EXPECT_EQ(scope.done().wait_until(clock::time_point::max() - 1ns), errc::canceled);
}

TEST(SystemClock, IsTheMonotonicOneWhichNobodySetsAndWhichSleepsWithTheMachine) {
  const auto monotonic = [] {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return clock::time_point(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
  };
  const auto before = monotonic();
  const auto told = background().now();
  EXPECT_LE(before, told);
  EXPECT_LE(told, monotonic());
}

TEST(SystemClock, ForgetsACanceledDeadline) {
  auto scope = with_timeout(background(), 1h);
  auto* node = static_cast<detail::deadline_node*>(detail::ender_of(scope));
  EXPECT_TRUE(detail::timer_wheel::holds(node));
  scope.cancel();
  EXPECT_FALSE(detail::timer_wheel::holds(node));
  EXPECT_EQ(node->refs, 1U);
}

TEST(SystemClock, CanBeUsedByACallbackOfItsOwnThread) {
  std::latch done(1);
  std::optional<cancel_scope> second;
  std::optional<on_done<std::function<void()>>> again;
  const auto first = with_timeout(background(), 1ms);
  const on_done start(first, [&] {
    second.emplace(with_timeout(background(), 1ms));
    again.emplace(*second, [&] { done.count_down(); });
  });
  done.wait();
  EXPECT_EQ(second->err(), errc::deadline_exceeded);
}

TEST(SystemClock, GoesOnInAForkedChild) {
  if (tests::under_thread_sanitizer)
    GTEST_SKIP() << "ThreadSanitizer does not let a forked child start threads";
  // Starts the thread, which the child does not have.
  const auto inherited = with_timeout(background(), 100ms);
  tests::let_other_threads_fall_asleep();
  const pid_t child = ::fork();
  if (child == 0) {
    const auto own = with_timeout(background(), 1ms);
    const bool both =
        own.done().wait() == errc::deadline_exceeded && inherited.done().wait() == errc::deadline_exceeded;
    std::exit(both ? 42 : 1);  // runs what was registered to run at exit, and does not hang there
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 42) << status;
}

TEST(SystemClockDeathTest, LetsACallbackOfItsThreadExitTheProgram) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(
      {
        const auto scope = with_timeout(background(), 1ms);
        const on_done leave(scope, [] { std::exit(7); });
        std::ignore = background().done().wait();
      },
      ::testing::ExitedWithCode(7), "");
}

// ---- the limits, by a manual clock

__extension__ using wide = __int128;  // holds every sum of two times

clock::duration narrowed(wide ns) {
  const wide least = clock::duration::min().count();
  const wide most = clock::duration::max().count();
  return clock::duration(static_cast<clock::rep>(ns < least ? least : ns > most ? most : ns));
}

constexpr std::array limits{
    clock::duration::min(),      clock::duration::min() + 1ns, clock::duration(-1ns),
    clock::duration(0ns),        clock::duration(1ns),         clock::duration(1h),
    clock::duration::max() - 1h, clock::duration::max() - 1ns, clock::duration::max()};

/// What a timeout that is set at `now` comes to.
struct expected_end {
  clock::duration deadline;

  expected_end(clock::duration now, clock::duration timeout)
      : deadline(narrowed(wide{now.count()} + timeout.count())) {}

  [[nodiscard]] std::optional<clock::time_point> as_deadline() const {
    if (deadline == clock::duration::max()) return std::nullopt;
    return clock::time_point(deadline);
  }
  [[nodiscard]] std::optional<clock::duration> remaining(clock::duration now) const {
    if (deadline == clock::duration::max()) return std::nullopt;
    const wide left = wide{deadline.count()} - now.count();
    return left > 0 ? narrowed(left) : 0ns;
  }
};

TEST(ClockLimits, OfATimeoutUnderATimeoutAddUpWithoutAnOverflow) {
  for (const clock::duration now : {clock::duration(0ns), clock::duration(1ns), clock::duration(1h),
                                    clock::duration::max() - 1h, clock::duration::max() - 1ns}) {
    testing::manual_clock clock;
    clock.advance(now);
    ASSERT_EQ(clock.now().time_since_epoch(), now);
    for (const clock::duration outer : limits) {
      const auto parent = with_timeout(clock.background(), outer);
      const expected_end of_parent(now, outer);
      EXPECT_EQ(parent.deadline(), of_parent.as_deadline());
      EXPECT_EQ(parent.remaining(), of_parent.remaining(now));
      EXPECT_EQ(bool(parent.err()), of_parent.deadline <= now);
      for (const clock::duration inner : limits) {
        const auto child = with_timeout(parent, inner);
        const auto by_deadline = with_deadline(parent, clock::time_point(inner));
        expected_end of_child(now, inner);
        of_child.deadline = std::min(of_child.deadline, of_parent.deadline);
        EXPECT_EQ(child.deadline(), of_child.as_deadline());
        EXPECT_EQ(child.remaining(), of_child.remaining(now));
        EXPECT_EQ(bool(child.err()), of_child.deadline <= now) << outer.count() << ' ' << inner.count();
        expected_end of_point(0ns, inner);
        of_point.deadline = std::min(of_point.deadline, of_parent.deadline);
        EXPECT_EQ(by_deadline.deadline(), of_point.as_deadline());
        EXPECT_EQ(by_deadline.remaining(), of_point.remaining(now));
        EXPECT_EQ(bool(by_deadline.err()), of_point.deadline <= now);
      }
    }
  }
}

TEST(ClockLimits, ATimeoutThatSaturatesNeverEndsAContextButItsParentDoes) {
  testing::manual_clock clock;
  clock.advance(1h);
  auto top = with_cancel(clock.background());
  const auto saturated = with_timeout(top, clock::duration::max(), "never told");
  const auto below = with_timeout(saturated, clock::duration::max() - 1ns);
  const auto near = with_timeout(below, 1h);
  const auto merged = merge(saturated, near);
  EXPECT_FALSE(saturated.deadline());
  EXPECT_FALSE(below.remaining());
  EXPECT_EQ(merged.remaining(), 1h);
  EXPECT_FALSE(merge(saturated, below).deadline());
  clock.advance(clock::duration::max());
  EXPECT_EQ(merged.err(), errc::deadline_exceeded);
  EXPECT_FALSE(saturated.err());
  EXPECT_FALSE(clock.advance_to_next());
  top.cancel("by hand");
  EXPECT_EQ(below.cause().message(), "by hand");
}

TEST(ClockLimits, AJumpToTheEndOfTimeEndsAllInTheOrderOfTheirDeadlines) {
  const std::uint64_t seed = testing::announce_seed("deadlines all over the type, passed in one step");
  std::mt19937_64 random(seed);
  testing::manual_clock clock;
  clock.advance(1h);
  std::deque<cancel_scope> scopes;
  std::deque<on_done<std::function<void()>>> callbacks;
  std::vector<clock::time_point> ends;
  for (int i = 0; i != 5000; ++i) {
    const clock::duration timeout(static_cast<clock::rep>(random() >> (1 + random() % 60)));
    const auto deadline = scopes.emplace_back(with_timeout(clock.background(), timeout)).deadline();
    callbacks.emplace_back(scopes.back(), [&clock, &ends, deadline] {
      EXPECT_EQ(deadline, clock.now());
      ends.push_back(clock.now());
    });
  }
  clock.advance(clock::duration::max());
  EXPECT_TRUE(std::ranges::is_sorted(ends));
  for (const cancel_scope& each : scopes) EXPECT_EQ(bool(each.err()), each.deadline().has_value());
  EXPECT_EQ(clock.now(), clock::time_point::max() - 1ns);
}

}  // namespace
}  // namespace curfew
