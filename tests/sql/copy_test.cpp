// COPY into PostgreSQL and out of it.

#include <curfew/sql/copy.hpp>

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/sql.hpp>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

#include "sql/postgres_fixture.hpp"
#include "sql/proxy.hpp"

namespace curfew::sql {
namespace {

using namespace std::chrono_literals;
using tests::direction;
using tests::fault;
namespace asio = boost::asio;

constexpr text into_items = "copy items (id, name) from stdin";
constexpr text all_items = "copy (select id, name from items order by id) to stdout";
constexpr text many_items = "copy (select i, 'item ' || i from generate_series(1, 200000) i) to stdout";
constexpr text endless_items =
    "copy (select i, 'item ' || i from (select generate_series(1, 1000000000) i) s) to stdout";

std::string line_of(int id) { return std::to_string(id) + "\titem " + std::to_string(id) + '\n'; }

class Copy : public postgres_test {
 protected:
  void SetUp() override {
    postgres_test::SetUp();
    if (!IsSkipped()) ask("create table items (id bigint primary key, name text check (name <> 'refused'))");
  }

  /// One connection, so that what is wrong with it is seen by the next call.
  pool_options one_connection() { return pool_options().size(1).grace(tests::program_patience); }
  std::string count() { return ask("select count(*) from items"); }
  void expect_usable(pool& db) {
    auto next = db.query(patience, "select 7");
    ASSERT_TRUE(next) << next.error();
    EXPECT_EQ((*next)[0].get<int>(0), 7);
  }
};

TEST_F(Copy, TakesRowsInPiecesThatAreCutAnywhere) {
  pool db(url(), one_connection());
  auto into = db.copy_in(patience, into_items);
  ASSERT_TRUE(into) << into.error();
  std::string all;
  for (int id = 1; id <= 20'000; ++id) all += line_of(id);
  for (std::size_t at = 0; at < all.size(); at += 1'237) {
    auto sent = into->write(patience, all.substr(at, 1'237));
    ASSERT_TRUE(sent) << sent.error();
  }
  EXPECT_EQ(count(), "0") << "before its end";
  auto done = into->finish(patience);
  ASSERT_TRUE(done) << done.error();
  EXPECT_EQ(*done, 20'000U);
  EXPECT_EQ(ask("select sum(id), max(name) from items"), "200010000|item 9999");
  EXPECT_EQ(into->write(patience, "1").error(), std::errc::operation_not_permitted) << "behind its end";
  EXPECT_EQ(into->finish(patience).error(), std::errc::operation_not_permitted);
  expect_usable(db);
}

TEST_F(Copy, TakesRowsInACoroutine) {
  pool db(url(), one_connection());
  const auto fill = [&]() -> asio::awaitable<result<std::uint64_t>> {
    auto into = co_await db.async_copy_in(patience.ctx(), into_items);
    if (!into) co_return into.error();
    for (int id = 1; id <= 500; ++id) {
      // More than the sockets hold, now and then.
      std::string row = std::to_string(id) + '\t' + std::string(id % 100 == 0 ? 10'000'000 : 10, 'x') + '\n';
      auto sent = co_await into->async_write(patience.ctx(), std::move(row));
      if (!sent) co_return sent.error();
    }
    auto done = co_await into->async_finish(patience.ctx());
    co_return done;
  };
  auto done = run_coroutine(fill());
  ASSERT_TRUE(done) << done.error();
  EXPECT_EQ(*done, 500U);
  EXPECT_EQ(ask("select sum(length(name)) from items"), "50004950");
  expect_usable(db);
}

TEST_F(Copy, GivesRowsInPieces) {
  pool db(url(), one_connection());
  auto all = db.copy_out(patience, many_items);
  ASSERT_TRUE(all) << all.error();
  std::string expected;
  for (int id = 1; id <= 200'000; ++id) expected += line_of(id);
  std::string got;
  std::size_t largest = 0;
  for (;;) {
    auto some = all->next(patience);
    ASSERT_TRUE(some) << some.error();
    if (some->empty()) break;
    EXPECT_EQ(some->back(), '\n') << "it consists of whole rows";
    largest = std::max(largest, some->size());
    got += *some;
  }
  EXPECT_EQ(got.size(), expected.size());
  EXPECT_TRUE(got == expected);
  EXPECT_LT(largest, 80'000U);
  auto none = all->next(patience);
  ASSERT_TRUE(none) << none.error();
  EXPECT_TRUE(none->empty());
  expect_usable(db);  // while `all` is still there
}

TEST_F(Copy, GivesRowsInACoroutine) {
  pool db(url(), one_connection());
  const auto read = [&]() -> asio::awaitable<result<std::size_t>> {
    auto all = co_await db.async_copy_out(patience.ctx(), many_items);
    if (!all) co_return all.error();
    std::size_t size = 0;
    for (;;) {
      auto some = co_await all->async_next(patience.ctx());
      if (!some) co_return some.error();
      if (some->empty()) co_return size;
      size += some->size();
    }
  };
  auto size = run_coroutine(read());
  ASSERT_TRUE(size) << size.error();
  std::size_t expected = 0;
  for (int id = 1; id <= 200'000; ++id) expected += line_of(id).size();
  EXPECT_EQ(*size, expected);
  expect_usable(db);
}

TEST_F(Copy, WithoutRowsIsDone) {
  pool db(url(), one_connection());
  auto into = db.copy_in(patience, into_items);
  ASSERT_TRUE(into) << into.error();
  auto done = into->finish(patience);
  ASSERT_TRUE(done) << done.error();
  EXPECT_EQ(*done, 0U);
  auto all = db.copy_out(patience, all_items);
  ASSERT_TRUE(all) << all.error();
  auto none = all->next(patience);
  ASSERT_TRUE(none) << none.error();
  EXPECT_TRUE(none->empty());
  expect_usable(db);
}

TEST_F(Copy, WhoseSourceStopsChangesNothing) {
  pool db(url(), one_connection());
  {
    auto into = db.copy_in(patience, into_items);
    ASSERT_TRUE(into) << into.error();
    for (int id = 1; id <= 10'000; ++id) ASSERT_TRUE(into->write(patience, line_of(id)));
  }
  expect_usable(db);  // after the server has given it up
  EXPECT_EQ(count(), "0");
  EXPECT_TRUE(gets_quiet());
}

TEST_F(Copy, TellsAtTheEndWhatARowHadWrong) {
  pool db(url(), one_connection());
  for (const auto& [row, code] :
       {std::pair<std::string, std::error_code>{"10000\trefused\n", errc::check_violation},
        {"7\tagain\n", errc::unique_violation},
        {"seven\tno number\n", errc::bad_parameter}}) {
    auto into = db.copy_in(patience, into_items);
    ASSERT_TRUE(into) << into.error();
    for (int id = 1; id <= 30'000; ++id) {
      auto sent = into->write(patience, id == 10'000 ? row : line_of(id));
      ASSERT_TRUE(sent) << sent.error();
    }
    auto done = into->finish(patience);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error(), code) << done.error();
    EXPECT_EQ(done.error().outcome(), outcome::did_not_happen);
    EXPECT_EQ(count(), "0");
    expect_usable(db);
  }
}

TEST_F(Copy, IsCutOffInTheMiddleOfItsData) {
  pool db(url(), one_connection());
  for (const bool in_coroutine : {false, true}) {
    auto into = db.copy_in(patience, into_items);
    ASSERT_TRUE(into) << into.error();
    for (int id = 1; id <= 10'000; ++id) ASSERT_TRUE(into->write(patience, line_of(id)));
    auto ends = with_cancel(background());
    ends.cancel();
    const auto sent = in_coroutine ? run_coroutine(into->async_write(ends.ctx(), line_of(0)))
                                   : into->write(ends.ctx(), line_of(0));
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error(), curfew::errc::canceled) << sent.error();
    EXPECT_EQ(sent.error().outcome(), outcome::did_not_happen);
    EXPECT_EQ(into->finish(patience).error(), std::errc::operation_not_permitted);
    expect_usable(db);
    EXPECT_EQ(count(), "0");
  }
}

TEST_F(Copy, IsCutOffWhileTheServerDoesNotTakeItsData) {
  // Each row waits for a lock that another session holds.
  ask("create function wait_for_lock() returns trigger language plpgsql as $$ begin perform "
      "pg_advisory_xact_lock(1); return new; end $$; create trigger slow before insert on items for each row "
      "execute function wait_for_lock()");
  pool holder(url());
  auto holds = holder.begin(patience);
  ASSERT_TRUE(holds) << holds.error();
  ASSERT_TRUE(holds->query(patience, "select pg_advisory_xact_lock(1)"));
  pool db(url(), one_connection());
  for (const bool in_coroutine : {false, true}) {
    auto ends = with_cancel(background());
    auto into = db.copy_in(patience, into_items);
    ASSERT_TRUE(into) << into.error();
    std::jthread later([&] {
      EXPECT_TRUE(tests::eventually([&] {
        return ask("select count(*) from pg_locks where locktype = 'advisory' and not granted") == "1";
      }));
      ends.cancel();
    });
    std::optional<error> why;
    const std::string many(std::size_t{1} << 20U, 'x');
    for (int id = 0; !why; ++id) {
      const std::string row = std::to_string(id) + '\t' + many + '\n';
      const auto sent =
          in_coroutine ? run_coroutine(into->async_write(ends.ctx(), row)) : into->write(ends.ctx(), row);
      if (!sent) why = sent.error();
    }
    EXPECT_EQ(*why, curfew::errc::canceled) << *why;
    EXPECT_EQ(why->outcome(), outcome::did_not_happen);
    expect_usable(db);  // the server has ended it, though the lock is still held
    EXPECT_EQ(count(), "0");
  }
}

TEST_F(Copy, WaitsForTheAnswerToItsEnd) {
  ask("create function wait_for_lock() returns trigger language plpgsql as $$ begin perform "
      "pg_advisory_xact_lock(2); return null; end $$; create trigger slow after insert on items for each "
      "statement execute function wait_for_lock()");
  pool holder(url());
  auto holds = holder.begin(patience);
  ASSERT_TRUE(holds) << holds.error();
  ASSERT_TRUE(holds->query(patience, "select pg_advisory_xact_lock(2)"));
  pool db(url(), one_connection());
  for (const bool in_coroutine : {false, true}) {
    auto ends = with_cancel(background());
    auto into = db.copy_in(patience, into_items);
    ASSERT_TRUE(into) << into.error();
    ASSERT_TRUE(into->write(patience, line_of(1)));
    std::jthread later([&] {
      EXPECT_TRUE(tests::eventually([&] {
        return ask("select count(*) from pg_locks where locktype = 'advisory' and not granted") == "1";
      }));
      ends.cancel();
    });
    const auto done = in_coroutine ? run_coroutine(into->async_finish(ends.ctx())) : into->finish(ends.ctx());
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error(), curfew::errc::canceled) << done.error();
    EXPECT_EQ(done.error().outcome(), outcome::did_not_happen);
    expect_usable(db);
    EXPECT_EQ(count(), "0");
  }
}

TEST_F(Copy, OutIsCutOffInTheMiddle) {
  pool db(url(), one_connection());
  for (const bool in_coroutine : {false, true}) {
    auto ends = with_cancel(background());
    auto all = db.copy_out(patience, endless_items);
    ASSERT_TRUE(all) << all.error();
    std::optional<error> why;
    for (int i = 0; !why; ++i) {
      if (i == 20) ends.cancel();
      auto some = in_coroutine ? run_coroutine(all->async_next(ends.ctx())) : all->next(ends.ctx());
      if (!some) why = some.error();
    }
    EXPECT_EQ(*why, curfew::errc::canceled) << *why;
    auto none = all->next(patience);
    ASSERT_TRUE(none) << none.error();
    EXPECT_TRUE(none->empty());
    expect_usable(db);
    EXPECT_TRUE(gets_quiet());
  }
}

TEST_F(Copy, OutThatIsDestroyedEndsInTheServer) {
  pool db(url(), one_connection());
  {
    auto all = db.copy_out(patience, endless_items);
    ASSERT_TRUE(all) << all.error();
    ASSERT_TRUE(all->next(patience));
  }
  expect_usable(db);
  EXPECT_TRUE(gets_quiet());
}

TEST_F(Copy, OutSaysWhatIsWrongInTheMiddle) {
  pool db(url(), one_connection());
  auto all =
      db.copy_out(patience, "copy (select 1 / (50000 - i) from generate_series(1, 100000) i) to stdout");
  ASSERT_TRUE(all) << all.error();
  std::optional<error> why;
  while (!why) {
    auto some = all->next(patience);
    if (!some) why = some.error();
    ASSERT_TRUE(why || !some->empty()) << "it came to its end";
  }
  EXPECT_EQ(*why, errc::bad_parameter) << *why;
  EXPECT_EQ(why->sqlstate(), "22012");
  expect_usable(db);
}

TEST_F(Copy, ReadsWhatTheServerSaysMeanwhile) {
  // So many notices that the server would wait for their reader, and read no data.
  ask("create function say() returns trigger language plpgsql as $$ begin raise notice '%', repeat('x', "
      "5000); "
      "return new; end $$; create trigger says before insert on items for each row execute function say()");
  pool db(url(), one_connection());
  for (const bool in_coroutine : {false, true}) {
    const int first = in_coroutine ? 0 : 100'000;
    auto into = db.copy_in(patience, into_items);
    ASSERT_TRUE(into) << into.error();
    const std::string name(2'000, 'x');
    for (int id = first; id != first + 5'000; ++id) {
      const std::string row = std::to_string(id) + '\t' + name + '\n';
      const auto sent =
          in_coroutine ? run_coroutine(into->async_write(patience.ctx(), row)) : into->write(patience, row);
      ASSERT_TRUE(sent) << sent.error();
    }
    auto done = into->finish(patience);
    ASSERT_TRUE(done) << done.error();
    EXPECT_EQ(*done, 5'000U);
  }
}

TEST_F(Copy, IsWhatItsNameSays) {
  pool db(url(), one_connection());
  const auto no_data = db.copy_in(patience, "select 1");
  ASSERT_FALSE(no_data);
  EXPECT_EQ(no_data.error(), errc::other);
  EXPECT_EQ(no_data.error().outcome(), outcome::happened);
  const auto nothing_given = db.copy_out(patience, "select 1");
  ASSERT_FALSE(nothing_given);
  EXPECT_EQ(nothing_given.error(), errc::other);
  EXPECT_EQ(db.copy_in(patience, all_items).error(), errc::other);
  EXPECT_EQ(db.copy_out(patience, into_items).error(), errc::other);
  EXPECT_EQ(db.query(patience, all_items).error(), errc::other);
  EXPECT_EQ(db.copy_in(patience, "copy nowhere from stdin").error(), errc::syntax);
  EXPECT_EQ(db.copy_in(patience, "copy items from stdin; drop table items").error(), errc::many_statements);
  expect_usable(db);
  pool file("sqlite::memory:");
  EXPECT_EQ(file.copy_in(patience, into_items).error(), std::errc::operation_not_supported);
  EXPECT_EQ(file.copy_out(patience, all_items).error(), std::errc::operation_not_supported);
  const auto in_coroutines = [&]() -> asio::awaitable<bool> {
    auto into = co_await file.async_copy_in(patience.ctx(), into_items);
    auto all = co_await file.async_copy_out(patience.ctx(), all_items);
    co_return into.error() == std::errc::operation_not_supported&& all.error() ==
        std::errc::operation_not_supported;
  };
  EXPECT_TRUE(run_coroutine(in_coroutines()));
}

TEST_F(Copy, GoesThroughPgbouncer) {
  CURFEW_NEEDS_PROGRAMS("pgbouncer");
  const tests::pgbouncer between(server(), {"default_pool_size=1"});
  pool db(between.url(database()), one_connection().prepared(false));
  for (const bool is_kept : {false, true}) {
    auto into = db.copy_in(patience, into_items);
    ASSERT_TRUE(into) << into.error() << between.log();
    for (int id = 1; id <= 10'000; ++id) ASSERT_TRUE(into->write(patience, line_of(id)));
    if (!is_kept) continue;
    auto done = into->finish(patience);
    ASSERT_TRUE(done) << done.error() << between.log();
    EXPECT_EQ(*done, 10'000U);
  }
  {
    auto all = db.copy_out(patience, endless_items);
    ASSERT_TRUE(all) << all.error() << between.log();
    ASSERT_TRUE(all->next(patience));
  }
  expect_usable(db);
  EXPECT_EQ(count(), "10000");
}

TEST_F(Copy, OutlivesItsPool) {
  std::optional<pool> db(std::in_place, url(), one_connection());
  auto into = db->copy_in(patience, into_items);
  ASSERT_TRUE(into) << into.error();
  db.reset();
  ASSERT_TRUE(into->write(patience, line_of(1)));
  auto done = into->finish(patience);
  ASSERT_TRUE(done) << done.error();
  EXPECT_EQ(count(), "1");
}

class CopyThatIsCut : public Copy, public ::testing::WithParamInterface<std::tuple<direction, fault>> {};

INSTANTIATE_TEST_SUITE_P(Each, CopyThatIsCut,
                         ::testing::Combine(::testing::Values(direction::to_server, direction::to_client),
                                            ::testing::Values(fault::cut, fault::cut_within,
                                                              fault::cut_behind, fault::reset,
                                                              fault::split)));

// Whichever message it is: all rows are there or none, as the error says.
TEST_P(CopyThatIsCut, IsWholeOrNothing) {
  const auto [which, what] = GetParam();
  tests::message_proxy between(server().port());
  pool db(between.url(database()) + "?sslmode=disable", one_connection());
  pool beside(url());
  const auto there = [&] {
    auto found = beside.query(patience, "select count(*) from items");
    return found ? (*found)[0].get<int>(0) : -1;
  };
  const auto act = [&](int size) -> result<std::uint64_t> {
    auto into = db.copy_in(patience, into_items);
    if (!into) return into.error();
    for (int piece = 0; piece != 4; ++piece) {
      std::string rows;
      for (int id = 0; id != size; ++id) rows += line_of(piece * size + id);
      auto sent = into->write(patience, rows);
      if (!sent) return sent.error();
    }
    return into->finish(patience);
  };
  const int size = what == fault::split ? 20 : 5'000;  // a byte at a time
  const int all = 4 * size;
  bool has_come = true;
  for (std::size_t n = 1; has_come; ++n) {
    SCOPED_TRACE("message " + std::to_string(n));
    ASSERT_LT(n, 100U);
    ASSERT_TRUE(beside.execute(patience, "truncate items"));
    expect_usable(db);
    between.order(which, n, what);
    const auto done = act(size);
    has_come = between.order_done();
    between.release();
    if (done) {
      EXPECT_EQ(there(), all);
    } else {
      const error& why = done.error();
      EXPECT_TRUE(why == errc::connection_lost || why == errc::connection_failed) << why;
      // A server that has got all of it may still be at work: truncate waits for it.
      if (why.outcome() == outcome::did_not_happen) {
        EXPECT_EQ(there(), 0) << why;
      } else {
        EXPECT_TRUE(there() == 0 || there() == all) << why;
      }
    }
  }
  expect_usable(db);
}

TEST_F(Copy, OutSaysThatItsConnectionWasCut) {
  tests::message_proxy between(server().port());
  pool db(between.url(database()) + "?sslmode=disable", one_connection());
  ASSERT_TRUE(db.warm_up(patience));
  between.order(direction::to_client, 30'000, fault::cut);
  auto all = db.copy_out(patience, many_items);
  ASSERT_TRUE(all) << all.error();
  std::optional<error> why;
  while (!why) {
    auto some = all->next(patience);
    if (!some) why = some.error();
    ASSERT_TRUE(why || !some->empty()) << "it came to its end";
  }
  EXPECT_EQ(*why, errc::connection_lost) << *why;
  expect_usable(db);
}

}  // namespace
}  // namespace curfew::sql
