// Turns at a once.

#include "io/coroutines.hpp"
#include "sync/waiting_at.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/io/once.hpp>
#include <curfew/io/sync.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/sync.hpp>
#include <curfew/testing.hpp>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
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
using curfew::once;

constexpr std::size_t nobody = 0;

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
    auto calls = curfew::testing::start(on, call(ctx));
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
  auto a = curfew::testing::start(io, curfew::async_call(background(), one, std::move(nothing)));
  auto b = curfew::testing::start(io, curfew::async_call(background(), other, bad_code));
  poll(io);
  EXPECT_EQ(told(a), "no error");
  ASSERT_TRUE(over(b));
  EXPECT_EQ(b.get().error(), std::errc::io_error);
  EXPECT_FALSE(other.succeeded());
  auto c = curfew::testing::start(io, curfew::async_call(background(), other, code));
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
  auto first = curfew::testing::start(io, curfew::async_call(scope, done, throws));
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
  auto canceled = curfew::testing::start(io, call(background()), signal.slot());
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
  auto canceled = curfew::testing::start(io, call(background()), signal.slot());
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
  auto last = curfew::testing::start(io, curfew::async_call(background(), done, succeed));
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
  for (int i = 0; i != 50; ++i) spawn(pool, use());
  pool.join();
  EXPECT_EQ(tries, 3);
  EXPECT_EQ(failed, 2);
}

}  // namespace
