// How the connections of a pool are made, to both kinds of databases.

#include <curfew/sql.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <curfew/core.hpp>
#include <string>

#include "sql/any_database.hpp"
#include "sql/postgres_fixture.hpp"

namespace curfew::sql {
namespace {

class Connecting : public any_database {};

TEST_P(Connecting, AWarmPoolHasItsConnections) {
  pool db(url, pool_options().size(3));
  EXPECT_EQ(db.stats().size(), 0U);
  ASSERT_TRUE(db.warm_up(background(), 100));
  EXPECT_GE(db.stats().idle, 3U);
  EXPECT_EQ(db.stats().lent, 0U);
}

TEST_P(Connecting, APoolIsWarmedInACoroutine) {
  pool db(url);
  const auto done = run_coroutine(db.async_warm_up(background(), 2));
  ASSERT_TRUE(done) << done.error();
  EXPECT_GE(db.stats().idle, 2U);
}

TEST_P(Connecting, AWarmUpSaysThatThereIsNoDatabase) {
  pool db(is_postgres() ? "postgresql://app@127.0.0.1:1/none" : "sqlite:/nowhere/at/all.db");
  EXPECT_FALSE(db.warm_up(background()));
}

TEST_P(Connecting, EachConnectionBeginsWithItsStatements) {
  const bool is_server = is_postgres();
  const auto how = is_server ? pool_options().on_connect("set application_name = 'shop'")
                             : pool_options().on_connect("pragma case_sensitive_like = on");
  pool db(url, how);
  auto found = is_server ? db.query(background(), "select current_setting('application_name') = 'shop'")
                         : db.query(background(), "select not ('a' like 'A')");
  ASSERT_TRUE(found) << found.error();
  EXPECT_TRUE((*found)[0].get<bool>(0));
}

TEST_P(Connecting, AStatementOfItThatFailsIsTold) {
  pool db(url, pool_options().on_connect("selct 1"));
  const auto failed = db.query(background(), "select 1");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), errc::syntax);
  EXPECT_NE(failed.error().details().message.find("selct"), std::string::npos) << failed.error();
  EXPECT_EQ(db.stats().size(), 0U);
}

TEST(ConnectingToPostgres, EndsWithTheTimeoutOfItsUrl) {
  const tests::free_port silent;  // takes connections, and never answers
  pool db("postgresql://app@" + silent.address() + "/app?connect_timeout=1");
  const auto failed = db.query(background(), "select 1");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), errc::connection_failed);
  EXPECT_NE(failed.error().details().message.find("connect_timeout"), std::string::npos) << failed.error();
}

CURFEW_WITH_EACH_DATABASE(Connecting);

}  // namespace
}  // namespace curfew::sql
