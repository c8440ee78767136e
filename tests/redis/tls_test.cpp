// Redis over TLS: rediss://.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/redis.hpp>
#include <curfew/testing/fault_proxy.hpp>
#include <curfew/tls/certificate_authority.hpp>
#include <exception>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "program.hpp"
#include "race.hpp"
#include "redis.hpp"
#include "run_coroutine.hpp"

namespace curfew::redis {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::testing::certificate_authority;
using curfew::testing::certificate_options;
using curfew::testing::test_certificate;
using ::testing::HasSubstr;
using tests::redis_options;
using tests::redis_server;

class RedisTls : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    ca_ = new certificate_authority;
    if (!tests::find_program("redis-server").empty())
      server_ = new redis_server(of(ca_->issue({"127.0.0.1"})));
  }
  static void TearDownTestSuite() {
    delete std::exchange(server_, nullptr);
    delete std::exchange(ca_, nullptr);
  }
  void SetUp() override {
    CURFEW_NEEDS_PROGRAMS("redis-server");
    server_->ask({"FLUSHALL"});
  }

  static redis_options of(const test_certificate& who) {
    return redis_options().tls(who.chain_pem(), who.key_pem());
  }
  static redis_server& server() { return *server_; }
  static const certificate_authority& ca() { return *ca_; }
  static client_options trusting() { return client_options().ca_file(ca_->root_file()); }
  static error error_of(const std::string& url, const client_options& options) {
    client cache(url, options);
    const auto patience = with_timeout(background(), tests::program_patience);
    const auto got = cache.run(patience, get("name"));
    EXPECT_FALSE(got);
    return got ? error(errc::protocol, {}, "it was answered") : got.error();
  }

  const cancel_scope patience = with_timeout(background(), tests::program_patience);

 private:
  inline static certificate_authority* ca_ = nullptr;
  inline static redis_server* server_ = nullptr;
};

TEST_F(RedisTls, GivesBackWhatWasSet) {
  client cache(server().url(), trusting());
  EXPECT_TRUE(cache.run(patience, set("name", "Ada")).value());
  EXPECT_EQ(cache.run(patience, get("name")).value(), "Ada");
  EXPECT_EQ(server().ask_for({"GET", "name"}), "Ada");
  const auto in_loop = [&]() -> asio::awaitable<void> {
    auto got = co_await cache.async_run(patience.ctx(), get("name"));
    EXPECT_TRUE(got && *got == "Ada");
  };
  asio::io_context loop;
  asio::co_spawn(loop, in_loop(), [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
  loop.run();
}

TEST_F(RedisTls, CarriesWhatIsLargerThanRecordsAndBuffers) {
  client cache(server().url(), trusting().connections(1));
  const std::string large(20'000'000, 'L');
  ASSERT_TRUE(cache.run(patience, set("large", large)).value());
  const auto got = cache.run(patience, get("large"));
  ASSERT_TRUE(got) << got.error();
  EXPECT_TRUE(**got == large);
  const auto in_loop = [&]() -> asio::awaitable<void> {
    auto again = co_await cache.async_run(patience.ctx(), get("large"));
    EXPECT_TRUE(again && **again == large);
    auto stored = co_await cache.async_run(patience.ctx(), set("other", large));
    EXPECT_TRUE(stored);
  };
  asio::io_context loop;
  asio::co_spawn(loop, in_loop(), [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
  loop.run();
  EXPECT_EQ(server().ask_for({"STRLEN", "other"}), std::to_string(large.size()));
}

TEST_F(RedisTls, ReadsRecordsThatComeInPieces) {
  namespace faults = curfew::testing;
  faults::fault_proxy proxy(server().port(), faults::fault_options().to_client(faults::faults().split(7)));
  client cache(server().url_at(proxy.port()), trusting());
  const std::string value(5'000, 'v');
  ASSERT_TRUE(cache.run(patience, set("name", value)).value());
  for (int i = 0; i != 3; ++i) EXPECT_EQ(cache.run(patience, get("name")).value(), value);
}

TEST_F(RedisTls, AnAnswerThatNobodyWaitsForReachesNoOther) {
  namespace faults = curfew::testing;
  const auto seed = faults::announce_seed("an answer over TLS of a call that has ended");
  faults::fault_proxy proxy(server().port(),
                            faults::fault_options().to_client(faults::faults().delay(300us)));
  client cache(server().url_at(proxy.port()), trusting());
  for (int i = 0; i != 4; ++i) server().ask({"SET", std::to_string(i), "value " + std::to_string(i)});
  std::atomic<int> cut = 0;
  std::vector<std::jthread> threads;
  for (int number = 0; number != 4; ++number) {
    threads.emplace_back([&, number] {
      std::mt19937_64 random(seed + static_cast<unsigned>(number));
      for (int i = 0; i != 200; ++i) {
        const auto other = std::to_string(random() % 4);
        const auto scope = with_timeout(patience, std::chrono::microseconds(random() % 1'200));
        const auto foo = cache.run(scope, get(other));
        if (foo) {
          EXPECT_EQ(*foo, "value " + other);
        } else {
          ++cut;
        }
        const auto bar = cache.run(patience, get(std::to_string(number)));
        EXPECT_TRUE(bar && *bar == "value " + std::to_string(number));
      }
    });
  }
  threads.clear();
  EXPECT_GT(cut, 0);
  EXPECT_EQ(proxy.accepted(), 1U);
}

TEST_F(RedisTls, AReplyThatWaitsInTheServerEndsWithItsContext) {
  client cache(server().url(), trusting());
  const auto soon = with_timeout(patience, 30ms);
  const auto none = cache.run(soon, brpop({"queue"}));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error(), curfew::errc::deadline_exceeded);
  EXPECT_EQ(none.error().outcome(), outcome::did_not_happen);
}

TEST_F(RedisTls, MessagesArrive) {
  client cache(server().url(), trusting());
  auto heard = cache.subscribe(patience, {"news"});
  ASSERT_TRUE(heard) << heard.error();
  ASSERT_TRUE(cache.run(patience, publish("news", "hello")));
  const auto first = heard->next(patience);
  ASSERT_TRUE(first) << first.error();
  EXPECT_EQ(first->payload, "hello");
}

TEST_F(RedisTls, TheServersCertificateHasToBeTrustedAndForItsHost) {
  const certificate_authority other;
  const error unknown = error_of(server().url(), client_options().ca_file(other.root_file()));
  EXPECT_EQ(unknown, errc::connection_failed);
  EXPECT_THAT(unknown.message(), HasSubstr("TLS: the certificate"));

  const redis_server elsewhere(of(ca().issue({"redis.test"})));
  const error wrong = error_of(elsewhere.url(), trusting());
  EXPECT_EQ(wrong, errc::connection_failed);
  EXPECT_THAT(wrong.message(), HasSubstr("redis.test"));

  const redis_server old(
      of(ca().issue({"127.0.0.1"}, certificate_options().valid(testing::validity::expired))));
  const error expired = error_of(old.url(), trusting());
  EXPECT_THAT(expired.message(), HasSubstr("expired"));
}

TEST_F(RedisTls, AServerMayAskForACertificate) {
  const auto me = ca().issue({"127.0.0.1"});
  const redis_server strict(redis_options().tls(me.chain_pem(), me.key_pem(), ca().root_pem()));
  const auto client_of = ca().issue({"worker@example.test"}, certificate_options().for_client());
  client welcome(strict.url(), trusting().client_certificate(client_of.chain_file(), client_of.key_file()));
  EXPECT_TRUE(welcome.run(patience, set("name", "Ada")));
  const error refused = error_of(strict.url(), trusting());
  EXPECT_EQ(refused, errc::connection_failed);
  EXPECT_THAT(refused.message(), HasSubstr("TLS: the other end refuses: certificate required"));
}

TEST_F(RedisTls, AFileOfNoUseIsNamed) {
  const error none = error_of(server().url(), client_options().ca_file("/nowhere/ca.pem"));
  EXPECT_EQ(none, errc::connection_failed);
  EXPECT_THAT(none.message(), HasSubstr("/nowhere/ca.pem"));
}

TEST_F(RedisTls, AServerInPlainIsNoTlsServer) {
  const redis_server plain;
  const error why = error_of("rediss://" + plain.address(), trusting().connect_timeout(300ms));
  EXPECT_EQ(why, errc::connection_failed);
  EXPECT_THAT(why.message(), HasSubstr("TLS: no answer within the time for connecting"));
  const error other_way = error_of("redis://" + server().address(), trusting());
  EXPECT_TRUE(other_way == errc::connection_failed || other_way == errc::connection_lost ||
              other_way == errc::protocol)
      << other_way;
}

TEST_F(RedisTls, AnIdleConnectionThatIsClosedCostsNoCall) {
  client cache(server().url(), trusting());
  ASSERT_TRUE(cache.run(patience, set("name", "Ada")));
  for (int i = 0; i != 3; ++i) {
    server().ask({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    EXPECT_EQ(cache.run(patience, get("name")).value(), "Ada");
  }
}

TEST_F(RedisTls, ARestartedServerIsFoundAgain) {
  redis_server own(of(ca().issue({"127.0.0.1"})));
  client cache(own.url(), trusting());
  ASSERT_TRUE(cache.run(patience, set("name", "Ada")));
  own.restart();
  EXPECT_EQ(cache.run(patience, get("name")).value(), "Ada");
}

}  // namespace
}  // namespace curfew::redis
