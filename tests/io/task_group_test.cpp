// Coroutines in a task group.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/io/testing.hpp>
#include <curfew/sync.hpp>
#include <curfew/testing.hpp>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::context;
using curfew::errc;
using curfew::task_group;

/// Runs `body` in a group on an io_context of its own, and returns what came of it.
template <class Body>
curfew::result<> run_group(const context& ctx, Body body) {
  asio::io_context io;
  auto done = asio::co_spawn(io, curfew::async_task_group(ctx, body), asio::use_future);
  io.run();
  return done.get();
}

curfew::error io_error() { return curfew::error(std::make_error_code(std::errc::io_error), "reading"); }

TEST(AsyncTaskGroup, WaitsForWhatItsBodySpawned) {
  std::vector<std::string> order;
  curfew::channel<int> c;
  auto reader = [&](context ctx) -> asio::awaitable<void> {
    auto got = co_await curfew::async_receive(ctx, c);
    order.push_back(got ? "read" : "failed");
  };
  auto writer = [&](context ctx) -> asio::awaitable<curfew::result<>> {
    auto sent = co_await curfew::async_send(ctx, c, 1);
    order.emplace_back("written");
    co_return sent;
  };
  auto body = [&](task_group& group) -> asio::awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    curfew::spawn(group, executor, reader);
    curfew::spawn(group, executor, writer);
    order.emplace_back("body");
  };
  EXPECT_TRUE(run_group(curfew::background(), body));
  EXPECT_THAT(order, testing::ElementsAre("written", "body", "read")) << "the body is not the last";
}

TEST(AsyncTaskGroup, OfABodyThatSpawnsNothingIsOver) {
  auto body = [](task_group& /*group*/) -> asio::awaitable<void> { co_return; };
  EXPECT_TRUE(run_group(curfew::background(), body));
}

TEST(AsyncTaskGroup, TheFirstErrorCancelsTheRestAndIsReturned) {
  std::optional<curfew::cause> why;
  auto waits = [&](context ctx) -> asio::awaitable<curfew::result<>> {
    auto err = co_await curfew::async_wait(ctx.done());
    why = ctx.cause();
    co_return std::unexpected(curfew::error(err));
  };
  auto fails = [](context /*ctx*/) -> asio::awaitable<curfew::result<>> {
    co_return std::unexpected(io_error());
  };
  auto body = [&](task_group& group) -> asio::awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    curfew::spawn(group, executor, waits);
    curfew::spawn(group, executor, fails);
  };
  const auto outcome = run_group(curfew::background(), body);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error(), std::errc::io_error);
  ASSERT_TRUE(why);
  EXPECT_EQ(why->message(), io_error().message());
}

TEST(AsyncTaskGroup, AnExceptionOfATaskComesOut) {
  auto throws = [](context /*ctx*/) -> asio::awaitable<void> {
    throw std::runtime_error("from a task");
    co_return;
  };
  auto body = [&](task_group& group) -> asio::awaitable<void> {
    curfew::spawn(group, co_await asio::this_coro::executor, throws);
  };
  EXPECT_THROW(static_cast<void>(run_group(curfew::background(), body)), std::runtime_error);
}

TEST(AsyncTaskGroup, AnExceptionOfTheBodyCancelsTheTasksAndComesOut) {
  bool ended = false;
  auto waits = [&](context ctx) -> asio::awaitable<void> {
    ended = static_cast<bool>(co_await curfew::async_wait(ctx.done()));
  };
  auto body = [&](task_group& group) -> asio::awaitable<void> {
    curfew::spawn(group, co_await asio::this_coro::executor, waits);
    throw std::logic_error("from the body");
  };
  EXPECT_THROW(static_cast<void>(run_group(curfew::background(), body)), std::logic_error);
  EXPECT_TRUE(ended);
}

TEST(AsyncTaskGroup, ItsTasksLearnOfTheEndOfTheContextAndAreWaitedFor) {
  const curfew::testing::manual_clock clock;
  const auto scope = curfew::with_timeout(clock.background(), 1s);
  bool cleaned = false;
  auto task = [&](context ctx) -> asio::awaitable<void> {
    auto slept = co_await curfew::async_sleep_for(ctx, 1h);
    EXPECT_FALSE(slept);
    auto cleaning = co_await curfew::async_sleep_for(curfew::without_cancel(ctx), 2s);
    cleaned = cleaning.has_value();
  };
  auto body = [&](task_group& group) -> asio::awaitable<void> {
    curfew::spawn(group, co_await asio::this_coro::executor, task);
  };
  EXPECT_TRUE(curfew::testing::run(clock, curfew::async_task_group(scope, body)));
  EXPECT_TRUE(cleaned);
}

TEST(AsyncTaskGroup, MixesCoroutinesAndThreads) {
  curfew::channel<int> c;
  int got = 0;
  auto reader = [&](context ctx) -> asio::awaitable<void> {
    auto item = co_await curfew::async_receive(ctx, c);
    got = item.value().value_or(0);
  };
  auto body = [&](task_group& group) -> asio::awaitable<void> {
    curfew::spawn(group, co_await asio::this_coro::executor, reader);
    group.spawn([&](const context& ctx) { return c.send(ctx, 7); });
  };
  EXPECT_TRUE(run_group(curfew::background(), body));
  EXPECT_EQ(got, 7);
}

TEST(AsyncTaskGroup, IsLeftToItsCoroutinesWhenTheIoContextIsDestroyed) {
  curfew::channel<int> c;
  const auto guarded = std::make_shared<int>(0);
  {
    asio::io_context io;
    auto reader = [&c, guarded](context ctx) -> asio::awaitable<void> {
      auto item = co_await curfew::async_receive(ctx, c);
      *guarded = item ? 1 : 2;
    };
    auto body = [&](task_group& group) -> asio::awaitable<void> {
      const auto executor = co_await asio::this_coro::executor;
      curfew::spawn(group, executor, reader);
      curfew::spawn(group, executor, reader);
      co_return;
    };
    asio::co_spawn(io, curfew::async_task_group(curfew::background(), body), asio::detached);
    io.poll();
  }
  EXPECT_EQ(*guarded, 0) << "no task has been resumed";
  EXPECT_EQ(c.try_send(1).error(), curfew::errc::would_block);
}

TEST(AsyncJoin, WaitsForThreads) {
  asio::io_context io;
  task_group group(curfew::background());
  curfew::channel<int> go;
  group.spawn([&](const context& ctx) -> curfew::result<> {
    auto told = go.receive(ctx);
    if (!told) return std::unexpected(told.error());
    return std::unexpected(io_error());
  });
  auto join = [&]() -> asio::awaitable<curfew::result<>> { co_return co_await curfew::async_join(group); };
  auto joined = asio::co_spawn(io, join, asio::use_future);
  io.poll();
  EXPECT_TRUE(go.send(curfew::background(), 1));
  io.run();
  EXPECT_EQ(joined.get().error(), std::errc::io_error);
}

}  // namespace
