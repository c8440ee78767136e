// Messages: none is lost on a connection that holds, and one that does not says so.

#include <curfew/redis.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/testing/fault_proxy.hpp>
#include <exception>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "race.hpp"
#include "redis/redis_fixture.hpp"
#include "redis/scripted_server.hpp"

namespace curfew::redis {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

class RedisSubscribing : public redis_test {
 protected:
  static std::string publish(const std::string& channel, const std::string& text) {
    return server().ask_for({"PUBLISH", channel, text});
  }
};

TEST_F(RedisSubscribing, HearsWhatIsPublishedFromTheMomentItReturns) {
  client cache(server().url());
  for (int i = 0; i != 20; ++i) {
    auto news = cache.subscribe(patience, {"a", "b"});
    ASSERT_TRUE(news) << news.error();
    EXPECT_EQ(publish("a", "one"), "1");
    EXPECT_EQ(publish("b", "\r\n*1\r\n"), "1");
    EXPECT_EQ(publish("c", "nobody"), "0");
    const auto first = news->next(patience);
    ASSERT_TRUE(first) << first.error();
    EXPECT_EQ(first->channel, "a");
    EXPECT_EQ(first->payload, "one");
    const auto second = news->next(patience);
    ASSERT_TRUE(second) << second.error();
    EXPECT_EQ(second->payload, "\r\n*1\r\n");
  }
  EXPECT_TRUE(tests::eventually([] { return server().ask_for({"PUBSUB", "CHANNELS"}).empty(); }));
}

TEST_F(RedisSubscribing, LosesNothingWhenItsWaitsAreCutOff) {
  const auto seed = testing::announce_seed("a message that comes while the call for it ends");
  client cache(server().url());
  auto news = cache.subscribe(patience, {"news"});
  ASSERT_TRUE(news) << news.error();
  constexpr int count = 2000;
  std::jthread publishes([&] {
    client own(server().url());
    std::mt19937_64 random(seed);
    for (int i = 0; i != count; ++i) {
      EXPECT_EQ(own.run(patience, redis::publish("news", std::to_string(i))), 1);
      if (random() % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 500));
    }
  });
  std::mt19937_64 random(seed + 1);
  int cut = 0;
  for (int next = 0; next != count;) {
    const auto scope = with_timeout(patience, std::chrono::microseconds(random() % 300));
    const auto got =
        random() % 2 == 0 ? news->next(scope) : tests::run_coroutine(news->async_next(scope.ctx()));
    if (got) {
      ASSERT_EQ(got->payload, std::to_string(next));
      ++next;
    } else {
      ASSERT_EQ(got.error(), curfew::errc::deadline_exceeded) << got.error();
      ++cut;
    }
    ASSERT_FALSE(patience.ctx().err());
  }
  EXPECT_GT(cut, 0);
}

TEST_F(RedisSubscribing, AddsAndRemovesChannelsAmidMessages) {
  client cache(server().url());
  auto news = cache.subscribe(patience, {"first"});
  ASSERT_TRUE(news) << news.error();
  std::atomic<bool> over{false};
  std::jthread publishes([&] {
    client own(server().url());
    while (!over) EXPECT_TRUE(own.run(patience, redis::publish("first", "noise")));
  });
  for (int i = 0; i != 100; ++i) {
    const auto name = "channel" + std::to_string(i);
    ASSERT_TRUE(news->add(patience, {name, name + "b"}));
    EXPECT_EQ(publish(name, "heard"), "1");
    ASSERT_TRUE(news->remove(patience, {name, name + "b"}));
    EXPECT_EQ(publish(name, "not heard"), "0");
    for (;;) {
      const auto got = news->next(patience);
      ASSERT_TRUE(got) << got.error();
      if (got->channel == "first") continue;
      EXPECT_EQ(got->channel, name);
      EXPECT_EQ(got->payload, "heard");
      break;
    }
  }
  over = true;
}

TEST_F(RedisSubscribing, SaysThatItIsLostAgainAndAgain) {
  tests::redis_server own;
  client cache(own.url(), client_options().back_off(1ms, 10ms));
  auto news = cache.subscribe(patience, {"news"});
  ASSERT_TRUE(news) << news.error();
  own.ask({"PUBLISH", "news", "before"});
  const auto before = news->next(patience);
  ASSERT_TRUE(before) << before.error();
  own.kill9();
  for (int i = 0; i != 3; ++i) {
    const auto lost = news->next(patience);
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error(), errc::connection_lost) << lost.error();
  }
  EXPECT_FALSE(cache.subscribe(patience, {"news"}));
  own.start();
  const auto still = news->next(patience);
  ASSERT_FALSE(still);
  EXPECT_EQ(still.error(), errc::connection_lost) << still.error();
  EXPECT_FALSE(news->add(patience, {"more"}));
  for (;;) {
    auto anew = cache.subscribe(patience, {"news"});
    if (!anew) {
      ASSERT_FALSE(patience.ctx().err());
      continue;
    }
    own.ask({"PUBLISH", "news", "after"});
    const auto after = anew->next(patience);
    ASSERT_TRUE(after) << after.error();
    EXPECT_EQ(after->payload, "after");
    break;
  }
}

TEST_F(RedisSubscribing, MessagesBeforeTheEndAreGivenOut) {
  client cache(server().url());
  auto news = cache.subscribe(patience, {"news"});
  ASSERT_TRUE(news) << news.error();
  for (int i = 0; i != 3; ++i) EXPECT_EQ(publish("news", std::to_string(i)), "1");
  server().ask({"CLIENT", "KILL", "TYPE", "pubsub"});
  for (int i = 0; i != 3; ++i) {
    const auto got = news->next(patience);
    ASSERT_TRUE(got) << got.error();
    EXPECT_EQ(got->payload, std::to_string(i));
  }
  EXPECT_EQ(news->next(patience).error(), errc::connection_lost);
}

TEST_F(RedisSubscribing, HasAnEndToItsMemory) {
  client cache(server().url(), client_options().max_waiting_messages(10));
  auto news = cache.subscribe(patience, {"news"});
  ASSERT_TRUE(news) << news.error();
  // Whatever it does, the end is said, not kept silent.
  std::optional<error> why;
  for (int i = 0; i != 100; ++i) publish("news", std::to_string(i));
  int next = 0;
  while (!why) {
    const auto got = news->next(patience);
    if (got) {
      EXPECT_EQ(got->payload, std::to_string(next++));
    } else {
      why = got.error();
    }
  }
  EXPECT_LE(next, 100);
  EXPECT_EQ(*why, errc::too_large) << *why;
}

TEST_F(RedisSubscribing, MayEndOrMoveWhileItIsWaitedFor) {
  client cache(server().url());
  std::optional<result<subscription>> news(cache.subscribe(patience, {"news"}));
  ASSERT_TRUE(*news) << news->error();
  subscription moved = std::move(**news);
  news.reset();
  EXPECT_EQ(publish("news", "one"), "1");
  const auto got = moved.next(patience);
  ASSERT_TRUE(got) << got.error();
  auto scope = with_cancel(patience);
  result<message> ended;
  std::jthread waits([&] { ended = moved.next(scope); });
  std::this_thread::sleep_for(5ms);  // mostly it waits then
  scope.cancel();
  waits.join();
  EXPECT_EQ(ended.error(), curfew::errc::canceled);
}

TEST_F(RedisSubscribing, ManyWaitAndEachMessageGoesToOne) {
  client cache(server().url());
  auto news = cache.subscribe(patience, {"news"});
  ASSERT_TRUE(news) << news.error();
  constexpr int count = 500;
  std::atomic<int> got{0};
  auto scope = with_cancel(patience);
  std::vector<std::jthread> threads;
  for (int t = 0; t != 4; ++t) {
    threads.emplace_back([&] {
      while (news->next(scope)) ++got;
    });
  }
  client own(server().url());
  for (int i = 0; i != count; ++i) EXPECT_EQ(own.run(patience, redis::publish("news", "x")), 1);
  EXPECT_TRUE(tests::eventually([&] { return got == count; }));
  scope.cancel();
  threads.clear();
  EXPECT_EQ(got, count);
}

TEST_F(RedisSubscribing, IsRefusedWhatIsNoMessage) {
  for (const std::string bytes : {"+OK\r\n", ":1\r\n", "*0\r\n", "*3\r\n$7\r\nmessage\r\n:1\r\n:2\r\n",
                                  "*1\r\n$4\r\npong\r\n", "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n", "garbage"}) {
    const tests::scripted_server script([&](tests::scripted_server::link& on) {
      if (!on.read()) return;
      on.say("*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n" + bytes);
    });
    client cache(script.url());
    auto news = cache.subscribe(patience, {"news"});
    if (!news) {
      EXPECT_EQ(news.error(), errc::protocol) << bytes << ": " << news.error();
      continue;
    }
    const auto got = news->next(patience);
    ASSERT_FALSE(got) << bytes;
    EXPECT_TRUE(got.error() == errc::protocol || got.error() == errc::connection_lost)
        << bytes << ": " << got.error();
  }
}

TEST_F(RedisSubscribing, IsGivenUpWhileItIsConfirmed) {
  const auto seed = testing::announce_seed("a confirmation that comes while the call ends");
  std::mt19937_64 random(seed);
  client cache(server().url());
  for (int i = 0; i != 200; ++i) {
    const auto scope = with_timeout(patience, std::chrono::microseconds(random() % 1000));
    auto news = cache.subscribe(scope, {"news"});
    if (!news) continue;
    publish("news", std::to_string(i));
    const auto got = news->next(patience);
    ASSERT_TRUE(got) << got.error();
    EXPECT_EQ(got->payload, std::to_string(i));
  }
  EXPECT_TRUE(tests::eventually([] { return server().ask_for({"PUBSUB", "CHANNELS"}).empty(); }));
}

}  // namespace
}  // namespace curfew::redis
