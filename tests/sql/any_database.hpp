#pragma once

#include <gtest/gtest.h>

#include <string>

#include "postgres.hpp"
#include "program.hpp"

namespace curfew::sql {

/// A test that runs with each kind of database; each has an empty one of its own.
class any_database : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (is_postgres()) {
      CURFEW_NEEDS_PROGRAMS("postgres", "initdb", "psql");
      url = tests::postgres_server::shared().new_database();
    } else {
      url = "sqlite:" + folder / "test.db";
    }
  }

  [[nodiscard]] static bool is_postgres() { return GetParam() == "postgresql"; }

  const tests::own_folder folder;
  std::string url;
};

inline std::string name_of_database(const ::testing::TestParamInfo<std::string>& its) { return its.param; }

}  // namespace curfew::sql

#define CURFEW_WITH_EACH_DATABASE(test) \
  INSTANTIATE_TEST_SUITE_P(, test, ::testing::Values("sqlite", "postgresql"), name_of_database)
