#include <curfew/core/cancel_scope.hpp>

#include "core/allocations.hpp"
#include "core/witness.hpp"
#include "race.hpp"

#include <curfew/core/errc.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::manual_clock;

constexpr key<int> number{"number"};

TEST(WithCancel, LivesUntilItIsCanceled) {
  auto scope = with_cancel(background());
  EXPECT_FALSE(scope.err());
  EXPECT_FALSE(scope.cause());
  EXPECT_FALSE(scope.deadline());
  scope.cancel();
  EXPECT_EQ(scope.err(), errc::canceled);
  EXPECT_EQ(scope.cause(), cause(errc::canceled));
}

TEST(WithCancel, EndsEverythingBelowAndNothingElse) {
  auto top = with_cancel(background());
  auto left = with_cancel(top);
  auto right = with_cancel(top);
  const auto below_left = with_cancel(left);
  const auto below_right = with_timeout(right, 1h);
  left.cancel("left");
  EXPECT_FALSE(top.err());
  EXPECT_EQ(left.err(), errc::canceled);
  EXPECT_EQ(below_left.err(), errc::canceled);
  EXPECT_EQ(below_left.cause().message(), "left");
  EXPECT_FALSE(right.err());
  EXPECT_FALSE(below_right.err());
  top.cancel("top");
  EXPECT_EQ(below_right.err(), errc::canceled);
  EXPECT_EQ(below_right.cause().message(), "top");
  EXPECT_EQ(below_left.cause().message(), "left");
}

TEST(WithCancel, OfAnEndedParentIsBornEndedWithItsCause) {
  auto scope = with_cancel(background());
  scope.cancel("over");
  const auto late = with_cancel(scope);
  const auto later = with_timeout(late, 1h);
  EXPECT_EQ(late.err(), errc::canceled);
  EXPECT_EQ(later.err(), errc::canceled);
  EXPECT_EQ(later.cause().message(), "over");
}

TEST(WithCancel, CanBeTakenOutOfAnyPlaceAmongItsSiblings) {
  for (std::size_t first = 0; first != 4; ++first) {
    auto top = with_cancel(background());
    std::vector<std::optional<cancel_scope>> children;
    for (int i = 0; i != 4; ++i) children.emplace_back(with_cancel(top));
    for (std::size_t i = 0; i != 3; ++i) children[(first + i) % 4].reset();
    EXPECT_FALSE(children[(first + 3) % 4]->err());
    top.cancel();
    EXPECT_EQ(children[(first + 3) % 4]->err(), errc::canceled);
  }
}

TEST(CancelScope, CancelsWhenItIsDestroyed) {
  std::optional<context> ctx;
  std::optional<context> below;
  {
    const auto scope = with_cancel(background());
    ctx = scope;
    below = with_value(scope, number, 1);
    EXPECT_FALSE(ctx->err());
  }
  EXPECT_EQ(ctx->err(), errc::canceled);
  EXPECT_EQ(below->err(), errc::canceled);
}

TEST(CancelScope, KeepsTheFirstEndAndItsCause) {
  manual_clock clock;
  auto scope = with_timeout(clock.background(), 1s, "late");
  scope.cancel("first");
  scope.cancel("second");
  scope.cancel();
  clock.advance(1s);
  EXPECT_EQ(scope.err(), errc::canceled);
  EXPECT_EQ(scope.cause().message(), "first");
}

TEST(CancelScope, HasNoCauseButItsErrWhenNoneIsGiven) {
  auto scope = with_cancel(background());
  scope.cancel(cause());
  EXPECT_EQ(scope.cause(), cause(errc::canceled));
}

TEST(CancelScope, TakesACauseOfAnotherCode) {
  auto scope = with_cancel(background());
  scope.cancel(std::make_error_code(std::errc::connection_reset));
  EXPECT_EQ(scope.err(), errc::canceled);
  EXPECT_EQ(scope.cause(), std::errc::connection_reset);
}

TEST(CancelScope, ObservesItsContext) {
  const manual_clock clock;
  const context ctx = with_value(clock.background(), number, 3);
  const auto scope = with_timeout(ctx, 2s);
  EXPECT_EQ(scope.deadline(), scope.ctx().deadline());
  EXPECT_EQ(scope.remaining(), 2s);
  EXPECT_EQ(*scope.value(number), 3);
  EXPECT_EQ(scope.done().ctx(), scope.ctx());
  EXPECT_TRUE(scope.stop_token().stop_possible());
}

TEST(CancelScope, IsMovedButNotCopied) {
  EXPECT_FALSE(std::is_copy_constructible_v<cancel_scope>);
  EXPECT_TRUE(std::is_nothrow_move_constructible_v<cancel_scope>);
  EXPECT_FALSE((std::is_convertible_v<cancel_scope, context>));
  EXPECT_TRUE((std::is_convertible_v<const cancel_scope&, const context&>));
}

TEST(CancelScope, OwnsTheContextOfTheScopeItIsMovedFrom) {
  auto from = with_cancel(background());
  const context ctx = from;
  {
    const cancel_scope to = std::move(from);
    EXPECT_EQ(to.ctx(), ctx);
    EXPECT_FALSE(ctx.err());
  }
  EXPECT_EQ(ctx.err(), errc::canceled);
}

TEST(CancelScope, CancelsWhatItOwnedWhenItIsAssignedTo) {
  auto to = with_cancel(background());
  auto from = with_cancel(background());
  const context before = to;
  const context after = from;
  to = std::move(from);
  EXPECT_EQ(before.err(), errc::canceled);
  EXPECT_FALSE(after.err());
  EXPECT_EQ(to.ctx(), after);
}

TEST(CancelScope, CanBeAssignedToItself) {
  auto scope = with_cancel(background());
  cancel_scope& same = scope;
  scope = std::move(same);
  EXPECT_FALSE(scope.err());
  EXPECT_NE(scope.ctx(), background());
}

TEST(CancelScope, CancelsNothingAfterItWasMovedFrom) {
  auto from = with_cancel(background());
  const cancel_scope to = std::move(from);
  from.cancel("nothing");  // NOLINT(bugprone-use-after-move)
  EXPECT_FALSE(to.err());
  EXPECT_FALSE(background().err());
  from = with_cancel(background());
  from.cancel();
  EXPECT_EQ(from.err(), errc::canceled);
}

TEST(CancelScope, CanBeKeptInAVectorFromWhichSomeAreErased) {
  std::vector<cancel_scope> scopes;
  std::vector<context> contexts;
  for (int i = 0; i != 5; ++i) {
    scopes.push_back(with_cancel(background()));
    contexts.push_back(scopes.back());
  }
  scopes.erase(scopes.begin() + 1, scopes.begin() + 3);
  EXPECT_FALSE(contexts[0].err());
  EXPECT_TRUE(contexts[1].err());
  EXPECT_TRUE(contexts[2].err());
  EXPECT_FALSE(contexts[3].err());
  EXPECT_FALSE(contexts[4].err());
}

TEST(CancelScope, MayBeDestroyedByTheCallbackThatItsCancelRuns) {
  struct session {
    cancel_scope scope = with_cancel(background());
    std::optional<on_done<std::function<void()>>> stop;
    std::string text = "still here";
  };
  bool ran = false;
  auto owner = std::make_unique<session>();
  session* observed = owner.get();
  observed->stop.emplace(observed->scope, [&] {
    ran = true;
    owner.reset();  // with it the scope that is being canceled, and this callback
  });
  observed->scope.cancel("close");
  EXPECT_TRUE(ran);
}

TEST(CancelScope, MayBeDestroyedByACallbackBelowIt) {
  std::optional<cancel_scope> scope(with_cancel(background()));
  std::optional<cancel_scope> child(with_cancel(*scope));
  std::optional<on_done<std::function<void()>>> stop;
  stop.emplace(*child, [&] {
    child.reset();
    scope.reset();
    stop.reset();  // with it what is captured here
  });
  scope->cancel();
  EXPECT_FALSE(scope);
}

// ---- deadlines

TEST(WithTimeout, EndsAtItsDeadlineAndNotBefore) {
  manual_clock clock;
  const auto scope = with_timeout(clock.background(), 5s);
  EXPECT_EQ(scope.deadline(), clock::time_point(5s));
  clock.advance(5s - 1ns);
  EXPECT_FALSE(scope.err());
  clock.advance(1ns);
  EXPECT_EQ(scope.err(), errc::deadline_exceeded);
  EXPECT_EQ(scope.cause(), cause(errc::deadline_exceeded));
}

TEST(WithTimeout, CountsFromNow) {
  manual_clock clock;
  clock.advance(3s);
  const auto scope = with_timeout(clock.background(), 5s);
  EXPECT_EQ(scope.deadline(), clock::time_point(8s));
}

TEST(WithTimeout, EndsEverythingBelow) {
  manual_clock clock;
  const auto scope = with_timeout(clock.background(), 1s, "budget");
  const auto below = with_cancel(scope);
  clock.advance(1s);
  EXPECT_EQ(below.err(), errc::deadline_exceeded);
  EXPECT_EQ(below.cause().message(), "budget");
}

TEST(WithTimeout, KeepsTheParentsEarlierDeadline) {
  manual_clock clock;
  const auto outer = with_timeout(clock.background(), 1s, "outer");
  const auto inner = with_timeout(outer, 2s, "inner");
  EXPECT_EQ(inner.deadline(), clock::time_point(1s));
  clock.advance(2s);
  EXPECT_EQ(inner.err(), errc::deadline_exceeded);
  EXPECT_EQ(inner.cause().message(), "outer");
}

TEST(WithTimeout, GivesItsCauseOnlyIfItIsItsDeadlineThatEndsIt) {
  manual_clock clock;
  auto by_cancel = with_timeout(clock.background(), 1s, "late");
  auto parent = with_cancel(clock.background());
  const auto by_parent = with_timeout(parent, 1s, "late");
  const auto by_deadline = with_timeout(clock.background(), 1s, "late");
  by_cancel.cancel();
  parent.cancel("gone");
  clock.advance(1s);
  EXPECT_EQ(by_cancel.cause(), cause(errc::canceled));
  EXPECT_EQ(by_parent.cause().message(), "gone");
  EXPECT_EQ(by_deadline.cause().message(), "late");
}

TEST(WithTimeout, OfZeroOrLessIsEndedOnReturn) {
  manual_clock clock;
  for (const clock::duration timeout : {0ns, -1ns, clock::duration(-1h), clock::duration::min()}) {
    const auto scope = with_timeout(clock.background(), timeout, "too late");
    EXPECT_EQ(scope.err(), errc::deadline_exceeded);
    EXPECT_EQ(scope.cause().message(), "too late");
    EXPECT_EQ(scope.deadline(), clock::time_point(timeout));
    EXPECT_EQ(scope.remaining(), 0ns);
  }
}

TEST(WithTimeout, OfZeroUnderAnEndedParentHasTheParentsEnd) {
  auto parent = with_cancel(background());
  parent.cancel("gone");
  const auto scope = with_timeout(parent, 0s, "too late");
  EXPECT_EQ(scope.err(), errc::canceled);
  EXPECT_EQ(scope.cause().message(), "gone");
}

// Two contexts share a deadline; the callback of the first runs before the second has been told.
TEST(WithTimeout, OfZeroIsEndedOnReturnAlsoUnderAParentThatIsAboutToEnd) {
  manual_clock clock;
  const auto first = with_timeout(clock.background(), 1s);
  const auto second = with_timeout(clock.background(), 1s);
  std::error_code err;
  const on_done derive(first, [&] {
    const auto late = with_timeout(second, 0s);
    err = late.err();
  });
  clock.advance(1s);
  EXPECT_EQ(err, errc::deadline_exceeded);
}

TEST(WithTimeout, SaturatesToNoDeadline) {
  manual_clock clock;
  clock.advance(1s);
  const auto scope = with_timeout(clock.background(), clock::duration::max());
  EXPECT_FALSE(scope.deadline());
  clock.advance(clock::duration::max());
  EXPECT_FALSE(scope.err());
}

TEST(WithTimeout, HasADeadlineUpToTheLastPointInTime) {
  manual_clock clock;
  const auto scope = with_timeout(clock.background(), clock::duration::max() - 1ns);
  EXPECT_EQ(scope.deadline(), clock::time_point::max() - 1ns);
  clock.advance(clock::duration::max() - 2ns);
  EXPECT_FALSE(scope.err());
  clock.advance(1ns);
  EXPECT_EQ(scope.err(), errc::deadline_exceeded);
}

TEST(WithDeadline, EndsAtAPointInTime) {
  manual_clock clock;
  clock.advance(1s);
  const auto scope = with_deadline(clock.background(), clock::time_point(3s), "late");
  EXPECT_EQ(scope.deadline(), clock::time_point(3s));
  clock.advance(2s);
  EXPECT_EQ(scope.err(), errc::deadline_exceeded);
  EXPECT_EQ(scope.cause().message(), "late");
}

TEST(WithDeadline, InThePastIsEndedOnReturn) {
  manual_clock clock;
  clock.advance(10s);
  for (const clock::time_point past :
       {clock::time_point(10s), clock::time_point(9s), clock::time_point(-1s), clock::time_point::min()}) {
    const auto scope = with_deadline(clock.background(), past);
    EXPECT_EQ(scope.err(), errc::deadline_exceeded);
    EXPECT_EQ(scope.deadline(), past);
  }
}

TEST(WithDeadline, AtTheEndOfTimeIsNone) {
  const auto scope = with_deadline(background(), clock::time_point::max());
  EXPECT_FALSE(scope.deadline());
  EXPECT_FALSE(scope.err());
}

TEST(WithDeadline, LeavesNoTimerWhenItEndsEarly) {
  manual_clock clock;
  const testing::allocation_count count;
  for (int i = 0; i != 100; ++i) {
    auto scope = with_timeout(clock.background(), 1s);
    const context kept = scope;
    if (i % 2 == 0) scope.cancel();
  }
  EXPECT_EQ(count.held(), 0);  // a timer would keep its context
  clock.advance(1s);
}

// ---- canceler

TEST(Canceler, CancelsTheContextOfItsScope) {
  const auto scope = with_cancel(background());
  const canceler stop = scope.canceler();
  stop.cancel("button");
  EXPECT_EQ(scope.err(), errc::canceled);
  EXPECT_EQ(scope.cause().message(), "button");
  stop.cancel("again");
  EXPECT_EQ(scope.cause().message(), "button");
}

TEST(Canceler, CancelsNothingByDefault) {
  const canceler nothing;
  nothing.cancel();
  nothing.cancel("why");
}

TEST(Canceler, CanBeCopiedMovedAndAssigned) {
  const auto scope = with_cancel(background());
  canceler one = scope.canceler();
  canceler two = one;
  const canceler three = std::move(one);
  one.cancel("moved from");  // NOLINT(bugprone-use-after-move)
  EXPECT_FALSE(scope.err());
  canceler four;
  four = two;
  two = canceler();
  two.cancel("empty");
  EXPECT_FALSE(scope.err());
  four.cancel("four");
  three.cancel("three");
  EXPECT_EQ(scope.cause().message(), "four");
}

TEST(Canceler, FollowsItsScopeWhenThatMoves) {
  auto from = with_cancel(background());
  const canceler stop = from.canceler();
  const cancel_scope to = std::move(from);
  stop.cancel();
  EXPECT_EQ(to.err(), errc::canceled);
}

TEST(Canceler, KeepsNothingAlive) {
  static constexpr key<std::shared_ptr<int>> shared{"shared"};
  auto value = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = value;
  canceler stop;
  {
    const auto scope = with_cancel(with_value(background(), shared, std::move(value)));
    stop = scope.canceler();
  }
  EXPECT_TRUE(watch.expired());
  stop.cancel("too late");
}

TEST(Canceler, OfAnEndedScopeDoesNothing) {
  auto scope = with_cancel(background());
  scope.cancel("first");
  const canceler stop = scope.canceler();
  stop.cancel("second");
  EXPECT_EQ(scope.cause().message(), "first");
}

TEST(Canceler, OfAMovedFromScopeDoesNothing) {
  auto from = with_cancel(background());
  const cancel_scope to = std::move(from);
  from.canceler().cancel();  // NOLINT(bugprone-use-after-move)
  EXPECT_FALSE(to.err());
  EXPECT_FALSE(background().err());
}

TEST(Canceler, DoesNothingAfterADeadlineOrTheParentEndedIt) {
  manual_clock clock;
  auto parent = with_cancel(clock.background());
  const auto timed = with_timeout(parent, 1s);
  const auto child = with_cancel(parent);
  const canceler stop_timed = timed.canceler();
  const canceler stop_child = child.canceler();
  clock.advance(1s);
  parent.cancel("parent");
  stop_timed.cancel("late");
  stop_child.cancel("late");
  EXPECT_EQ(timed.err(), errc::deadline_exceeded);
  EXPECT_EQ(child.cause().message(), "parent");
}

TEST(Canceler, MayBeDestroyedByTheCallbackItRuns) {
  const auto scope = with_cancel(background());
  std::optional<canceler> stop(scope.canceler());
  const on_done forget(scope, [&] { stop.reset(); });
  stop->cancel();
  EXPECT_FALSE(stop);
}

struct canceler_against_the_scopes_end {
  std::optional<cancel_scope> scope{with_cancel(background())};
  context ctx{*scope};
  canceler stop = scope->canceler();

  void left() { scope.reset(); }
  void right() const { stop.cancel("button"); }
  void check() const {
    EXPECT_EQ(ctx.err(), errc::canceled);
    EXPECT_TRUE(ctx.cause() == cause(errc::canceled) || ctx.cause().message() == "button");
  }
};

TEST(Canceler, IsSafeWhileItsScopeGoes) {
  testing::hunt<canceler_against_the_scopes_end>(
      "cancel() through a canceler against the scope's destructor");
}

struct canceler_against_the_last_reference {
  testing::witness place;
  std::optional<cancel_scope> parent{with_cancel(background())};
  std::optional<cancel_scope> scope{with_cancel(place.watch(*parent))};
  canceler stop = scope->canceler();

  void left() {
    parent->cancel();
    scope.reset();
    parent.reset();
  }
  void right() { std::exchange(stop, canceler()).cancel("button"); }
  void check() const { EXPECT_TRUE(place.is_gone()) << "a reference was not given back"; }
};

TEST(Canceler, IsSafeWhileTheLastReferenceGoes) {
  testing::hunt<canceler_against_the_last_reference>(
      "cancel() through a canceler against the node's destruction");
}

}  // namespace
}  // namespace curfew
