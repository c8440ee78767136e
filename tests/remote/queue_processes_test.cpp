#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/redis.hpp>
#include <curfew/remote.hpp>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "remote/hub_fixture.hpp"
#include "remote/other_process.hpp"

namespace curfew::remote {
namespace {

using namespace std::chrono_literals;

class QueueProcesses : public hub_test {
 protected:
  static queue_options fast() { return queue_options().job_lease(short_lease); }
};

TEST_F(QueueProcesses, AKilledOriginEndsItsJobsWithinItsLease) {
  tests::redis_server server;
  tests::other_process origin(server.url(), short_lease);
  tests::other_process worker(server.url(), short_lease);
  ASSERT_EQ(worker.ask("work jobs"), "working");
  ASSERT_EQ(origin.ask("ask jobs report"), "asking");
  ASSERT_EQ(worker.hear(), "began report 1");
  origin.kill(SIGKILL);
  EXPECT_EQ(worker.hear(), "ended report: the origin is lost");
  // It is done with, and its answers go with the lease.
  EXPECT_TRUE(eventually([&] { return server.ask_for({"XLEN", "curfew:{queue:jobs}"}) == "0"; }));
  EXPECT_TRUE(eventually([&] { return server.ask_for({"KEYS", "*"}) == "curfew:{queue:jobs}"; }));
}

TEST_F(QueueProcesses, AKilledWorkersJobIsTakenOver) {
  tests::redis_server server;
  side here(server.url(), hub_options());
  queue<std::string> jobs(here.hub, "jobs", fast());
  tests::other_process first(server.url(), short_lease);
  ASSERT_EQ(first.ask("work jobs"), "working");
  auto asking = std::async(std::launch::async, [&] { return jobs.run(background(), "report"); });
  ASSERT_EQ(first.hear(), "began report 1");
  first.kill(SIGKILL);
  auto scope = with_cancel(background());
  std::thread working([&] {
    std::ignore = jobs.work(
        scope.ctx(), [](const context&, const std::string& job, const job_info& info) -> result<std::string> {
          return job + ' ' + std::to_string(info.attempt);
        });
  });
  EXPECT_EQ(asking.get().value(), "report 2");
  scope.cancel();
  working.join();
}

TEST_F(QueueProcesses, AStoppedWorkerLosesItsJobAndLearnsIt) {
  tests::redis_server server;
  side here(server.url(), hub_options());
  queue<std::string> jobs(here.hub, "jobs", fast());
  tests::other_process first(server.url(), 60s);  // whose own lease is no matter here
  tests::other_process second(server.url(), short_lease);
  ASSERT_EQ(second.ask("counts"), "counts 0 0");
  ASSERT_EQ(first.ask("work jobs"), "working");
  auto scope = with_cancel(background());
  auto asking = std::async(std::launch::async, [&] { return jobs.run(scope.ctx(), "report"); });
  ASSERT_EQ(first.hear(), "began report 1");
  first.kill(SIGSTOP);
  ASSERT_EQ(second.ask("work jobs"), "working");
  EXPECT_EQ(second.hear(), "began report 2");
  scope.cancel("enough");
  EXPECT_EQ(second.hear(), "ended report: enough");
  first.kill(SIGCONT);
  EXPECT_THAT(first.hear(), ::testing::StartsWith("ended report: "));
  EXPECT_EQ(asking.get().error(), curfew::errc::canceled);
}

/// Workers are killed and started at random while jobs are asked for: each is answered, and rightly. CURFEW_SOAK=<seconds> has
/// it run for longer.
TEST_F(QueueProcesses, NoJobIsLostWhileWorkersDie) {
  tests::redis_server server;
  side here(server.url(), hub_options().lease(long_lease));
  queue<std::string> jobs(here.hub, "jobs", queue_options().job_lease(300ms).max_attempts(1000));
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const char* const seconds = std::getenv("CURFEW_SOAK");
  const auto later = clock::now() + std::chrono::seconds(seconds != nullptr ? std::atoi(seconds) : 0);
  std::atomic<int> asked{0};
  std::atomic<int> right{0};
  std::atomic<bool> over{false};
  std::vector<std::thread> askers;
  for (int i = 0; i < 4; ++i) {
    askers.emplace_back([&, i] {
      for (int j = 0; j < 100 || clock::now() < later; ++j) {
        ++asked;
        const std::string text = "echo" + std::to_string(i) + ':' + std::to_string(j);
        const auto got = jobs.run(background(), text);
        EXPECT_TRUE(got) << got.error();
        if (got && *got == text) ++right;
      }
    });
  }
  std::thread waits([&] {
    for (auto& each : askers) each.join();
    over = true;
  });
  std::vector<std::unique_ptr<tests::other_process>> workers(2);
  while (!over) {
    auto& one = workers[random() % workers.size()];
    one.reset();
    one = std::make_unique<tests::other_process>(server.url(), 300ms);
    EXPECT_EQ(one->ask("work jobs"), "working");
    const auto until = clock::now() + std::chrono::milliseconds(random() % 150);
    eventually([&] { return over || clock::now() > until; });
  }
  waits.join();
  EXPECT_EQ(right, asked);
  RecordProperty("jobs", asked);
}

}  // namespace
}  // namespace curfew::remote
