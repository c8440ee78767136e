#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/sql.hpp>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "sql/postgres_fixture.hpp"

namespace curfew::sql {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

class Postgres : public postgres_test {
 protected:
  static void fill(pool& db) {
    ASSERT_TRUE(db.execute(background(),
                           "create table users (id serial primary key, name text unique, age int, "
                           "check (age >= 0))"));
    for (int i = 1; i != 4; ++i) {
      EXPECT_EQ(db.execute(background(), "insert into users (name, age) values ($1, $2)",
                           "user " + std::to_string(i), 10 * i),
                1U);
    }
  }
  static std::int64_t count(pool& db) {
    auto found = db.query(background(), "select count(*) from users");
    EXPECT_TRUE(found) << found.error();
    return found ? (*found)[0].get<std::int64_t>(0) : -1;
  }
};

TEST_F(Postgres, AQueryGivesRowsAsTuples) {
  pool db(url());
  fill(db);
  auto found = db.query(background(), "select id, name from users where age > $1 order by id", 10);
  ASSERT_TRUE(found) << found.error();
  EXPECT_EQ(found->columns(), (std::vector<std::string>{"id", "name"}));
  std::vector<std::tuple<int, std::string>> all;
  for (auto [id, name] : found->as<int, std::string>()) all.emplace_back(id, name);
  EXPECT_EQ(all, (std::vector<std::tuple<int, std::string>>{{2, "user 2"}, {3, "user 3"}}));
  EXPECT_EQ(db.execute(background(), "update users set age = age + 1 where age < $1", 25), 2U);
  auto made = db.query(background(), "insert into users (name) values ($1), ($2) returning id", "a", "b");
  ASSERT_TRUE(made) << made.error();
  EXPECT_EQ(made->size(), 2U);
  EXPECT_EQ(made->affected(), 2U);
}

TEST_F(Postgres, RowsOutliveTheirPool) {
  std::optional<rows> kept;
  {
    pool db(url());
    auto found = db.query(background(), "select n, 'row ' || n from generate_series(1, 1000) n");
    ASSERT_TRUE(found) << found.error();
    kept = *found;
  }
  int n = 0;
  for (auto [number, text] : kept->as<int, std::string_view>()) {
    EXPECT_EQ(number, ++n);
    EXPECT_EQ(text, "row " + std::to_string(n));
  }
  EXPECT_EQ(n, 1000);
}

/// Whatever the database is set to: nothing of that may change a value.
constexpr const char* settings[] = {"datestyle = 'SQL, DMY'", "timezone = 'America/St_Johns'",
                                    "bytea_output = 'escape'", "extra_float_digits = 0",
                                    "intervalstyle = 'sql_standard'"};

TEST_F(Postgres, EachTypeComesBackAsItWent) {
  for (const auto* setting : settings) server().ask("alter database " + database() + " set " + setting);
  const timestamp at = std::chrono::sys_days(std::chrono::year(2026) / 10 / 5) + 12h + 30min + 7us;
  const auto id = *uuid::parse("f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
  bytes some;
  for (int i = 0; i != 256; ++i) some.push_back(static_cast<std::byte>(i));
  for (const bool prepared : {true, false}) {
    // Behind pgbouncer a session is another's next, so that its settings are left alone; but for that of dates.
    if (!prepared) server().ask("alter database " + database() + " reset extra_float_digits");
    pool db(url(), pool_options().prepared(prepared));
    for (int again = 0; again != 2; ++again) {
      auto found = db.query(
          background(),
          "select $1::bigint, $2::float8, $3, $4::bool, $5::bytea, $6::uuid, $7::timestamp, $8::timestamptz, "
          "$9::numeric, $10::jsonb, $11::int, $12::int2, $13::float4, $14::varchar, $15::json",
          std::numeric_limits<std::int64_t>::min(), 0.1 + 0.2, "text ä", true, some, id, at, at,
          numeric{"123456789012345678901234567890.50"}, json{R"({"a": 1})"}, nullptr, std::optional<int>(-7),
          0.1F, "", json{R"({"a":  1})"});
      ASSERT_TRUE(found) << found.error();
      ASSERT_EQ(found->size(), 1U);
      for (auto [i, d, t, b, blob, u, when, zoned, n, j, none, small, f, empty, plain] :
           found->as<std::int64_t, double, std::string, bool, bytes, uuid, timestamp, timestamp, numeric,
                     json, std::optional<int>, std::int16_t, float, std::string_view, json>()) {
        EXPECT_EQ(i, std::numeric_limits<std::int64_t>::min());
        EXPECT_EQ(d, 0.1 + 0.2);
        EXPECT_EQ(t, "text ä");
        EXPECT_TRUE(b);
        EXPECT_EQ(blob, some);
        EXPECT_EQ(u, id);
        EXPECT_EQ(when, at);
        EXPECT_EQ(zoned, at);
        EXPECT_EQ(n.text, "123456789012345678901234567890.50");
        EXPECT_EQ(j.text, R"({"a": 1})");
        EXPECT_FALSE(none);
        EXPECT_EQ(small, -7);
        EXPECT_EQ(f, 0.1F);
        EXPECT_EQ(empty, "");
        EXPECT_EQ(plain.text, R"({"a":  1})");
      }
    }
  }
}

TEST_F(Postgres, TimesOfTheServerAreUtc) {
  server().ask("alter database " + database() + " set timezone = 'America/St_Johns'");
  pool db(url());
  auto found =
      db.query(background(),
               "select timestamptz '2026-07-01 00:00:00.5+02', timestamptz '1880-01-01 00:00:00+00', "
               "timestamp '0001-01-01 00:00:00', extract(epoch from $1::timestamptz)::bigint, "
               "timestamptz '2026-01-01 00:00:00+00'",
               timestamp(1700000000s));
  ASSERT_TRUE(found) << found.error();
  for (auto [summer, old, first, epoch, winter] :
       found->as<timestamp, timestamp, timestamp, std::int64_t, timestamp>()) {
    EXPECT_EQ(summer, timestamp(std::chrono::sys_days(std::chrono::year(2026) / 6 / 30)) + 22h + 500ms);
    EXPECT_EQ(old, timestamp(std::chrono::sys_days(std::chrono::year(1880) / 1 / 1)))
        << "whose zone has seconds";
    EXPECT_EQ(first, timestamp(std::chrono::sys_days(std::chrono::year(1) / 1 / 1)));
    EXPECT_EQ(epoch, 1700000000);
    EXPECT_EQ(winter, timestamp(std::chrono::sys_days(std::chrono::year(2026) / 1 / 1)));
  }
  auto never = db.query(background(), "select timestamp 'infinity', timestamp '0044-03-15 BC'");
  ASSERT_TRUE(never) << never.error();
  EXPECT_THROW(std::ignore = (*never)[0].get<timestamp>(0), conversion_error);
  EXPECT_THROW(std::ignore = (*never)[0].get<timestamp>(1), conversion_error);
}

TEST_F(Postgres, NumbersThatAreNoneComeBack) {
  pool db(url());
  auto found = db.query(background(), "select $1::float8, $2::float8, 'NaN'::numeric, $3::float8, $4::float4",
                        std::numeric_limits<double>::infinity(), std::nan(""), -0.0,
                        -std::numeric_limits<double>::infinity());
  ASSERT_TRUE(found) << found.error();
  const row first = (*found)[0];
  EXPECT_EQ(first.get<double>(0), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(first.get<double>(1)));
  EXPECT_EQ(first.get<numeric>(2).text, "NaN");
  EXPECT_TRUE(std::signbit(first.get<double>(3)));
  EXPECT_EQ(first.get<double>(4), -std::numeric_limits<double>::infinity());
}

TEST_F(Postgres, AValueOfAnotherTypeIsSaidToBe) {
  pool db(url());
  auto found = db.query(background(), "select 'x' as name, null::int as age, 300 as byte, '' as empty");
  ASSERT_TRUE(found) << found.error();
  const row first = (*found)[0];
  EXPECT_THROW(std::ignore = first.get<int>(0), conversion_error);
  EXPECT_THROW(std::ignore = first.get<int>(1), conversion_error);
  EXPECT_EQ(first.get<std::optional<int>>(1), std::nullopt);
  EXPECT_TRUE(first.is_null(1));
  EXPECT_THROW(std::ignore = first.get<std::int8_t>(2), conversion_error);
  EXPECT_FALSE(first.is_null(3));
  EXPECT_EQ(first.get<std::string>(3), "");
  auto nothing = db.query(background(), "select from generate_series(1, 3)");
  ASSERT_TRUE(nothing) << nothing.error();
  EXPECT_TRUE(nothing->columns().empty());
}

struct person {
  int id;
  std::string name;
  std::optional<int> age;
};

TEST_F(Postgres, RowsBecomeStructs) {
  pool db(url());
  fill(db);
  auto people =
      db.query_as<person>(background(), "select id, name, age from users where id < $1 order by id", 3);
  ASSERT_TRUE(people) << people.error();
  ASSERT_EQ(people->size(), 2U);
  EXPECT_EQ((*people)[1].name, "user 2");
  EXPECT_EQ((*people)[1].age, 20);
  EXPECT_EQ(db.query_as<person>(background(), "select id, name from users").error(), errc::conversion);
}

TEST_F(Postgres, LargeValuesAndManyRowsComeWhole) {
  pool db(url());
  const std::string text(3'000'000, 'x');
  bytes raw(2'000'000);
  for (std::size_t i = 0; i != raw.size(); ++i) raw[i] = static_cast<std::byte>(i * 7);
  auto found = db.query(background(), "select $1::text, $2::bytea, length($1::text)", text, raw);
  ASSERT_TRUE(found) << found.error();
  EXPECT_EQ((*found)[0].get<std::string_view>(0), text);
  EXPECT_EQ((*found)[0].get<bytes>(1), raw);
  EXPECT_EQ((*found)[0].get<int>(2), 3'000'000);
  auto many = db.query(background(), "select n from generate_series(1, 100000) n");
  ASSERT_TRUE(many) << many.error();
  std::int64_t sum = 0;
  for (auto [n] : many->as<std::int64_t>()) sum += n;
  EXPECT_EQ(sum, 5000050000);
}

TEST_F(Postgres, ParametersThatCannotBeSentAreRefused) {
  pool db(url(), pool_options().size(1));
  for (const bool within : {false, true}) {
    auto tx = db.begin(background());
    ASSERT_TRUE(tx) << tx.error();
    if (!within) {
      ASSERT_TRUE(tx->rollback(background()));
    }
    const auto of = [&](auto what, auto... values) {
      return within ? tx->query(background(), dynamic(what), values...).error()
                    : db.query(background(), dynamic(what), values...).error();
    };
    EXPECT_EQ(of("select $1", std::string("a\0b", 3)), errc::bad_parameter);
    EXPECT_EQ(of(std::string_view("select 1\0 + 1", 13)), errc::syntax);
    if (within) {
      auto alive = tx->query(background(), "select 1");
      EXPECT_TRUE(alive) << alive.error() << ": the server has heard nothing of them";
    }
  }
  const auto of = [&](auto what, auto... values) {
    return db.query(background(), dynamic(what), values...).error();
  };
  EXPECT_EQ(of("select $1, $2", 1), errc::bad_parameter);
  EXPECT_EQ(of("select $1", 1, 2), errc::bad_parameter);
  EXPECT_EQ(of("select $1::text", "\xff"), errc::bad_parameter);
  EXPECT_EQ(of("select $1::int", "seven"), errc::bad_parameter);
  EXPECT_EQ(of("select $1::int2", 70000), errc::bad_parameter);
  EXPECT_EQ(of("select $1::json", json{"{"}), errc::bad_parameter);
  EXPECT_EQ(of("select 1 / $1::int", 0), errc::bad_parameter);
  EXPECT_TRUE(db.query(background(), "select 1"));
}

TEST_F(Postgres, ErrorsSayWhatProgramsBranchOn) {
  pool db(url());
  fill(db);
  const auto of = [&](auto what, auto... values) {
    return db.execute(background(), dynamic(what), values...).error();
  };
  auto twice = of("insert into users (name) values ($1)", "user 1");
  EXPECT_EQ(twice, errc::unique_violation);
  EXPECT_EQ(twice.constraint(), "users_name_key");
  EXPECT_EQ(twice.sqlstate(), "23505");
  EXPECT_FALSE(twice.transient());
  EXPECT_EQ(twice.outcome(), outcome::did_not_happen);
  EXPECT_FALSE(twice.message().contains("user 1")) << twice << ": values are nobody's business";
  auto wrong = of("selekt 1");
  EXPECT_EQ(wrong, errc::syntax);
  EXPECT_EQ(wrong.details().position, 1U);
  EXPECT_EQ(of("select 'ä', nothing from users").details().position, 13U);
  EXPECT_EQ(of("select * from nothing"), errc::syntax);
  EXPECT_EQ(of(""), errc::syntax);
  EXPECT_EQ(of("-- nothing"), errc::syntax);
  EXPECT_EQ(of("insert into users (age) values (-1)"), errc::check_violation);
  ASSERT_TRUE(db.execute(background(),
                         "create table pets (of int not null references users, at int4range, exclude "
                         "using gist (at with &&))"));
  auto none = of("insert into pets values (99)");
  EXPECT_EQ(none, errc::foreign_key_violation);
  EXPECT_EQ(none.constraint(), "pets_of_fkey");
  EXPECT_EQ(of("insert into pets values (null)"), errc::not_null_violation);
  EXPECT_EQ(of("insert into pets values (1, '[1,3)'), (1, '[2,4)')"), errc::check_violation);
  EXPECT_EQ(of("select repeat('x', 1100000000)"), errc::too_large);
  EXPECT_EQ(of("do $$ begin raise exception 'mine' using errcode = 'UR001'; end $$").sqlstate(), "UR001");
  EXPECT_EQ(count(db), 3);
}

TEST_F(Postgres, ManyStatementsInATextAreRefused) {
  for (const bool prepared : {true, false}) {
    pool db(url(), pool_options().prepared(prepared));
    ASSERT_TRUE(db.execute(background(), "create table if not exists t (i int)"));
    for (const auto* text : {"select 1; select 2", "insert into t values (1); drop table t",
                             "commit; insert into t values (1)", "select $1::int; select 2"}) {
      auto refused = db.execute(background(), dynamic(text));
      ASSERT_FALSE(refused) << text;
      EXPECT_EQ(refused.error(), errc::many_statements) << text;
    }
    EXPECT_TRUE(db.query(background(), "select 1; -- and no more"));
    EXPECT_EQ(ask("select count(*) from t"), "0");
  }
}

TEST_F(Postgres, RefusalsAreToldApart) {
  server().ask("create role limited login", database());
  server().ask("create table secret (i int)", database());
  std::string as_limited = url();
  as_limited.replace(as_limited.find("postgres@"), 9, "limited@");
  pool limited(as_limited);
  EXPECT_EQ(limited.query(background(), "select * from secret").error(), errc::not_allowed);
  EXPECT_TRUE(limited.query(background(), "select 1"));
  std::string as_nobody = url();
  as_nobody.replace(as_nobody.find("postgres@"), 9, "nobody_there@");
  auto unknown = pool(as_nobody).query(background(), "select 1").error();
  EXPECT_EQ(unknown, errc::not_allowed);
  EXPECT_EQ(unknown.sqlstate(), "28000");
  EXPECT_FALSE(unknown.transient());
  const auto nowhere = pool(server().url("no_such_database")).query(background(), "select 1").error();
  EXPECT_TRUE(nowhere.message().contains("no_such_database")) << nowhere;
  EXPECT_EQ(nowhere.sqlstate(), "3D000");
  const tests::kept_port nobody_listens;
  pool none("postgres://postgres@127.0.0.1:" + std::to_string(nobody_listens.number()) + "/x");
  auto refused = none.execute(background(), "delete from t").error();
  EXPECT_EQ(refused, errc::connection_failed);
  EXPECT_TRUE(refused.transient());
  EXPECT_EQ(refused.outcome(), outcome::did_not_happen);
  server().ask("drop owned by limited; drop role limited", database());
}

TEST_F(Postgres, AStatementTimeoutOfTheServerIsNoEndOfTheContext) {
  server().ask("alter database " + database() + " set statement_timeout = '20ms'");
  pool db(url(), pool_options().size(1));
  auto ended = db.query(background(), "select pg_sleep(60)").error();
  EXPECT_EQ(ended, errc::other);
  EXPECT_EQ(ended.sqlstate(), "57014");
  EXPECT_TRUE(db.query(background(), "select 1"));
}

TEST_F(Postgres, ATransactionLastsOnlyIfItIsCommitted) {
  pool db(url(), pool_options().size(2));
  fill(db);
  {
    auto given_up = db.begin(background());
    ASSERT_TRUE(given_up) << given_up.error();
    ASSERT_TRUE(given_up->execute(background(), "delete from users"));
    EXPECT_EQ(count(db), 3) << "others see what was there";
  }
  auto kept = db.begin(background());
  ASSERT_TRUE(kept) << kept.error();
  EXPECT_EQ(kept->execute(background(), "delete from users where id = 1"), 1U);
  ASSERT_TRUE(kept->commit(background()));
  EXPECT_EQ(kept->execute(background(), "delete from users").error(), std::errc::operation_not_permitted);
  EXPECT_EQ(count(db), 2);
  auto back = db.begin(background());
  ASSERT_TRUE(back) << back.error();
  ASSERT_TRUE(back->execute(background(), "delete from users"));
  ASSERT_TRUE(back->rollback(background()));
  EXPECT_EQ(count(db), 2);
  auto reads = db.begin(background(), transaction_options().read_only(true));
  ASSERT_TRUE(reads) << reads.error();
  EXPECT_EQ(reads->execute(background(), "delete from users").error(), errc::read_only);
}

TEST_F(Postgres, ACommitOfWhatHasFailedIsSaidToBeRolledBack) {
  pool db(url(), pool_options().size(1));
  fill(db);
  auto tx = db.begin(background());
  ASSERT_TRUE(tx) << tx.error();
  ASSERT_TRUE(tx->execute(background(), "delete from users"));
  EXPECT_EQ(tx->execute(background(), "insert into users (id) values ('x')").error(), errc::bad_parameter);
  auto next = tx->execute(background(), "insert into users (name) values ('next')");
  EXPECT_FALSE(next);
  const auto committed = tx->commit(background());
  ASSERT_FALSE(committed);
  EXPECT_EQ(committed.error(), errc::rolled_back);
  EXPECT_EQ(committed.error().outcome(), outcome::did_not_happen);
  EXPECT_EQ(count(db), 3);
  auto saved = db.begin(background());
  ASSERT_TRUE(saved) << saved.error();
  ASSERT_TRUE(saved->execute(background(), "savepoint here"));
  EXPECT_FALSE(saved->execute(background(), "insert into users (age) values (-1)"));
  ASSERT_TRUE(saved->execute(background(), "rollback to here"));
  ASSERT_TRUE(saved->execute(background(), "delete from users where id = 1"));
  auto done = saved->commit(background());
  EXPECT_TRUE(done) << done.error();
  EXPECT_EQ(count(db), 2);
}

TEST_F(Postgres, ACommitThatIsRefusedDidNotHappen) {
  pool db(url(), pool_options().size(1));
  fill(db);
  ASSERT_TRUE(
      db.execute(background(), "create table pets (of int references users deferrable initially deferred)"));
  auto tx = db.begin(background());
  ASSERT_TRUE(tx) << tx.error();
  ASSERT_TRUE(tx->execute(background(), "insert into pets values (99)"));
  const auto done = tx->commit(background());
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error(), errc::foreign_key_violation);
  EXPECT_EQ(done.error().outcome(), outcome::did_not_happen);
  EXPECT_EQ(ask("select count(*) from pets"), "0");
}

TEST_F(Postgres, NothingRunsBehindATransactionThatATextHasEnded) {
  pool db(url(), pool_options().size(1));
  fill(db);
  for (const auto* end : {"commit", "rollback", "end", "abort"}) {
    auto tx = db.begin(background());
    ASSERT_TRUE(tx) << tx.error();
    std::ignore = tx->execute(background(), dynamic(end));
    auto behind = tx->execute(background(), "insert into users (name) values ('behind')");
    ASSERT_FALSE(behind) << end;
    EXPECT_EQ(behind.error(), std::errc::operation_not_permitted) << end;
    EXPECT_FALSE(tx->commit(background())) << end;
  }
  EXPECT_EQ(count(db), 3);
  // Nor does one begin that the pool knows nothing of.
  std::ignore = db.execute(background(), "begin");
  ASSERT_TRUE(db.execute(background(), "insert into users (name) values ('alone')"));
  EXPECT_EQ(ask("select count(*) from users"), "4");
}

TEST_F(Postgres, ATransactionMayOutliveItsPool) {
  auto db = std::make_unique<pool>(url());
  fill(*db);
  auto tx = db->begin(background());
  ASSERT_TRUE(tx) << tx.error();
  db.reset();
  ASSERT_TRUE(tx->execute(background(), "delete from users"));
  ASSERT_TRUE(tx->commit(background()));
  EXPECT_EQ(ask("select count(*) from users"), "0");
}

TEST_F(Postgres, TransactionsHaveLevels) {
  pool db(url());
  fill(db);
  auto plain = db.begin(background());
  ASSERT_TRUE(plain) << plain.error();
  auto level = plain->query(background(), "show transaction_isolation");
  ASSERT_TRUE(level) << level.error();
  EXPECT_EQ((*level)[0].get<std::string>(0), "read committed");
  const auto serializable = transaction_options().level(isolation::serializable);
  auto one = db.begin(background(), serializable);
  auto other = db.begin(background(), serializable);
  ASSERT_TRUE(one && other);
  for (auto* tx : {&*one, &*other}) ASSERT_TRUE(tx->query(background(), "select sum(age) from users"));
  ASSERT_TRUE(one->execute(background(), "insert into users (age) select sum(age) from users"));
  auto skewed = other->execute(background(), "insert into users (age) select sum(age) from users");
  const auto first = one->commit(background());
  EXPECT_TRUE(first) << first.error();
  const auto second = other->commit(background());
  ASSERT_FALSE(second);
  if (skewed) {
    EXPECT_EQ(second.error(), errc::serialization_failure);
    EXPECT_TRUE(second.error().transient());
  } else {
    EXPECT_EQ(skewed.error(), errc::serialization_failure);
  }
  EXPECT_EQ(second.error().outcome(), outcome::did_not_happen);
}

TEST_F(Postgres, LocksThatCannotBeHadAreTold) {
  pool db(url());
  fill(db);
  auto one = db.begin(background());
  auto other = db.begin(background());
  ASSERT_TRUE(one && other);
  for (auto* tx : {&*one, &*other})
    ASSERT_TRUE(tx->execute(background(), "set local deadlock_timeout = '10ms'"));
  ASSERT_TRUE(one->execute(background(), "update users set age = 1 where id = 1"));
  const auto locked = db.query(background(), "select 1 from users where id = 1 for update nowait").error();
  EXPECT_EQ(locked, errc::busy);
  EXPECT_TRUE(locked.transient());
  ASSERT_TRUE(other->execute(background(), "update users set age = 2 where id = 2"));
  result<std::uint64_t> first = 0;
  std::thread waits([&] { first = one->execute(patience, "update users set age = 1 where id = 2"); });
  auto second = other->execute(patience, "update users set age = 2 where id = 1");
  if (!second) {
    EXPECT_TRUE(other->rollback(background()));
  }
  waits.join();
  EXPECT_NE(first.has_value(), second.has_value()) << "one of them had to fail";
  const auto& failed = first ? second : first;
  EXPECT_EQ(failed.error(), errc::deadlock);
  EXPECT_EQ(failed.error(), std::errc::resource_deadlock_would_occur);
}

TEST_F(Postgres, AChangedTableIsPreparedAnew) {
  pool db(url(), pool_options().size(1));
  fill(db);
  const auto width = [&] {
    auto found = db.query(background(), "select * from users where id = $1", 1);
    EXPECT_TRUE(found) << found.error();
    return found ? found->columns().size() : 0;
  };
  EXPECT_EQ(width(), 3U);
  ask("alter table users add column mail text");
  EXPECT_EQ(width(), 4U);
  ask("drop table users");
  EXPECT_EQ(db.query(background(), "select * from users where id = $1", 1).error(), errc::syntax);
  ask("create table users (id int)");
  EXPECT_EQ(width(), 1U);
  ask("alter table users alter column id type text");
  auto text = db.query(background(), "select * from users where id = $1::text", "x");
  EXPECT_TRUE(text) << text.error();
}

TEST_F(Postgres, AConnectionKeepsSoManyPreparedStatements) {
  pool db(url(), pool_options().size(1).statements(8));
  for (int round = 0; round != 3; ++round) {
    for (int i = 0; i != 30; ++i) {
      auto found = db.query(background(), dynamic("select " + std::to_string(i) + " + $1::int"), 1);
      ASSERT_TRUE(found) << found.error();
      EXPECT_EQ((*found)[0].get<int>(0), i + 1);
    }
  }
  auto left = db.query(background(), "select count(*) from pg_prepared_statements");
  ASSERT_TRUE(left) << left.error();
  EXPECT_LE((*left)[0].get<int>(0), 8);
}

TEST_F(Postgres, ACopyIsRefusedAndLeavesNothingBehind) {
  for (const bool prepared : {true, false}) {
    pool db(url(), pool_options().size(1).prepared(prepared));
    ASSERT_TRUE(db.execute(background(), "create table if not exists t (i int)"));
    for (const auto* text : {"copy t from stdin", "copy (select generate_series(1, 100000)) to stdout"}) {
      auto refused = db.query(patience, dynamic(text));
      ASSERT_FALSE(refused) << text;
      EXPECT_NE(refused.error(), curfew::errc::deadline_exceeded) << text;
      auto next = db.query(patience, "select 7");
      ASSERT_TRUE(next) << next.error();
      EXPECT_EQ((*next)[0].get<int>(0), 7);
    }
  }
}

TEST_F(Postgres, NoticesAreNotPrinted) {
  pool db(url());
  ::testing::internal::CaptureStderr();
  auto done = db.execute(background(), "do $$ begin raise warning 'mine'; end $$");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_TRUE(done) << done.error();
}

TEST_F(Postgres, AnIdleConnectionThatHasGoneIsNotGivenOut) {
  pool db(url(), pool_options().size(3));
  for (int i = 0; i != 3; ++i) {
    {
      auto one = db.begin(background());
      auto two = db.begin(background());
      ASSERT_TRUE(one && two);
    }
    ASSERT_TRUE(gets_quiet());
    ask("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid "
        "<> "
        "pg_backend_pid()");
    ASSERT_TRUE(tests::eventually([&] { return count_of("idle") == "0"; }));
    for (int n = 0; n != 3; ++n) {
      auto next = db.query(patience, "select 1");
      EXPECT_TRUE(next) << next.error();
    }
  }
}

TEST_F(Postgres, CoroutinesDoNotBlockTheirThread) {
  pool db(url(), pool_options().size(2));
  fill(db);
  asio::io_context loop(1);
  int ticks = 0;
  bool over = false;
  auto scope = with_cancel(background());
  const auto all = [&]() -> asio::awaitable<void> {
    auto begun = co_await db.async_begin(background());
    EXPECT_TRUE(begun) << begun.error();
    auto changed = co_await begun->async_execute(background(), "update users set age = age + $1", 1);
    EXPECT_EQ(changed, 3U);
    auto inner = co_await begun->async_query(background(), "select sum(age) from users");
    EXPECT_EQ(inner ? (*inner)[0].get<int>(0) : -1, 63);
    auto committed = co_await begun->async_commit(background());
    EXPECT_TRUE(committed) << committed.error();
    auto found = co_await db.async_query_as<person>(background(), "select id, name, age from users");
    EXPECT_EQ(found ? found->size() : 0U, 3U);
    auto given_up = co_await db.async_begin(background());
    EXPECT_TRUE(given_up);
    auto back = co_await given_up->async_rollback(background());
    EXPECT_TRUE(back) << back.error();
    auto wrong = co_await db.async_query(background(), "selekt");
    EXPECT_EQ(wrong.error(), errc::syntax);
    auto ended = co_await db.async_query(scope, "select pg_sleep(60)");
    EXPECT_TRUE(!ended && ended.error() == curfew::errc::canceled);
    over = true;
  };
  const auto tick = [&]() -> asio::awaitable<void> {
    while (!over) {
      if (++ticks >= 20 && count_of("active") == "1") scope.cancel();
      std::ignore = co_await async_sleep_for(background(), 1ms);
    }
  };
  asio::co_spawn(loop, all, asio::detached);
  asio::co_spawn(loop, tick, asio::detached);
  loop.run();
  EXPECT_GE(ticks, 20);
  EXPECT_TRUE(gets_quiet());
}

TEST_F(Postgres, ManyCoroutinesShareFewConnections) {
  pool db(url(), pool_options().size(4));
  asio::io_context loop(1);
  int right = 0;
  const auto one = [&](int id) -> asio::awaitable<void> {
    for (int i = 0; i != 20; ++i) {
      auto found = co_await db.async_query(background(), "select $1::int", 100 * id + i);
      EXPECT_TRUE(found) << found.error();
      if (found && (*found)[0].get<int>(0) == 100 * id + i) ++right;
    }
  };
  for (int id = 0; id != 32; ++id) asio::co_spawn(loop, one(id), asio::detached);
  loop.run();
  EXPECT_EQ(right, 32 * 20);
  EXPECT_LE(std::stoi(count_of("idle")), 4);
}

TEST_F(Postgres, GoesThroughPgbouncer) {
  CURFEW_NEEDS_PROGRAMS("pgbouncer");
  const tests::pgbouncer between(server(), {"default_pool_size=2"});
  pool db(between.url(database()), pool_options().size(4).prepared(false));
  fill(db);
  for (int i = 0; i != 50; ++i) {
    auto found = db.query(background(), "select $1::int, $2::bytea", i, bytes(3));
    ASSERT_TRUE(found) << found.error() << between.log();
    EXPECT_EQ((*found)[0].get<int>(0), i);
  }
  auto tx = db.begin(background());
  ASSERT_TRUE(tx) << tx.error();
  ASSERT_TRUE(tx->execute(background(), "delete from users where id = $1", 1));
  EXPECT_EQ(count(db), 3);
  ASSERT_TRUE(tx->commit(background()));
  EXPECT_EQ(count(db), 2);
  auto scope = with_cancel(background());
  std::thread ends([&] {
    EXPECT_TRUE(tests::eventually([&] { return count_of("active") == "1"; }));
    scope.cancel();
  });
  EXPECT_EQ(db.query(scope, "select pg_sleep(60)").error(), curfew::errc::canceled);
  ends.join();
  EXPECT_TRUE(gets_quiet());
  EXPECT_EQ(count(db), 2);
}

TEST_F(Postgres, AWaitForPgbouncersServersEndsWithItsContext) {
  CURFEW_NEEDS_PROGRAMS("pgbouncer");
  const tests::pgbouncer between(server(), {"default_pool_size=1"});
  pool db(between.url(database()), pool_options().size(4).prepared(false).grace(200ms));
  fill(db);
  auto holds = db.begin(background());
  ASSERT_TRUE(holds) << holds.error();
  ASSERT_TRUE(holds->query(background(), "select 1"));
  for (int i = 0; i != 3; ++i) {
    const auto scope = with_timeout(background(), 20ms);
    auto waited = db.query(scope, "select 1").error();
    EXPECT_EQ(waited, curfew::errc::deadline_exceeded);
    const auto other = with_timeout(background(), 20ms);
    auto written = db.execute(other, "delete from users").error();
    EXPECT_EQ(written, curfew::errc::deadline_exceeded);
  }
  ASSERT_TRUE(holds->commit(background()));
  auto next = db.query(patience, "select 5");
  ASSERT_TRUE(next) << next.error() << between.log();
  EXPECT_EQ((*next)[0].get<int>(0), 5);
}

}  // namespace
}  // namespace curfew::sql
