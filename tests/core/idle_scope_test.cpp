#include <curfew/core/idle_scope.hpp>

#include "core/witness.hpp"
#include "race.hpp"

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::manual_clock;

TEST(IdleScope, EndsOnceItHasNotBeenTouchedForTheTimeout) {
  manual_clock clock;
  const auto idle = with_idle_timeout(clock.background(), 30s);
  clock.advance(30s - 1ns);
  EXPECT_FALSE(idle.err());
  clock.advance(1ns);
  EXPECT_EQ(idle.err(), errc::deadline_exceeded);
  EXPECT_EQ(idle.cause().message(), "idle for 30s");
}

TEST(IdleScope, LivesOnFromEachTouch) {
  manual_clock clock;
  auto idle = with_idle_timeout(clock.background(), 30s);
  for (int i = 0; i != 100; ++i) {
    clock.advance(29s);
    EXPECT_TRUE(idle.touch());
  }
  clock.advance(30s - 1ns);
  EXPECT_FALSE(idle.err());
  clock.advance(1ns);
  EXPECT_EQ(idle.err(), errc::deadline_exceeded);
}

TEST(IdleScope, EndsWhereItsLastTouchSaysAlthoughTheClockMovesFar) {
  manual_clock clock;
  auto idle = with_idle_timeout(clock.background(), 30s);
  clock.advance(10s);
  idle.touch();
  clock::time_point ended_at;
  const on_done note(idle.ctx(), [&] { ended_at = idle.ctx().now(); });
  clock.advance(1h);
  EXPECT_EQ(ended_at, clock::time_point(40s));
}

TEST(IdleScope, TakesNoTouchOnceItHasEnded) {
  manual_clock clock;
  auto idle = with_idle_timeout(clock.background(), 30s);
  auto canceled = with_idle_timeout(clock.background(), 1h);
  clock.advance(30s);
  EXPECT_FALSE(idle.touch());
  canceled.cancel();
  EXPECT_FALSE(canceled.touch());
  EXPECT_EQ(canceled.err(), errc::canceled);
}

TEST(IdleScope, TellsWhatIsLeft) {
  manual_clock clock;
  auto idle = with_idle_timeout(clock.background(), 30s);
  clock.advance(10s);
  EXPECT_EQ(idle.remaining(), 20s);
  EXPECT_EQ(idle.deadline(), clock::time_point(30s));
  idle.touch();
  EXPECT_EQ(idle.remaining(), 30s);
  EXPECT_EQ(idle.deadline(), clock::time_point(40s));
  clock.advance(1h);
  EXPECT_EQ(idle.remaining(), 0s);
  EXPECT_EQ(idle.deadline(), clock::time_point(40s));
}

TEST(IdleScope, TellsTheParentsDeadlineIfThatIsNearer) {
  manual_clock clock;
  const auto parent = with_timeout(clock.background(), 20s);
  const auto idle = with_idle_timeout(parent, 30s);
  EXPECT_EQ(idle.remaining(), 20s);
  clock.advance(20s);
  EXPECT_EQ(idle.err(), errc::deadline_exceeded);
  EXPECT_EQ(idle.cause(), cause(errc::deadline_exceeded));
}

TEST(IdleScope, IsNoDeadlineToWhatIsBelow) {
  manual_clock clock;
  auto idle = with_idle_timeout(clock.background(), 30s);
  EXPECT_FALSE(idle.ctx().deadline());
  const auto call = with_timeout(idle, 45s);
  clock.advance(29s);
  idle.touch();
  clock.advance(16s);
  EXPECT_EQ(call.err(), errc::deadline_exceeded) << "its own, although the idle timeout was nearer at first";
  EXPECT_FALSE(idle.err());
}

TEST(IdleScope, EndsWhatIsBelow) {
  manual_clock clock;
  const auto idle = with_idle_timeout(clock.background(), 30s, "peer is silent");
  const auto below = with_cancel(idle);
  clock.advance(30s);
  EXPECT_EQ(below.err(), errc::deadline_exceeded);
  EXPECT_EQ(below.cause().message(), "peer is silent");
}

TEST(IdleScope, HasEndedOnReturnIfItsTimeoutIsNotPositive) {
  for (const clock::duration ended : {0ns, -1ns, clock::duration::min()}) {
    auto idle = with_idle_timeout(background(), ended);
    EXPECT_EQ(idle.err(), errc::deadline_exceeded);
    EXPECT_FALSE(idle.touch());
  }
}

TEST(IdleScope, HasNoDeadlineIfItsTimeoutIsAsLongAsTheTypeCanSay) {
  manual_clock clock;
  auto idle = with_idle_timeout(clock.background(), clock::duration::max());
  clock.advance(1h);
  EXPECT_TRUE(idle.touch());
  EXPECT_FALSE(idle.deadline());
  EXPECT_FALSE(idle.remaining());
  EXPECT_FALSE(idle.err());
}

TEST(IdleScope, IsBornEndedBelowWhatHasEnded) {
  auto parent = with_cancel(background());
  parent.cancel("enough");
  auto idle = with_idle_timeout(parent, 1h);
  EXPECT_EQ(idle.err(), errc::canceled);
  EXPECT_EQ(idle.cause().message(), "enough");
  EXPECT_FALSE(idle.touch());
}

TEST(IdleScope, LeavesNoTimerBehind) {
  manual_clock clock;
  {
    auto idle = with_idle_timeout(clock.background(), 30s);
    clock.advance(20s);
    idle.touch();
    clock.advance(20s);  // fires and is armed again
  }
  EXPECT_FALSE(clock.advance_to_next());
}

TEST(IdleScope, TakesNoTouchWhenItsContextIsElsewhere) {
  auto from = with_idle_timeout(background(), 1h);
  auto to = std::move(from);
  EXPECT_FALSE(from.touch());  // NOLINT(bugprone-use-after-move)
  EXPECT_TRUE(to.touch());
  cancel_scope other = std::move(to);
  EXPECT_FALSE(to.touch());  // NOLINT(bugprone-use-after-move)
  EXPECT_FALSE(other.err());
}

TEST(IdleScope, IsNamedInThePath) {
  const auto idle = with_idle_timeout(background(), 90s);
  EXPECT_EQ(idle.ctx().path(), "background.with_idle_timeout(1.5min)");
}

TEST(IdleScope, EndsOnTheSystemsClock) {
  const auto idle = with_idle_timeout(background(), 1ms);
  EXPECT_EQ(idle.done().wait(), errc::deadline_exceeded);
}

struct time_by_hand final : time_source {
  clock::time_point present{};
  [[nodiscard]] clock::time_point now() const noexcept override { return present; }
};

TEST(IdleScope, EndsOnADrivenClock) {
  auto time = std::make_shared<time_by_hand>();
  driven_clock clock(time);
  auto idle = with_idle_timeout(clock.background(), 30s);
  time->present += 20s;
  idle.touch();
  time->present += 20s;
  EXPECT_EQ(clock.run_due(), 0U) << "it fired, but nothing has ended";
  EXPECT_EQ(clock.next_deadline(), clock::time_point(50s));
  time->present += 10s;
  EXPECT_EQ(clock.run_due(), 1U);
  EXPECT_EQ(idle.err(), errc::deadline_exceeded);
}

struct touch_against_the_end {
  testing::witness place;
  manual_clock clock;
  std::optional<idle_scope> idle{with_idle_timeout(place.watch(clock.background()), 10s)};
  bool in_time = false;

  touch_against_the_end() { clock.advance(9s); }
  void left() { in_time = idle->touch(); }
  void right() { clock.advance(1s); }
  void check() {
    EXPECT_EQ(!idle->err(), in_time);
    idle.reset();
    EXPECT_TRUE(place.is_gone());
  }
};

TEST(IdleScope, IsTouchedInTimeOrEnds) {
  testing::hunt<touch_against_the_end>("touch() against the timer that fires");
}

TEST(IdleScope, CanBeTouchedFromManyThreads) {
  auto idle = with_idle_timeout(background(), 1h);
  std::vector<std::jthread> threads;
  for (int i = 0; i != 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n != 1000; ++n) EXPECT_TRUE(idle.touch());
    });
  }
}

}  // namespace
}  // namespace curfew
