// Task groups under load: whatever fails or is canceled at whichever moment, join returns when all is over, and
// nothing runs after it.

#include "race.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <curfew/core/after_func.hpp>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/done.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/sync/channel.hpp>
#include <curfew/sync/drain.hpp>
#include <curfew/sync/select.hpp>
#include <curfew/sync/task_group.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

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

/// The last task of a group is over while another one is spawned, and then the only thread of the pool is not
/// free before the join has returned. So only the joiner, or the thread that ran the last task, can take the ticket back.
struct join_against_a_pool_that_is_taken {
  static thread_pool& pool() {
    static thread_pool one(1);
    return one;
  }

  std::atomic<bool> begun{false};
  std::atomic<bool> go{false};
  std::atomic<bool> joined{false};
  std::atomic<bool> freed{false};
  std::atomic<int> ran{0};
  task_group group{background(), task_group::limit(4), pool()};

  join_against_a_pool_that_is_taken() {
    group.spawn([this](const context&) {
      begun = true;
      while (!go) std::this_thread::yield();
      ++ran;
    });
    while (!begun) std::this_thread::yield();
    pool().post([this] {
      while (!joined) std::this_thread::yield();
      freed = true;
    });
  }
  void left() {
    group.spawn([this](const context&) { ++ran; });
    std::ignore = group.join();
    joined = true;
  }
  void right() { go = true; }
  void check() {
    EXPECT_EQ(ran, 2);
    while (!freed) std::this_thread::yield();
  }
};

TEST(TaskGroupStress, JoinsThoughThePoolIsTakenByWorkThatWaitsForIt) {
  testing::hunt<join_against_a_pool_that_is_taken>(
      "the last task is over after the ticket was promised and before it is in the pool");
}

struct select_against_the_last_task {
  channel<int> items{1};
  std::unique_ptr<task_group> group = std::make_unique<task_group>(background());
  std::atomic<bool> go{false};
  int joined = 0;
  int received = 0;

  select_against_the_last_task() {
    group->spawn([this](const context&) {
      while (!go) std::this_thread::yield();
    });
  }
  void left() {
    select(when(group->joining(), [&] { ++joined; }), when(items.receiving(), [&] { ++received; }));
    std::ignore = group->join();
    group.reset();
  }
  void right() {
    go = true;
    std::ignore = items.try_send(1);
  }
  void check() const {
    EXPECT_EQ(joined + received, 1);
    EXPECT_EQ(items.size(), received == 1 ? 0U : 1U);
  }
};

TEST(TaskGroupStress, OneCaseOfASelectHappensThoughTheGroupEndsAtTheSameTime) {
  testing::hunt<select_against_the_last_task>(
      "the last task of a group against an item of a channel; the group is destroyed at once");
}

struct leave_against_join {
  std::shared_ptr<int> alive = std::make_shared<int>(0);
  std::unique_ptr<task_group> group = std::make_unique<task_group>(background());
  task_group& its = *group;
  result<> outcome;

  leave_against_join() { detail::group_access::enter(its); }
  void left() {
    its.spawn([kept = alive](const context&) {});
    outcome = its.join();
    group.reset();
  }
  void right() { detail::group_access::leave(its, {}, nullptr); }
  void check() const {
    EXPECT_TRUE(outcome);
    EXPECT_EQ(alive.use_count(), 1);
  }
};

TEST(TaskGroupStress, MayBeDestroyedOnceACoroutineHasLeft) {
  testing::hunt<leave_against_join>(
      "a coroutine leaves while a task runs, and the group is joined and destroyed");
}

struct abandon_against_the_last_task {
  std::shared_ptr<int> alive = std::make_shared<int>(0);
  std::unique_ptr<task_group> group = std::make_unique<task_group>(background());
  task_group& its = *group;
  context ctx{its.ctx()};
  std::atomic<bool> over{false};

  abandon_against_the_last_task() {
    detail::group_access::enter(its);
    its.spawn([this, kept = alive](const context&) {
      while (!ctx.err()) std::this_thread::yield();
      over = true;
    });
  }
  void left() { detail::group_access::abandon(std::move(group)); }
  void right() { detail::group_access::leave(its, {}, nullptr); }
  void check() const {
    while (alive.use_count() != 1) std::this_thread::yield();
    EXPECT_TRUE(ctx.err());
  }
};

TEST(TaskGroupStress, GoesWithItsLastTaskIfNobodyJoinsIt) {
  testing::hunt<abandon_against_the_last_task>("a group is abandoned while its last two tasks end");
}

struct two_failures {
  task_group group{background()};

  two_failures() {
    detail::group_access::enter(group);
    detail::group_access::enter(group);
  }
  static result<> failure(const char* who) {
    return std::unexpected(error(std::make_error_code(std::errc::io_error), who));
  }
  void left() { detail::group_access::leave(group, failure("left"), nullptr); }
  void right() { detail::group_access::leave(group, failure("right"), nullptr); }
  void check() {
    const auto joined = group.join();
    ASSERT_FALSE(joined);
    EXPECT_EQ(group.ctx().cause().message(), joined.error().message()) << "the first error is the cause";
  }
};

TEST(TaskGroupStress, TheFirstOfTwoErrorsIsTheOutcomeAndTheCause) {
  testing::hunt<two_failures>("two tasks fail at the same time");
}

/// Groups inside of groups on a small pool: each task spawns, joins, fails, waits or cancels, by chance.
class forest {
 public:
  forest(thread_pool& pool, std::uint64_t seed) : pool_(pool), seed_(seed) {}

  void grow(const context& ctx, int depth, std::uint64_t salt) {
    std::mt19937_64 random(seed_ ^ salt);
    const alive_one one(*this);
    task_group group(ctx, task_group::limit(static_cast<unsigned>(1 + random() % 4)), pool_);
    for (auto n = random() % 5; n != 0; --n) {
      group.spawn([this, depth, &group, salt = random()](const context& inner) -> result<> {
        std::mt19937_64 own(salt);
        const alive_one it(*this);
        testing::dawdle(own);
        switch (own() % 10) {
          case 0:
            return std::unexpected(error(std::make_error_code(std::errc::io_error)));
          case 1:
            group.cancel("by chance");
            return {};
          case 2: {
            const auto soon = with_timeout(inner, std::chrono::microseconds(own() % 200));
            soon.done().wait();
            return {};
          }
          case 3:
            group.spawn([this](const context&) { const alive_one last(*this); });
            return {};
          case 4:
            throw salt;
          default:
            if (depth != 0) grow(inner, depth - 1, salt);
            return {};
        }
      });
    }
    if (random() % 4 == 0) return;  // the destructor cancels and waits
    try {
      const auto joined = group.join();
      if (!joined && !group.ctx().err()) ++wrong_;
    } catch (std::uint64_t) {
      if (!group.ctx().err()) ++wrong_;
    }
    if (group.size() != 0) ++wrong_;
  }

  [[nodiscard]] int alive() const { return alive_; }
  [[nodiscard]] int wrong() const { return wrong_; }

 private:
  struct alive_one {
    forest& in;
    explicit alive_one(forest& f) : in(f) { ++in.alive_; }
    alive_one(const alive_one&) = delete;
    alive_one& operator=(const alive_one&) = delete;
    ~alive_one() { --in.alive_; }
  };

  thread_pool& pool_;
  const std::uint64_t seed_;
  std::atomic<int> alive_{0};
  std::atomic<int> wrong_{0};
};

TEST(TaskGroupStress, GroupsInsideOfGroupsAreOverWhenTheOutermostIs) {
  const std::uint64_t seed =
      testing::announce_seed("nested groups that fail, throw, are canceled and destroyed, on a pool of two");
  std::mt19937_64 random(seed);
  thread_pool pool(2);
  for (const testing::time_box box(1500ms); box.open();) {
    forest trees(pool, random());
    auto scope = with_timeout(background(), std::chrono::microseconds(random() % 3000));
    std::array<std::jthread, 2> others;
    for (auto& each : others) {
      each = std::jthread([&, salt = random()] { trees.grow(scope, 3, salt); });
    }
    for (auto& each : others) each.join();
    ASSERT_EQ(trees.alive(), 0);
    ASSERT_EQ(trees.wrong(), 0);
  }
}

TEST(TaskGroupStress, APipelineThatIsCutShortLosesNothing) {
  std::mt19937_64 random(
      testing::announce_seed("a pipeline of more stages than cores is canceled on its way"));
  for (const testing::time_box box(1500ms); box.open();) {
    constexpr std::size_t stages = 6;
    std::array<channel<std::unique_ptr<int>>, stages + 1> pipes;
    std::atomic<int> made{0};
    std::atomic<int> gone{0};
    auto scope = with_timeout(background(), std::chrono::microseconds(random() % 2000));
    task_group group(scope, task_group::limit(stages + 2));
    for (std::size_t i = 0; i != stages; ++i) {
      group.spawn([&, i](const context& ctx) -> result<> {
        for (auto item : drain(ctx, pipes[i])) {
          if (auto sent = pipes[i + 1].send(ctx, std::move(item)); !sent) {
            ++gone;  // here
            return sent;
          }
        }
        pipes[i + 1].close();
        return {};
      });
    }
    group.spawn([&](const context& ctx) -> result<> {
      for (int n = 0; n != 50; ++n) {
        auto item = std::make_unique<int>(n);
        ++made;
        if (auto sent = pipes.front().send(ctx, std::move(item)); !sent) {
          ++gone;
          return sent;
        }
      }
      pipes.front().close();
      return {};
    });
    int arrived = 0;
    for (auto item : drain(group.ctx(), pipes.back())) {
      ASSERT_EQ(*item, arrived++);
    }
    const auto joined = group.join();
    ASSERT_EQ(arrived + gone, made) << "items that left and did not arrive";
    if (joined) {
      ASSERT_EQ(arrived, 50);
    }
  }
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

/// A job is taken back or run, never both, and never neither.
struct withdraw_against_draw {
  struct counted : detail::pool_job {
    std::atomic<int> runs{0};
    counted() : pool_job([](pool_job& self) noexcept { ++static_cast<counted&>(self).runs; }) {}
  };

  static thread_pool& pool() {
    static thread_pool two(2);
    return two;
  }

  counted first;
  counted second;
  int withdrawn = 0;

  void left() {
    detail::pool_access::enqueue(pool(), first, false);
    if (detail::pool_access::withdraw(pool(), first)) ++withdrawn;
  }
  void right() { detail::pool_access::enqueue(pool(), second, true); }
  void check() {
    while (first.runs + second.runs + withdrawn < 2) std::this_thread::yield();
    EXPECT_EQ(first.runs + withdrawn, 1);
    EXPECT_EQ(second.runs, 1);
  }
};

TEST(ThreadPoolStress, AJobIsTakenBackOrRun) {
  testing::hunt<withdraw_against_draw>("a job is withdrawn while a thread that searches finds it");
}

/// What a timer's thread does that ends a context: it posts, and may still be at it when the job is over.
struct post_against_the_end_of_the_pool {
  std::unique_ptr<thread_pool> pool = std::make_unique<thread_pool>(2);
  cancel_scope scope = with_cancel(background());
  std::atomic<int> runs{0};

  post_against_the_end_of_the_pool() {
    // A thread that sleeps: it has to be woken, which is the last that post() does.
    std::atomic<bool> ran{false};
    pool->post([&] { ran = true; });
    while (!ran) std::this_thread::yield();
    after_func(scope, pool.get(), [this] { ++runs; });
  }
  void left() { scope.cancel(); }
  void right() {
    while (runs == 0) std::this_thread::yield();
    pool.reset();
  }
  void check() const { EXPECT_EQ(runs, 1); }
};

TEST(ThreadPoolStress, MayBeDestroyedByWhoSawItsJobRun) {
  testing::hunt<post_against_the_end_of_the_pool>(
      "the pool goes while post() still wakes the thread for its job");
}

TEST(ThreadPoolStress, MayBeDestroyedByWhoSawAJobOfTheTimerRun) {
  std::mt19937_64 random(testing::announce_seed("the pool goes while the timer's thread is still in post()"));
  for (const testing::time_box box(1s); box.open();) {
    std::atomic<bool> ran{false};
    const auto scope = with_timeout(background(), std::chrono::microseconds(random() % 300));
    {
      thread_pool pool(1 + static_cast<unsigned>(random() % 2));
      if (random() % 2 == 0) pool.post([] {});
      after_func(scope, &pool, [&] { ran = true; });
      while (!ran) std::this_thread::yield();
    }
    ASSERT_TRUE(scope.err());
  }
}

TEST(ThreadPoolStress, JobsThatWaitForEachOtherAllGetAThreadThoughOthersComeAndGo) {
  std::mt19937_64 random(testing::announce_seed("the supervisor falls asleep while a job is enqueued"));
  for (const testing::time_box box(1500ms); box.open();) {
    const auto count = static_cast<unsigned>(2 + random() % 6);
    thread_pool pool(count + 1);
    std::atomic<bool> over{false};
    std::jthread other(
        [&, own = std::mt19937_64(random())]() mutable {  // groups that need no thread of the pool
          while (!over) {
            task_group group(background(), task_group::limit(2), pool);
            group.spawn([](const context&) {});
            std::ignore = group.join();
            testing::dawdle(own);
          }
        });
    for (int round = 0; round != 3; ++round) {
      std::atomic<unsigned> here{0};
      task_group group(background(), task_group::limit(count), pool);
      for (unsigned i = 0; i != count; ++i) {
        group.spawn([&](const context&) {
          ++here;
          while (here != count) std::this_thread::yield();
        });
        testing::dawdle(random);
      }
      ASSERT_TRUE(group.join());
      ASSERT_EQ(here, count);
    }
    over = true;
  }
}

}  // namespace
}  // namespace curfew
