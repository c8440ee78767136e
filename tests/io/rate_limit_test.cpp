// Waits for tokens of a rate limit.

#include "io/coroutines.hpp"
#include "sync/waiting.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/io/rate_limit.hpp>
#include <curfew/sync.hpp>
#include <curfew/testing.hpp>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
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
using curfew::rate;
using curfew::rate_limit;
using curfew::detail::rate_access;

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
    auto waits = curfew::testing::start(on, acquire(its, n));
    poll(on);
    return waits;
  }
  /// With the signal's slot, on an executor of the io_context.
  std::future<result<>> start_with_slot(std::uint32_t n = 1) {
    auto waits = curfew::testing::start(io, acquire(ctx, n), signal.slot());
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
  spawn(*gone, waits(guarded));
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
  for (int i = 0; i != 5; ++i) spawn(pool, take());
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

}  // namespace
