#include <curfew/core/done.hpp>

#include "race.hpp"

#include <fcntl.h>
#include <poll.h>

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

bool is_readable(int fd, int timeout_ms = 0) {
  pollfd p{fd, POLLIN, 0};
  return poll(&p, 1, timeout_ms) == 1 && (p.revents & POLLIN) != 0;
}

TEST(DoneDescriptor, IsReadableFromTheEndOn) {
  auto scope = with_cancel(background());
  const int fd = scope.done().fd();
  EXPECT_EQ(scope.done().fd(), fd);
  EXPECT_FALSE(is_readable(fd));
  scope.cancel();
  EXPECT_TRUE(is_readable(fd));
  EXPECT_TRUE(is_readable(fd));
}

TEST(DoneDescriptor, OfAnEndedContextIsReadable) {
  auto scope = with_cancel(background());
  scope.cancel();
  EXPECT_TRUE(is_readable(scope.done().fd()));
}

TEST(DoneDescriptor, IsReadableWhenAnAncestorEnds) {
  auto parent = with_cancel(background());
  const auto child = with_cancel(parent);
  const int fd = child.done().fd();
  parent.cancel();
  EXPECT_TRUE(is_readable(fd));
}

TEST(DoneDescriptor, OfAContextThatCannotEndIsNeverReadable) {
  EXPECT_GE(background().done().fd(), 0);
  EXPECT_FALSE(is_readable(background().done().fd()));
}

TEST(DoneDescriptor, WakesAPollInAnotherThread) {
  auto scope = with_cancel(background());
  const int fd = scope.done().fd();
  bool readable = false;
  std::thread waiter([&] { readable = is_readable(fd, 30'000); });
  scope.cancel();
  waiter.join();
  EXPECT_TRUE(readable);
}

TEST(DoneDescriptor, IsClosedWithItsContext) {
  int fd = -1;
  {
    const auto scope = with_cancel(background());
    fd = scope.done().fd();
  }
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
}

TEST(DoneDescriptor, IsOneForAllWhoAskAtOnce) {
  for (int i = 0; i != 200; ++i) {
    auto scope = with_cancel(background());
    int other = -1;
    std::thread asks([&] { other = scope.done().fd(); });
    std::thread ends([&] { scope.cancel(); });
    const int mine = scope.done().fd();
    asks.join();
    ends.join();
    EXPECT_EQ(mine, other);
    EXPECT_TRUE(is_readable(mine));
  }
}

}  // namespace
}  // namespace curfew
