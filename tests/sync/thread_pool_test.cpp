#include <pthread.h>

#include "sync/waiting.hpp"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <csignal>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/sync/task_group.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <deque>
#include <functional>
#include <gtest/gtest.h>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using detail::pool_access;
using testing::await;

const unsigned cores = std::max(std::thread::hardware_concurrency(), 1U);

/// Says in its destructor that it is gone.
struct farewell {
  std::function<void()> say;

  explicit farewell(std::function<void()> f) : say(std::move(f)) {}
  farewell(farewell&& other) noexcept : say(std::exchange(other.say, nullptr)) {}
  farewell& operator=(farewell&&) = delete;
  ~farewell() {
    if (say) say();
  }
};

/// Calls `f` when this thread ends, after all else.
void at_the_end_of_this_thread(std::function<void()> f) {
  thread_local std::optional<farewell> last;
  last.emplace(std::move(f));
}

/// While it lives, no thread can be started in this process: the usual stack is larger than its memory.
class no_more_threads {
 public:
  no_more_threads() {
    pthread_getattr_default_np(&usual_);
    pthread_attr_t huge;
    pthread_attr_init(&huge);
    pthread_attr_setstacksize(&huge, std::size_t{1} << 60U);
    pthread_setattr_default_np(&huge);
    pthread_attr_destroy(&huge);
  }
  no_more_threads(const no_more_threads&) = delete;
  no_more_threads& operator=(const no_more_threads&) = delete;
  ~no_more_threads() {
    pthread_setattr_default_np(&usual_);
    pthread_attr_destroy(&usual_);
  }

 private:
  pthread_attr_t usual_{};
};

/// A job that is put into the queue as a ticket of a group is: it is not known to block.
struct job : detail::pool_job {
  std::function<void()> f;

  explicit job(std::function<void()> work)
      : pool_job([](pool_job& self) noexcept { static_cast<job&>(self).f(); }),
        f(std::move(work)) {}
};

TEST(ThreadPool, RunsWhatIsPostedInAnotherThread) {
  thread_pool pool(1);
  std::latch ran(1);
  std::thread::id where;
  pool.post([&] {
    where = std::this_thread::get_id();
    ran.count_down();
  });
  ran.wait();
  EXPECT_NE(where, std::this_thread::get_id());
}

TEST(ThreadPool, HasAThreadForEachThatBlocksUpToTheLimit) {
  constexpr int limit = 24;
  thread_pool pool(limit);
  std::latch all_at_once(limit + 1);
  for (int i = 0; i != limit; ++i) pool.post([&] { all_at_once.arrive_and_wait(); });
  all_at_once.arrive_and_wait();
  SUCCEED() << "each waited for all the others";
}

TEST(ThreadPool, HasOneThreadAtLeast) {
  std::latch ran(1);
  thread_pool pool(0);
  EXPECT_EQ(pool_access::max_threads(pool), 1U);
  pool.post([&] { ran.count_down(); });
  ran.wait();
}

TEST(ThreadPool, RunsNoMoreAtOnceThanItsLimit) {
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  std::barrier three(3);  // a job stays until two others run, while a fourth would be seen
  {
    thread_pool pool(3);
    for (int i = 0; i != 300; ++i) {
      pool.post([&] {
        const int now = ++running;
        for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
        }
        three.arrive_and_wait();
        --running;
      });
    }
  }
  EXPECT_EQ(most, 3);
}

TEST(ThreadPool, RunsWhatIsBeyondTheLimitInTheOrderOfComing) {
  std::vector<int> order;
  std::latch gate(1);
  {
    thread_pool pool(1);
    pool.post([&] { gate.wait(); });
    for (int i = 0; i != 100; ++i) pool.post([&, i] { order.push_back(i); });
    gate.count_down();
  }
  EXPECT_EQ(order.size(), 100U);
  EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST(ThreadPool, RunsWhatIsQueuedBeforeItIsDestroyed) {
  std::atomic<int> runs{0};
  {
    thread_pool pool(2);
    for (int i = 0; i != 1000; ++i) pool.post([&] { ++runs; });
  }
  EXPECT_EQ(runs, 1000);
}

TEST(ThreadPool, RunsWhatItsJobsPostWhileItIsDestroyed) {
  int runs = 0;
  std::function<void()> next;
  {
    thread_pool pool(1);
    next = [&] {
      if (++runs != 100) pool.post(next);
    };
    pool.post(next);
  }
  EXPECT_EQ(runs, 100);
}

TEST(ThreadPool, DestroysAJobInTheThreadThatRanItAndWithoutALock) {
  thread_pool pool(1);
  std::latch gone(1);
  std::thread::id ran;
  std::thread::id destroyed;
  pool.post([&, last = farewell([&] {
                  destroyed = std::this_thread::get_id();
                  pool.post([&] { gone.count_down(); });  // would wait for itself under the pool's lock
                })] { ran = std::this_thread::get_id(); });
  gone.wait();
  EXPECT_EQ(ran, destroyed);
}

TEST(ThreadPool, TakesWhatCannotBeCopied) {
  thread_pool pool(1);
  std::latch ran(1);
  auto number = std::make_unique<int>(7);
  pool.post([&ran, number = std::move(number)] {
    EXPECT_EQ(*number, 7);
    ran.count_down();
  });
  ran.wait();
}

TEST(ThreadPool, UsesAThreadAgainThatHasNothingToDo) {
  static std::atomic<unsigned> threads{0};
  thread_pool pool(8);
  for (int i = 0; i != 200; ++i) {
    std::latch ran(1);
    pool.post([&] {
      thread_local const unsigned number = ++threads;  // of this thread, however often its id was used before
      EXPECT_GE(number, 1U);
      ran.count_down();
    });
    ran.wait();
  }
  EXPECT_LE(threads, 8U);
}

TEST(ThreadPool, AddsThreadsForJobsThatTurnOutToBlock) {
  const unsigned count = 2 * cores + 6;
  thread_pool pool(count);
  std::latch all_at_once(count + 1);
  std::deque<job> jobs;
  for (unsigned i = 0; i != count; ++i) jobs.emplace_back([&] { all_at_once.arrive_and_wait(); });
  for (job& each : jobs) pool_access::enqueue(pool, each, false);
  all_at_once.arrive_and_wait();
  SUCCEED() << "each waited for all the others";
}

TEST(ThreadPool, GivesAJobBackThatIsStillInTheQueue) {
  thread_pool pool(1);
  std::latch begun(1);
  std::latch gate(1);
  std::atomic<int> runs{0};
  job first([&] {
    begun.count_down();
    gate.wait();
    ++runs;
  });
  job second([&] { ++runs; });
  job third([&] { ++runs; });
  EXPECT_FALSE(pool_access::withdraw(pool, second)) << "it has not been put there";
  pool_access::enqueue(pool, first, false);
  begun.wait();
  pool_access::enqueue(pool, second, false);
  pool_access::enqueue(pool, third, true);
  EXPECT_FALSE(pool_access::withdraw(pool, first)) << "it runs";
  EXPECT_TRUE(pool_access::withdraw(pool, second));
  EXPECT_FALSE(pool_access::withdraw(pool, second));
  pool_access::enqueue(pool, second, false);
  EXPECT_TRUE(pool_access::withdraw(pool, second));
  gate.count_down();
  await([&] { return runs == 2; });
  EXPECT_FALSE(pool_access::withdraw(pool, third)) << "it has run";
  pool_access::enqueue(pool, second, false);
  await([&] { return runs == 3; });
}

TEST(ThreadPool, LetsTheThreadLocalObjectsOfItsThreadsGoBeforeItsDestructorReturns) {
  std::atomic<int> gone{0};
  {
    thread_pool pool(4);
    std::latch all_at_once(4);
    for (int i = 0; i != 4; ++i) {
      pool.post([&] {
        at_the_end_of_this_thread([&] {
          for (int n = 0; n != 1000; ++n) std::this_thread::yield();
          ++gone;
        });
        all_at_once.arrive_and_wait();
      });
    }
  }
  EXPECT_EQ(gone, 4);
}

TEST(ThreadPool, RunsWhatAThreadLocalObjectPostsWhileItIsDestroyed) {
  std::atomic<int> runs{0};
  {
    thread_pool pool(1);
    pool.post([&] { at_the_end_of_this_thread([&] { pool.post([&] { ++runs; }); }); });
  }
  EXPECT_EQ(runs, 1);
}

TEST(ThreadPool, AddsThreadsForAGroupThoughItIsBeingDestroyed) {
  // A thread without work leaves once the pool closes, which its thread_local object tells.
  std::latch closing(1);
  std::atomic<bool> joined{false};
  {
    const unsigned count = cores + 3;
    thread_pool pool(count);
    std::latch both(2);
    pool.post([&] {
      at_the_end_of_this_thread([&] { closing.count_down(); });
      both.arrive_and_wait();
    });
    pool.post([&, count] {
      both.arrive_and_wait();
      closing.wait();
      std::latch all_at_once(count);
      task_group group(background(), task_group::limit(count), pool);
      for (unsigned i = 0; i != count; ++i) {
        group.spawn([&](const context& /*ctx*/) { all_at_once.arrive_and_wait(); });
      }
      joined = group.join().has_value();
    });
  }
  EXPECT_TRUE(joined);
}

TEST(ThreadPool, ThatCannotStartItsFirstThreadSaysSo) {
  bool destroyed = false;
  bool ran = false;
  thread_pool pool(4);
  {
    const no_more_threads none;
    EXPECT_THROW(pool.post([&, last = farewell([&] { destroyed = true; })] { ran = true; }),
                 std::system_error);
    EXPECT_THROW(pool_access::prepare(pool), std::system_error);
  }
  EXPECT_TRUE(destroyed);
  EXPECT_FALSE(ran);
  std::latch again(1);
  pool.post([&] { again.count_down(); });
  again.wait();
  EXPECT_FALSE(ran);
}

TEST(ThreadPool, GoesOnWithTheThreadsThatThereAreIfItCannotStartMore) {
  std::atomic<int> runs{0};
  std::latch gate(1);
  {
    thread_pool pool(8);
    std::latch begun(1);
    pool.post([&] {
      begun.count_down();
      gate.wait();
      ++runs;
    });
    begun.wait();
    const no_more_threads none;
    for (int i = 0; i != 20; ++i) pool.post([&] { ++runs; });
    EXPECT_EQ(runs, 0);
    gate.count_down();
    await([&] { return runs == 21; });
  }
  EXPECT_EQ(runs, 21);
}

TEST(ThreadPool, StartsTheThreadsThatItCouldNotStartAsSoonAsItCan) {
  const unsigned few = cores + 1;
  thread_pool pool(2 * few);
  std::latch few_at_once(few);
  std::latch all_at_once(2 * few);
  std::deque<job> jobs;
  for (unsigned i = 0; i != few; ++i) {
    jobs.emplace_back([&] {
      few_at_once.arrive_and_wait();  // the last of them needs the supervisor, which is there from now on
      all_at_once.arrive_and_wait();
    });
  }
  for (job& each : jobs) pool_access::enqueue(pool, each, false);
  few_at_once.wait();
  {
    const no_more_threads none;
    for (unsigned i = 0; i != few; ++i) pool.post([&] { all_at_once.arrive_and_wait(); });
    EXPECT_FALSE(all_at_once.try_wait());
  }
  all_at_once.wait();
}

TEST(ThreadPool, SharedIsOneForAll) {
  EXPECT_EQ(&thread_pool::shared(), &thread_pool::shared());
  EXPECT_EQ(pool_access::max_threads(thread_pool::shared()), 64U);
  std::latch ran(1);
  thread_pool::shared().post([&] { ran.count_down(); });
  ran.wait();
}

TEST(ThreadPoolAsExecutor, RunsAnAfterFuncWhenItsContextEnds) {
  thread_pool pool(1);
  testing::manual_clock clock;
  const auto scope = with_timeout(clock.background(), 1s);
  std::latch ran(1);
  std::thread::id where;
  after_func(scope, &pool, [&] {
    where = std::this_thread::get_id();
    EXPECT_EQ(scope.err(), errc::deadline_exceeded);
    ran.count_down();
  });
  clock.advance(1s);
  ran.wait();
  EXPECT_NE(where, std::this_thread::get_id());
}

TEST(ThreadPoolAsExecutor, DoesNotHoldUpTheOneWhoEndsTheContext) {
  thread_pool pool(2);
  auto scope = with_cancel(background());
  std::latch gate(1);
  std::latch ran(2);
  for (int i = 0; i != 2; ++i) {
    after_func(scope, &pool, [&] {
      gate.wait();
      ran.count_down();
    });
  }
  scope.cancel();
  gate.count_down();  // which comes to pass only if cancel() has not waited
  ran.wait();
  EXPECT_TRUE(scope.err());
}

TEST(ThreadPoolAsExecutor, RunsNothingThatWasStoppedBefore) {
  bool ran = false;
  bool destroyed = false;
  {
    thread_pool pool(1);
    auto scope = with_cancel(background());
    auto handle = after_func(scope, &pool, [&, last = farewell([&] { destroyed = true; })] { ran = true; });
    EXPECT_TRUE(handle.stop());
    scope.cancel();
    EXPECT_FALSE(handle.stop());
  }
  EXPECT_FALSE(ran);
  EXPECT_TRUE(destroyed);
}

TEST(ThreadPoolAsExecutor, RunsWhatWasPostedThoughItIsDestroyedAtOnce) {
  std::atomic<int> runs{0};
  {
    thread_pool pool(3);
    auto scope = with_cancel(background());
    for (int i = 0; i != 100; ++i) after_func(scope, &pool, [&] { ++runs; });
    scope.cancel();
  }
  EXPECT_EQ(runs, 100);
}

TEST(ThreadPool, HasTheSignalMaskOfWhoMadeItWhoeverStartsItsThreads) {
  thread_pool pool(2);
  sigset_t all;
  sigfillset(&all);
  sigset_t seen;
  sigfillset(&seen);
  std::latch ran(1);
  std::thread([&] {  // as the timer thread does
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    pool.post([&] {
      pthread_sigmask(SIG_SETMASK, nullptr, &seen);
      ran.count_down();
    });
    ran.wait();
  })
      .join();
  EXPECT_FALSE(sigismember(&seen, SIGTERM));
}

}  // namespace
}  // namespace curfew
