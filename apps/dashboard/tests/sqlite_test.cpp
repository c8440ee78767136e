#include "services/packages/sqlite.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <curfew/core/cancel_scope.hpp>
#include <random>
#include <thread>

namespace curfew_dashboard {
namespace {

/// Would take minutes.
constexpr const char* endless = R"(
  with recursive n(i) as (select 1 union all select i + 1 from n where i < 4000000000) select count(*) from n)";

std::int64_t count_to(const sqlite_connection& connection, std::int64_t last) {
  sqlite_statement select(
      connection,
      "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?1) select count(*) from n");
  select.bind(1, last);
  return select.step() == sqlite_step::row ? select.number(0) : -1;
}

TEST(Sqlite, BindsTextAsTextAndNotAsSql) {
  sqlite_connection connection(":memory:");
  sqlite_statement select(connection, "select ?1, ?2");
  select.bind(1, "'; drop table x; --");
  select.bind(2, std::int64_t{7});
  ASSERT_EQ(select.step(), sqlite_step::row);
  EXPECT_EQ(select.text(0), "'; drop table x; --");
  EXPECT_EQ(select.number(1), 7);
  EXPECT_EQ(select.step(), sqlite_step::done);
}

TEST(Sqlite, ThrowsWhatIsWrongWithTheSql) {
  sqlite_connection connection(":memory:");
  EXPECT_THROW(connection.execute("selec 1"), sqlite_error);
  EXPECT_THROW(sqlite_statement(connection, "select * from nowhere"), sqlite_error);
}

TEST(QueryGuard, EndsAQueryThatRuns) {
  sqlite_connection connection(":memory:");
  auto scope = curfew::with_cancel(curfew::background());
  const query_guard guard(connection, scope);
  sqlite_statement select(connection, endless);
  std::jthread leaving([&] { scope.cancel(); });
  EXPECT_EQ(select.run(), sqlite_step::ended);
  leaving.join();
}

TEST(QueryGuard, EndsAQueryThatStartsAfterTheContextHasEnded) {
  sqlite_connection connection(":memory:");
  auto scope = curfew::with_cancel(curfew::background());
  scope.cancel();
  const query_guard guard(connection,
                          scope);  // interrupts at once; SQLite forgets that when the query starts
  sqlite_statement select(connection, endless);
  EXPECT_EQ(select.run(), sqlite_step::ended);
}

TEST(QueryGuard, TakesAnInterruptWhileAStatementIsPreparedAsTheEnd) {
  sqlite_connection connection(":memory:");
  connection.execute("create table t(i)");
  auto scope = curfew::with_cancel(curfew::background());
  const query_guard guard(connection, scope);
  // Called in the middle of preparing.
  const auto interrupt = [](void* leaving, int, const char*, const char*, const char*, const char*) {
    static_cast<curfew::cancel_scope*>(leaving)->cancel();
    return SQLITE_OK;
  };
  ::sqlite3_set_authorizer(connection.get(), interrupt, &scope);
  sqlite_statement select(connection, "select i, ?1 from t where i in (select i from t)");
  ::sqlite3_set_authorizer(connection.get(), nullptr, nullptr);
  select.bind(1, "x");
  select.reset();
  EXPECT_NE(select.step(), sqlite_step::row);
}

TEST(QueryGuard, EndsAQueryByTheDeadline) {
  sqlite_connection connection(":memory:");
  auto scope = curfew::with_timeout(curfew::background(), std::chrono::milliseconds(5));
  const query_guard guard(connection, scope);
  sqlite_statement select(connection, endless);
  EXPECT_EQ(select.run(), sqlite_step::ended);
}

TEST(QueryGuard, LeavesTheConnectionUsable) {
  sqlite_connection connection(":memory:");
  {
    auto scope = curfew::with_cancel(curfew::background());
    const query_guard guard(connection, scope);
    sqlite_statement select(connection, endless);
    std::jthread leaving([&] { scope.cancel(); });
    EXPECT_EQ(select.run(), sqlite_step::ended);
    leaving.join();
  }
  EXPECT_EQ(count_to(connection, 100'000), 100'000);
}

// Hunts: an interrupt that is meant for one request and kills the next one on the same connection, because it
// came just when the first one's query was over.
TEST(QueryGuard, NeverEndsTheNextQueryOfTheConnection) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  sqlite_connection connection(":memory:");
  int ended = 0;
  int finished = 0;
  for (int i = 0; i < 1000; ++i) {
    auto scope = curfew::with_cancel(curfew::background());
    std::atomic<bool> started = false;
    std::jthread leaving([&, spin = random() % 60'000]() mutable {
      started.wait(false);
      for (; spin > 0; --spin) asm volatile("");
      scope.cancel();
    });
    {
      const query_guard guard(connection, scope);
      started = true;
      started.notify_one();
      ++(count_to(connection, 500) == 500 ? finished : ended);
    }
    // The cancel may still be under way, or yet to come.
    ASSERT_EQ(count_to(connection, 3000), 3000) << "after " << i;
    leaving.join();
    ASSERT_EQ(count_to(connection, 3000), 3000) << "after " << i;
  }
  EXPECT_EQ(ended + finished, 1000);
}

// Hunts: a query that runs on although its context has ended, because the interrupt came between two
// statements.
TEST(QueryGuard, EndsTheStatementThatStartsWhileTheContextEnds) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 500; ++i) {
    sqlite_connection connection(":memory:");
    auto scope = curfew::with_cancel(curfew::background());
    const query_guard guard(connection, scope);
    sqlite_statement select(connection, endless);
    std::jthread leaving([&, spin = random() % 20'000]() mutable {
      for (; spin > 0; --spin) asm volatile("");
      scope.cancel();
    });
    for (auto spin = random() % 20'000; spin > 0; --spin) asm volatile("");
    EXPECT_EQ(select.run(), sqlite_step::ended);
    leaving.join();
  }
}

}  // namespace
}  // namespace curfew_dashboard
