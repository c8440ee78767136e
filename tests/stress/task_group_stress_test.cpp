// Task groups under load: whatever fails or is canceled at whichever moment, join returns when all is over, and
// nothing runs after it.

#include "race.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/sync/channel.hpp>
#include <curfew/sync/task_group.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <system_error>
#include <thread>
#include <tuple>

namespace curfew {
namespace {

using namespace std::chrono_literals;

TEST(TaskGroupStress, NothingRunsAfterJoinAndEverythingIsDestroyed) {
  const std::uint64_t seed =
      testing::announce_seed("a group is destroyed while a thread of the pool is about to leave it");
  std::mt19937_64 random(seed);
  const testing::time_box box(1500ms);
  while (box.open()) {
    const auto alive = std::make_shared<int>(0);
    std::atomic<bool> joined{false};
    std::atomic<int> late{0};
    auto scope = with_cancel(background());
    const auto tasks = random() % 12;
    const auto fails = random() % 24;
    const auto cancels = random() % 24;
    {
      task_group group(scope, task_group::limit(static_cast<unsigned>(1 + random() % 4)));
      for (std::uint64_t i = 0; i != tasks; ++i) {
        group.spawn([&, i, alive](const context&) -> result<> {
          if (joined) ++late;
          if (i == cancels) scope.cancel();
          if (i == fails) return std::unexpected(error(std::make_error_code(std::errc::io_error)));
          return {};
        });
      }
      if (random() % 2 == 0) {
        std::ignore = group.join();
        joined = true;
      }
    }
    joined = true;
    ASSERT_EQ(alive.use_count(), 1);
    ASSERT_EQ(late, 0);
  }
}

TEST(TaskGroupStress, TasksSpawnFromSeveralThreadsWhileItIsJoined) {
  std::mt19937_64 random(testing::announce_seed("spawn against join, and against the last task"));
  const testing::time_box box(1500ms);
  while (box.open()) {
    std::atomic<int> ran{0};
    std::atomic<int> spawned{0};
    task_group group(background());
    std::array<std::jthread, 2> others;
    std::atomic<int> left{2};
    group.spawn([&](const context&) {  // keeps the group from being over until both are done
      while (left != 0) std::this_thread::yield();
    });
    for (auto& each : others) {
      each = std::jthread([&, delay = random()] {
        std::mt19937_64 own(delay);
        for (int i = 0; i != 20; ++i) {
          testing::dawdle(own);
          ++spawned;
          group.spawn([&](const context&) {
            ++ran;
            ++spawned;
            group.spawn([&](const context&) { ++ran; });
          });
        }
        --left;
      });
    }
    ASSERT_TRUE(group.join());
    ASSERT_EQ(ran, spawned);
    ASSERT_EQ(ran, 80);
  }
}

struct end_against_failure {
  std::unique_ptr<cancel_scope> scope = std::make_unique<cancel_scope>(with_cancel(background()));
  std::unique_ptr<task_group> group = std::make_unique<task_group>(*scope);
  result<> joined;

  void left() {
    group->spawn([](const context&) { return std::make_error_code(std::errc::io_error); });
    joined = group->join();
    group.reset();
  }
  void right() { scope->cancel(); }
  void check() const {
    if (!joined) {
      EXPECT_TRUE(joined.error() == std::errc::io_error || joined.error() == errc::canceled);
    }
  }
};

TEST(TaskGroupStress, AnEndOfTheContextAndAnErrorHaveOneOutcome) {
  testing::hunt<end_against_failure>("the parent ends while a task fails and the group is destroyed");
}

TEST(ThreadPoolStress, EveryJobRunsOnceThoughThreadsComeAndGo) {
  std::mt19937_64 random(testing::announce_seed("a job is enqueued while the last thread falls asleep"));
  const testing::time_box box(1s);
  while (box.open()) {
    std::atomic<std::uint64_t> ran{0};
    const auto jobs = 1 + random() % 50;
    {
      thread_pool pool(static_cast<unsigned>(1 + random() % 4));
      for (std::uint64_t i = 0; i != jobs; ++i) {
        pool.post([&] { ++ran; });
        if (random() % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 120));
      }
    }
    ASSERT_EQ(ran, jobs);
  }
}

}  // namespace
}  // namespace curfew
