// Waits for a notification.

#include "io/coroutines.hpp"
#include "sync/waiting_at.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io/condition.hpp>
#include <curfew/io/sync.hpp>
#include <curfew/sync.hpp>
#include <curfew/testing.hpp>
#include <deque>
#include <future>
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

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::background;
using curfew::context;
using curfew::errc;
using curfew::result;
using namespace curfew::testing;
using curfew::condition;
using lock_of = std::unique_lock<curfew::mutex>;

constexpr std::size_t nobody = 0;

/// That nobody holds it.
bool is_free(curfew::mutex& m) {
  if (!m.try_lock()) return false;
  m.unlock();
  return true;
}

struct AsyncCondition : ::testing::Test {
  manual_clock clock;
  asio::cancellation_signal signal;
  curfew::mutex m;
  condition changed;
  asio::io_context io;

  /// Locks, waits, and checks that it holds the lock again.
  asio::awaitable<result<>> wait(context ctx) {
    lock_of lock(m);
    result<> notified = co_await curfew::async_wait(ctx, changed, lock);
    EXPECT_TRUE(lock.owns_lock());
    EXPECT_EQ(lock.mutex(), &m);
    EXPECT_FALSE(m.try_lock());
    co_return notified;
  }

  /// As wait, on an io_context, until it is the last in the list.
  std::future<result<>> start(const context& ctx) { return start(ctx, io); }
  std::future<result<>> start(const context& ctx, asio::io_context& on) {
    auto waits = curfew::testing::start(on, wait(ctx));
    poll(on);
    return waits;
  }
};

TEST_F(AsyncCondition, GivesTheLockBackAndHoldsItAgainOnceNotified) {
  auto waits = start(background());
  EXPECT_EQ(waiting_at(changed), 1U);
  EXPECT_TRUE(is_free(m));
  changed.notify_one();
  EXPECT_FALSE(over(waits)) << "inside notify_one()";
  poll(io);
  EXPECT_EQ(told(waits), "no error");
  EXPECT_TRUE(is_free(m));
  EXPECT_EQ(waiting_at(changed), nobody);
}

TEST_F(AsyncCondition, ForgetsANotificationForNobody) {
  changed.notify_one();
  changed.notify_all();
  auto waits = start(background());
  EXPECT_FALSE(over(waits));
  changed.notify_all();
  poll(io);
  EXPECT_TRUE(over(waits));
}

TEST_F(AsyncCondition, AsksThePredicateFirstAndAfterEachNotificationWithTheLockHeld) {
  int value = 0;
  int asked = 0;
  auto until_two = [&]() -> asio::awaitable<result<>> {
    lock_of lock(m);
    auto ready = [&] {
      EXPECT_TRUE(lock.owns_lock());
      EXPECT_FALSE(m.try_lock());
      ++asked;
      return value == 2;
    };
    co_return co_await curfew::async_wait(background(), changed, lock, ready);
  };
  auto waits = curfew::testing::start(io, until_two());
  poll(io);
  EXPECT_EQ(asked, 1);
  for (int i = 1; i != 3; ++i) {
    EXPECT_FALSE(over(waits));
    value = i;
    changed.notify_one();
    poll(io);
    EXPECT_EQ(asked, i + 1);
  }
  EXPECT_EQ(told(waits), "no error");
}

TEST_F(AsyncCondition, DoesNotWaitForWhatIsTrueThoughTheContextHasEnded) {
  auto scope = curfew::with_cancel(background());
  scope.cancel();
  bool held = false;
  auto look = [&]() -> asio::awaitable<result<>> {
    lock_of lock(m);
    const curfew::testing::pending<curfew::detail::units_wait> other(m.locking());
    auto ready = [only = std::make_unique<bool>(true)] { return *only; };
    auto got = co_await curfew::async_wait(scope, changed, lock, std::move(ready));
    held = lock.owns_lock() && !other.happened();
    co_return got;
  };
  auto waits = curfew::testing::start(io, look());
  poll(io);
  EXPECT_EQ(told(waits), "no error");
  EXPECT_TRUE(held);
}

TEST_F(AsyncCondition, LetsOutWhatThePredicateThrowsWithTheLockHeld) {
  bool held = false;
  auto look = [&]() -> asio::awaitable<void> {
    lock_of lock(m);
    int asked = 0;
    auto throws = [&] { return ++asked == 1 ? false : throw std::runtime_error("no idea"); };
    try {
      static_cast<void>(co_await curfew::async_wait(background(), changed, lock, throws));
    } catch (const std::runtime_error&) {
      held = lock.owns_lock() && !m.try_lock();
      throw;
    }
  };
  auto waits = curfew::testing::start(io, look());
  poll(io);
  changed.notify_one();
  poll(io);
  ASSERT_TRUE(over(waits));
  EXPECT_THROW(waits.get(), std::runtime_error);
  EXPECT_TRUE(held);
  EXPECT_TRUE(is_free(m));
}

TEST_F(AsyncCondition, DoesNotGiveTheLockBackInAContextThatHasEnded) {
  auto scope = curfew::with_cancel(background());
  scope.cancel("gone home");
  bool given_back = true;
  auto look = [&]() -> asio::awaitable<result<>> {
    lock_of lock(m);
    const curfew::testing::pending<curfew::detail::units_wait> other(m.locking());
    auto got = co_await curfew::async_wait(scope, changed, lock);
    given_back = !lock.owns_lock() || other.happened();
    co_return got;
  };
  auto waits = curfew::testing::start(io, look());
  poll(io);
  EXPECT_EQ(told(waits), "wait: canceled (cause: gone home)");
  EXPECT_FALSE(given_back);
}

TEST_F(AsyncCondition, IsEndedByItsContextWithItsCause) {
  auto scope = curfew::with_cancel(background());
  auto canceled = start(scope);
  const auto report = curfew::with_timeout(clock.background(), 1h, curfew::cause("report budget"));
  auto late = start(report);
  scope.cancel("user left");
  clock.advance(1h - 1ns);
  poll(io);
  EXPECT_EQ(told(canceled), "wait: canceled (cause: user left)");
  EXPECT_FALSE(over(late));
  clock.advance(1ns);
  poll(io);
  EXPECT_EQ(told(late), "wait: deadline exceeded (cause: report budget)");
  EXPECT_EQ(waiting_at(changed), nobody);
  EXPECT_TRUE(is_free(m));
}

TEST_F(AsyncCondition, WaitsForTheLockHoweverItsContextAndItsSlotFare) {
  auto scope = curfew::with_cancel(background());
  auto waits = curfew::testing::start(io, wait(scope), signal.slot());
  poll(io);
  lock_of mine(m);
  scope.cancel("user left");
  poll(io);
  EXPECT_EQ(waiting_at(m.locking()), 1U);
  signal.emit(asio::cancellation_type::terminal);
  poll(io);
  EXPECT_FALSE(over(waits));
  EXPECT_EQ(waiting_at(m.locking()), 1U);
  mine.unlock();
  poll(io);
  EXPECT_EQ(told(waits), "wait: canceled (cause: user left)");
}

TEST_F(AsyncCondition, ReportsTheNotificationThoughItsContextEndsBeforeItHoldsTheLock) {
  auto scope = curfew::with_cancel(background());
  auto waits = start(scope);
  lock_of mine(m);
  changed.notify_one();
  scope.cancel();
  poll(io);
  EXPECT_FALSE(over(waits));
  mine.unlock();
  poll(io);
  EXPECT_EQ(told(waits), "no error");
}

TEST_F(AsyncCondition, AsksThePredicateOnceMoreAfterTheEnd) {
  auto scope = curfew::with_cancel(background());
  bool is_ready = false;
  auto look = [&]() -> asio::awaitable<result<>> {
    lock_of lock(m);
    auto ready = [&] { return is_ready; };
    co_return co_await curfew::async_wait(scope, changed, lock, ready);
  };
  auto lucky = curfew::testing::start(io, look());
  poll(io);
  is_ready = true;  // and nobody is notified
  scope.cancel("user left");
  poll(io);
  EXPECT_EQ(told(lucky), "no error");
  is_ready = false;
  auto unlucky = curfew::testing::start(io, look());
  poll(io);
  EXPECT_EQ(told(unlucky), "wait: canceled (cause: user left)");
}

TEST_F(AsyncCondition, ObeysAsiosCancellationSlotAndLeavesTheNotificationToTheNext) {
  auto canceled = curfew::testing::start(io, wait(background()), signal.slot());
  poll(io);
  auto next = start(background());
  signal.emit(asio::cancellation_type::terminal);  // which co_spawn posts to the coroutine
  poll(io);
  changed.notify_one();
  poll(io);
  EXPECT_EQ(told(canceled), "wait: canceled");
  EXPECT_EQ(told(next), "no error");
}

TEST_F(AsyncCondition, ServesCoroutinesAndThreadsInTheOrderOfTheirComing) {
  std::vector<std::string> order;
  auto coroutine = [&](std::string name) -> asio::awaitable<void> {
    lock_of lock(m);
    if (co_await curfew::async_wait(background(), changed, lock)) order.push_back(std::move(name));
  };
  spawn(io, coroutine("first"));
  poll(io);
  std::jthread thread([&] {
    lock_of lock(m);
    if (changed.wait(background(), lock)) order.emplace_back("thread");
  });
  await([&] { return waiting_at(changed) == 2; });
  spawn(io, coroutine("last"));
  poll(io);

  changed.notify_one();
  poll(io);
  EXPECT_EQ(order, (std::vector<std::string>{"first"}));
  changed.notify_one();
  thread.join();
  poll(io);
  EXPECT_EQ(order, (std::vector<std::string>{"first", "thread"}));
  changed.notify_one();
  poll(io);
  EXPECT_EQ(order, (std::vector<std::string>{"first", "thread", "last"}));
}

TEST_F(AsyncCondition, GoesWithItsIoContextAndHoldsNoLock) {
  auto scope = curfew::with_cancel(background());
  const auto guarded = std::make_shared<int>(0);
  auto next = start(background());
  {
    asio::io_context gone;
    auto waits = [&](std::shared_ptr<int> kept) -> asio::awaitable<void> {
      lock_of lock(m);
      static_cast<void>(co_await curfew::async_wait(scope, changed, lock));
      *kept = 1;
    };
    spawn(gone, waits(guarded));
    poll(gone);
    EXPECT_EQ(waiting_at(changed), 2U);
  }
  EXPECT_EQ(guarded.use_count(), 1) << "the coroutine outlives its io_context";
  EXPECT_EQ(*guarded, 0);
  EXPECT_EQ(waiting_at(changed), 1U);
  EXPECT_TRUE(is_free(m));
  scope.cancel();
  changed.notify_one();
  poll(io);
  EXPECT_EQ(told(next), "no error");
}

TEST_F(AsyncCondition, ANotificationThatReachesNobodyGoesToTheNext) {
  std::optional<asio::io_context> gone(std::in_place);
  auto never = start(background(), *gone);
  auto next = start(background());
  changed.notify_one();  // the io_context that has to be told is not run any more
  poll(io);
  EXPECT_FALSE(over(next));
  gone.reset();
  poll(io);
  EXPECT_EQ(told(next), "no error");
  EXPECT_THROW(static_cast<void>(never.get()), std::future_error);
  EXPECT_TRUE(is_free(m));
}

TEST_F(AsyncCondition, HoldsNoLockIfItsIoContextGoesWhileItWaitsForTheLock) {
  std::optional<asio::io_context> gone(std::in_place);
  auto never = start(background(), *gone);
  m.lock();
  changed.notify_one();
  poll(*gone);
  EXPECT_EQ(waiting_at(m.locking()), 1U);
  gone.reset();
  EXPECT_EQ(waiting_at(m.locking()), nobody);
  m.unlock();
  EXPECT_TRUE(is_free(m));
}

TEST_F(AsyncCondition, HoldsNoLockIfItIsGivenOneThatReachesNobody) {
  std::optional<asio::io_context> gone(std::in_place);
  auto never = start(background(), *gone);
  m.lock();
  changed.notify_one();
  poll(*gone);
  m.unlock();  // now it is the coroutine's, which is never resumed
  EXPECT_FALSE(m.try_lock());
  gone.reset();
  EXPECT_TRUE(is_free(m));
}

TEST(AsyncConditionOfAnIoContext, MayBeNotifiedInAnotherThreadWhileThatGoes) {
  for (unsigned round = 0; round != 500; ++round) {
    condition c;
    curfew::mutex m;
    auto io = std::make_unique<asio::io_context>();
    auto wait = [&]() -> asio::awaitable<void> {
      lock_of lock(m);
      std::ignore = co_await curfew::async_wait(background(), c, lock);
    };
    spawn(*io, wait());
    poll(*io);
    std::atomic<unsigned> there = 0;
    const auto meet = [&] {
      ++there;
      while (there != 2) {
      }
    };
    std::jthread other([&] {
      meet();
      c.notify_one();
    });
    meet();
    for (unsigned i = 0; i != round % 100; ++i) std::ignore = there.load();
    io.reset();
  }
}

TEST_F(AsyncCondition, CarriesItemsBetweenThreadsAndCoroutinesOfAThreadPool) {
  constexpr int each = 200;
  asio::thread_pool pool(4);
  std::deque<int> items;
  std::atomic<int> sum{0};
  auto consume = [&]() -> asio::awaitable<void> {
    auto some = [&] { return !items.empty(); };
    for (int i = 0; i != each; ++i) {
      auto lock = co_await curfew::async_lock(background(), m);
      auto got = co_await curfew::async_wait(background(), changed, *lock, some);
      if (!got) co_return;
      sum += items.front();
      items.pop_front();
    }
  };
  for (int i = 0; i != 4; ++i) spawn(pool, consume());
  const auto produce = [&] {
    for (int i = 0; i != 2 * each; ++i) {
      {
        const std::lock_guard guard(m);
        items.push_back(1);
      }
      changed.notify_one();
    }
  };
  std::jthread one(produce);
  std::jthread other(produce);
  pool.join();
  EXPECT_EQ(sum, 4 * each);
}

TEST_F(AsyncCondition, CallsAHandlerOnItsExecutorAndNeverInsideTheInitiatingCall) {
  lock_of lock(m);
  std::thread::id in;
  std::optional<result<>> got;
  auto handler = [&](result<> notified) {
    in = std::this_thread::get_id();
    got = std::move(notified);
  };
  auto scope = curfew::with_cancel(background());
  curfew::async_wait(scope, changed, lock, asio::bind_executor(io, handler));
  EXPECT_FALSE(lock.owns_lock());
  std::jthread other([&] { changed.notify_one(); });
  other.join();
  EXPECT_FALSE(got) << "inside notify_one()";
  io.run();
  EXPECT_EQ(in, std::this_thread::get_id());
  EXPECT_TRUE(got.value());
  EXPECT_TRUE(lock.owns_lock());

  scope.cancel("gone home");
  got.reset();
  curfew::async_wait(scope, changed, lock, asio::bind_executor(io, handler));
  EXPECT_FALSE(got) << "inside the initiating call";
  poll(io);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->error().message(), "wait: canceled (cause: gone home)");
}

TEST_F(AsyncCondition, CompletesAFuture) {
  lock_of lock(m);
  auto waits = curfew::async_wait(background(), changed, lock, asio::use_future);
  changed.notify_all();
  EXPECT_TRUE(waits.get());
  EXPECT_TRUE(lock.owns_lock());
}

class AsyncConditionDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(AsyncConditionDeathTest, TerminatesWhenItWaitsWithoutTheLock) {
  EXPECT_DEATH(
      {
        curfew::mutex m;
        condition changed;
        lock_of lock(m, std::defer_lock);
        curfew::async_wait(background(), changed, lock, asio::detached);
      },
      "curfew: broken contract: condition: async_wait\\(\\) without the lock held");
}

}  // namespace
