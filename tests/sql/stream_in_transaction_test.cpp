// Rows that come some at a time within a transaction, from both kinds of databases.

#include <curfew/sql.hpp>

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <curfew/core.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "sql/any_database.hpp"
#include "sql/postgres_fixture.hpp"

namespace curfew::sql {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

constexpr text numbers =
    "with recursive n(i) as (select cast(1 as bigint) union all select i + 1 from n where i < cast($1 as "
    "bigint)) "
    "select i from n";
constexpr std::int64_t endless = 1'000'000'000'000;

class StreamInTransaction : public any_database {
 protected:
  static result<std::int64_t> sum_of(row_stream& all, const context& ctx) {
    std::int64_t sum = 0;
    for (;;) {
      auto some = all.next(ctx);
      if (!some) return some.error();
      if (some->empty()) return sum;
      for (auto [i] : some->as<std::int64_t>()) sum += i;
    }
  }

  /// Against hangs alone.
  const cancel_scope patience = with_timeout(background(), tests::program_patience);
};

TEST_P(StreamInTransaction, SeesWhatItsTransactionHasDone) {
  pool db(url);
  ASSERT_TRUE(db.execute(patience, "create table items (id bigint)"));
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  ASSERT_TRUE(tx->execute(patience, "insert into items values (7)"));
  auto all = tx->stream(patience, "select id from items where id > $1", 3);
  ASSERT_TRUE(all) << all.error();
  auto sum = sum_of(*all, patience);
  ASSERT_TRUE(sum) << sum.error();
  EXPECT_EQ(*sum, 7);
  ASSERT_TRUE(tx->commit(patience));
}

TEST_P(StreamInTransaction, LetsOtherStatementsRunBetweenItsParts) {
  pool db(url);
  ASSERT_TRUE(db.execute(patience, "create table seen (id bigint)"));
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  auto all = tx->stream(patience, numbers, 1'000);
  ASSERT_TRUE(all) << all.error();
  auto other = tx->stream(patience, numbers, 1'000);  // the same text
  ASSERT_TRUE(other) << other.error();
  std::int64_t count = 0;
  for (;;) {
    auto some = all->next(patience);
    ASSERT_TRUE(some) << some.error();
    if (some->empty()) break;
    for (auto [i] : some->as<std::int64_t>()) {
      ++count;
      if (i % 100 != 0) continue;
      ASSERT_TRUE(tx->execute(patience, "insert into seen values ($1)", i));
      auto kept = tx->query(patience, numbers, 3);
      ASSERT_TRUE(kept) << kept.error();
      EXPECT_EQ(kept->size(), 3U);
    }
  }
  EXPECT_EQ(count, 1'000);
  auto sum = sum_of(*other, patience);
  ASSERT_TRUE(sum) << sum.error();
  EXPECT_EQ(*sum, 500'500);
  ASSERT_TRUE(tx->commit(patience));
  auto seen = db.query(patience, "select count(*), cast(sum(id) as bigint) from seen");
  ASSERT_TRUE(seen) << seen.error();
  EXPECT_EQ((*seen)[0].get<std::int64_t>(0), 10);
  EXPECT_EQ((*seen)[0].get<std::int64_t>(1), 5'500);
}

TEST_P(StreamInTransaction, WorksInACoroutine) {
  pool db(url);
  const auto read = [&]() -> asio::awaitable<result<std::int64_t>> {
    auto tx = co_await db.async_begin(patience.ctx());
    if (!tx) co_return tx.error();
    auto all = co_await tx->async_stream(patience.ctx(), numbers, 1'000);
    if (!all) co_return all.error();
    std::int64_t sum = 0;
    for (;;) {
      auto some = co_await all->async_next(patience.ctx());
      if (!some) co_return some.error();
      if (some->empty()) break;
      for (auto [i] : some->as<std::int64_t>()) sum += i;
      auto beside = co_await tx->async_query(patience.ctx(), "select 1");
      if (!beside) co_return beside.error();
    }
    auto done = co_await tx->async_commit(patience.ctx());
    if (!done) co_return done.error();
    co_return sum;
  };
  auto sum = run_coroutine(read());
  ASSERT_TRUE(sum) << sum.error();
  EXPECT_EQ(*sum, 500'500);
}

TEST_P(StreamInTransaction, OfNoRowsKnowsItsColumnsAndIsOver) {
  pool db(url);
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  auto all = tx->stream(patience, "select 1 as one, 2 as two where 1 = 0");
  ASSERT_TRUE(all) << all.error();
  for (int i = 0; i != 2; ++i) {
    auto none = all->next(patience);
    ASSERT_TRUE(none) << none.error();
    EXPECT_TRUE(none->empty());
    EXPECT_EQ(none->affected(), 0U);
    if (i == 0) {
      EXPECT_EQ(none->columns(), (std::vector<std::string>{"one", "two"}));
    }
  }
  EXPECT_TRUE(tx->commit(patience));
}

TEST_P(StreamInTransaction, ThatIsDestroyedLeavesTheTransactionAsItIs) {
  pool db(url);
  ASSERT_TRUE(db.execute(patience, "create table items (id bigint)"));
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  for (int i = 0; i != 3; ++i) {
    auto all = tx->stream(patience, numbers, endless);
    ASSERT_TRUE(all) << all.error();
    ASSERT_TRUE(all->next(patience));
  }
  ASSERT_TRUE(tx->execute(patience, "insert into items values (1)"));
  ASSERT_TRUE(tx->commit(patience));
  auto found = db.query(patience, "select id from items");
  ASSERT_TRUE(found) << found.error();
  EXPECT_EQ(found->size(), 1U);
}

TEST_P(StreamInTransaction, IsOverWithItsTransaction) {
  pool db(url, pool_options().size(1));
  for (const int how : {0, 1, 2}) {
    std::optional<transaction> tx;
    {
      auto begun = db.begin(patience);
      ASSERT_TRUE(begun) << begun.error();
      tx.emplace(*std::move(begun));
    }
    auto all = tx->stream(patience, numbers, endless);
    ASSERT_TRUE(all) << all.error();
    ASSERT_TRUE(all->next(patience));
    if (how == 0) {
      ASSERT_TRUE(tx->commit(patience));
    } else if (how == 1) {
      ASSERT_TRUE(tx->rollback(patience));
    } else {
      tx.reset();
    }
    const auto behind = all->next(patience);
    ASSERT_FALSE(behind);
    EXPECT_EQ(behind.error(), std::errc::operation_not_permitted) << behind.error();
    EXPECT_TRUE(db.execute(patience, "create table items (id bigint)"));  // its connection is free
    EXPECT_TRUE(db.execute(patience, "drop table items"));
  }
}

TEST_P(StreamInTransaction, EndsWithTheContextOfTheNextRows) {
  pool db(url, pool_options().size(1));
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  auto all = tx->stream(patience, numbers, endless);
  ASSERT_TRUE(all) << all.error();
  ASSERT_TRUE(all->next(patience));
  auto scope = with_cancel(background());
  scope.cancel();
  const auto cut = all->next(scope.ctx());
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error(), curfew::errc::canceled) << cut.error();
  EXPECT_TRUE(cut.error().message().contains("recursive")) << "it names its query: " << cut.error();
  auto none = all->next(patience);
  ASSERT_TRUE(none) << none.error();
  EXPECT_TRUE(none->empty());
  std::ignore = tx->rollback(patience);
  EXPECT_TRUE(db.query(patience, "select 1"));
}

TEST_P(StreamInTransaction, IsCutOffInTheMiddleOfAPart) {
  pool db(url, pool_options().size(1));
  for (const bool in_coroutine : {false, true}) {
    auto tx = db.begin(patience);
    ASSERT_TRUE(tx) << tx.error();
    // Of these the first row never comes.
    auto all =
        tx->stream(patience,
                   "with recursive n(i) as (select 1 union all select i + 1 from n where i < $1) select i "
                   "from n where i < 0",
                   2'000'000'000);
    ASSERT_TRUE(all) << all.error();
    const auto scope = with_timeout(background(), 30ms);
    auto cut = in_coroutine ? run_coroutine(all->async_next(scope.ctx())) : all->next(scope.ctx());
    ASSERT_FALSE(cut);
    EXPECT_EQ(cut.error(), curfew::errc::deadline_exceeded) << cut.error();
    std::ignore = tx->rollback(patience);
    EXPECT_TRUE(db.query(patience, "select 1"));
  }
}

TEST_P(StreamInTransaction, SaysWhatIsWrong) {
  pool db(url);
  ASSERT_TRUE(db.execute(patience, "create table items (id bigint)"));
  const auto refused = [&](text what) {
    auto tx = db.begin(patience);
    EXPECT_TRUE(tx) << tx.error();
    auto all = tx->stream(patience, what);
    EXPECT_FALSE(all);
    return all.error();
  };
  const auto syntax = refused("select selct 1");
  EXPECT_EQ(syntax, errc::syntax) << syntax;
  EXPECT_TRUE(syntax.message().starts_with("select selct 1 :")) << syntax;
  const auto unknown = refused("select nothing from items");
  EXPECT_EQ(unknown, errc::syntax) << unknown;
  EXPECT_EQ(unknown.details().position, 8U) << unknown;
  const auto writes = refused("insert into items values (1)");
  EXPECT_TRUE(writes == errc::read_only || writes == errc::syntax) << writes;
  const auto many = refused("select 1; select 2");
  EXPECT_EQ(many, errc::many_statements) << many;
  auto scope = with_cancel(background());
  scope.cancel();
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  const auto ended = tx->stream(scope.ctx(), numbers, 3);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error(), curfew::errc::canceled);
  auto found = db.query(patience, "select count(*) from items");
  ASSERT_TRUE(found) << found.error();
  EXPECT_EQ((*found)[0].get<int>(0), 0);
}

CURFEW_WITH_EACH_DATABASE(StreamInTransaction);

}  // namespace
}  // namespace curfew::sql
