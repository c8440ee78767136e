#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/sql.hpp>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "race.hpp"
#include "sql/postgres_fixture.hpp"
#include "sql/proxy.hpp"

namespace curfew::sql {
namespace {

using namespace std::chrono_literals;
using tests::cancels;
using tests::direction;
using tests::fault;
namespace asio = boost::asio;

/// One that is only said to have failed where the connection has.
bool is_of_connection(const error& e) { return e == errc::connection_lost || e == errc::connection_failed; }

// Each message of a connection, in both directions, is held, split or cut: from the first one of the startup to the last one of
// the statement.

enum class scenario { read, stream, write, transaction };
enum class caller { blocking, coroutine };

class PostgresMessages : public postgres_test,
                         public ::testing::WithParamInterface<std::tuple<scenario, fault, caller>> {
 protected:
  struct done_thing {
    std::optional<error> failed;
    bool is_right = true;
  };

  static done_thing of(const result<rows>& read, int number) {
    if (!read) return {read.error(), true};
    return {std::nullopt, (*read)[0].get<int>(0) == number};
  }
  template <class T>
  static done_thing of(const result<T>& done) {
    if (!done) return {done.error(), true};
    return {};
  }

  static int count_of_right(const rows& some, int number) {
    int right = 0;
    for (auto [n] : some.as<int>()) right += n == number ? 1 : 0;
    return right;
  }

  static done_thing act(const context& ctx, pool& db, scenario what, int number) {
    switch (what) {
      case scenario::read:
        return of(db.query(ctx, "select $1::int", number), number);
      case scenario::stream: {
        auto all = db.stream(ctx, "select $1::int from generate_series(1, 3)", number);
        if (!all) return of(all);
        for (int count = 0;;) {
          auto some = all->next(ctx);
          if (!some) return of(some);
          if (some->empty()) return {std::nullopt, count == 3};
          count += count_of_right(*some, number);
        }
      }
      case scenario::write:
        return of(db.execute(ctx, "insert into t values ($1)", number));
      case scenario::transaction: {
        auto tx = db.begin(ctx);
        if (!tx) return of(tx);
        if (auto written = tx->execute(ctx, "insert into t values ($1)", number); !written)
          return of(written);
        return of(tx->commit(ctx));
      }
    }
    return {};
  }
  static asio::awaitable<done_thing> async_act(context ctx, pool& db, scenario what, int number) {
    switch (what) {
      case scenario::read: {
        auto read = co_await db.async_query(ctx, "select $1::int", number);
        co_return of(read, number);
      }
      case scenario::stream: {
        auto all = co_await db.async_stream(ctx, "select $1::int from generate_series(1, 3)", number);
        if (!all) co_return of(all);
        for (int count = 0;;) {
          auto some = co_await all->async_next(ctx);
          if (!some) co_return of(some);
          if (some->empty()) {
            done_thing over;
            over.is_right = count == 3;
            co_return over;
          }
          count += count_of_right(*some, number);
        }
      }
      case scenario::write: {
        auto written = co_await db.async_execute(ctx, "insert into t values ($1)", number);
        co_return of(written);
      }
      case scenario::transaction: {
        auto tx = co_await db.async_begin(ctx);
        if (!tx) co_return of(tx);
        auto written = co_await tx->async_execute(ctx, "insert into t values ($1)", number);
        if (!written) co_return of(written);
        auto done = co_await tx->async_commit(ctx);
        co_return of(done);
      }
    }
    co_return done_thing();
  }
};

TEST_P(PostgresMessages, AreNotMissed) {
  const auto [what, breaks, by] = GetParam();
  ask("create table t (i int primary key)");
  tests::message_proxy between(server().port());
  std::map<int, bool> told;  // whether it is there
  int number = 0;
  for (const auto which : {direction::to_server, direction::to_client}) {
    for (std::size_t n = 1;; ++n) {
      ++number;
      between.order(which, n, breaks);
      pool db(between.url(database()), pool_options().size(2).grace(50ms));
      auto scope = with_timeout(background(), tests::program_patience);
      std::atomic<bool> over{false};
      std::thread ends;
      if (breaks == fault::hold) {
        ends = std::thread([&] {
          tests::eventually([&] { return between.order_done() || over; });
          scope.cancel();
        });
      }
      const auto done = by == caller::blocking ? act(scope, db, what, number)
                                               : run_coroutine(async_act(scope, db, what, number));
      over = true;
      if (ends.joinable()) ends.join();
      const bool is_broken = between.order_done();
      const std::string trace = between.trace();
      SCOPED_TRACE(std::to_string(n) + ": " + trace);
      EXPECT_TRUE(done.is_right);
      if (!is_broken || breaks == fault::split) {
        EXPECT_FALSE(done.failed) << *done.failed;
      } else if (done.failed) {
        EXPECT_TRUE(breaks == fault::hold ? *done.failed == curfew::errc::canceled
                                          : is_of_connection(*done.failed))
            << *done.failed;
        // A text that was not sent cannot have been carried out.
        if (!trace.contains(">B") && !trace.contains(">Q")) {
          EXPECT_EQ(done.failed->outcome(), outcome::did_not_happen) << *done.failed;
        }
      }
      if (!done.failed || done.failed->outcome() != outcome::unknown)
        told[number] = !done.failed || done.failed->outcome() == outcome::happened;
      if (!is_broken) {
        EXPECT_GT(n, which == direction::to_server ? 3U : 15U) << "the startup, and a statement";
        break;
      }
      auto next = db.query(patience, "select 7");
      ASSERT_TRUE(next) << next.error();
      EXPECT_EQ((*next)[0].get<int>(0), 7);
      between.release();
    }
  }
  EXPECT_TRUE(gets_quiet());
  if (what == scenario::read || what == scenario::stream) return;
  const std::string listed = ' ' + ask("select string_agg(i::text, ' ') from t") + ' ';
  for (const auto& [of, is_there] : told)
    EXPECT_EQ(listed.contains(' ' + std::to_string(of) + ' '), is_there) << of;
}

std::string name_of(const ::testing::TestParamInfo<PostgresMessages::ParamType>& info) {
  constexpr std::array scenarios{"OfARead", "OfAStream", "OfAWrite", "OfATransaction"};
  constexpr std::array faults{"Held", "Split", "CutBefore", "CutWithin", "CutBehind", "Reset"};
  constexpr std::array callers{"", "InACoroutine"};
  return std::string(scenarios[static_cast<std::size_t>(std::get<0>(info.param))]) +
         faults[static_cast<std::size_t>(std::get<1>(info.param))] +
         callers[static_cast<std::size_t>(std::get<2>(info.param))];
}

INSTANTIATE_TEST_SUITE_P(Each, PostgresMessages,
                         ::testing::Combine(::testing::Values(scenario::read, scenario::stream,
                                                              scenario::write, scenario::transaction),
                                            ::testing::Values(fault::hold, fault::split, fault::cut,
                                                              fault::cut_within, fault::cut_behind,
                                                              fault::reset),
                                            ::testing::Values(caller::blocking, caller::coroutine)),
                         name_of);

// Requests to cancel that do not do what they should.

class PostgresFaults : public postgres_test {
 protected:
  /// Cancels once the proxy has seen a statement go to the server.
  static void wait_for_statement(const tests::message_proxy& between) {
    EXPECT_TRUE(tests::eventually([&] { return between.trace().contains(">E"); }));
  }
  /// A statement that runs until it is canceled, and is cut off.
  void cut_off_a_read(pool& db, tests::message_proxy& between) {
    between.order(direction::to_server, 0, fault::hold);  // looks at what comes from now on
    auto scope = with_cancel(background());
    std::thread ends([&] {
      wait_for_statement(between);
      scope.cancel();
    });
    EXPECT_EQ(db.query(scope, "select pg_sleep(60)").error(), curfew::errc::canceled);
    ends.join();
  }
};

TEST_F(PostgresFaults, ACancelThatIsLostIsSentAgain) {
  tests::message_proxy between(server().port());
  pool db(between.url(database()), pool_options().size(1).grace(20s));
  between.on_cancel(cancels::drop);
  cut_off_a_read(db, between);
  EXPECT_TRUE(tests::eventually([&] { return between.cancel_requests() >= 3; }));
  between.release();
  EXPECT_TRUE(gets_quiet());
  EXPECT_TRUE(db.query(patience, "select 1"));
}

TEST_F(PostgresFaults, CancelsThatAreNotAnsweredHoldNothingUp) {
  tests::message_proxy between(server().port());
  pool db(between.url(database()), pool_options().size(6).grace(50ms));
  between.on_cancel(cancels::silence);
  for (int i = 0; i != 6; ++i) cut_off_a_read(db, between);
  // Their servers notice that the client has gone.
  EXPECT_TRUE(gets_quiet());
  auto next = db.query(patience, "select 1");
  EXPECT_TRUE(next) << next.error();
}

TEST_F(PostgresFaults, CancelsThatWereNotAnsweredDoNotStopLaterOnes) {
  tests::message_proxy silent(server().port());
  pool db(silent.url(database()), pool_options().size(6).grace(50ms));
  silent.on_cancel(cancels::silence);
  for (int i = 0; i != 6; ++i) cut_off_a_read(db, silent);
  const auto before = silent.cancel_requests();
  silent.on_cancel(cancels::pass);  // those before stay where they are
  cut_off_a_read(db, silent);
  EXPECT_TRUE(tests::eventually([&] { return silent.cancel_requests() > before; }));
}

// Its statement is over, the cancel still under way: it must not find the next one.
TEST_F(PostgresFaults, ACancelThatIsLateHitsNoOtherStatement) {
  tests::message_proxy between(server().port());
  pool db(between.url(database()), pool_options().size(1).grace(20s));
  for (int i = 0; i != 5; ++i) {
    between.on_cancel(cancels::hold);
    const auto before = between.cancel_requests();
    cut_off_a_read(db, between);
    ASSERT_TRUE(tests::eventually([&] { return between.cancel_requests() > before; }));
    // As if it had ended by itself.
    ask("select pg_cancel_backend(pid) from pg_stat_activity where state = 'active' and datname = "
        "current_database() and pid "
        "<> pg_backend_pid()");
    ASSERT_TRUE(gets_quiet());
    std::atomic<bool> is_done{false};
    std::thread next([&] {
      auto found = db.query(patience, "select 7 from pg_sleep(0.05)");
      EXPECT_TRUE(found) << found.error();
      is_done = true;
    });
    auto other = between.trace();
    EXPECT_FALSE(is_done);
    between.release();
    next.join();
  }
}

TEST_F(PostgresFaults, WhatIsPreparedForACallerThatHasGoneIsNotForgotten) {
  tests::message_proxy between(server().port());
  pool db(between.url(database()), pool_options().size(1).grace(20s).statements(4));
  for (int i = 0; i != 10; ++i) {
    auto warm = db.query(patience, "select 0");
    ASSERT_TRUE(warm) << warm.error();
    auto scope = with_cancel(background());
    between.on_cancel(cancels::hold);
    between.order(direction::to_client, 1, fault::hold);
    std::thread ends([&] {
      EXPECT_TRUE(between.wait_for_order());
      scope.cancel();
    });
    EXPECT_EQ(db.query(scope, dynamic("select " + std::to_string(i + 1))).error(), curfew::errc::canceled);
    ends.join();
    between.release();
  }
  auto left = db.query(patience, "select count(*) from pg_prepared_statements");
  ASSERT_TRUE(left) << left.error();
  EXPECT_LE((*left)[0].get<int>(0), 4);
}

// Servers that say nothing, go, or are full.

TEST_F(PostgresFaults, AServerThatNeverAnswersIsGivenUpInTime) {
  const tests::free_port listens;  // and never accepts
  pool db("postgresql://postgres@" + listens.address() + "/x", pool_options().size(2).grace(50ms));
  std::vector<std::thread> all;
  for (int i = 0; i != 4; ++i) {
    all.emplace_back([&, i] {
      const auto scope = with_timeout(background(), 30ms);
      if (i % 2 == 0) {
        EXPECT_EQ(db.query(scope, "select 1").error(), curfew::errc::deadline_exceeded);
        return;
      }
      const auto ended = run_coroutine(db.async_execute(scope, "delete from t"));
      ASSERT_FALSE(ended);
      EXPECT_EQ(ended.error(), curfew::errc::deadline_exceeded);
      EXPECT_EQ(ended.error().outcome(), outcome::did_not_happen);
    });
  }
  for (auto& each : all) each.join();
}

TEST_F(PostgresFaults, AKilledServerIsTold) {
  tests::postgres_server own;
  own.ask("create table t (i int primary key)");
  tests::message_proxy between(own.port());
  pool db(between.url(), pool_options().size(2).grace(1s));
  // In a query.
  ASSERT_TRUE(db.query(patience, "select 1"));
  between.order(direction::to_server, 0, fault::hold);
  std::optional<result<rows>> read;
  std::thread reads([&] { read = db.query(patience, "select pg_sleep(60)"); });
  wait_for_statement(between);
  own.kill9();
  reads.join();
  ASSERT_FALSE(*read);
  EXPECT_EQ(read->error(), errc::connection_lost);
  EXPECT_TRUE(read->error().transient());
  EXPECT_TRUE(is_of_connection(db.query(patience, "select 1").error()));
  // In a write.
  own.start();
  ASSERT_TRUE(db.query(patience, "select 1"));
  between.order(direction::to_server, 0, fault::hold);
  std::optional<result<std::uint64_t>> written;
  std::thread writes([&] { written = db.execute(patience, "insert into t select 1 from pg_sleep(60)"); });
  wait_for_statement(between);
  own.kill9();
  writes.join();
  ASSERT_FALSE(*written);
  EXPECT_EQ(written->error(), errc::connection_lost);
  EXPECT_EQ(written->error().outcome(), outcome::unknown);
  // In a transaction.
  own.start();
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  ASSERT_TRUE(tx->execute(patience, "insert into t values (2)"));
  own.kill9();
  own.start();
  EXPECT_EQ(tx->execute(patience, "insert into t values (3)").error(), errc::connection_lost);
  EXPECT_EQ(tx->commit(patience).error(), std::errc::operation_not_permitted);
  EXPECT_EQ(own.ask_for("select count(*) from t"), "0");
}

TEST_F(PostgresFaults, ACommitWhoseAnswerIsLostIsUnknown) {
  tests::postgres_server own;
  own.ask("create table t (i int primary key)");
  tests::message_proxy between(own.port());
  pool db(between.url(), pool_options().size(1).grace(1s));
  auto tx = db.begin(patience);
  ASSERT_TRUE(tx) << tx.error();
  ASSERT_TRUE(tx->execute(patience, "insert into t values (1)"));
  between.order(direction::to_client, 1, fault::hold);
  std::optional<result<>> done;
  std::thread commits([&] { done = tx->commit(patience); });
  ASSERT_TRUE(between.wait_for_order());
  own.kill9();
  between.cut_all();
  commits.join();
  ASSERT_FALSE(*done);
  EXPECT_EQ(done->error(), errc::connection_lost);
  EXPECT_EQ(done->error().outcome(), outcome::unknown);
  own.start();
  EXPECT_EQ(own.ask_for("select count(*) from t"), "1") << "which the caller could not know";
  EXPECT_TRUE(db.query(patience, "select 1"));
}

TEST_F(PostgresFaults, AServerThatStandsStillIsLeftInTime) {
  tests::postgres_server own;
  own.ask("create table t (i int)");
  pool db(own.url(), pool_options().size(3).grace(100ms));
  std::vector<std::optional<transaction>> open;
  for (int i = 0; i != 2; ++i) {
    auto tx = db.begin(patience);
    ASSERT_TRUE(tx) << tx.error();
    open.emplace_back(*std::move(tx));
  }
  ASSERT_TRUE(db.execute(patience, "insert into t values (0)"));  // what is not prepared is not sent either
  own.pause();
  const auto in_time = [] { return with_timeout(background(), 200ms); };
  {
    const auto scope = in_time();
    EXPECT_EQ(open[0]->query(scope, "select 1").error(), curfew::errc::deadline_exceeded);
  }
  {
    const auto scope = in_time();
    const auto done = open[1]->commit(scope).error();
    EXPECT_EQ(done, curfew::errc::deadline_exceeded);
    EXPECT_EQ(done.outcome(), outcome::unknown);
  }
  {
    const auto scope = in_time();
    const auto done = run_coroutine(db.async_execute(scope, "insert into t values (0)"));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error(), curfew::errc::deadline_exceeded);
    EXPECT_EQ(done.error().outcome(), outcome::unknown);
  }
  for (int i = 0; i != 4; ++i) {  // a new connection, or none is free
    const auto scope = in_time();
    EXPECT_EQ(db.query(scope, "select 1").error(), curfew::errc::deadline_exceeded);
  }
  own.resume();
  for (int i = 0; i != 4; ++i) {
    auto next = db.query(patience, "select 1");
    EXPECT_TRUE(next) << next.error();
  }
}

TEST_F(PostgresFaults, AFullServerIsSaidToBeFull) {
  tests::postgres_server own(
      tests::postgres_options().max_connections(4).set("superuser_reserved_connections=0"));
  pool db(own.url(), pool_options().size(6));
  std::vector<transaction> open;
  std::optional<error> refused;
  for (int i = 0; i != 6; ++i) {
    auto tx = db.begin(patience);
    if (tx) {
      open.push_back(*std::move(tx));
    } else {
      refused = tx.error();
    }
  }
  EXPECT_EQ(open.size(), 4U);
  ASSERT_TRUE(refused);
  EXPECT_EQ(*refused, errc::too_many_connections);
  EXPECT_EQ(refused->sqlstate(), "53300");
  EXPECT_TRUE(refused->transient());
  EXPECT_EQ(refused->outcome(), outcome::did_not_happen);
  ASSERT_TRUE(open.back().commit(patience));
  EXPECT_TRUE(db.query(patience, "select 1"));
}

TEST_F(PostgresFaults, AnEventLoopThatGoesEndsItsStatements) {
  pool db(url(), pool_options().size(4));
  ASSERT_TRUE(db.execute(patience, "create table t (i int)"));
  for (int i = 0; i != 5; ++i) {
    auto loop = std::make_unique<asio::io_context>(1);
    auto scope = with_cancel(background());
    const auto reads = [&]() -> asio::awaitable<void> {
      std::ignore = co_await db.async_query(scope, "select pg_sleep(60)");
      ADD_FAILURE();
    };
    const auto writes = [&]() -> asio::awaitable<void> {
      std::ignore = co_await db.async_execute(scope, "insert into t select 1 from pg_sleep(60)");
      ADD_FAILURE();
    };
    const auto commits = [&]() -> asio::awaitable<void> {
      auto tx = co_await db.async_begin(scope);
      EXPECT_TRUE(tx);
      if (tx) std::ignore = co_await tx->async_query(scope, "select pg_sleep(60)");
      ADD_FAILURE();
    };
    const auto streams = [&]() -> asio::awaitable<void> {
      auto all = co_await db.async_stream(scope, "select n, pg_sleep(0.01) from generate_series(1, 10000) n");
      while (all) std::ignore = co_await all->async_next(scope);
      ADD_FAILURE();
    };
    asio::co_spawn(*loop, reads, asio::detached);
    asio::co_spawn(*loop, writes, asio::detached);
    asio::co_spawn(*loop, commits, asio::detached);
    asio::co_spawn(*loop, streams, asio::detached);
    EXPECT_TRUE(tests::eventually([&] {
      loop->run_for(1ms);
      return count_of("active") == "4";
    }));
    if (i % 2 == 1) {
      scope.cancel();  // the write waits for its verdict then
      loop->poll_one();
    }
    loop.reset();
    EXPECT_TRUE(gets_quiet());
    auto next = db.query(patience, "select count(*) from t");
    ASSERT_TRUE(next) << next.error();
    EXPECT_EQ((*next)[0].get<int>(0), 0);
  }
}

TEST_F(PostgresFaults, ALargeValueThatDoesNotPassEndsWithItsContext) {
  tests::message_proxy between(server().port());
  pool db(between.url(database()), pool_options().size(1).grace(50ms));
  const std::string large(20'000'000, 'x');
  for (const bool in_coroutine : {false, true}) {
    auto warm = db.query(patience, "select length($1::text)", "four");
    ASSERT_TRUE(warm) << warm.error();
    between.order(direction::to_server, 1, fault::hold);
    auto scope = with_cancel(background());
    std::thread ends([&] {
      EXPECT_TRUE(between.wait_for_order());  // it begins, and goes no further
      scope.cancel();
    });
    auto done = in_coroutine ? run_coroutine(db.async_query(scope, "select length($1::text)", large))
                             : db.query(scope, "select length($1::text)", large);
    ends.join();
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error(), curfew::errc::canceled);
    between.release();
  }
  auto whole = db.query(patience, "select length($1::text)", large);
  ASSERT_TRUE(whole) << whole.error();
  EXPECT_EQ((*whole)[0].get<int>(0), 20'000'000);
}

TEST_F(PostgresFaults, AStreamThatIsLeftAtAnyRowHitsNoOtherStatement) {
  std::mt19937_64 random(testing::announce_seed("a row of a stream that was left"));
  pool db(url(), pool_options().size(1));
  const testing::time_box box(3s);
  for (int i = 0; i != 300 && (box.open() || i < 10); ++i) {
    {
      const auto scope = with_timeout(background(), std::chrono::microseconds(random() % 20'000));
      auto all = db.stream(scope, "select $1::int, n from generate_series(1, 20000) n", i);
      int n = 0;
      for (auto left = random() % 40; all && left != 0; --left) {
        auto some = all->next(scope);
        if (!some) {
          EXPECT_EQ(some.error(), curfew::errc::deadline_exceeded) << some.error();
          break;
        }
        for (auto [of, number] : some->as<int, int>()) {
          ASSERT_EQ(of, i);
          ASSERT_EQ(number, ++n);
        }
      }
    }
    auto next = db.query(patience, "select $1::int", -i);
    ASSERT_TRUE(next) << next.error();
    ASSERT_EQ((*next)[0].get<int>(0), -i);
  }
  EXPECT_TRUE(gets_quiet());
}

TEST_F(PostgresFaults, APasswordIsAskedForAndNotTold) {
  tests::postgres_server own;
  own.ask("create role app login password 'right one'");
  const std::string file = own.ask_for("show data_directory") + "/passwords.conf";
  own.ask(
      "copy (values ('host all app 127.0.0.1/32 scram-sha-256'), ('host all all 127.0.0.1/32 trust')) to '" +
      file + "'");
  own.ask("alter system set hba_file = '" + file + "'");
  own.restart();
  const auto as = [&](const std::string& password) {
    return "postgresql://app:" + password + "@127.0.0.1:" + std::to_string(own.port()) + "/postgres";
  };
  pool right(as("right%20one"));
  EXPECT_TRUE(right.query(patience, "select 1"));
  pool wrong(as("wrong_one"));
  const auto refused = wrong.query(patience, "select 1").error();
  EXPECT_EQ(refused, errc::not_allowed);
  EXPECT_EQ(refused.sqlstate(), "28P01");
  EXPECT_FALSE(refused.message().contains("wrong_one")) << refused;
  const auto in_coroutine = run_coroutine(wrong.async_query(patience, "select 1"));
  ASSERT_FALSE(in_coroutine);
  EXPECT_EQ(in_coroutine.error(), errc::not_allowed);
  pool none("postgresql://app@127.0.0.1:" + std::to_string(own.port()) + "/postgres");
  EXPECT_FALSE(none.query(patience, "select 1"));
}

// What was told to be there is there, what was told not to be is not, through restarts and kills.
TEST_F(PostgresFaults, ARestartUnderLoadLosesNothing) {
  const auto seed =
      testing::announce_seed("a write whose outcome is not what is in the table, over restarts");
  tests::postgres_server own;
  own.ask("create table t (i int primary key)");
  pool db(own.url(), pool_options().size(3).grace(500ms));
  std::atomic<bool> over{false};
  std::array<std::map<int, bool>, 4> told;
  std::array<std::atomic<int>, 4> done{};
  std::vector<std::thread> all;
  for (std::size_t t = 0; t != told.size(); ++t) {
    all.emplace_back([&, t] {
      std::mt19937_64 random(seed + t);
      for (int i = 0; !over; ++i) {
        const int own_number = static_cast<int>(1'000'000 * t) + i;
        const auto scope = with_timeout(background(), 20s);
        const auto note = [&](const auto& what) {
          if (what || what.error().outcome() != outcome::unknown)
            told[t][own_number] = what || what.error().outcome() == outcome::happened;
          if (what) {
            ++done[t];
          } else {
            EXPECT_TRUE(what.error().transient() || what.error() == curfew::errc::deadline_exceeded)
                << what.error();
          }
        };
        if (random() % 2 == 0) {
          note(db.execute(scope, "insert into t values ($1)", own_number));
          continue;
        }
        auto tx = db.begin(scope);
        if (!tx) continue;
        if (auto written = tx->execute(scope, "insert into t values ($1)", own_number); !written) {
          note(written);
        } else {
          note(tx->commit(scope));
        }
      }
    });
  }
  const auto wait_for_more = [&] {
    std::array<int, 4> before{};
    for (std::size_t t = 0; t != told.size(); ++t) before[t] = done[t];
    for (std::size_t t = 0; t != told.size(); ++t)
      EXPECT_TRUE(tests::eventually([&] { return done[t] > before[t] + 5; }));
  };
  wait_for_more();
  own.restart();
  wait_for_more();
  own.kill9();
  own.start();
  wait_for_more();
  own.pause();
  own.resume();
  wait_for_more();
  over = true;
  for (auto& each : all) each.join();
  std::istringstream lines(own.ask_for("select i from t"));
  std::map<int, bool> listed;
  for (int number = 0; lines >> number;) listed[number] = true;
  std::size_t count = 0;
  for (const auto& of : told) {
    for (const auto& [number, is_there] : of)
      EXPECT_EQ(listed.contains(number), is_there) << number << " of " << ++count;
  }
  EXPECT_GT(listed.size(), 60U);
}

}  // namespace
}  // namespace curfew::sql
