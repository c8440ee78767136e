// Parts of a transaction that are given up alone, of both kinds of databases.

#include <curfew/sql/savepoint.hpp>

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/sql.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sql/any_database.hpp"
#include "sql/postgres_fixture.hpp"

namespace curfew::sql {
namespace {

namespace asio = boost::asio;

class Savepoint : public any_database {
 protected:
  void SetUp() override {
    any_database::SetUp();
    if (IsSkipped()) return;
    db.emplace(url, pool_options().size(1));
    ASSERT_TRUE(db->execute(patience, "create table items (id bigint primary key)"));
  }

  transaction begin() {
    auto tx = db->begin(patience);
    EXPECT_TRUE(tx) << tx.error();
    return *std::move(tx);
  }
  savepoint save(transaction& tx) {
    auto made = tx.savepoint(patience);
    EXPECT_TRUE(made) << made.error();
    return *std::move(made);
  }
  result<std::uint64_t> add(transaction& tx, int id) {
    return tx.execute(patience, "insert into items (id) values ($1)", id);
  }
  template <class On>
  std::vector<int> ids(On& on) {
    auto found = on.query(patience, "select id from items order by id");
    EXPECT_TRUE(found) << found.error();
    std::vector<int> made;
    if (found) {
      for (auto [id] : found->template as<int>()) made.push_back(id);
    }
    return made;
  }

  /// Against hangs alone.
  const cancel_scope patience = with_timeout(background(), tests::program_patience);
  std::optional<pool> db;
};

using numbers = std::vector<int>;

TEST_P(Savepoint, KeepsWhatIsReleased) {
  auto tx = begin();
  auto part = save(tx);
  ASSERT_TRUE(add(tx, 1));
  ASSERT_TRUE(part.release(patience));
  EXPECT_EQ(part.release(patience).error(), std::errc::operation_not_permitted);
  EXPECT_EQ(part.rollback(patience).error(), std::errc::operation_not_permitted);
  ASSERT_TRUE(add(tx, 2));
  ASSERT_TRUE(tx.commit(patience));
  EXPECT_EQ(ids(*db), (numbers{1, 2}));
}

TEST_P(Savepoint, ThatIsDestroyedIsRolledBack) {
  auto tx = begin();
  ASSERT_TRUE(add(tx, 1));
  {
    const auto part = save(tx);
    ASSERT_TRUE(add(tx, 2));
  }
  EXPECT_EQ(ids(tx), (numbers{1}));
  {
    const auto part = save(tx);
    ASSERT_TRUE(add(tx, 3));
  }
  ASSERT_TRUE(tx.commit(patience));  // with nothing in between
  EXPECT_EQ(ids(*db), (numbers{1}));
}

TEST_P(Savepoint, IsRolledBackAtOnce) {
  auto tx = begin();
  auto part = save(tx);
  ASSERT_TRUE(add(tx, 1));
  ASSERT_TRUE(part.rollback(patience));
  EXPECT_EQ(part.release(patience).error(), std::errc::operation_not_permitted);
  EXPECT_EQ(ids(tx), numbers());
  ASSERT_TRUE(tx.commit(patience));
  EXPECT_EQ(ids(*db), numbers());
}

TEST_P(Savepoint, HealsATransactionWhoseStatementFailed) {
  auto tx = begin();
  ASSERT_TRUE(add(tx, 1));
  {
    const auto part = save(tx);
    const auto again = add(tx, 1);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error(), errc::unique_violation);
  }
  ASSERT_TRUE(add(tx, 2));
  auto part = save(tx);
  EXPECT_FALSE(add(tx, 2));
  ASSERT_TRUE(part.rollback(patience));
  ASSERT_TRUE(add(tx, 3));
  ASSERT_TRUE(tx.commit(patience));
  EXPECT_EQ(ids(*db), (numbers{1, 2, 3}));
}

TEST_P(Savepoint, ThatIsOpenAtTheCommitIsRolledBack) {
  auto tx = begin();
  ASSERT_TRUE(add(tx, 1));
  auto outer = save(tx);
  ASSERT_TRUE(add(tx, 2));
  const auto inner = save(tx);
  ASSERT_TRUE(add(tx, 3));
  ASSERT_TRUE(tx.commit(patience));
  EXPECT_EQ(outer.release(patience).error(), std::errc::operation_not_permitted);
  EXPECT_EQ(ids(*db), (numbers{1}));
}

TEST_P(Savepoint, OfOthersRollsBackTheLaterOnes) {
  auto tx = begin();
  std::optional<savepoint> outer(save(tx));
  ASSERT_TRUE(add(tx, 1));
  auto inner = save(tx);
  ASSERT_TRUE(add(tx, 2));
  outer.reset();
  EXPECT_EQ(ids(tx), numbers());
  EXPECT_EQ(inner.release(patience).error(), std::errc::operation_not_permitted);

  auto first = save(tx);
  ASSERT_TRUE(add(tx, 3));
  {
    const auto second = save(tx);
    ASSERT_TRUE(add(tx, 4));
    ASSERT_TRUE(first.release(patience));  // and not what the open one within it has done
  }
  ASSERT_TRUE(tx.commit(patience));
  EXPECT_EQ(ids(*db), (numbers{3}));
}

TEST_P(Savepoint, NestsAndIsReleasedInItsOrder) {
  auto tx = begin();
  auto outer = save(tx);
  for (int id = 0; id != 5; ++id) {
    auto inner = save(tx);
    ASSERT_TRUE(add(tx, id));
    if (id % 2 == 0) {
      ASSERT_TRUE(inner.release(patience));
    }
  }
  ASSERT_TRUE(outer.release(patience));
  ASSERT_TRUE(tx.commit(patience));
  EXPECT_EQ(ids(*db), (numbers{0, 2, 4}));
}

TEST_P(Savepoint, IsMoved) {
  auto tx = begin();
  auto part = save(tx);
  ASSERT_TRUE(add(tx, 1));
  savepoint moved(std::move(part));
  EXPECT_EQ(ids(tx), (numbers{1}));
  ASSERT_TRUE(moved.release(patience));
  moved = save(tx);
  ASSERT_TRUE(add(tx, 2));
  savepoint last(save(tx));
  last = std::move(moved);  // what is replaced is rolled back
  EXPECT_TRUE(last.release(patience));
  ASSERT_TRUE(tx.commit(patience));
  EXPECT_EQ(ids(*db), (numbers{1, 2}));
}

TEST_P(Savepoint, WorksInACoroutine) {
  const auto act = [&]() -> asio::awaitable<result<>> {
    auto tx = co_await db->async_begin(patience.ctx());
    if (!tx) co_return tx.error();
    for (int id = 0; id != 6; ++id) {
      auto part = co_await tx->async_savepoint(patience.ctx());
      if (!part) co_return part.error();
      auto added = co_await tx->async_execute(patience.ctx(), "insert into items (id) values ($1)", id);
      if (!added) co_return added.error();
      if (id % 3 == 0) {
        auto kept = co_await part->async_release(patience.ctx());
        if (!kept) co_return kept.error();
      } else if (id % 3 == 1) {
        auto back = co_await part->async_rollback(patience.ctx());
        if (!back) co_return back.error();
      }
    }
    auto done = co_await tx->async_commit(patience.ctx());
    co_return done;
  };
  const auto done = run_coroutine(act());
  ASSERT_TRUE(done) << done.error();
  EXPECT_EQ(ids(*db), (numbers{0, 3}));
}

TEST_P(Savepoint, EndsTheStreamsThatBeganLater) {
  auto tx = begin();
  for (int id = 0; id != 1'000; ++id) ASSERT_TRUE(add(tx, id));
  auto before = tx.stream(patience, "select id from items order by id");
  ASSERT_TRUE(before) << before.error();
  std::optional<savepoint> part(save(tx));
  auto behind = tx.stream(patience, "select id from items order by id");
  ASSERT_TRUE(behind) << behind.error();
  ASSERT_TRUE(behind->next(patience));
  part.reset();
  const auto over = behind->next(patience);
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error(), std::errc::operation_not_permitted) << over.error();
  std::size_t count = 0;
  for (;;) {
    auto some = before->next(patience);
    ASSERT_TRUE(some) << some.error();
    if (some->empty()) break;
    count += some->size();
  }
  EXPECT_EQ(count, 1'000U);
  EXPECT_TRUE(tx.commit(patience));
}

TEST_P(Savepoint, OfATransactionThatIsOverIsOver) {
  std::optional<transaction> tx(begin());
  std::optional<savepoint> part(save(*tx));
  ASSERT_TRUE(tx->rollback(patience));
  EXPECT_EQ(part->release(patience).error(), std::errc::operation_not_permitted);
  EXPECT_EQ(tx->savepoint(patience).error(), std::errc::operation_not_permitted);
  tx.emplace(begin());
  part.emplace(save(*tx));
  tx.reset();
  EXPECT_EQ(part->release(patience).error(), std::errc::operation_not_permitted);
  EXPECT_EQ(part->rollback(patience).error(), std::errc::operation_not_permitted);
  part.reset();
  db.reset();
}

TEST_P(Savepoint, ReportsTheEndOfTheContextOfWhatComesNext) {
  auto tx = begin();
  ASSERT_TRUE(add(tx, 1));
  {
    const auto part = save(tx);
    ASSERT_TRUE(add(tx, 2));
  }
  auto ends = with_cancel(background());
  ends.cancel();
  const auto done = tx.commit(ends.ctx());
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error(), curfew::errc::canceled) << done.error();
  EXPECT_EQ(done.error().outcome(), outcome::did_not_happen);
  EXPECT_EQ(ids(*db), numbers()) << "it has not come to the COMMIT, and is rolled back";
}

CURFEW_WITH_EACH_DATABASE(Savepoint);

}  // namespace
}  // namespace curfew::sql
