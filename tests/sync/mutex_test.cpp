#include <curfew/sync/mutex.hpp>

#include "sync/waiting_at.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/sync/select.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <gtest/gtest.h>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::await;
using testing::manual_clock;
using testing::waiting_at;

using pending = testing::pending<detail::units_wait>;

constexpr std::size_t nobody = 0;

/// How many wait for it, to read or to write.
template <class Mutex>
std::size_t waiting_for(Mutex& m) {
  return waiting_at(m.locking());
}

/// It is not held, and nothing waits for it.
template <class Mutex>
bool is_free(Mutex& m) {
  const std::unique_lock got(m, std::try_to_lock);
  return got.owns_lock();
}

/// The error of what has to have failed.
template <class T>
error error_of(const result<T>& got) {
  if (got) throw std::runtime_error("no error");
  return got.error();
}

static_assert(!std::is_copy_constructible_v<mutex> && !std::is_move_constructible_v<mutex>);
static_assert(!std::is_copy_constructible_v<shared_mutex> && !std::is_move_constructible_v<shared_mutex>);

constinit mutex from_the_beginning;
constinit shared_mutex shared_from_the_beginning;

// ---- mutex: locking

TEST(Mutex, IsReadyBeforeAnyCodeRuns) { EXPECT_TRUE(is_free(from_the_beginning)); }

TEST(Mutex, IsHeldByOneAtATime) {
  mutex m;
  ASSERT_TRUE(m.lock(background()));
  EXPECT_FALSE(m.try_lock());
  m.unlock();
  ASSERT_TRUE(m.try_lock());
  EXPECT_FALSE(m.try_lock());
  m.unlock();
  EXPECT_TRUE(is_free(m));
}

TEST(Mutex, IsUnlockedByTheLockThatAcquireGives) {
  mutex m;
  {
    const result<std::unique_lock<mutex>> lock = m.acquire(background());
    ASSERT_TRUE(lock);
    EXPECT_TRUE(lock->owns_lock());
    EXPECT_EQ(lock->mutex(), &m);
    EXPECT_FALSE(m.try_lock());
  }
  EXPECT_TRUE(is_free(m));
}

TEST(Mutex, IsHeldByALockGuard) {
  mutex m;
  {
    const std::lock_guard guard(m);
    EXPECT_FALSE(m.try_lock());
  }
  EXPECT_TRUE(is_free(m));
}

TEST(Mutex, IsHeldByAUniqueLock) {
  mutex m;
  std::unique_lock lock(m, std::defer_lock);
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
  lock.lock();
  EXPECT_FALSE(m.try_lock());
  lock.unlock();
  EXPECT_TRUE(is_free(m));
}

TEST(Mutex, IsLockedWithAnotherOneByAScopedLock) {
  mutex a;
  mutex b;
  {
    const std::scoped_lock both(a, b);
    EXPECT_FALSE(a.try_lock());
    EXPECT_FALSE(b.try_lock());
  }
  EXPECT_TRUE(is_free(a));
  EXPECT_TRUE(is_free(b));
}

TEST(Mutex, MakesALockGuardWaitUntilItIsUnlocked) {
  mutex m;
  ASSERT_TRUE(m.try_lock());
  std::atomic<bool> held{false};
  std::jthread other([&] {
    const std::lock_guard guard(m);
    held = true;
  });
  await([&] { return waiting_for(m) == 1; });
  EXPECT_FALSE(held);
  m.unlock();
  other.join();
  EXPECT_TRUE(held);
  EXPECT_TRUE(is_free(m));
}

TEST(Mutex, LetsOneThreadInAtATime) {
  mutex m;
  int sum = 0;  // guarded by m
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i != 4; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n != 500; ++n) {
          const auto lock = m.acquire(background());
          ASSERT_TRUE(lock);
          ++sum;
        }
      });
    }
  }
  EXPECT_EQ(sum, 2000);
}

TEST(Mutex, IsUnlockedByAnotherThread) {
  mutex m;
  ASSERT_TRUE(m.lock(background()));
  std::jthread([&] { m.unlock(); }).join();
  EXPECT_TRUE(is_free(m));
}

TEST(Mutex, ShowsTheNextHolderWhatWasDoneBeforeTheUnlock) {
  mutex m;
  ASSERT_TRUE(m.try_lock());
  int plain = 0;
  std::jthread other([&] {
    plain = 42;
    m.unlock();
  });
  ASSERT_TRUE(m.lock(background()));
  EXPECT_EQ(plain, 42);
  m.unlock();
}

TEST(Mutex, IsDestroyedByTheNextHolder) {
  auto m = std::make_unique<mutex>();
  ASSERT_TRUE(m->try_lock());
  std::jthread next([&] {
    if (!m->lock(background())) return;
    m->unlock();
    m.reset();
  });
  await([&] { return waiting_for(*m) == 1; });
  m->unlock();
  next.join();
  EXPECT_EQ(m, nullptr);
}

// ---- mutex: the end of the context

TEST(Mutex, IsNotLockedForAContextThatHasEnded) {
  mutex m;
  auto scope = with_cancel(background());
  scope.cancel("gone home");
  const error ended = error_of(m.lock(scope));
  EXPECT_EQ(ended.code(), errc::canceled);
  EXPECT_EQ(ended.cause().message(), "gone home");
  EXPECT_EQ(ended.message(), "lock: canceled (cause: gone home)");
  EXPECT_EQ(error_of(m.acquire(scope)).message(), "lock: canceled (cause: gone home)");
  EXPECT_TRUE(is_free(m));
}

TEST(Mutex, ReportsTheDeadlineThatEndsAWait) {
  manual_clock clock;
  clock.autojump();
  mutex m;
  ASSERT_TRUE(m.try_lock());
  const auto one = with_timeout(clock.background(), 1h, cause("report budget"));
  const error ended = error_of(m.lock(one));
  EXPECT_EQ(ended.code(), errc::deadline_exceeded);
  EXPECT_EQ(ended.cause().message(), "report budget");
  EXPECT_EQ(clock.now(), clock::time_point(1h));
  const auto two = with_timeout(clock.background(), 1h, cause("page budget"));
  const error again = error_of(m.acquire(two));
  EXPECT_EQ(again.code(), errc::deadline_exceeded);
  EXPECT_EQ(again.cause().message(), "page budget");
  EXPECT_EQ(clock.now(), clock::time_point(2h));
  EXPECT_EQ(waiting_for(m), nobody);
  EXPECT_FALSE(m.try_lock());
}

TEST(Mutex, ReportsTheCancelThatComesBeforeTheDeadline) {
  manual_clock clock;
  mutex m;
  ASSERT_TRUE(m.try_lock());
  auto scope = with_timeout(clock.background(), 1h);
  result<std::unique_lock<mutex>> got;
  std::jthread waiter([&] { got = m.acquire(scope); });
  await([&] { return waiting_for(m) == 1; });
  scope.cancel("enough");
  clock.advance(2h);
  waiter.join();
  EXPECT_EQ(error_of(got).code(), errc::canceled);
  EXPECT_EQ(error_of(got).cause().message(), "enough");
  EXPECT_EQ(waiting_for(m), nobody);
}

TEST(Mutex, ReportsTheDeadlineThatComesBeforeTheCancel) {
  manual_clock clock;
  mutex m;
  ASSERT_TRUE(m.try_lock());
  auto scope = with_timeout(clock.background(), 1h);
  result<> got;
  std::jthread waiter([&] { got = m.lock(scope); });
  await([&] { return waiting_for(m) == 1; });
  clock.advance(1h);
  scope.cancel("too late");
  waiter.join();
  EXPECT_EQ(error_of(got).code(), errc::deadline_exceeded);
}

TEST(Mutex, IsLockedAgainAfterAWaitThatWasGivenUp) {
  manual_clock clock;
  clock.autojump();
  mutex m;
  ASSERT_TRUE(m.try_lock());
  const auto scope = with_timeout(clock.background(), 1s);
  ASSERT_FALSE(m.lock(scope));
  m.unlock();
  EXPECT_TRUE(is_free(m));
}

TEST(Mutex, WaitsForItselfUntilItsContextEnds) {
  manual_clock clock;
  clock.autojump();
  mutex m;
  const auto scope = with_timeout(clock.background(), 1s);
  const auto lock = m.acquire(scope);
  ASSERT_TRUE(lock);
  EXPECT_EQ(error_of(m.acquire(scope)).code(), errc::deadline_exceeded);
  EXPECT_FALSE(m.try_lock());
}

TEST(Mutex, PassesOverWhoseContextHasJustEnded) {
  mutex m;
  ASSERT_TRUE(m.try_lock());
  pending ended(m.locking());
  const pending next(m.locking());
  EXPECT_TRUE(ended.end());  // it is still in the list
  m.unlock();
  EXPECT_TRUE(next.happened());
  EXPECT_FALSE(ended.outcome());
  m.unlock();
}

TEST(Mutex, IsNotLockedByAWaitWhoseContextEndedBeforeTheUnlock) {
  mutex m;
  m.lock();
  auto scope = with_cancel(background());
  pending canceled(m.locking(), scope);
  const pending next(m.locking());
  scope.cancel();
  m.unlock();
  EXPECT_TRUE(next.happened());
  EXPECT_FALSE(canceled.outcome());
}

TEST(SharedMutex, IsNotLockedByAWriterWhoseContextEndedBeforeTheUnlock) {
  shared_mutex m;
  m.lock_shared();
  auto scope = with_cancel(background());
  pending canceled(m.locking(), scope);
  const pending reader(m.locking_shared());
  EXPECT_FALSE(reader.happened());
  scope.cancel();
  m.unlock_shared();
  EXPECT_TRUE(reader.happened());
  EXPECT_FALSE(canceled.outcome());
}

TEST(Mutex, IsPassedOnToTheNextWhenTheOneBeforeHasGivenUp) {
  mutex m;
  ASSERT_TRUE(m.try_lock());
  pending first(m.locking());
  const pending second(m.locking());
  EXPECT_TRUE(first.give_up());
  EXPECT_FALSE(second.happened());
  m.unlock();
  EXPECT_TRUE(second.happened());
  m.unlock();
  EXPECT_TRUE(is_free(m));
}

TEST(Mutex, StaysWithWhoGotItThoughItsContextEndsThen) {
  mutex m;
  ASSERT_TRUE(m.try_lock());
  pending granted(m.locking());
  m.unlock();
  EXPECT_FALSE(granted.end());
  EXPECT_TRUE(granted.happened());
  EXPECT_FALSE(m.try_lock());
  m.unlock();
}

// ---- mutex: the order

TEST(Mutex, IsLockedInTheOrderOfComing) {
  mutex m;
  ASSERT_TRUE(m.try_lock());
  std::vector<int> order;
  std::vector<std::jthread> threads;
  for (int i = 0; i != 4; ++i) {
    threads.emplace_back([&, i] {
      if (i % 2 == 0) {
        const std::lock_guard guard(m);
        order.push_back(i);
      } else if (const auto lock = m.acquire(background())) {
        order.push_back(i);
      }
    });
    await([&] { return waiting_for(m) == static_cast<std::size_t>(i) + 1; });
  }
  m.unlock();
  threads.clear();
  EXPECT_EQ(order, (std::vector{0, 1, 2, 3}));
}

TEST(Mutex, IsNotLockedAgainByWhoUnlocksItWhileAnotherWaits) {
  mutex m;
  ASSERT_TRUE(m.try_lock());
  const pending other(m.locking());
  m.unlock();
  EXPECT_FALSE(m.try_lock());
  EXPECT_TRUE(other.happened());
  m.unlock();
  EXPECT_TRUE(is_free(m));
}

// ---- mutex: select

TEST(Mutex, IsHeldByTheHandlerOfASelect) {
  mutex m;
  bool held = false;
  const std::size_t which = select(when(m.locking(), [&](auto /*lock*/) { held = !m.try_lock(); }));
  EXPECT_EQ(which, 0U);
  EXPECT_TRUE(held);
  EXPECT_TRUE(is_free(m));
}

TEST(Mutex, IsWaitedForInASelect) {
  mutex m;
  ASSERT_TRUE(m.try_lock());
  std::atomic<bool> held{false};
  std::jthread waiter([&] { select(when(m.locking(), [&](auto /*lock*/) { held = true; })); });
  await([&] { return waiting_for(m) == 1; });
  EXPECT_FALSE(held);
  m.unlock();
  waiter.join();
  EXPECT_TRUE(held);
  EXPECT_TRUE(is_free(m));
}

TEST(Mutex, IsNotHeldIfAnotherCaseOfTheSelectHappens) {
  manual_clock clock;
  clock.autojump();
  mutex m;
  ASSERT_TRUE(m.try_lock());
  const auto scope = with_timeout(clock.background(), 1s);
  EXPECT_EQ(select(when(m.locking(), [](auto /*lock*/) {}), when(scope.done(), [] {})), 1U);
  EXPECT_EQ(waiting_for(m), nobody);
  m.unlock();
  EXPECT_TRUE(is_free(m));
}

// ---- shared_mutex: locking

TEST(SharedMutex, IsReadyBeforeAnyCodeRuns) { EXPECT_TRUE(is_free(shared_from_the_beginning)); }

TEST(SharedMutex, IsSharedByReaders) {
  shared_mutex m;
  ASSERT_TRUE(m.lock_shared(background()));
  EXPECT_TRUE(m.try_lock_shared());
  EXPECT_FALSE(m.try_lock());
  m.unlock_shared();
  EXPECT_FALSE(m.try_lock());
  m.unlock_shared();
  EXPECT_TRUE(is_free(m));
}

TEST(SharedMutex, IsHeldByAWriterAlone) {
  shared_mutex m;
  ASSERT_TRUE(m.lock(background()));
  EXPECT_FALSE(m.try_lock());
  EXPECT_FALSE(m.try_lock_shared());
  m.unlock();
  EXPECT_TRUE(is_free(m));
}

TEST(SharedMutex, IsUnlockedByTheLocksThatAcquireGives) {
  shared_mutex m;
  {
    const result<std::unique_lock<shared_mutex>> writing = m.acquire(background());
    ASSERT_TRUE(writing);
    EXPECT_FALSE(m.try_lock_shared());
  }
  {
    const result<std::shared_lock<shared_mutex>> one = m.acquire_shared(background());
    const result<std::shared_lock<shared_mutex>> two = m.acquire_shared(background());
    ASSERT_TRUE(one && two);
    EXPECT_TRUE(one->owns_lock());
    EXPECT_FALSE(m.try_lock());
  }
  EXPECT_TRUE(is_free(m));
}

TEST(SharedMutex, IsHeldByTheLocksOfTheStandardLibrary) {
  shared_mutex m;
  {
    const std::lock_guard writing(m);
    const std::shared_lock reading(m, std::try_to_lock);
    EXPECT_FALSE(reading.owns_lock());
  }
  {
    const std::shared_lock one(m);
    const std::shared_lock two(m);
    const std::unique_lock writing(m, std::try_to_lock);
    EXPECT_FALSE(writing.owns_lock());
  }
  EXPECT_TRUE(is_free(m));
}

TEST(SharedMutex, MakesTheLocksOfTheStandardLibraryWait) {
  shared_mutex m;
  std::vector<int> order;
  ASSERT_TRUE(m.try_lock());
  std::jthread writer([&] {
    const std::unique_lock lock(m);
    order.push_back(1);
  });
  await([&] { return waiting_for(m) == 1; });
  std::jthread reader([&] {
    const std::shared_lock lock(m);
    order.push_back(2);
  });
  await([&] { return waiting_for(m) == 2; });
  m.unlock();
  writer.join();
  reader.join();
  EXPECT_EQ(order, (std::vector{1, 2}));
  EXPECT_TRUE(is_free(m));
}

TEST(SharedMutex, IsDestroyedByTheNextHolder) {
  auto m = std::make_unique<shared_mutex>();
  ASSERT_TRUE(m->try_lock_shared());
  std::jthread next([&] {
    if (!m->lock(background())) return;
    m->unlock();
    m.reset();
  });
  await([&] { return waiting_for(*m) == 1; });
  m->unlock_shared();
  next.join();
  EXPECT_EQ(m, nullptr);
}

// ---- shared_mutex: the end of the context

TEST(SharedMutex, IsNotLockedForAContextThatHasEnded) {
  shared_mutex m;
  auto scope = with_cancel(background());
  scope.cancel("gone home");
  EXPECT_EQ(error_of(m.lock(scope)).message(), "lock: canceled (cause: gone home)");
  EXPECT_EQ(error_of(m.acquire(scope)).message(), "lock: canceled (cause: gone home)");
  EXPECT_EQ(error_of(m.lock_shared(scope)).message(), "lock shared: canceled (cause: gone home)");
  EXPECT_EQ(error_of(m.acquire_shared(scope)).message(), "lock shared: canceled (cause: gone home)");
  EXPECT_EQ(error_of(m.acquire_shared(scope)).code(), errc::canceled);
  EXPECT_TRUE(is_free(m));
}

TEST(SharedMutex, ReportsTheDeadlineThatEndsTheWaitOfAWriter) {
  manual_clock clock;
  clock.autojump();
  shared_mutex m;
  ASSERT_TRUE(m.try_lock_shared());
  const auto one = with_timeout(clock.background(), 1h, cause("report budget"));
  const error ended = error_of(m.lock(one));
  EXPECT_EQ(ended.code(), errc::deadline_exceeded);
  EXPECT_EQ(ended.cause().message(), "report budget");
  const auto two = with_timeout(clock.background(), 1h);
  EXPECT_EQ(error_of(m.acquire(two)).code(), errc::deadline_exceeded);
  EXPECT_EQ(clock.now(), clock::time_point(2h));
  EXPECT_EQ(waiting_for(m), nobody);
  EXPECT_TRUE(m.try_lock_shared());
}

TEST(SharedMutex, ReportsTheDeadlineThatEndsTheWaitOfAReader) {
  manual_clock clock;
  clock.autojump();
  shared_mutex m;
  ASSERT_TRUE(m.try_lock());
  const auto one = with_timeout(clock.background(), 1h, cause("report budget"));
  const error ended = error_of(m.lock_shared(one));
  EXPECT_EQ(ended.code(), errc::deadline_exceeded);
  EXPECT_EQ(ended.cause().message(), "report budget");
  const auto two = with_timeout(clock.background(), 1h);
  EXPECT_EQ(error_of(m.acquire_shared(two)).code(), errc::deadline_exceeded);
  EXPECT_EQ(waiting_for(m), nobody);
  m.unlock();
  EXPECT_TRUE(is_free(m));
}

TEST(SharedMutex, ReportsTheCancelThatEndsAWait) {
  shared_mutex m;
  ASSERT_TRUE(m.try_lock_shared());
  auto scope = with_cancel(background());
  result<std::unique_lock<shared_mutex>> writing;
  std::jthread writer([&] { writing = m.acquire(scope); });
  await([&] { return waiting_for(m) == 1; });
  result<std::shared_lock<shared_mutex>> reading;
  std::jthread reader([&] { reading = m.acquire_shared(scope); });
  await([&] { return waiting_for(m) == 2; });
  scope.cancel("enough");
  writer.join();
  reader.join();
  EXPECT_EQ(error_of(writing).code(), errc::canceled);
  EXPECT_EQ(error_of(writing).cause().message(), "enough");
  // When the writer leaves first, the reader that has not noticed the end yet gets it.
  if (!reading) {
    EXPECT_EQ(error_of(reading).cause().message(), "enough");
  } else {
    reading->unlock();
  }
  m.unlock_shared();
  EXPECT_TRUE(is_free(m));
}

TEST(SharedMutex, LetsTheReadersGoOnWhenTheWriterBeforeThemGivesUp) {
  shared_mutex m;
  ASSERT_TRUE(m.try_lock_shared());
  pending writer(m.locking());
  const pending one(m.locking_shared());
  const pending two(m.locking_shared());
  EXPECT_FALSE(one.happened() || two.happened());
  EXPECT_TRUE(writer.give_up());
  EXPECT_TRUE(one.happened());
  EXPECT_TRUE(two.happened());
  for (int i = 0; i != 3; ++i) m.unlock_shared();
  EXPECT_TRUE(is_free(m));
}

TEST(SharedMutex, LetsAWriterGoOnWhenTheWriterBeforeItGivesUp) {
  shared_mutex m;
  ASSERT_TRUE(m.try_lock());
  pending first(m.locking());
  const pending second(m.locking());
  EXPECT_TRUE(first.give_up());
  EXPECT_FALSE(second.happened());
  m.unlock();
  EXPECT_TRUE(second.happened());
  m.unlock();
}

TEST(SharedMutex, MakesAReaderWaitForItselfIfAWriterCameBetween) {
  manual_clock clock;
  clock.autojump();
  shared_mutex m;
  const auto scope = with_timeout(clock.background(), 1s);
  ASSERT_TRUE(m.lock_shared(scope));
  const pending writer(m.locking());
  EXPECT_EQ(error_of(m.lock_shared(scope)).code(), errc::deadline_exceeded);
  EXPECT_FALSE(writer.happened());
  m.unlock_shared();
  EXPECT_TRUE(writer.happened());
  m.unlock();
}

// ---- shared_mutex: the order

TEST(SharedMutex, LetsNoNewReaderPassAWriterThatWaits) {
  shared_mutex m;
  ASSERT_TRUE(m.try_lock_shared());
  const pending writer(m.locking());
  const pending reader(m.locking_shared());
  EXPECT_FALSE(m.try_lock_shared());
  EXPECT_FALSE(reader.happened());
  m.unlock_shared();
  EXPECT_TRUE(writer.happened());
  EXPECT_FALSE(reader.happened());
  m.unlock();
  EXPECT_TRUE(reader.happened());
  m.unlock_shared();
  EXPECT_TRUE(is_free(m));
}

TEST(SharedMutex, LetsNoNewWriterPassAReaderThatWaits) {
  shared_mutex m;
  ASSERT_TRUE(m.try_lock());
  const pending reader(m.locking_shared());
  const pending writer(m.locking());
  m.unlock();
  EXPECT_FALSE(m.try_lock());
  EXPECT_TRUE(reader.happened());
  EXPECT_FALSE(writer.happened());
  m.unlock_shared();
  EXPECT_TRUE(writer.happened());
  m.unlock();
}

TEST(SharedMutex, LetsTheReadersBetweenTwoWritersReadTogether) {
  shared_mutex m;
  ASSERT_TRUE(m.try_lock());
  const pending one(m.locking_shared());
  const pending two(m.locking_shared());
  const pending writer(m.locking());
  const pending three(m.locking_shared());
  m.unlock();
  EXPECT_TRUE(one.happened());
  EXPECT_TRUE(two.happened());
  EXPECT_FALSE(writer.happened());
  m.unlock_shared();
  EXPECT_FALSE(writer.happened());
  EXPECT_FALSE(three.happened());
  m.unlock_shared();
  EXPECT_TRUE(writer.happened());
  EXPECT_FALSE(three.happened());
  m.unlock();
  EXPECT_TRUE(three.happened());
  m.unlock_shared();
  EXPECT_TRUE(is_free(m));
}

TEST(SharedMutex, StarvesNeitherSideHoweverManyComeOfTheOther) {
  for (const bool writer_waits : {true, false}) {
    SCOPED_TRACE(writer_waits ? "a writer among readers" : "a reader among writers");
    shared_mutex m;
    const auto crowd = [&]() -> detail::units_wait {
      if (writer_waits) return m.locking_shared();
      return m.locking();
    };
    const auto leave = [&] { writer_waits ? m.unlock_shared() : m.unlock(); };
    auto inside = std::make_unique<pending>(crowd());
    ASSERT_TRUE(inside->at_once());
    const auto other = [&]() -> detail::units_wait {
      if (writer_waits) return m.locking();
      return m.locking_shared();
    };
    const pending single(other());
    // Each of the crowd comes back before the one inside leaves, so that there is always one of them.
    std::vector<std::unique_ptr<pending>> behind;
    for (int i = 0; i != 100; ++i) {
      behind.push_back(std::make_unique<pending>(crowd()));
      EXPECT_FALSE(behind.back()->happened());
    }
    EXPECT_FALSE(single.happened());
    leave();
    EXPECT_TRUE(single.happened());
    EXPECT_FALSE(behind.front()->happened());
    writer_waits ? m.unlock() : m.unlock_shared();
    for (const auto& each : behind) {
      EXPECT_TRUE(each->happened());
      leave();
    }
    EXPECT_TRUE(is_free(m));
  }
}

// ---- shared_mutex: select

TEST(SharedMutex, IsHeldByTheHandlersOfASelect) {
  shared_mutex m;
  bool shared = false;
  select(when(m.locking_shared(), [&](auto /*lock*/) {
    shared = !m.try_lock() && m.try_lock_shared();
    m.unlock_shared();
  }));
  EXPECT_TRUE(shared);
  bool alone = false;
  select(when(m.locking(), [&](auto /*lock*/) { alone = !m.try_lock_shared(); }));
  EXPECT_TRUE(alone);
  EXPECT_TRUE(is_free(m));
}

TEST(SharedMutex, IsHeldInOneWayWhenASelectOffersBoth) {
  shared_mutex m;
  ASSERT_TRUE(m.try_lock_shared());
  EXPECT_EQ(select(when(m.locking(), [](auto /*lock*/) {}), when(m.locking_shared(), [](auto /*lock*/) {})),
            1U);
  m.unlock_shared();
  EXPECT_TRUE(is_free(m));
}

TEST(SharedMutex, IsWaitedForInASelectToReadAndToWrite) {
  shared_mutex m;
  ASSERT_TRUE(m.try_lock());
  std::vector<int> order;
  std::jthread reader([&] { select(when(m.locking_shared(), [&](auto /*lock*/) { order.push_back(1); })); });
  await([&] { return waiting_for(m) == 1; });
  std::jthread writer([&] { select(when(m.locking(), [&](auto /*lock*/) { order.push_back(2); })); });
  await([&] { return waiting_for(m) == 2; });
  m.unlock();
  reader.join();
  writer.join();
  EXPECT_EQ(order, (std::vector{1, 2}));
  EXPECT_TRUE(is_free(m));
}

TEST(SharedMutex, IsNotHeldIfAnotherCaseOfTheSelectHappens) {
  shared_mutex m;
  ASSERT_TRUE(m.try_lock_shared());
  auto scope = with_cancel(background());
  std::size_t which = 2;
  std::jthread writer(
      [&] { which = select(when(m.locking(), [](auto /*lock*/) {}), when(scope.done(), [] {})); });
  await([&] { return waiting_for(m) == 1; });
  const pending reader(m.locking_shared());
  scope.cancel();
  writer.join();
  EXPECT_EQ(which, 1U);
  EXPECT_TRUE(reader.happened());
  m.unlock_shared();
  m.unlock_shared();
  EXPECT_TRUE(is_free(m));
}

// ---- broken contracts

class MutexDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(MutexDeathTest, TerminatesWhenWhatIsNotLockedIsUnlocked) {
  EXPECT_DEATH(
      {
        mutex m;
        m.unlock();
      },
      "curfew: broken contract: .*it was not locked");
  EXPECT_DEATH(
      {
        shared_mutex m;
        m.unlock_shared();
      },
      "it was not locked");
  EXPECT_DEATH(
      {
        shared_mutex m;
        m.lock_shared();
        m.unlock();
      },
      "it was not locked");
}

TEST_F(MutexDeathTest, TerminatesWhenItIsDestroyedWhileSomebodyWaits) {
  EXPECT_DEATH(
      {
        auto m = std::make_unique<mutex>();
        m->lock();
        const pending waits(m->locking());
        m.reset();
      },
      "destroyed while it is waited for");
}

}  // namespace
}  // namespace curfew
