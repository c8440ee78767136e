#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/sql.hpp>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "race.hpp"
#include "sql/postgres_fixture.hpp"

namespace curfew::sql {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

/// Statements that read $1, and take longer and longer.
constexpr std::array<text, 3> reads{text("select $1::int"),
                                    text("select max(n) * 0 + $1::int from generate_series(1, 2000) n"),
                                    text("select $1::int from pg_sleep(0.001)")};

class PostgresCancel : public postgres_test {
 protected:
  /// Cancels once the server works on a statement.
  std::thread cancel_when_active(cancel_scope& scope) {
    return std::thread([this, &scope] {
      EXPECT_TRUE(tests::eventually([this] { return count_of("active") == "1"; }));
      scope.cancel("nobody waits");
    });
  }

  /// How long some statements take here and now, so that random ends come before, within and behind them.
  template <class F>
  static std::uint64_t microseconds_of(F statement) {
    constexpr int count = 20;
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i != count; ++i) statement();
    return static_cast<std::uint64_t>((std::chrono::steady_clock::now() - began) / 1us) / count + 1;
  }

  /// What the writes of numbers have said of themselves, to be held against the table.
  class ledger {
   public:
    /// \return false: nobody can know.
    template <class T>
    bool add(int number, const result<T>& done) {
      const std::lock_guard guard(mutex_);
      if (!done && done.error().outcome() == outcome::unknown) return false;
      const bool is_there = done || done.error().outcome() == outcome::happened;
      (is_there ? there_ : not_there_).insert(number);
      return true;
    }
    void expect(const std::string& listed) const {
      std::set<int> found;
      std::istringstream lines(listed);
      for (int number = 0; lines >> number;)
        EXPECT_TRUE(found.insert(number).second) << number << " is there twice";
      for (const int number : there_)
        EXPECT_TRUE(found.contains(number)) << number << " was said to be there";
      for (const int number : not_there_)
        EXPECT_FALSE(found.contains(number)) << number << " was said not to be there";
      std::cout << "[   TOLD   ] " << there_.size() << " are there, " << not_there_.size() << " are not, of "
                << found.size() << " rows\n";
    }

   private:
    std::mutex mutex_;
    std::set<int> there_;
    std::set<int> not_there_;
  };
};

TEST_F(PostgresCancel, AQueryEndsInTheServerWithItsContext) {
  pool db(url(), pool_options().size(1));
  auto scope = with_cancel(background());
  auto ends = cancel_when_active(scope);
  auto found = db.query(scope, "select pg_sleep(60)");
  ends.join();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error(), curfew::errc::canceled);
  EXPECT_EQ(found.error().cause().message(), "nobody waits");
  EXPECT_TRUE(found.error().doing().starts_with("select pg_sleep(60)")) << found.error();
  EXPECT_EQ(found.error().outcome(), outcome::did_not_happen);
  auto next = db.query(patience, "select 7");
  ASSERT_TRUE(next) << next.error();
  EXPECT_EQ((*next)[0].get<int>(0), 7);
  EXPECT_TRUE(gets_quiet());
}

TEST_F(PostgresCancel, AWriteIsToldToHaveBeenEnded) {
  pool db(url(), pool_options().size(1));
  ASSERT_TRUE(db.execute(background(), "create table t (i int)"));
  for (const auto* text :
       {"insert into t select 1 from pg_sleep(60)", "insert into t select 1 from pg_sleep(60) returning i",
        "with s as (select 1 from pg_sleep(60)) insert into t select 1 from s"}) {
    auto scope = with_cancel(background());
    auto ends = cancel_when_active(scope);
    auto done = db.query(scope, dynamic(text));
    ends.join();
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error(), curfew::errc::canceled) << text;
    EXPECT_EQ(done.error().outcome(), outcome::did_not_happen) << text;
  }
  EXPECT_EQ(ask("select count(*) from t"), "0");
}

TEST_F(PostgresCancel, ATransactionWhoseStatementWasCutOffIsOver) {
  pool db(url(), pool_options().size(1));
  ASSERT_TRUE(db.execute(background(), "create table t (i int)"));
  auto tx = db.begin(background());
  ASSERT_TRUE(tx) << tx.error();
  ASSERT_TRUE(tx->execute(background(), "insert into t values (1)"));
  auto scope = with_cancel(background());
  auto ends = cancel_when_active(scope);
  EXPECT_EQ(tx->query(scope, "select pg_sleep(60)").error(), curfew::errc::canceled);
  ends.join();
  EXPECT_EQ(tx->execute(background(), "insert into t values (2)").error(),
            std::errc::operation_not_permitted);
  EXPECT_EQ(tx->commit(background()).error(), std::errc::operation_not_permitted);
  auto next = db.query(patience, "select count(*) from t");
  ASSERT_TRUE(next) << next.error();
  EXPECT_EQ((*next)[0].get<int>(0), 0);
  EXPECT_TRUE(gets_quiet());
}

TEST_F(PostgresCancel, ACommitThatIsCutOffSaysWhatBecameOfIt) {
  ask("create table t (i int); create function slow() returns trigger language plpgsql as $$ begin perform "
      "pg_sleep(60); "
      "return null; end $$; create constraint trigger at_commit after insert on t deferrable initially "
      "deferred for each "
      "row execute function slow()");
  pool db(url(), pool_options().size(1));
  auto tx = db.begin(background());
  ASSERT_TRUE(tx) << tx.error();
  ASSERT_TRUE(tx->execute(background(), "insert into t values (1)"));
  auto scope = with_cancel(background());
  auto ends = cancel_when_active(scope);
  auto done = tx->commit(scope);
  ends.join();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error(), curfew::errc::canceled);
  EXPECT_EQ(done.error().outcome(), outcome::did_not_happen);
  EXPECT_EQ(ask("select count(*) from t"), "0");
}

TEST_F(PostgresCancel, APoolThatGoesHasEndedWhatWasCutOff) {
  for (int i = 0; i != 5; ++i) {
    auto db = std::make_unique<pool>(url(), pool_options().grace(20s));
    std::vector<std::thread> all;
    for (int n = 0; n != 6; ++n) {
      all.emplace_back([&] {
        const auto scope = with_timeout(background(), 20ms);
        EXPECT_EQ(db->query(scope, "select pg_sleep(60)").error(), curfew::errc::deadline_exceeded);
      });
    }
    for (auto& each : all) each.join();
    db.reset();
    EXPECT_EQ(count_of("active"), "0");
  }
}

TEST_F(PostgresCancel, WhatIsPreparedForACallerThatHasGoneIsNotForgotten) {
  std::mt19937_64 random(testing::announce_seed("a statement that is prepared, and not kept"));
  pool db(url(), pool_options().size(1).statements(4));
  const testing::time_box box(3s);
  for (int i = 0; i != 1000 && box.open(); ++i) {
    const auto scope = with_timeout(background(), std::chrono::microseconds(random() % 1000));
    auto maybe = db.query(scope, dynamic("select " + std::to_string(i)));
    if (maybe) {
      EXPECT_EQ((*maybe)[0].get<int>(0), i);
    }
  }
  auto left = db.query(patience, "select count(*) from pg_prepared_statements");
  ASSERT_TRUE(left) << left.error();
  EXPECT_LE((*left)[0].get<int>(0), 4);
}

// A transaction that has failed drops none; until it is over the server has what was to be dropped.
TEST_F(PostgresCancel, WhatCannotBeDroppedNowIsDroppedLater) {
  pool db(url(), pool_options().size(1).statements(2));
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  EXPECT_TRUE(tx->query(patience, "select 1"));
  EXPECT_TRUE(tx->query(patience, "select 2"));
  EXPECT_EQ(tx->query(patience, "select 1 / 0").error().sqlstate(), "22012");
  EXPECT_EQ(tx->query(patience, "select 3").error().sqlstate(), "25P02");
  ASSERT_TRUE(tx->rollback(patience));
  auto left = db.query(patience, "select count(*) from pg_prepared_statements");
  ASSERT_TRUE(left) << left.error();
  EXPECT_LE((*left)[0].get<int>(0), 2);
}

// An end may come before the statement is sent, while it runs, when its answer is under way, and behind it: then the request
// to cancel must not reach the next one.
TEST_F(PostgresCancel, AnEndAtAnyMomentHitsNoOtherStatement) {
  std::mt19937_64 random(testing::announce_seed("a cancel that reaches the next statement"));
  pool db(url(), pool_options().size(1));
  const testing::time_box box(6s);
  int i = 0;
  int ended = 0;
  for (; i != 10'000 && (box.open() || i < 50); ++i) {
    auto scope = with_cancel(background());
    const auto after = std::chrono::microseconds(random() % (random() % 2 == 0 ? 200 : 2000));
    std::thread later([&] {
      std::this_thread::sleep_for(after);
      scope.cancel();
    });
    auto maybe = db.query(scope, reads[random() % reads.size()], i);
    if (maybe) {
      EXPECT_EQ((*maybe)[0].get<int>(0), i);
    } else {
      EXPECT_EQ(maybe.error(), curfew::errc::canceled) << maybe.error();
      ++ended;
    }
    auto sure = db.query(patience, reads[random() % reads.size()], -i);
    later.join();
    ASSERT_TRUE(sure) << sure.error() << " in round " << i;
    ASSERT_EQ((*sure)[0].get<int>(0), -i);
  }
  std::cout << "[  ROUNDS  ] " << i << ", of which " << ended << " were ended\n";
  EXPECT_TRUE(gets_quiet());
}

TEST_F(PostgresCancel, ThreadsThatShareAConnectionGetTheirOwnAnswers) {
  const auto seed = testing::announce_seed("an answer that reaches another's statement");
  pool db(url(), pool_options().size(1));
  const testing::time_box box(5s);
  std::atomic<int> right{0};
  std::vector<std::thread> all;
  for (int t = 0; t != 4; ++t) {
    all.emplace_back([&, t] {
      std::mt19937_64 random(seed + static_cast<unsigned>(t));
      for (int i = 0; i != 2500 && (box.open() || i < 20); ++i) {
        const int own = 1'000'000 * t + i;
        const bool is_sure = random() % 3 == 0;
        const auto scope =
            with_timeout(background(), is_sure ? 30'000'000us : std::chrono::microseconds(random() % 4000));
        auto found = db.query(scope, reads[random() % reads.size()], own);
        if (found) {
          ASSERT_EQ((*found)[0].get<int>(0), own);
          ++right;
        } else {
          ASSERT_FALSE(is_sure) << found.error();
          ASSERT_EQ(found.error(), curfew::errc::deadline_exceeded) << found.error();
        }
      }
    });
  }
  for (auto& each : all) each.join();
  EXPECT_GT(right, 0);
  EXPECT_TRUE(gets_quiet());
}

TEST_F(PostgresCancel, CoroutinesThatShareConnectionsGetTheirOwnAnswers) {
  std::mt19937_64 random(testing::announce_seed("an answer that reaches another coroutine"));
  pool db(url(), pool_options().size(3));
  const testing::time_box box(5s);
  asio::io_context loop(1);
  int right = 0;
  const auto one = [&](int id) -> asio::awaitable<void> {
    for (int i = 0; i != 500 && (box.open() || i < 5); ++i) {
      const int own = 1'000'000 * id + i;
      const bool is_sure = random() % 3 == 0;
      const auto scope =
          with_timeout(background(), is_sure ? 30'000'000us : std::chrono::microseconds(random() % 5000));
      auto found = co_await db.async_query(scope, reads[random() % reads.size()], own);
      if (found) {
        EXPECT_EQ((*found)[0].get<int>(0), own);
        ++right;
      } else {
        EXPECT_FALSE(is_sure) << found.error();
        EXPECT_EQ(found.error(), curfew::errc::deadline_exceeded) << found.error();
      }
    }
  };
  for (int id = 0; id != 16; ++id) asio::co_spawn(loop, one(id), asio::detached);
  loop.run();
  EXPECT_GT(right, 0);
  EXPECT_TRUE(gets_quiet());
}

TEST_F(PostgresCancel, AWriteThatIsCutOffAtAnyMomentTellsTheTruth) {
  const auto seed = testing::announce_seed("a write whose outcome is not what is in the table");
  ask("create table t (i int)");
  ledger told;
  {
    pool db(url(), pool_options().size(2));
    const auto usual = microseconds_of([&] {
      EXPECT_TRUE(db.execute(patience, "insert into t select $1 from pg_sleep(0.0005) where $1 < 0", 1));
    });
    const testing::time_box box(5s);
    std::vector<std::thread> all;
    for (int t = 0; t != 3; ++t) {
      all.emplace_back([&, t] {
        std::mt19937_64 random(seed + static_cast<unsigned>(t));
        for (int i = 0; i != 2000 && (box.open() || i < 20); ++i) {
          const int own = 1'000'000 * t + i;
          const auto scope = with_timeout(background(), std::chrono::microseconds(random() % (8 * usual)));
          if (random() % 2 == 0) {
            told.add(own, db.execute(scope, "insert into t values ($1)", own));
          } else {
            told.add(own, db.query(scope, "insert into t select $1 from pg_sleep(0.0005) returning i", own));
          }
        }
      });
    }
    for (auto& each : all) each.join();
  }
  EXPECT_TRUE(gets_quiet());
  told.expect(ask("select i from t"));
}

TEST_F(PostgresCancel, ATransactionThatIsCutOffAtAnyMomentTellsTheTruth) {
  std::mt19937_64 random(testing::announce_seed("a transaction whose outcome is not what is in the table"));
  ask("create table t (i int)");
  ledger told;
  {
    pool db(url(), pool_options().size(1));
    const auto usual = microseconds_of([&] {
      auto tx = db.begin(patience);
      ASSERT_TRUE(tx) << tx.error();
      EXPECT_TRUE(tx->execute(patience, "insert into t select $1 where $1 < 0", 1));
      EXPECT_TRUE(tx->commit(patience));
    });
    const testing::time_box box(5s);
    asio::io_context loop(1);
    const auto one = [&](int id) -> asio::awaitable<void> {
      for (int i = 0; i != 1000 && (box.open() || i < 20); ++i) {
        const int own = 1'000'000 * id + i;
        const auto scope = with_timeout(background(), std::chrono::microseconds(random() % (6 * usual)));
        auto tx = co_await db.async_begin(scope);
        if (!tx) continue;
        auto written = co_await tx->async_execute(scope, "insert into t values ($1)", own);
        if (!written) {
          told.add(own, written);
          continue;
        }
        if (random() % 4 == 0) {
          auto back = co_await tx->async_rollback(scope);
          if (back) told.add(own, result<>(error(errc::rolled_back, "rollback")));
          continue;
        }
        auto done = co_await tx->async_commit(scope);
        told.add(own, done);
      }
    };
    for (int id = 0; id != 2; ++id) asio::co_spawn(loop, one(id), asio::detached);
    loop.run();
  }
  EXPECT_TRUE(gets_quiet());
  told.expect(ask("select i from t"));
}

}  // namespace
}  // namespace curfew::sql
