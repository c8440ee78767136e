#include "sql/proxy.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <vector>

#include "postgres.hpp"
#include "program.hpp"

namespace curfew::tests {
namespace {

class MessageProxy : public ::testing::Test {
 protected:
  void SetUp() override { CURFEW_NEEDS_PROGRAMS("postgres", "initdb", "psql"); }

  static std::vector<std::string> psql(const message_proxy& between,
                                       std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.begin(),
                     {find_program("psql"), "-XAtq", "-d", between.url() + "?sslmode=disable"});
    return arguments;
  }
  /// Three messages to the server: the startup, the query, the end.
  static std::vector<std::string> question(const message_proxy& between) {
    return psql(between, {"-c", "select 'answer'"});
  }
};

TEST_F(MessageProxy, KnowsWhereMessagesBegin) {
  message_proxy between(postgres_server::shared().port());
  between.order(direction::to_server, 1, fault::split);
  EXPECT_EQ(run(question(between)).text, "answer\n");
  EXPECT_TRUE(between.order_done());
  EXPECT_TRUE(eventually([&] { return between.connections() == 0; }));
  const std::string trace = between.trace();
  EXPECT_TRUE(trace.starts_with(" >*! <R ")) << trace;
  EXPECT_TRUE(trace.ends_with(" >Q <T <D <C <Z >X")) << trace;
}

TEST_F(MessageProxy, HoldsSplitsAndCutsAMessage) {
  message_proxy between(postgres_server::shared().port());
  for (const auto which : {direction::to_server, direction::to_client}) {
    between.order(which, 2, fault::hold);
    program asks(question(between));
    ASSERT_TRUE(between.wait_for_order());
    between.release();
    EXPECT_EQ(asks.read_all(), "answer\n") << between.trace();
    between.order(which, 2, fault::split);
    EXPECT_EQ(run(question(between)).text, "answer\n") << between.trace();
    for (const auto what : {fault::cut, fault::cut_within, fault::cut_behind, fault::reset}) {
      between.order(which, 2, what);
      EXPECT_NE(run(question(between)).code, 0) << between.trace();
      EXPECT_TRUE(between.order_done());
    }
  }
  EXPECT_EQ(run(question(between)).text, "answer\n");
}

TEST_F(MessageProxy, HoldsARequestToCancel) {
  message_proxy between(postgres_server::shared().port());
  program asks(psql(between));
  asks.write("\\echo there\n");
  EXPECT_EQ(asks.read_line(), "there");
  between.on_cancel(cancels::hold);
  between.order(direction::to_server, 1, fault::split);
  asks.write("select pg_sleep(60);\n");
  ASSERT_TRUE(eventually([] {  // a request that comes before is forgotten
    return postgres_server::shared().ask_for(
               "select count(*) from pg_stat_activity where state = 'active' and query like 'select "
               "pg_sleep%'") == "1";
  }));
  asks.kill(SIGINT);
  ASSERT_TRUE(eventually([&] { return between.cancel_requests() == 1; }));
  EXPECT_FALSE(between.trace().contains("<E")) << between.trace();
  between.release();
  EXPECT_EQ(asks.read_all(), "") << between.trace();
  EXPECT_TRUE(between.trace().contains("<E")) << between.trace();
}

}  // namespace
}  // namespace curfew::tests
