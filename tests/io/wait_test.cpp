#include "io/coroutines.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/io/testing.hpp>
#include <curfew/testing.hpp>
#include <future>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::background;
using curfew::context;
using curfew::result;
using curfew::testing::manual_clock;
using curfew::testing::over;
using curfew::testing::poll;
using curfew::testing::spawn;
using curfew::testing::told;

asio::awaitable<std::error_code> wait_for_end(curfew::context ctx) {
  co_return co_await curfew::async_wait(ctx.done());
}

asio::awaitable<curfew::result<>> sleeping_for(curfew::context ctx, curfew::clock::duration d) {
  co_return co_await curfew::async_sleep_for(ctx, d);
}

TEST(AsyncWait, ReturnsTheErrOfAContextThatEndsInAnotherThread) {
  asio::io_context io;
  auto scope = curfew::with_cancel(curfew::background());
  auto outcome = curfew::testing::start(io, wait_for_end(scope));
  std::thread other([&] { scope.cancel(); });
  io.run();  // the wait is outstanding work, so this returns when it is over
  other.join();
  EXPECT_EQ(outcome.get(), curfew::errc::canceled);
}

TEST(AsyncWait, ReturnsAtOnceIfTheContextHasEnded) {
  asio::io_context io;
  auto scope = curfew::with_timeout(curfew::background(), 0s);
  auto outcome = curfew::testing::start(io, wait_for_end(scope));
  io.run();
  EXPECT_EQ(outcome.get(), curfew::errc::deadline_exceeded);
}

TEST(AsyncSleepFor, SleepsOnTheContextsClock) {
  asio::io_context io;
  curfew::testing::manual_clock clock;
  auto outcome = curfew::testing::start(io, sleeping_for(clock.background(), 1h));
  io.poll();
  clock.advance(1h - 1ns);
  io.poll();
  EXPECT_EQ(outcome.wait_for(0s), std::future_status::timeout);
  clock.advance(1ns);
  io.run();
  EXPECT_TRUE(outcome.get());
}

TEST(AsyncSleepFor, SleepsOnTheSystemsClock) {
  asio::io_context io;
  const auto start = curfew::clock::now();
  auto outcome = curfew::testing::start(io, sleeping_for(curfew::background(), 20ms));
  io.run();
  EXPECT_TRUE(outcome.get());
  EXPECT_GE(curfew::clock::now() - start, 20ms);
}

TEST(AsyncSleepFor, IsCutShortByTheEndOfTheContext) {
  asio::io_context io;
  curfew::testing::manual_clock clock;
  auto scope = curfew::with_cancel(clock.background());
  auto outcome = curfew::testing::start(io, sleeping_for(scope, 1h));
  io.poll();
  scope.cancel("shutdown");
  io.run();
  const auto slept = outcome.get();
  ASSERT_FALSE(slept);
  EXPECT_EQ(slept.error(), curfew::errc::canceled);
  EXPECT_EQ(slept.error().message(), "sleeping: canceled (cause: shutdown)");
}

TEST(AsyncSleepFor, ReportsADeadlineThatComesFirst) {
  asio::io_context io;
  curfew::testing::manual_clock clock;
  auto scope = curfew::with_timeout(clock.background(), 1min);
  auto outcome = curfew::testing::start(io, sleeping_for(scope, 1h));
  io.poll();
  clock.advance(1min);
  io.run();
  const auto slept = outcome.get();
  ASSERT_FALSE(slept);
  EXPECT_EQ(slept.error(), curfew::errc::deadline_exceeded);
}

TEST(AsyncSleepFor, TakesNoTimeWhenTheClockJumpsWheneverAllWait) {
  asio::io_context io;
  curfew::testing::manual_clock clock;
  auto quick = asio::co_spawn(io, sleeping_for(clock.background(), 1h), asio::use_future);
  auto scope = curfew::with_timeout(clock.background(), 2h);
  auto cut = asio::co_spawn(io, sleeping_for(scope, 24h), asio::use_future);
  EXPECT_TRUE(curfew::testing::run(clock, io, sleeping_for(clock.background(), 24h)));
  EXPECT_TRUE(quick.get());
  EXPECT_FALSE(cut.get());
  EXPECT_EQ(clock.now(), curfew::clock::time_point(24h));
}

TEST(AsyncSleepFor, DoesNotSleepForZeroOrLess) {
  asio::io_context io;
  curfew::testing::manual_clock clock;
  auto none = curfew::testing::start(io, sleeping_for(clock.background(), 0s));
  auto less = curfew::testing::start(io, sleeping_for(clock.background(), -1s));
  io.run();
  EXPECT_TRUE(none.get());
  EXPECT_TRUE(less.get());
}

struct AsyncTime : ::testing::Test {
  manual_clock clock;
  const context& ctx = clock.background();
  asio::cancellation_signal signal;
  asio::io_context io;

  std::future<result<>> sleep(const context& its, curfew::clock::duration since_epoch) {
    const curfew::clock::time_point t(since_epoch);
    auto token = asio::bind_executor(io, asio::use_future);
    return curfew::async_sleep_until(its, t, token);
  }
  std::future<result<>> next(const context& its, curfew::ticker& of) {
    auto token = asio::bind_executor(io, asio::use_future);
    return curfew::async_next(its, of, token);
  }
  void pass(curfew::clock::duration d) {
    clock.advance(d);
    poll(io);
  }
};

using AsyncSleepUntil = AsyncTime;

TEST_F(AsyncSleepUntil, SleepsUntilThenAndNotUntilWhatHasPassed) {
  clock.advance(1h);
  auto past = sleep(ctx, 30min);
  EXPECT_FALSE(over(past)) << "inside the initiating call";
  auto now = sleep(ctx, 1h);
  auto later = sleep(ctx, 2h);
  poll(io);
  EXPECT_EQ(told(past), "no error");
  EXPECT_EQ(told(now), "no error");
  pass(1h - 1ns);
  EXPECT_FALSE(over(later));
  pass(1ns);
  EXPECT_EQ(told(later), "no error");
}

TEST_F(AsyncSleepUntil, IsEndedByItsContextWithItsCause) {
  auto scope = curfew::with_cancel(ctx);
  auto sleeps = sleep(scope, 1h);
  scope.cancel("user left");
  poll(io);
  EXPECT_EQ(told(sleeps), "sleeping: canceled (cause: user left)");
  auto past = sleep(scope, 0h);
  poll(io);
  EXPECT_EQ(told(past), "sleeping: canceled (cause: user left)");
}

TEST_F(AsyncSleepUntil, ADeadlineAtTheSameMomentIsADeadline) {
  const auto before = curfew::with_timeout(ctx, 1h, curfew::cause("report budget"));
  auto one = sleep(before, 1h);
  auto other = sleep(ctx, 1h);  // whose wait has the same end
  const auto after = curfew::with_timeout(ctx, 1h, curfew::cause("report budget"));
  auto late = sleep(after, 1h);
  pass(1h);
  EXPECT_EQ(told(one), "sleeping: deadline exceeded (cause: report budget)");
  EXPECT_EQ(told(other), "no error");
  EXPECT_EQ(told(late), "sleeping: deadline exceeded (cause: report budget)");
}

TEST_F(AsyncSleepUntil, ObeysAsiosCancellationSlotAndGoesWithItsIoContext) {
  auto slot_too = asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, asio::use_future));
  auto canceled = curfew::async_sleep_until(ctx, curfew::clock::time_point(1h), slot_too);
  signal.emit(asio::cancellation_type::total);
  poll(io);
  EXPECT_EQ(told(canceled), "sleeping: canceled");

  const auto guarded = std::make_shared<int>(0);
  {
    asio::io_context gone;
    auto waits = [&](std::shared_ptr<int> kept) -> asio::awaitable<void> {
      const result<> slept = co_await curfew::async_sleep_until(ctx, curfew::clock::time_point(1h));
      *kept = slept ? 1 : 2;
    };
    spawn(gone, waits(guarded));
    poll(gone);
  }
  EXPECT_EQ(guarded.use_count(), 1);
  clock.advance(1h);
  EXPECT_EQ(*guarded, 0);
}

TEST_F(AsyncSleepUntil, CompletesAFuture) {
  auto sleeps = curfew::async_sleep_until(ctx, curfew::clock::time_point(1h), asio::use_future);
  clock.advance(1h);
  EXPECT_TRUE(sleeps.get());
}

using AsyncNext = AsyncTime;

TEST_F(AsyncNext, TicksAtFixedPointsInTimeAndDropsWhatWasMissed) {
  curfew::ticker every(ctx, 10s);
  auto first = next(ctx, every);
  pass(10s - 1ns);
  EXPECT_FALSE(over(first));
  pass(1ns);
  EXPECT_EQ(told(first), "no error");
  clock.advance(25s);  // 20 s and 30 s are missed
  auto missed = next(ctx, every);
  EXPECT_FALSE(over(missed)) << "inside the initiating call";
  poll(io);
  EXPECT_EQ(told(missed), "no error");
  auto third = next(ctx, every);
  pass(5s - 1ns);
  EXPECT_FALSE(over(third));
  pass(1ns);
  EXPECT_EQ(told(third), "no error");
}

TEST_F(AsyncNext, TakesNoTickWhereItsContextHasEnded) {
  curfew::ticker every(ctx, 10s);
  auto scope = curfew::with_cancel(ctx);
  scope.cancel("user left");
  clock.advance(10s);
  auto ended = next(scope, every);
  poll(io);
  EXPECT_EQ(told(ended), "waiting for a tick: canceled (cause: user left)");
  auto kept = next(ctx, every);
  poll(io);
  EXPECT_EQ(told(kept), "no error");
}

TEST_F(AsyncNext, TakesNoTickWhenItIsCanceled) {
  curfew::ticker every(ctx, 10s);
  auto scope = curfew::with_cancel(ctx);
  auto by_context = next(scope, every);
  scope.cancel("user left");
  poll(io);
  EXPECT_EQ(told(by_context), "waiting for a tick: canceled (cause: user left)");
  auto slot_too = asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, asio::use_future));
  auto by_slot = curfew::async_next(ctx, every, slot_too);
  signal.emit(asio::cancellation_type::total);
  poll(io);
  EXPECT_EQ(told(by_slot), "waiting for a tick: canceled");
  {
    asio::io_context gone;
    auto wait = [&]() -> asio::awaitable<void> {
      static_cast<void>(co_await curfew::async_next(ctx, every));
      ADD_FAILURE() << "it is never resumed";
    };
    spawn(gone, wait());
    poll(gone);
  }
  auto own = next(ctx, every);
  pass(10s);
  EXPECT_EQ(told(own), "no error");
}

TEST_F(AsyncNext, ADeadlineAtTheSameMomentIsADeadlineAndTakesNoTick) {
  curfew::ticker every(ctx, 10s);
  const auto scope = curfew::with_timeout(ctx, 10s);
  auto ended = next(scope, every);
  pass(10s);
  EXPECT_EQ(told(ended), "waiting for a tick: deadline exceeded");
  auto kept = next(ctx, every);
  poll(io);
  EXPECT_EQ(told(kept), "no error");
}

TEST(AsyncSleepForWithASignal, DoesNotNeedThatWhenItsIoContextGoes) {
  asio::io_context io;
  std::optional<asio::cancellation_signal> signal(std::in_place);
  auto handler = asio::bind_executor(io, [](const result<>&) { FAIL(); });
  curfew::async_sleep_for(background(), 1h, asio::bind_cancellation_slot(signal->slot(), handler));
  poll(io);
  signal.reset();
}

}  // namespace
