#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/testing.hpp>
#include <memory>
#include <system_error>
#include <thread>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

asio::awaitable<std::error_code> wait_for_end(curfew::context ctx) {
  co_return co_await curfew::async_wait(ctx.done());
}

asio::awaitable<curfew::result<>> sleeping_for(curfew::context ctx, curfew::clock::duration d) {
  co_return co_await curfew::async_sleep_for(ctx, d);
}

TEST(AsyncWait, ReturnsTheErrOfAContextThatEndsInAnotherThread) {
  asio::io_context io;
  auto scope = curfew::with_cancel(curfew::background());
  auto outcome = asio::co_spawn(io, wait_for_end(scope), asio::use_future);
  std::thread other([&] { scope.cancel(); });
  io.run();  // the wait is outstanding work, so this returns when it is over
  other.join();
  EXPECT_EQ(outcome.get(), curfew::errc::canceled);
}

TEST(AsyncWait, ReturnsAtOnceIfTheContextHasEnded) {
  asio::io_context io;
  auto scope = curfew::with_timeout(curfew::background(), 0s);
  auto outcome = asio::co_spawn(io, wait_for_end(scope), asio::use_future);
  io.run();
  EXPECT_EQ(outcome.get(), curfew::errc::deadline_exceeded);
}

TEST(AsyncSleepFor, SleepsOnTheContextsClock) {
  asio::io_context io;
  curfew::testing::manual_clock clock;
  auto outcome = asio::co_spawn(io, sleeping_for(clock.background(), 1h), asio::use_future);
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
  auto outcome = asio::co_spawn(io, sleeping_for(curfew::background(), 20ms), asio::use_future);
  io.run();
  EXPECT_TRUE(outcome.get());
  EXPECT_GE(curfew::clock::now() - start, 20ms);
}

TEST(AsyncSleepFor, IsCutShortByTheEndOfTheContext) {
  asio::io_context io;
  curfew::testing::manual_clock clock;
  auto scope = curfew::with_cancel(clock.background());
  auto outcome = asio::co_spawn(io, sleeping_for(scope, 1h), asio::use_future);
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
  auto outcome = asio::co_spawn(io, sleeping_for(scope, 1h), asio::use_future);
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
  auto slow = asio::co_spawn(io, sleeping_for(clock.background(), 24h), asio::use_future);
  auto scope = curfew::with_timeout(clock.background(), 2h);
  auto cut = asio::co_spawn(io, sleeping_for(scope, 24h), asio::use_future);
  while (io.poll() != 0 || clock.advance_to_next()) io.restart();
  EXPECT_TRUE(quick.get());
  EXPECT_TRUE(slow.get());
  EXPECT_FALSE(cut.get());
  EXPECT_EQ(clock.now(), curfew::clock::time_point(24h));
}

TEST(AsyncSleepFor, DoesNotSleepForZeroOrLess) {
  asio::io_context io;
  curfew::testing::manual_clock clock;
  auto none = asio::co_spawn(io, sleeping_for(clock.background(), 0s), asio::use_future);
  auto less = asio::co_spawn(io, sleeping_for(clock.background(), -1s), asio::use_future);
  io.run();
  EXPECT_TRUE(none.get());
  EXPECT_TRUE(less.get());
}

}  // namespace
