// The waits of the sync module on a clock that jumps by itself: it never moves while something can go on, and always
// when nothing can.

#include <curfew/testing.hpp>

#include "race.hpp"

#include <atomic>
#include <curfew/core.hpp>
#include <curfew/sync.hpp>
#include <gtest/gtest.h>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::manual_clock;

struct Autojump : ::testing::Test {
  manual_clock clock;
  const context& ctx = clock.background();

  Autojump() { clock.autojump(); }

  [[nodiscard]] clock::duration now() const { return clock.now().time_since_epoch(); }
};

/// Work that takes real time and no wait.
void work() {
  for (int i = 0; i != 3; ++i) std::this_thread::yield();
}

TEST_F(Autojump, OneProducerAndTwoWorkersOnAChannelWithTimeouts) {
  channel<int> jobs;
  std::atomic<int> done{0};
  std::atomic<int> timeouts{0};
  task_group group(ctx);
  group.spawn([&](const context& its) -> result<> {
    for (int i = 0; i != 10; ++i) {
      if (auto slept = sleep_for(its, 3s); !slept) return slept;
      if (auto sent = jobs.send(its, i); !sent) return sent;
    }
    jobs.close();
    return {};
  });
  for (int w = 0; w != 2; ++w) {
    group.spawn([&](const context& its) -> result<> {
      for (;;) {
        const auto patience = with_timeout(its, 1s);
        auto job = jobs.receive(patience);
        if (!job) {
          ++timeouts;
          continue;
        }
        if (!*job) return {};
        work();
        ++done;
      }
    });
  }
  EXPECT_TRUE(group.join());
  EXPECT_EQ(done, 10);
  EXPECT_EQ(now(), 30s);
  EXPECT_GE(timeouts, 40);  // each of the two gives up at the first and the second second of three, at least
  EXPECT_LE(timeouts, 60);
}

TEST_F(Autojump, ATaskThatIsQueuedIsBusy) {
  thread_pool one(1);
  task_group group(ctx, task_group::limit(1), one);
  std::vector<clock::duration> times;
  for (int i = 0; i != 3; ++i) {
    group.spawn([&](const context& its) {
      times.push_back(now());
      work();
      times.push_back(now());
      return sleep_for(its, 1s);
    });
  }
  EXPECT_EQ(with_timeout(ctx, 90s).done().wait(), errc::deadline_exceeded);
  EXPECT_TRUE(group.join());
  EXPECT_EQ(times, (std::vector<clock::duration>{0s, 0s, 1s, 1s, 2s, 2s}));
  EXPECT_EQ(now(), 90s);
}

TEST_F(Autojump, AThreadThatSpawnsIsBusyUntilItJoins) {
  task_group group(ctx);
  group.spawn([](const context& its) { return sleep_for(its, 1s); });
  work();
  EXPECT_EQ(now(), 0s);
  group.spawn([](const context& its) { return sleep_for(its, 2s); });
  EXPECT_TRUE(group.join());
  EXPECT_EQ(now(), 2s);
}

TEST_F(Autojump, GroupsInGroupsWithJoinsInside) {
  std::atomic<int> leaves{0};
  task_group outer(ctx);
  for (int i = 1; i <= 3; ++i) {
    outer.spawn([&, i](const context& its) -> result<> {
      task_group inner(its);
      for (int j = 1; j <= 3; ++j) {
        inner.spawn([&, i, j](const context& leaf) -> result<> {
          const auto slept = sleep_for(leaf, i * 10s + j * 1s);
          EXPECT_EQ(now(), i * 10s + j * 1s);
          work();
          ++leaves;
          return slept;
        });
      }
      auto joined = inner.join();
      EXPECT_EQ(now(), i * 10s + 3s);
      return joined;
    });
  }
  EXPECT_TRUE(outer.join());
  EXPECT_EQ(leaves, 9);
  EXPECT_EQ(now(), 33s);
}

TEST_F(Autojump, AGroupUnderTheSystemsClockCountsWhereItWasMade) {
  task_group group(background());
  std::atomic<bool> worked{false};
  group.spawn([&](const context&) {
    work();
    EXPECT_EQ(now(), 0s);
    worked = true;
    std::ignore = sleep_for(ctx, 1s);
  });
  EXPECT_EQ(with_timeout(ctx, 1h).done().wait(), errc::deadline_exceeded);
  EXPECT_TRUE(worked);
  EXPECT_TRUE(group.join());
}

TEST_F(Autojump, ThePoolsThreadsAreNotCountedOnceTheirWorkIsOver) {
  {
    task_group group(background());
    manual_clock other;
    group.spawn([&](const context&) { std::ignore = sleep_for(other.background(), 1s); });
    while (!other.advance_to_next()) std::this_thread::yield();
    EXPECT_TRUE(group.join());
  }
  task_group group(ctx);
  group.spawn([](const context& its) { return sleep_for(its, 1s); });
  EXPECT_TRUE(group.join());
  EXPECT_TRUE(sleep_for(ctx, 1s));
  EXPECT_EQ(now(), 2s);
}

TEST_F(Autojump, AJobOfThePoolCountsFromWhenItIsPosted) {
  thread_pool pool(1);
  channel<clock::duration> times(2);
  pool.post([&] {
    work();
    std::ignore = times.try_send(now());
  });
  pool.post([&] {
    std::ignore = sleep_for(ctx, 5s);
    std::ignore = times.try_send(now());
  });
  EXPECT_TRUE(sleep_for(ctx, 1h));
  EXPECT_EQ(times.try_receive().value(), 0s);
  EXPECT_EQ(times.try_receive().value(), 5s);
}

TEST_F(Autojump, LocksAreWaitedForLikeEverythingElse) {
  mutex m;
  semaphore units(2);
  task_group group(ctx);
  for (int i = 0; i != 4; ++i) {
    group.spawn([&](const context& its) -> result<> {
      const std::lock_guard plainly(m);
      if (auto slept = sleep_for(its, 1s); !slept) return slept;
      auto got = units.acquire(its, 2);
      if (!got) return got.error();
      return {};
    });
  }
  EXPECT_TRUE(group.join());
  EXPECT_EQ(now(), 4s);
}

TEST_F(Autojump, ASelectWithoutATimeLimitIsWokenByAnotherParty) {
  channel<int> a;
  channel<int> b;
  task_group group(ctx);
  group.spawn([&](const context& its) -> result<> {
    if (auto slept = sleep_for(its, 1h); !slept) return slept;
    return b.send(its, 1);
  });
  EXPECT_EQ(select(when(a.receiving(), [] {}), when(b.receiving(), [] {})), 1U);
  EXPECT_EQ(now(), 1h);
  EXPECT_TRUE(group.join());
}

TEST_F(Autojump, ASelectWithATimeLimitSeesItAtItsTime) {
  channel<int> c;
  ticker every(ctx, 10s);
  task_group group(ctx);
  group.spawn([&](const context& its) -> result<> {
    if (auto slept = sleep_for(its, 25s); !slept) return slept;
    work();
    return c.send(its, 1);
  });
  std::vector<clock::duration> ticks;
  for (bool got = false; !got;) {
    select(when(c.receiving(), [&] { got = true; }), when(every.ticking(), [&] { ticks.push_back(now()); }),
           when(after(ctx, 1h), [] { FAIL(); }));
  }
  EXPECT_EQ(ticks, (std::vector<clock::duration>{10s, 20s}));
  EXPECT_EQ(now(), 25s);
  EXPECT_TRUE(group.join());
}

TEST_F(Autojump, AllRaceAndHedgeTakeNoNumbers) {
  const auto after_time = [&](clock::duration d) {
    return [d](const context& its) -> result<clock::duration> {
      if (auto slept = sleep_for(its, d); !slept) return std::unexpected(slept.error());
      return d;
    };
  };
  EXPECT_TRUE(all(ctx, after_time(1s), after_time(3s), after_time(2s)));
  EXPECT_EQ(now(), 3s);
  EXPECT_EQ(race(ctx, after_time(1h), after_time(4s), after_time(2h)), 4s);
  EXPECT_EQ(now(), 7s);
  std::atomic<int> tries{0};
  const auto slow_first = [&](const context& its) { return after_time(tries++ == 0 ? 1h : 2s)(its); };
  EXPECT_EQ(hedge(ctx, 5s, slow_first), 2s);
  EXPECT_EQ(now(), 14s);
}

TEST_F(Autojump, RetrySleepsBetweenItsTries) {
  int tries = 0;
  const auto got = retry(ctx, retry_policy().initial(1s).seed(7), [&](const context&) -> result<int> {
    work();
    if (++tries < 4) return std::unexpected(error(make_error_code(errc::deadline_exceeded)));
    return tries;
  });
  EXPECT_EQ(got, 4);
  EXPECT_GT(now(), 0s);
}

TEST_F(Autojump, ConditionsAndOnceAreWaits) {
  mutex m;
  condition changed;
  once o;
  bool ready = false;
  task_group group(ctx);
  for (int i = 0; i != 2; ++i) {
    group.spawn([&](const context& its) -> result<> {
      auto lock = m.lock(its);
      if (!lock) return std::unexpected(lock.error());
      std::unique_lock held(m, std::adopt_lock);
      while (!ready) {
        if (auto told = changed.wait(its, held); !told) return told;
      }
      EXPECT_EQ(now(), 1min);
      held.unlock();
      return o.call(its, [&](const context& one) { return sleep_for(one, 1s); });
    });
  }
  EXPECT_TRUE(sleep_for(ctx, 1min));
  {
    const std::lock_guard held(m);
    ready = true;
  }
  changed.notify_all();
  EXPECT_TRUE(group.join());
  EXPECT_EQ(now(), 1min + 1s);
}

/// Stages of workers with channels between them, where every wait has a limit that is never reached unless the clock
/// jumps while something can still go on.
struct pipeline_round {
  void left() {
    manual_clock clock;
    clock.autojump();
    const context& ctx = clock.background();
    channel<int> first(1);
    channel<int> second;
    int sum = 0;
    task_group group(ctx);
    group.spawn([&](const context& its) -> result<> {
      for (int i = 1; i <= 5; ++i) {
        if (auto slept = sleep_for(its, 1s); !slept) return slept;
        const auto limit = with_timeout(its, 1ns);
        if (auto sent = first.send(limit, i); !sent) return sent;
      }
      first.close();
      return {};
    });
    group.spawn([&](const context& its) -> result<> {
      for (;;) {
        const auto limit = with_timeout(its, 1s + 1ns);
        auto got = first.receive(limit);
        if (!got) return std::unexpected(got.error());
        if (!*got) break;
        if (auto sent = second.send(limit, **got); !sent) return sent;
      }
      second.close();
      return {};
    });
    group.spawn([&](const context& its) -> result<> {
      for (;;) {
        const auto limit = with_timeout(its, 1s + 1ns);
        auto got = second.receive(limit);
        if (!got) return std::unexpected(got.error());
        if (!*got) return {};
        sum += **got;
      }
    });
    const auto joined = group.join();
    EXPECT_TRUE(joined) << joined.error();
    EXPECT_EQ(sum, 15);
    EXPECT_EQ(clock.now(), clock::time_point(5s));
  }
  void right() { left(); }
  void check() {}
};

TEST(AutojumpRace, NoLimitIsReachedWhileAPartyCanGoOn) {
  testing::hunt<pipeline_round>("a party is woken, and its waker sleeps, before it runs");
}

TEST(AutojumpRace, RandomTreesOfTasksSleepAsLongAsTheLongestPathBelow) {
  std::mt19937_64 random(testing::announce_seed("a group's last task ends while another begins to wait"));
  const testing::time_box box(500ms);
  int rounds = 0;
  for (; box.open() || rounds < 20; ++rounds) {
    manual_clock clock;
    clock.autojump();
    const std::uint64_t seed = random();
    // Sleeps, then waits for its children; returns when it should be over.
    const auto node = [](auto& self, const context& ctx, std::uint64_t of, int depth) -> clock::duration {
      std::mt19937_64 mine(of);
      const clock::duration own = std::chrono::milliseconds(mine() % 50);
      std::ignore = sleep_for(ctx, own);
      if (depth == 0) return own;
      std::vector<clock::duration> below(mine() % 4);
      task_group group(ctx);
      for (auto& each : below) {
        group.spawn([&, at = mine()](const context& its) { each = self(self, its, at, depth - 1); });
      }
      std::ignore = group.join();
      clock::duration longest{};
      for (const auto each : below) longest = std::max(longest, each);
      return own + longest;
    };
    const auto expected = node(node, clock.background(), seed, 3);
    ASSERT_EQ(clock.now().time_since_epoch(), expected) << "seed of the tree: " << seed;
  }
}

}  // namespace
}  // namespace curfew
