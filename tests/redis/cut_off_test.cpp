// Calls that are given up while their answers are under way: no answer reaches another call, and the connection stays.

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
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "fake_resolver.hpp"
#include "race.hpp"
#include "redis/redis_fixture.hpp"
#include "redis/scripted_server.hpp"

namespace curfew::redis {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

class RedisCutOff : public redis_test {
 protected:
  void SetUp() override {
    redis_test::SetUp();
    if (IsSkipped()) return;
    for (int i = 0; i != keys; ++i) server().ask({"SET", key(i), value(i)});
  }

  static constexpr int keys = 32;
  static std::string key(int i) { return "key" + std::to_string(i); }
  static std::string value(int i) { return "value of " + std::to_string(i); }

  /// Answers are held back for a moment.
  static testing::fault_options late(std::chrono::microseconds by) {
    return testing::fault_options().to_client(testing::faults().delay(by));
  }
  /// A time that answers arrive before as often as behind it.
  static std::chrono::microseconds moment(std::mt19937_64& random, std::chrono::microseconds around) {
    return std::chrono::microseconds(random() % static_cast<std::uint64_t>(2 * around.count()));
  }
};

/// What came of many calls.
struct tally {
  std::atomic<int> answered{0};
  std::atomic<int> cut{0};

  void add(const result<std::optional<std::string>>& got, const std::string& wanted) {
    if (got) {
      EXPECT_EQ(*got, wanted);
      ++answered;
    } else {
      EXPECT_EQ(got.error(), curfew::errc::deadline_exceeded) << got.error();
      ++cut;
    }
  }
};

TEST_F(RedisCutOff, AnAnswerThatNobodyWaitsForReachesNoOtherCoroutine) {
  const auto seed = testing::announce_seed("an answer of a call that has ended");
  testing::fault_proxy proxy(server().port(), late(500us));
  client cache(server().url_at(proxy.port()));
  tally all;
  asio::io_context loop(1);
  const auto work = [&](int number) -> asio::awaitable<void> {
    std::mt19937_64 random(seed + static_cast<unsigned>(number));
    for (int i = 0; i != 300; ++i) {
      const int other = static_cast<int>(random() % keys);
      const auto scope = with_timeout(patience, moment(random, 1000us));
      auto foo = co_await cache.async_run(scope.ctx(), get(key(other)));
      all.add(foo, value(other));
      auto bar = co_await cache.async_run(patience.ctx(), get(key(number)));
      EXPECT_TRUE(bar && *bar == value(number)) << (bar ? bar->value_or("nil") : bar.error().message());
    }
  };
  for (int i = 0; i != keys; ++i)
    asio::co_spawn(loop, work(i), [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
  loop.run();
  std::cout << all.answered << " were answered, " << all.cut << " cut off\n";
  EXPECT_GT(all.cut, 0);
  EXPECT_EQ(proxy.accepted(), 1U);
}

TEST_F(RedisCutOff, AnAnswerThatNobodyWaitsForReachesNoOtherThread) {
  const auto seed = testing::announce_seed("an answer of a call that has ended");
  testing::fault_proxy proxy(server().port(), late(300us));
  client cache(server().url_at(proxy.port()));
  tally all;
  std::vector<std::jthread> threads;
  for (int number = 0; number != 8; ++number) {
    threads.emplace_back([&, number] {
      std::mt19937_64 random(seed + static_cast<unsigned>(number));
      for (int i = 0; i != 300; ++i) {
        const int other = static_cast<int>(random() % keys);
        const auto scope = with_timeout(patience, moment(random, 600us));
        all.add(cache.run(scope, get(key(other))), value(other));
        const auto bar = cache.run(patience, get(key(number)));
        EXPECT_TRUE(bar && *bar == value(number)) << (bar ? bar->value_or("nil") : bar.error().message());
      }
    });
  }
  threads.clear();
  std::cout << all.answered << " were answered, " << all.cut << " cut off\n";
  EXPECT_GT(all.cut, 0);
  EXPECT_EQ(proxy.accepted(), 1U);
}

TEST_F(RedisCutOff, PipelinesAndTransactionsAreThrownAwayAsAWhole) {
  const auto seed = testing::announce_seed("an answer of a pipeline that has ended");
  testing::fault_proxy proxy(server().port(), late(300us));
  client cache(server().url_at(proxy.port()));
  asio::io_context loop(1);
  int cut = 0;
  const auto work = [&](int number) -> asio::awaitable<void> {
    std::mt19937_64 random(seed + static_cast<unsigned>(number));
    const auto wrong = raw<std::int64_t>({"INCR", key(number)});  // which is no number
    for (int i = 0; i != 200; ++i) {
      const int other = static_cast<int>(random() % keys);
      const auto scope = with_timeout(patience, moment(random, 600us));
      if (random() % 2 == 0) {
        auto all = co_await cache.async_run_all(scope.ctx(), get(key(other)), wrong, get(key(number)));
        if (!all) ++cut;
        if (all) {
          EXPECT_EQ(*std::get<0>(*all), value(other));
          EXPECT_EQ(std::get<1>(*all).error(), errc::other);
          EXPECT_EQ(*std::get<2>(*all), value(number));
        }
      } else {
        auto all = co_await cache.async_run_atomically(scope.ctx(), get(key(other)), wrong, get(key(number)));
        if (!all) ++cut;
        if (all) {
          EXPECT_EQ(*std::get<0>(*all), value(other));
          EXPECT_EQ(std::get<1>(*all).error(), errc::other);
          EXPECT_EQ(*std::get<2>(*all), value(number));
        }
      }
      auto bar = co_await cache.async_run(patience.ctx(), get(key(number)));
      EXPECT_TRUE(bar && *bar == value(number)) << (bar ? bar->value_or("nil") : bar.error().message());
    }
  };
  for (int i = 0; i != 16; ++i)
    asio::co_spawn(loop, work(i), [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
  loop.run();
  EXPECT_GT(cut, 0);
  EXPECT_EQ(proxy.accepted(), 1U);
}

TEST_F(RedisCutOff, LargeAnswersThatNobodyWaitsForAreReadAndThrownAway) {
  const std::string large(300'000, 'x');
  server().ask({"SET", "large", large});
  testing::fault_proxy proxy(server().port(), late(200us));
  client cache(server().url_at(proxy.port()));
  int cut = 0;
  for (int i = 0; i != 50; ++i) {
    const auto scope = with_timeout(patience, std::chrono::microseconds(100 * (i % 25)));
    const auto got = cache.run(scope, get("large"));
    if (got) {
      EXPECT_EQ(*got, large);
    } else {
      ++cut;
    }
    EXPECT_EQ(cache.run(patience, get(key(3))), value(3));
  }
  EXPECT_GT(cut, 0);
  EXPECT_EQ(proxy.accepted(), 1U);
}

TEST_F(RedisCutOff, ACallReturnsAtOnceFromAServerThatIsSilent) {
  client cache(server().url());
  EXPECT_EQ(cache.run(patience, get(key(1))), value(1));
  server().pause();
  {
    const auto scope = with_timeout(patience, 200ms);
    const auto got = cache.run(scope, incr("n"));
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error(), curfew::errc::deadline_exceeded);
    EXPECT_EQ(got.error().outcome(), outcome::unknown);
    EXPECT_NE(got.error().message().find("INCRBY n"), std::string::npos) << got.error();
  }
  server().resume();
  EXPECT_EQ(cache.run(patience, get("n")), "1");  // it has happened
}

TEST_F(RedisCutOff, ACallThatHasEndedBeforeItBeganIsNotSent) {
  client cache(server().url());
  auto scope = with_cancel(patience);
  scope.cancel();
  for (int i = 0; i != 3; ++i) {
    const auto got = cache.run(scope, incr("n"));
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error(), curfew::errc::canceled);
    EXPECT_EQ(got.error().outcome(), outcome::did_not_happen);
    const auto all = cache.run_atomically(scope, incr("n"), incr("n"));
    ASSERT_FALSE(all);
    EXPECT_EQ(all.error().outcome(), outcome::did_not_happen);
    EXPECT_EQ(cache.run(patience, exists("n")), 0);
  }
}

TEST_F(RedisCutOff, WhatWaitsForAConnectionIsNotSentWhenItsCallHasEnded) {
  testing::fault_proxy proxy(server().port(),
                             testing::fault_options().connects(testing::proxy_connects::never));
  client cache(server().url_at(proxy.port()), client_options().name("late"));
  {
    const auto scope = with_timeout(patience, 30ms);
    const auto got = cache.run(scope, incr("n"));
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error(), curfew::errc::deadline_exceeded);
    EXPECT_EQ(got.error().outcome(), outcome::did_not_happen);
  }
  proxy.set(testing::fault_options());
  client other(server().url_at(proxy.port()));
  EXPECT_EQ(other.run(patience, exists("n")), 0);
}

TEST_F(RedisCutOff, ALookupThatHangsHoldsNeitherItsCallNorTheClient) {
  auto cache = std::make_unique<client>("redis://stuck.test:" + std::to_string(server().port()));
  auto scope = with_cancel(patience);
  std::jthread ends([&scope] {
    EXPECT_TRUE(tests::wait_for_stuck_lookup());
    scope.cancel();
  });
  const auto got = cache->run(scope, incr("n"));
  ends.join();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), curfew::errc::canceled);
  EXPECT_EQ(got.error().outcome(), outcome::did_not_happen);
  cache.reset();  // while the system still looks it up
  tests::release_stuck_lookups();
}

TEST_F(RedisCutOff, ANameIsTriedByEachOfItsAddresses) {
  const auto at = [](const char* name) {
    return "redis://" + std::string(name) + ':' + std::to_string(server().port());
  };
  client cache(at("two.test"));  // 127.0.0.2 refuses
  EXPECT_EQ(cache.run(patience, ping()), "PONG");
  const auto scope = with_timeout(patience, 200ms);
  const auto missing = client(at("missing.test")).run(scope, ping());
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message().find("missing.test"), std::string::npos) << missing.error();
}

TEST_F(RedisCutOff, AConnectionWhoseServerIsSilentForManyCallsDoesNotGrowWithoutEnd) {
  // 2,000 calls that have ended are still under way to a server that says nothing: they are answered all the same once it
  // speaks, and those behind them get their own.
  client cache(server().url());
  EXPECT_TRUE(cache.run(patience, ping()));
  server().pause();
  asio::io_context loop(1);
  int ended = 0;
  const auto ask = [&](int i) -> asio::awaitable<void> {
    const auto scope = with_timeout(patience, 10ms);
    auto got = co_await cache.async_run(scope.ctx(), get(key(i % keys)));
    if (!got) ++ended;
  };
  for (int i = 0; i != 2000; ++i)
    asio::co_spawn(loop, ask(i), [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
  loop.run();
  EXPECT_EQ(ended, 2000);
  server().resume();
  for (int i = 0; i != keys; ++i) EXPECT_EQ(cache.run(patience, get(key(i))), value(i));
}

TEST_F(RedisCutOff, AnswersOfOneByteAtATimeAreTheSame) {
  testing::fault_proxy proxy(
      server().port(),
      testing::fault_options().to_client(testing::faults().split(1)).to_server(testing::faults().split(1)));
  client cache(server().url_at(proxy.port()));
  EXPECT_EQ(cache.run(patience, get(key(5))), value(5));
  const auto all = cache.run_all(patience, get("none"), incr("n", 1000), mget({key(1), "none", key(2)}),
                                 raw<std::string>({"ECHO", "\r\n$3\r\n"}), set("", ""));
  ASSERT_TRUE(all) << all.error();
  EXPECT_EQ(*std::get<0>(*all), std::nullopt);
  EXPECT_EQ(*std::get<1>(*all), 1000);
  EXPECT_EQ(*std::get<2>(*all), (std::vector<std::optional<std::string>>{value(1), std::nullopt, value(2)}));
  EXPECT_EQ(*std::get<3>(*all), "\r\n$3\r\n");
  EXPECT_EQ(*std::get<4>(*all), true);
}

TEST(RedisAnswers, MayBeCutIntoPiecesAnywhere) {
  const std::string bytes = "*5\r\n$3\r\nfoo\r\n:-17\r\n$-1\r\n*2\r\n+OK\r\n-ERR no\r\n$2\r\n\r\n\r\n";
  const reply wanted(std::vector<reply>{
      reply(reply::kind::string, "foo"), reply(-17), reply(),
      reply(std::vector<reply>{reply(reply::kind::status, "OK"), reply(reply::kind::error, "ERR no")}),
      reply(reply::kind::string, "\r\n")});
  const auto patience = with_timeout(background(), tests::program_patience);
  std::atomic<std::size_t> cut{1};
  tests::scripted_server server([&](tests::scripted_server::link& on) {
    while (on.read()) {
      on.say(std::string_view(bytes).substr(0, cut));
      std::this_thread::sleep_for(1ms);  // so that the rest comes alone, mostly
      on.say(std::string_view(bytes).substr(cut));
    }
  });
  client cache(server.url());
  for (; cut != bytes.size(); ++cut) {
    const auto got = cache.run(patience, raw({"GET", "it"}));
    ASSERT_TRUE(got) << got.error() << " at " << cut;
    EXPECT_EQ(*got, wanted) << cut;
  }
  EXPECT_EQ(server.connections(), 1U);
}

}  // namespace
}  // namespace curfew::redis
