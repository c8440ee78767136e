// A hundred thousand deadlines in one tick of the system's clock, and the threads that go on meanwhile. What is asserted
// is an order, or that something happens at all, never how long it takes; the times are printed.

#include <pthread.h>
#include <sched.h>

#include "core/timer_wheel.hpp"
#include "core/tree.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <curfew/core.hpp>
#include <deque>
#include <functional>
#include <gtest/gtest.h>
#include <iostream>
#include <latch>
#include <optional>
#include <thread>
#include <tuple>
#include <vector>

#include "http/waiting.hpp"

namespace curfew {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t size = 100'000;

std::chrono::microseconds us(clock::duration d) {
  return std::chrono::duration_cast<std::chrono::microseconds>(d);
}

/// The cores on which this thread may run.
std::vector<int> own_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  std::vector<int> cores;
  if (::pthread_getaffinity_np(::pthread_self(), sizeof allowed, &allowed) != 0) return cores;
  for (int core = 0; core != CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &allowed)) cores.push_back(core);
  }
  return cores;
}

/// Calls `f` in a thread that stays on one core: the timers that it makes are in that core's shard.
template <class F>
void on_core(int core, F f) {
  std::thread([&] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    ASSERT_EQ(::pthread_setaffinity_np(::pthread_self(), sizeof one, &one), 0);
    f();
  }).join();
}

const detail::timer_shard* shard_of(const context& ctx) { return detail::ender_of(ctx)->time->shard; }

/// Many contexts with one and the same deadline, all made before it comes.
struct burst {
  clock::time_point deadline;
  std::vector<cancel_scope> scopes;

  [[nodiscard]] std::size_t ended() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(scopes, [](const auto& s) { return bool(s.err()); }));
  }

  void wait() const {
    for (const cancel_scope& each : scopes) EXPECT_EQ(each.done().wait(), errc::deadline_exceeded);
  }
};

/// What runs beside a burst, made for its deadline after the burst.
template <class Beside>
struct scene {
  burst crowd;
  std::optional<Beside> beside;
};

/// Makes a burst and what runs beside it, again with more time ahead if the deadline came before all was
/// made.
template <class Beside>
void make(scene<Beside>& made, const std::vector<int>& cores) {
  for (clock::duration ahead = 300ms;; ahead *= 2) {
    made.crowd.deadline = clock::now() + ahead;
    made.crowd.scopes.reserve(size);
    on_core(cores.front(), [&] {
      while (made.crowd.scopes.size() != size)
        made.crowd.scopes.push_back(with_deadline(background(), made.crowd.deadline));
    });
    on_core(cores.back(), [&] { made.beside.emplace(made.crowd); });
    if (clock::now() < made.crowd.deadline) return;
    ASSERT_LT(ahead, 60s) << "this machine is too slow to make a burst";
    made.beside.reset();
    made.crowd.scopes.clear();
  }
}

/// A context of its own, which looks at the burst when its deadline passes.
struct onlooker {
  const burst& crowd;
  cancel_scope scope;
  std::size_t ended = 0;
  clock::duration late{};
  std::latch looked{1};
  on_done<std::function<void()>> look;

  onlooker(const burst& b, clock::time_point deadline)
      : crowd(b),
        scope(with_deadline(background(), deadline)),
        look(scope, [this] {
          late = clock::now() - *scope.deadline();
          ended = crowd.ended();
          looked.count_down();
        }) {}

  void check(const char* which) {
    EXPECT_EQ(scope.done().wait(), errc::deadline_exceeded);
    looked.wait();  // the callback may come later than the end
    std::cout << "[ MEASURED ] the timer " << which << ": " << ended << " of the burst had ended, "
              << us(late).count() << " us late" << std::endl;
    EXPECT_LT(ended, size) << which << ": held up until the burst was over";
  }
};

/// Stops the timer thread in the midst of the burst, until it is told to go on.
struct obstacle {
  std::latch reached{1};
  std::atomic<bool> go_on{false};
  bool told = false;
  std::size_t ended = 0;
  on_done<std::function<void()>> stop;

  explicit obstacle(const burst& crowd)
      : stop(crowd.scopes[size / 2], [this, &crowd] {
          ended = crowd.ended();
          reached.count_down();
          const auto give_up = clock::now() + 30s;  // rather than hang
          while (!go_on && clock::now() < give_up) std::this_thread::yield();
          told = go_on;
        }) {}
};

struct onlookers {
  obstacle middle;
  onlooker same;
  std::optional<onlooker> amid;

  explicit onlookers(const burst& crowd) : middle(crowd), same(crowd, crowd.deadline) {}
};

TEST(Burst, HoldsUpNoTimerOfAnotherCore) {
  const std::vector<int> cores = own_cores();
  if (cores.size() < 2) GTEST_SKIP() << "there is one core only";
  scene<onlookers> made;
  make(made, cores);
  if (HasFatalFailure()) return;
  burst& crowd = made.crowd;
  onlookers& beside = *made.beside;
  if (shard_of(beside.same.scope) == shard_of(crowd.scopes.front()))
    GTEST_SKIP() << "both cores share their timers";

  beside.middle.reached.wait();
  on_core(cores.back(), [&] { beside.amid.emplace(crowd, clock::now() + 5ms); });
  while (clock::now() < *beside.amid->scope.deadline() + 1ms) std::this_thread::yield();
  beside.middle.go_on = true;  // half of the burst is still to come, and a timer beside it is due
  crowd.wait();
  std::cout << "[ MEASURED ] the burst was over " << us(clock::now() - crowd.deadline).count()
            << " us after its deadline" << std::endl;
  beside.same.check("of the same time");
  beside.amid->check("that came due amid the burst");
}

TEST(Burst, HoldsUpNeitherCancelNorNewDeadlines) {
  const std::vector<int> cores = own_cores();
  ASSERT_FALSE(cores.empty());
  scene<obstacle> made;
  make(made, {cores.front()});
  if (HasFatalFailure()) return;
  burst& crowd = made.crowd;
  obstacle& middle = *made.beside;
  auto plain = with_cancel(background());
  std::optional<cancel_scope> timed;
  on_core(cores.front(), [&] { timed.emplace(with_timeout(background(), 1h)); });  // in the burst's own shard
  ASSERT_EQ(shard_of(*timed), shard_of(crowd.scopes.front()));
  int runs = 0;
  const on_done count(plain, [&] { ++runs; });
  const on_done count_timed(*timed, [&] { ++runs; });

  middle.reached.wait();
  const auto from = clock::now();
  plain.cancel("by hand");
  timed->cancel("by hand");
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(timed->cause().message(), "by hand");
  const auto last = std::ranges::find_if(crowd.scopes, [](const auto& each) { return !each.err(); });
  ASSERT_NE(last, crowd.scopes.end());  // the timer thread is amid them
  last->cancel("one of the burst");
  EXPECT_EQ(last->cause().message(), "one of the burst");
  on_core(cores.front(), [] {
    const auto another = with_timeout(background(), 1h);
    EXPECT_FALSE(another.err());
  });
  const auto took = clock::now() - from;
  EXPECT_LT(crowd.ended(), size);
  middle.go_on = true;

  middle.stop.stop();  // waits for the callback
  EXPECT_TRUE(middle.told) << "held up until the timer thread went on";
  std::cout << "[ MEASURED ] after " << middle.ended
            << " of the burst: three cancels and a new deadline took " << us(took).count() << " us"
            << std::endl;
  last->cancel();
  for (const cancel_scope& each : crowd.scopes) std::ignore = each.done().wait();
  EXPECT_EQ(crowd.ended(), size);
}

/// Counts the ends of each context of the burst.
struct tally {
  std::vector<int> ends = std::vector<int>(size);  // each by itself: its callback alone writes it
  std::atomic<std::size_t> runs{0};
  std::deque<on_done<std::function<void()>>> counts;

  explicit tally(const burst& crowd) {
    for (std::size_t i = 0; i != size; ++i)
      counts.emplace_back(crowd.scopes[i], [this, i] {
        ++ends[i];
        ++runs;
      });
  }
};

TEST(Burst, EndsEachOnceWhileAnotherThreadCancelsInTheSameShard) {
  const std::vector<int> cores = own_cores();
  ASSERT_FALSE(cores.empty());
  scene<tally> made;
  make(made, cores);
  if (HasFatalFailure()) return;
  burst& crowd = made.crowd;
  std::size_t cancels = 0;
  clock::duration slowest{};
  clock::duration slowest_of_the_burst{};
  const auto cancel = [&](cancel_scope& scope, clock::duration& longest) {
    const auto from = clock::now();
    scope.cancel();
    longest = std::max(longest, clock::now() - from);
  };
  on_core(cores.front(), [&] {
    for (auto victim = crowd.scopes.rbegin(); victim != crowd.scopes.rend() && !victim->err();) {
      auto scope = with_timeout(background(), 1h);
      cancel(scope, slowest);
      EXPECT_EQ(scope.err(), errc::canceled);
      ++cancels;
      if (clock::now() >= crowd.deadline) cancel(*victim++, slowest_of_the_burst);
    }
  });
  std::size_t canceled = 0;
  for (const cancel_scope& each : crowd.scopes) {
    if (each.done().wait() == errc::canceled) ++canceled;
  }
  const auto took = clock::now() - crowd.deadline;
  // A context has ended before its callbacks run: one that is stopped in between never does.
  EXPECT_TRUE(tests::eventually([&] { return made.beside->runs == size; }));
  for (auto& each : made.beside->counts) EXPECT_FALSE(each.stop());
  EXPECT_EQ(std::ranges::count(made.beside->ends, 1), std::ptrdiff_t{size});
  std::cout << "[ MEASURED ] a burst of " << us(took).count() << " us, of which another thread canceled "
            << canceled << ", the slowest in " << us(slowest_of_the_burst).count() << " us; of " << cancels
            << " others before and meanwhile the slowest took " << us(slowest).count() << " us" << std::endl;
}

}  // namespace
}  // namespace curfew
