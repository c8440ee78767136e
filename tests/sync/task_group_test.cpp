#include <curfew/sync/task_group.hpp>

#include "sync/waiting.hpp"

#include <atomic>
#include <cstddef>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/sync/channel.hpp>
#include <curfew/sync/select.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <gtest/gtest.h>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;

error io_error(const char* doing = "reading") {
  return error(std::make_error_code(std::errc::io_error), doing);
}

/// Waits for the end of its context.
std::error_code until_the_end(const context& ctx) { return ctx.done().wait(); }

TEST(TaskGroup, JoinsWhatItRan) {
  std::atomic<int> sum{0};
  task_group group(background());
  for (int i = 1; i <= 100; ++i) group.spawn([&, i](const context&) { sum += i; });
  EXPECT_TRUE(group.join());
  EXPECT_EQ(sum, 5050);
  EXPECT_EQ(group.size(), 0U);
}

TEST(TaskGroup, OfNothingIsOver) {
  task_group group(background());
  EXPECT_TRUE(group.join());
  EXPECT_TRUE(group.join());
}

TEST(TaskGroup, TakesTasksThatReturnNothingAResultOrACode) {
  task_group group(background());
  group.spawn([](const context&) {});
  group.spawn([](const context&) -> result<> { return {}; });
  group.spawn([](const context&) { return std::error_code(); });
  EXPECT_TRUE(group.join());
}

TEST(TaskGroup, TakesMoveOnlyTasks) {
  int seen = 0;
  task_group group(background());
  group.spawn([&seen, owned = std::make_unique<int>(7)](const context&) { seen = *owned; });
  EXPECT_TRUE(group.join());
  EXPECT_EQ(seen, 7);
}

TEST(TaskGroup, RunsItsTasksUnderItsOwnContext) {
  auto scope = with_cancel(background());
  task_group group(scope);
  group.spawn([&](const context& ctx) {
    EXPECT_EQ(ctx, group.ctx());
    EXPECT_FALSE(ctx.err());
  });
  EXPECT_TRUE(group.join());
  scope.cancel();
  EXPECT_EQ(group.ctx().err(), errc::canceled);
}

// ---- errors ----

TEST(TaskGroup, TheFirstErrorCancelsTheRestAndIsTheCauseAndTheOutcome) {
  task_group group(background());
  std::optional<cause> why;
  std::latch waits(1);
  group.spawn([&](const context& ctx) -> result<> {
    waits.count_down();
    until_the_end(ctx);
    why = ctx.cause();
    return std::unexpected(error::ended(ctx, "second"));
  });
  group.spawn([&](const context&) -> result<> {
    waits.wait();
    return std::unexpected(io_error());
  });
  const auto joined = group.join();
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error(), std::errc::io_error);
  ASSERT_TRUE(why);
  EXPECT_EQ(why->code(), std::errc::io_error);
  EXPECT_EQ(why->message(), io_error().message());
}

TEST(TaskGroup, AnErrorCodeIsAnError) {
  task_group group(background());
  group.spawn([](const context&) { return std::make_error_code(std::errc::no_space_on_device); });
  EXPECT_EQ(group.join().error(), std::errc::no_space_on_device);
}

TEST(TaskGroup, DropsTasksThatWereNotStartedWhenOneFails) {
  thread_pool pool(1);
  std::atomic<int> ran{0};
  task_group group(background(), task_group::limit(1), pool);
  group.spawn([](const context&) -> result<> { return std::unexpected(io_error()); });
  for (int i = 0; i != 10; ++i) group.spawn([&](const context&) { ++ran; });
  EXPECT_EQ(group.join().error(), std::errc::io_error);
  EXPECT_EQ(ran, 0);
}

TEST(TaskGroup, ReportsTheEndOfItsContextOnlyIfTasksWereDroppedBecauseOfIt) {
  auto scope = with_cancel(background());
  task_group finished(scope);
  finished.spawn([](const context&) {});
  finished.spawn([&](const context&) { scope.cancel("gone"); });
  task_group late(scope);
  EXPECT_TRUE(finished.join()) << "all of its tasks ran, and succeeded";
  late.spawn([](const context&) { FAIL() << "its context has ended"; });
  const auto joined = late.join();
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error(), errc::canceled);
  EXPECT_EQ(joined.error().cause().message(), "gone");
}

TEST(TaskGroup, KeepsADeadlineApartFromACancel) {
  testing::manual_clock clock;
  const auto scope = with_timeout(clock.background(), 1s);
  task_group group(scope);
  std::latch waits(1);
  group.spawn([&](const context& ctx) {
    waits.count_down();
    return until_the_end(ctx);
  });
  std::thread time([&] {
    waits.wait();
    clock.advance(1s);
  });
  EXPECT_EQ(group.join().error(), errc::deadline_exceeded);
  time.join();
}

TEST(TaskGroup, CarriesTheFirstExceptionToTheJoiner) {
  task_group group(background());
  group.spawn([](const context&) { throw std::runtime_error("from a task"); });
  try {
    std::ignore = group.join();
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "from a task");
  }
  EXPECT_EQ(group.ctx().err(), errc::canceled);
  EXPECT_EQ(group.ctx().cause().message(), "a task threw an exception");
}

TEST(TaskGroup, ReportsAnErrorOnce) {
  task_group group(background());
  group.spawn([](const context&) -> result<> { return std::unexpected(io_error()); });
  EXPECT_FALSE(group.join());
  EXPECT_TRUE(group.join());
}

TEST(TaskGroup, CanBeCanceledWithACause) {
  task_group group(background());
  std::latch waits(1);
  group.spawn([&](const context& ctx) {
    waits.count_down();
    return until_the_end(ctx);
  });
  waits.wait();
  group.cancel("not needed");
  EXPECT_EQ(group.join().error(), errc::canceled);
  EXPECT_EQ(group.ctx().cause().message(), "not needed");
}

// ---- lifetime ----

TEST(TaskGroup, LeavingItsBlockCancelsAndWaits) {
  std::atomic<bool> over{false};
  std::latch waits(1);
  {
    task_group group(background());
    group.spawn([&](const context& ctx) {
      waits.count_down();
      until_the_end(ctx);
      over = true;
    });
    waits.wait();
  }
  EXPECT_TRUE(over);
}

TEST(TaskGroup, DestroysATaskInTheThreadItRanInBeforeJoinReturns) {
  struct trace {
    std::thread::id* destroyed_in;
    std::thread::id* ran_in;

    trace(std::thread::id* d, std::thread::id* r) : destroyed_in(d), ran_in(r) {}
    trace(trace&& other) noexcept
        : destroyed_in(std::exchange(other.destroyed_in, nullptr)),
          ran_in(other.ran_in) {}
    trace& operator=(trace&&) = delete;
    ~trace() {
      if (destroyed_in != nullptr) *destroyed_in = std::this_thread::get_id();
    }
    void operator()(const context&) const { *ran_in = std::this_thread::get_id(); }
  };
  std::thread::id destroyed_in;
  std::thread::id ran_in;
  task_group group(background());
  group.spawn(trace(&destroyed_in, &ran_in));
  EXPECT_TRUE(group.join());
  EXPECT_NE(ran_in, std::thread::id());
  EXPECT_EQ(destroyed_in, ran_in);
}

TEST(TaskGroup, ATaskMaySpawnMore) {
  std::atomic<int> ran{0};
  task_group group(background());
  group.spawn([&](const context&) {
    ++ran;
    for (int i = 0; i != 10; ++i) {
      group.spawn([&](const context&) {
        ++ran;
        group.spawn([&](const context&) { ++ran; });
      });
    }
  });
  EXPECT_TRUE(group.join());
  EXPECT_EQ(ran, 21);
}

TEST(TaskGroup, MayBeUsedAgainAfterAJoin) {
  std::atomic<int> ran{0};
  task_group group(background());
  for (int round = 1; round <= 3; ++round) {
    group.spawn([&](const context&) { ++ran; });
    EXPECT_TRUE(group.join());
    EXPECT_EQ(ran, round);
  }
}

// ---- threads ----

TEST(TaskGroup, NeverRunsMoreThanItsLimit) {
  thread_pool pool(8);
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  task_group group(background(), task_group::limit(2), pool);
  for (int i = 0; i != 200; ++i) {
    group.spawn([&](const context&) {
      const int now = ++running;
      for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
      }
      std::this_thread::yield();
      --running;
    });
  }
  EXPECT_TRUE(group.join());
  EXPECT_LE(most, 2);
}

TEST(TaskGroup, ALimitOfOneKeepsTheOrder) {
  std::vector<int> order;
  task_group group(background(), task_group::limit(1));
  for (int i = 0; i != 100; ++i) group.spawn([&, i](const context&) { order.push_back(i); });
  EXPECT_TRUE(group.join());
  for (int i = 0; i != 100; ++i) EXPECT_EQ(order.at(static_cast<std::size_t>(i)), i);
}

TEST(TaskGroup, TasksThatWaitForEachOtherGetAThreadEach) {
  constexpr int tasks = 24;  // more than there are cores
  std::latch all(tasks);
  task_group group(background());
  for (int i = 0; i != tasks; ++i) group.spawn([&](const context&) { all.arrive_and_wait(); });
  EXPECT_TRUE(group.join());
}

TEST(TaskGroup, RunsAPipelineOfMoreStagesThanCores) {
  constexpr int stages = 12;
  std::vector<std::unique_ptr<channel<int>>> pipes;
  for (int i = 0; i <= stages; ++i) pipes.push_back(std::make_unique<channel<int>>());
  task_group group(background());
  for (std::size_t i = 0; i != stages; ++i) {
    group.spawn([&, i](const context& ctx) -> result<> {
      for (int n : drain(ctx, *pipes[i])) {
        if (auto sent = pipes[i + 1]->send(ctx, n + 1); !sent) return sent;
      }
      pipes[i + 1]->close();
      return {};
    });
  }
  group.spawn([&](const context& ctx) -> result<> {
    for (int n = 0; n != 20; ++n) {
      if (auto sent = pipes.front()->send(ctx, n); !sent) return sent;
    }
    pipes.front()->close();
    return {};
  });
  int next = stages;
  for (int n : drain(group.ctx(), *pipes.back())) EXPECT_EQ(n, next++);
  EXPECT_EQ(next, stages + 20);
  EXPECT_TRUE(group.join());
}

TEST(TaskGroup, JoinsThoughAllThreadsOfThePoolAreTaken) {
  thread_pool pool(1);
  std::latch taken(1);
  std::latch go(1);
  pool.post([&] {
    taken.count_down();
    go.wait();
  });
  taken.wait();
  bool ran = false;
  task_group group(background(), task_group::limit(4), pool);
  group.spawn([&](const context&) { ran = true; });  // in this thread, which joins
  EXPECT_TRUE(group.join());
  EXPECT_TRUE(ran);
  go.count_down();
}

TEST(TaskGroup, StartsItsTasksWithoutAJoin) {
  std::latch ran(1);
  task_group group(background());
  group.spawn([&](const context&) { ran.count_down(); });
  ran.wait();
  EXPECT_TRUE(group.join());
}

TEST(TaskGroup, RunsAMillionSmallTasks) {
  constexpr int tasks = 1'000'000;
  std::atomic<int> ran{0};
  task_group group(background());
  for (int i = 0; i != tasks; ++i)
    group.spawn([&](const context&) { ran.fetch_add(1, std::memory_order_relaxed); });
  EXPECT_TRUE(group.join());
  EXPECT_EQ(ran, tasks);
}

// ---- select ----

TEST(TaskGroupJoining, HappensOnceAllTasksAreOver) {
  task_group group(background());
  std::latch go(1);
  group.spawn([&](const context&) -> result<> {
    go.wait();
    return std::unexpected(io_error());
  });
  channel<int> never;
  std::thread helper([&] { go.count_down(); });
  const std::size_t which = select(when(never.receiving(), [] {}), when(group.joining(), [] {}));
  EXPECT_EQ(which, 1U);
  EXPECT_EQ(group.join().error(), std::errc::io_error) << "select does not take the error";
  helper.join();
}

TEST(TaskGroupJoining, LeavesNoTraceWhenAnotherCaseHappens) {
  task_group group(background());
  std::latch go(1);
  group.spawn([&](const context&) { go.wait(); });
  channel<int> c(1);
  EXPECT_TRUE(c.try_send(1));
  EXPECT_EQ(select(when(group.joining(), [] {}), when(c.receiving(), [] {})), 1U);
  go.count_down();
  EXPECT_TRUE(group.join());
  EXPECT_EQ(select(when(group.joining(), [] {})), 0U);
}

}  // namespace
}  // namespace curfew
