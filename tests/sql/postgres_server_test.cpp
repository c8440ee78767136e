#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <tuple>

#include "postgres.hpp"
#include "program.hpp"

namespace curfew::tests {
namespace {

class PostgresServer : public ::testing::Test {
 protected:
  void SetUp() override { CURFEW_NEEDS_PROGRAMS("postgres", "initdb", "psql"); }
};

TEST_F(PostgresServer, KeepsWhatWasCommittedWhenItIsKilled) {
  postgres_server server;
  EXPECT_EQ(server.ask_for("show max_connections"), "50");
  server.ask("create table t (i int)");
  server.ask("insert into t values (7)");
  server.kill9();
  EXPECT_EQ(server.pid(), -1);
  EXPECT_THROW(server.ask("select 1"), std::runtime_error);
  server.start();
  EXPECT_EQ(server.ask_for("select i, 'x' from t"), "7|x");
  const pid_t before = server.pid();
  server.restart();
  EXPECT_NE(server.pid(), before);
  EXPECT_EQ(server.ask_for("select i from t"), "7");
}

TEST_F(PostgresServer, AnswersNothingWhileItIsPaused) {
  postgres_server& server = postgres_server::shared();
  program asks({find_program("psql"), "-XAtq", "-d", server.new_database()});
  asks.write("select 1;\n");
  EXPECT_EQ(asks.read_line(), "1");
  server.pause();
  for (const pid_t each : detail::children_of(server.pid())) EXPECT_EQ(detail::state_of(each).letter, 'T');
  asks.write("select 2;\n");
  server.resume();
  EXPECT_EQ(asks.read_line(), "2");
  server.pause();
  server.restart();
  EXPECT_EQ(server.ask_for("select 3"), "3");
}

TEST_F(PostgresServer, IsReachedThroughPgbouncer) {
  CURFEW_NEEDS_PROGRAMS("pgbouncer");
  const pgbouncer between(postgres_server::shared());
  EXPECT_EQ(run({find_program("psql"), "-XAtqc", "select 4", "-d", between.url()}).text, "4\n")
      << between.log();
}

}  // namespace
}  // namespace curfew::tests
