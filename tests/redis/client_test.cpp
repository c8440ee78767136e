#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/redis.hpp>
#include <future>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "redis.hpp"

namespace curfew::redis {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using tests::redis_options;
using tests::redis_server;

/// Runs a coroutine to its end, on a loop of its own.
template <class T>
T run_to_end(asio::awaitable<T> what) {
  asio::io_context loop;
  auto got = asio::co_spawn(loop, std::move(what), asio::use_future);
  loop.run();
  return got.get();
}

class RedisClient : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = new redis_server(); }
  static void TearDownTestSuite() { delete std::exchange(server_, nullptr); }
  void SetUp() override {
    CURFEW_NEEDS_PROGRAMS("redis-server");
    server_->ask({"FLUSHALL"});
  }

  static redis_server& server() { return *server_; }
  [[nodiscard]] static std::string url() { return server_->url(); }

 private:
  inline static redis_server* server_ = nullptr;
};

TEST_F(RedisClient, GivesBackWhatWasSet) {
  client cache(url());
  const auto ctx = background();
  EXPECT_EQ(cache.run(ctx, get("name")).value(), std::nullopt);
  EXPECT_TRUE(cache.run(ctx, set("name", "Ada")).value());
  EXPECT_EQ(cache.run(ctx, get("name")).value(), "Ada");
  EXPECT_EQ(server().ask_for({"GET", "name"}), "Ada");
  EXPECT_EQ(cache.run(ctx, incr("hits")).value(), 1);
  EXPECT_EQ(cache.run(ctx, incr("hits", 41)).value(), 42);
}

TEST_F(RedisClient, GivesBackAnyBytes) {
  client cache(url());
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_TRUE(cache.run(background(), set(all, all)).value());
  EXPECT_EQ(cache.run(background(), get(all)).value(), all);
}

TEST_F(RedisClient, SetsOnConditionsAndForATime) {
  client cache(url());
  const auto ctx = background();
  EXPECT_TRUE(cache.run(ctx, set("lock", "a", set_options().if_absent().expire(1h))).value());
  EXPECT_FALSE(cache.run(ctx, set("lock", "b", set_options().if_absent())).value());
  EXPECT_GT(cache.run(ctx, pttl("lock")).value(), 0);
  EXPECT_TRUE(cache.run(ctx, set("lock", "c", set_options().if_present().keep_expiry())).value());
  EXPECT_GT(cache.run(ctx, pttl("lock")).value(), 0);
  EXPECT_EQ(cache.run(ctx, pttl("none")).value(), -2);
}

TEST_F(RedisClient, KnowsHashesListsAndSets) {
  client cache(url());
  const auto ctx = background();
  const std::vector<pair_of_words> fields{{"name", "Ada"}, {"born", "1815"}};
  EXPECT_EQ(cache.run(ctx, hset("user:1", fields)).value(), 2);
  EXPECT_EQ(cache.run(ctx, hgetall("user:1")).value(), (hash_fields{{"born", "1815"}, {"name", "Ada"}}));
  EXPECT_EQ(cache.run(ctx, hmget("user:1", {"born", "died"})).value(),
            (std::vector<std::optional<std::string>>{"1815", std::nullopt}));
  EXPECT_EQ(cache.run(ctx, rpush("queue", {"a", "b", "c"})).value(), 3);
  EXPECT_EQ(cache.run(ctx, lrange("queue", 0, -1)).value(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(cache.run(ctx, sadd("tags", {"x", "y", "x"})).value(), 2);
  EXPECT_TRUE(cache.run(ctx, sismember("tags", "y")).value());
  EXPECT_EQ(cache.run(ctx, zadd("scores", 1.5, "a")).value(), 1);
  EXPECT_EQ(cache.run(ctx, zadd("scores", -2, "b")).value(), 1);
  EXPECT_EQ(cache.run(ctx, zrange_with_scores("scores", 0, -1)).value(),
            (std::vector<scored>{{"b", -2.0}, {"a", 1.5}}));
  EXPECT_EQ(cache.run(ctx, zscore("scores", "none")).value(), std::nullopt);
}

TEST_F(RedisClient, KnowsStreams) {
  client cache(url());
  const auto ctx = background();
  ASSERT_TRUE(cache.run(ctx, xgroup_create("jobs", "workers")));
  const auto id = cache.run(ctx, xadd("jobs", {{"what", "thumbnail"}, {"of", "cat.jpg"}})).value();
  ASSERT_TRUE(id);
  const auto got = cache.run(ctx, xreadgroup("workers", "me", "jobs")).value();
  ASSERT_EQ(got.size(), 1U);
  ASSERT_EQ(got[0].entries.size(), 1U);
  EXPECT_EQ(got[0].entries[0].id, *id);
  EXPECT_EQ(*got[0].entries[0].find("of"), "cat.jpg");
  EXPECT_EQ(got[0].entries[0].find("none"), nullptr);
  EXPECT_TRUE(cache.run(ctx, xreadgroup("workers", "me", "jobs")).value().empty());
  const auto claimed = cache.run(ctx, xautoclaim("jobs", "workers", "other", 0ms)).value();
  EXPECT_EQ(claimed.entries.size(), 1U);
  EXPECT_EQ(claimed.next, "0-0");
  EXPECT_EQ(cache.run(ctx, xack("jobs", "workers", *id)).value(), 1);
}

TEST_F(RedisClient, TellsWhatTheServerRefuses) {
  client cache(url());
  const auto ctx = background();
  ASSERT_TRUE(cache.run(ctx, set("name", "Ada")).value());
  const auto got = cache.run(ctx, hgetall("name"));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::wrong_type);
  EXPECT_EQ(got.error().outcome(), outcome::did_not_happen);
  EXPECT_EQ(got.error().message(),
            "HGETALL name: the key holds another kind of value (WRONGTYPE Operation against a key holding "
            "the wrong kind of "
            "value)");
  const auto wrong = cache.run(ctx, raw<std::int64_t>({"GET", "name"}));
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error(), errc::conversion);
}

TEST_F(RedisClient, SendsManyInOneRoundTrip) {
  client cache(url());
  const auto ctx = background();
  auto [stored, name, failed] = *cache.run_all(ctx, set("name", "Ada"), get("name"), hget("name", "x"));
  EXPECT_TRUE(stored.value());
  EXPECT_EQ(name.value(), "Ada");
  EXPECT_EQ(failed.error(), errc::wrong_type);
  std::vector<command<std::int64_t>> all;
  for (int i = 0; i < 10'000; ++i) all.push_back(incr("count"));
  const auto counted = cache.run_all(ctx, all);
  ASSERT_TRUE(counted) << counted.error();
  EXPECT_EQ(counted->back().value(), 10'000);
}

TEST_F(RedisClient, RunsATransaction) {
  client cache(url());
  const auto ctx = background();
  auto got = cache.run_atomically(ctx, incr("a"), incr("b", 2), get("a"));
  ASSERT_TRUE(got) << got.error();
  EXPECT_EQ(std::get<0>(*got).value(), 1);
  EXPECT_EQ(std::get<2>(*got).value(), "1");
  auto refused = cache.run_atomically(ctx, incr("a"), raw<std::int64_t>({"NOSUCHCOMMAND"}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), errc::aborted);
  EXPECT_EQ(cache.run(ctx, get("a")).value(), "1");
}

TEST_F(RedisClient, SendsAScriptsTextWhereTheServerDoesNotKnowIt) {
  client cache(url());
  const auto ctx = background();
  const script add("return redis.call('INCRBY', KEYS[1], ARGV[1])");
  EXPECT_EQ(cache.run(ctx, add.call<std::int64_t>({"sum"}, {"5"})).value(), 5);
  EXPECT_EQ(cache.run(ctx, add.call<std::int64_t>({"sum"}, {"5"})).value(), 10);
  server().ask({"SCRIPT", "FLUSH"});
  auto got = cache.run_all(ctx, add.call<std::int64_t>({"sum"}, {"1"}), get("sum"));
  ASSERT_TRUE(got);
  EXPECT_EQ(std::get<0>(*got).value(), 11);
  server().ask({"SCRIPT", "FLUSH"});
  EXPECT_EQ(std::get<0>(*cache.run_atomically(ctx, add.call<std::int64_t>({"sum"}, {"1"}))).value(), 12);
}

TEST_F(RedisClient, ScansKeys) {
  client cache(url());
  std::vector<command<bool>> all;
  for (int i = 0; i < 500; ++i) all.push_back(set("key:" + std::to_string(i), "x"));
  all.push_back(set("other", "x"));
  ASSERT_TRUE(cache.run_all(background(), all));
  std::set<std::string> found;
  key_scan keys(cache, "key:*", 10);
  for (;;) {
    auto some = keys.next(background());
    ASSERT_TRUE(some) << some.error();
    if (some->empty()) break;
    found.insert(some->begin(), some->end());
  }
  EXPECT_EQ(found.size(), 500U);
  EXPECT_FALSE(found.contains("other"));
  EXPECT_TRUE(keys.next(background())->empty());
  key_scan none(cache, "none:*");
  EXPECT_TRUE(none.next(background())->empty());
}

asio::awaitable<void> count_up(client& cache, int times) {
  for (int i = 0; i < times; ++i) {
    auto got = co_await cache.async_run(background(), incr("count"));
    EXPECT_TRUE(got) << got.error();
  }
}

TEST_F(RedisClient, ServesCoroutines) {
  client cache(url());
  asio::io_context loop;
  for (int i = 0; i < 64; ++i) asio::co_spawn(loop, count_up(cache, 100), asio::detached);
  loop.run();  // and has no work when they are done
  EXPECT_EQ(server().ask_for({"GET", "count"}), "6400");
  // A second loop, where the first one was in memory, maybe.
  run_to_end(count_up(cache, 1));
  EXPECT_EQ(server().ask_for({"GET", "count"}), "6401");
}

TEST_F(RedisClient, ServesManyThreadsAndLoops) {
  client cache(url(), client_options().connections(2));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&cache] {
      for (int j = 0; j < 200; ++j) EXPECT_TRUE(cache.run(background(), incr("count")));
    });
    threads.emplace_back([&cache] { run_to_end(count_up(cache, 200)); });
  }
  for (auto& each : threads) each.join();
  EXPECT_EQ(server().ask_for({"GET", "count"}), "1600");
}

TEST_F(RedisClient, ReturnsAtTheEndOfItsContext) {
  client cache(url());
  ASSERT_TRUE(cache.run(background(), ping()));
  server().pause();
  const auto limit = with_timeout(background(), 200ms);
  const auto got = cache.run(limit.ctx(), get("name"));
  server().resume();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), curfew::errc::deadline_exceeded);
  EXPECT_EQ(got.error().outcome(), outcome::unknown);
  EXPECT_EQ(cache.run(background(), ping()).value(), "PONG");
}

TEST_F(RedisClient, SendsNothingForAContextThatHasEnded) {
  client cache(url());
  auto ended = with_cancel(background());
  ended.cancel(cause("nobody waits"));
  const auto got = cache.run(ended.ctx(), incr("count"));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), curfew::errc::canceled);
  EXPECT_EQ(got.error().outcome(), outcome::did_not_happen);
  EXPECT_EQ(got.error().message(), "INCRBY count: canceled (cause: nobody waits)");
  EXPECT_EQ(server().ask_for({"EXISTS", "count"}), "0");
}

TEST_F(RedisClient, ConnectsAnewAfterARestart) {
  client cache(url());
  ASSERT_TRUE(cache.run(background(), set("name", "Ada")));
  server().restart();
  EXPECT_EQ(cache.run(background(), get("name")).value(), "Ada");
}

TEST_F(RedisClient, WaitsInTheServerForAnElement) {
  client cache(url());
  auto waiting =
      std::async(std::launch::async, [&cache] { return cache.run(background(), brpop({"list"})); });
  EXPECT_TRUE(tests::detail::wait_for([&] { return server().info("blocked_clients") == "1"; }));
  EXPECT_EQ(cache.run(background(), ping()).value(), "PONG");  // it keeps no other back
  ASSERT_TRUE(cache.run(background(), lpush("list", "x")));
  EXPECT_EQ(waiting.get().value(), (std::pair<std::string, std::string>("list", "x")));
}

TEST_F(RedisClient, WakesAtTheServerWhatNobodyWaitsFor) {
  client cache(url());
  auto scope = with_cancel(background());
  auto waiting =
      std::async(std::launch::async, [&] { return cache.run(scope.ctx(), blpop({"list", "other"})); });
  EXPECT_TRUE(tests::detail::wait_for([&] { return server().info("blocked_clients") == "1"; }));
  scope.cancel();
  const auto got = waiting.get();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), curfew::errc::canceled);
  EXPECT_EQ(got.error().outcome(), outcome::did_not_happen);
  EXPECT_EQ(server().info("blocked_clients"), "0");
}

TEST_F(RedisClient, HearsMessages) {
  client cache(url());
  const auto ctx = background();
  auto news = cache.subscribe(ctx, {"orders", "users"});
  ASSERT_TRUE(news) << news.error();
  EXPECT_EQ(cache.run(ctx, publish("orders", "1")).value(), 1);
  EXPECT_EQ(cache.run(ctx, publish("users", "2")).value(), 1);
  EXPECT_EQ(cache.run(ctx, publish("none", "3")).value(), 0);
  auto first = news->next(ctx);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->channel, "orders");
  EXPECT_EQ(first->payload, "1");
  EXPECT_EQ(news->next(ctx)->payload, "2");
  ASSERT_TRUE(news->add(ctx, {"none"}));
  ASSERT_TRUE(news->remove(ctx, {"orders"}));
  EXPECT_EQ(cache.run(ctx, publish("orders", "4")).value(), 0);
  EXPECT_EQ(cache.run(ctx, publish("none", "5")).value(), 1);
  EXPECT_EQ(news->next(ctx)->payload, "5");
  const auto limit = with_timeout(ctx, 1ms);
  EXPECT_EQ(news->next(limit.ctx()).error(), curfew::errc::deadline_exceeded);
}

TEST_F(RedisClient, TellsThatASubscriptionIsLost) {
  client cache(url());
  auto news = cache.subscribe(background(), {"orders"});
  ASSERT_TRUE(news);
  server().ask({"CLIENT", "KILL", "TYPE", "pubsub"});
  EXPECT_EQ(news->next(background()).error(), errc::connection_lost);
  EXPECT_EQ(news->next(background()).error(), errc::connection_lost);
  EXPECT_EQ(news->add(background(), {"users"}).error(), errc::connection_lost);
}

TEST_F(RedisClient, EndsItsCallsWhenItGoes) {
  auto cache = std::make_unique<client>(url());
  ASSERT_TRUE(cache->run(background(), ping()));
  asio::io_context loop;
  auto work = asio::make_work_guard(loop);
  auto popped = asio::co_spawn(loop, cache->async_run(background(), brpop({"list"})), asio::use_future);
  std::thread thread([&loop] { loop.run(); });
  EXPECT_TRUE(tests::detail::wait_for([&] { return server().info("blocked_clients") == "1"; }));
  cache.reset();
  EXPECT_EQ(popped.get().error(), curfew::errc::canceled);
  work.reset();
  thread.join();
}

TEST_F(RedisClient, OutlivesALoopThatGoesWithCallsUnderWay) {
  client cache(url());
  {
    asio::io_context loop;
    for (int i = 0; i < 10; ++i) asio::co_spawn(loop, count_up(cache, 1000), asio::detached);
    for (int i = 0; i < 20; ++i) loop.run_one();
  }
  EXPECT_EQ(cache.run(background(), ping()).value(), "PONG");
}

TEST(RedisUrl, TellsWhatIsWrong) {
  for (const char* url :
       {"", "127.0.0.1", "http://host", "redis://host:70000", "redis://host/x", "redis:///0", "redis://a,b/0",
        "redis+sentinel://a,b", "rediss://a,b/0", "redisss://host", "redis://host?x=1"}) {
    try {
      client made(url);
      ADD_FAILURE() << url;
    } catch (const std::system_error& e) {
      EXPECT_EQ(e.code(), errc::bad_url) << url << ": " << e.what();
    }
  }
}

TEST(RedisUrl, OfNoServerFailsWithItsAddress) {
  client cache("redis://127.0.0.1:1/0");
  const auto got = cache.run(background(), get("x"));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::connection_failed);
  EXPECT_TRUE(got.error().transient());
  EXPECT_EQ(got.error().outcome(), outcome::did_not_happen);
  EXPECT_NE(got.error().message().find("GET x"), std::string::npos) << got.error();
}

TEST(RedisUrl, NamesUserPasswordAndDatabase) {
  CURFEW_NEEDS_PROGRAMS("redis-server");
  redis_server server(redis_options().password("se:cret"));
  server.ask({"ACL", "SETUSER", "app", "on", ">p@ss", "~*", "&*", "+@all"});
  client with_password("redis://:se%3Acret@127.0.0.1:" + std::to_string(server.port()) + "/3");
  ASSERT_TRUE(with_password.run(background(), set("x", "1")));
  EXPECT_EQ(server.info("db3").substr(0, 6), "keys=1");
  client with_user("redis://app:p%40ss@127.0.0.1:" + std::to_string(server.port()) + "/3");
  EXPECT_EQ(with_user.run(background(), get("x")).value(), "1");
  client with_none("redis://127.0.0.1:" + std::to_string(server.port()));
  EXPECT_EQ(with_none.run(background(), get("x")).error(), errc::not_allowed);
  client with_wrong("redis://:no@127.0.0.1:" + std::to_string(server.port()));
  EXPECT_EQ(with_wrong.run(background(), get("x")).error(), errc::not_allowed);
  client by_path(server.unix_url(3));
  EXPECT_EQ(by_path.run(background(), get("x")).value(), "1");
}

}  // namespace
}  // namespace curfew::redis
