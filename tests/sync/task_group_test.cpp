#include <curfew/sync/task_group.hpp>

#include <unistd.h>

#include "core/allocations.hpp"
#include "sync/group_tasks.hpp"
#include "sync/waiting.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <curfew/core/after_func.hpp>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/done.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/sync/channel.hpp>
#include <curfew/sync/drain.hpp>
#include <curfew/sync/select.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <exception>
#include <functional>
#include <gtest/gtest.h>
#include <latch>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <set>
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
using detail::group_access;
using testing::await;
using testing::farewell;
using testing::io_error;
using testing::until_the_end;

const unsigned cores = std::max(std::thread::hardware_concurrency(), 1U);

constexpr key<std::shared_ptr<int>> key_of_guest{"guest"};

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

// ---- a task only if there is room

TEST(TaskGroup, TriesATaskOnlyUpToItsLimit) {
  task_group group(background(), task_group::limit(2));
  std::latch over(1);
  const auto wait = [&](const context&) { over.wait(); };
  EXPECT_TRUE(group.try_spawn(wait));
  EXPECT_TRUE(group.try_spawn(wait));
  EXPECT_FALSE(group.try_spawn(wait));
  EXPECT_EQ(group.size(), 2U);
  over.count_down();
  EXPECT_TRUE(group.join());
  EXPECT_TRUE(group.try_spawn(wait));
}

TEST(TaskGroup, TriesNoTaskOnceItHasEnded) {
  task_group group(background());
  EXPECT_TRUE(group.try_spawn([](const context&) {}));
  EXPECT_TRUE(group.join());
  group.cancel();
  EXPECT_FALSE(group.try_spawn([](const context&) { ADD_FAILURE(); }));
  EXPECT_EQ(group.size(), 0U);
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

TEST(TaskGroup, ItsDestructorGivesNoCause) {
  std::optional<cause> why;
  std::latch waits(1);
  {
    task_group group(background());
    group.spawn([&](const context& ctx) {
      waits.count_down();
      until_the_end(ctx);
      why = ctx.cause();
    });
    waits.wait();
  }
  ASSERT_TRUE(why);
  EXPECT_EQ(*why, cause(errc::canceled));
}

TEST(TaskGroup, ItsDestructorForgetsErrorsAndExceptions) {
  std::atomic<int> ran{0};
  for (const bool throws : {true, false}) {
    std::latch failed(1);
    task_group group(background());
    group.spawn([&, last = farewell([&] { failed.count_down(); })](const context&) -> result<> {
      ++ran;
      if (throws) throw std::runtime_error("nobody joins");
      return std::unexpected(io_error());
    });
    failed.wait();
  }
  EXPECT_EQ(ran, 2);
}

TEST(TaskGroup, DestroysATaskWithoutALock) {
  int destroyed = 0;
  bool ran = false;
  task_group group(background(), task_group::limit(1));
  group.spawn([&, last = farewell([&] {
                    ++destroyed;
                    EXPECT_EQ(group.size(), 1U) << "it is counted until it is destroyed";
                    group.spawn([&](const context&) { ran = true; });
                  })](const context&) {});
  EXPECT_TRUE(group.join());
  EXPECT_EQ(destroyed, 1);
  EXPECT_TRUE(ran) << "what a task spawns as it is destroyed belongs to the same join";
}

TEST(TaskGroup, DestroysTheTasksThatItDropsBeforeJoinReturnsAndWithoutALock) {
  std::atomic<int> destroyed{0};
  task_group group(background());
  group.cancel("not wanted");
  for (int i = 0; i != 100; ++i) {
    group.spawn([last = farewell([&] {
                   ++destroyed;
                   EXPECT_GE(group.size(), 1U);
                 })](const context&) { FAIL() << "its context has ended"; });
  }
  const auto joined = group.join();
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error().cause().message(), "not wanted");
  EXPECT_EQ(destroyed, 100);
}

TEST(TaskGroup, IsWhatItWasIfATaskCannotBeMade) {
  struct immovable_today {
    immovable_today() = default;
    immovable_today(immovable_today&&) { throw std::runtime_error("not today"); }  // NOLINT
    immovable_today& operator=(immovable_today&&) = delete;
    ~immovable_today() = default;
    void operator()(const context&) const {}
  };
  bool ran = false;
  task_group group(background());
  EXPECT_THROW(group.spawn(immovable_today()), std::runtime_error);
  EXPECT_EQ(group.size(), 0U);
  group.spawn([&](const context&) { ran = true; });
  EXPECT_TRUE(group.join());
  EXPECT_TRUE(ran);
}

TEST(TaskGroup, IsWhatItWasIfThereIsNoMemoryForATask) {
  if (!testing::allocations_are_counted) GTEST_SKIP() << "this sanitizer has its own operator new";
  std::atomic<int> ran{0};
  task_group group(background());
  group.spawn([&](const context&) { ++ran; });  // starts the pool
  EXPECT_TRUE(group.join());
  const auto task = [&](const context&) { ran += 10; };
  {
    const testing::failing_allocation none_left(1);
    EXPECT_THROW(group.spawn(task), std::bad_alloc);
  }
  EXPECT_EQ(group.size(), 0U);
  EXPECT_TRUE(group.join());
  EXPECT_EQ(ran, 1);
}

TEST(TaskGroup, IsOneAllocationForEachTask) {
  if (!testing::allocations_are_counted) GTEST_SKIP() << "this sanitizer has its own operator new";
  thread_pool pool(1);
  std::latch begun(1);
  std::latch go(1);
  task_group group(background(), task_group::limit(1), pool);
  group.spawn([&](const context&) {
    begun.count_down();
    go.wait();
  });
  begun.wait();
  const testing::allocation_count count;
  for (int i = 0; i != 10; ++i) group.spawn([](const context&) {});
  EXPECT_EQ(count.made(), 10U);
  go.count_down();
  EXPECT_TRUE(group.join());
}

TEST(TaskGroup, MayBeJoinedByTwo) {
  task_group group(background());
  std::latch go(1);
  std::latch both(2);
  std::atomic<int> errors{0};
  group.spawn([&](const context&) -> result<> {
    go.wait();
    return std::unexpected(io_error());
  });
  const auto join = [&] {
    both.arrive_and_wait();
    if (!group.join()) ++errors;
    EXPECT_EQ(group.size(), 0U);
  };
  std::thread one(join);
  std::thread two(join);
  both.wait();
  go.count_down();
  one.join();
  two.join();
  EXPECT_EQ(errors, 1) << "the error is told once";
}

TEST(TaskGroup, ATreeOfTasksIsOverWithItsLastLeaf) {
  std::atomic<int> leaves{0};
  task_group group(background());
  std::function<void(int)> grow = [&](int depth) {
    if (depth == 0) {
      ++leaves;
      return;
    }
    for (int i = 0; i != 2; ++i) group.spawn([&, depth](const context&) { grow(depth - 1); });
  };
  group.spawn([&](const context&) { grow(12); });
  EXPECT_TRUE(group.join());
  EXPECT_EQ(leaves, 1 << 12);
}

TEST(TaskGroup, TakesTasksFromOtherThreadsWhileItIsJoined) {
  std::atomic<int> ran{0};
  task_group group(background());
  std::latch joins(1);
  std::thread other;
  group.spawn([&](const context&) {  // as long as it runs the group is not over
    joins.wait();
    other.join();
  });
  other = std::thread([&] {
    for (int i = 0; i != 100; ++i) group.spawn([&](const context&) { ++ran; });
  });
  joins.count_down();
  EXPECT_TRUE(group.join());
  EXPECT_EQ(ran, 100);
}

TEST(TaskGroup, TakesATaskFromTheEndOfAContext) {
  std::atomic<bool> ran{false};
  testing::manual_clock clock;
  const auto soon = with_timeout(clock.background(), 1s);
  task_group group(background());
  std::latch spawned(1);
  thread_pool pool(1);
  after_func(soon, &pool, [&] {
    group.spawn([&](const context&) { ran = true; });
    spawned.count_down();
  });
  group.spawn([&](const context&) {
    clock.advance(1s);
    spawned.wait();
  });
  EXPECT_TRUE(group.join());
  EXPECT_TRUE(ran);
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

TEST(TaskGroup, RunsAsManyAsItsLimitAllows) {
  thread_pool pool(8);
  std::latch all_at_once(3);
  task_group group(background(), task_group::limit(3), pool);
  for (int i = 0; i != 3; ++i) group.spawn([&](const context&) { all_at_once.arrive_and_wait(); });
  EXPECT_TRUE(group.join());
  EXPECT_TRUE(all_at_once.try_wait());
}

TEST(TaskGroup, ALimitOfZeroIsOne) {
  EXPECT_EQ(task_group::limit(0).value, 1U);
  bool ran = false;
  task_group group(background(), task_group::limit(0));
  group.spawn([&](const context&) { ran = true; });
  EXPECT_TRUE(group.join());
  EXPECT_TRUE(ran);
}

TEST(TaskGroup, ALimitCountsTheThreadThatJoins) {
  thread_pool pool(4);
  std::latch begun(1);
  std::latch go(1);
  std::atomic<bool> other_ran{false};
  task_group group(background(), task_group::limit(1), pool);
  group.spawn([&](const context&) {
    begun.count_down();
    go.wait();
    EXPECT_FALSE(other_ran);
  });
  begun.wait();
  group.spawn([&](const context&) { other_ran = true; });
  std::thread joiner([&] { EXPECT_TRUE(group.join()); });
  for (int i = 0; i != 100; ++i) std::this_thread::yield();  // time for the joiner to do what it must not
  EXPECT_FALSE(other_ran);
  go.count_down();
  joiner.join();
  EXPECT_TRUE(other_ran);
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

TEST(TaskGroup, AHundredTasksThatWaitForEachOtherGetAThreadEach) {
  constexpr int tasks = 100;
  thread_pool pool(128);
  std::latch all(tasks);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  task_group group(background(), task_group::limit(tasks), pool);
  for (int i = 0; i != tasks; ++i) {
    group.spawn([&](const context&) {
      all.arrive_and_wait();
      const std::lock_guard guard(mutex);
      threads.insert(std::this_thread::get_id());
    });
  }
  EXPECT_TRUE(group.join());
  EXPECT_EQ(threads.size(), 100U);
}

TEST(TaskGroup, TasksThatBlockInForeignCallsDoNotKeepTheOthersFromAThread) {
  const unsigned readers = 2 * cores + 6;
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  std::atomic<unsigned> bytes{0};
  thread_pool pool(readers + 1);
  task_group group(background(), task_group::limit(readers + 1), pool);
  for (unsigned i = 0; i != readers; ++i) {
    group.spawn([&](const context&) {
      char byte = 0;
      if (::read(ends[0], &byte, 1) == 1) ++bytes;
    });
  }
  group.spawn([&](const context&) {
    const std::string all(readers, 'x');
    EXPECT_EQ(::write(ends[1], all.data(), all.size()), static_cast<ssize_t>(all.size()));
  });
  EXPECT_TRUE(group.join());
  EXPECT_EQ(bytes, readers);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(TaskGroup, GroupsInsideOfTasksNeedNoThreadsOfTheirOwn) {
  thread_pool pool(1);
  std::atomic<int> leaves{0};
  std::function<void(const context&, int)> nest = [&](const context& ctx, int depth) {
    if (depth == 0) {
      ++leaves;
      return;
    }
    task_group group(ctx, task_group::limit(4), pool);
    for (int i = 0; i != 3; ++i) {
      group.spawn([&, depth](const context& inner) { nest(inner, depth - 1); });
    }
    EXPECT_TRUE(group.join());
  };
  nest(background(), 6);
  EXPECT_EQ(leaves, 3 * 3 * 3 * 3 * 3 * 3);
}

TEST(TaskGroup, AnErrorDeepInsideEndsAllOutwardAndInward) {
  task_group outer(background());
  std::error_code seen;
  std::latch waits(1);
  outer.spawn([&](const context& ctx) {
    task_group sibling(ctx);
    sibling.spawn([&](const context& inner) {
      waits.count_down();
      seen = until_the_end(inner);
    });
    std::ignore = sibling.join();
  });
  outer.spawn([&](const context& ctx) -> result<> {
    waits.wait();  // NOLINT(curfew-blocking-call): the sibling comes, whatever ends
    task_group inner(ctx);
    inner.spawn([](const context&) -> result<> { return std::unexpected(io_error("deep inside")); });
    return inner.join();
  });
  const auto joined = outer.join();
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error().doing(), "deep inside");
  EXPECT_EQ(seen, errc::canceled);
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

TEST(TaskGroup, DropsAMillionTasks) {
  constexpr int tasks = 1'000'000;
  int ran = 0;
  std::latch begun(1);
  task_group group(background(), task_group::limit(1));
  group.spawn([&](const context& ctx) {
    begun.count_down();
    until_the_end(ctx);
  });
  begun.wait();
  for (int i = 0; i != tasks; ++i) group.spawn([&](const context&) { ++ran; });
  EXPECT_EQ(group.size(), tasks + 1U);
  group.cancel();
  EXPECT_EQ(group.join().error(), errc::canceled);
  EXPECT_EQ(ran, 0);
}

// ---- time ----

TEST(TaskGroup, AManualClockStandsStillWhileATaskWorksAndMovesWhenAllWaitTheJoinerIncluded) {
  testing::manual_clock clock;
  clock.autojump();
  std::latch go(1);
  task_group group(clock.background());
  for (int i = 0; i != 2; ++i) {
    group.spawn([&](const context& ctx) {
      const auto scope = with_timeout(ctx, 1s);
      EXPECT_EQ(until_the_end(scope), errc::deadline_exceeded);
    });
  }
  group.spawn([&](const context& ctx) {
    go.wait();  // NOLINT(curfew-blocking-call): it works; nothing that waits for the clock
    EXPECT_EQ(clock.now().time_since_epoch(), 0s) << "the time passed while a task was at work";
    const auto scope = with_timeout(ctx, 2s);
    EXPECT_EQ(until_the_end(scope), errc::deadline_exceeded);
  });
  std::thread helper([&] {
    for (int i = 0; i != 5; ++i) std::this_thread::yield();  // time for the joiner to fall asleep
    go.count_down();
  });
  EXPECT_TRUE(group.join());
  helper.join();
  EXPECT_EQ(clock.now().time_since_epoch(), 2s);
}

// ---- tasks that run elsewhere, as coroutines do ----

TEST(TaskGroupAccess, WhatHasEnteredIsWaitedFor) {
  task_group group(background());
  std::atomic<bool> left{false};
  group_access::enter(group);
  group_access::enter(group);
  EXPECT_EQ(group.size(), 2U);
  std::thread other([&] {
    group_access::leave(group, {}, nullptr);
    for (int i = 0; i != 1000; ++i) std::this_thread::yield();  // time for the joiner to fall asleep
    left = true;
    group_access::leave(group, {}, nullptr);
  });
  EXPECT_TRUE(group.join());
  EXPECT_TRUE(left);
  other.join();
}

TEST(TaskGroupAccess, WhatLeavesWithAnErrorCancelsTheRest) {
  task_group group(background());
  std::latch begun(1);
  group.spawn([&](const context& ctx) {
    begun.count_down();
    until_the_end(ctx);
  });
  group_access::enter(group);
  begun.wait();
  group_access::leave(group, std::unexpected(io_error()), nullptr);
  EXPECT_EQ(group.join().error(), std::errc::io_error);

  task_group another(background());
  group_access::enter(another);
  group_access::leave(another, {}, std::make_exception_ptr(std::runtime_error("thrown")));
  EXPECT_THROW(std::ignore = another.join(), std::runtime_error);
}

TEST(TaskGroupAccess, WhoLeavesLastEndsASelect) {
  task_group group(background());
  group_access::enter(group);
  std::thread other([&] {
    for (int i = 0; i != 1000; ++i) std::this_thread::yield();  // time for the select to fall asleep
    group_access::leave(group, {}, nullptr);
  });
  EXPECT_EQ(select(when(group.joining(), [] {})), 0U);
  other.join();
}

TEST(TaskGroupAccess, WhatNobodyJoinsGoesWithItsLastTask) {
  const auto alive = std::make_shared<int>(0);
  for (const bool by_coroutine : {true, false}) {
    std::latch begun(1);
    std::latch go(1);
    auto group = std::make_unique<task_group>(with_value(background(), key_of_guest, alive));
    const context ctx = group->ctx();
    task_group& its = *group;
    its.spawn([&, last = farewell([copy = alive] {})](const context&) {
      begun.count_down();
      go.wait();
    });
    begun.wait();
    if (by_coroutine) group_access::enter(its);
    group_access::abandon(std::move(group));
    EXPECT_EQ(ctx.err(), errc::canceled);
    EXPECT_GT(alive.use_count(), 2) << "the task is still there";
    go.count_down();
    if (by_coroutine) {
      await([&] { return its.size() == 1; });
      group_access::leave(its, {}, nullptr);
    }
    await([&] { return alive.use_count() == 2; });  // ours, and that of ctx
    EXPECT_EQ(ctx.err(), errc::canceled);
  }
  auto over = std::make_unique<task_group>(background());
  const context ctx = over->ctx();
  group_access::abandon(std::move(over));
  EXPECT_EQ(ctx.err(), errc::canceled);
}

// ---- select ----

TEST(TaskGroupJoining, HappensAtOnceIfThereIsNothing) {
  task_group group(background());
  EXPECT_EQ(select(when(group.joining(), [] {}), otherwise([] {})), 0U);
  group_access::enter(group);
  EXPECT_EQ(select(when(group.joining(), [] {}), otherwise([] {})), 1U);
  group_access::leave(group, {}, nullptr);
  EXPECT_EQ(select(when(group.joining(), [] {}), otherwise([] {})), 0U);
}

TEST(TaskGroupJoining, HappensForAllWhoWait) {
  task_group group(background());
  group_access::enter(group);
  std::atomic<int> happened{0};
  std::latch waiting(4);
  std::vector<std::thread> threads;
  for (int i = 0; i != 3; ++i) {
    threads.emplace_back([&] {
      waiting.count_down();
      channel<int> never;
      select(when(never.receiving(), [] {}), when(group.joining(), [&] { ++happened; }));
    });
  }
  threads.emplace_back([&] {
    waiting.count_down();
    EXPECT_TRUE(group.join());
    ++happened;
  });
  waiting.wait();
  group_access::leave(group, {}, nullptr);
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(happened, 4);
}

TEST(TaskGroupJoining, GivesWayToTheEndOfAContext) {
  testing::manual_clock clock;
  const auto patience = with_timeout(clock.background(), 1s);
  std::latch begun(1);
  bool gave_up = false;
  task_group group(background());
  group.spawn([&](const context& ctx) {
    begun.count_down();
    until_the_end(ctx);
  });
  begun.wait();
  clock.autojump();
  select(when(patience.done(), [&] { gave_up = true; }), when(group.joining(), [] {}));
  EXPECT_TRUE(gave_up);
  group.cancel("no more patience");
  EXPECT_TRUE(group.join());
}

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
