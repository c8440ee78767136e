#include <curfew/sync/grace.hpp>

#include "core/allocations.hpp"
#include "race.hpp"
#include "sync/waiting.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/sync/sleep.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::manual_clock;

constexpr key<std::string> user{"user"};

clock::time_point at(clock::duration since_epoch) { return clock::time_point(since_epoch); }

struct Grace : ::testing::Test {
  manual_clock clock;
};

// ---- before the end

TEST_F(Grace, BothContextsLiveAsLongAsItsContext) {
  const auto scope = with_cancel(clock.background());
  const grace grace(scope, 5s);
  clock.advance(1h);
  EXPECT_FALSE(grace.soft().err());
  EXPECT_FALSE(grace.hard().err());
  EXPECT_EQ(grace.remaining(), std::nullopt);
}

TEST_F(Grace, HardHasTheValuesAndTheClockOfItsContext) {
  const auto scope = with_cancel(with_value(clock.background(), user, "eve"));
  const grace grace(scope, 5s);
  clock.advance(3s);
  ASSERT_NE(grace.hard().value(user), nullptr);
  EXPECT_EQ(*grace.hard().value(user), "eve");
  EXPECT_EQ(grace.hard().now(), at(3s));
}

TEST_F(Grace, SoftIsItsContext) {
  const auto scope = with_timeout(clock.background(), 1h);
  const grace grace(scope, 5s);
  EXPECT_EQ(grace.soft(), scope.ctx());
}

TEST_F(Grace, HardHasTheDeadlineOfItsContextAndTheGrace) {
  const auto scope = with_timeout(clock.background(), 1h);
  const grace grace(scope, 5s);
  EXPECT_EQ(grace.hard().deadline(), at(1h + 5s));
}

TEST_F(Grace, HardHasNoDeadlineIfItsContextHasNone) {
  const auto scope = with_cancel(clock.background());
  const grace grace(scope, 5s);
  EXPECT_EQ(grace.hard().deadline(), std::nullopt);
}

TEST_F(Grace, OfAContextThatCannotEndNeverBegins) {
  const grace grace(clock.background(), 5s);
  clock.advance(24h);
  EXPECT_FALSE(grace.hard().err());
  EXPECT_EQ(grace.remaining(), std::nullopt);
}

// ---- after it

TEST_F(Grace, SoftEndsAtOnceAndHardSomeTimeLater) {
  auto scope = with_cancel(clock.background());
  const grace grace(scope, 5s);
  clock.advance(1h);
  scope.cancel("shutdown");
  EXPECT_EQ(grace.soft().err(), errc::canceled);
  EXPECT_EQ(grace.soft().cause(), cause("shutdown"));
  clock.advance(5s - 1ns);
  EXPECT_FALSE(grace.hard().err());
  clock.advance(1ns);
  EXPECT_TRUE(grace.hard().err());
}

TEST_F(Grace, HardEndsAsItsContextDid) {
  auto scope = with_cancel(clock.background());
  const grace grace(scope, 5s);
  scope.cancel("shutdown");
  clock.advance(5s);
  EXPECT_EQ(grace.hard().err(), errc::canceled);
  EXPECT_EQ(grace.hard().cause(), cause("shutdown"));
}

TEST_F(Grace, HardEndsSomeTimeAfterTheDeadlineOfItsContext) {
  const auto scope = with_timeout(clock.background(), 1h);
  const grace grace(scope, 5s);
  clock.advance(1h);
  EXPECT_EQ(grace.soft().err(), errc::deadline_exceeded);
  EXPECT_EQ(grace.remaining(), 5s);
  clock.advance(5s - 1ns);
  EXPECT_FALSE(grace.hard().err());
  clock.advance(1ns);
  EXPECT_EQ(grace.hard().err(), errc::deadline_exceeded);
}

TEST_F(Grace, ACancelLongBeforeTheDeadlineBeginsItThen) {
  auto scope = with_timeout(clock.background(), 1h);
  const grace grace(scope, 5s);
  scope.cancel();
  EXPECT_EQ(grace.remaining(), 5s);
  EXPECT_EQ(grace.hard().deadline(), at(1h + 5s)) << "what is derived already keeps its deadline";
  clock.advance(5s);
  EXPECT_TRUE(grace.hard().err());
}

TEST_F(Grace, RemainingIsOneTimeForAllThatIsDone) {
  auto scope = with_cancel(clock.background());
  const grace grace(scope, 5s);
  clock.advance(1h);
  scope.cancel();
  EXPECT_EQ(grace.remaining(), 5s);
  clock.advance(2s);
  EXPECT_EQ(grace.remaining(), 3s);
  clock.advance(2s);
  EXPECT_EQ(grace.remaining(), 1s);
  clock.advance(2s);
  EXPECT_EQ(grace.remaining(), 0s);
  EXPECT_TRUE(grace.hard().err());
}

TEST_F(Grace, RemainingIsKnownInACallbackThatComesBefore) {
  auto scope = with_cancel(clock.background());
  std::optional<grace> grace;
  std::optional<clock::duration> seen;
  const on_done early(scope, [&] { seen = grace->remaining(); });
  grace.emplace(scope, 5s);
  scope.cancel();
  EXPECT_EQ(seen, 5s);
}

TEST_F(Grace, OfAContextThatWasCanceledBeginsAtOnce) {
  auto scope = with_timeout(clock.background(), 1s);
  scope.cancel("shutdown");
  clock.advance(1h);
  const grace grace(scope, 5s);
  EXPECT_EQ(grace.remaining(), 5s);
  EXPECT_FALSE(grace.hard().err());
  clock.advance(5s);
  EXPECT_EQ(grace.hard().err(), errc::canceled);
  EXPECT_EQ(grace.hard().cause(), cause("shutdown"));
}

TEST_F(Grace, OfAContextWhoseDeadlineHasPassedBeginsAtOnce) {
  const auto scope = with_timeout(clock.background(), 1s, "report budget");
  clock.advance(1h);
  const grace grace(scope, 5s);
  EXPECT_EQ(grace.remaining(), 5s);
  EXPECT_EQ(grace.hard().deadline(), at(1h + 5s));
  clock.advance(5s);
  EXPECT_EQ(grace.hard().err(), errc::deadline_exceeded);
  EXPECT_EQ(grace.hard().cause(), cause("report budget"));
}

TEST_F(Grace, OfNoTimeEndsHardWithItsContext) {
  for (const clock::duration d : {0ns, -1ns, -1ns * 3'600'000'000'000}) {
    auto scope = with_cancel(clock.background());
    const grace grace(scope, d);
    EXPECT_FALSE(grace.hard().err());
    scope.cancel("shutdown");
    EXPECT_EQ(grace.hard().err(), errc::canceled);
    EXPECT_EQ(grace.hard().cause(), cause("shutdown"));
    EXPECT_EQ(grace.remaining(), 0s);
  }
}

TEST_F(Grace, OfNoTimeHasTheDeadlineOfItsContext) {
  const auto scope = with_timeout(clock.background(), 1h);
  const grace grace(scope, 0s);
  EXPECT_EQ(grace.hard().deadline(), at(1h));
  clock.advance(1h);
  EXPECT_EQ(grace.hard().err(), errc::deadline_exceeded);
}

TEST_F(Grace, OfAllTimeNeverEnds) {
  const auto deadline = with_timeout(clock.background(), 2h);
  auto scope = with_cancel(clock.background());
  clock.advance(1h);
  const grace a(scope, clock::duration::max());
  const grace b(deadline, clock::duration::max());
  EXPECT_EQ(b.hard().deadline(), std::nullopt);
  scope.cancel();
  clock.advance(24h * 365);
  EXPECT_FALSE(a.hard().err());
  EXPECT_FALSE(b.hard().err());
}

TEST_F(Grace, BoundsWhatIsDoneUnderHard) {
  clock.autojump();
  auto scope = with_cancel(clock.background());
  const grace grace(scope, 5s);
  scope.cancel("shutdown");
  EXPECT_TRUE(sleep_for(grace.hard(), 3s));
  const auto second = sleep_for(grace.hard(), 3s);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().cause(), cause("shutdown"));
  EXPECT_EQ(clock.now(), at(5s));
}

TEST(GraceOnTheSystemsClock, EndsHardSomeTimeLater) {
  auto scope = with_cancel(background());
  const grace grace(scope, 2ms);
  const auto began = clock::now();
  scope.cancel();
  EXPECT_EQ(grace.hard().done().wait(), errc::canceled);
  EXPECT_GE(clock::now() - began, 2ms);
}

// ---- the object

TEST_F(Grace, CancelsHardWhenItIsDestroyed) {
  const auto scope = with_cancel(clock.background());
  std::optional<grace> grace(std::in_place, scope, 5s);
  const context hard = grace->hard();
  grace.reset();
  EXPECT_EQ(hard.err(), errc::canceled);
  EXPECT_EQ(hard.cause(), errc::canceled);
  EXPECT_FALSE(scope.err());
}

TEST_F(Grace, CancelsHardWhenItIsDestroyedInTheMiddleOfTheGrace) {
  auto scope = with_cancel(clock.background());
  std::optional<grace> grace(std::in_place, scope, 5s);
  const context hard = grace->hard();
  scope.cancel("shutdown");
  clock.advance(1s);
  grace.reset();
  EXPECT_EQ(hard.err(), errc::canceled);
  EXPECT_EQ(hard.cause(), errc::canceled);
  EXPECT_FALSE(clock.advance_to_next()) << "no timer is left behind";
}

TEST_F(Grace, HasNoTimerBeforeItBegins) {
  const auto scope = with_cancel(clock.background());
  const grace grace(scope, 5s);
  EXPECT_FALSE(clock.advance_to_next());
}

TEST_F(Grace, MayBeDestroyedByACallbackOfSoft) {
  auto scope = with_cancel(clock.background());
  std::optional<grace> grace;
  const on_done first(scope, [&] { grace.reset(); });
  grace.emplace(scope, 5s);
  const context hard = grace->hard();
  scope.cancel();
  EXPECT_EQ(hard.err(), errc::canceled);
  EXPECT_FALSE(clock.advance_to_next());
}

TEST_F(Grace, MayBeDestroyedByACallbackOfHard) {
  for (const auto d : {5s, 0s}) {
    auto scope = with_cancel(clock.background());
    std::optional<grace> grace(std::in_place, scope, d);
    const on_done last(grace->hard(), [&] { grace.reset(); });
    scope.cancel();
    clock.advance(5s);
    EXPECT_FALSE(grace);
  }
}

TEST_F(Grace, EndsHardAtOnceIfThereIsNoMemoryAtTheEnd) {
  if (!testing::allocations_are_counted) GTEST_SKIP() << "this sanitizer has its own operator new";
  auto scope = with_cancel(clock.background());
  const grace grace(scope, 5s);
  {
    const testing::failing_allocation none_left(1);
    scope.cancel();
    ASSERT_TRUE(testing::failing_allocation::happened());
  }
  EXPECT_TRUE(grace.hard().err());
  EXPECT_EQ(grace.remaining(), 0s);
}

TEST_F(Grace, LosesNothingWhicheverAllocationFails) {
  if (!testing::allocations_are_counted) GTEST_SKIP() << "this sanitizer has its own operator new";
  for (std::size_t nth = 1;; ++nth) {
    auto scope = with_cancel(clock.background());
    std::optional<grace> grace;
    bool failed = false;
    {
      const testing::failing_allocation fails(nth);
      try {
        grace.emplace(scope, 5s);
        scope.cancel();
      } catch (const std::bad_alloc&) {
      }
      failed = testing::failing_allocation::happened();
    }
    if (grace) {
      clock.advance(5s);
      EXPECT_TRUE(grace->hard().err());
    }
    if (!failed) {
      EXPECT_GT(nth, 3U);
      break;
    }
  }
}

// ---- races

struct destroyed_while_it_begins {
  manual_clock clock;
  cancel_scope scope = with_cancel(clock.background());
  std::optional<grace> subject{std::in_place, scope, 5s};
  context hard = subject->hard();

  void left() { scope.cancel(); }
  void right() { subject.reset(); }
  void check() {
    EXPECT_TRUE(hard.err());
    EXPECT_FALSE(clock.advance_to_next());
  }
};

TEST(GraceRace, IsDestroyedWhileItBegins) {
  testing::hunt<destroyed_while_it_begins>("the end of ctx sets the timer while the grace is destroyed");
}

struct destroyed_while_it_runs_out {
  manual_clock clock;
  cancel_scope scope = with_cancel(clock.background());
  std::optional<grace> subject{std::in_place, scope, 5s};
  context hard = subject->hard();

  destroyed_while_it_runs_out() { scope.cancel(); }
  void left() { clock.advance(5s); }
  void right() { subject.reset(); }
  void check() const { EXPECT_EQ(hard.err(), errc::canceled); }
};

TEST(GraceRace, IsDestroyedWhileItRunsOut) {
  testing::hunt<destroyed_while_it_runs_out>("the timer ends hard() while the grace is destroyed");
}

struct asked_while_it_begins {
  manual_clock clock;
  cancel_scope scope = with_cancel(clock.background());
  grace subject{scope, 5s};
  std::optional<clock::duration> seen;

  void left() { scope.cancel(); }
  void right() {
    testing::await([&] { return bool(subject.soft().err()); });
    seen = subject.remaining();
  }
  void check() const { EXPECT_EQ(seen, 5s); }
};

TEST(GraceRace, TellsWhatIsLeftAsSoonAsSoftHasEnded) {
  testing::hunt<asked_while_it_begins>("remaining() comes between the end of ctx and its callback");
}

}  // namespace
}  // namespace curfew
