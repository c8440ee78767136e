// A server that is killed, restarted, frozen, full, protected or busy.

#include <curfew/redis.hpp>

#include <gtest/gtest.h>

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
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "redis/redis_fixture.hpp"

namespace curfew::redis {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using tests::redis_options;
using tests::redis_server;

/// Each test's server is its own.
class RedisFaults : public ::testing::Test {
 protected:
  void SetUp() override { CURFEW_NEEDS_PROGRAMS("redis-server"); }

  static client_options quick() { return client_options().back_off(1ms, 20ms); }
  /// Asks until it works.
  template <class T>
  T come_through(client& to, const command<T>& what) {
    for (;;) {
      auto got = to.run(patience, what);
      if (got) return *std::move(got);
      if (patience.ctx().err()) throw std::runtime_error(got.error().message());
      std::this_thread::sleep_for(1ms);
    }
  }

  const cancel_scope patience = with_timeout(background(), tests::program_patience);
};

TEST_F(RedisFaults, OneThatIsRestartedIsFoundAgain) {
  redis_server server;
  client cache(server.url(), quick());
  EXPECT_EQ(cache.run(patience, incr("n")), 1);
  for (int i = 2; i != 5; ++i) {
    server.restart();
    EXPECT_EQ(come_through(cache, incr("n")), i);  // one that was not sent is not sent twice either
  }
}

TEST_F(RedisFaults, OneThatIsKilledLosesWhatIsUnderWay) {
  redis_server server;
  client cache(server.url(), quick());
  EXPECT_EQ(cache.run(patience, incr("n")), 1);
  server.pause();
  result<std::int64_t> got;
  std::jthread asks([&] { got = cache.run(patience, incr("n")); });
  std::this_thread::sleep_for(20ms);  // mostly it is sent then; else it fails with connection_failed
  server.kill9();
  asks.join();
  ASSERT_FALSE(got);
  EXPECT_TRUE(got.error() == errc::connection_lost || got.error() == errc::connection_failed) << got.error();
  EXPECT_TRUE(got.error().transient());
  EXPECT_EQ(got.error() == errc::connection_lost, got.error().outcome() == outcome::unknown) << got.error();
  const auto refused = cache.run(patience, incr("n"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), errc::connection_failed) << refused.error();
  EXPECT_EQ(refused.error().outcome(), outcome::did_not_happen);
  server.start();
  EXPECT_EQ(come_through(cache, incr("n")), 2);
}

TEST_F(RedisFaults, OneThatIsFrozenIsGivenUpByEachCallAndGoesOn) {
  redis_server server;
  client cache(server.url(), quick());
  EXPECT_EQ(cache.run(patience, set("foo", "1")), true);
  server.pause();
  asio::io_context loop(1);
  int ended = 0;
  const auto ask = [&]() -> asio::awaitable<void> {
    const auto scope = with_timeout(patience, 20ms);
    auto got = co_await cache.async_run(scope.ctx(), get("foo"));
    if (!got && got.error() == curfew::errc::deadline_exceeded) ++ended;
  };
  for (int i = 0; i != 10; ++i)
    asio::co_spawn(loop, ask(), [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
  loop.run();
  EXPECT_EQ(ended, 10);
  server.resume();
  EXPECT_EQ(cache.run(patience, get("foo")), "1");
}

TEST_F(RedisFaults, AConnectionThatIsResetIsMadeAgain) {
  redis_server server;
  testing::fault_proxy proxy(server.port());
  client cache(server.url_at(proxy.port()), quick());
  EXPECT_EQ(cache.run(patience, set("foo", "bar")), true);
  for (std::size_t bytes = 1; bytes != 9; ++bytes) {  // "$3\r\nbar\r\n"
    proxy.set(testing::fault_options().to_client(testing::faults().reset_after(0)));
    ASSERT_TRUE(proxy.wait_ended());
    proxy.set(testing::fault_options().to_client(testing::faults().close_after(bytes)));
    const auto got = cache.run(patience, get("foo"));
    ASSERT_FALSE(got);
    EXPECT_TRUE(got.error() == errc::connection_lost || got.error() == errc::connection_failed)
        << got.error();
    proxy.set(testing::fault_options());
    EXPECT_EQ(come_through(cache, get("foo")), "bar");
  }
}

TEST_F(RedisFaults, AConnectionThatTheServerHasClosedWhileItWasIdleCostsNoCall) {
  redis_server server;
  client cache(server.url(), quick());
  for (int i = 1; i != 20; ++i) {
    EXPECT_EQ(come_through(cache, incr("n")), i);
    server.ask({"CLIENT", "KILL", "TYPE", "normal"});
    EXPECT_TRUE(tests::eventually([&] { return server.info("connected_clients") == "1"; }));
  }
}

TEST_F(RedisFaults, OneWithoutMemorySaysSo) {
  const redis_server server(redis_options().set("maxmemory 3mb").set("maxmemory-policy noeviction"));
  client cache(server.url());
  const std::string large(100'000, 'x');
  int i = 0;
  for (;; ++i) {
    ASSERT_LT(i, 1000);
    const auto got = cache.run(patience, set("key" + std::to_string(i), large));
    if (got) continue;
    EXPECT_EQ(got.error(), errc::out_of_memory) << got.error();
    EXPECT_EQ(got.error().outcome(), outcome::did_not_happen);
    EXPECT_TRUE(got.error().text().starts_with("OOM ")) << got.error().text();
    break;
  }
  EXPECT_EQ(cache.run(patience, exists("key" + std::to_string(i))), 0);
  EXPECT_EQ(cache.run(patience, get("key0")), large);
  const auto refused = cache.run_atomically(patience, set("a", large), set("b", "1"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), errc::aborted) << refused.error();
  EXPECT_EQ(refused.error().outcome(), outcome::did_not_happen);
  const auto each = cache.run_all(patience, set("a", large), get("key0"), del("key0"), set("b", "1"));
  ASSERT_TRUE(each) << each.error();
  EXPECT_EQ(std::get<0>(*each).error(), errc::out_of_memory);
  EXPECT_EQ(std::get<1>(*each), large);
  EXPECT_EQ(std::get<2>(*each), 1);
  EXPECT_EQ(cache.run(patience, exists("a")), 0);
}

TEST_F(RedisFaults, OneWithAPasswordWantsIt) {
  const redis_server server(redis_options().password("sec:ret@/?#"));
  const auto with = [&](const std::string& user) {
    client cache("redis://" + user + server.address(), quick());
    return cache.run(patience, set("foo", "bar"));
  };
  for (const char* const wrong : {"", ":wrong@", "default:wrong@", "nobody:sec%3Aret%40%2F%3F%23@"}) {
    const auto got = with(wrong);
    ASSERT_FALSE(got) << wrong;
    EXPECT_EQ(got.error(), errc::not_allowed) << wrong << ": " << got.error();
    EXPECT_EQ(got.error().outcome(), outcome::did_not_happen);
    EXPECT_EQ(got.error().message().find("wrong"), std::string::npos)
        << "a password is shown: " << got.error();
  }
  for (const char* const right : {":sec%3Aret%40%2F%3F%23@", "default:sec%3Aret%40%2F%3F%23@"}) {
    const auto got = with(right);
    EXPECT_TRUE(got && *got) << got.error();
  }
}

TEST_F(RedisFaults, OneWhoseUsersMayDoLittleSaysSo) {
  const redis_server server;
  server.ask({"ACL", "SETUSER", "reader", "on", ">pass", "~r:*", "+get"});
  server.ask({"SET", "r:1", "one"});
  client cache("redis://reader:pass@" + server.address());
  EXPECT_EQ(cache.run(patience, get("r:1")), "one");
  for (const auto& what : {raw({"GET", "w:1"}), raw({"SET", "r:1", "two"}), raw({"FLUSHALL"})}) {
    const auto got = cache.run(patience, what);
    ASSERT_TRUE(got) << got.error();  // a reply
    EXPECT_TRUE(got->is_error() && got->text().starts_with("NOPERM ")) << got->text();
  }
  const auto refused = cache.run(patience, set("r:1", "two"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), errc::not_allowed) << refused.error();
  EXPECT_EQ(cache.run(patience, get("r:1")), "one");
}

TEST_F(RedisFaults, OneThatLoadsItsDataSaysSo) {
  redis_server server(redis_options().set("key-load-delay 50"));
  // While it loads it looks at its clients at each 1,024th command.
  server.ask(
      {"EVAL", "for i = 1, 6000 do redis.call('SET', 'key' .. i, ARGV[1]) end", "0", std::string(200, 'x')});
  client cache(server.url(), quick());
  EXPECT_TRUE(cache.run(patience, get("key1")));
  server.stop();
  server.launch_only();
  bool has_loaded = false;
  for (;;) {
    const auto got = cache.run(patience, get("key1"));
    if (got) {
      EXPECT_EQ(*got, std::string(200, 'x'));
      break;
    }
    EXPECT_TRUE(got.error().transient()) << got.error();
    EXPECT_EQ(got.error().outcome(), outcome::did_not_happen) << got.error();
    EXPECT_TRUE(got.error() == errc::loading || got.error() == errc::connection_failed) << got.error();
    if (got.error() == errc::loading) has_loaded = true;
    ASSERT_FALSE(patience.ctx().err());
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_TRUE(has_loaded);
}

TEST_F(RedisFaults, OneThatRunsAScriptForTooLongIsBusy) {
  const redis_server server(redis_options().set("busy-reply-threshold 10"));
  client cache(server.url());
  result<> spun;
  std::jthread runs([&] { spun = cache.run(patience, raw<void>({"EVAL", "while true do end", "0"})); });
  client other(server.url());
  for (;;) {
    const auto got = other.run(patience, get("foo"));
    if (got) continue;
    EXPECT_EQ(got.error(), errc::busy) << got.error();
    EXPECT_EQ(got.error().outcome(), outcome::did_not_happen);
    break;
  }
  EXPECT_TRUE(other.run(patience, raw<void>({"SCRIPT", "KILL"})));
  runs.join();
  EXPECT_FALSE(spun);
  EXPECT_EQ(cache.run(patience, get("foo")), std::nullopt);
}

TEST_F(RedisFaults, OneThatHasForgottenItsScriptsGetsThemAgain) {
  redis_server server;
  client cache(server.url(), quick());
  const script add("return redis.call('INCRBY', KEYS[1], ARGV[1])");
  const std::string_view key = "n";
  EXPECT_EQ(cache.run(patience, add.call<std::int64_t>({key}, {"2"})), 2);
  server.ask({"SCRIPT", "FLUSH"});
  EXPECT_EQ(cache.run(patience, add.call<std::int64_t>({key}, {"3"})), 5);
  server.ask({"SCRIPT", "FLUSH"});
  const auto both =
      cache.run_all(patience, add.call<std::int64_t>({key}, {"1"}), add.call<std::int64_t>({key}, {"1"}));
  ASSERT_TRUE(both) << both.error();
  EXPECT_EQ(std::get<0>(*both), 6);
  EXPECT_EQ(std::get<1>(*both), 7);
  server.ask({"SCRIPT", "FLUSH"});
  const auto together = cache.run_atomically(patience, add.call<std::int64_t>({key}, {"1"}),
                                             add.call<std::int64_t>({key}, {"1"}));
  ASSERT_TRUE(together) << together.error();
  EXPECT_EQ(std::get<0>(*together), 8);
  EXPECT_EQ(std::get<1>(*together), 9);
  server.restart();
  EXPECT_EQ(come_through(cache, add.call<std::int64_t>({key}, {"1"})), 10);
}

TEST_F(RedisFaults, AScriptThatFailsMayHaveDoneAPart) {
  const redis_server server;
  client cache(server.url());
  const script half("redis.call('SET', KEYS[1], 'half'); return redis.call('INCR', KEYS[1])");
  for (const auto& what : {half.call<std::int64_t>("key", {}),
                           raw<std::int64_t>({"EVAL", "redis.call('SET', 'key', 1); error('no')", "0"})}) {
    const auto got = cache.run(patience, what);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().outcome(), outcome::unknown) << got.error();
    EXPECT_EQ(server.ask_for({"DEL", "key"}), "1");
  }
  const auto unknown = cache.run(patience, raw<std::int64_t>({"EVALSHA", half.sha() + 'x', "0"}));
  EXPECT_EQ(unknown.error(), errc::no_script);
  EXPECT_EQ(unknown.error().outcome(), outcome::did_not_happen);
}

TEST_F(RedisFaults, ATransactionThatMayNotBeginIsCarriedOutInPieces) {
  const redis_server server;
  server.ask({"ACL", "SETUSER", "worker", "on", ">pass", "~*", "+@all", "-multi"});
  client cache("redis://worker:pass@" + server.address());
  const auto got = cache.run_atomically(patience, set("a", "1"), set("b", "1"));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::not_allowed) << got.error();
  EXPECT_EQ(got.error().outcome(), outcome::unknown);
  server.ask({"ACL", "SETUSER", "worker", "-set"});
  const auto none = cache.run_atomically(patience, set("a", "2"), set("b", "2"));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error(), errc::not_allowed) << none.error();
  EXPECT_EQ(none.error().outcome(), outcome::did_not_happen);
  server.ask({"ACL", "SETUSER", "worker", "+@all", "-exec"});
  const auto discarded = cache.run_atomically(patience, set("a", "3"), set("b", "3"));
  ASSERT_FALSE(discarded);
  EXPECT_EQ(discarded.error().outcome(), outcome::did_not_happen) << discarded.error();
  EXPECT_EQ(cache.run(patience, get("a")), "1");  // no transaction is left open
}

TEST_F(RedisFaults, AReplicaRefusesWrites) {
  const redis_server primary;
  const redis_server replica(redis_options().set("replicaof 127.0.0.1 " + std::to_string(primary.port())));
  client cache(replica.url());
  const auto got = cache.run(patience, set("foo", "bar"));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::read_only) << got.error();
}

TEST_F(RedisFaults, ManyClientsAreRefusedBeyondItsLimit) {
  const redis_server server(redis_options().set("maxclients 4"));
  std::vector<std::unique_ptr<client>> all;
  std::optional<error> refused;
  for (int i = 0; i != 8 && !refused; ++i) {
    all.push_back(std::make_unique<client>(server.url(), quick()));
    if (auto got = all.back()->run(patience, ping()); !got) refused = got.error();
  }
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->outcome(), outcome::did_not_happen) << *refused;
  EXPECT_NE(refused->message().find("max number of clients"), std::string::npos) << *refused;
  all.erase(all.begin());
  EXPECT_EQ(come_through(*all.back(), ping()), "PONG");
}

TEST_F(RedisFaults, ManyClientsOfManyThreadsAndLoopsShareOneServer) {
  const redis_server server;
  std::vector<std::jthread> threads;
  for (int t = 0; t != 8; ++t) {
    threads.emplace_back([&, t] {
      client own(server.url());
      asio::io_context loop(1);
      const auto work = [&]() -> asio::awaitable<void> {
        for (int i = 0; i != 50; ++i) {
          auto got = co_await own.async_run(patience.ctx(), incr("n"));
          EXPECT_TRUE(got) << got.error();
        }
      };
      for (int i = 0; i != 4; ++i)
        asio::co_spawn(loop, work(), [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
      loop.run();
      for (int i = 0; i != 50; ++i) EXPECT_TRUE(own.run(patience, incr("n" + std::to_string(t))));
    });
  }
  threads.clear();
  EXPECT_EQ(server.ask_for({"GET", "n"}), "1600");
  EXPECT_TRUE(tests::eventually([&] { return server.info("connected_clients") == "1"; }));
}

TEST_F(RedisFaults, AUnixSocketAndADatabaseAreReached) {
  const redis_server server(redis_options().password("secret"));
  client cache(server.unix_url(3));
  EXPECT_EQ(cache.run(patience, set("foo", "bar")), true);
  client other(server.url(3));
  EXPECT_EQ(other.run(patience, get("foo")), "bar");
  client none(server.url());
  EXPECT_EQ(none.run(patience, get("foo")), std::nullopt);
  client wrong(server.url(99), quick());
  EXPECT_FALSE(wrong.run(patience, get("foo")));
}

TEST_F(RedisFaults, ASentinelLeadsToTheNewPrimary) {
  redis_server primary;
  const redis_server replica(redis_options().set("replicaof 127.0.0.1 " + std::to_string(primary.port())));
  const tests::redis_sentinel sentinel(primary);
  ASSERT_TRUE(sentinel.wait_for_replicas(1)) << sentinel.log();
  client cache("redis+sentinel://" + sentinel.address() + '/' + sentinel.name(), quick());
  EXPECT_EQ(cache.run(patience, set("foo", "bar")), true);
  EXPECT_EQ(primary.ask_for({"GET", "foo"}), "bar");
  ASSERT_TRUE(tests::eventually([&] { return replica.ask_for({"GET", "foo"}) == "bar"; }));
  primary.kill9();
  EXPECT_EQ(come_through(cache, set("foo", "again")), true);
  EXPECT_EQ(replica.ask_for({"GET", "foo"}), "again");
}

}  // namespace
}  // namespace curfew::redis
