// Commands that wait in the server, cut off at any moment: nothing that was taken is lost without a word.

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
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "race.hpp"
#include "redis/redis_fixture.hpp"

namespace curfew::redis {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

class RedisBlocking : public redis_test {
 protected:
  using taken = result<std::pair<std::string, std::string>>;

  /// What consumers have got of a list, and what they were told of the rest.
  struct tally {
    std::mutex mutex;
    std::multiset<std::string> got;
    int unknown = 0;
    int nothing = 0;

    void add(const taken& what) {
      const std::lock_guard guard(mutex);
      if (what) {
        EXPECT_EQ(what->first, "list");
        got.insert(what->second);
      } else if (what.error().outcome() == outcome::unknown) {
        ++unknown;
      } else {
        ++nothing;
      }
    }
  };

  /// Nothing comes twice, and at most as much is missing as was said to be unknown.
  void expect_no_loss(tally& all, int pushed) {
    // What has been cut off is over there.
    ASSERT_TRUE(tests::eventually([] { return server().info("blocked_clients") == "0"; }));
    const auto left = std::stoi(server().ask_for({"LLEN", "list"}));
    const std::set<std::string> distinct(all.got.begin(), all.got.end());
    std::cout << pushed << " were pushed, " << all.got.size() << " taken, " << left << " left, "
              << all.unknown << " unknown; " << all.nothing << " times nothing\n";
    EXPECT_EQ(distinct.size(), all.got.size());
    const int missing = pushed - left - static_cast<int>(all.got.size());
    EXPECT_GE(missing, 0);
    EXPECT_LE(missing, all.unknown);
  }

  /// Pushes elements with short pauses, in a thread of its own.
  std::jthread producer(int count, std::uint64_t seed) {
    return std::jthread([this, count, seed] {
      client pushes(server().url());
      std::mt19937_64 random(seed);
      for (int i = 0; i != count; ++i) {
        EXPECT_TRUE(pushes.run(patience, rpush("list", std::to_string(i))));
        if (random() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 1000));
      }
    });
  }
};

TEST_F(RedisBlocking, WaitsUntilSomethingComesAndKeepsNobodyBack) {
  client cache(server().url());
  taken got;
  std::jthread waits([&] { got = cache.run(patience, brpop({"none", "list"})); });
  ASSERT_TRUE(tests::eventually([] { return server().info("blocked_clients") == "1"; }));
  EXPECT_TRUE(cache.run(patience, ping()));
  EXPECT_EQ(cache.run(patience, lpush("list", "one")), 1);
  waits.join();
  ASSERT_TRUE(got) << got.error();
  EXPECT_EQ(*got, std::pair(std::string("list"), std::string("one")));
}

TEST_F(RedisBlocking, LeavesTheServerWhenItsContextEnds) {
  client cache(server().url());
  for (int i = 0; i != 20; ++i) {
    auto scope = with_cancel(patience);
    taken got;
    std::jthread waits([&] { got = cache.run(scope, blpop("list")); });
    ASSERT_TRUE(tests::eventually([] { return server().info("blocked_clients") == "1"; }));
    scope.cancel();
    waits.join();
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error(), curfew::errc::canceled);
    EXPECT_EQ(got.error().outcome(), outcome::did_not_happen) << got.error();
    EXPECT_EQ(server().info("blocked_clients"), "0");
  }
  EXPECT_LE(connections(), 3U);  // they are used again
  EXPECT_EQ(cache.run(patience, rpush("list", "one")), 1);
  EXPECT_EQ(server().ask_for({"LLEN", "list"}), "1");
}

TEST_F(RedisBlocking, LosesNothingWhenItIsCutOffAtRandom) {
  const auto seed = testing::announce_seed("an element that is taken while its call ends");
  client cache(server().url());
  tally all;
  std::atomic<bool> over{false};
  std::vector<std::jthread> consumers;
  for (unsigned t = 0; t != 3; ++t) {
    consumers.emplace_back([&, t] {
      std::mt19937_64 random(seed + t);
      while (!over) {
        const auto scope = with_timeout(patience, std::chrono::microseconds(random() % 1500));
        all.add(cache.run(scope, brpop("list")));
      }
    });
  }
  consumers.emplace_back([&] {
    asio::io_context loop(1);
    std::mt19937_64 random(seed + 99);
    const auto work = [&]() -> asio::awaitable<void> {
      while (!over) {
        const auto scope = with_timeout(patience, std::chrono::microseconds(random() % 1500));
        auto got = co_await cache.async_run(scope.ctx(), blpop("list"));
        all.add(got);
      }
    };
    for (int i = 0; i != 4; ++i)
      asio::co_spawn(loop, work(), [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
    loop.run();
  });
  constexpr int pushed = 1000;
  producer(pushed, seed).join();
  over = true;
  consumers.clear();
  expect_no_loss(all, pushed);
  EXPECT_EQ(all.unknown, 0);  // nothing was in the way of an answer
}

TEST_F(RedisBlocking, SaysUnknownOfWhatItsConnectionMayHaveTaken) {
  const auto seed = testing::announce_seed("an element that is taken on a connection that is lost");
  testing::fault_proxy proxy(server().port());
  const auto hasty = client_options().back_off(1ms, 5ms).grace(5ms);
  auto cache = std::make_unique<client>(server().url_at(proxy.port()), hasty);
  tally all;
  std::atomic<bool> over{false};
  std::vector<std::jthread> consumers;
  for (unsigned t = 0; t != 3; ++t) {
    consumers.emplace_back([&, t] {
      std::mt19937_64 random(seed + t);
      while (!over) {
        const auto scope = with_timeout(patience, std::chrono::microseconds(random() % 3000));
        all.add(cache->run(scope, brpop("list")));
      }
    });
  }
  std::jthread cuts([&] {
    std::mt19937_64 random(seed + 77);
    while (!over) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
      testing::faults faults;
      switch (random() % 4) {
        case 0:
          faults.reset_after(random() % 200);
          break;
        case 1:
          faults.close_after(random() % 200);
          break;
        case 2:
          faults.delay(std::chrono::microseconds(random() % 8000));
          break;
        default:
          break;
      }
      proxy.set(random() % 2 == 0 ? testing::fault_options().to_client(faults)
                                  : testing::fault_options().to_server(faults));
    }
    proxy.set(testing::fault_options());
  });
  constexpr int pushed = 1000;
  producer(pushed, seed).join();
  over = true;
  cuts.join();
  consumers.clear();
  cache.reset();  // with its connections, one of which the server may have closed unseen
  ASSERT_TRUE(proxy.wait_ended());
  expect_no_loss(all, pushed);
}

TEST_F(RedisBlocking, SaysUnknownWhereTheServerMayNotBeAskedToUnblock) {
  server().ask({"ACL", "SETUSER", "worker", "on", ">pass", "~*", "&*", "+@all", "-client|unblock"});
  client cache("redis://worker:pass@" + server().address(), client_options().grace(20ms));
  auto scope = with_cancel(patience);
  taken got;
  std::jthread waits([&] { got = cache.run(scope, brpop("list")); });
  ASSERT_TRUE(tests::eventually([] { return server().info("blocked_clients") == "1"; }));
  scope.cancel();
  waits.join();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), curfew::errc::canceled) << got.error();
  EXPECT_EQ(got.error().outcome(), outcome::unknown) << got.error();
  EXPECT_TRUE(tests::eventually([] { return server().info("blocked_clients") == "0"; }));
  server().ask({"ACL", "DELUSER", "worker"});
}

TEST_F(RedisBlocking, StreamsAreReadByGroupsAndLoseNothing) {
  const auto seed = testing::announce_seed("an entry that is delivered while its call ends");
  client cache(server().url());
  ASSERT_TRUE(cache.run(patience, xgroup_create("stream", "group", "0")));
  std::atomic<bool> over{false};
  std::mutex mutex;
  std::multiset<std::string> got;
  int unknown = 0;
  std::vector<std::jthread> consumers;
  for (unsigned t = 0; t != 3; ++t) {
    consumers.emplace_back([&, t] {
      std::mt19937_64 random(seed + t);
      const auto name = "consumer" + std::to_string(t);
      while (!over) {
        const auto scope = with_timeout(patience, std::chrono::microseconds(random() % 1500));
        const auto read =
            cache.run(scope, xreadgroup_blocking("group", name, "stream", xread_options().count(2)));
        const std::lock_guard guard(mutex);
        if (!read && read.error().outcome() == outcome::unknown) ++unknown;
        if (!read) continue;
        for (const auto& each : *read) {
          for (const auto& entry : each.entries) got.insert(entry.id);
        }
      }
    });
  }
  std::mt19937_64 random(seed + 50);
  std::set<std::string> added;
  for (int i = 0; i != 500; ++i) {
    const auto id = cache.run(patience, xadd("stream", {{"i", std::to_string(i)}}));
    ASSERT_TRUE(id && *id) << id.error();
    added.insert(**id);
    if (random() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 1000));
  }
  ASSERT_TRUE(tests::eventually(
      [&] { return server().ask_for({"XINFO", "GROUPS", "stream"}).find("\nlag\n0") != std::string::npos; }));
  over = true;
  consumers.clear();
  EXPECT_EQ(unknown, 0);
  EXPECT_EQ(got.size(), added.size());
  EXPECT_EQ((std::set<std::string>(got.begin(), got.end())), added);
}

}  // namespace
}  // namespace curfew::redis
