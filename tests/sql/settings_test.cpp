// Settings that statements run with, by the contexts of their calls.

#include <curfew/sql.hpp>

#include <gtest/gtest.h>

#include <curfew/core.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "sql/postgres_fixture.hpp"
#include "sql/proxy.hpp"

namespace curfew::sql {
namespace {

constexpr key<std::string> user{"user"};
constexpr key<std::string> place{"place"};

/// What is not in the context is not set.
session_settings of_request(const context& ctx) {
  session_settings all;
  if (const std::string* who = ctx.value(user); who != nullptr) all.emplace("app.user", *who);
  if (const std::string* where = ctx.value(place); where != nullptr) all.emplace("app.place", *where);
  return all;
}

constexpr text asking =
    "select coalesce(current_setting('app.user', true), '') || ' in ' || "
    "coalesce(current_setting('app.place', true), '')";

class Settings : public postgres_test {
 protected:
  static pool_options how() { return pool_options().size(1).on_acquire(of_request); }
  context of(const std::string& who) const { return with_value(patience, user, who); }

  static std::string seen(const result<rows>& answer) {
    return answer ? (*answer)[0].get<std::string>(0) : answer.error().message();
  }
};

TEST_F(Settings, AreThoseOfTheCallsContext) {
  pool db(url(), how());
  EXPECT_EQ(seen(db.query(of("ann"), asking)), "ann in ");
  EXPECT_EQ(seen(db.query(of("bob"), asking)), "bob in ");
  EXPECT_EQ(seen(db.query(with_value(of("o'hara; drop"), place, "x\\\"'"), asking)),
            "o'hara; drop in x\\\"'");
}

TEST_F(Settings, AreLeftToNobody) {
  pool db(url(), how());
  EXPECT_EQ(seen(db.query(with_value(of("ann"), place, "rome"), asking)), "ann in rome");
  EXPECT_EQ(seen(db.query(of("bob"), asking)), "bob in ");
  EXPECT_EQ(seen(db.query(patience, asking)), " in ");
}

TEST_F(Settings, GoBackToTheServersWhereThereAreSuch) {
  pool db(url(), pool_options().size(1).on_acquire([](const context& ctx) -> session_settings {
    if (ctx.value(user) == nullptr) return {};
    return {{"search_path", *ctx.value(user)}};
  }));
  EXPECT_EQ(seen(db.query(of("ann"), "show search_path")), "ann");
  EXPECT_EQ(seen(db.query(patience, "show search_path")), "\"$user\", public");
}

TEST_F(Settings, HoldForCoroutinesTransactionsStreamsBatchesAndCopies) {
  pool db(url(), how());
  EXPECT_EQ(seen(run_coroutine(db.async_query(of("ann"), asking))), "ann in ");
  EXPECT_EQ(seen(run_coroutine(db.async_query(patience, asking))), " in ");
  {
    auto tx = db.begin(of("bob"));
    ASSERT_TRUE(tx) << tx.error();
    EXPECT_EQ(seen(tx->query(patience, asking)), "bob in ") << "those of begin";
  }
  auto some = db.stream(of("eve"), asking);
  ASSERT_TRUE(some) << some.error();
  EXPECT_EQ(seen(some->next(patience)), "eve in ");
  EXPECT_TRUE(some->next(patience));
  batch all;
  all.add(asking);
  auto done = db.run_batch(of("joe"), all);
  ASSERT_TRUE(done) << done.error();
  EXPECT_EQ((*done)[0][0].get<std::string>(0), "joe in ");
  auto copy = db.copy_out(of("kim"), "copy (select current_setting('app.user')) to stdout");
  ASSERT_TRUE(copy) << copy.error();
  EXPECT_EQ(copy->next(patience).value_or("none"), "kim\n");
}

TEST_F(Settings, TakeARoundTripOnlyWhereTheyChange) {
  tests::message_proxy between(server().port());
  pool db(between.url(database()), how());
  ASSERT_TRUE(db.query(of("ann"), asking));
  ASSERT_TRUE(db.query(of("bob"), asking));
  const auto round_trips = [&](const context& ctx) {
    between.order(tests::direction::to_client, 1000, tests::fault::cut);  // none: it begins a new trace
    EXPECT_TRUE(db.query(ctx, asking));
    const std::string trace = between.trace();
    std::size_t count = 0;
    for (auto at = trace.find("<Z"); at != std::string::npos; at = trace.find("<Z", at + 1)) ++count;
    return count;
  };
  EXPECT_EQ(round_trips(of("bob")), 1U);
  EXPECT_EQ(round_trips(of("ann")), 2U);
  EXPECT_EQ(round_trips(of("ann")), 1U);
  EXPECT_EQ(round_trips(patience), 2U);
  EXPECT_EQ(round_trips(patience), 1U);
}

TEST_F(Settings, OfOneWhoGaveUpAreLeftToNobodyEither) {
  tests::message_proxy between(server().port());
  pool db(between.url(database()), how());
  ASSERT_TRUE(db.query(of("ann"), asking));
  // The server has taken bob's, and its answer is held up: nobody knows which it has.
  between.order(tests::direction::to_client, 1, tests::fault::hold);
  cancel_scope gives_up = with_cancel(of("bob"));
  std::thread cancels([&] {
    EXPECT_TRUE(between.wait_for_order());
    gives_up.cancel();
  });
  const auto cut = db.query(gives_up, asking);
  cancels.join();
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error(), curfew::errc::canceled);
  EXPECT_EQ(cut.error().outcome(), outcome::did_not_happen);
  between.release();
  EXPECT_EQ(seen(db.query(of("ann"), asking)), "ann in ");
  EXPECT_EQ(db.stats().size(), 1U);
  EXPECT_EQ(seen(db.query(patience, asking)), " in ");
}

TEST_F(Settings, ThatTheServerRefusesFailTheCall) {
  pool db(url(), pool_options().size(1).on_acquire([](const context& ctx) -> session_settings {
    return {{ctx.value(user) != nullptr ? *ctx.value(user) : "app.user", "x"}};
  }));
  const auto refused = db.query(of("no_such_setting"), "select 1");
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().message().contains("\"no_such_setting\"")) << refused.error().message();
  EXPECT_TRUE(refused.error().message().contains("set_config")) << refused.error().message();
  EXPECT_EQ(seen(db.query(patience, asking)), "x in ") << "it was that call's alone";
  EXPECT_EQ(db.stats().size(), 1U);
}

TEST_F(Settings, MayBeRefusedByTheProgram) {
  pool db(url(), pool_options().on_acquire([](const context& ctx) -> session_settings {
    if (ctx.value(user) == nullptr) throw std::logic_error("nobody asks");
    return {{"app.user", *ctx.value(user)}};
  }));
  EXPECT_TRUE(db.warm_up(patience)) << "which is for no call";
  EXPECT_THROW(std::ignore = db.query(patience, asking), std::logic_error);
  EXPECT_THROW(std::ignore = run_coroutine(db.async_query(patience.ctx(), asking)), std::logic_error);
  EXPECT_EQ(seen(db.query(of("ann"), asking)), "ann in ");
  EXPECT_EQ(db.stats().size(), 1U);
}

/// What they are for.
TEST_F(Settings, SecureRowsByTheRequestsUser) {
  const std::string role = "reader_" + database();
  ask("create table notes (owner text, body text);"
      "insert into notes values ('ann', 'of ann'), ('bob', 'of bob');"
      "alter table notes enable row level security;"
      "create policy own on notes using (owner = current_setting('app.user', true));"
      "create role " +
      role + "; grant select on notes to " + role);
  const std::string as_reader = "set role " + role;
  pool db(url(), how().size(2).on_connect(dynamic(as_reader)));
  std::vector<std::thread> threads;
  for (const std::string who : {"ann", "bob", "ann", "bob"}) {
    threads.emplace_back([&db, who, ctx = of(who)] {
      for (int i = 0; i != 50; ++i) {
        const auto found = db.query(ctx, "select body from notes");
        ASSERT_TRUE(found) << found.error();
        ASSERT_EQ(found->size(), 1U);
        ASSERT_EQ((*found)[0].get<std::string>(0), "of " + who);
      }
    });
  }
  for (auto& each : threads) each.join();
  const auto of_nobody = db.query(patience, "select body from notes");
  ASSERT_TRUE(of_nobody) << of_nobody.error();
  EXPECT_EQ(of_nobody->size(), 0U);
}

}  // namespace
}  // namespace curfew::sql
