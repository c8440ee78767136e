// The asynchronous waits for a notification, for tokens of a rate limit, for time, for one's turn at a once.
// Long because it is a list: for each of them the outcomes, each way to give up, and each place at which its
// io_context can go. They share the helpers at the top, and what costs most to compile, Boost.Asio's coroutines.

#include "sync/waiting_at.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
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
using curfew::condition;
using curfew::context;
using curfew::errc;
using curfew::once;
using curfew::rate;
using curfew::rate_limit;
using curfew::result;
using curfew::detail::rate_access;
using curfew::testing::await;
using curfew::testing::manual_clock;
using curfew::testing::waiting_at;
using lock_of = std::unique_lock<curfew::mutex>;

constexpr std::size_t nobody = 0;

/// Whether it is there, of what an io_context that has been run as far as it goes should have made.
template <class T>
bool over(const std::future<T>& f) {
  return f.wait_for(0s) == std::future_status::ready;
}

/// "no error", or the error that came of it, in one line.
std::string told(std::future<result<>>& f) {
  if (!over(f)) return "not over";
  const auto got = f.get();
  return got ? "no error" : got.error().message();
}

/// Runs what is ready, though the io_context had nothing to do before.
void poll(asio::io_context& io) {
  io.restart();
  io.poll();
}

/// That nobody holds it.
bool is_free(curfew::mutex& m) {
  if (!m.try_lock()) return false;
  m.unlock();
  return true;
}

// ---- condition

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
    auto waits = asio::co_spawn(on, wait(ctx), asio::use_future);
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
  auto waits = asio::co_spawn(io, until_two, asio::use_future);
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
    const curfew::testing::pending<curfew::detail::acquiring> other(m.locking());
    auto ready = [only = std::make_unique<bool>(true)] { return *only; };
    auto got = co_await curfew::async_wait(scope, changed, lock, std::move(ready));
    held = lock.owns_lock() && !other.happened();
    co_return got;
  };
  auto waits = asio::co_spawn(io, look, asio::use_future);
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
  auto waits = asio::co_spawn(io, look, asio::use_future);
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
    const curfew::testing::pending<curfew::detail::acquiring> other(m.locking());
    auto got = co_await curfew::async_wait(scope, changed, lock);
    given_back = !lock.owns_lock() || other.happened();
    co_return got;
  };
  auto waits = asio::co_spawn(io, look, asio::use_future);
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
  auto slot_too = asio::bind_cancellation_slot(signal.slot(), asio::use_future);
  auto waits = asio::co_spawn(io, wait(scope), slot_too);
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
  auto lucky = asio::co_spawn(io, look, asio::use_future);
  poll(io);
  is_ready = true;  // and nobody is notified
  scope.cancel("user left");
  poll(io);
  EXPECT_EQ(told(lucky), "no error");
  is_ready = false;
  auto unlucky = asio::co_spawn(io, look, asio::use_future);
  poll(io);
  EXPECT_EQ(told(unlucky), "wait: canceled (cause: user left)");
}

TEST_F(AsyncCondition, ObeysAsiosCancellationSlotAndLeavesTheNotificationToTheNext) {
  auto slot_too = asio::bind_cancellation_slot(signal.slot(), asio::use_future);
  auto canceled = asio::co_spawn(io, wait(background()), slot_too);
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
  asio::co_spawn(io, coroutine("first"), asio::detached);
  poll(io);
  std::jthread thread([&] {
    lock_of lock(m);
    if (changed.wait(background(), lock)) order.emplace_back("thread");
  });
  await([&] { return waiting_at(changed) == 2; });
  asio::co_spawn(io, coroutine("last"), asio::detached);
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
    asio::co_spawn(gone, waits(guarded), asio::detached);
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
    asio::co_spawn(*io, wait, asio::detached);
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

TEST(AsyncSleepForWithASignal, DoesNotNeedThatWhenItsIoContextGoes) {
  asio::io_context io;
  std::optional<asio::cancellation_signal> signal(std::in_place);
  auto handler = asio::bind_executor(io, [](const result<>&) { FAIL(); });
  curfew::async_sleep_for(background(), 1h, asio::bind_cancellation_slot(signal->slot(), handler));
  poll(io);
  signal.reset();
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
  for (int i = 0; i != 4; ++i) asio::co_spawn(pool, consume, asio::detached);
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

// ---- rate limit

struct AsyncRateLimit : ::testing::Test {
  manual_clock clock;
  const context& ctx = clock.background();
  asio::cancellation_signal signal;
  rate_limit limit{rate(1, 1s), 3};
  asio::io_context io;

  asio::awaitable<result<>> acquire(context its, std::uint32_t n) {
    co_return co_await curfew::async_acquire(its, limit, n);
  }

  std::future<result<>> start(const context& its, std::uint32_t n = 1) { return start(its, n, io); }
  std::future<result<>> start(const context& its, std::uint32_t n, asio::io_context& on) {
    auto waits = asio::co_spawn(on, acquire(its, n), asio::use_future);
    poll(on);
    return waits;
  }
  /// With the signal's slot, on an executor of the io_context.
  std::future<result<>> start_with_slot(std::uint32_t n = 1) {
    auto slot_too = asio::bind_cancellation_slot(signal.slot(), asio::use_future);
    auto waits = asio::co_spawn(io, acquire(ctx, n), slot_too);
    poll(io);
    return waits;
  }

  void empty_it() { ASSERT_TRUE(limit.try_acquire(ctx, 3)); }
  void pass(curfew::clock::duration d) {
    clock.advance(d);
    poll(io);
  }
};

TEST_F(AsyncRateLimit, TakesTokensThatAreThereAtOnce) {
  auto got = start(ctx, 2);
  EXPECT_EQ(told(got), "no error");
  EXPECT_FALSE(limit.try_acquire(ctx, 2));
  EXPECT_TRUE(limit.try_acquire(ctx, 1));
}

TEST_F(AsyncRateLimit, WaitsUntilTheyCome) {
  empty_it();
  auto got = start(ctx, 2);
  pass(2s - 1ns);
  EXPECT_FALSE(over(got));
  EXPECT_FALSE(limit.try_acquire(ctx)) << "it overtook who waits";
  pass(1ns);
  EXPECT_EQ(told(got), "no error");
  EXPECT_FALSE(limit.try_acquire(ctx));
  EXPECT_EQ(rate_access::asked_for(limit), 0U);
}

TEST_F(AsyncRateLimit, NoneAreAlwaysThereAndMoreThanItsBurstNever) {
  empty_it();
  auto none = start(ctx, 0);
  EXPECT_EQ(told(none), "no error");
  auto got = start(ctx, 4);
  ASSERT_TRUE(over(got));
  const auto refused = got.get();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), std::errc::invalid_argument);
  EXPECT_EQ(refused.error().doing(), "rate limit: 4 tokens of at most 3");
}

TEST_F(AsyncRateLimit, AnEndedContextTakesNothing) {
  auto scope = curfew::with_cancel(ctx);
  scope.cancel("user left");
  auto got = start(scope);
  EXPECT_EQ(told(got), "waiting for the rate limit: canceled (cause: user left)");
  EXPECT_TRUE(limit.try_acquire(ctx, 3));
}

TEST_F(AsyncRateLimit, FailsAtOnceIfTheTokensComeAtTheDeadlineAndNotIfJustBefore) {
  empty_it();
  const auto same = curfew::with_timeout(ctx, 1s);
  const auto later = curfew::with_timeout(ctx, 1s + 1ns);
  auto too_late = start(same);
  auto in_time = start(later);
  EXPECT_EQ(told(too_late), "rate limit: the tokens do not come before the deadline: deadline exceeded");
  EXPECT_FALSE(same.err());
  const auto second = curfew::with_timeout(ctx, 2s);
  auto behind = start(second);
  ASSERT_TRUE(over(behind)) << "who is before it was not counted";
  EXPECT_EQ(behind.get().error(), errc::deadline_exceeded);
  pass(1s);
  EXPECT_EQ(told(in_time), "no error");
}

TEST_F(AsyncRateLimit, ThoseBehindTheFirstMoveUpWhenItIsCanceled) {
  empty_it();
  auto scope = curfew::with_cancel(ctx);
  auto big = start(scope, 3);
  auto small = start(ctx, 2);
  auto last = start(ctx, 1);
  pass(2s);
  EXPECT_FALSE(over(small)) << "it overtook the first";
  scope.cancel("user left");
  poll(io);
  EXPECT_EQ(told(big), "waiting for the rate limit: canceled (cause: user left)");
  EXPECT_EQ(told(small), "no error");
  EXPECT_FALSE(over(last));
  pass(1s);
  EXPECT_EQ(told(last), "no error");
}

TEST_F(AsyncRateLimit, ThoseBehindAnotherMoveUpWhenItIsCanceled) {
  empty_it();
  auto scope = curfew::with_timeout(ctx, 1h);
  auto first = start(ctx);
  auto canceled = start(scope, 3);
  auto last = start(ctx);
  scope.cancel("user left");
  poll(io);
  EXPECT_EQ(told(canceled), "waiting for the rate limit: canceled (cause: user left)");
  EXPECT_EQ(rate_access::asked_for(limit), 2U);
  pass(1s);
  EXPECT_EQ(told(first), "no error");
  EXPECT_FALSE(over(last));
  pass(1s);
  EXPECT_EQ(told(last), "no error");
}

TEST_F(AsyncRateLimit, ObeysAsiosCancellationSlotAsTheFirst) {
  empty_it();
  auto canceled = start_with_slot(3);
  auto next = start(ctx);
  pass(1s);
  signal.emit(asio::cancellation_type::terminal);
  poll(io);
  EXPECT_EQ(told(canceled), "waiting for the rate limit: canceled");
  EXPECT_EQ(told(next), "no error");
}

TEST_F(AsyncRateLimit, ObeysAsiosCancellationSlotBehindTheFirst) {
  empty_it();
  auto first = start(ctx);
  auto canceled = start_with_slot(3);
  auto last = start(ctx);
  signal.emit(asio::cancellation_type::terminal);
  poll(io);
  EXPECT_EQ(told(canceled), "waiting for the rate limit: canceled");
  pass(1s);
  pass(1s);
  EXPECT_EQ(told(first), "no error");
  EXPECT_EQ(told(last), "no error");
}

TEST_F(AsyncRateLimit, ObeysAsiosCancellationSlotAsItBecomesTheFirst) {
  empty_it();
  auto emit = [&](const result<>& got) {
    EXPECT_TRUE(got);
    // The next one is the first by now, and has not been resumed yet.
    signal.emit(asio::cancellation_type::total);
  };
  curfew::async_acquire(ctx, limit, 1, asio::bind_executor(io, emit));
  std::optional<result<>> got;
  auto handler = [&](result<> outcome) { got = std::move(outcome); };
  curfew::async_acquire(ctx, limit, 1,
                        asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, handler)));
  pass(1s);
  EXPECT_TRUE(got) << "the cancellation was lost";
  pass(1s);
  ASSERT_TRUE(got);
  ASSERT_FALSE(*got);
  EXPECT_EQ(got->error(), errc::canceled);
  EXPECT_TRUE(limit.try_acquire(ctx)) << "what is canceled takes nothing";
}

TEST_F(AsyncRateLimit, ServesCoroutinesAndThreadsInTheOrderOfTheirComing) {
  empty_it();
  auto first = start(ctx);
  result<> got = std::unexpected(curfew::error(errc::canceled));
  std::jthread thread([&] { got = limit.acquire(ctx); });
  await([&] { return rate_access::asked_for(limit) == 2; });
  auto last = start(ctx);
  EXPECT_EQ(rate_access::asked_for(limit), 3U);
  pass(1s);
  EXPECT_EQ(told(first), "no error");
  EXPECT_FALSE(over(last));
  clock.advance(1s);
  thread.join();
  EXPECT_TRUE(got);
  poll(io);
  EXPECT_FALSE(over(last));
  pass(1s);
  EXPECT_EQ(told(last), "no error");
}

TEST_F(AsyncRateLimit, CountsTokensFromTheirTimeThoughItsExecutorIsLate) {
  empty_it();
  std::vector<std::future<result<>>> all;
  all.reserve(3);
  for (int i = 0; i != 3; ++i) all.push_back(start(ctx));
  pass(3s + 500ms);
  for (auto& each : all) EXPECT_EQ(told(each), "no error");
  EXPECT_FALSE(limit.try_acquire(ctx));
  pass(500ms);
  EXPECT_TRUE(limit.try_acquire(ctx));
}

TEST_F(AsyncRateLimit, TheNextOneMovesUpWhenTheFirstGoesWithItsIoContext) {
  empty_it();
  std::optional<asio::io_context> gone(std::in_place);
  const auto guarded = std::make_shared<int>(0);
  auto waits = [&](std::shared_ptr<int> kept) -> asio::awaitable<void> {
    const result<> got = co_await curfew::async_acquire(ctx, limit, 3);
    *kept = got ? 1 : 2;
  };
  asio::co_spawn(*gone, waits(guarded), asio::detached);
  poll(*gone);
  auto next = start(ctx);
  pass(1s);
  EXPECT_FALSE(over(next));
  gone.reset();
  EXPECT_EQ(guarded.use_count(), 1) << "the coroutine outlives its io_context";
  EXPECT_EQ(*guarded, 0);
  poll(io);
  EXPECT_EQ(told(next), "no error");
  EXPECT_EQ(rate_access::asked_for(limit), 0U);
}

TEST_F(AsyncRateLimit, TheNextOneMovesUpWhenOneGoesThatIsAboutToBeTheFirst) {
  empty_it();
  std::optional<asio::io_context> gone(std::in_place);
  auto first = start(ctx);
  auto never = start(ctx, 3, *gone);
  auto next = start(ctx);
  pass(1s);  // the second is the first now, and is not told
  EXPECT_EQ(told(first), "no error");
  pass(1s);
  EXPECT_FALSE(over(next));
  gone.reset();
  poll(io);
  EXPECT_EQ(told(next), "no error");
  EXPECT_EQ(rate_access::asked_for(limit), 0U);
}

TEST_F(AsyncRateLimit, TheNextOneMovesUpWhenOneGoesThatWaitsBehindTheFirst) {
  empty_it();
  std::optional<asio::io_context> gone(std::in_place);
  auto first = start(ctx);
  auto never = start(ctx, 3, *gone);
  auto next = start(ctx);
  gone.reset();
  EXPECT_EQ(rate_access::asked_for(limit), 2U);
  pass(1s);
  pass(1s);
  EXPECT_EQ(told(next), "no error");
}

TEST_F(AsyncRateLimit, KeepsItsRateForTheCoroutinesOfAThreadPool) {
  rate_limit fast(rate(10'000, 1s), 1);
  asio::thread_pool pool(4);
  std::atomic<int> taken{0};
  auto take = [&]() -> asio::awaitable<void> {
    for (int i = 0; i != 20; ++i) {
      if (co_await curfew::async_acquire(background(), fast)) ++taken;
    }
  };
  const auto began = curfew::clock::now();
  for (int i = 0; i != 5; ++i) asio::co_spawn(pool, take, asio::detached);
  pool.join();
  EXPECT_EQ(taken, 100);
  EXPECT_GE(curfew::clock::now() - began, 99 * 100us);
  EXPECT_EQ(rate_access::asked_for(fast), 0U);
}

TEST_F(AsyncRateLimit, CallsAHandlerOnItsExecutorAndNeverInsideTheInitiatingCall) {
  std::optional<result<>> got;
  auto handler = [&](result<> outcome) { got = std::move(outcome); };
  curfew::async_acquire(ctx, limit, 3, asio::bind_executor(io, handler));
  EXPECT_FALSE(got);
  poll(io);
  EXPECT_TRUE(got.value());
  got.reset();
  curfew::async_acquire(ctx, limit, 4, asio::bind_executor(io, handler));
  EXPECT_FALSE(got);
  poll(io);
  ASSERT_TRUE(got);
  EXPECT_FALSE(*got);
}

TEST_F(AsyncRateLimit, CompletesAFuture) {
  empty_it();
  auto waits = curfew::async_acquire(ctx, limit, 1, asio::use_future);
  clock.advance(1s);
  EXPECT_TRUE(waits.get());
}

// ---- time

struct AsyncTime : ::testing::Test {
  manual_clock clock;
  const context& ctx = clock.background();
  asio::cancellation_signal signal;
  asio::io_context io;

  std::future<result<>> sleep(const context& its, curfew::clock::duration since_epoch) {
    const curfew::clock::time_point t(since_epoch);
    auto token = asio::bind_executor(io, asio::use_future);
    return curfew::async_sleep_until(its, t, token);
  }
  std::future<result<>> next(const context& its, curfew::ticker& of) {
    auto token = asio::bind_executor(io, asio::use_future);
    return curfew::async_next(its, of, token);
  }
  void pass(curfew::clock::duration d) {
    clock.advance(d);
    poll(io);
  }
};

using AsyncSleepUntil = AsyncTime;

TEST_F(AsyncSleepUntil, SleepsUntilThenAndNotUntilWhatHasPassed) {
  clock.advance(1h);
  auto past = sleep(ctx, 30min);
  EXPECT_FALSE(over(past)) << "inside the initiating call";
  auto now = sleep(ctx, 1h);
  auto later = sleep(ctx, 2h);
  poll(io);
  EXPECT_EQ(told(past), "no error");
  EXPECT_EQ(told(now), "no error");
  pass(1h - 1ns);
  EXPECT_FALSE(over(later));
  pass(1ns);
  EXPECT_EQ(told(later), "no error");
}

TEST_F(AsyncSleepUntil, IsEndedByItsContextWithItsCause) {
  auto scope = curfew::with_cancel(ctx);
  auto sleeps = sleep(scope, 1h);
  scope.cancel("user left");
  poll(io);
  EXPECT_EQ(told(sleeps), "sleeping: canceled (cause: user left)");
  auto past = sleep(scope, 0h);
  poll(io);
  EXPECT_EQ(told(past), "sleeping: canceled (cause: user left)");
}

TEST_F(AsyncSleepUntil, ADeadlineAtTheSameMomentIsADeadline) {
  const auto before = curfew::with_timeout(ctx, 1h, curfew::cause("report budget"));
  auto one = sleep(before, 1h);
  auto other = sleep(ctx, 1h);  // whose wait has the same end
  const auto after = curfew::with_timeout(ctx, 1h, curfew::cause("report budget"));
  auto late = sleep(after, 1h);
  pass(1h);
  EXPECT_EQ(told(one), "sleeping: deadline exceeded (cause: report budget)");
  EXPECT_EQ(told(other), "no error");
  EXPECT_EQ(told(late), "sleeping: deadline exceeded (cause: report budget)");
}

TEST_F(AsyncSleepUntil, ObeysAsiosCancellationSlotAndGoesWithItsIoContext) {
  auto slot_too = asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, asio::use_future));
  auto canceled = curfew::async_sleep_until(ctx, curfew::clock::time_point(1h), slot_too);
  signal.emit(asio::cancellation_type::total);
  poll(io);
  EXPECT_EQ(told(canceled), "sleeping: canceled");

  const auto guarded = std::make_shared<int>(0);
  {
    asio::io_context gone;
    auto waits = [&](std::shared_ptr<int> kept) -> asio::awaitable<void> {
      const result<> slept = co_await curfew::async_sleep_until(ctx, curfew::clock::time_point(1h));
      *kept = slept ? 1 : 2;
    };
    asio::co_spawn(gone, waits(guarded), asio::detached);
    poll(gone);
  }
  EXPECT_EQ(guarded.use_count(), 1);
  clock.advance(1h);
  EXPECT_EQ(*guarded, 0);
}

TEST_F(AsyncSleepUntil, CompletesAFuture) {
  auto sleeps = curfew::async_sleep_until(ctx, curfew::clock::time_point(1h), asio::use_future);
  clock.advance(1h);
  EXPECT_TRUE(sleeps.get());
}

using AsyncNext = AsyncTime;

TEST_F(AsyncNext, TicksAtFixedPointsInTimeAndDropsWhatWasMissed) {
  curfew::ticker every(ctx, 10s);
  auto first = next(ctx, every);
  pass(10s - 1ns);
  EXPECT_FALSE(over(first));
  pass(1ns);
  EXPECT_EQ(told(first), "no error");
  clock.advance(25s);  // 20 s and 30 s are missed
  auto missed = next(ctx, every);
  EXPECT_FALSE(over(missed)) << "inside the initiating call";
  poll(io);
  EXPECT_EQ(told(missed), "no error");
  auto third = next(ctx, every);
  pass(5s - 1ns);
  EXPECT_FALSE(over(third));
  pass(1ns);
  EXPECT_EQ(told(third), "no error");
}

TEST_F(AsyncNext, TakesNoTickWhereItsContextHasEnded) {
  curfew::ticker every(ctx, 10s);
  auto scope = curfew::with_cancel(ctx);
  scope.cancel("user left");
  clock.advance(10s);
  auto ended = next(scope, every);
  poll(io);
  EXPECT_EQ(told(ended), "waiting for a tick: canceled (cause: user left)");
  auto kept = next(ctx, every);
  poll(io);
  EXPECT_EQ(told(kept), "no error");
}

TEST_F(AsyncNext, TakesNoTickWhenItIsCanceled) {
  curfew::ticker every(ctx, 10s);
  auto scope = curfew::with_cancel(ctx);
  auto by_context = next(scope, every);
  scope.cancel("user left");
  poll(io);
  EXPECT_EQ(told(by_context), "waiting for a tick: canceled (cause: user left)");
  auto slot_too = asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, asio::use_future));
  auto by_slot = curfew::async_next(ctx, every, slot_too);
  signal.emit(asio::cancellation_type::total);
  poll(io);
  EXPECT_EQ(told(by_slot), "waiting for a tick: canceled");
  {
    asio::io_context gone;
    auto wait = [&]() -> asio::awaitable<void> {
      static_cast<void>(co_await curfew::async_next(ctx, every));
      ADD_FAILURE() << "it is never resumed";
    };
    asio::co_spawn(gone, wait, asio::detached);
    poll(gone);
  }
  auto own = next(ctx, every);
  pass(10s);
  EXPECT_EQ(told(own), "no error");
}

TEST_F(AsyncNext, ADeadlineAtTheSameMomentIsADeadlineAndTakesNoTick) {
  curfew::ticker every(ctx, 10s);
  const auto scope = curfew::with_timeout(ctx, 10s);
  auto ended = next(scope, every);
  pass(10s);
  EXPECT_EQ(told(ended), "waiting for a tick: deadline exceeded");
  auto kept = next(ctx, every);
  poll(io);
  EXPECT_EQ(told(kept), "no error");
}

// ---- once

/// Succeeds, fails or throws when it is told to, and counts how often it was called.
struct connector {
  curfew::channel<std::error_code> verdict{1};
  int calls = 0;
  std::vector<context> given = {};

  asio::awaitable<result<>> operator()(context ctx) {
    ++calls;
    given.push_back(ctx);
    auto got = co_await curfew::async_receive(ctx, verdict);
    if (!got) co_return std::unexpected(got.error());
    if (!*got) throw std::runtime_error("closed");
    if (**got) co_return std::unexpected(curfew::error(**got, "connecting"));
    co_return result<>();
  }
};

struct AsyncOnce : ::testing::Test {
  asio::cancellation_signal signal;
  once done;
  connector connect;
  std::optional<asio::io_context> gone{std::in_place};
  asio::io_context io;

  asio::awaitable<result<>> call(context ctx) {
    auto f = [this](context its) { return connect(std::move(its)); };
    co_return co_await curfew::async_call(ctx, done, f);
  }

  std::future<result<>> start(const context& ctx) { return start(ctx, io); }
  std::future<result<>> start(const context& ctx, asio::io_context& on) {
    auto calls = asio::co_spawn(on, call(ctx), asio::use_future);
    poll(on);
    return calls;
  }
  void decide(std::error_code how) {
    ASSERT_TRUE(connect.verdict.try_send(how));
    poll(io);
  }
  std::size_t waiters() { return waiting_at(curfew::detail::once_access::turns(done)); }
};

std::error_code refused(std::errc code) { return std::make_error_code(code); }

TEST_F(AsyncOnce, IsDoneByTheFirstWhileTheOthersWait) {
  auto first = start(background());
  auto second = start(background());
  auto third = start(background());
  EXPECT_EQ(connect.calls, 1);
  EXPECT_EQ(waiters(), 2U);
  EXPECT_FALSE(done.succeeded());
  decide({});
  EXPECT_EQ(told(first), "no error");
  EXPECT_EQ(told(second), "no error");
  EXPECT_EQ(told(third), "no error");
  EXPECT_EQ(connect.calls, 1);
  EXPECT_TRUE(done.succeeded());
}

TEST_F(AsyncOnce, AfterItsSuccessNothingIsRunWhateverTheContext) {
  EXPECT_TRUE(done.call(background(), [](const context&) {}));
  auto scope = curfew::with_cancel(background());
  scope.cancel();
  auto late = start(scope);
  EXPECT_EQ(told(late), "no error");
  EXPECT_EQ(connect.calls, 0);
}

TEST_F(AsyncOnce, TakesCoroutinesThatReturnAResultACodeOrNothing) {
  auto nothing = [only = std::make_unique<int>(1)](context /*ctx*/) mutable -> asio::awaitable<void> {
    only.reset();
    co_return;
  };
  auto code = [](context /*ctx*/) -> asio::awaitable<std::error_code> { co_return std::error_code(); };
  auto bad_code = [](context /*ctx*/) -> asio::awaitable<std::error_code> {
    co_return std::make_error_code(std::errc::io_error);
  };
  once one;
  once other;
  auto a = asio::co_spawn(io, curfew::async_call(background(), one, std::move(nothing)), asio::use_future);
  auto b = asio::co_spawn(io, curfew::async_call(background(), other, bad_code), asio::use_future);
  poll(io);
  EXPECT_EQ(told(a), "no error");
  ASSERT_TRUE(over(b));
  EXPECT_EQ(b.get().error(), std::errc::io_error);
  EXPECT_FALSE(other.succeeded());
  auto c = asio::co_spawn(io, curfew::async_call(background(), other, code), asio::use_future);
  poll(io);
  EXPECT_EQ(told(c), "no error");
}

TEST_F(AsyncOnce, TheNextTriesWithItsOwnContextWhenOneFails) {
  const auto mine = curfew::with_cancel(background());
  const auto other = curfew::with_cancel(background());
  auto first = start(mine);
  auto second = start(other);
  auto third = start(background());
  decide(refused(std::errc::connection_refused));
  ASSERT_TRUE(over(first));
  const auto failed = first.get();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().doing(), "connecting");
  EXPECT_FALSE(over(second));
  EXPECT_FALSE(over(third)) << "more than one tries at a time";
  decide({});
  EXPECT_EQ(told(second), "no error");
  EXPECT_EQ(told(third), "no error");
  ASSERT_EQ(connect.given.size(), 2U);
  EXPECT_EQ(connect.given[0], mine.ctx());
  EXPECT_EQ(connect.given[1], other.ctx());
}

TEST_F(AsyncOnce, TheNextTriesWhenOneThrows) {
  auto throws = [](context ctx) -> asio::awaitable<void> {
    static_cast<void>(co_await curfew::async_wait(ctx.done()));
    throw std::runtime_error("no idea");
  };
  auto scope = curfew::with_cancel(background());
  auto first = asio::co_spawn(io, curfew::async_call(scope, done, throws), asio::use_future);
  poll(io);
  auto second = start(background());
  EXPECT_EQ(connect.calls, 0);
  scope.cancel();
  poll(io);
  ASSERT_TRUE(over(first));
  EXPECT_THROW(static_cast<void>(first.get()), std::runtime_error);
  EXPECT_EQ(connect.calls, 1);
  decide({});
  EXPECT_EQ(told(second), "no error");
}

TEST_F(AsyncOnce, RunsNothingForAContextThatEndsBeforeItsTurn) {
  auto scope = curfew::with_cancel(background());
  auto first = start(background());
  auto waits = start(scope);
  scope.cancel("user left");
  poll(io);
  EXPECT_EQ(told(waits), "once: canceled (cause: user left)");
  auto late = start(scope);
  EXPECT_EQ(told(late), "once: canceled (cause: user left)");
  EXPECT_EQ(waiters(), nobody);
  EXPECT_EQ(connect.calls, 1);
  decide({});
  EXPECT_EQ(told(first), "no error");
}

TEST_F(AsyncOnce, ObeysAsiosCancellationSlotWhileItWaitsForItsTurn) {
  auto first = start(background());
  auto slot_too = asio::bind_cancellation_slot(signal.slot(), asio::use_future);
  auto canceled = asio::co_spawn(io, call(background()), slot_too);
  poll(io);
  EXPECT_EQ(waiters(), 1U);
  signal.emit(asio::cancellation_type::terminal);
  poll(io);
  ASSERT_TRUE(over(canceled));
  EXPECT_EQ(canceled.get().error(), errc::canceled);
  EXPECT_EQ(waiters(), nobody);
  EXPECT_EQ(connect.calls, 1);
  decide({});
  EXPECT_EQ(told(first), "no error");
}

TEST_F(AsyncOnce, HandsAsiosCancellationOnToItsFunctionAndTheNextTries) {
  auto slot_too = asio::bind_cancellation_slot(signal.slot(), asio::use_future);
  auto canceled = asio::co_spawn(io, call(background()), slot_too);
  poll(io);
  auto next = start(background());
  signal.emit(asio::cancellation_type::terminal);
  poll(io);
  EXPECT_EQ(told(canceled), "receive: canceled");
  EXPECT_EQ(connect.calls, 2);
  decide({});
  EXPECT_EQ(told(next), "no error");
}

TEST_F(AsyncOnce, LetsCoroutinesAndThreadsTryInTheOrderOfTheirComing) {
  std::vector<std::string> order;
  auto first = start(background());
  result<> of_thread;
  std::jthread thread([&] {
    of_thread = done.call(background(), [&](const context&) {
      order.emplace_back("thread");
      return std::make_error_code(std::errc::io_error);
    });
  });
  await([&] { return waiters() == 1; });
  auto succeed = [&](context /*ctx*/) -> asio::awaitable<void> {
    order.emplace_back("coroutine");
    co_return;
  };
  auto last = asio::co_spawn(io, curfew::async_call(background(), done, succeed), asio::use_future);
  poll(io);
  EXPECT_EQ(waiters(), 2U);
  decide(refused(std::errc::connection_refused));
  thread.join();
  poll(io);
  EXPECT_FALSE(of_thread);
  EXPECT_EQ(told(last), "no error");
  EXPECT_EQ(order, (std::vector<std::string>{"thread", "coroutine"}));
  EXPECT_TRUE(done.succeeded());
}

TEST_F(AsyncOnce, TheNextTriesWhenOneGoesWithItsIoContext) {
  auto never = start(background(), *gone);
  auto waits_too = start(background(), *gone);
  auto next = start(background());
  EXPECT_EQ(connect.calls, 1);
  gone.reset();
  EXPECT_THROW(static_cast<void>(never.get()), std::future_error);
  EXPECT_THROW(static_cast<void>(waits_too.get()), std::future_error);
  poll(io);
  EXPECT_EQ(connect.calls, 2);
  decide({});
  EXPECT_EQ(told(next), "no error");
}

TEST_F(AsyncOnce, ATurnThatReachesNobodyGoesToTheNext) {
  auto first = start(background());
  auto never = start(background(), *gone);
  auto next = start(background());
  decide(refused(std::errc::connection_refused));  // now it is the second's turn, which is not told
  ASSERT_TRUE(over(first));
  EXPECT_EQ(connect.calls, 1);
  gone.reset();
  poll(io);
  EXPECT_EQ(connect.calls, 2);
  decide({});
  EXPECT_EQ(told(next), "no error");
}

TEST_F(AsyncOnce, ShowsAllCoroutinesOfAThreadPoolWhatTheOneDid) {
  asio::thread_pool pool(4);
  int plain = 0;
  int tries = 0;  // not atomic: the calls take turns
  std::atomic<int> failed{0};
  auto third_time = [&](context /*ctx*/) -> asio::awaitable<std::error_code> {
    if (++tries != 3) co_return std::make_error_code(std::errc::io_error);
    plain = 42;
    co_return std::error_code();
  };
  auto use = [&]() -> asio::awaitable<void> {
    auto ready = co_await curfew::async_call(background(), done, third_time);
    if (!ready) {
      ++failed;
    } else {
      EXPECT_EQ(plain, 42);
    }
  };
  for (int i = 0; i != 50; ++i) asio::co_spawn(pool, use, asio::detached);
  pool.join();
  EXPECT_EQ(tries, 3);
  EXPECT_EQ(failed, 2);
}

}  // namespace
