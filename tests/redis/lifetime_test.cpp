// Clients, loops and processes that go while calls are under way.

#include <curfew/redis.hpp>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <curfew/core.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "at_rest.hpp"
#include "program.hpp"
#include "redis/redis_fixture.hpp"

namespace curfew::redis {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

class RedisLifetime : public redis_test {
 protected:
  void TearDown() override {
    if (IsSkipped()) return;
    server().resume();
    EXPECT_TRUE(tests::eventually([] { return connections() == 0; })) << server().ask_for({"CLIENT", "LIST"});
  }
};

TEST_F(RedisLifetime, AClientThatGoesEndsTheCallsThatBlock) {
  for (int i = 0; i != 10; ++i) {
    auto cache = std::make_unique<client>(server().url());
    EXPECT_TRUE(cache->run(patience, ping()));
    auto news = cache->subscribe(patience, {"news"});
    ASSERT_TRUE(news) << news.error();
    server().pause();
    result<std::int64_t> counted;
    result<std::pair<std::string, std::string>> popped;
    result<message> heard;
    client& used = *cache;
    std::jthread counts([&] { counted = used.run(patience, incr("n")); });
    std::jthread pops([&] { popped = used.run(patience, brpop("list")); });
    std::jthread hears([&] { heard = news->next(patience); });
    tests::let_other_threads_fall_asleep();  // begun, which the client may rely on
    if (i % 2 == 1) server().resume();
    cache.reset();
    counts.join();
    pops.join();
    hears.join();
    EXPECT_TRUE(counted || counted.error() == curfew::errc::canceled) << counted.error();
    ASSERT_FALSE(popped);
    EXPECT_EQ(popped.error(), curfew::errc::canceled) << popped.error();
    ASSERT_FALSE(heard);
    EXPECT_EQ(heard.error(), curfew::errc::canceled) << heard.error();
    server().resume();
  }
}

TEST_F(RedisLifetime, AClientThatGoesEndsTheCallsOfCoroutines) {
  asio::io_context loop(1);
  auto cache = std::make_unique<client>(server().url());
  EXPECT_TRUE(cache->run(patience, ping()));
  server().pause();
  int begun = 0;
  int ended = 0;
  const auto ask = [&](bool waits) -> asio::awaitable<void> {
    ++begun;
    if (waits) {
      auto got = co_await cache->async_run(patience.ctx(), blpop("list"));
      EXPECT_EQ(got.error(), curfew::errc::canceled);
    } else {
      auto got = co_await cache->async_run(patience.ctx(), incr("n"));
      EXPECT_EQ(got.error(), curfew::errc::canceled);
    }
    ++ended;
  };
  for (int i = 0; i != 8; ++i)
    asio::co_spawn(loop, ask(i % 2 == 0), [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
  while (begun != 8) loop.run_one();  // none is to begin on a client that is gone
  loop.run_for(20ms);
  EXPECT_EQ(ended, 0);
  cache.reset();
  loop.run();
  EXPECT_EQ(ended, 8);
}

TEST_F(RedisLifetime, ALoopThatGoesLeavesTheOthersAlone) {
  client cache(server().url());
  auto news = cache.subscribe(patience, {"news"});
  ASSERT_TRUE(news) << news.error();
  for (int i = 0; i != 10; ++i) {
    {
      asio::io_context loop(1);
      const auto ask = [&]() -> asio::awaitable<void> {
        std::ignore = co_await cache.async_run(patience.ctx(), blpop("list"));
        ADD_FAILURE() << "nobody goes on";
      };
      const auto ask_soon = [&]() -> asio::awaitable<void> {
        for (;;) std::ignore = co_await cache.async_run(patience.ctx(), incr("n"));
      };
      const auto hear = [&]() -> asio::awaitable<void> {
        std::ignore = co_await news->async_next(patience.ctx());
        ADD_FAILURE() << "nobody goes on";
      };
      asio::co_spawn(loop, ask, [](const std::exception_ptr&) { ADD_FAILURE() << "nor calls"; });
      asio::co_spawn(loop, ask_soon, [](const std::exception_ptr&) { ADD_FAILURE() << "nor calls"; });
      asio::co_spawn(loop, hear, [](const std::exception_ptr&) { ADD_FAILURE() << "nor calls"; });
      loop.run_for(std::chrono::milliseconds(1 + 2 * i));
    }
    EXPECT_EQ(cache.run(patience, ping()), "PONG");
    EXPECT_EQ(tests::run_coroutine(cache.async_run(patience.ctx(), ping())), "PONG");
  }
  // The subscription is still there, for the calls of others.
  EXPECT_EQ(server().ask_for({"PUBLISH", "news", "one"}), "1");
  const auto got = news->next(patience);
  ASSERT_TRUE(got) << got.error();
  EXPECT_EQ(got->payload, "one");
}

TEST_F(RedisLifetime, ManyLoopsComeAndGo) {
  client cache(server().url());
  for (int i = 0; i != 100; ++i)
    EXPECT_EQ(tests::run_coroutine(cache.async_run(patience.ctx(), incr("n"))), i + 1);
  EXPECT_TRUE(tests::eventually([] { return connections() <= 2; }));
}

TEST_F(RedisLifetime, AClientAndItsLoopGoInAnyOrder) {
  for (int i = 0; i != 20; ++i) {
    auto cache = std::make_unique<client>(server().url());
    auto loop = std::make_unique<asio::io_context>(1);
    const auto ask = [&]() -> asio::awaitable<void> {
      for (;;) {
        auto got = co_await cache->async_run(patience.ctx(), incr("n"));
        if (!got) co_return;
      }
    };
    asio::co_spawn(*loop, ask, [](const std::exception_ptr&) {});
    loop->run_for(std::chrono::microseconds(200 * i));
    if (i % 2 == 0) {
      loop.reset();
      cache.reset();
    } else {
      cache.reset();
      loop.reset();
    }
  }
}

TEST_F(RedisLifetime, AClientAndItsLoopGoAtTheSameTime) {
  for (int i = 0; i != 50; ++i) {
    std::optional<client> cache(std::in_place, server().url());
    std::binary_semaphore done(0);
    std::jthread runs([&] {
      asio::io_context loop(1);
      const auto ask = [&]() -> asio::awaitable<void> {
        auto got = co_await cache->async_run(patience.ctx(), incr("n"));
        EXPECT_TRUE(got);
      };
      asio::co_spawn(loop, ask, [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
      loop.run();
      done.release();
    });
    done.acquire();
    cache.reset();
  }
}

TEST_F(RedisLifetime, AClientMayGoWhileItConnects) {
  for (int i = 0; i != 10; ++i) {
    auto cache = std::make_unique<client>("redis://127.0.0.1:1", client_options().back_off(1ms, 1ms));
    asio::io_context loop(1);
    int ended = 0;
    const auto ask = [&]() -> asio::awaitable<void> {
      auto got = co_await cache->async_run(patience.ctx(), incr("n"));
      EXPECT_FALSE(got);
      ++ended;
    };
    asio::co_spawn(loop, ask, [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
    loop.poll_one();
    cache.reset();
    loop.run();
    EXPECT_EQ(ended, 1);
  }
}

TEST_F(RedisLifetime, AChildProcessLeavesItsParentsConnectionsAlone) {
  client cache(server().url());
  EXPECT_EQ(cache.run(patience, incr("n")), 1);
  tests::let_other_threads_fall_asleep();
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  for (int i = 2; i != 10; ++i) EXPECT_EQ(cache.run(patience, incr("n")), i);
}

TEST_F(RedisLifetime, AProgramThatIsStartedHoldsNoConnection) {
  auto cache = std::make_unique<client>(server().url());
  EXPECT_EQ(cache->run(patience, incr("n")), 1);
  auto news = cache->subscribe(patience, {"news"});
  tests::let_other_threads_fall_asleep();
  tests::program lives({"/bin/cat"});
  news = error(errc::other, "gone");
  cache.reset();
  EXPECT_TRUE(tests::eventually([] { return connections() == 0; })) << server().ask_for({"CLIENT", "LIST"});
}

}  // namespace
}  // namespace curfew::redis
