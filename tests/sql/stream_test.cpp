// Rows that come some at a time, from both kinds of databases.

#include <curfew/sql.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "race.hpp"
#include "sql/any_database.hpp"

namespace curfew::sql {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

constexpr text numbers =
    "with recursive n(i) as (select cast(1 as bigint) union all select i + 1 from n where i < cast($1 as "
    "bigint)) "
    "select i, 'row ' || i from n";
constexpr std::int64_t endless = 1'000'000'000'000;

class Stream : public any_database {};

struct counted {
  std::int64_t count = 0;
  std::int64_t sum = 0;
  std::size_t parts = 0;
  std::size_t largest = 0;

  void add(const rows& some) {
    for (auto [number, name] : some.as<std::int64_t, std::string>()) {
      ++count;
      sum += number;
      EXPECT_EQ(name, "row " + std::to_string(number));
    }
    ++parts;
    largest = std::max(largest, some.size());
  }
};

TEST_P(Stream, GivesAllRowsInParts) {
  pool db(url);
  auto all = db.stream(background(), numbers, 10'000);
  ASSERT_TRUE(all) << all.error();
  counted seen;
  for (;;) {
    auto some = all->next(background());
    ASSERT_TRUE(some) << some.error();
    if (some->empty()) break;
    seen.add(*some);
  }
  EXPECT_EQ(seen.count, 10'000);
  EXPECT_EQ(seen.sum, 10'000 * 10'001 / 2);
  EXPECT_GT(seen.parts, 10U);
  EXPECT_LT(seen.largest, 2'000U);
  auto none = all->next(background());
  ASSERT_TRUE(none) << none.error();
  EXPECT_TRUE(none->empty());
}

TEST_P(Stream, GivesAllRowsInACoroutine) {
  pool db(url);
  counted seen;
  const auto read = [&]() -> asio::awaitable<void> {
    auto all = co_await db.async_stream(background(), numbers, 3'000);
    EXPECT_TRUE(all) << all.error();
    while (all) {
      auto some = co_await all->async_next(background());
      EXPECT_TRUE(some) << some.error();
      if (!some || some->empty()) break;
      seen.add(*some);
    }
  };
  asio::io_context loop;
  asio::co_spawn(loop, read(), [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
  loop.run();
  EXPECT_EQ(seen.count, 3'000);
}

TEST_P(Stream, OfNoRowsKnowsItsColumns) {
  pool db(url);
  auto all = db.stream(background(), "select 1 as one, 2 as two where 1 = 0");
  ASSERT_TRUE(all) << all.error();
  auto none = all->next(background());
  ASSERT_TRUE(none) << none.error();
  EXPECT_TRUE(none->empty());
  EXPECT_EQ(none->columns(), (std::vector<std::string>{"one", "two"}));
}

TEST_P(Stream, GivesItsConnectionBackAtTheEnd) {
  pool db(url, pool_options().size(1));
  for (int i = 0; i != 3; ++i) {
    auto all = db.stream(background(), numbers, 300);
    ASSERT_TRUE(all) << all.error();
    counted seen;
    for (auto some = all->next(background()); some && !some->empty(); some = all->next(background()))
      seen.add(*some);
    EXPECT_EQ(seen.count, 300);
    EXPECT_TRUE(db.query(background(), "select 1"));  // while `all` is still there
  }
}

TEST_P(Stream, ThatIsDestroyedEndsItsQuery) {
  pool db(url, pool_options().size(1));
  {
    auto all = db.stream(background(), numbers, endless);
    ASSERT_TRUE(all) << all.error();
    ASSERT_TRUE(all->next(background()));
  }
  auto next = db.query(background(), "select 1");  // waits for the connection, which would never come else
  EXPECT_TRUE(next) << next.error();
}

TEST_P(Stream, EndsWithTheContextOfTheNextRows) {
  pool db(url, pool_options().size(1));
  auto all = db.stream(background(), numbers, endless);
  ASSERT_TRUE(all) << all.error();
  auto scope = with_cancel(background());
  const std::jthread later([&scope] {
    std::this_thread::sleep_for(30ms);
    scope.cancel();
  });
  std::optional<error> why;
  while (!why) {
    if (auto some = all->next(scope.ctx()); !some) why = some.error();
  }
  EXPECT_EQ(*why, curfew::errc::canceled);
  auto none = all->next(background());
  ASSERT_TRUE(none) << none.error();
  EXPECT_TRUE(none->empty());
  EXPECT_TRUE(db.query(background(), "select 1"));
}

// The race: the context ends when the last row of its part has come. How long a part takes is the machine's secret: the
// timeout is drawn from a range that a part which came halves and one which did not doubles.
TEST_P(Stream, IsNotEndedByTheContextOfEarlierRows) {
  pool db(url, pool_options().size(1));
  std::mt19937 random(testing::announce_seed("a part that another one's context ends"));
  auto range = std::chrono::microseconds(1ms);
  int parts = 0;
  for (int round = 0; round != 40; ++round) {
    auto all = db.stream(background(), numbers, endless);
    ASSERT_TRUE(all) << all.error();
    for (;;) {
      std::uniform_int_distribution<std::int64_t> any(0, range.count());
      const auto scope = with_timeout(background(), std::chrono::microseconds(any(random)));
      if (!all->next(scope.ctx())) break;
      range = std::max<std::chrono::microseconds>(range / 2, 100us);
      auto next = all->next(background());
      ASSERT_TRUE(next) << next.error();
      ++parts;
    }
    range = std::min<std::chrono::microseconds>(range * 2, 10s);
  }
  EXPECT_GT(parts, 0);
}

TEST_P(Stream, IsOverInACoroutineWhoseContextHadEnded) {
  pool db(url, pool_options().size(1));
  auto all = db.stream(background(), numbers, endless);
  ASSERT_TRUE(all) << all.error();
  ASSERT_TRUE(all->next(background()));
  auto scope = with_cancel(background());
  scope.cancel();
  const auto read = [&]() -> asio::awaitable<void> {
    for (;;) {  // what has come already may be given
      auto some = co_await all->async_next(scope.ctx());
      if (some) continue;
      EXPECT_EQ(some.error(), curfew::errc::canceled);
      co_return;
    }
  };
  asio::io_context loop;
  asio::co_spawn(loop, read(), [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
  loop.run();
  auto none = all->next(background());
  ASSERT_TRUE(none) << none.error();
  EXPECT_TRUE(none->empty());
  const auto patience = with_timeout(background(), tests::program_patience);
  EXPECT_TRUE(db.query(patience, "select 1")) << "while `all` is still there";
}

TEST_P(Stream, SaysWhatIsWrongAtItsBeginning) {
  pool db(url, pool_options().size(1));
  const auto wrong = db.stream(background(), "selct 1");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error(), errc::syntax);
  auto scope = with_cancel(background());
  scope.cancel();
  const auto ended = db.stream(scope.ctx(), numbers, 3);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error(), curfew::errc::canceled);
  EXPECT_TRUE(db.query(background(), "select 1"));
}

TEST_P(Stream, OutlivesItsPool) {
  std::optional<pool> db(url);
  auto all = db->stream(background(), numbers, 2'000);
  ASSERT_TRUE(all) << all.error();
  db.reset();
  counted seen;
  for (auto some = all->next(background()); some && !some->empty(); some = all->next(background()))
    seen.add(*some);
  EXPECT_EQ(seen.count, 2'000);
}

CURFEW_WITH_EACH_DATABASE(Stream);

}  // namespace
}  // namespace curfew::sql
