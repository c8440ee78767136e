#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/remote/hub.hpp>
#include <string>

#include "remote/hub_fixture.hpp"
#include "remote/other_process.hpp"

namespace curfew::remote {
namespace {

using namespace std::chrono_literals;

class RemoteProcesses : public hub_test {
 protected:
  static std::string last_word(const std::string& line) { return line.substr(line.rfind(' ') + 1); }
};

TEST_F(RemoteProcesses, AnEndReachesTheOtherWithItsCause) {
  tests::redis_server server;
  tests::other_process origin(server.url(), long_lease);
  tests::other_process worker(server.url(), long_lease);
  const auto shared_line = origin.ask("share");
  ASSERT_TRUE(shared_line.starts_with("shared 0 ")) << shared_line;
  ASSERT_EQ(worker.ask("join " + last_word(shared_line)), "joined 0");
  origin.tell("cancel 0 the user has left");
  EXPECT_EQ(origin.hear(), "ended shared 0: canceled (the user has left)");
  EXPECT_EQ(worker.hear(), "ended joined 0: canceled (the user has left)");
}

TEST_F(RemoteProcesses, ADeadlineIsTheSameInBoth) {
  tests::redis_server server;
  tests::other_process origin(server.url(), long_lease);
  tests::other_process worker(server.url(), long_lease);
  const auto shared_line = origin.ask("share 1000");
  ASSERT_EQ(worker.ask("join " + last_word(shared_line)), "joined 0");
  EXPECT_EQ(origin.hear(), "ended shared 0: deadline exceeded (deadline exceeded)");
  EXPECT_EQ(worker.hear(), "ended joined 0: deadline exceeded (deadline exceeded)");
}

TEST_F(RemoteProcesses, AKilledOriginEndsWhatHasJoinedWithinItsLease) {
  tests::redis_server server;
  tests::other_process origin(server.url(), short_lease);
  tests::other_process worker(server.url(), short_lease);
  for (int i = 0; i != 3; ++i) {
    const auto shared_line = origin.ask("share");
    ASSERT_EQ(worker.ask("join " + last_word(shared_line)), "joined " + std::to_string(i));
  }
  const auto begin = clock::now();
  origin.kill(SIGKILL);
  for (int i = 0; i != 3; ++i)
    EXPECT_THAT(worker.hear(), ::testing::HasSubstr("canceled (the origin is lost)"));
  EXPECT_LT(clock::now() - begin, short_lease + 5s);
  EXPECT_GT(clock::now() - begin, short_lease / 3);
  EXPECT_EQ(worker.ask("counts"), "counts 0 0");
  EXPECT_TRUE(eventually([&] { return server.ask_for({"DBSIZE"}) == "0"; }));
}

TEST_F(RemoteProcesses, AnOriginThatWasStoppedForTooLongLearnsIt) {
  tests::redis_server server;
  tests::other_process origin(server.url(), short_lease);
  tests::other_process worker(server.url(), short_lease);
  const auto shared_line = origin.ask("share");
  ASSERT_EQ(worker.ask("join " + last_word(shared_line)), "joined 0");
  origin.kill(SIGSTOP);
  EXPECT_EQ(worker.hear(), "ended joined 0: canceled (the origin is lost)");
  origin.kill(SIGCONT);
  EXPECT_EQ(origin.hear(), "ended shared 0: canceled (the lease is lost)");
  // It goes on with a new lease.
  const auto again = origin.ask("share");
  EXPECT_EQ(worker.ask("join " + last_word(again)), "joined 1");
}

TEST_F(RemoteProcesses, AWorkerThatWasStoppedAsksBeforeItJudges) {
  tests::redis_server server;
  constexpr std::chrono::milliseconds lease{2000};
  side here(server.url(), hub_options().lease(lease));
  tests::other_process worker(server.url(), short_lease);
  auto lives = here.hub.share(background());
  auto ended = here.hub.share(background());
  ASSERT_TRUE(lives && ended);
  ASSERT_EQ(worker.ask("join " + lives->ticket()), "joined 0");
  ASSERT_EQ(worker.ask("join " + ended->ticket()), "joined 1");
  worker.kill(SIGSTOP);
  ended->scope().cancel("while it slept");
  const auto later = clock::now() + lease + 500ms;
  ASSERT_TRUE(eventually([&] { return clock::now() > later; }));
  worker.kill(SIGCONT);
  EXPECT_EQ(worker.hear(), "ended joined 1: canceled (while it slept)");
  EXPECT_EQ(worker.ask("counts"), "counts 0 1");
  lives->scope().cancel("now");
  EXPECT_EQ(worker.hear(), "ended joined 0: canceled (now)");
}

TEST_F(RemoteProcesses, AKilledWorkerIsNoConcernOfTheOrigin) {
  tests::redis_server server;
  tests::other_process origin(server.url(), short_lease);
  const auto shared_line = origin.ask("share");
  {
    tests::other_process worker(server.url(), short_lease);
    ASSERT_EQ(worker.ask("join " + last_word(shared_line)), "joined 0");
  }
  EXPECT_EQ(origin.ask("counts"), "counts 1 0");
}

}  // namespace
}  // namespace curfew::remote
