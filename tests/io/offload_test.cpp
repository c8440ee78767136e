#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

TEST(AsyncOffload, RunsTheWorkInAnotherThreadAndResumesInItsOwn) {
  asio::io_context io;
  auto work = [&](curfew::context ctx) -> asio::awaitable<bool> {
    const auto here = std::this_thread::get_id();
    auto where = [](const curfew::context&) { return std::this_thread::get_id(); };
    const auto there = co_await curfew::async_offload(ctx, where);
    co_return there.has_value() && *there != here&& std::this_thread::get_id() == here;
  };
  auto outcome = asio::co_spawn(io, work(curfew::background()), asio::use_future);
  io.run();
  EXPECT_TRUE(outcome.get());
}

TEST(AsyncOffload, HandsTheContextToTheWork) {
  asio::io_context io;
  auto scope = curfew::with_cancel(curfew::background());
  std::latch started(1);
  auto work = [&](curfew::context ctx) -> asio::awaitable<curfew::result<std::string>> {
    auto wait = [&](const curfew::context& own) {
      started.count_down();
      return own.done().wait().message();
    };
    co_return co_await curfew::async_offload(ctx, wait);
  };
  auto outcome = asio::co_spawn(io, work(scope), asio::use_future);
  std::thread other([&] {
    started.wait();
    scope.cancel();
  });
  io.run();
  other.join();
  const auto got = outcome.get();
  ASSERT_TRUE(got) << "what started work returns is delivered: " << got.error();
  EXPECT_EQ(*got, "canceled");
}

TEST(AsyncOffload, CarriesAnExceptionToTheOneWhoAwaits) {
  asio::io_context io;
  auto work = [](curfew::context ctx) -> asio::awaitable<curfew::result<>> {
    auto fail = [](const curfew::context&) { throw std::runtime_error("disk on fire"); };
    co_return co_await curfew::async_offload(ctx, fail);
  };
  auto outcome = asio::co_spawn(io, work(curfew::background()), asio::use_future);
  io.run();
  EXPECT_THROW(std::ignore = outcome.get(), std::runtime_error);
}

TEST(AsyncOffload, GivesUpItsPlaceInTheQueueWhenTheContextEnds) {
  curfew::thread_pool pool(1);
  asio::io_context io;
  auto blocker = curfew::with_cancel(curfew::background());
  auto scope = curfew::with_cancel(curfew::background());
  std::latch started(1);
  std::atomic<bool> ran = false;
  auto block = [&](curfew::context ctx) -> asio::awaitable<curfew::result<>> {
    auto wait = [&](const curfew::context& own) {
      started.count_down();
      own.done().wait();
    };
    co_return co_await curfew::async_offload(pool, ctx, wait);
  };
  auto queue = [&](curfew::context ctx) -> asio::awaitable<curfew::result<>> {
    auto never = [&](const curfew::context&) { ran = true; };
    auto got = co_await curfew::async_offload(pool, ctx, never);
    blocker.cancel();  // only now: the one in the queue was told while the thread was busy
    co_return got;
  };
  auto first = asio::co_spawn(io, block(blocker), asio::use_future);
  io.poll();
  started.wait();
  auto second = asio::co_spawn(io, queue(scope), asio::use_future);
  io.poll();
  scope.cancel("nobody waits");
  io.run();
  EXPECT_TRUE(first.get());
  const auto got = second.get();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message(), "waiting for a thread: canceled (cause: nobody waits)");
  EXPECT_FALSE(ran);
}

TEST(AsyncOffload, WorkThatRunsIsOverBeforeItsIoContextIsDestroyed) {
  auto scope = curfew::with_cancel(curfew::background());
  std::latch started(1);
  std::atomic<bool> over = false;
  std::thread other;
  {
    asio::io_context io;
    auto job = [&](curfew::context ctx) -> asio::awaitable<void> {
      std::vector<int> of_the_coroutine{1, 2, 3};
      auto work = [&](const curfew::context& own) {
        started.count_down();
        own.done().wait();
        of_the_coroutine.push_back(4);
        over = true;
      };
      static_cast<void>(co_await curfew::async_offload(ctx, work));
      ADD_FAILURE() << "nobody runs the io_context any more";
    };
    asio::co_spawn(io, job(scope), asio::detached);
    io.poll();
    started.wait();
    other = std::thread([&] {
      std::this_thread::sleep_for(20ms);  // in which the io_context is about to be destroyed
      scope.cancel();
    });
  }
  EXPECT_TRUE(over);
  other.join();
}

TEST(AsyncOffload, WorkInTheQueueIsNotRunOnceItsIoContextIsDestroyed) {
  curfew::thread_pool pool(1);
  std::latch started(1);
  std::latch go_on(1);
  std::atomic<bool> ran = false;
  asio::io_context first;
  auto block = [&](const curfew::context&) {
    started.count_down();
    go_on.wait();
  };
  curfew::async_offload(pool, curfew::background(), block, asio::bind_executor(first, asio::detached));
  started.wait();
  {
    asio::io_context io;
    auto job = [&](curfew::context ctx) -> asio::awaitable<void> {
      auto work = [&](const curfew::context&) { ran = true; };
      static_cast<void>(co_await curfew::async_offload(pool, ctx, work));
    };
    asio::co_spawn(io, job(curfew::background()), asio::detached);
    io.poll();
  }
  go_on.count_down();
  first.run();
  auto behind_it = [](const curfew::context&) {};
  std::ignore = curfew::async_offload(pool, curfew::background(), behind_it, asio::use_future).get();
  EXPECT_FALSE(ran);
}

TEST(AsyncOffload, DoesNotRunWorkUnderAContextThatHasEnded) {
  asio::io_context io;
  auto scope = curfew::with_cancel(curfew::background());
  scope.cancel();
  std::atomic<bool> ran = false;
  auto work = [&](curfew::context ctx) -> asio::awaitable<curfew::result<>> {
    auto never = [&](const curfew::context&) { ran = true; };
    co_return co_await curfew::async_offload(ctx, never);
  };
  auto outcome = asio::co_spawn(io, work(scope), asio::use_future);
  io.run();
  EXPECT_FALSE(outcome.get());
  EXPECT_FALSE(ran);
}

TEST(AsyncOffload, RunsAtMostAsManyAsThePoolHasThreads) {
  curfew::thread_pool pool(3);
  asio::io_context io;
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  auto work = [&](curfew::context ctx) -> asio::awaitable<void> {
    auto count = [&](const curfew::context&) {
      const int now = ++running;
      int seen = most;
      while (seen < now && !most.compare_exchange_weak(seen, now)) {
      }
      std::this_thread::yield();
      --running;
    };
    auto done = co_await curfew::async_offload(pool, ctx, count);
    EXPECT_TRUE(done);
  };
  std::vector<std::future<void>> all;
  for (int i = 0; i < 200; ++i)
    all.push_back(asio::co_spawn(io, work(curfew::background()), asio::use_future));
  io.run();
  for (auto& one : all) one.get();
  EXPECT_LE(most, 3);
  EXPECT_GE(most, 1);
}

TEST(AsyncOffload, KeepsAValueThatCanOnlyBeMoved) {
  asio::io_context io;
  auto work = [](curfew::context ctx) -> asio::awaitable<int> {
    auto make = [n = std::make_unique<int>(7)](const curfew::context&) mutable { return std::move(n); };
    auto got = co_await curfew::async_offload(ctx, std::move(make));
    co_return **got;
  };
  auto outcome = asio::co_spawn(io, work(curfew::background()), asio::use_future);
  io.run();
  EXPECT_EQ(outcome.get(), 7);
}

}  // namespace
