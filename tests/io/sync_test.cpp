// The asynchronous twins: channels and selects of coroutines, beside threads, under contexts that end.

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
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/sync.hpp>
#include <curfew/testing.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::channel;
using curfew::context;
using curfew::errc;
using received = curfew::result<std::optional<std::string>>;

asio::awaitable<curfew::result<>> send(context ctx, channel<std::string>& to, std::string item) {
  co_return co_await curfew::async_send(ctx, to, std::move(item));
}

asio::awaitable<received> receive(context ctx, channel<std::string>& from) {
  co_return co_await curfew::async_receive(ctx, from);
}

TEST(AsyncReceive, GetsWhatAThreadSends) {
  asio::io_context io;
  channel<std::string> c;
  auto got = asio::co_spawn(io, receive(curfew::background(), c), asio::use_future);
  std::thread other([&] { EXPECT_TRUE(c.send(curfew::background(), "hello")); });
  io.run();  // the wait is outstanding work
  other.join();
  EXPECT_EQ(got.get().value(), "hello");
}

TEST(AsyncSend, ReachesAThread) {
  asio::io_context io;
  channel<std::string> c;
  auto sent = asio::co_spawn(io, send(curfew::background(), c, "hello"), asio::use_future);
  received got;
  std::thread other([&] { got = c.receive(curfew::background()); });
  io.run();
  other.join();
  EXPECT_TRUE(sent.get());
  EXPECT_EQ(got.value(), "hello");
}

TEST(AsyncReceive, NeverCompletesInsideTheCallThatStartsIt) {
  asio::io_context io;
  channel<std::string> c(1);
  ASSERT_TRUE(c.try_send("there"));
  bool called = false;
  auto handler = [&](const received& got) { called = got.has_value(); };
  curfew::async_receive(curfew::background(), c, asio::bind_executor(io, handler));
  EXPECT_FALSE(called);
  io.run();
  EXPECT_TRUE(called);
}

TEST(AsyncReceive, OfACoroutineThatAlwaysFindsAnItemLetsOthersRun) {
  constexpr std::size_t items = 1'280;
  asio::io_context io;
  channel<std::size_t> c(items);
  for (std::size_t i = 0; i != items; ++i) ASSERT_TRUE(c.try_send(std::size_t{i}));
  c.close();
  bool over = false;
  auto drain = [&]() -> asio::awaitable<void> {
    for (std::size_t i = 0; i != items; ++i) {
      auto got = co_await curfew::async_receive(curfew::background(), c);
      EXPECT_EQ(got.value(), i);
    }
    over = true;
  };
  int turns = 0;
  auto other = [&]() -> asio::awaitable<void> {
    while (!over) {
      ++turns;
      co_await asio::post(io, asio::use_awaitable);
    }
  };
  asio::co_spawn(io, drain, asio::detached);
  asio::co_spawn(io, other, asio::detached);
  io.run();
  EXPECT_GE(turns, 8) << "it kept the thread for itself";
  EXPECT_LE(turns, 40) << "it was posted though it had nothing to wait for";
}

TEST(AsyncReceive, GetsNoneOnceClosedAndDrained) {
  asio::io_context io;
  channel<std::string> c(1);
  ASSERT_TRUE(c.try_send("last"));
  c.close();
  auto first = asio::co_spawn(io, receive(curfew::background(), c), asio::use_future);
  auto second = asio::co_spawn(io, receive(curfew::background(), c), asio::use_future);
  io.run();
  EXPECT_EQ(first.get().value(), "last");
  EXPECT_EQ(second.get().value(), std::nullopt);
}

TEST(AsyncReceive, IsEndedByItsContextAndTakesNothing) {
  asio::io_context io;
  channel<std::string> c;
  auto scope = curfew::with_cancel(curfew::background());
  auto got = asio::co_spawn(io, receive(scope, c), asio::use_future);
  io.poll();
  scope.cancel("gone");
  io.run();
  const auto outcome = got.get();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error(), errc::canceled);
  EXPECT_EQ(outcome.error().message(), "receive: canceled (cause: gone)");
  EXPECT_EQ(c.try_send("nobody is there").error(), errc::would_block);
}

TEST(AsyncReceive, ReportsADeadlineAsADeadline) {
  asio::io_context io;
  curfew::testing::manual_clock clock;
  channel<std::string> c;
  const auto scope = curfew::with_timeout(clock.background(), 1s);
  auto got = asio::co_spawn(io, receive(scope, c), asio::use_future);
  io.poll();
  clock.advance(1s);
  io.run();
  EXPECT_EQ(got.get().error(), errc::deadline_exceeded);
}

TEST(AsyncReceive, DoesNotStartUnderAContextThatHasEnded) {
  asio::io_context io;
  channel<std::string> c(1);
  ASSERT_TRUE(c.try_send("kept"));
  auto scope = curfew::with_cancel(curfew::background());
  scope.cancel();
  auto got = asio::co_spawn(io, receive(scope, c), asio::use_future);
  io.run();
  EXPECT_EQ(got.get().error(), errc::canceled);
  EXPECT_EQ(c.size(), 1U);
}

TEST(AsyncSend, KeepsTheItemOfAVariableUnlessItIsSent) {
  asio::io_context io;
  channel<std::string> c;
  auto scope = curfew::with_cancel(curfew::background());
  std::string item = "precious";
  auto try_it = [&]() -> asio::awaitable<curfew::result<>> {
    co_return co_await curfew::async_send(scope, c, item);
  };
  auto sent = asio::co_spawn(io, try_it, asio::use_future);
  io.poll();
  scope.cancel();
  io.run();
  EXPECT_EQ(sent.get().error(), errc::canceled);
  EXPECT_EQ(item, "precious");
}

TEST(AsyncSend, ToAClosedChannelIsAnError) {
  asio::io_context io;
  channel<std::string> c;
  auto waiting = asio::co_spawn(io, send(curfew::background(), c, "one"), asio::use_future);
  io.poll();
  c.close();
  io.run();
  io.restart();
  auto late = asio::co_spawn(io, send(curfew::background(), c, "two"), asio::use_future);
  io.run();
  EXPECT_EQ(waiting.get().error(), errc::closed);
  EXPECT_EQ(late.get().error(), errc::closed);
}

TEST(AsyncReceive, ObeysAsiosCancellationSlotToo) {
  asio::io_context io;
  channel<std::string> c;
  asio::cancellation_signal signal;
  received got;
  auto handler = [&](received outcome) { got = std::move(outcome); };
  curfew::async_receive(curfew::background(), c,
                        asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, handler)));
  signal.emit(asio::cancellation_type::terminal);
  io.run();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::canceled);
  EXPECT_EQ(c.try_send("nobody is there").error(), errc::would_block);
}

TEST(AsyncReceive, ResumesOnItsOwnExecutor) {
  asio::thread_pool pool(1);
  channel<std::string> c;
  std::thread::id pools;
  std::thread::id resumed;
  auto look = [&]() -> asio::awaitable<void> {
    pools = std::this_thread::get_id();
    auto got = co_await curfew::async_receive(curfew::background(), c);
    EXPECT_TRUE(got);
    resumed = std::this_thread::get_id();
  };
  auto done = asio::co_spawn(pool, look, asio::use_future);
  EXPECT_TRUE(c.send(curfew::background(), "here"));
  done.get();
  EXPECT_EQ(resumed, pools);
  EXPECT_NE(resumed, std::this_thread::get_id());
}

TEST(AsyncReceive, GoesWithItsIoContext) {
  channel<std::string> c;
  auto scope = curfew::with_cancel(curfew::background());
  auto guarded = std::make_shared<int>(0);
  const std::weak_ptr<int> alive = guarded;
  {
    asio::io_context io;
    auto wait = [&c, &scope](std::shared_ptr<int> kept) -> asio::awaitable<void> {
      auto got = co_await curfew::async_receive(scope, c);
      *kept = got ? 1 : 2;
    };
    asio::co_spawn(io, wait(std::move(guarded)), asio::detached);
    io.poll();
    EXPECT_FALSE(alive.expired());
  }
  EXPECT_TRUE(alive.expired()) << "the coroutine outlives its io_context";
  EXPECT_EQ(c.try_send("nobody is there").error(), errc::would_block);
  scope.cancel();
}

TEST(AsyncReceive, ThatHasEndedGoesWithItsIoContextToo) {
  channel<std::string> c;
  auto scope = curfew::with_cancel(curfew::background());
  {
    asio::io_context io;
    asio::co_spawn(io, receive(scope, c), asio::detached);
    io.poll();
    scope.cancel();  // its completion is in the queue of the io_context, which is not run any more
  }
  EXPECT_EQ(c.try_send("nobody is there").error(), errc::would_block);
}

TEST(AsyncWait, GoesWithItsIoContext) {
  auto scope = curfew::with_cancel(curfew::background());
  const auto guarded = std::make_shared<int>(0);
  {
    asio::io_context io;
    auto wait = [&scope](std::shared_ptr<int> kept) -> asio::awaitable<void> {
      auto err = co_await curfew::async_wait(scope.done());
      *kept = err.value();
    };
    asio::co_spawn(io, wait(guarded), asio::detached);
    io.poll();
  }
  EXPECT_EQ(guarded.use_count(), 1);
  scope.cancel();
}

// ---- select ----

TEST(AsyncSelect, LetsOneCaseHappen) {
  asio::io_context io;
  channel<std::string> one;
  channel<std::string> two;
  auto scope = curfew::with_cancel(curfew::background());
  std::string got;
  curfew::case_list cases;
  cases.when(scope.done(), [&] { got = "the end"; })
      .when(one.receiving(), [&](const std::optional<std::string>& item) { got = "one: " + *item; })
      .when(two.receiving(), [&](const std::optional<std::string>& item) { got = "two: " + *item; });
  auto choose = [&]() -> asio::awaitable<curfew::result<std::size_t>> {
    co_return co_await curfew::async_select(cases);
  };
  auto chosen = asio::co_spawn(io, choose, asio::use_future);
  io.poll();
  ASSERT_TRUE(two.try_send("item"));
  io.run();
  EXPECT_EQ(chosen.get().value(), 2U);
  EXPECT_EQ(got, "two: item");
  EXPECT_EQ(one.try_send("nobody is there").error(), errc::would_block);

  io.restart();
  auto again = asio::co_spawn(io, choose, asio::use_future);
  io.poll();
  scope.cancel();
  io.run();
  EXPECT_EQ(again.get().value(), 0U);
  EXPECT_EQ(got, "the end");
}

TEST(AsyncSelect, TakesWhatIsReadyAtOnce) {
  asio::io_context io;
  channel<std::string> c(1);
  ASSERT_TRUE(c.try_send("ready"));
  curfew::case_list cases;
  std::string got;
  cases.when(c.receiving(), [&](const std::optional<std::string>& item) { got = *item; });
  auto choose = [&]() -> asio::awaitable<curfew::result<std::size_t>> {
    co_return co_await curfew::async_select(cases);
  };
  auto chosen = asio::co_spawn(io, choose, asio::use_future);
  io.run();
  EXPECT_EQ(chosen.get().value(), 0U);
  EXPECT_EQ(got, "ready");
}

TEST(AsyncSelect, WaitsForAPointInTime) {
  asio::io_context io;
  curfew::testing::manual_clock clock;
  channel<std::string> c;
  bool late = false;
  curfew::case_list cases;
  cases.when(c.receiving(), [] {}).when(curfew::after(clock.background(), 1s), [&] { late = true; });
  auto choose = [&]() -> asio::awaitable<curfew::result<std::size_t>> {
    co_return co_await curfew::async_select(cases);
  };
  auto chosen = asio::co_spawn(io, choose, asio::use_future);
  io.poll();
  clock.advance(1s);
  io.run();
  EXPECT_EQ(chosen.get().value(), 1U);
  EXPECT_TRUE(late);
}

TEST(AsyncSelect, RethrowsWhatAHandlerThrows) {
  asio::io_context io;
  channel<std::string> c(1);
  ASSERT_TRUE(c.try_send("item"));
  curfew::case_list cases;
  cases.when(c.receiving(), [] { throw std::runtime_error("from the handler"); });
  auto choose = [&]() -> asio::awaitable<curfew::result<std::size_t>> {
    co_return co_await curfew::async_select(cases);
  };
  auto chosen = asio::co_spawn(io, choose, asio::use_future);
  io.run();
  EXPECT_THROW(static_cast<void>(chosen.get()), std::runtime_error);
}

TEST(AsyncSelect, OfNothingIsRefused) {
  curfew::case_list none;
  asio::io_context io;
  EXPECT_THROW(curfew::async_select(none, asio::detached), std::invalid_argument);
}

TEST(AsyncSelect, ObeysAsiosCancellationSlot) {
  asio::io_context io;
  channel<std::string> c;
  asio::cancellation_signal signal;
  curfew::case_list cases;
  bool happened = false;
  cases.when(c.receiving(), [&] { happened = true; });
  std::optional<curfew::result<std::size_t>> got;
  auto handler = [&](const std::exception_ptr& thrown, curfew::result<std::size_t> which) {
    EXPECT_FALSE(thrown);
    got = std::move(which);
  };
  curfew::async_select(cases, asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, handler)));
  signal.emit(asio::cancellation_type::total);
  io.run();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->error(), errc::canceled);
  EXPECT_FALSE(happened);
  EXPECT_EQ(c.try_send("nobody is there").error(), errc::would_block);
}

// ---- locks ----

TEST(AsyncLock, WaitsForItsTurnAndUnlocks) {
  asio::io_context io;
  curfew::mutex m;
  std::vector<int> order;
  m.lock();
  auto use = [&](int who) -> asio::awaitable<void> {
    auto lock = co_await curfew::async_lock(curfew::background(), m);
    EXPECT_TRUE(lock);
    order.push_back(who);
  };
  asio::co_spawn(io, use(1), asio::detached);
  asio::co_spawn(io, use(2), asio::detached);
  io.poll();
  EXPECT_TRUE(order.empty());
  m.unlock();
  io.run();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST(AsyncLock, IsNotHeldWhenItsContextEnds) {
  asio::io_context io;
  curfew::shared_mutex m;
  m.lock();
  auto scope = curfew::with_cancel(curfew::background());
  std::optional<std::error_code> code;
  auto read = [&]() -> asio::awaitable<void> {
    auto lock = co_await curfew::async_lock_shared(scope.ctx(), m);
    if (!lock) code = lock.error().code();
  };
  asio::co_spawn(io, read, asio::detached);
  io.poll();
  scope.cancel();
  io.run();
  EXPECT_EQ(code, errc::canceled);
  m.unlock();
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST(AsyncLock, ThatReachesNobodyIsUnlocked) {
  curfew::mutex m;
  m.lock();
  {
    asio::io_context io;
    auto use = [&]() -> asio::awaitable<void> {
      auto lock = co_await curfew::async_lock(curfew::background(), m);
      ADD_FAILURE() << "the io_context is not run any more";
    };
    asio::co_spawn(io, use, asio::detached);
    io.poll();
    m.unlock();  // now it is the coroutine's, which is never resumed
    EXPECT_FALSE(m.try_lock());
  }
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST(AsyncAcquire, HoldsItsUnits) {
  asio::io_context io;
  curfew::semaphore s(3);
  using permit = curfew::semaphore::permit;
  auto take = [&]() -> asio::awaitable<curfew::result<permit>> {
    co_return co_await curfew::async_acquire(curfew::background(), s, 2);
  };
  auto first = asio::co_spawn(io, take, asio::use_future);
  auto second = asio::co_spawn(io, take, asio::use_future);
  io.poll();
  auto held = first.get();
  ASSERT_TRUE(held);
  EXPECT_EQ(held->units(), 2U);
  EXPECT_EQ(s.available(), 1U);
  held->release();
  io.run();
  {
    const auto next = second.get();
    EXPECT_TRUE(next);
    EXPECT_EQ(s.available(), 1U);
  }
  EXPECT_EQ(s.available(), 3U);
}

TEST(AsyncAcquire, RefusesMoreThanThereIsInAll) {
  asio::io_context io;
  curfew::semaphore s(3);
  auto scope = curfew::with_cancel(curfew::background());
  scope.cancel();
  auto refused = curfew::async_acquire(scope, s, 4, asio::bind_executor(io, asio::use_future));
  io.run();
  EXPECT_EQ(refused.get().error(), std::errc::invalid_argument);
  EXPECT_EQ(s.available(), 3U);
}

TEST(AsyncAcquire, TakesOneUnitWhereNoNumberIsGiven) {
  asio::io_context io;
  curfew::semaphore s(3);
  auto take = [&]() -> asio::awaitable<std::size_t> {
    const auto mine = co_await curfew::async_acquire(curfew::background(), s);
    co_return mine->units();
  };
  auto units = asio::co_spawn(io, take, asio::use_future);
  io.run();
  EXPECT_EQ(units.get(), 1U);
}

TEST(AsyncAcquire, OfAContextThatEndsBeforeTheReleaseGetsNothing) {
  // Hunts the cancel between the entry into the list and the registration with the context.
  asio::thread_pool two(1);
  for (int round = 0; round != 300; ++round) {
    curfew::semaphore s(1);
    auto held = s.try_acquire();
    ASSERT_TRUE(held);
    auto scope = curfew::with_cancel(curfew::background());
    std::atomic<bool> starts{false};
    auto take = [&, ctx = scope.ctx()]() -> asio::awaitable<std::error_code> {
      starts = true;
      auto got = co_await curfew::async_acquire(ctx, s, 1);
      co_return got ? std::error_code() : got.error().code();
    };
    auto code = asio::co_spawn(two, take, asio::use_future);
    while (!starts) std::this_thread::yield();
    for (int pause = 0; pause != round; ++pause) std::atomic_signal_fence(std::memory_order_seq_cst);
    scope.cancel();
    held->release();
    ASSERT_EQ(code.get(), errc::canceled) << round;
    ASSERT_EQ(s.available(), 1U);
  }
}

// ---- many ----

TEST(AsyncWait, WakesThousandsOfCoroutinesAtOneEnd) {
  asio::io_context io;
  auto scope = curfew::with_cancel(curfew::background());
  std::size_t woken = 0;
  auto wait = [&]() -> asio::awaitable<void> {
    auto err = co_await curfew::async_wait(scope.done());
    if (err == errc::canceled) ++woken;
  };
  for (int i = 0; i != 10'000; ++i) asio::co_spawn(io, wait, asio::detached);
  io.poll();
  EXPECT_EQ(woken, 0U);
  scope.cancel();
  io.run();
  EXPECT_EQ(woken, 10'000U);
}

}  // namespace
