#include <curfew/remote/hub.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/remote/ticket.hpp>
#include <curfew/testing.hpp>
#include <deque>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "remote/hub_fixture.hpp"

namespace curfew::remote {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr key<std::string> user{"user"};
constexpr key<std::string> secret{"secret"};
constexpr key<int> level{"level"};

std::string write_int(const int& value) { return std::to_string(value); }
std::optional<int> read_int(std::string_view text) {
  if (text != "7") return std::nullopt;
  return 7;
}

class Hub : public hub_test {
 protected:
  static hub_options quick() { return hub_options().lease(long_lease); }
};

TEST_F(Hub, EndsWhatHasJoinedWithTheCauseOfTheOrigin) {
  tests::redis_server server;
  side here(server.url(), quick());
  side there(server.url(), quick());
  auto request = with_cancel(background());
  auto mine = here.hub.share(request);
  ASSERT_TRUE(mine) << mine.error();
  auto theirs = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs) << theirs.error();
  EXPECT_FALSE(theirs->err());
  EXPECT_EQ(theirs->deadline(), std::nullopt);
  EXPECT_EQ(here.hub.shared_count(), 1U);
  EXPECT_EQ(there.hub.joined_count(), 1U);
  request.cancel("the user has left");
  ASSERT_TRUE(ends(*theirs));
  EXPECT_EQ(theirs->err(), curfew::errc::canceled);
  EXPECT_EQ(theirs->cause(), cause("the user has left"));
  EXPECT_TRUE(eventually([&] { return here.hub.shared_count() == 0 && there.hub.joined_count() == 0; }));
}

TEST_F(Hub, JoinsItsOwnContextsToo) {
  tests::redis_server server;
  side here(server.url(), quick());
  auto mine = here.hub.share(background());
  ASSERT_TRUE(mine) << mine.error();
  auto first = here.hub.join(background(), mine->ticket());
  auto second = here.hub.join(background(), mine->ticket());
  ASSERT_TRUE(first && second);
  mine->scope().cancel("enough");
  ASSERT_TRUE(ends(*first) && ends(*second));
  EXPECT_EQ(first->cause(), cause("enough"));
  EXPECT_EQ(second->cause(), cause("enough"));
}

TEST_F(Hub, EndsWhatIsNotKept) {
  tests::redis_server server;
  side here(server.url(), quick());
  side there(server.url(), quick());
  std::optional<cancel_scope> theirs;
  {
    auto mine = here.hub.share(background());
    ASSERT_TRUE(mine) << mine.error();
    auto joined = there.hub.join(background(), mine->ticket());
    ASSERT_TRUE(joined) << joined.error();
    theirs.emplace(std::move(*joined));
  }
  ASSERT_TRUE(ends(*theirs));
  EXPECT_EQ(theirs->cause(), curfew::errc::canceled);
}

TEST_F(Hub, KeepsAJoinedContextApartFromItsOrigin) {
  tests::redis_server server;
  side here(server.url(), quick());
  side there(server.url(), quick());
  auto mine = here.hub.share(background());
  ASSERT_TRUE(mine) << mine.error();
  auto parent = with_cancel(background());
  auto first = there.hub.join(parent, mine->ticket());
  auto second = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(first && second);
  parent.cancel("shutdown");
  EXPECT_EQ(first->cause(), cause("shutdown"));
  EXPECT_TRUE(eventually([&] { return there.hub.joined_count() == 1; }));
  EXPECT_FALSE(second->err());
  EXPECT_FALSE(mine->ctx().err());
}

TEST_F(Hub, CarriesTheDeadline) {
  tests::redis_server server;
  side here(server.url(), quick());
  side there(server.url(), quick());
  auto request = with_timeout(background(), 1h);
  auto mine = here.hub.share(request);
  ASSERT_TRUE(mine) << mine.error();
  // What has passed since is gone there, too: it is a point in time, and no duration.
  const auto later = clock::now() + 50ms;
  ASSERT_TRUE(eventually([&] { return clock::now() >= later; }));
  auto theirs = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs) << theirs.error();
  ASSERT_TRUE(theirs->deadline());
  EXPECT_LE(*theirs->deadline(), *request.deadline() + 40ms);
  EXPECT_GE(*theirs->deadline(), *request.deadline() - 20s);
}

TEST_F(Hub, EndsWithDeadlineExceededOnBothSides) {
  tests::redis_server server;
  side here(server.url(), quick());
  side there(server.url(), quick());
  auto request = with_timeout(background(), 700ms);
  auto mine = here.hub.share(request);
  ASSERT_TRUE(mine) << mine.error();
  auto theirs = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs) << theirs.error();
  ASSERT_TRUE(ends(*theirs));
  EXPECT_EQ(theirs->err(), curfew::errc::deadline_exceeded);
  EXPECT_TRUE(ends(mine->ctx()));
  EXPECT_EQ(mine->ctx().err(), curfew::errc::deadline_exceeded);
}

TEST_F(Hub, GivesNoMoreTimeThanWasLeftWhenRedisClockJumps) {
  tests::redis_server server;
  side here(server.url(), quick());
  side there(server.url(), quick());
  auto request = with_timeout(background(), 1min);
  auto mine = here.hub.share(request);
  ASSERT_TRUE(mine) << mine.error();
  const auto ticket = ticket::parse(mine->ticket(), "").value();
  server.ask({"HSET", ticket.live_key(), ticket.live_field(), "9999999999999"});
  auto theirs = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs) << theirs.error();
  EXPECT_LE(*theirs->remaining(), 1min + 1ms);
}

TEST_F(Hub, GivesNoMoreTimeThanItsOptionsAllow) {
  tests::redis_server server;
  side here(server.url(), quick());
  auto shy = quick().longest(50ms);
  side there(server.url(), shy);
  for (const auto& timeout : {std::optional<clock::duration>(1h), std::optional<clock::duration>()}) {
    auto request = timeout ? with_timeout(background(), *timeout) : with_cancel(background());
    auto mine = here.hub.share(request);
    ASSERT_TRUE(mine) << mine.error();
    auto theirs = there.hub.join(background(), mine->ticket());
    ASSERT_TRUE(theirs) << theirs.error();
    ASSERT_TRUE(ends(*theirs));
    EXPECT_EQ(theirs->err(), curfew::errc::deadline_exceeded);
    EXPECT_EQ(theirs->cause(), errc::out_of_time);
    EXPECT_FALSE(mine->ctx().err());
  }
}

TEST_F(Hub, CarriesTheValuesThatBothSidesName) {
  tests::redis_server server;
  auto both = quick();
  both.carry(user).carry<int>(level, &write_int, &read_int);
  side here(server.url(), both);
  side there(server.url(), both);
  side strict(server.url(), quick());
  auto ctx = with_value(with_value(with_value(background(), user, "ada"), secret, "s3cr3t"), level, 7);
  auto mine = here.hub.share(ctx);
  ASSERT_TRUE(mine) << mine.error();
  const context own = with_value(background(), secret, "mine");
  auto theirs = there.hub.join(own, mine->ticket());
  ASSERT_TRUE(theirs) << theirs.error();
  EXPECT_EQ(*theirs->value(user), "ada");
  EXPECT_EQ(*theirs->value(level), 7);
  EXPECT_EQ(*theirs->value(secret), "mine");
  auto other = strict.hub.join(own, mine->ticket());
  ASSERT_TRUE(other) << other.error();
  EXPECT_EQ(other->value(user), nullptr);
  auto eight = here.hub.share(with_value(background(), level, 8));
  ASSERT_TRUE(eight) << eight.error();
  auto refused = there.hub.join(own, eight->ticket());
  ASSERT_TRUE(refused) << refused.error();
  EXPECT_EQ(refused->value(level), nullptr);
  EXPECT_EQ(here.hub.share(with_value(background(), user, std::string(5000, 'x'))).error(), errc::too_large);
}

TEST_F(Hub, GivesAnEndedContextForATicketWhoseOriginHasEnded) {
  tests::redis_server server;
  side here(server.url(), quick());
  side there(server.url(), quick());
  auto kept = here.hub.share(background());
  auto mine = here.hub.share(background());
  ASSERT_TRUE(kept && mine);
  const auto ticket = ticket::parse(mine->ticket(), "").value();
  mine->scope().cancel("too late");
  ASSERT_TRUE(eventually(
      [&] { return server.ask_for({"HGET", ticket.live_key(), ticket.live_field()}).starts_with('!'); }));
  auto theirs = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(theirs) << theirs.error();
  EXPECT_EQ(theirs->cause(), cause("too late"));
  server.ask({"HDEL", ticket.live_key(), ticket.live_field()});
  auto later = there.hub.join(background(), mine->ticket());
  ASSERT_TRUE(later) << later.error();
  EXPECT_EQ(later->cause(), errc::origin_ended);
  auto forged = ticket;
  forged.origin = "AAAAAAAAAAAAAAAAAAAA";
  auto nobody = there.hub.join(background(), forged.text("").value());
  ASSERT_TRUE(nobody) << nobody.error();
  EXPECT_EQ(nobody->cause(), errc::origin_lost);
}

TEST_F(Hub, RefusesTicketsThatItsKeyHasNotSigned) {
  tests::redis_server server;
  auto with_key = quick().key("k1");
  auto with_other = quick().key("k2");
  side here(server.url(), with_key);
  side other(server.url(), with_other);
  side none(server.url(), quick());
  auto mine = here.hub.share(background());
  auto plain = none.hub.share(background());
  ASSERT_TRUE(mine && plain);
  EXPECT_TRUE(here.hub.join(background(), mine->ticket()));
  for (auto* each : {&other, &none}) {
    const auto refused = each->hub.join(background(), mine->ticket());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), errc::bad_ticket);
  }
  EXPECT_EQ(here.hub.join(background(), plain->ticket()).error(), errc::bad_ticket);
  EXPECT_EQ(none.hub.join(background(), "nonsense").error(), errc::bad_ticket);
}

TEST_F(Hub, HasNoMoreThanItsOptionsAllow) {
  tests::redis_server server;
  auto few = quick().most(2);
  side here(server.url(), few);
  auto first = here.hub.share(background());
  auto second = here.hub.share(background());
  ASSERT_TRUE(first && second);
  EXPECT_EQ(here.hub.share(background()).error(), errc::too_many);
  {
    auto one = here.hub.join(background(), first->ticket());
    auto two = here.hub.join(background(), first->ticket());
    ASSERT_TRUE(one && two);
    EXPECT_EQ(here.hub.join(background(), first->ticket()).error(), errc::too_many);
  }
  first->scope().cancel();
  EXPECT_TRUE(eventually([&] { return here.hub.shared_count() == 1 && here.hub.joined_count() == 0; }));
  EXPECT_TRUE(here.hub.share(background()));
}

TEST_F(Hub, StartsNothingUnderAContextThatHasEnded) {
  tests::redis_server server;
  side here(server.url(), quick());
  auto ended = with_cancel(background());
  ended.cancel("over");
  EXPECT_EQ(here.hub.share(ended).error().cause(), cause("over"));
  EXPECT_EQ(here.hub.join(ended, "c1.").error().cause(), cause("over"));
  EXPECT_EQ(server.ask_for({"DBSIZE"}), "0");
}

TEST_F(Hub, GivesUpWithItsContextWhileRedisDoesNotAnswer) {
  tests::redis_server server;
  side here(server.url(), quick());
  auto mine = here.hub.share(background());
  ASSERT_TRUE(mine) << mine.error();
  server.pause();
  auto soon = with_timeout(background(), 50ms);
  EXPECT_EQ(here.hub.share(soon).error(), curfew::errc::deadline_exceeded);
  EXPECT_EQ(here.hub.join(soon, mine->ticket()).error(), curfew::errc::deadline_exceeded);
  server.resume();
  // What was not waited for is not left behind.
  const auto key = ticket::parse(mine->ticket(), "").value().live_key();
  EXPECT_TRUE(eventually([&] {
    const auto all = server.ask_for({"HVALS", key});
    return here.hub.shared_count() == 1 && all.find("\n0") == all.rfind("\n0");
  }));
}

TEST_F(Hub, LeavesNothingInRedis) {
  tests::redis_server server;
  {
    auto quick_lease = hub_options().lease(short_lease);
    side here(server.url(), quick_lease);
    side there(server.url(), quick_lease);
    std::deque<shared> all;
    std::deque<cancel_scope> joined;
    for (int i = 0; i != 300; ++i) {
      auto mine = here.hub.share(background());
      ASSERT_TRUE(mine) << mine.error();
      auto theirs = there.hub.join(background(), mine->ticket());
      ASSERT_TRUE(theirs) << theirs.error();
      all.push_back(std::move(*mine));
      joined.push_back(std::move(*theirs));
    }
    const auto key = ticket::parse(all.front().ticket(), "").value().live_key();
    all.clear();
    for (const auto& each : joined) EXPECT_TRUE(ends(each));
    // Two fields are the lease's own.
    EXPECT_TRUE(eventually([&] { return server.ask_for({"HLEN", key}) == "2"; }));
    EXPECT_TRUE(eventually([&] { return server.ask_for({"PUBSUB", "CHANNELS"}).empty(); }));
  }
  EXPECT_EQ(server.ask_for({"DBSIZE"}), "0");
}

TEST_F(Hub, EndsEverythingWhenItGoes) {
  tests::redis_server server;
  std::optional<side> here(std::in_place, server.url(), quick());
  std::optional<side> there(std::in_place, server.url(), quick());
  auto mine = here->hub.share(background());
  auto also_theirs = there->hub.share(background());
  ASSERT_TRUE(mine && also_theirs);
  auto theirs = there->hub.join(background(), mine->ticket());
  auto also_mine = here->hub.join(background(), also_theirs->ticket());
  ASSERT_TRUE(theirs && also_mine);
  here.reset();
  EXPECT_EQ(mine->ctx().cause(), errc::lease_lost);
  EXPECT_EQ(also_mine->cause(), errc::hub_lost);
  ASSERT_TRUE(ends(*theirs));
  EXPECT_EQ(theirs->cause(), errc::origin_lost);
  EXPECT_FALSE(also_theirs->ctx().err());
}

TEST_F(Hub, OfLessThanTheLeastLeaseIsAMistake) {
  redis::client client("redis://127.0.0.1:1");
  auto tiny = hub_options().lease(1ms);
  EXPECT_THROW(hub(client, tiny), std::invalid_argument);
}

boost::asio::awaitable<void> share_and_join(hub& here, hub& there) {
  auto request = with_cancel(background());
  auto mine = co_await here.async_share(request.ctx());
  EXPECT_TRUE(mine) << mine.error();
  if (!mine) co_return;
  auto theirs = co_await there.async_join(background(), mine->ticket());
  EXPECT_TRUE(theirs) << theirs.error();
  if (!theirs) co_return;
  request.cancel("asynchronously");
  std::ignore = co_await async_wait(theirs->done());
  EXPECT_EQ(theirs->cause(), cause("asynchronously"));
}

TEST_F(Hub, WorksForCoroutines) {
  tests::redis_server server;
  side here(server.url(), quick());
  side there(server.url(), quick());
  boost::asio::io_context io;
  for (int i = 0; i != 20; ++i)
    boost::asio::co_spawn(io, share_and_join(here.hub, there.hub),
                          [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
  io.run();
}

TEST_F(Hub, SharesForManyThreads) {
  tests::redis_server server;
  side here(server.url(), quick());
  side there(server.url(), quick());
  std::vector<std::jthread> threads;
  for (int i = 0; i != 8; ++i) {
    threads.emplace_back([&, i] {
      for (int k = 0; k != 25; ++k) {
        const cause why("by " + std::to_string(i) + '/' + std::to_string(k));
        auto request = with_cancel(background());
        auto mine = here.hub.share(request);
        ASSERT_TRUE(mine) << mine.error();
        auto theirs = there.hub.join(background(), mine->ticket());
        ASSERT_TRUE(theirs) << theirs.error();
        request.cancel(why);
        ASSERT_TRUE(ends(*theirs));
        EXPECT_EQ(theirs->cause(), why);
      }
    });
  }
}

}  // namespace
}  // namespace curfew::remote
