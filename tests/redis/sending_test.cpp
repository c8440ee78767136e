// What goes on in a thread of a loop has its commands sent together, when all of that goes no further.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <curfew/redis.hpp>
#include <exception>
#include <stdexcept>
#include <thread>
#include <tuple>

#include "redis/redis_fixture.hpp"

namespace curfew::redis {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

using RedisSending = redis_test;

void all_is_well(const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); }

// One goes on with an answer, has a command of its own to be sent, and keeps its thread until another thread has an answer.
TEST_F(RedisSending, OfAnotherThreadDoesNotWaitForAHandler) {
  asio::io_context loop;
  client cache(server().url(), client_options().connections(1));
  std::atomic<bool> is_answered{false};
  std::atomic<int> right{0};
  const auto ask = [&]() -> asio::awaitable<void> {
    auto got = co_await cache.async_run(patience.ctx(), ping());
    if (got) ++right;
  };
  const auto other = [&]() -> asio::awaitable<void> {
    auto got = co_await cache.async_run(patience.ctx(), ping());
    if (got) ++right;
    is_answered = true;
  };
  const auto keep = [&]() -> asio::awaitable<void> {
    auto got = co_await cache.async_run(patience.ctx(), ping());
    if (got) ++right;
    asio::co_spawn(loop, ask, all_is_well);  // as far as it comes, now
    asio::post(loop, [&] { asio::co_spawn(loop, other, all_is_well); });
    // NOLINTNEXTLINE(curfew-blocking-call): that is what is tested
    while (!is_answered && !patience.ctx().err()) std::this_thread::sleep_for(100us);
  };
  asio::co_spawn(loop, keep, all_is_well);
  std::jthread second([&] { loop.run(); });
  loop.run();
  second.join();
  EXPECT_TRUE(is_answered);
  EXPECT_EQ(right, 3);
}

TEST_F(RedisSending, GoesOnWhereAHandlerThrows) {
  asio::io_context loop(1);
  client cache(server().url(), client_options().connections(1));
  int right = 0;
  const auto fail = [&]() -> asio::awaitable<void> {
    std::ignore = co_await cache.async_run(patience.ctx(), ping());
    throw std::runtime_error("of a handler");
  };
  const auto ask_twice = [&]() -> asio::awaitable<void> {
    for (int i = 0; i != 2; ++i) {
      auto got = co_await cache.async_run(patience.ctx(), ping());
      if (got) ++right;
    }
  };
  const auto rethrow = [](const std::exception_ptr& thrown) {
    if (thrown) std::rethrow_exception(thrown);
  };
  for (int i = 0; i != 4; ++i) {
    asio::co_spawn(loop, ask_twice, all_is_well);
    asio::co_spawn(loop, fail, rethrow);
  }
  int thrown = 0;
  while (!loop.stopped()) {
    try {
      loop.run();
    } catch (const std::exception&) {  // Asio makes one of several
      ++thrown;
    }
  }
  EXPECT_GE(thrown, 1);
  EXPECT_EQ(right, 8);
}

// Those of two loops, one of which is run within a handler of the other.
TEST_F(RedisSending, OfALoopWithinAHandlerOfAnotherDoesNotWait) {
  asio::io_context outer(1);
  client cache(server().url());
  bool is_answered = false;
  const auto ask = [&]() -> asio::awaitable<void> {
    auto got = co_await cache.async_run(patience.ctx(), ping());
    is_answered = got.has_value();
  };
  const auto run_within = [&]() -> asio::awaitable<void> {
    auto got = co_await cache.async_run(patience.ctx(), ping());
    EXPECT_TRUE(got);
    asio::io_context inner(1);
    asio::co_spawn(inner, ask, all_is_well);
    inner.run();
    EXPECT_TRUE(is_answered);
  };
  asio::co_spawn(outer, run_within, all_is_well);
  outer.run();
  EXPECT_TRUE(is_answered);
}

}  // namespace
}  // namespace curfew::redis
