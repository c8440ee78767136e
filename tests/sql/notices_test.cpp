// What PostgreSQL says beside its answers.

#include <curfew/sql.hpp>

#include <gtest/gtest.h>

#include <curfew/core.hpp>
#include <mutex>
#include <string>
#include <vector>

#include "sql/postgres_fixture.hpp"

namespace curfew::sql {
namespace {

class Notices : public postgres_test {
 protected:
  pool_options heard() {
    return pool_options().on_notice([this](const notice& what) {
      const std::lock_guard lock(mutex_);
      all_.push_back(what);
    });
  }
  std::vector<notice> all() {
    const std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  std::mutex mutex_;
  std::vector<notice> all_;
};

TEST_F(Notices, AreHeardWithWhatTheySay) {
  pool db(url(), heard());
  ASSERT_TRUE(db.execute(patience,
                         "do $$ begin raise notice '% of %', 3, 7 using hint = 'wait', detail = 'rows'; "
                         "raise warning 'no more'; end $$"));
  const auto said = all();
  ASSERT_EQ(said.size(), 2U);
  EXPECT_EQ(said[0].severity, "NOTICE");
  EXPECT_EQ(said[0].details.message, "3 of 7");
  EXPECT_EQ(said[0].details.hint, "wait");
  EXPECT_EQ(said[0].details.detail, "rows");
  EXPECT_EQ(said[0].details.sqlstate, "00000");
  EXPECT_EQ(said[1].severity, "WARNING");
  EXPECT_EQ(said[1].details.sqlstate, "01000");
}

TEST_F(Notices, AreHeardInCoroutinesToo) {
  pool db(url(), heard());
  const auto done = run_coroutine(db.async_execute(patience.ctx(), "drop table if exists nothing"));
  ASSERT_TRUE(done) << done.error();
  const auto said = all();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_EQ(said[0].details.message, "table \"nothing\" does not exist, skipping");
}

TEST_F(Notices, NobodyHasToHear) {
  pool db(url());
  EXPECT_TRUE(db.execute(patience, "drop table if exists nothing"));
}

TEST_F(Notices, TheServersLastWordIsNone) {
  pool db(url(), heard());
  auto number = db.query(patience, "select pg_backend_pid()");
  ASSERT_TRUE(number) << number.error();
  // It waits until that one has gone: a query that the server still takes fails with it.
  ask("select pg_terminate_backend(" + std::to_string((*number)[0].get<int>(0)) + ", 20000)");
  EXPECT_TRUE(db.query(patience, "select 1"));
  EXPECT_TRUE(all().empty());
}

TEST_F(Notices, AnErrorSaysItsDetailAndItsHint) {
  pool db(url());
  ASSERT_TRUE(db.execute(patience, "create table users (id int primary key)"));
  ASSERT_TRUE(db.execute(patience, "insert into users values (1)"));
  const auto twice = db.execute(patience, "insert into users values (1)");
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().details().detail, "Key (id)=(1) already exists.");
  EXPECT_EQ(twice.error().message().find("already exists"), std::string::npos) << "values are not told";
  const auto unknown = db.query(patience, "select idd from users");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().details().hint.find("users.id"), std::string::npos);
}

}  // namespace
}  // namespace curfew::sql
