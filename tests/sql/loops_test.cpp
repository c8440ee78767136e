// One connection, and event loops that take turns at it, or go.

#include <curfew/sql.hpp>

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <curfew/core.hpp>
#include <exception>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "sql/postgres_fixture.hpp"

namespace curfew::sql {
namespace {

class PostgresLoops : public postgres_test {};

boost::asio::awaitable<int> echo(context ctx, pool& db, int number) {
  auto found = co_await db.async_query(std::move(ctx), "select $1::int", number);
  EXPECT_TRUE(found) << found.error();
  co_return found ? (*found)[0].get<int>(0) : -1;
}

TEST_F(PostgresLoops, EachMayGoBeforeTheNextOne) {
  pool db(url(), pool_options().size(1));
  for (int i = 0; i != 5; ++i) {
    EXPECT_EQ(run_coroutine(echo(patience.ctx(), db, i)), i);  // on a loop of its own
    EXPECT_TRUE(db.query(patience.ctx(), "select 1"));         // and on none
  }
  EXPECT_EQ(db.stats().size(), 1U);
}

TEST_F(PostgresLoops, TakeTurnsInTheirThreads) {
  pool db(url(), pool_options().size(1));
  std::vector<std::jthread> threads;
  for (int t = 0; t != 3; ++t) {
    threads.emplace_back([&, t] {
      boost::asio::io_context loop(1);
      const auto work = [&]() -> boost::asio::awaitable<void> {
        for (int i = 0; i != 50; ++i) {
          const int number = 1000 * t + i;
          const int back = co_await echo(patience.ctx(), db, number);
          EXPECT_EQ(back, number);
        }
      };
      boost::asio::co_spawn(loop, work, [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
      loop.run();
    });
  }
  threads.clear();
  EXPECT_EQ(db.stats().size(), 1U);
}

TEST_F(PostgresLoops, MayOutliveThePoolOrItsConnections) {
  boost::asio::io_context loop(1);
  for (int i = 0; i != 3; ++i) {
    std::optional<pool> db(url());
    const auto work = [&]() -> boost::asio::awaitable<void> {
      const int back = co_await echo(patience.ctx(), *db, i);
      EXPECT_EQ(back, i);
    };
    boost::asio::co_spawn(loop, work, [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
    loop.restart();
    loop.run();
    db.reset();
  }
}

TEST_F(PostgresLoops, ThatGoWhileAQueryWaitsLeaveItsEndToThePool) {
  pool db(url(), pool_options().size(1));
  {
    boost::asio::io_context loop(1);
    const auto work = [&]() -> boost::asio::awaitable<void> {
      std::ignore = co_await db.async_query(patience.ctx(), "select pg_sleep(600)");
      ADD_FAILURE() << "nobody goes on";
    };
    boost::asio::co_spawn(loop, work, [](const std::exception_ptr&) { ADD_FAILURE() << "nor calls"; });
    while (count_of("active") != "1") loop.run_for(std::chrono::milliseconds(5));
  }
  EXPECT_TRUE(db.query(patience.ctx(), "select 1"));  // waits for the connection
  EXPECT_TRUE(gets_quiet());
}

}  // namespace
}  // namespace curfew::sql
