// Statements that go together, to both kinds of databases.

#include <curfew/sql.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <curfew/core.hpp>
#include <string>
#include <vector>

#include "sql/any_database.hpp"
#include "sql/postgres_fixture.hpp"

namespace curfew::sql {
namespace {

using namespace std::chrono_literals;

class Batch : public any_database {
 protected:
  void SetUp() override {
    any_database::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    pool db(url);
    ASSERT_TRUE(db.execute(background(), "create table t (id int primary key, name text not null)"));
  }

  static std::int64_t count(pool& db) {
    auto found = db.query(background(), "select count(*) from t");
    EXPECT_TRUE(found) << found.error();
    return found ? (*found)[0].get<std::int64_t>(0) : -1;
  }
  static batch inserts(int first, int last) {
    batch all;
    for (int i = first; i != last; ++i)
      all.add("insert into t values ($1, $2)", i, "name " + std::to_string(i));
    return all;
  }
};

TEST_P(Batch, AnswersEachStatementInItsOrder) {
  pool db(url);
  batch all = inserts(0, 3);
  all.add("select id, name from t order by id")
      .add("update t set name = $1", "x")
      .add("select 1 where 1 = 0");
  EXPECT_EQ(all.size(), 6U);
  for (int i = 0; i != 2; ++i) {
    auto done = db.run_batch(background(), all);
    ASSERT_TRUE(done) << done.error();
    ASSERT_EQ(done->size(), 6U);
    EXPECT_EQ((*done)[0].affected(), 1U);
    ASSERT_EQ((*done)[3].size(), 3U);
    EXPECT_EQ((*done)[3][2].get<std::string>(1), "name 2");
    EXPECT_EQ((*done)[4].affected(), 3U);
    EXPECT_TRUE((*done)[5].empty());
    EXPECT_EQ(db.execute(background(), "delete from t"), 3U);  // the second time all is prepared
  }
}

TEST_P(Batch, OfNoStatementsDoesNothing) {
  pool db(url);
  const auto done = db.run_batch(background(), batch());
  ASSERT_TRUE(done) << done.error();
  EXPECT_TRUE(done->empty());
  EXPECT_TRUE(db.query(background(), "select 1"));
}

TEST_P(Batch, HappensAsAWholeOrNotAtAll) {
  pool db(url, pool_options().size(1));
  batch all = inserts(0, 5);
  all.add("insert into t values ($1, $2)", 3, "again").add("insert into t values (9, 'behind')");
  const auto failed = db.run_batch(background(), all);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), errc::unique_violation);
  EXPECT_TRUE(failed.error().doing().starts_with("insert into t values ($1, $2)")) << failed.error();
  EXPECT_EQ(failed.error().outcome(), outcome::did_not_happen);
  EXPECT_EQ(count(db), 0);
  EXPECT_TRUE(db.run_batch(background(), inserts(0, 5)));
  EXPECT_EQ(count(db), 5);
}

TEST_P(Batch, SaysWhichStatementIsWrong) {
  pool db(url, pool_options().size(1));
  batch all = inserts(0, 2);
  all.add("selct 1").add("select 2");
  for (int i = 0; i != 3; ++i) {
    const auto failed = db.run_batch(background(), all);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error(), errc::syntax);
    EXPECT_TRUE(failed.error().doing().starts_with("selct 1")) << failed.error();
    EXPECT_EQ(count(db), 0);
  }
  // What was not prepared is not dropped either, which would end a transaction.
  auto tx = db.begin(background());
  ASSERT_TRUE(tx) << tx.error();
  EXPECT_TRUE(tx->query(background(), "select 17"));
  EXPECT_TRUE(tx->query(background(), "select 2"));
  EXPECT_TRUE(tx->commit(background()));
}

TEST_P(Batch, IsPartOfATransaction) {
  pool db(url);
  {
    auto tx = db.begin(background());
    ASSERT_TRUE(tx) << tx.error();
    ASSERT_TRUE(tx->run_batch(background(), inserts(0, 3)));
    ASSERT_TRUE(tx->rollback(background()));
  }
  EXPECT_EQ(count(db), 0);
  auto tx = db.begin(background());
  ASSERT_TRUE(tx) << tx.error();
  ASSERT_TRUE(tx->run_batch(background(), inserts(0, 3)));
  ASSERT_TRUE(tx->commit(background()));
  EXPECT_EQ(count(db), 3);
}

TEST_P(Batch, HasItsRowsTogetherAfterAStream) {
  pool db(url, pool_options().size(1));
  ASSERT_TRUE(db.run_batch(background(), inserts(0, 3)));
  batch all;
  all.add("select id, name from t order by id").add("update t set name = name");
  for (int i = 0; i != 2; ++i) {  // the second time all is prepared
    const auto done = db.run_batch(background(), all);
    ASSERT_TRUE(done) << done.error();
    ASSERT_EQ((*done)[0].size(), 3U);
    EXPECT_EQ((*done)[0][2].get<std::string>(1), "name 2");
    EXPECT_EQ((*done)[1].affected(), 3U);
    auto some = db.stream(background(), "select id from t");
    ASSERT_TRUE(some) << some.error();
    EXPECT_EQ(some->next(background())->size(), 3U);
    EXPECT_TRUE(some->next(background())->empty());
  }
}

TEST_P(Batch, OfACoroutineIsLargerThanWhatSocketsHold) {
  pool db(url);
  const std::string large(100'000, 'x');
  batch all;
  for (int i = 0; i != 100; ++i)
    all.add("insert into t values ($1, $2)", i, large).add("select name from t where id = $1", i);
  const auto run = [&]() -> boost::asio::awaitable<result<std::vector<rows>>> {
    co_return co_await db.async_run_batch(background(), all);
  };
  const auto done = run_coroutine(run());
  ASSERT_TRUE(done) << done.error();
  ASSERT_EQ(done->size(), 200U);
  for (std::size_t i = 1; i != 201; i += 2)
    EXPECT_EQ((*done)[i][0].get<std::string_view>(0).size(), large.size());
}

TEST_P(Batch, ThatIsCutOffDidNotHappen) {
  pool db(url, pool_options().size(1));
  batch all = inserts(0, 3);
  all.add(
      "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000000000) "
      "insert into t select 1000, cast(count(*) as text) from n");
  const auto scope = with_timeout(background(), 50ms);
  const auto ended = db.run_batch(scope.ctx(), all);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error(), curfew::errc::deadline_exceeded);
  EXPECT_EQ(ended.error().outcome(), outcome::did_not_happen);
  EXPECT_EQ(count(db), 0);
}

CURFEW_WITH_EACH_DATABASE(Batch);

}  // namespace
}  // namespace curfew::sql
