// Many threads at one lock: semaphore, mutex, shared_mutex, condition, once. Each test says which interleavings
// it hunts and prints its seed; CURFEW_SEED=<number> repeats the choices, though not the timing. Meant to be run
// under the sanitizers as well.

#include "race.hpp"
#include "sync/waiting_at.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/sync/condition.hpp>
#include <curfew/sync/mutex.hpp>
#include <curfew/sync/once.hpp>
#include <curfew/sync/select.hpp>
#include <curfew/sync/semaphore.hpp>
#include <deque>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <shared_mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::announce_seed;
using testing::dawdle;
using testing::hunt;
using testing::take;
using testing::time_box;
using testing::waiting_at;

using pending_units = testing::pending<detail::units_wait>;
using pending_note = testing::pending<detail::notified>;

constexpr std::size_t nobody = 0;
constexpr auto nothing = [] {};
/// Keeps what a select acquires, to be released by hand.
constexpr auto keep = [](result<semaphore::permit> got) { got->forget(); };

/// How many rounds of this kind there have been: they take turns with their variants.
template <class Round>
unsigned turn() {
  static unsigned turns = 0;
  return turns++;
}

/// Another thread cancels the contexts, at any moment.
class reaper {
 public:
  explicit reaper(std::uint64_t seed) : thread_([this, seed] { run(seed); }) {}
  reaper(const reaper&) = delete;
  reaper& operator=(const reaper&) = delete;
  ~reaper() { stop_ = true; }

  /// Calls `f` with a context that stays, or ends by its deadline, or is canceled.
  template <class F>
  void live(std::mt19937_64& random, F f) {
    switch (random() % 4) {
      case 0: {
        const auto scope = with_timeout(background(), std::chrono::microseconds(random() % 100));
        f(scope.ctx());
        break;
      }
      case 1: {
        const auto scope = with_cancel(background());
        {
          const std::lock_guard guard(mutex_);
          victims_.push_back(scope.canceler());
        }
        f(scope.ctx());
        break;
      }
      default:
        f(background());
    }
  }

 private:
  void run(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    while (!stop_) {
      std::vector<canceler> taken;
      {
        const std::lock_guard guard(mutex_);
        taken.swap(victims_);
      }
      for (const canceler& each : taken) {
        dawdle(random);
        each.cancel();
      }
      std::this_thread::yield();
    }
  }

  std::mutex mutex_;
  std::vector<canceler> victims_;  // guarded by mutex_
  std::atomic<bool> stop_{false};
  std::jthread thread_;
};

/// Runs `work(random)` in so many threads again and again, until the time is over.
template <class Work>
void crowd(std::size_t threads, std::uint64_t seed, Work work) {
  const time_box box(500ms);
  std::vector<std::jthread> running;
  for (std::size_t i = 0; i != threads; ++i) {
    running.emplace_back([&work, &box, seed, i] {
      std::mt19937_64 random(seed + i);
      while (box.open()) work(random);
    });
  }
}

// ---- what holds whatever happens

TEST(SemaphoreStress, NeverGivesMoreThanThereIs) {
  const std::uint64_t seed =
      announce_seed("acquire of any size, try_acquire, select and release against ends");
  std::mt19937_64 random(seed);
  const std::size_t units = 2 + random() % 5;
  semaphore s(units);
  std::atomic<std::size_t> held{0};
  std::atomic<std::size_t> granted{0};
  {
    reaper ends(seed);
    crowd(4, seed, [&](std::mt19937_64& own) {
      const std::size_t wanted = own() % (units + 1);
      bool got = false;
      switch (own() % 4) {
        case 0:
          got = take(s, wanted);
          break;
        case 1:
          ends.live(own, [&](const context& ctx) {
            got = select(when(ctx.done(), nothing), when(s.acquiring(wanted), keep)) == 1;
          });
          break;
        default:
          ends.live(own, [&](const context& ctx) { got = take(ctx, s, wanted).has_value(); });
      }
      if (!got) return;
      ++granted;
      EXPECT_LE(held += wanted, units);
      dawdle(own);
      const std::size_t first = own() % (wanted + 1);
      held -= first;
      s.release(first);
      held -= wanted - first;
      s.release(wanted - first);
    });
  }
  EXPECT_GT(granted, 0U);
  EXPECT_EQ(s.available(), units);
  EXPECT_EQ(waiting_at(s), nobody);
  EXPECT_TRUE(take(s, units));
}

TEST(MutexStress, LetsOneThreadInAtATimeAndInTheOrderOfComing) {
  const std::uint64_t seed = announce_seed("waiters that come, give up and are granted at the same time");
  mutex m;
  std::uint64_t next = 0;  // guarded by the lock of the list: the order of coming
  std::uint64_t last = 0;  // guarded by the mutex: the ticket that was in last
  {
    reaper ends(seed);
    crowd(4, seed, [&](std::mt19937_64& own) {
      ends.live(own, [&](const context& ctx) {
        detail::units_wait thing = m.locking();
        detail::thread_waiter w(ctx, "test");
        std::uint64_t ticket = 0;
        bool in = false;
        {
          detail::finish_list after;
          const std::lock_guard guard(*thing.lock());
          ticket = ++next;
          in = thing.try_locked(after);
          if (!in) thing.enlist(w);
        }
        if (!in && w.wait() == nullptr) {
          thing.delist();
          return;
        }
        EXPECT_GT(ticket, last) << "a wait was overtaken";
        last = ticket;
        m.unlock();
      });
    });
  }
  EXPECT_GT(last, 0U);
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST(MutexStress, KeepsPlainDataForWhoHoldsIt) {
  const std::uint64_t seed = announce_seed("every way to lock a mutex, against ends");
  mutex m;
  std::uint64_t plain = 0;
  std::atomic<std::uint64_t> entries{0};
  {
    reaper ends(seed);
    crowd(4, seed, [&](std::mt19937_64& own) {
      const auto enter = [&] {
        ++plain;
        ++entries;
      };
      switch (own() % 4) {
        case 0: {
          const std::lock_guard guard(m);
          enter();
          break;
        }
        case 1:
          if (const std::unique_lock lock(m, std::try_to_lock); lock.owns_lock()) enter();
          break;
        case 2:
          ends.live(own, [&](const context& ctx) {
            select(when(ctx.done(), nothing), when(m.locking(), [&](auto /*lock*/) { enter(); }));
          });
          break;
        default:
          ends.live(own, [&](const context& ctx) {
            if (const auto lock = m.acquire(ctx)) enter();
          });
      }
    });
  }
  EXPECT_EQ(plain, entries);
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST(SharedMutexStress, ShowsReadersNoWriteInTheMiddle) {
  const std::uint64_t seed = announce_seed("readers and writers that come and give up");
  shared_mutex m;
  std::uint64_t one = 0;
  std::uint64_t other = 0;  // the same as `one`, but inside a write
  std::atomic<std::uint64_t> writes{0};
  std::atomic<std::uint64_t> reads{0};
  {
    reaper ends(seed);
    crowd(4, seed, [&](std::mt19937_64& own) {
      ends.live(own, [&](const context& ctx) {
        if (own() % 3 == 0) {
          const auto writing = m.acquire(ctx);
          if (!writing) return;
          ++one;
          dawdle(own);
          ++other;
          ++writes;
        } else {
          const auto reading = m.acquire_shared(ctx);
          if (!reading) return;
          EXPECT_EQ(one, other);
          ++reads;
        }
      });
    });
  }
  EXPECT_EQ(one, writes);
  EXPECT_GT(writes, 0U) << "the writers starve";
  EXPECT_GT(reads, 0U) << "the readers starve";
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

// A notification that went to a wait that gave up would leave an item, or a place, that is waited for
// without an end.
TEST(ConditionStress, LosesNoNotification) {
  const std::uint64_t seed = announce_seed("notify_one() against the ends of those who wait");
  constexpr std::size_t places = 2;
  mutex m;
  condition has_item;
  condition has_place;
  std::deque<std::uint64_t> items;
  std::uint64_t produced = 0;
  std::uint64_t consumed = 0;
  bool over = false;
  reaper ends(seed);
  const auto consume = [&](std::uint64_t own_seed) {
    std::mt19937_64 own(own_seed);
    for (bool done = false; !done;) {
      ends.live(own, [&](const context& ctx) {
        std::unique_lock lock(m);
        if (!has_item.wait(ctx, lock, [&] { return !items.empty() || over; })) return;
        if (items.empty()) {
          done = true;
          return;
        }
        consumed += items.front();
        items.pop_front();
        has_place.notify_one();
      });
    }
  };
  {
    std::vector<std::jthread> consumers;
    for (std::uint64_t i = 0; i != 2; ++i) consumers.emplace_back(consume, seed + 100 + i);
    crowd(2, seed, [&](std::mt19937_64& own) {
      ends.live(own, [&](const context& ctx) {
        auto lock = m.acquire(ctx);
        if (!lock || !has_place.wait(ctx, *lock, [&] { return items.size() < places; })) return;
        const std::uint64_t item = own() % 1000;
        items.push_back(item);
        produced += item;
        if (own() % 2 == 0) lock->unlock();
        has_item.notify_one();
      });
    });
    const std::lock_guard guard(m);
    over = true;
    has_item.notify_all();
  }
  EXPECT_GT(produced, 0U);
  EXPECT_EQ(consumed, produced);
  EXPECT_EQ(waiting_at(has_item) + waiting_at(has_place), nobody);
}

TEST(OnceStress, SucceedsOnceAndRunsNoTwoAtATime) {
  const std::uint64_t seed = announce_seed("callers that fail, throw, give up or find it done");
  std::mt19937_64 random(seed);
  reaper ends(seed);
  const time_box box(500ms);
  while (box.open()) {
    once o;
    const int failures = static_cast<int>(random() % 5);
    int tries = 0;  // not atomic: the calls take turns
    std::atomic<int> successes{0};
    {
      std::vector<std::jthread> callers;
      for (std::uint64_t i = 0; i != 4; ++i) {
        callers.emplace_back([&, own_seed = random()] {
          std::mt19937_64 own(own_seed);
          bool done = false;
          while (!done) {
            ends.live(own, [&](const context& ctx) {
              try {
                const auto got = o.call(ctx, [&](const context&) {
                  if (++tries <= failures) {
                    if (tries % 2 == 0) throw std::runtime_error("no luck");
                    return std::make_error_code(std::errc::io_error);
                  }
                  ++successes;
                  return std::error_code();
                });
                done = got.has_value();
              } catch (const std::runtime_error&) {
                done = false;
              }
            });
          }
          EXPECT_EQ(tries, failures + 1);
        });
      }
    }
    EXPECT_EQ(successes, 1);
    EXPECT_TRUE(o.succeeded());
  }
}

// ---- hunts

struct release_against_acquire {
  semaphore s{1};
  int plain = 0;
  int seen = 0;

  release_against_acquire() { static_cast<void>(take(s)); }
  void left() {
    if (take(background(), s)) seen = plain;
  }
  void right() {
    plain = 1;
    s.release();
  }
  void check() {
    EXPECT_EQ(seen, 1);
    EXPECT_EQ(s.available(), 0U);
    EXPECT_EQ(waiting_at(s), nobody);
  }
};

TEST(SemaphoreHunt, AReleaseIsNotLostToWhoIsAboutToWait) {
  hunt<release_against_acquire>("release() by its fast path while acquire() looks, enlists or falls asleep");
}

struct release_against_a_big_acquire {
  semaphore s{2};

  release_against_a_big_acquire() { static_cast<void>(take(s, 2)); }
  void left() {
    EXPECT_TRUE(take(background(), s, 2));
    s.release(2);
  }
  void right() {
    s.release();
    if (take(s)) s.release();  // not while the other waits
    s.release();
  }
  void check() {
    EXPECT_EQ(s.available(), 2U);
    EXPECT_EQ(waiting_at(s), nobody);
  }
};

TEST(SemaphoreHunt, NobodyWaitsForUnitsThatAreThere) {
  hunt<release_against_a_big_acquire>("two releases, and a try between them, while a big acquire enlists");
}

struct cancel_against_grant {
  const unsigned variant = turn<cancel_against_grant>();
  semaphore s{1};
  cancel_scope scope = with_cancel(background());
  result<> got;
  std::optional<std::jthread> waiter;

  cancel_against_grant() {
    static_cast<void>(take(s));
    waiter.emplace([this] { got = take(scope, s); });
    if (variant % 2 == 0) testing::await([this] { return waiting_at(s) == 1; });
  }
  void left() { scope.cancel(); }
  void right() { s.release(); }
  void check() {
    waiter.reset();
    EXPECT_EQ(s.available(), got ? 0U : 1U);
    EXPECT_EQ(waiting_at(s), nobody);
    if (!got) {
      EXPECT_EQ(got.error(), errc::canceled);
      EXPECT_TRUE(take(s));
    }
  }
};

TEST(SemaphoreHunt, AnAcquireIsCanceledOrHolds) {
  hunt<cancel_against_grant>("cancel() claims a waiter while release() grants it");
}

struct leave_against_release {
  semaphore s{3};
  pending_units big;
  pending_units small;

  leave_against_release() : big(occupied(s).acquiring(3)), small(s.acquiring()) {}
  static semaphore& occupied(semaphore& s) {
    static_cast<void>(take(s, 3));
    return s;
  }
  void left() { static_cast<void>(big.give_up()); }
  void right() { s.release(2); }
  void check() {
    EXPECT_TRUE(small.happened());
    EXPECT_FALSE(big.happened());
    EXPECT_EQ(s.available(), 1U);
    EXPECT_EQ(waiting_at(s), nobody);
  }
};

TEST(SemaphoreHunt, WhoFitsGoesOnWhenTheFirstLeaves) {
  hunt<leave_against_release>("the first leaves while release() looks whether it fits");
}

struct leave_against_its_grant {
  semaphore s{1};
  pending_units first;
  pending_units second;

  leave_against_its_grant() : first(occupied(s).acquiring()), second(s.acquiring()) {}
  static semaphore& occupied(semaphore& s) {
    static_cast<void>(take(s));
    return s;
  }
  void left() { static_cast<void>(first.give_up()); }
  void right() { s.release(); }
  void check() {
    EXPECT_NE(first.happened(), second.happened());
    EXPECT_EQ(s.available(), 0U);
    EXPECT_EQ(waiting_at(s), first.happened() ? 1U : 0U);
  }
};

TEST(SemaphoreHunt, AUnitGoesToOneOfTwo) {
  hunt<leave_against_its_grant>("the first is claimed by its end while release() grants it");
}

struct select_against_two_releases {
  semaphore a{1};
  semaphore b{1};
  std::size_t which = 2;

  select_against_two_releases() {
    static_cast<void>(take(a));
    static_cast<void>(take(b));
  }
  void left() { which = select(when(a.acquiring(), keep), when(b.acquiring(), keep)); }
  void right() {
    a.release();
    b.release();
  }
  void check() {
    EXPECT_EQ(a.available(), which == 0 ? 0U : 1U);
    EXPECT_EQ(b.available(), which == 1 ? 0U : 1U);
    EXPECT_EQ(waiting_at(a) + waiting_at(b), nobody);
  }
};

TEST(SemaphoreHunt, ASelectHoldsOneOfTwo) {
  hunt<select_against_two_releases>("two releases while a select tries, enlists or falls asleep");
}

struct release_against_destruction {
  std::unique_ptr<semaphore> s = std::make_unique<semaphore>(1);
  semaphore* const alias = s.get();

  release_against_destruction() { static_cast<void>(take(*s)); }
  void left() {
    if (take(background(), *alias)) s.reset();
  }
  void right() { alias->release(); }
  void check() const { EXPECT_EQ(s, nullptr); }
};

TEST(SemaphoreHunt, ItIsNotTouchedOnceTheNextHolderDestroysIt) {
  hunt<release_against_destruction>("the next holder destroys it while the one before is still in release()");
}

struct release_against_destruction_after_a_cancel {
  std::unique_ptr<semaphore> s = std::make_unique<semaphore>(1);
  semaphore* const alias = s.get();
  cancel_scope scope = with_cancel(background());
  std::optional<std::jthread> waiter;

  release_against_destruction_after_a_cancel() {
    static_cast<void>(take(*s));
    waiter.emplace([this] {
      if (take(scope, *alias) || take(background(), *alias)) s.reset();
    });
    testing::await([this] { return waiting_at(*alias) == 1; });
  }
  void left() { scope.cancel(); }
  void right() { alias->release(); }
  void check() {
    waiter.reset();
    EXPECT_EQ(s, nullptr);
  }
};

TEST(SemaphoreHunt, ItIsNotTouchedOnceOneWhoCameAgainDestroysIt) {
  hunt<release_against_destruction_after_a_cancel>(
      "who gave up comes again, gets it and destroys it while release() believes that somebody waits");
}

struct unlock_against_lock {
  mutex m;
  int plain = 0;

  void left() {
    const std::lock_guard guard(m);
    ++plain;
  }
  void right() {
    if (const auto lock = m.acquire(background())) ++plain;
  }
  void check() {
    EXPECT_EQ(plain, 2);
    EXPECT_TRUE(m.try_lock());
    m.unlock();
  }
};

TEST(MutexHunt, TwoThreadsTakeTurns) {
  hunt<unlock_against_lock>("unlock() by its fast path while lock() enlists");
}

struct writer_leaves_against_unlock {
  shared_mutex m;
  pending_units writer;
  pending_units reader;

  writer_leaves_against_unlock() : writer(read(m).locking()), reader(m.locking_shared()) {}
  static shared_mutex& read(shared_mutex& m) {
    m.lock_shared();
    return m;
  }
  void left() { static_cast<void>(writer.give_up()); }
  void right() { m.unlock_shared(); }
  void check() {
    if (writer.happened()) {
      EXPECT_FALSE(reader.happened());
      m.unlock();
    }
    EXPECT_TRUE(reader.happened());
    m.unlock_shared();
    EXPECT_TRUE(m.try_lock());
    m.unlock();
  }
};

TEST(SharedMutexHunt, TheReaderBehindAWriterGoesOnWhateverTheWriterDoes) {
  hunt<writer_leaves_against_unlock>("a writer gives up while the last reader unlocks");
}

struct notify_against_wait {
  mutex m;
  condition changed;
  bool ready = false;
  result<> got;

  void left() {
    std::unique_lock lock(m);
    got = changed.wait(background(), lock, [this] { return ready; });
  }
  void right() {
    {
      const std::lock_guard guard(m);
      ready = true;
    }
    changed.notify_one();
  }
  void check() {
    EXPECT_TRUE(got);
    EXPECT_EQ(waiting_at(changed), nobody);
  }
};

TEST(ConditionHunt, ANotificationIsNotLostToWhoIsAboutToWait) {
  hunt<notify_against_wait>("notify_one() without the lock while wait() gives it back and falls asleep");
}

struct notify_against_cancel {
  const unsigned variant = turn<notify_against_cancel>();
  condition changed;
  mutex m;
  cancel_scope scope = with_cancel(background());
  result<> got;
  bool held = false;
  std::optional<std::jthread> waiter;
  std::optional<pending_note> second;

  notify_against_cancel() {
    waiter.emplace([this] {
      std::unique_lock lock(m);
      got = changed.wait(scope, lock);
      held = lock.owns_lock();
    });
    testing::await([this] { return waiting_at(changed) == 1; });
    second.emplace(detail::notified(changed));
  }
  void left() { scope.cancel(); }
  void right() {
    std::unique_lock lock(m, std::defer_lock);
    if (variant % 2 == 0) lock.lock();
    changed.notify_one();
  }
  void check() {
    waiter.reset();
    EXPECT_TRUE(held);
    EXPECT_NE(got.has_value(), second->happened()) << "it has to go to one of the two";
  }
};

TEST(ConditionHunt, ANotificationIsNotLostToWhoseContextEnds) {
  hunt<notify_against_cancel>("cancel() claims the first who waits while notify_one() does");
}

struct call_against_call {
  const unsigned variant = turn<call_against_call>();
  once o;
  int tries = 0;

  bool call() {
    return o
        .call(background(),
              [this](const context&) {
                const bool fails = ++tries == 1 && variant % 2 == 0;
                return fails ? std::make_error_code(std::errc::io_error) : std::error_code();
              })
        .has_value();
  }
  std::atomic<int> successes{0};
  void left() { successes += call() ? 1 : 0; }
  void right() { successes += call() ? 1 : 0; }
  void check() {
    const bool one_failed = variant % 2 == 0;
    EXPECT_EQ(successes, one_failed ? 1 : 2);
    EXPECT_EQ(tries, one_failed ? 2 : 1);
    EXPECT_TRUE(o.succeeded());
  }
};

TEST(OnceHunt, TwoCallersTakeTurnsUntilOneSucceeds) {
  hunt<call_against_call>("the first ends, well or not, while the second looks or comes to wait");
}

struct cancel_against_success {
  once o;
  cancel_scope scope = with_cancel(background());
  int runs = 0;
  result<> got;

  void left() {
    got = o.call(scope, [this](const context&) { ++runs; });
  }
  void right() {
    const auto own = o.call(background(), [this](const context&) {
      scope.cancel();
      ++runs;
    });
    EXPECT_TRUE(own);
  }
  void check() {
    EXPECT_EQ(runs, 1);
    EXPECT_TRUE(o.succeeded());
    if (!got) {
      EXPECT_EQ(got.error(), errc::canceled);
    }
  }
};

TEST(OnceHunt, AWaiterIsToldOfTheSuccessOrOfItsOwnEnd) {
  hunt<cancel_against_success>("a caller waits, or comes, while its context ends and the other succeeds");
}

}  // namespace
}  // namespace curfew
