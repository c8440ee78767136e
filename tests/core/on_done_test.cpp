#include <curfew/core/on_done.hpp>

#include "core/witness.hpp"
#include "race.hpp"

#include <array>
#include <atomic>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/key.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <functional>
#include <gtest/gtest.h>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using callback = on_done<std::function<void()>>;

TEST(OnDone, RunsOnceAtTheEnd) {
  auto scope = with_cancel(background());
  int runs = 0;
  const on_done count(scope, [&] { ++runs; });
  EXPECT_EQ(runs, 0);
  scope.cancel();
  EXPECT_EQ(runs, 1);
  scope.cancel();
  EXPECT_EQ(runs, 1);
}

TEST(OnDone, RunsAtOnceIfTheContextHasEnded) {
  auto scope = with_cancel(background());
  scope.cancel();
  int runs = 0;
  on_done count(scope, [&] { ++runs; });
  EXPECT_EQ(runs, 1);
  EXPECT_FALSE(count.stop());
}

TEST(OnDone, RunsWhenAnAncestorEndsOrADeadlinePasses) {
  testing::manual_clock clock;
  auto top = with_cancel(clock.background());
  const auto child = with_cancel(top);
  const auto timed = with_timeout(clock.background(), 1s);
  int runs = 0;
  const on_done by_parent(child, [&] { runs += 1; });
  const on_done by_deadline(timed, [&] { runs += 10; });
  top.cancel();
  EXPECT_EQ(runs, 1);
  clock.advance(1s);
  EXPECT_EQ(runs, 11);
}

TEST(OnDone, RunsWhenTheScopeIsDestroyed) {
  int runs = 0;
  std::optional<cancel_scope> scope(with_cancel(background()));
  const on_done count(*scope, [&] { ++runs; });
  scope.reset();
  EXPECT_EQ(runs, 1);
}

TEST(OnDone, SeesTheErrAndTheCauseOfTheEnd) {
  auto scope = with_cancel(background());
  std::error_code err;
  std::string why;
  const on_done look(scope, [&] {
    err = scope.err();
    why = scope.cause().message();
  });
  scope.cancel("shutdown");
  EXPECT_EQ(err, errc::canceled);
  EXPECT_EQ(why, "shutdown");
}

TEST(OnDone, NeverRunsOnAContextThatCannotEnd) {
  int runs = 0;
  {
    on_done count(background(), [&] { ++runs; });
    EXPECT_TRUE(count.stop());
    EXPECT_FALSE(count.stop());
    const on_done other(background(), [&] { ++runs; });
  }
  EXPECT_EQ(runs, 0);
}

TEST(OnDone, DoesNotRunAfterItsDestructor) {
  auto scope = with_cancel(background());
  int runs = 0;
  {
    const on_done count(scope, [&] { ++runs; });
  }
  scope.cancel();
  EXPECT_EQ(runs, 0);
}

TEST(OnDone, SaysWhetherStopPreventedTheRun) {
  auto scope = with_cancel(background());
  int runs = 0;
  on_done prevented(scope, [&] { ++runs; });
  on_done ran(scope, [&] { ++runs; });
  EXPECT_TRUE(prevented.stop());
  EXPECT_FALSE(prevented.stop());
  scope.cancel();
  EXPECT_FALSE(ran.stop());
  EXPECT_EQ(runs, 1);
}

TEST(OnDone, RunsInTheOrderOfRegistration) {
  auto scope = with_cancel(background());
  std::vector<int> order;
  std::vector<std::unique_ptr<callback>> callbacks;
  for (int i = 0; i != 8; ++i)
    callbacks.push_back(std::make_unique<callback>(scope, [&order, i] { order.push_back(i); }));
  callbacks[0].reset();
  callbacks[3].reset();
  callbacks[7].reset();
  scope.cancel();
  EXPECT_EQ(order, (std::vector{1, 2, 4, 5, 6}));
}

TEST(OnDone, RunsWhenEverythingBelowHasEnded) {
  auto top = with_cancel(background());
  const auto left = with_cancel(top);
  const auto right = with_cancel(top);
  const auto below_left = with_cancel(left);
  const auto below_right = with_timeout(right, 1h);
  const std::array<const cancel_scope*, 5> all{&top, &left, &right, &below_left, &below_right};
  int runs = 0;
  const auto look = [&] {
    ++runs;
    for (const cancel_scope* each : all) EXPECT_EQ(each->err(), errc::canceled);
  };
  const on_done at_top(top, look);
  const on_done at_left(left, look);
  const on_done at_the_bottom(below_right, look);
  top.cancel();
  EXPECT_EQ(runs, 3);
}

TEST(OnDone, RunsInTheThreadThatCancels) {
  auto scope = with_cancel(background());
  std::thread::id runner;
  const on_done look(scope, [&] { runner = std::this_thread::get_id(); });
  std::jthread other([&] { scope.cancel(); });
  const std::thread::id expected = other.get_id();
  other.join();
  EXPECT_EQ(runner, expected);
}

TEST(OnDone, MayDestroyItselfInItsCallback) {
  auto scope = with_cancel(background());
  int runs = 0;
  std::optional<callback> self;
  self.emplace(scope, [&, text = std::string("captured, and gone with the callback")] {
    ++runs;
    self.reset();
  });
  const on_done next(scope, [&] { ++runs; });
  scope.cancel();
  EXPECT_EQ(runs, 2);
  EXPECT_FALSE(self);
}

TEST(OnDone, MayStopItselfInItsCallback) {
  auto scope = with_cancel(background());
  bool prevented = true;
  std::optional<callback> self;
  self.emplace(scope, [&] { prevented = self->stop(); });
  scope.cancel();
  EXPECT_FALSE(prevented);
  EXPECT_FALSE(self->stop());
}

TEST(OnDone, MayStopAndThenDestroyItselfInItsCallback) {
  auto scope = with_cancel(background());
  std::optional<callback> self;
  self.emplace(scope, [&] {
    self->stop();
    self.reset();
  });
  scope.cancel();
  EXPECT_FALSE(self);
}

TEST(OnDone, MayDestroyAnotherInItsCallback) {
  auto scope = with_cancel(background());
  int runs = 0;
  std::optional<callback> later;
  const on_done first(scope, [&] {
    ++runs;
    later.reset();
  });
  later.emplace(scope, [&] { runs += 100; });
  scope.cancel();
  EXPECT_EQ(runs, 1);
}

TEST(OnDone, MayDestroyAllOthersOfTheTreeInItsCallback) {
  auto top = with_cancel(background());
  const auto child = with_cancel(top);
  std::vector<std::unique_ptr<callback>> others;
  int runs = 0;
  const on_done first(top, [&] { others.clear(); });
  others.push_back(std::make_unique<callback>(top, [&] { ++runs; }));
  others.push_back(std::make_unique<callback>(child, [&] { ++runs; }));
  others.push_back(std::make_unique<callback>(top, [&] { ++runs; }));
  top.cancel();
  EXPECT_EQ(runs, 0);
}

TEST(OnDone, MayBeDestroyedByACallbackThatItsOwnCallbackRuns) {
  auto outer = with_cancel(background());
  auto inner = with_cancel(background());
  std::optional<callback> first;
  first.emplace(outer, [&] { inner.cancel(); });
  const on_done second(inner, [&] { first.reset(); });
  outer.cancel();
  EXPECT_FALSE(first);
}

TEST(OnDone, MayDeriveFromTheEndingContext) {
  auto scope = with_cancel(background());
  std::error_code err;
  const on_done derive(scope, [&] {
    const auto late = with_timeout(scope, 1h);
    err = late.err();
  });
  scope.cancel();
  EXPECT_EQ(err, errc::canceled);
}

TEST(OnDone, MayDeriveEveryKindFromTheEndingContext) {
  static constexpr key<int> number{"number"};
  testing::manual_clock clock;
  const auto other = with_cancel(clock.background());
  const auto scope = with_timeout(clock.background(), 1s, "late");
  std::optional<context> cleanup;
  int checks = 0;
  const on_done derive(scope, [&] {
    const auto child = with_cancel(scope);
    const auto timed = with_deadline(child, clock::time_point(2s));
    const auto merged = merge(other, timed);
    const context value = with_value(merged, number, 1);
    for (const context& each : {child.ctx(), timed.ctx(), merged.ctx(), value}) {
      EXPECT_EQ(each.err(), errc::deadline_exceeded);
      EXPECT_EQ(each.cause().message(), "late");
      const on_done at_once(each, [&] { ++checks; });
    }
    cleanup.emplace(without_cancel(value));
  });
  clock.advance(1s);
  EXPECT_EQ(checks, 4);
  ASSERT_TRUE(cleanup);
  EXPECT_FALSE(cleanup->err());
  EXPECT_EQ(*cleanup->value(number), 1);
}

TEST(OnDone, MayDestroyItsScopeAtItsDeadline) {
  testing::manual_clock clock;
  std::optional<cancel_scope> scope(with_timeout(clock.background(), 1s));
  std::optional<cancel_scope> child(with_cancel(*scope));
  int runs = 0;
  std::optional<callback> both(std::in_place, *scope, [&] {
    ++runs;
    scope.reset();
    child.reset();
  });
  const on_done below(child->ctx(), [&] { ++runs; });
  clock.advance(1s);
  EXPECT_EQ(runs, 2);
  EXPECT_FALSE(scope);
  EXPECT_FALSE(clock.advance_to_next());
}

TEST(OnDone, MayCancelItsOwnScope) {
  auto scope = with_cancel(background());
  int runs = 0;
  const on_done again(scope, [&] {
    ++runs;
    scope.cancel("again");
  });
  scope.cancel("first");
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(scope.cause().message(), "first");
}

TEST(OnDone, MayRegisterAnotherWhichRunsAtOnce) {
  auto scope = with_cancel(background());
  std::vector<int> order;
  std::optional<callback> nested;
  const on_done first(scope, [&] {
    order.push_back(1);
    nested.emplace(scope, [&] { order.push_back(2); });
    order.push_back(3);
  });
  const on_done last(scope, [&] { order.push_back(4); });
  scope.cancel();
  EXPECT_EQ(order, (std::vector{1, 2, 3, 4}));
}

TEST(OnDone, KeepsItsContext) {
  static constexpr key<std::shared_ptr<int>> shared{"shared"};
  auto value = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = value;
  {
    std::optional<context> ctx(with_value(background(), shared, std::move(value)));
    const on_done keep(*ctx, [] {});
    ctx.reset();
    EXPECT_FALSE(watch.expired());
  }
  EXPECT_TRUE(watch.expired());
}

TEST(OnDone, TakesAMoveOnlyFunctionAndAPlainOne) {
  auto scope = with_cancel(background());
  static int runs;
  runs = 0;
  const on_done move_only(scope, [count = std::make_unique<int>(5)] { runs += *count; });
  const on_done plain(scope, +[] { ++runs; });
  scope.cancel();
  EXPECT_EQ(runs, 6);
}

TEST(OnDone, LeavesNothingWhenTheFunctionCannotBeMadeFromItsArgument) {
  struct thrower {
    thrower() = default;
    thrower(const thrower&) { throw std::runtime_error("no copy today"); }
    void operator()() const {}
  };
  auto scope = with_cancel(background());
  const thrower f;
  EXPECT_THROW(const on_done<thrower> never(scope, f), std::runtime_error);
  scope.cancel();
}

TEST(OnDone, StaysWhereItWasMade) {
  EXPECT_FALSE(std::is_copy_constructible_v<callback>);
  EXPECT_FALSE(std::is_move_constructible_v<callback>);
}

TEST(OnDoneDeathTest, TerminatesWhenTheCallbackThrows) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(
      {
        auto scope = with_cancel(background());
        const on_done bad(scope, [] { throw std::runtime_error("thrown by the callback"); });
        scope.cancel();
      },
      "thrown by the callback");
}

TEST(OnDoneDeathTest, TerminatesWhenTheCallbackThrowsInTheConstructor) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(
      {
        auto scope = with_cancel(background());
        scope.cancel();
        const on_done bad(scope, [] { throw std::runtime_error("thrown at once"); });
      },
      "thrown at once");
}

TEST(OnDone, IsDestroyedOnlyAfterItsCallbackHasReturnedInAnotherThread) {
  auto scope = with_cancel(background());
  std::latch entered(1);
  std::latch leave(1);
  std::atomic<bool> returned{false};
  std::optional<callback> waits;
  waits.emplace(scope, [&] {
    entered.count_down();
    leave.wait();
    returned = true;
  });
  std::jthread runner([&] { scope.cancel(); });
  entered.wait();
  bool seen = false;
  std::jthread destroyer([&] {
    waits.reset();
    seen = returned;
  });
  for (int i = 0; i != 1000; ++i) std::this_thread::yield();  // lets a destructor that does not wait go ahead
  leave.count_down();
  destroyer.join();
  EXPECT_TRUE(seen);
}

TEST(OnDone, IsStoppedOnlyAfterItsCallbackHasReturnedInAnotherThread) {
  auto scope = with_cancel(background());
  std::latch entered(1);
  std::latch leave(1);
  std::atomic<bool> returned{false};
  callback waits(scope, [&] {
    entered.count_down();
    leave.wait();
    returned = true;
  });
  std::jthread runner([&] { scope.cancel(); });
  entered.wait();
  std::array<bool, 2> seen{};
  {
    std::jthread one([&] { seen[0] = !waits.stop() && returned; });
    std::jthread two([&] { seen[1] = !waits.stop() && returned; });
    for (int i = 0; i != 1000; ++i) std::this_thread::yield();
    leave.count_down();
  }
  EXPECT_TRUE(seen[0]);
  EXPECT_TRUE(seen[1]);
}

// The callback waits for the lock that guards its registration; the thread that removes it takes it out under the
// lock and destroys it without.
TEST(OnDone, MayBeDestroyedWhenTheLockThatItsCallbackTakesHasBeenGivenBack) {
  auto scope = with_cancel(background());
  std::mutex mutex;
  bool closed = false;
  bool seen_closed = false;
  std::latch entered(1);
  auto ends = std::make_unique<callback>(scope, [&] {
    entered.count_down();
    const std::lock_guard lock(mutex);
    seen_closed = closed;
  });
  {
    std::unique_lock lock(mutex);
    std::jthread other([&] { scope.cancel(); });
    entered.wait();
    const auto removed = std::move(ends);
    closed = true;
    lock.unlock();
  }
  EXPECT_TRUE(seen_closed);
}

struct destroy_against_cancel {
  cancel_scope scope = with_cancel(background());
  int runs = 0;  // not atomic: the destructor's return orders it
  std::unique_ptr<int> owned = std::make_unique<int>(0);
  std::optional<callback> waits{std::in_place, scope, [this] {
                                  ++runs;
                                  ++*owned;
                                }};
  bool ran = false;

  void left() { scope.cancel(); }
  void right() {
    waits.reset();
    owned.reset();  // what the callback uses
    ran = runs != 0;
  }
  void check() const { EXPECT_EQ(ran, runs != 0); }
};

TEST(OnDone, DoesNotTouchWhatItUsesAfterItsDestructor) {
  testing::hunt<destroy_against_cancel>("cancel() runs the callback while the destructor removes it");
}

struct stop_against_cancel {
  cancel_scope scope = with_cancel(background());
  std::atomic<int> runs{0};
  callback waits{scope, [this] { ++runs; }};
  bool prevented = false;

  void left() { scope.cancel(); }
  void right() { prevented = waits.stop(); }
  void check() const { EXPECT_EQ(runs + (prevented ? 1 : 0), 1); }
};

TEST(OnDone, EitherRunsOrIsPrevented) {
  testing::hunt<stop_against_cancel>("stop() against the run of its callback");
}

struct register_against_cancel {
  cancel_scope scope = with_cancel(background());
  std::atomic<int> runs{0};
  std::optional<callback> waits;

  void left() { scope.cancel(); }
  void right() {
    waits.emplace(scope, [this] { ++runs; });
  }
  void check() const { EXPECT_EQ(runs, 1); }
};

TEST(OnDone, RunsOnceWhenItIsRegisteredDuringTheEnd) {
  testing::hunt<register_against_cancel>("registration against cancel()");
}

struct last_release_in_the_callback {
  testing::witness place;
  std::optional<cancel_scope> scope{with_cancel(place.watch(background()))};
  std::optional<callback> waits;
  canceler stop = scope->canceler();

  last_release_in_the_callback() {
    waits.emplace(*scope, [this] { waits.reset(); });
  }
  void left() { stop.cancel(); }
  void right() { scope.reset(); }
  void check() const { EXPECT_TRUE(place.is_gone()) << "a reference was not given back"; }
};

TEST(OnDone, MayHoldTheLastReferenceToItsContext) {
  testing::hunt<last_release_in_the_callback>("the callback drops the last reference while the scope goes");
}

}  // namespace
}  // namespace curfew
