#include <curfew/sql/listener.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/sql.hpp>
#include <string>
#include <thread>

#include "sql/postgres_fixture.hpp"

namespace curfew::sql {
namespace {

using namespace std::chrono_literals;

class Listener : public postgres_test {};

TEST_F(Listener, HearsWhatIsSentInItsOrder) {
  pool db(url());
  auto news = db.listen(patience.ctx(), "orders");
  ASSERT_TRUE(news) << news.error();
  for (int i = 0; i != 100; ++i) {
    ASSERT_TRUE(db.query(patience.ctx(), "select pg_notify('orders', $1)", std::to_string(i)));
    ASSERT_TRUE(db.query(patience.ctx(), "select pg_notify('others', $1)", std::to_string(i)));
  }
  for (int i = 0; i != 100; ++i) {
    const auto one = news->next(patience.ctx());
    ASSERT_TRUE(one) << one.error();
    EXPECT_EQ(one->channel, "orders");
    EXPECT_EQ(one->payload, std::to_string(i));
    EXPECT_NE(one->process, 0);
  }
}

TEST_F(Listener, TakesANameAsItIs) {
  pool db(url());
  const std::string name = "Two \"words\"; drop table users";
  auto news = db.listen(patience.ctx(), name);
  ASSERT_TRUE(news) << news.error();
  ASSERT_TRUE(db.query(patience.ctx(), "select pg_notify($1, '')", name));
  const auto one = news->next(patience.ctx());
  ASSERT_TRUE(one) << one.error();
  EXPECT_EQ(one->channel, name);
}

TEST_F(Listener, WaitsUntilItsContextEndsAndLosesNothing) {
  pool db(url());
  auto news = db.listen(patience.ctx(), "orders");
  ASSERT_TRUE(news) << news.error();
  const auto scope = with_timeout(background(), 20ms);
  const auto ended = news->next(scope.ctx());
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error(), curfew::errc::deadline_exceeded);
  const std::jthread later(
      [&] { EXPECT_TRUE(db.query(patience.ctx(), "select pg_notify('orders', 'late')")); });
  const auto one = news->next(patience.ctx());
  ASSERT_TRUE(one) << one.error();
  EXPECT_EQ(one->payload, "late");
}

TEST_F(Listener, OfACoroutineHearsOutlivesThePoolAndEnds) {
  std::optional<pool> db(url());
  const auto work = [&]() -> boost::asio::awaitable<bool> {
    auto news = co_await db->async_listen(patience.ctx(), "orders");
    EXPECT_TRUE(news) << news.error();
    if (!news) co_return false;
    auto sent = co_await db->async_query(patience.ctx(), "select pg_notify('orders', 'one')");
    EXPECT_TRUE(sent) << sent.error();
    db.reset();
    auto one = co_await news->async_next(patience.ctx());
    EXPECT_TRUE(one) << one.error();
    EXPECT_EQ(one.value_or(notification()).payload, "one");
    const auto scope = with_timeout(background(), 20ms);
    auto ended = co_await news->async_next(scope.ctx());
    EXPECT_TRUE(!ended && ended.error() == curfew::errc::deadline_exceeded);
    co_return true;
  };
  EXPECT_TRUE(run_coroutine(work()));
}

TEST_F(Listener, SaysThatItsConnectionIsLost) {
  pool db(url());
  auto news = db.listen(patience.ctx(), "orders");
  ASSERT_TRUE(news) << news.error();
  ASSERT_TRUE(db.query(patience.ctx(),
                       "select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen%'"));
  for (int i = 0; i != 2; ++i) {
    const auto lost = news->next(patience.ctx());
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error(), errc::connection_lost);
  }
}

TEST_F(Listener, IsNotOfSqlite) {
  pool db("sqlite::memory:");
  const auto none = db.listen(background(), "orders");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error(), std::errc::operation_not_supported);
}

}  // namespace
}  // namespace curfew::sql
