#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/redis.hpp>
#include <curfew/remote/hub.hpp>
#include <curfew/remote/ticket.hpp>
#include <curfew/testing.hpp>
#include <string>

#include "remote/hub_fixture.hpp"

// Each line of the table in docs/guide/remote.md that needs no other process.

namespace curfew::remote {
namespace {

using namespace std::chrono_literals;

class RemoteFaults : public hub_test {
 protected:
  static hub_options slow() { return hub_options().lease(long_lease); }
  static hub_options quick() { return hub_options().lease(short_lease); }
  static testing::fault_options silence() {
    const auto hole = testing::faults().stop_after(0);
    return testing::fault_options().to_server(hole).to_client(hole);
  }
};

TEST_F(RemoteFaults, ALostMessageIsFoundByTheNextOne) {
  tests::redis_server server;
  side here(server.url(), quick());
  side there(server.url(), slow());
  auto mine = here.hub.share(background());
  ASSERT_TRUE(mine) << mine.error();
  auto theirs = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs) << theirs.error();
  // What the script of an end does, but for its PUBLISH.
  const auto ticket = ticket::parse(mine->ticket(), "").value();
  server.ask({"HSET", ticket.live_key(), ticket.live_field(), "!c - 0 nobody was told"});
  server.ask({"HINCRBY", ticket.live_key(), "n", "1"});
  ASSERT_TRUE(ends(*theirs));
  EXPECT_EQ(theirs->cause(), cause("nobody was told"));
}

// What another context learns while it joins does not hide that a message was lost.
TEST_F(RemoteFaults, ALostMessageIsFoundThoughAnotherContextJoins) {
  tests::redis_server server;
  side here(server.url(), quick());
  side there(server.url(), slow());
  auto mine = here.hub.share(background());
  auto other = here.hub.share(background());
  ASSERT_TRUE(mine && other);
  auto theirs = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs) << theirs.error();
  const auto ticket = ticket::parse(mine->ticket(), "").value();
  server.ask({"EVAL",
              "redis.call('HSET', KEYS[1], ARGV[1], '!c - 0 nobody was told'); "
              "redis.call('HINCRBY', KEYS[1], 'n', 1)",
              "1", ticket.live_key(), ticket.live_field()});
  auto others = there.hub.join(background(), other->ticket());
  ASSERT_TRUE(others) << others.error();
  ASSERT_TRUE(ends(*theirs));
  EXPECT_EQ(theirs->cause(), cause("nobody was told"));
  EXPECT_FALSE(others->err());
}

TEST_F(RemoteFaults, ALostSubscriptionIsMadeAnewAndNothingIsMissed) {
  tests::redis_server server;
  side here(server.url(), slow());
  side there(server.url(), slow());
  for (int i = 0; i != 10; ++i) {
    auto mine = here.hub.share(background());
    ASSERT_TRUE(mine) << mine.error();
    auto theirs = there.hub.join(background(), mine->ticket());
    ASSERT_TRUE(theirs) << theirs.error();
    server.ask({"CLIENT", "KILL", "TYPE", "pubsub"});
    mine->scope().cancel("meanwhile");
    const auto begin = clock::now();
    ASSERT_TRUE(ends(*theirs));
    EXPECT_EQ(theirs->cause(), cause("meanwhile"));
    EXPECT_LT(clock::now() - begin, long_lease);
  }
}

TEST_F(RemoteFaults, ALeaseThatIsGoneEndsBothSides) {
  tests::redis_server server;
  side here(server.url(), quick());
  side there(server.url(), quick());
  auto mine = here.hub.share(background());
  ASSERT_TRUE(mine) << mine.error();
  auto theirs = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs) << theirs.error();
  server.ask({"DEL", ticket::parse(mine->ticket(), "").value().live_key()});
  ASSERT_TRUE(ends(mine->ctx()));
  EXPECT_EQ(mine->ctx().err(), curfew::errc::canceled);
  EXPECT_EQ(mine->ctx().cause(), errc::lease_lost);
  ASSERT_TRUE(ends(*theirs));
  EXPECT_EQ(theirs->cause(), errc::origin_lost);
  // And with a new lease all is well.
  auto again = here.hub.share(background());
  ASSERT_TRUE(again) << again.error();
  auto joined = there.hub.join(background(), again->ticket());
  ASSERT_TRUE(joined) << joined.error();
  EXPECT_FALSE(joined->err());
}

TEST_F(RemoteFaults, AShareThatFindsItsLeaseGoneTakesANewOne) {
  tests::redis_server server;
  side here(server.url(), slow());
  side there(server.url(), slow());
  auto mine = here.hub.share(background());
  ASSERT_TRUE(mine) << mine.error();
  server.ask({"DEL", ticket::parse(mine->ticket(), "").value().live_key()});
  auto again = here.hub.share(background());
  ASSERT_TRUE(again) << again.error();
  EXPECT_EQ(mine->ctx().cause(), errc::lease_lost);
  auto joined = there.hub.join(background(), again->ticket());
  ASSERT_TRUE(joined) << joined.error();
  EXPECT_FALSE(joined->err());
}

TEST_F(RemoteFaults, ARedisThatComesBackWithoutItsDataIsToldAgain) {
  auto forgetful = tests::redis_options().set("appendonly no");
  tests::redis_server server(forgetful);
  side here(server.url(), slow());
  side there(server.url(), slow());
  auto request = with_timeout(background(), 1h);
  auto mine = here.hub.share(request);
  auto other = here.hub.share(background());
  ASSERT_TRUE(mine && other);
  auto theirs = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs) << theirs.error();
  server.kill9();
  other->scope().cancel("while it was away");
  server.start();
  const auto ticket = ticket::parse(mine->ticket(), "").value();
  EXPECT_TRUE(eventually(
      [&] { return server.ask_for({"HGET", ticket.live_key(), ticket.live_field()}) != "(nil)"; }));
  auto late = there.hub.join(background(), other->ticket());
  ASSERT_TRUE(late) << late.error();
  EXPECT_TRUE(late->err());
  EXPECT_FALSE(mine->ctx().err());
  EXPECT_FALSE(theirs->err());
  request.cancel("as ever");
  ASSERT_TRUE(ends(*theirs));
  EXPECT_EQ(theirs->cause(), cause("as ever"));
}

TEST_F(RemoteFaults, ARedisThatIsRestartedWithItsDataLosesNothing) {
  tests::redis_server server;
  side here(server.url(), slow());
  side there(server.url(), slow());
  auto mine = here.hub.share(background());
  ASSERT_TRUE(mine) << mine.error();
  auto theirs = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs) << theirs.error();
  server.kill9();
  server.start();
  mine->scope().cancel("as ever");
  ASSERT_TRUE(ends(*theirs));
  EXPECT_EQ(theirs->cause(), cause("as ever"));
}

TEST_F(RemoteFaults, ARedisThatStaysAwayEndsWhatHasJoined) {
  tests::redis_server server;
  side here(server.url(), quick());
  side there(server.url(), quick());
  auto mine = here.hub.share(background());
  ASSERT_TRUE(mine) << mine.error();
  auto theirs = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs) << theirs.error();
  const auto begin = clock::now();
  server.kill9();
  ASSERT_TRUE(ends(*theirs));
  EXPECT_EQ(theirs->cause(), errc::hub_lost);
  EXPECT_GE(clock::now() - begin, short_lease / 2);
  EXPECT_FALSE(mine->ctx().err()) << "the origin is what others depend on, and lives";
}

TEST_F(RemoteFaults, ARedisThatIsFrozenEndsWhatHasJoined) {
  tests::redis_server server;
  side here(server.url(), quick());
  side there(server.url(), quick());
  auto mine = here.hub.share(background());
  ASSERT_TRUE(mine) << mine.error();
  auto theirs = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs) << theirs.error();
  server.pause();
  ASSERT_TRUE(ends(*theirs));
  EXPECT_EQ(theirs->cause(), errc::hub_lost);
  EXPECT_FALSE(mine->ctx().err());
  server.resume();
  // Its clock went on: the lease has run out there.
  ASSERT_TRUE(ends(mine->ctx()));
  EXPECT_EQ(mine->ctx().cause(), errc::lease_lost);
}

TEST_F(RemoteFaults, WhatMayGoOnWithoutRedisLearnsTheRestLater) {
  tests::redis_server server;
  side here(server.url(), quick());
  auto patient = quick().redis_away(when_away::go_on);
  side there(server.url(), patient);
  side impatient(server.url(), quick());
  auto mine = here.hub.share(background());
  ASSERT_TRUE(mine) << mine.error();
  auto theirs = there.hub.join(background(), mine->ticket());
  auto others = impatient.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs && others);
  server.pause();
  ASSERT_TRUE(ends(*others));
  EXPECT_FALSE(theirs->err());
  server.resume();
  ASSERT_TRUE(ends(*theirs));
  EXPECT_EQ(theirs->cause(), errc::origin_lost);
}

TEST_F(RemoteFaults, ANetworkThatIsCutOnTheJoinedSideEndsWhatIsThere) {
  tests::redis_server server;
  testing::fault_proxy proxy(server.port());
  side here(server.url(), quick());
  side there(server.url_at(proxy.port()), quick());
  side healthy(server.url(), quick());
  auto mine = here.hub.share(background());
  ASSERT_TRUE(mine) << mine.error();
  auto theirs = there.hub.join(background(), mine->ticket());
  auto others = healthy.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs && others);
  proxy.set(silence());
  ASSERT_TRUE(ends(*theirs));
  EXPECT_EQ(theirs->cause(), errc::hub_lost);
  EXPECT_FALSE(others->err());
  EXPECT_FALSE(mine->ctx().err());
}

TEST_F(RemoteFaults, ANetworkThatIsCutOnTheOriginsSideEndsBothInTheirWay) {
  tests::redis_server server;
  testing::fault_proxy proxy(server.port());
  side here(server.url_at(proxy.port()), quick());
  side there(server.url(), quick());
  auto mine = here.hub.share(background());
  ASSERT_TRUE(mine) << mine.error();
  auto theirs = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs) << theirs.error();
  proxy.set(silence());
  ASSERT_TRUE(ends(*theirs));
  EXPECT_EQ(theirs->cause(), errc::origin_lost);
  proxy.set(testing::fault_options());
  ASSERT_TRUE(ends(mine->ctx()));
  EXPECT_EQ(mine->ctx().cause(), errc::lease_lost);
}

TEST_F(RemoteFaults, EndsThatRedisWasNotThereForAreToldLater) {
  tests::redis_server server;
  side here(server.url(), slow());
  side there(server.url(), slow());
  auto mine = here.hub.share(background());
  ASSERT_TRUE(mine) << mine.error();
  auto theirs = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs) << theirs.error();
  server.pause();
  mine->scope().cancel("in the dark");
  server.resume();
  ASSERT_TRUE(ends(*theirs));
  EXPECT_EQ(theirs->cause(), cause("in the dark"));
}

TEST_F(RemoteFaults, ARedisWhoseMemoryIsFullStillTellsOfEndsAndLives) {
  auto bounded = tests::redis_options().set("maxmemory-policy noeviction");
  tests::redis_server server(bounded);
  side here(server.url(), quick());
  side there(server.url(), quick());
  auto mine = here.hub.share(background());
  auto other = here.hub.share(background());
  ASSERT_TRUE(mine && other);
  auto theirs = there.hub.join(background(), mine->ticket());
  auto others = there.hub.join(background(), other->ticket());
  ASSERT_TRUE(theirs && others);
  server.ask({"CONFIG", "SET", "maxmemory", "1"});
  EXPECT_EQ(here.hub.share(background()).error(), redis::errc::out_of_memory);
  const auto key = ticket::parse(mine->ticket(), "").value().live_key();
  const auto beats = [&] { return std::stoi(server.ask_for({"HGET", key, "n"})); };
  const int before = beats();
  EXPECT_TRUE(eventually([&] { return beats() > before + 6; })) << "longer than the lease";
  EXPECT_FALSE(theirs->err());
  mine->scope().cancel("for all that");
  ASSERT_TRUE(ends(*theirs));
  EXPECT_EQ(theirs->cause(), cause("for all that"));
  EXPECT_FALSE(others->err());
}

TEST_F(RemoteFaults, AReplicaThatTakesOverIsToldOfAllThatLives) {
  tests::redis_server primary;
  auto following = tests::redis_options().set("replicaof 127.0.0.1 " + std::to_string(primary.port()));
  tests::redis_server replica(following);
  tests::redis_sentinel sentinel(primary);
  ASSERT_TRUE(sentinel.wait_for_replicas(1));
  const std::string url = "redis+sentinel://" + sentinel.address() + '/' + sentinel.name();
  auto patient = hub_options().lease(20s);
  side here(url, patient);
  side there(url, patient);
  auto mine = here.hub.share(background());
  ASSERT_TRUE(mine) << mine.error();
  auto theirs = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs) << theirs.error();
  replica.pause();
  // What the replica may not hear of.
  auto later = here.hub.share(background());
  ASSERT_TRUE(later) << later.error();
  auto also_theirs = there.hub.join(background(), later->ticket());
  ASSERT_TRUE(also_theirs) << also_theirs.error();
  primary.kill9();
  replica.resume();
  ASSERT_TRUE(sentinel.wait_for_primary(replica.port()));
  const auto is_there = [&](const shared& one) {
    const auto of = ticket::parse(one.ticket(), "").value();
    return replica.ask_for({"HGET", of.live_key(), of.live_field()}) == "0";
  };
  EXPECT_TRUE(eventually([&] { return is_there(*mine) && is_there(*later); }));
  EXPECT_FALSE(mine->ctx().err());
  EXPECT_FALSE(theirs->err());
  EXPECT_FALSE(also_theirs->err());
  later->scope().cancel("as ever");
  ASSERT_TRUE(ends(*also_theirs));
  EXPECT_EQ(also_theirs->cause(), cause("as ever"));
}

}  // namespace
}  // namespace curfew::remote
