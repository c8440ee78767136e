#include <curfew/sql.hpp>

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/sync.hpp>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace curfew::sql {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

/// Goes on until it is ended: some 10^12 rows.
constexpr text endless =
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000000000) select sum(i) "
    "from n";

class Sqlite : public ::testing::Test {
 protected:
  Sqlite() {
    auto pattern = (std::filesystem::temp_directory_path() / "curfew-sql-XXXXXX").string();
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    directory = pattern;
  }
  ~Sqlite() override { std::filesystem::remove_all(directory); }

  [[nodiscard]] std::string url() const { return "sqlite:" + (directory / "test.db").string(); }

  static void fill(pool& db) {
    ASSERT_TRUE(
        db.execute(background(), "create table users (id integer primary key, name text unique, age int)"));
    for (int i = 1; i != 4; ++i) {
      ASSERT_TRUE(db.execute(background(), "insert into users (name, age) values ($1, $2)",
                             "user " + std::to_string(i), 10 * i));
    }
  }
  static std::int64_t count(pool& db) {
    auto found = db.query(background(), "select count(*) from users");
    EXPECT_TRUE(found) << found.error();
    return found ? (*found)[0].get<std::int64_t>(0) : -1;
  }
  /// The file as SQLite sees it.
  void expect_intact() const {
    pool fresh(url());
    auto checked = fresh.query(background(), "pragma integrity_check");
    ASSERT_TRUE(checked) << checked.error();
    EXPECT_EQ((*checked)[0].get<std::string>(0), "ok");
  }

  std::filesystem::path directory;
};

TEST_F(Sqlite, AQueryGivesRowsAsTuples) {
  pool db(url());
  fill(db);
  auto found = db.query(background(), "select id, name from users where age > $1 order by id", 10);
  ASSERT_TRUE(found) << found.error();
  EXPECT_EQ(found->columns(), (std::vector<std::string>{"id", "name"}));
  std::vector<std::tuple<std::int64_t, std::string>> all;
  for (auto [id, name] : found->as<std::int64_t, std::string>()) all.emplace_back(id, name);
  EXPECT_EQ(all, (std::vector<std::tuple<std::int64_t, std::string>>{{2, "user 2"}, {3, "user 3"}}));
}

TEST_F(Sqlite, EachTypeComesBackAsItWent) {
  pool db("sqlite::memory:");
  const timestamp at = std::chrono::sys_days(std::chrono::year(2026) / 10 / 5) + 12h + 30min + 7us;
  const auto id = *uuid::parse("f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
  const bytes some{std::byte(0), std::byte(255), std::byte(7)};
  auto found = db.query(background(), "select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11", 42, 2.5, "text",
                        true, some, id, at, numeric{"12.50"}, json{"{}"}, nullptr, std::optional<int>(7));
  ASSERT_TRUE(found) << found.error();
  for (auto [i, d, t, b, blob, u, when, n, j, none, seven] :
       found->as<int, double, std::string, bool, bytes, uuid, timestamp, numeric, json, std::optional<int>,
                 std::optional<std::int64_t>>()) {
    EXPECT_EQ(i, 42);
    EXPECT_EQ(d, 2.5);
    EXPECT_EQ(t, "text");
    EXPECT_TRUE(b);
    EXPECT_EQ(blob, some);
    EXPECT_EQ(u, id);
    EXPECT_EQ(when, at);
    EXPECT_EQ(n.text, "12.50");
    EXPECT_EQ(j.text, "{}");
    EXPECT_FALSE(none);
    EXPECT_EQ(seven, 7);
  }
}

struct person {
  std::int64_t id;
  std::string name;
  std::optional<int> age;
};

TEST_F(Sqlite, RowsBecomeStructs) {
  pool db(url());
  fill(db);
  auto people =
      db.query_as<person>(background(), "select id, name, age from users where id < $1 order by id", 3);
  ASSERT_TRUE(people) << people.error();
  ASSERT_EQ(people->size(), 2U);
  EXPECT_EQ((*people)[1].name, "user 2");
  EXPECT_EQ((*people)[1].age, 20);
  const auto narrow = db.query_as<person>(background(), "select id, name from users");
  EXPECT_EQ(narrow.error(), errc::conversion);
  const auto wrong = db.query_as<person>(background(), "select name, name, age from users");
  EXPECT_EQ(wrong.error(), errc::conversion);
  EXPECT_TRUE(wrong.error().message().contains("column name is text")) << wrong.error();
  EXPECT_EQ(db.query_as<person>(background(), "select 1 from users where id = 0")->size(), 0U);
  asio::io_context io(1);
  std::size_t found = 0;
  const auto all = [&]() -> asio::awaitable<void> {
    auto got = co_await db.async_query_as<person>(background(), "select id, name, age from users");
    found = got ? got->size() : 0;
  };
  asio::co_spawn(io, all, asio::detached);
  io.run();
  EXPECT_EQ(found, 3U);
}

TEST_F(Sqlite, ParametersAreNumberedByTheirNumber) {
  pool db("sqlite::memory:");
  auto found = db.query(background(), "select $2, $1, $2", "first", "second");
  ASSERT_TRUE(found) << found.error();
  EXPECT_EQ((*found)[0].get<std::string>(0), "second");
  EXPECT_EQ((*found)[0].get<std::string>(1), "first");
  EXPECT_EQ((*found)[0].get<std::string>(2), "second");
  EXPECT_EQ(db.query(background(), "select $1, $2", 1).error(), errc::bad_parameter);
  EXPECT_EQ(db.query(background(), "select $1", 1, 2).error(), errc::bad_parameter);
  for (const auto* wrong :
       {"select ?", "select $2", "select $0", "select $name", "select :1", "select $1, $3"})
    EXPECT_EQ(db.query(background(), dynamic(wrong), 1).error(), errc::bad_parameter) << wrong;
}

TEST_F(Sqlite, AValueOfAnotherTypeIsSaidToBe) {
  pool db("sqlite::memory:");
  auto found = db.query(background(), "select 'x' as name, null as age, 300 as byte");
  ASSERT_TRUE(found);
  const row first = (*found)[0];
  try {
    std::ignore = first.get<int>(0);
    FAIL();
  } catch (const conversion_error& wrong) {
    EXPECT_STREQ(wrong.what(), "column name is text, and was read as an integer");
  }
  EXPECT_THROW(std::ignore = first.get<int>(1), conversion_error);
  EXPECT_EQ(first.get<std::optional<int>>(1), std::nullopt);
  EXPECT_THROW(std::ignore = first.get<std::int8_t>(2), conversion_error);
  EXPECT_THROW((std::ignore = found->as<int, int>()), conversion_error);
  EXPECT_THROW(std::ignore = first.get<int>(3), std::out_of_range);
}

TEST_F(Sqlite, ErrorsSayWhatProgramsBranchOn) {
  pool db(url());
  fill(db);
  const auto of = [&](auto what, auto... values) {
    return db.execute(background(), dynamic(what), values...).error();
  };
  auto twice = of("insert into users (name) values ($1)", "user 1");
  EXPECT_EQ(twice, errc::unique_violation);
  EXPECT_EQ(twice.constraint(), "users.name");
  EXPECT_FALSE(twice.transient());
  auto wrong = of("selekt 1");
  EXPECT_EQ(wrong, errc::syntax);
  EXPECT_EQ(wrong.details().position, 1U);
  EXPECT_EQ(of("select 'ä', nothing from users").details().position, 13U);
  EXPECT_EQ(of("select 1; select 2"), errc::many_statements);
  EXPECT_EQ(of(""), errc::syntax);
  EXPECT_EQ(of("begin"), errc::other);
  ASSERT_TRUE(db.execute(
      background(), "create table pets (of int not null references users, name text check (name <> ''))"));
  EXPECT_EQ(of("insert into pets values (99, 'x')"), errc::foreign_key_violation);
  EXPECT_EQ(of("insert into pets values (null, 'x')"), errc::not_null_violation);
  EXPECT_EQ(of("insert into pets values (1, '')"), errc::check_violation);
  EXPECT_EQ(count(db), 3);
  EXPECT_THROW(pool("mysql://x"), std::system_error);
  pool nowhere("sqlite:" + (directory / "none" / "x.db").string());
  const auto unopened = nowhere.query(background(), "select 1").error();
  EXPECT_EQ(unopened, errc::other);
  EXPECT_TRUE(unopened.message().contains("none/x.db")) << unopened;
  EXPECT_TRUE(unopened.message().contains("unable to open database file")) << unopened;
}

TEST_F(Sqlite, ATransactionLastsOnlyIfItIsCommitted) {
  pool db(url());
  fill(db);
  {
    auto given_up = db.begin(background());
    ASSERT_TRUE(given_up) << given_up.error();
    ASSERT_TRUE(given_up->execute(background(), "delete from users"));
    EXPECT_EQ(count(db), 3) << "readers see what was there";
  }
  auto kept = db.begin(background());
  ASSERT_TRUE(kept) << kept.error();
  EXPECT_EQ(kept->execute(background(), "delete from users where id = 1"), 1U);
  ASSERT_TRUE(kept->commit(background()));
  EXPECT_EQ(kept->execute(background(), "delete from users").error(), std::errc::operation_not_permitted);
  EXPECT_EQ(count(db), 2);
  auto back = db.begin(background());
  ASSERT_TRUE(back->execute(background(), "delete from users"));
  ASSERT_TRUE(back->rollback(background()));
  EXPECT_EQ(count(db), 2);
  auto reads = db.begin(background(), transaction_options().read_only(true));
  EXPECT_EQ(reads->execute(background(), "delete from users").error(), errc::read_only);
}

TEST_F(Sqlite, ALongQueryEndsWithItsContext) {
  pool db(url());
  auto scope = with_cancel(background());
  std::thread later([&] {
    std::this_thread::sleep_for(20ms);
    scope.cancel("nobody waits");
  });
  auto found = db.query(scope, endless);
  later.join();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error(), curfew::errc::canceled);
  EXPECT_EQ(found.error().cause().message(), "nobody waits");
  EXPECT_TRUE(found.error().doing().starts_with("with recursive n(i)")) << found.error();
  EXPECT_EQ(found.error().outcome(), outcome::did_not_happen);
  EXPECT_TRUE(db.query(background(), "select 1")) << "the connection is clean";
}

TEST_F(Sqlite, AnEndAtAnyMomentHitsNoOtherStatement) {
  pool db(url(), pool_options().size(1));
  fill(db);
  for (int i = 0; i != 2000; ++i) {
    auto scope = with_cancel(background());
    std::thread later([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(i % 200));
      scope.cancel();
    });
    auto maybe = db.query(scope, "select count(*) from users a, users b, users c, users d, users e");
    if (maybe) {
      EXPECT_EQ((*maybe)[0].get<int>(0), 243);
    }
    auto sure = db.query(background(), "select $1", i);
    later.join();
    ASSERT_TRUE(sure) << sure.error();
    EXPECT_EQ((*sure)[0].get<int>(0), i);
  }
}

TEST_F(Sqlite, ALongQueryEndsByItsDeadline) {
  pool db(url());
  const auto scope = with_timeout(background(), 5ms);
  auto found = db.query(scope, endless);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error(), curfew::errc::deadline_exceeded);
}

// Hunts: a statement that runs on although its context has ended, because the interrupt came just before it began.
TEST_F(Sqlite, AStatementThatBeginsAsItsContextEndsDoesEnd) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  pool db(url(), pool_options().size(1));
  ASSERT_TRUE(db.query(background(), "select 1"));
  for (int i = 0; i != 500; ++i) {
    auto scope = with_cancel(background());
    std::thread later([&, spin = random() % 20'000]() mutable {
      for (; spin > 0; --spin) asm volatile("");
      scope.cancel();
    });
    for (auto spin = random() % 20'000; spin > 0; --spin) asm volatile("");
    const auto ended = db.query(scope, endless);
    later.join();
    ASSERT_FALSE(ended);
    ASSERT_EQ(ended.error(), curfew::errc::canceled);
  }
}

TEST_F(Sqlite, AWaitForALockEndsWithItsContext) {
  pool db(url());
  fill(db);
  pool other(url());
  auto holds = other.begin(background());
  ASSERT_TRUE(holds);
  const auto scope = with_timeout(background(), 30ms);
  auto waited = db.execute(scope, "delete from users");
  EXPECT_EQ(waited.error(), curfew::errc::deadline_exceeded);
  pool impatient(url(), pool_options().busy_timeout(10ms));
  auto busy = impatient.execute(background(), "delete from users");
  EXPECT_EQ(busy.error(), errc::busy);
  EXPECT_TRUE(busy.error().transient());
  ASSERT_TRUE(holds->rollback(background()));
  EXPECT_EQ(count(db), 3);
  EXPECT_TRUE(impatient.execute(background(), "delete from users"));
}

TEST_F(Sqlite, AWaitForAConnectionEndsWithItsContext) {
  pool db(url());
  auto first = db.begin(background());
  ASSERT_TRUE(first);
  const auto scope = with_timeout(background(), 10ms);
  const auto waited = db.begin(scope).error();
  EXPECT_EQ(waited, curfew::errc::deadline_exceeded);
  EXPECT_EQ(waited.doing(), "begin : waiting for a connection");
  EXPECT_EQ(db.stats().lent, 1U);
}

TEST_F(Sqlite, CoroutinesDoNotBlockTheirThread) {
  pool db(url());
  fill(db);
  asio::io_context io(1);
  int ticks = 0;
  auto scope = with_cancel(background());
  const auto all = [&]() -> asio::awaitable<void> {
    auto begun = co_await db.async_begin(background());
    EXPECT_TRUE(begun);
    auto changed = co_await begun->async_execute(background(), "update users set age = age + $1", 1);
    EXPECT_EQ(changed, 3U);
    auto committed = co_await begun->async_commit(background());
    EXPECT_TRUE(committed);
    auto found = co_await db.async_query(background(), "select sum(age) from users");
    EXPECT_TRUE(found);
    EXPECT_EQ(found ? (*found)[0].get<int>(0) : -1, 63);
    auto ended = co_await db.async_query(scope, endless);
    EXPECT_TRUE(!ended && ended.error() == curfew::errc::canceled);
  };
  const auto tick = [&]() -> asio::awaitable<void> {
    while (ticks < 20) {
      ++ticks;
      std::ignore = co_await async_sleep_for(background(), 1ms);
    }
    scope.cancel();
  };
  asio::co_spawn(io, all, asio::detached);
  asio::co_spawn(io, tick, asio::detached);
  io.run();
  EXPECT_EQ(ticks, 20);
}

TEST_F(Sqlite, ManyThreadsLoseNothing) {
  pool db(url(), pool_options().size(3));
  fill(db);
  std::atomic<int> committed{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t != 6; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i != 50; ++i) {
          const auto scope = with_timeout(background(), std::chrono::microseconds(300 * (i % 10) + 50));
          auto tx = db.begin(scope);
          if (!tx) continue;
          const std::string name = std::to_string(t) + '/' + std::to_string(i);
          if (!tx->execute(scope, "insert into users (name) values ($1)", name)) continue;
          auto done = tx->commit(scope);
          if (done) {
            ++committed;
          } else {
            EXPECT_EQ(done.error().outcome(), outcome::did_not_happen);
          }
        }
      });
    }
  }
  EXPECT_EQ(count(db), 3 + committed);
  expect_intact();
}

}  // namespace
}  // namespace curfew::sql
