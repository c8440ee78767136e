#include <curfew/core/context.hpp>

#include "core/allocations.hpp"

#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/done.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/error.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <gtest/gtest.h>
#include <optional>
#include <sstream>
#include <system_error>
#include <type_traits>
#include <unordered_map>
#include <utility>

namespace curfew {
namespace {

using namespace std::chrono_literals;

constexpr key<int> number{"number"};

// Made, canceled and looked at while the program's statics are initialised, in whatever order that is.
const std::error_code err_during_static_initialization = [] {
  auto scope = with_cancel(background());
  scope.cancel();
  return scope.err();
}();
auto made_during_static_initialization = with_cancel(background());

TEST(Context, WorksBeforeMain) {
  EXPECT_EQ(err_during_static_initialization, errc::canceled);
  EXPECT_FALSE(made_during_static_initialization.err());
  made_during_static_initialization.cancel();
  EXPECT_EQ(made_during_static_initialization.err(), errc::canceled);
}

TEST(Context, IsOnePointerWideAndNeverMadeFromNothing) {
  EXPECT_EQ(sizeof(context), sizeof(void*));
  EXPECT_FALSE(std::is_default_constructible_v<context>);
  EXPECT_TRUE(std::is_nothrow_copy_constructible_v<context>);
  EXPECT_TRUE(std::is_nothrow_move_constructible_v<context>);
}

TEST(Background, NeverEndsAndHasNothing) {
  const context& ctx = background();
  EXPECT_FALSE(ctx.err());
  EXPECT_FALSE(ctx.cause());
  EXPECT_FALSE(ctx.deadline());
  EXPECT_FALSE(ctx.remaining());
  EXPECT_EQ(ctx.value(number), nullptr);
  EXPECT_FALSE(ctx.stop_token().stop_possible());
}

TEST(Background, IsOnePlace) { EXPECT_EQ(background(), background()); }

TEST(Background, GoesByTheSystemsClock) {
  const auto before = clock::now();
  const auto told = background().now();
  EXPECT_LE(before, told);
  EXPECT_LE(told, clock::now());
}

TEST(Todo, IsAnotherPlaceThatNeverEnds) {
  EXPECT_NE(todo(), background());
  EXPECT_EQ(todo(), todo());
  EXPECT_FALSE(todo().err());
  auto scope = with_cancel(todo());
  scope.cancel();
  EXPECT_EQ(scope.err(), errc::canceled);
  EXPECT_FALSE(todo().err());
}

TEST(Context, CopiesAreTheSamePlace) {
  auto scope = with_cancel(background());
  const context ctx = scope;
  const context copy = ctx;  // NOLINT(performance-unnecessary-copy-initialization)
  EXPECT_EQ(ctx, scope.ctx());
  EXPECT_EQ(copy, ctx);
  EXPECT_NE(copy, background());
  scope.cancel();
  EXPECT_EQ(copy.err(), errc::canceled);
}

TEST(Context, KeepsItsEndAfterItsScopeHasGone) {
  std::optional<context> kept;
  {
    const auto scope = with_cancel(background());
    kept = scope;
    EXPECT_FALSE(kept->err());
  }
  EXPECT_EQ(kept->err(), errc::canceled);
  EXPECT_EQ(kept->cause(), errc::canceled);
}

TEST(Context, IsTheBackgroundAfterItWasMovedFrom) {
  const auto scope = with_cancel(background());
  context from = scope;
  const context to = std::move(from);
  EXPECT_EQ(to, scope.ctx());
  EXPECT_EQ(from, background());  // NOLINT(bugprone-use-after-move)
  EXPECT_FALSE(from.err());
}

TEST(Context, IsTheBackgroundAfterItWasMoveAssignedFrom) {
  const auto one = with_cancel(background());
  const auto two = with_cancel(background());
  context from = one;
  context to = two;
  to = std::move(from);
  EXPECT_EQ(to, one.ctx());
  EXPECT_EQ(from, background());  // NOLINT(bugprone-use-after-move)
}

TEST(Context, CanBeAssignedToItself) {
  const auto scope = with_cancel(background());
  context ctx = scope;
  context& same = ctx;
  ctx = same;
  EXPECT_EQ(ctx, scope.ctx());
  ctx = std::move(same);
  EXPECT_EQ(ctx, scope.ctx());
}

TEST(Context, LetsGoOfWhatItIsAssignedOver) {
  const testing::allocation_count count;
  {
    std::optional<cancel_scope> scope(with_cancel(background()));
    context copied = *scope;
    context moved = *scope;
    scope.reset();
    copied = background();
    moved = context(background());
    EXPECT_EQ(count.held(), 0);
  }
}

TEST(Context, ReportsTheNearestDeadlineOfAllAbove) {
  const testing::manual_clock clock;
  const auto outer = with_timeout(clock.background(), 10s);
  const auto inner = with_timeout(outer, 5s);
  const auto later = with_timeout(inner, 7s);
  const auto below = with_cancel(with_value(later, number, 1));
  EXPECT_EQ(outer.deadline(), clock::time_point(10s));
  EXPECT_EQ(inner.deadline(), clock::time_point(5s));
  EXPECT_EQ(later.deadline(), clock::time_point(5s));
  EXPECT_EQ(below.deadline(), clock::time_point(5s));
}

TEST(Context, ReportsTheTimeThatRemains) {
  testing::manual_clock clock;
  const auto scope = with_timeout(clock.background(), 10s);
  EXPECT_EQ(scope.remaining(), 10s);
  clock.advance(4s);
  EXPECT_EQ(scope.remaining(), 6s);
  clock.advance(6s);
  EXPECT_EQ(scope.remaining(), 0s);
  clock.advance(1h);
  EXPECT_EQ(scope.remaining(), 0s);
}

TEST(Context, HasNoTimeLeftAtTheLimitsOfTheClock) {
  testing::manual_clock clock;
  clock.advance(1s);
  EXPECT_EQ(with_deadline(clock.background(), clock::time_point::min()).remaining(), 0s);
}

TEST(Context, TellsTheTimeOfItsClock) {
  testing::manual_clock clock;
  const context ctx = with_value(clock.background(), number, 1);
  EXPECT_EQ(ctx.now(), clock::time_point());
  clock.advance(3s);
  EXPECT_EQ(ctx.now(), clock::time_point(3s));
}

TEST(WithoutCancel, DoesNotEndWithItsParent) {
  auto scope = with_cancel(background());
  const context clean = without_cancel(scope);
  scope.cancel();
  EXPECT_FALSE(clean.err());
  EXPECT_FALSE(clean.cause());
  EXPECT_FALSE(clean.stop_token().stop_possible());
}

TEST(WithoutCancel, OfAnEndedContextLives) {
  auto scope = with_cancel(background());
  scope.cancel("stop");
  const context clean = without_cancel(scope);
  EXPECT_FALSE(clean.err());
  EXPECT_FALSE(clean.cause());
}

TEST(WithoutCancel, HasNoDeadlineButTheSameClock) {
  testing::manual_clock clock;
  const auto scope = with_timeout(clock.background(), 1s);
  const context clean = without_cancel(scope);
  EXPECT_FALSE(clean.deadline());
  EXPECT_FALSE(clean.remaining());
  const auto clean_up = with_timeout(clean, 5s);
  clock.advance(5s);
  EXPECT_EQ(clean_up.err(), errc::deadline_exceeded);
  EXPECT_FALSE(clean.err());
}

TEST(WithoutCancel, KeepsTheValues) {
  const context ctx = with_value(background(), number, 4);
  EXPECT_EQ(*without_cancel(without_cancel(ctx)).value(number), 4);
}

TEST(WithoutCancel, LetsChildrenOfItsOwnEnd) {
  auto outer = with_cancel(background());
  const context clean = without_cancel(outer);
  auto inner = with_cancel(clean);
  outer.cancel();
  EXPECT_FALSE(inner.err());
  inner.cancel();
  EXPECT_EQ(inner.err(), errc::canceled);
  EXPECT_FALSE(clean.err());
}

TEST(Context, OfWhichTheErrIsPrintedWhileItLivesDoesNotReportASuccess) {
  const auto scope = with_cancel(background());
  std::ostringstream text;
  text << scope.err();
  EXPECT_EQ(text.str(), "curfew:0");
  EXPECT_EQ(scope.err().message(), "not ended");
  EXPECT_EQ(error::ended(scope).message(), "not ended");
  EXPECT_FALSE(scope.err());
  EXPECT_EQ(scope.err(), background().err());
  EXPECT_EQ(scope.err(), std::error_condition());
}

TEST(Context, IsAKeyOfAnUnorderedContainer) {
  auto scope = with_cancel(background());
  const context copy = scope.ctx();
  std::unordered_map<context, int> seen;
  seen[scope] = 1;
  seen[background()] = 2;
  EXPECT_EQ(seen[copy], 1);
  EXPECT_EQ(seen.size(), 2U);
}

}  // namespace
}  // namespace curfew
