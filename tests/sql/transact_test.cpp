// Functions that run in a transaction, again and again where it has to be; with both kinds of databases.

#include <curfew/sql.hpp>

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "sql/any_database.hpp"

namespace curfew::sql {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

class Transact : public any_database {
 protected:
  void SetUp() override {
    any_database::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    pool db(url);
    ASSERT_TRUE(db.execute(background(), "create table counters (id int primary key, n int not null)"));
    ASSERT_TRUE(db.execute(background(), "insert into counters values (1, 0)"));
  }

  static std::int64_t count(pool& db) {
    auto found = db.query(background(), "select n from counters where id = 1");
    EXPECT_TRUE(found) << found.error();
    return found ? (*found)[0].get<std::int64_t>(0) : -1;
  }
  static result<> increment(const context& ctx, transaction& tx) {
    auto found = tx.query(ctx, "select n from counters where id = 1");
    if (!found) return found.error();
    const auto n = (*found)[0].get<std::int64_t>(0);
    auto done = tx.execute(ctx, "update counters set n = $1 where id = 1", n + 1);
    if (!done) return done.error();
    return {};
  }
};

TEST_P(Transact, CommitsWhatSucceeds) {
  pool db(url);
  const auto returned =
      transact(background(), db, [](const context& ctx, transaction& tx) -> result<std::string> {
        auto done = increment(ctx, tx);
        if (!done) return done.error();
        return std::string("done");
      });
  ASSERT_TRUE(returned) << returned.error();
  EXPECT_EQ(*returned, "done");
  EXPECT_EQ(count(db), 1);
}

TEST_P(Transact, RollsBackWhatFails) {
  pool db(url, pool_options().size(1));
  int tries = 0;
  const auto failed = transact(background(), db, [&](const context& ctx, transaction& tx) -> result<> {
    ++tries;
    EXPECT_TRUE(increment(ctx, tx));
    auto twice = tx.execute(ctx, "insert into counters values (1, 0)");
    EXPECT_FALSE(twice);
    return twice.error();
  });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), errc::unique_violation);
  EXPECT_EQ(tries, 1);  // another try would fail, too
  EXPECT_EQ(count(db), 0);
}

TEST_P(Transact, RollsBackWhatThrows) {
  pool db(url, pool_options().size(1));
  const auto throws = [](const context& ctx, transaction& tx) -> result<> {
    EXPECT_TRUE(increment(ctx, tx));
    throw std::runtime_error("no");
  };
  EXPECT_THROW(std::ignore = transact(background(), db, throws), std::runtime_error);
  EXPECT_EQ(count(db), 0);
}

TEST_P(Transact, TriesAgainWhatIsTransient) {
  pool db(url);
  int tries = 0;
  const auto fails_twice = [&](const context& ctx, transaction& tx) -> result<int> {
    EXPECT_TRUE(increment(ctx, tx));
    if (++tries < 3) return error(errc::serialization_failure, "a test");
    return tries;
  };
  const auto done = transact(background(), db, fails_twice);
  ASSERT_TRUE(done) << done.error();
  EXPECT_EQ(*done, 3);
  EXPECT_EQ(count(db), 1);
}

TEST_P(Transact, GivesUpAfterItsTriesWithTheLastError) {
  pool db(url);
  int tries = 0;
  const auto fails = [&](const context& /*ctx*/, transaction& /*tx*/) -> result<> {
    ++tries;
    return error(errc::deadlock, "a test", error_details::saying("again"));
  };
  const auto how = transact_options().retry(retry_policy().initial(1us).max_tries(4));
  const auto failed = transact(background(), db, fails, how);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), errc::deadlock);
  EXPECT_EQ(failed.error().details().message, "again");
  EXPECT_EQ(tries, 4);
}

TEST_P(Transact, DoesNotTryAgainWhatMayHaveHappened) {
  pool db(url);
  int tries = 0;
  const auto fails = [&](const context& /*ctx*/, transaction& /*tx*/) -> result<> {
    ++tries;
    return error(errc::connection_lost, "a test").with(outcome::unknown);
  };
  EXPECT_FALSE(transact(background(), db, fails));
  EXPECT_EQ(tries, 1);
}

TEST_P(Transact, EndsWithItsContext) {
  pool db(url);
  auto scope = with_cancel(background());
  const auto fails = [&](const context& /*ctx*/, transaction& /*tx*/) -> result<> {
    scope.cancel();
    return error(errc::deadlock, "a test");
  };
  const auto how = transact_options().retry(retry_policy().initial(1h));
  const auto ended = transact(scope.ctx(), db, fails, how);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error(), curfew::errc::canceled);
}

TEST_P(Transact, LosesNoUpdateOfThreads) {
  pool db(url);
  const auto how = transact_options()
                       .transaction(transaction_options().level(isolation::serializable))
                       .retry(retry_policy().initial(1ms));
  constexpr int threads = 4;
  constexpr int each = 10;
  std::vector<std::jthread> all;
  for (int i = 0; i != threads; ++i) {
    all.emplace_back([&] {
      for (int n = 0; n != each; ++n) {
        const auto done = transact(background(), db, increment, how);
        EXPECT_TRUE(done) << done.error();
      }
    });
  }
  all.clear();
  EXPECT_EQ(count(db), threads * each);
}

TEST_P(Transact, LosesNoUpdateOfCoroutines) {
  pool db(url);
  const auto work = [&]() -> asio::awaitable<void> {
    const auto how = transact_options()
                         .transaction(transaction_options().level(isolation::serializable))
                         .retry(retry_policy().initial(1ms));
    const auto one = [](context ctx, transaction& tx) -> asio::awaitable<result<>> {
      auto found = co_await tx.async_query(ctx, "select n from counters where id = 1");
      if (!found) co_return found.error();
      const auto n = (*found)[0].get<std::int64_t>(0);
      auto done = co_await tx.async_execute(ctx, "update counters set n = $1 where id = 1", n + 1);
      if (!done) co_return done.error();
      co_return result<>();
    };
    for (int n = 0; n != 5; ++n) {
      const auto done = co_await async_transact(background(), db, one, how);
      EXPECT_TRUE(done) << done.error();
    }
  };
  asio::io_context loop;
  for (int i = 0; i != 3; ++i)
    asio::co_spawn(loop, work, [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
  loop.run();
  EXPECT_EQ(count(db), 15);
}

CURFEW_WITH_EACH_DATABASE(Transact);

}  // namespace
}  // namespace curfew::sql
