#include <curfew/core/done.hpp>

#include "race.hpp"

#include <atomic>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <gtest/gtest.h>
#include <optional>
#include <thread>
#include <tuple>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;

TEST(DoneSignal, OfAnEndedContextReturnsItsErrAtOnce) {
  auto scope = with_cancel(background());
  scope.cancel();
  EXPECT_EQ(scope.done().wait(), errc::canceled);
  EXPECT_EQ(scope.done().wait_for(1h), errc::canceled);
  EXPECT_EQ(scope.done().wait_until(clock::time_point::max()), errc::canceled);
}

TEST(DoneSignal, KeepsItsContext) {
  std::optional<done_signal> done;
  {
    const auto scope = with_cancel(background());
    done = scope.done();
    EXPECT_EQ(done->ctx(), scope.ctx());
  }
  EXPECT_EQ(done->wait(), errc::canceled);
}

TEST(DoneSignal, WakesEveryWaiter) {
  auto scope = with_cancel(background());
  std::atomic<int> woken{0};
  {
    std::vector<std::jthread> waiters;
    for (int i = 0; i != 4; ++i) {
      waiters.emplace_back([&] {
        if (scope.done().wait() == errc::canceled) ++woken;
      });
    }
    scope.cancel();
  }
  EXPECT_EQ(woken, 4);
}

TEST(DoneSignal, ShowsTheWaiterWhatWasDoneBeforeTheCancel) {
  auto scope = with_cancel(background());
  int plain = 0;
  std::jthread other([&] {
    plain = 42;
    scope.cancel();
  });
  std::ignore = scope.done().wait();
  EXPECT_EQ(plain, 42);
}

TEST(DoneSignal, WaitsByTheClockOfItsContext) {
  testing::manual_clock clock;
  const auto scope = with_cancel(clock.background());
  std::atomic<bool> returned{false};
  std::error_code told = errc::canceled;
  std::jthread waiter([&] {
    told = scope.done().wait_for(1h);
    returned = true;
  });
  while (!returned) clock.advance(1min);
  waiter.join();
  EXPECT_FALSE(told);
  EXPECT_FALSE(scope.err());
}

TEST(DoneSignal, GivesUpAtItsTimeoutAndLeavesTheContextAlone) {
  const auto scope = with_cancel(background());
  EXPECT_FALSE(scope.done().wait_for(1ms));
  EXPECT_FALSE(scope.done().wait_until(clock::now() + 1ms));
  EXPECT_FALSE(scope.err());
}

TEST(DoneSignal, DoesNotWaitForATimeInThePast) {
  const auto scope = with_cancel(background());
  EXPECT_FALSE(scope.done().wait_for(0s));
  EXPECT_FALSE(scope.done().wait_for(clock::duration::min()));
  EXPECT_FALSE(scope.done().wait_until(clock::time_point()));
  EXPECT_FALSE(scope.done().wait_until(clock::time_point::min()));
}

TEST(DoneSignal, OfTheBackgroundCanBeWaitedForWithATimeout) {
  EXPECT_FALSE(background().done().wait_for(1ms));
}

TEST(DoneSignal, ReturnsTheErrOfADeadlineBeforeItsTimeout) {
  const auto scope = with_timeout(background(), 1ms);
  EXPECT_EQ(scope.done().wait_for(1h), errc::deadline_exceeded);
}

struct wait_against_cancel {
  cancel_scope scope = with_cancel(background());
  std::error_code told;

  void left() { told = scope.done().wait(); }
  void right() { scope.cancel(); }
  void check() const { EXPECT_EQ(told, errc::canceled); }
};

TEST(DoneSignal, IsNotLostBetweenLookAndSleep) {
  testing::hunt<wait_against_cancel>("wait() goes to sleep while cancel() wakes");
}

}  // namespace
}  // namespace curfew
