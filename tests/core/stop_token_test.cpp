// context::stop_token(), the way to the standard library's waiting functions.

#include "race.hpp"

#include <atomic>
#include <condition_variable>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <functional>
#include <gtest/gtest.h>
#include <latch>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>
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

TEST(StopToken, WakesAConditionVariableThatWaitsAlready) {
  auto scope = with_cancel(background());
  std::mutex mutex;
  std::condition_variable_any changed;
  bool asked = false;
  bool satisfied = true;
  std::jthread waiter([&] {
    std::unique_lock lock(mutex);
    satisfied = changed.wait(lock, scope.stop_token(), [&] {
      asked = true;
      return false;
    });
    EXPECT_TRUE(lock.owns_lock());
  });
  for (bool waits = false; !waits; std::this_thread::yield()) {
    const std::lock_guard lock(mutex);  // the waiter has asked, and does not hold the lock: it sleeps
    waits = asked;
  }
  scope.cancel();
  waiter.join();
  EXPECT_FALSE(satisfied);
}

TEST(StopToken, WakesAConditionVariableAtADeadline) {
  testing::manual_clock clock;
  const auto scope = with_timeout(clock.background(), 1s);
  std::mutex mutex;
  std::condition_variable_any changed;
  bool satisfied = true;
  std::jthread waiter([&] {
    std::unique_lock lock(mutex);
    satisfied = changed.wait(lock, scope.stop_token(), [] { return false; });
  });
  clock.advance(1s);
  waiter.join();
  EXPECT_FALSE(satisfied);
}

TEST(StopToken, LeavesAConditionVariableAloneThatHasWhatItWaitsFor) {
  const auto scope = with_cancel(background());
  std::mutex mutex;
  std::condition_variable_any changed;
  bool ready = false;
  bool satisfied = false;
  std::jthread waiter([&] {
    std::unique_lock lock(mutex);
    satisfied = changed.wait(lock, scope.stop_token(), [&] { return ready; });
  });
  {
    const std::lock_guard lock(mutex);
    ready = true;
  }
  changed.notify_all();
  waiter.join();
  EXPECT_TRUE(satisfied);
  EXPECT_FALSE(scope.err());
}

TEST(StopToken, StopsAThreadThatTakesItBesideItsOwn) {
  auto scope = with_cancel(background());
  std::latch begun(1);
  bool own_stopped = true;
  std::jthread worker(
      [&](const std::stop_token& own, const std::stop_token& token) {
        begun.count_down();
        while (!token.stop_requested()) std::this_thread::yield();
        own_stopped = own.stop_requested();
      },
      scope.stop_token());
  begun.wait();
  scope.cancel();
  worker.join();
  EXPECT_FALSE(own_stopped);
}

TEST(StopToken, RunsItsCallbacksInTheThreadThatEndsTheContextAndAfterTheErrIsSet) {
  auto scope = with_cancel(background());
  std::thread::id runner;
  std::error_code err;
  std::string why;
  const std::stop_callback look(scope.stop_token(), [&] {
    runner = std::this_thread::get_id();
    err = scope.err();
    why = scope.cause().message();
  });
  std::jthread other([&] { scope.cancel("by hand"); });
  const std::thread::id expected = other.get_id();
  other.join();
  EXPECT_EQ(runner, expected);
  EXPECT_EQ(err, errc::canceled);
  EXPECT_EQ(why, "by hand");
}

struct two_cancel {
  testing::manual_clock clock;
  cancel_scope parent = with_cancel(clock.background());
  cancel_scope scope = with_timeout(parent, 1s);
  canceler stop = scope.canceler();
  std::atomic<int> runs{0};
  std::stop_callback<std::function<void()>> count{scope.stop_token(), [this] { ++runs; }};

  void left() {
    scope.cancel("one");
    clock.advance(1s);
  }
  void right() {
    parent.cancel("another");
    stop.cancel("a third");
  }
  void check() const { EXPECT_EQ(runs, 1); }
};

TEST(StopToken, RunsACallbackOnceThoughManyEndTheContext) {
  testing::hunt<two_cancel>("the scope, its parent, a canceler and the deadline end one context");
}

struct register_against_cancel {
  cancel_scope scope = with_cancel(background());
  std::atomic<int> runs{0};
  std::optional<std::stop_callback<std::function<void()>>> count;

  void left() { scope.cancel(); }
  void right() {
    count.emplace(scope.stop_token(), [this] { ++runs; });
  }
  void check() const { EXPECT_EQ(runs, 1); }
};

TEST(StopToken, RunsACallbackThatIsRegisteredDuringTheEnd) {
  testing::hunt<register_against_cancel>("std::stop_callback on a fresh token against cancel()");
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

// ---- the other way round: with_stop_token ----

TEST(WithStopToken, EndsWhenTheTokenIsStopped) {
  std::stop_source source;
  const auto scope = with_stop_token(background(), source.get_token());
  EXPECT_FALSE(scope.err());
  source.request_stop();
  EXPECT_EQ(scope.err(), errc::canceled);
  EXPECT_EQ(scope.cause().message(), "stop requested");
}

TEST(WithStopToken, OfAStoppedTokenHasEnded) {
  std::stop_source source;
  source.request_stop();
  const auto scope = with_stop_token(background(), source.get_token());
  EXPECT_EQ(scope.err(), errc::canceled);
}

TEST(WithStopToken, OfATokenThatCannotStopIsWithCancel) {
  auto scope = with_stop_token(background(), std::stop_token());
  EXPECT_FALSE(scope.err());
  scope.cancel("by hand");
  EXPECT_EQ(scope.cause().message(), "by hand");
}

TEST(WithStopToken, EndsWithItsParentAndByItself) {
  std::stop_source source;
  auto parent = with_cancel(background());
  const auto child = with_stop_token(parent, source.get_token());
  auto other = with_stop_token(background(), source.get_token());
  parent.cancel("parent");
  other.cancel("itself");
  EXPECT_EQ(child.cause().message(), "parent");
  EXPECT_EQ(other.cause().message(), "itself");
  source.request_stop();
  EXPECT_EQ(child.cause().message(), "parent") << "the first end stays";
}

TEST(WithStopToken, KeepsNothingOfTheTokenOnceItsContextIsGone) {
  std::stop_source source;
  {
    const auto scope = with_stop_token(background(), source.get_token());
  }
  source.request_stop();  // a callback that was left behind would be used after its end
}

TEST(WithStopToken, GoesRoundThroughAJthread) {
  std::error_code seen;
  {
    std::jthread worker([&](std::stop_token token) {
      const auto scope = with_stop_token(background(), std::move(token));
      seen = scope.done().wait();
    });
  }
  EXPECT_EQ(seen, errc::canceled);
}

struct stop_against_leave {
  std::stop_source source;
  std::optional<cancel_scope> scope{with_stop_token(background(), source.get_token())};

  void left() { source.request_stop(); }
  void right() { scope.reset(); }
  void check() const { EXPECT_TRUE(source.stop_requested()); }
};

TEST(WithStopToken, MayLeaveWhileTheTokenIsStopped) {
  testing::hunt<stop_against_leave>("request_stop() against the destruction of the scope");
}

}  // namespace
}  // namespace curfew
