// context::stop_token(), the way to the standard library's waiting functions.

#include "race.hpp"

#include <condition_variable>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <gtest/gtest.h>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

namespace curfew {
namespace {

using namespace std::chrono_literals;

TEST(StopToken, IsStoppedWhenTheContextEnds) {
  auto scope = with_cancel(background());
  const std::stop_token token = scope.stop_token();
  EXPECT_TRUE(token.stop_possible());
  EXPECT_FALSE(token.stop_requested());
  scope.cancel();
  EXPECT_TRUE(token.stop_requested());
}

TEST(StopToken, IsStoppedByAnAncestorAndByADeadline) {
  testing::manual_clock clock;
  auto top = with_cancel(clock.background());
  const auto child = with_cancel(top);
  const auto timed = with_timeout(clock.background(), 1s);
  const std::stop_token by_parent = child.stop_token();
  const std::stop_token by_deadline = timed.stop_token();
  top.cancel();
  EXPECT_TRUE(by_parent.stop_requested());
  EXPECT_FALSE(by_deadline.stop_requested());
  clock.advance(1s);
  EXPECT_TRUE(by_deadline.stop_requested());
}

TEST(StopToken, OfAnEndedContextIsStopped) {
  auto scope = with_cancel(background());
  scope.cancel();
  EXPECT_TRUE(scope.stop_token().stop_requested());
  EXPECT_TRUE(scope.stop_token().stop_requested());
}

TEST(StopToken, IsTheSameForEveryCall) {
  const auto scope = with_cancel(background());
  EXPECT_EQ(scope.stop_token(), scope.stop_token());
}

TEST(StopToken, OfAContextThatCannotEndCannotBeStopped) {
  EXPECT_FALSE(background().stop_token().stop_possible());
  const auto scope = with_cancel(background());
  EXPECT_FALSE(without_cancel(scope).stop_token().stop_possible());
}

TEST(StopToken, OutlivesItsContext) {
  std::stop_token token;
  {
    const auto scope = with_cancel(background());
    token = scope.stop_token();
    EXPECT_FALSE(token.stop_requested());
  }
  EXPECT_TRUE(token.stop_requested());
}

TEST(StopToken, StandsBesideACancelerAndCallbacks) {
  const auto scope = with_cancel(background());
  const canceler stop = scope.canceler();
  const std::stop_token token = scope.stop_token();
  const canceler another = scope.canceler();
  int runs = 0;
  const std::stop_callback count(token, [&] {
    ++runs;
    EXPECT_TRUE(scope.err());
  });
  another.cancel();
  stop.cancel();
  EXPECT_EQ(runs, 1);
}

TEST(StopToken, WakesAConditionVariable) {
  auto scope = with_cancel(background());
  std::mutex mutex;
  std::condition_variable_any changed;
  bool satisfied = true;
  std::jthread waiter([&] {
    std::unique_lock lock(mutex);
    satisfied = changed.wait(lock, scope.stop_token(), [] { return false; });
  });
  scope.cancel();
  waiter.join();
  EXPECT_FALSE(satisfied);
}

struct take_against_cancel {
  cancel_scope scope = with_cancel(background());
  std::stop_token token;

  void left() { scope.cancel(); }
  void right() { token = scope.stop_token(); }
  void check() const { EXPECT_TRUE(token.stop_requested()); }
};

TEST(StopToken, IsStoppedWhenItIsTakenDuringTheEnd) {
  testing::hunt<take_against_cancel>("stop_token() against cancel()");
}

struct two_take_one_after_the_end {
  cancel_scope scope = with_cancel(background());
  std::stop_token one;
  std::stop_token two;

  two_take_one_after_the_end() { scope.cancel(); }
  void left() { one = scope.stop_token(); }
  void right() { two = scope.stop_token(); }
  void check() const {
    EXPECT_EQ(one, two);
    EXPECT_TRUE(one.stop_requested());
  }
};

TEST(StopToken, IsMadeOnceWhenTwoThreadsTakeIt) {
  testing::hunt<two_take_one_after_the_end>("two first calls of stop_token() on an ended context");
}

}  // namespace
}  // namespace curfew
