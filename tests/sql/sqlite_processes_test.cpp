// One file of SQLite's, two processes. The second one is this program again, with a test that is disabled else.

#include <curfew/sql.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <curfew/core.hpp>
#include <filesystem>
#include <iostream>
#include <random>
#include <string>
#include <thread>

#include "program.hpp"
#include "sanitizers.hpp"

namespace curfew::sql {
namespace {

using namespace std::chrono_literals;

constexpr int accounts = 10;
constexpr std::int64_t cents = 1000;
constexpr const char* variable = "CURFEW_TEST_DATABASE";
constexpr std::string_view mark = "second process: ";

/// From one account to another, with a step between that may be cut off.
result<> transfer(const context& ctx, pool& db, std::mt19937& random) {
  auto tx = db.begin(ctx);
  if (!tx) return tx.error();
  const auto from = static_cast<int>(random() % accounts);
  auto taken = tx->execute(ctx, "update accounts set cents = cents - 1 where id = $1", from);
  if (!taken) return taken.error();
  auto given = tx->execute(ctx, "update accounts set cents = cents + 1 where id = $1", (from + 1) % accounts);
  if (!given) return given.error();
  return tx->commit(ctx);
}

class SqliteProcesses : public ::testing::Test {
 protected:
  SqliteProcesses() : url("sqlite:" + folder / "test.db") {
    pool db(url);
    EXPECT_TRUE(db.execute(background(), "create table accounts (id int primary key, cents int not null)"));
    for (int i = 0; i != accounts; ++i)
      EXPECT_TRUE(db.execute(background(), "insert into accounts values ($1, $2)", i, cents));
  }

  /// Runs a test that is disabled in this process.
  [[nodiscard]] tests::program start(const std::string& name) const {
    return tests::program(
        {std::filesystem::read_symlink("/proc/self/exe").string(), "--gtest_also_run_disabled_tests",
         "--gtest_filter=SecondProcess.DISABLED_" + name},
        nullptr, {std::string(variable) + '=' + url});
  }
  static void wait_for_mark(tests::program& of) {
    while (!of.read_line().starts_with(mark)) {
    }
  }

  void expect_intact() const {
    pool db(url);
    auto checked = db.query(background(), "pragma integrity_check");
    ASSERT_TRUE(checked) << checked.error();
    EXPECT_EQ((*checked)[0].get<std::string>(0), "ok");
    auto sum = db.query(background(), "select sum(cents), count(*) from accounts");
    ASSERT_TRUE(sum) << sum.error();
    EXPECT_EQ((*sum)[0].get<std::int64_t>(0), accounts * cents);
    EXPECT_EQ((*sum)[0].get<int>(1), accounts);
  }

  const tests::own_folder folder;
  const std::string url;
};

/// What the second process does, told by its own tests.
class SecondProcess : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* of = std::getenv(variable);
    if (of == nullptr) GTEST_SKIP() << "it is started by another test";
    url = of;
  }

  std::string url;
};

TEST_F(SecondProcess, DISABLED_TransfersWithoutAnEnd) {
  pool db(url);
  std::mt19937 random(1);
  for (int i = 0;; ++i) {
    const auto done = transfer(background(), db, random);
    ASSERT_TRUE(done || done.error() == errc::busy) << done.error();
    if (i % 10 == 0) std::cout << mark << i << std::endl;
  }
}

TEST_F(SecondProcess, DISABLED_HoldsTheLock) {
  pool db(url);
  auto tx = db.begin(background());
  ASSERT_TRUE(tx) << tx.error();
  ASSERT_TRUE(tx->execute(background(), "update accounts set cents = cents + 1"));
  std::cout << mark << "it has the lock" << std::endl;
  std::string line;
  std::getline(std::cin, line);  // its end
  ASSERT_TRUE(tx->rollback(background()));
}

TEST_F(SqliteProcesses, OneThatIsKilledLeavesWholeTransactions) {
  std::mt19937 random(static_cast<unsigned>(::testing::UnitTest::GetInstance()->random_seed()));
  pool db(url);
  for (int round = 0; round != (tests::under_thread_sanitizer ? 2 : 5); ++round) {
    auto other = start("TransfersWithoutAnEnd");
    for (int i = 0; i != 3; ++i) {
      wait_for_mark(other);
      const auto done = transfer(background(), db, random);
      EXPECT_TRUE(done) << done.error();
    }
    other.kill(SIGKILL);
    EXPECT_EQ(other.wait(), 128 + SIGKILL);
    expect_intact();
    const auto next = transfer(background(), db, random);
    EXPECT_TRUE(next) << next.error();
  }
}

TEST_F(SqliteProcesses, AWaitForTheLockOfAnotherEndsWithItsContext) {
  auto other = start("HoldsTheLock");
  wait_for_mark(other);
  {
    pool db(url);
    const auto scope = with_timeout(background(), 30ms);
    const auto ended = db.execute(scope.ctx(), "update accounts set cents = cents + 5");
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error(), curfew::errc::deadline_exceeded);
    EXPECT_EQ(ended.error().outcome(), outcome::did_not_happen);
    EXPECT_TRUE(db.query(background(), "select * from accounts"));  // which waits for no writer
  }
  {
    pool hurried(url, pool_options().busy_timeout(10ms));
    const auto busy = hurried.execute(background(), "update accounts set cents = cents + 5");
    ASSERT_FALSE(busy);
    EXPECT_EQ(busy.error(), errc::busy);
    EXPECT_TRUE(busy.error().transient());
  }
  pool patient(url);
  const std::jthread release([&other] { other.close_input(); });
  EXPECT_EQ(patient.execute(background(), "update accounts set cents = cents + 0"), accounts);
  other.read_all();
  EXPECT_EQ(other.wait(), 0);
  expect_intact();
}

TEST_F(SqliteProcesses, WhatIsCutOffAtAnyMomentLeavesNoHalf) {
  auto other = start("TransfersWithoutAnEnd");
  wait_for_mark(other);
  std::mt19937 random(static_cast<unsigned>(::testing::UnitTest::GetInstance()->random_seed()));
  pool db(url);
  const int rounds = tests::under_thread_sanitizer ? 50 : 300;
  int ended = 0;
  // On a busy machine the timer may come late, round after round.
  for (int i = 0; i < rounds || (ended == 0 && i < 100 * rounds); ++i) {
    const auto scope = with_timeout(background(), std::chrono::microseconds(random() % 200));
    const auto done = transfer(scope.ctx(), db, random);
    if (done) continue;
    ++ended;
    EXPECT_TRUE(done.error() == curfew::errc::deadline_exceeded) << done.error();
    EXPECT_EQ(done.error().outcome(), outcome::did_not_happen);
  }
  EXPECT_GT(ended, 0);
  other.kill(SIGKILL);
  EXPECT_EQ(other.wait(), 128 + SIGKILL);
  expect_intact();
}

}  // namespace
}  // namespace curfew::sql
