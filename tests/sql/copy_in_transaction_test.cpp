// COPY on the connection of a transaction.

#include <curfew/sql/copy.hpp>

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/sql.hpp>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "sql/postgres_fixture.hpp"

namespace curfew::sql {
namespace {

namespace asio = boost::asio;

constexpr text into_items = "copy items (id, name) from stdin";
constexpr text all_items = "copy (select id, name from items order by id) to stdout";
constexpr text many_items = "copy (select i, 'item ' || i from generate_series(1, 200000) i) to stdout";

class CopyInTransaction : public postgres_test {
 protected:
  void SetUp() override {
    postgres_test::SetUp();
    if (!IsSkipped()) ask("create table items (id bigint primary key, name text check (name <> 'refused'))");
  }

  /// One connection: what is wrong with it is seen by the next call.
  static pool_options one_connection() { return pool_options().size(1).grace(tests::program_patience); }
  std::string count() { return ask("select count(*) from items"); }
  void expect_usable(pool& db) {
    auto next = db.query(patience, "select 7");
    ASSERT_TRUE(next) << next.error();
    EXPECT_EQ((*next)[0].get<int>(0), 7);
  }
  result<std::string> read_all(copy_reader& all) {
    std::string got;
    for (;;) {
      auto some = all.next(patience);
      if (!some) return some.error();
      if (some->empty()) return got;
      got += *some;
    }
  }
};

TEST_F(CopyInTransaction, IsPartOfIt) {
  pool db(url(), one_connection());
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  ASSERT_TRUE(tx->execute(patience, "insert into items values (1, 'before')"));
  auto into = tx->copy_in(patience, into_items);
  ASSERT_TRUE(into) << into.error();
  ASSERT_TRUE(into->write(patience, "2\tcopied\n"));
  auto done = into->finish(patience);
  ASSERT_TRUE(done) << done.error();
  EXPECT_EQ(*done, 1U);
  EXPECT_EQ(into->finish(patience).error(), std::errc::operation_not_permitted);
  ASSERT_TRUE(tx->execute(patience, "insert into items values (3, 'behind')"));
  auto all = tx->copy_out(patience, all_items);
  ASSERT_TRUE(all) << all.error();
  auto got = read_all(*all);
  ASSERT_TRUE(got) << got.error();
  EXPECT_EQ(*got, "1\tbefore\n2\tcopied\n3\tbehind\n");
  EXPECT_EQ(count(), "0") << "of others, before the commit";
  ASSERT_TRUE(tx->commit(patience));
  EXPECT_EQ(count(), "3");
  expect_usable(db);
}

TEST_F(CopyInTransaction, OfACoroutineIsPartOfIt) {
  pool db(url(), one_connection());
  const auto work = [&]() -> asio::awaitable<result<std::string>> {
    auto tx = co_await db.async_begin(patience.ctx());
    if (!tx) co_return tx.error();
    auto into = co_await tx->async_copy_in(patience.ctx(), into_items);
    if (!into) co_return into.error();
    auto busy = co_await tx->async_execute(patience.ctx(), "delete from items");
    EXPECT_EQ(busy.error(), std::errc::device_or_resource_busy);
    std::string row = "1\t" + std::string(10'000'000, 'x') + '\n';  // more than the sockets hold
    auto sent = co_await into->async_write(patience.ctx(), std::move(row));
    if (!sent) co_return sent.error();
    auto done = co_await into->async_finish(patience.ctx());
    if (!done) co_return done.error();
    auto all = co_await tx->async_copy_out(patience.ctx(), "copy (select length(name) from items) to stdout");
    if (!all) co_return all.error();
    std::string got;
    for (;;) {
      auto some = co_await all->async_next(patience.ctx());
      if (!some) co_return some.error();
      if (some->empty()) break;
      got += *some;
    }
    auto kept = co_await tx->async_commit(patience.ctx());
    if (!kept) co_return kept.error();
    co_return got;
  };
  auto got = run_coroutine(work());
  ASSERT_TRUE(got) << got.error();
  EXPECT_EQ(*got, "10000000\n");
  EXPECT_EQ(count(), "1");
  expect_usable(db);
}

TEST_F(CopyInTransaction, NothingElseRunsBesideIt) {
  pool db(url(), one_connection());
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  auto beside = tx->stream(patience, "select i from generate_series(1, 1000) i");
  ASSERT_TRUE(beside) << beside.error();
  ASSERT_TRUE(beside->next(patience));
  auto into = tx->copy_in(patience, into_items);
  ASSERT_TRUE(into) << into.error();
  constexpr auto busy = std::errc::device_or_resource_busy;
  auto refused = tx->query(patience, "select 1").error();
  EXPECT_EQ(refused, busy);
  EXPECT_NE(refused.message().find("COPY"), std::string::npos) << refused;
  EXPECT_EQ(beside->next(patience).error(), busy);
  EXPECT_EQ(tx->copy_out(patience, all_items).error(), busy);
  EXPECT_EQ(tx->savepoint(patience).error(), busy);
  batch one;
  one.add("select 1");
  EXPECT_EQ(tx->run_batch(patience, one).error(), busy);
  ASSERT_TRUE(into->write(patience, "1\ta\n"));
  ASSERT_TRUE(into->finish(patience));
  EXPECT_TRUE(tx->query(patience, "select 1"));
  ASSERT_TRUE(tx->commit(patience));
  EXPECT_EQ(count(), "1");
}

TEST_F(CopyInTransaction, ThatIsLeftOpenIsNotCommitted) {
  pool db(url(), one_connection());
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  auto into = tx->copy_in(patience, into_items);
  ASSERT_TRUE(into) << into.error();
  ASSERT_TRUE(into->write(patience, "1\ta\n"));
  EXPECT_EQ(tx->commit(patience).error(), std::errc::device_or_resource_busy);
  EXPECT_EQ(into->write(patience, "2\tb\n").error(), std::errc::operation_not_permitted);
  EXPECT_EQ(into->finish(patience).error(), std::errc::operation_not_permitted);
  EXPECT_EQ(tx->query(patience, "select 1").error(), std::errc::operation_not_permitted);
  expect_usable(db);
  EXPECT_EQ(count(), "0");
}

TEST_F(CopyInTransaction, EndsWithItsRollback) {
  pool db(url(), one_connection());
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  auto all = tx->copy_out(patience, many_items);
  ASSERT_TRUE(all) << all.error();
  ASSERT_TRUE(all->next(patience));
  EXPECT_TRUE(tx->rollback(patience));
  EXPECT_EQ(read_all(*all).error(), std::errc::operation_not_permitted) << "a part is not taken for all";
  expect_usable(db);
  EXPECT_TRUE(gets_quiet());
}

TEST_F(CopyInTransaction, ThatIsAbandonedRollsItBack) {
  pool db(url(), one_connection());
  for (const bool reads : {false, true}) {
    auto tx = db.begin(patience);
    ASSERT_TRUE(tx) << tx.error();
    ASSERT_TRUE(tx->execute(patience, "insert into items values (1, 'before')"));
    if (reads) {
      auto all = tx->copy_out(patience, many_items);
      ASSERT_TRUE(all) << all.error();
    } else {
      auto into = tx->copy_in(patience, into_items);
      ASSERT_TRUE(into) << into.error();
      ASSERT_TRUE(into->write(patience, "2\tcopied\n"));
    }
    EXPECT_EQ(tx->commit(patience).error(), std::errc::operation_not_permitted);
    expect_usable(db);
    EXPECT_EQ(count(), "0");
  }
}

TEST_F(CopyInTransaction, OutlivesItAndKnowsThatItIsOver) {
  pool db(url(), one_connection());
  std::optional<copy_writer> into;
  {
    auto tx = db.begin(patience);
    ASSERT_TRUE(tx) << tx.error();
    auto begun = tx->copy_in(patience, into_items);
    ASSERT_TRUE(begun) << begun.error();
    into = *std::move(begun);
  }
  expect_usable(db);
  EXPECT_EQ(into->write(patience, "1\ta\n").error(), std::errc::operation_not_permitted);
  into.reset();
  expect_usable(db);
}

TEST_F(CopyInTransaction, ThatIsCutOffRollsItBack) {
  pool db(url(), one_connection());
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  auto into = tx->copy_in(patience, into_items);
  ASSERT_TRUE(into) << into.error();
  auto scope = with_cancel(background());
  scope.cancel("nobody waits");
  auto cut = into->write(scope, "1\ta\n").error();
  EXPECT_EQ(cut, curfew::errc::canceled);
  EXPECT_EQ(cut.outcome(), outcome::did_not_happen);
  EXPECT_EQ(tx->query(patience, "select 1").error(), std::errc::operation_not_permitted);
  expect_usable(db);
  EXPECT_EQ(count(), "0");
}

TEST_F(CopyInTransaction, ARowThatIsRefusedIsGivenUpWithItsSavepoint) {
  pool db(url(), one_connection());
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  ASSERT_TRUE(tx->execute(patience, "insert into items values (1, 'before')"));
  {
    auto part = tx->savepoint(patience);
    ASSERT_TRUE(part) << part.error();
    auto into = tx->copy_in(patience, into_items);
    ASSERT_TRUE(into) << into.error();
    ASSERT_TRUE(into->write(patience, "2\tfine\n3\trefused\n"));
    EXPECT_EQ(into->finish(patience).error(), errc::check_violation);
    EXPECT_EQ(tx->query(patience, "select 1").error().sqlstate(), "25P02");
    ASSERT_TRUE(part->rollback(patience));
  }
  ASSERT_TRUE(tx->commit(patience));
  EXPECT_EQ(ask("select name from items"), "before");
}

TEST_F(CopyInTransaction, WhatIsNoneSaysSoAndTheTransactionGoesOn) {
  pool db(url(), one_connection());
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  auto none = tx->copy_in(patience, "insert into items values (1, 'a')");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error(), errc::other);
  EXPECT_EQ(none.error().outcome(), outcome::happened);
  EXPECT_FALSE(tx->copy_out(patience, "select 1"));
  ASSERT_TRUE(tx->commit(patience));
  EXPECT_EQ(count(), "1");
}

TEST_F(CopyInTransaction, SqliteHasNone) {
  pool db("sqlite::memory:");
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  EXPECT_EQ(tx->copy_in(patience, into_items).error(), std::errc::operation_not_supported);
  EXPECT_EQ(tx->copy_out(patience, all_items).error(), std::errc::operation_not_supported);
  EXPECT_TRUE(tx->query(patience, "select 1"));
}

}  // namespace
}  // namespace curfew::sql
