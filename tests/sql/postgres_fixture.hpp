#pragma once

#include <gtest/gtest.h>

#include <curfew/sql.hpp>
#include <string>

#include "http/waiting.hpp"
#include "postgres.hpp"
#include "program.hpp"
#include "run_coroutine.hpp"

namespace curfew::sql {

using tests::run_coroutine;

/// A test with a server that its program shares, and a database of its own.
class postgres_test : public ::testing::Test {
 protected:
  void SetUp() override { CURFEW_NEEDS_PROGRAMS("postgres", "initdb", "psql"); }

  static tests::postgres_server& server() { return tests::postgres_server::shared(); }
  const std::string& database() {
    if (database_.empty()) database_ = server().new_database_name();
    return database_;
  }
  std::string url() { return server().url(database()); }
  /// What psql says, which knows nothing of the library.
  std::string ask(const std::string& statement) { return server().ask_for(statement, database()); }
  /// Other connections to the database, by their state: "active", "idle in transaction".
  std::string count_of(const std::string& state) {
    return server().ask_for("select count(*) from pg_stat_activity where datname = '" + database() +
                            "' and state = '" + state + "'");
  }
  /// Whether its server comes to work on nothing any more.
  bool gets_quiet() {
    return tests::eventually(
        [this] { return count_of("active") == "0" && count_of("idle in transaction") == "0"; });
  }

  /// Against hangs alone: what is right takes a fraction of it.
  const cancel_scope patience = with_timeout(background(), tests::program_patience);

 private:
  std::string database_;
};

}  // namespace curfew::sql
