// context::stop_token(), the way to the standard library's waiting functions, and with_stop_token, the way back.

#include "race.hpp"

#include <atomic>
#include <condition_variable>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/key.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <functional>
#include <gtest/gtest.h>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <source_location>
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

constexpr key<std::shared_ptr<int>> guest{"guest"};

TEST(WithStopToken, KeepsNothingOfTheTokenOnceItsContextIsGone) {
  const auto alive = std::make_shared<int>(0);
  std::stop_source source;
  {
    const auto scope = with_stop_token(with_value(background(), guest, alive), source.get_token());
    EXPECT_EQ(alive.use_count(), 2);
  }
  EXPECT_EQ(alive.use_count(), 1);
  source.request_stop();  // a callback that was left behind would be used after its end
}

TEST(WithStopToken, LeavesItsEndToThoseWhoStillHaveItsContext) {
  std::optional<std::stop_source> source(std::in_place);
  std::optional<cancel_scope> scope(with_stop_token(background(), source->get_token()));
  const context copy = *scope;
  const context clean = without_cancel(copy);
  source->request_stop();
  scope.reset();
  source.reset();
  EXPECT_EQ(copy.err(), errc::canceled);
  EXPECT_EQ(copy.cause().message(), "stop requested");
  EXPECT_FALSE(clean.err());
}

TEST(WithStopToken, OfATokenThatNobodyCanStopAnyMoreLivesOn) {
  std::optional<std::stop_source> source(std::in_place);
  auto scope = with_stop_token(background(), source->get_token());
  source.reset();
  EXPECT_FALSE(scope.err());
  scope.cancel();
  EXPECT_EQ(scope.err(), errc::canceled);
}

TEST(WithStopToken, OfAStoppedTokenUnderAnEndedParentHasTheEndOfTheParent) {
  std::stop_source source;
  source.request_stop();
  auto parent = with_cancel(background());
  parent.cancel("parent");
  const auto scope = with_stop_token(parent, source.get_token());
  EXPECT_EQ(scope.cause().message(), "parent");
}

TEST(WithStopToken, TellsItsPathAndItsOrigin) {
  const std::stop_source source;
  const auto here = std::source_location::current();
  const auto scope = with_stop_token(background(), source.get_token());
  EXPECT_EQ(scope.ctx().path(), "background.with_value(stop token).with_cancel");
  EXPECT_EQ(scope.ctx().origin().line(), here.line() + 1);
  EXPECT_STREQ(scope.ctx().origin().file_name(), here.file_name());
  const auto plain = with_stop_token(background(), std::stop_token());
  EXPECT_EQ(plain.ctx().path(), "background.with_cancel");
  EXPECT_EQ(plain.ctx().origin().line(), here.line() + 5);
}

TEST(WithStopToken, HasTheValuesAndTheDeadlineOfItsParent) {
  testing::manual_clock clock;
  const auto alive = std::make_shared<int>(7);
  const auto timed = with_timeout(with_value(clock.background(), guest, alive), 1s);
  const std::stop_source source;
  const auto scope = with_stop_token(timed, source.get_token());
  ASSERT_NE(scope.value(guest), nullptr);
  EXPECT_EQ(*scope.value(guest), alive);
  EXPECT_EQ(scope.remaining(), 1s);
  clock.advance(1s);
  EXPECT_EQ(scope.err(), errc::deadline_exceeded);
}

TEST(WithStopToken, RunsItsCallbacksInTheThreadThatStopsTheToken) {
  std::stop_source source;
  const auto scope = with_stop_token(background(), source.get_token());
  const auto child = with_cancel(scope);
  std::thread::id runner;
  const on_done look(child, [&] { runner = std::this_thread::get_id(); });
  std::jthread other([&] { source.request_stop(); });
  const std::thread::id expected = other.get_id();
  other.join();
  EXPECT_EQ(runner, expected);
  EXPECT_EQ(child.cause().message(), "stop requested");
}

TEST(WithStopToken, MayGoWithTheLastOfItsContextWhileItEnds) {
  const auto alive = std::make_shared<int>(0);
  std::stop_source source;
  std::optional<cancel_scope> scope(
      with_stop_token(with_value(background(), guest, alive), source.get_token()));
  std::optional<on_done<std::function<void()>>> ends;
  int runs = 0;
  ends.emplace(*scope, [&] {
    ++runs;
    scope.reset();
    ends.reset();  // the last that keeps the context, but for the thread that ends it
  });
  source.request_stop();
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(alive.use_count(), 1) << "the place, with its registration, went inside of its own callback";
}

TEST(WithStopToken, MayGoInAnotherCallbackOfTheSameToken) {
  for (const bool before : {true, false}) {
    std::stop_source source;
    std::optional<cancel_scope> scope;
    if (before) scope.emplace(with_stop_token(background(), source.get_token()));
    bool ran = false;
    const std::stop_callback destroy(source.get_token(), [&] {
      ran = true;
      scope.reset();
    });
    if (!before) scope.emplace(with_stop_token(background(), source.get_token()));
    source.request_stop();
    EXPECT_TRUE(ran);
    EXPECT_FALSE(scope);
  }
}

TEST(WithStopToken, GoesRoundThroughAContext) {
  auto other = with_cancel(background());
  const auto scope = with_stop_token(background(), other.stop_token());
  other.cancel("other");
  EXPECT_EQ(scope.err(), errc::canceled);
  EXPECT_EQ(scope.cause().message(), "stop requested");
}

TEST(WithStopToken, OfItsOwnParentHasTheCauseOfTheParent) {
  auto parent = with_cancel(background());
  const auto scope = with_stop_token(parent, parent.stop_token());
  parent.cancel("parent");
  EXPECT_EQ(scope.cause().message(), "parent");
}

TEST(WithStopToken, EndsWithEachOfSeveralTokens) {
  for (const bool inner : {true, false}) {
    std::stop_source one;
    std::stop_source two;
    const auto outer = with_stop_token(background(), one.get_token());
    const auto both = with_stop_token(outer, two.get_token());
    const auto merged = merge(background(), both);
    (inner ? two : one).request_stop();
    EXPECT_EQ(both.cause().message(), "stop requested");
    EXPECT_EQ(merged.cause().message(), "stop requested");
    EXPECT_EQ(static_cast<bool>(outer.err()), !inner);
  }
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
  std::shared_ptr<int> alive = std::make_shared<int>(0);
  std::optional<cancel_scope> scope{
      with_stop_token(with_value(background(), guest, alive), source.get_token())};

  void left() { source.request_stop(); }
  void right() { scope.reset(); }
  void check() const {
    EXPECT_TRUE(source.stop_requested());
    EXPECT_EQ(alive.use_count(), 1);
  }
};

TEST(WithStopToken, MayLeaveWhileTheTokenIsStopped) {
  testing::hunt<stop_against_leave>("request_stop() against the destruction of the scope");
}

struct stop_against_the_last_context {
  std::stop_source source;
  std::shared_ptr<int> alive = std::make_shared<int>(0);
  std::optional<cancel_scope> scope{
      with_stop_token(with_value(background(), guest, alive), source.get_token())};
  std::optional<context> copy{*scope};
  int runs = 0;
  bool prevented = false;
  std::optional<on_done<std::function<void()>>> once{std::in_place, *scope, [this] { ++runs; }};

  void left() { source.request_stop(); }
  void right() {
    prevented = once->stop();
    once.reset();
    copy.reset();
    scope.reset();
  }
  void check() const {
    EXPECT_EQ(runs + (prevented ? 1 : 0), 1);
    EXPECT_EQ(alive.use_count(), 1);
  }
};

TEST(WithStopToken, MayLoseItsLastContextWhileTheTokenIsStopped) {
  testing::hunt<stop_against_the_last_context>("request_stop() against a callback and the last references");
}

struct stop_against_derive {
  std::stop_source source;
  std::optional<cancel_scope> scope;

  void left() { source.request_stop(); }
  void right() { scope.emplace(with_stop_token(background(), source.get_token())); }
  void check() const { EXPECT_EQ(scope->cause().message(), "stop requested"); }
};

TEST(WithStopToken, EndsThoughTheTokenIsStoppedWhileItIsDerived) {
  testing::hunt<stop_against_derive>("request_stop() against the registration with the token");
}

struct stop_against_cancel {
  std::stop_source source;
  cancel_scope parent = with_cancel(background());
  cancel_scope scope = with_stop_token(parent, source.get_token());
  std::atomic<int> runs{0};
  on_done<std::function<void()>> once{scope, [this] { ++runs; }};

  void left() { source.request_stop(); }
  void right() {
    scope.cancel("itself");
    parent.cancel("parent");
  }
  void check() const {
    EXPECT_EQ(runs, 1);
    const std::string why = scope.cause().message();
    EXPECT_TRUE(why == "stop requested" || why == "itself") << why;
  }
};

TEST(WithStopToken, EndsOnceThoughManyEndIt) {
  testing::hunt<stop_against_cancel>("request_stop() against cancel() and the parent's end");
}

}  // namespace
}  // namespace curfew
