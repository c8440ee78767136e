// URLs that name several servers.

#include <curfew/sql.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <curfew/core.hpp>
#include <string>
#include <thread>
#include <vector>

#include "fake_resolver.hpp"
#include "http/waiting.hpp"
#include "postgres.hpp"
#include "program.hpp"
#include "sql/postgres_fixture.hpp"

namespace curfew::sql {
namespace {

using tests::postgres_options;
using tests::postgres_server;

std::string address(const postgres_server& server) { return "127.0.0.1:" + std::to_string(server.port()); }

std::string url_of(const std::vector<std::string>& addresses, const std::string& parameters = {}) {
  std::string url = "postgresql://postgres@";
  for (const auto& each : addresses) url += (url.ends_with('@') ? "" : ",") + each;
  return url + "/postgres" + parameters;
}

class SeveralHosts : public postgres_test {
 protected:
  /// Which server a new pool gets to; 0: none.
  int port_of(const std::string& url) {
    pool db(url);
    auto found = db.query(patience, "select inet_server_port()");
    EXPECT_TRUE(found) << found.error();
    return found ? (*found)[0].get<int>(0) : 0;
  }
};

TEST_F(SeveralHosts, OneThatDoesNotAnswerIsPassedOver) {
  const tests::free_port silent;  // takes connections, and never answers
  EXPECT_EQ(port_of(url_of({silent.address(), address(server())})), server().port());
}

TEST_F(SeveralHosts, OneThatIsNotThereIsPassedOver) {
  EXPECT_EQ(port_of(url_of({"127.0.0.1:1", address(server())})), server().port());
}

TEST_F(SeveralHosts, EachIsNamedWhereNoneAnswers) {
  const tests::free_port silent;
  pool db(url_of({silent.address(), "127.0.0.1:1"}));
  const auto failed = db.query(patience, "select 1");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), errc::connection_failed);
  EXPECT_TRUE(failed.error().transient());
  const std::string said = failed.error().message();
  EXPECT_NE(said.find("port 1 failed: Connection refused"), std::string::npos) << said;
  EXPECT_NE(said.find(silent.address() + ": no answer in time"), std::string::npos) << said;
}

TEST_F(SeveralHosts, WhatOneRefusesIsNotAskedOfTheNext) {
  const tests::free_port next;
  pool db("postgresql://postgres@" + address(server()) + ',' + next.address() + "/no_such_database");
  const auto failed = db.query(patience, "select 1");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().sqlstate(), "3D000") << failed.error();
}

TEST_F(SeveralHosts, ACallEndsWhileOneDoesNotAnswer) {
  const tests::free_port silent;
  pool db(url_of({silent.address(), address(server())}));
  const auto scope = with_timeout(background(), std::chrono::milliseconds(50));
  const auto failed = db.query(scope, "select 1");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), curfew::errc::deadline_exceeded);
}

// A name is looked up by curfew, so that it ends with its call.

std::string by_name(const std::string& name, int port, const std::string& parameters = {}) {
  return url_of({name + ':' + std::to_string(port)}, parameters);
}

TEST_F(SeveralHosts, ANameIsReachedByEachOfItsAddresses) {
  EXPECT_EQ(port_of(by_name("peer.test", server().port())), server().port());
  EXPECT_EQ(port_of(by_name("two.test", server().port())), server().port());  // 127.0.0.2 refuses
  EXPECT_EQ(port_of(url_of({"missing.test:1", "peer.test:1", address(server())})), server().port());
}

TEST_F(SeveralHosts, ANameThatIsNotKnownIsSaid) {
  pool db(by_name("missing.test", server().port()));
  const auto failed = db.query(patience, "select 1");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), errc::connection_failed);
  const std::string said = failed.error().message();
  EXPECT_NE(said.find("missing.test:" + std::to_string(server().port()) + ": Host not found"),
            std::string::npos)
      << said;
}

TEST_F(SeveralHosts, ACallEndsWhileALookupHangs) {
  for (const bool in_coroutine : {false, true}) {
    // A name of its own: one that is still being looked up is not looked up again.
    pool db(by_name(in_coroutine ? "stuck2.test" : "stuck1.test", server().port()));
    auto scope = with_cancel(background());
    std::jthread ends([&scope] {
      EXPECT_TRUE(tests::wait_for_stuck_lookup());
      scope.cancel(cause("Refresh"));
    });
    const auto failed =
        in_coroutine ? run_coroutine(db.async_query(scope.ctx(), "select 1")) : db.query(scope, "select 1");
    ends.join();
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error(), curfew::errc::canceled);
    tests::release_stuck_lookups();
  }
}

TEST_F(SeveralHosts, OneWhoseLookupHangsIsPassedOver) {
  const auto url = url_of({"stuck-first.test:1", address(server())}, "?connect_timeout=1");
  EXPECT_EQ(port_of(url), server().port());
  tests::release_stuck_lookups();
}

TEST_F(SeveralHosts, TheRoleDecides) {
  CURFEW_NEEDS_PROGRAMS("pg_basebackup");
  postgres_server primary(postgres_options().primary());
  postgres_server standby(postgres_options().standby_of(primary.url()));
  const std::vector<std::string> both{address(primary), address(standby)};
  const std::vector<std::string> turned{address(standby), address(primary)};
  const auto role = [](const char* name) { return "?target_session_attrs=" + std::string(name); };

  EXPECT_EQ(port_of(url_of(turned, role("primary"))), primary.port());
  EXPECT_EQ(port_of(url_of(both, role("standby"))), standby.port());
  EXPECT_EQ(port_of(url_of(both, role("prefer-standby"))), standby.port());
  EXPECT_EQ(port_of(url_of({address(primary)}, role("prefer-standby"))), primary.port());
  EXPECT_EQ(port_of(url_of(both)), primary.port());

  pool writer(url_of(both, role("primary")));
  ASSERT_TRUE(writer.execute(patience, "create table t (i int)"));
  ASSERT_TRUE(writer.execute(patience, "insert into t values (7)"));
  pool reader(url_of(both, role("prefer-standby")));
  EXPECT_TRUE(tests::eventually([&] {
    auto found = reader.query(patience, "select i from t");
    return found && found->size() == 1 && (*found)[0].get<int>(0) == 7;
  }));
  const auto refused = reader.execute(patience, "insert into t values (8)");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), errc::read_only);

  // The reader goes on without a standby, and the writer with what becomes the primary.
  standby.stop();
  EXPECT_EQ(port_of(url_of(both, role("prefer-standby"))), primary.port());
  standby.start();
  primary.kill9();
  standby.ask("select pg_promote()");
  EXPECT_TRUE(
      tests::eventually([&] { return writer.execute(patience, "insert into t values (9)").has_value(); }));
  EXPECT_EQ(standby.ask_for("select count(*) from t where i = 9"), "1");
}

TEST_F(SeveralHosts, ListsThatDoNotFitAreRefused) {
  pool db("postgresql:///postgres?host=127.0.0.1,127.0.0.1&port=1,2,3");
  const auto failed = db.query(patience, "select 1");
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message().find("could not match 3 port numbers to 2 hosts"), std::string::npos)
      << failed.error();
}

}  // namespace
}  // namespace curfew::sql
