#include <curfew/io/testing.hpp>

#include "race.hpp"

#include <array>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/write.hpp>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/sync.hpp>
#include <curfew/testing.hpp>
#include <gtest/gtest.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::context;
using curfew::errc;
using curfew::result;
using curfew::task_group;
using curfew::testing::manual_clock;

template <class T>
using coroutine = asio::awaitable<T>;

/// Work that takes real time and no wait.
void work() {
  for (int i = 0; i != 3; ++i) std::this_thread::yield();
}

struct TestingRun : ::testing::Test {
  manual_clock clock;
  const context& ctx = clock.background();

  template <class T>
  T run(coroutine<T> what) {
    return curfew::testing::run(clock, std::move(what));
  }
  [[nodiscard]] curfew::clock::duration now() const { return clock.now().time_since_epoch(); }
};

TEST_F(TestingRun, ReturnsWhatTheCoroutineReturns) {
  const auto seven = []() -> coroutine<int> { co_return 7; };
  EXPECT_EQ(run(seven()), 7);
  const auto owner = []() -> coroutine<std::unique_ptr<int>> { co_return std::make_unique<int>(8); };
  EXPECT_EQ(*run(owner()), 8);
  bool ran = false;
  const auto nothing = [&]() -> coroutine<void> {
    ran = true;
    co_return;
  };
  run(nothing());
  EXPECT_TRUE(ran);
  EXPECT_EQ(now(), 0s);
}

TEST_F(TestingRun, ThrowsWhatTheCoroutineThrows) {
  const auto bad = [](context of) -> coroutine<int> {
    static_cast<void>(co_await curfew::async_sleep_for(of, 1s));
    throw std::runtime_error("bug");
  };
  EXPECT_THROW(run(bad(ctx)), std::runtime_error);
  EXPECT_EQ(now(), 1s);
}

TEST_F(TestingRun, MovesTheTimeToEachDeadlineAndNoFurther) {
  const auto safety = curfew::with_timeout(ctx, 1h);
  std::vector<curfew::clock::duration> times;
  const auto steps = [&](context of) -> coroutine<void> {
    for (int i = 0; i != 3; ++i) {
      static_cast<void>(co_await curfew::async_sleep_for(of, 10s));
      times.push_back(now());
    }
  };
  run(steps(safety));
  EXPECT_EQ(times, (std::vector<curfew::clock::duration>{10s, 20s, 30s}));
  EXPECT_EQ(now(), 30s) << "it went on to a deadline that nothing waits for";
  EXPECT_FALSE(safety.err());
}

TEST_F(TestingRun, ReturnsThoughOtherCoroutinesWait) {
  asio::io_context io;
  int ticks = 0;
  const auto forever = [&](context of) -> coroutine<void> {
    while (co_await curfew::async_sleep_for(of, 1s)) ++ticks;
  };
  asio::co_spawn(io, forever(ctx), asio::detached);
  EXPECT_TRUE(curfew::testing::run(clock, io, curfew::async_sleep_for(ctx, 10s + 1ns)));
  EXPECT_EQ(ticks, 10);
  EXPECT_TRUE(curfew::testing::run(clock, io, curfew::async_sleep_for(ctx, 10s)));
  EXPECT_EQ(ticks, 20);
}

TEST_F(TestingRun, TheTimeStandsStillWhileOffloadedWorkRuns) {
  const auto body = [&](context of) -> coroutine<int> {
    const auto compute = [&](const context&) {
      work();
      EXPECT_EQ(now(), 0s);
      return 42;
    };
    const auto limit = curfew::with_timeout(of, 1ns);
    auto got = co_await curfew::async_offload(limit, compute);
    co_return got.value_or(0);
  };
  EXPECT_EQ(run(body(ctx)), 42);
  EXPECT_EQ(now(), 0s);
}

TEST_F(TestingRun, OffloadedWorkThatWaitsLetsTheTimePass) {
  const auto body = [&](context of) -> coroutine<result<>> {
    const auto sleep = [](const context& its) -> int {
      std::ignore = curfew::sleep_for(its, 1h);
      return 1;
    };
    auto got = co_await curfew::async_offload(of, sleep);
    EXPECT_EQ(got, 1);
    co_return result<>();
  };
  EXPECT_TRUE(run(body(ctx)));
  EXPECT_EQ(now(), 1h);
}

TEST_F(TestingRun, CoroutinesAndThreadsMeetAtAChannel) {
  curfew::channel<int> c;
  int sum = 0;
  const auto reader = [&](context of) -> coroutine<result<>> {
    for (;;) {
      const auto limit = curfew::with_timeout(of, 1s + 1ns);
      auto item = co_await curfew::async_receive(limit, c);
      if (!item) co_return std::unexpected(item.error());
      if (!*item) co_return result<>();
      sum += **item;
    }
  };
  const auto body = [&](task_group& group) -> coroutine<void> {
    curfew::spawn(group, co_await asio::this_coro::executor, reader);
    group.spawn([&](const context& its) -> result<> {
      for (int i = 1; i <= 10; ++i) {
        if (auto slept = curfew::sleep_for(its, 1s); !slept) return slept;
        work();
        if (auto sent = c.send(its, i); !sent) return sent;
      }
      c.close();
      return {};
    });
  };
  const auto joined = run(curfew::async_task_group(ctx, body));
  EXPECT_TRUE(joined) << joined.error();
  EXPECT_EQ(sum, 55);
  EXPECT_EQ(now(), 10s);
}

TEST_F(TestingRun, ABlockingWaitInAHandlerIsOneToo) {
  const auto blocks = [&]() -> coroutine<std::error_code> {
    co_return curfew::with_timeout(ctx, 1h).done().wait();
  };
  EXPECT_EQ(run(blocks()), errc::deadline_exceeded);
  EXPECT_EQ(now(), 1h);
}

TEST_F(TestingRun, AGroupThatIsJoinedInAHandlerIsOneToo) {
  const auto joins = [&]() -> coroutine<result<>> {
    task_group group(ctx);
    for (int i = 1; i <= 3; ++i)
      group.spawn([i](const context& its) { return curfew::sleep_for(its, i * 1s); });
    co_return group.join();
  };
  EXPECT_TRUE(run(joins()));
  EXPECT_EQ(now(), 3s);
}

TEST_F(TestingRun, WorksOnAClockThatJumpsByItself) {
  clock.autojump();
  EXPECT_TRUE(run(curfew::async_sleep_for(ctx, 1h)));
  EXPECT_TRUE(curfew::sleep_for(ctx, 1h));
  EXPECT_EQ(now(), 2h);
}

TEST_F(TestingRun, AThreadOfTheTestIsWaitedFor) {
  curfew::channel<int> c;
  curfew::testing::thread other(clock, [&] {
    work();
    EXPECT_EQ(now(), 0s);
    EXPECT_TRUE(curfew::sleep_for(ctx, 5s));
    EXPECT_TRUE(c.send(ctx, 1));
  });
  const auto limit = curfew::with_timeout(ctx, 5s + 1ns);
  const auto got = run(curfew::async_receive(limit, c));
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, 1);
}

TEST_F(TestingRun, SelectsAndJoinsCountUnderAContextThatCannotEnd) {
  curfew::channel<int> c;
  const auto body = [&](context of) -> coroutine<std::size_t> {
    curfew::case_list cases;
    cases.when(c.receiving(), [] {}).when(curfew::after(of, 2h), [] {});
    auto which = co_await curfew::async_select(cases);
    co_return which.value();
  };
  EXPECT_EQ(run(body(ctx)), 1U);
  EXPECT_EQ(now(), 2h);
}

TEST_F(TestingRun, SocketsBetweenItsCoroutinesTakeNoTime) {
  asio::io_context io;
  asio::local::stream_protocol::socket a(io);
  asio::local::stream_protocol::socket b(io);
  asio::local::connect_pair(a, b);
  std::string got(5, 0);
  const std::string hello = "hello";
  const auto writer = [&](context of) -> coroutine<void> {
    static_cast<void>(co_await curfew::async_sleep_for(of, 1min));
    auto written = co_await asio::async_write(a, asio::buffer(hello), curfew::with(of));
    EXPECT_TRUE(written);
  };
  const auto reader = [&](context of) -> coroutine<result<std::size_t>> {
    const auto limit = curfew::with_timeout(of, 1min + 1ns);
    co_return co_await asio::async_read(b, asio::buffer(got), curfew::with(limit));
  };
  asio::co_spawn(io, writer(ctx), asio::detached);
  EXPECT_EQ(curfew::testing::run(clock, io, reader(ctx)), 5U);
  EXPECT_EQ(got, "hello");
  const auto silent = [&](context of) -> coroutine<result<std::size_t>> {
    const auto limit = curfew::with_timeout(of, 1h);
    co_return co_await asio::async_read(b, asio::buffer(got), curfew::with(limit));
  };
  const auto ended = curfew::testing::run(clock, io, silent(ctx));
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error(), errc::deadline_exceeded);
  EXPECT_EQ(now(), 1h + 1min);
}

TEST_F(TestingRun, WaitsForTheEndOfAContextOnItsClock) {
  const auto wait = [&]() -> coroutine<std::error_code> {
    const auto scope = with_timeout(ctx, 1h);
    co_return co_await curfew::async_wait(scope.done());
  };
  EXPECT_EQ(run(wait()), errc::deadline_exceeded);
  EXPECT_EQ(now(), 1h);
}

TEST_F(TestingRun, TwoAtATimeOnOneClockAreRefused) {
  const auto nested = [&]() -> coroutine<void> {
    EXPECT_THROW(std::ignore = run(curfew::async_sleep_for(ctx, 1s)), std::logic_error);
    co_return;
  };
  run(nested());
}

/// Waits with limits that are reached only if the clock moves while something can still go on.
struct meeting_round {
  manual_clock clock;
  curfew::channel<int> to;
  curfew::channel<int> back;

  void left() {
    const auto body = [this](context of) -> coroutine<void> {
      for (int i = 0; i != 3; ++i) {
        static_cast<void>(co_await curfew::async_sleep_for(of, 1s));
        const auto limit = curfew::with_timeout(of, 1ns);
        auto sent = co_await curfew::async_send(limit, to, i);
        EXPECT_TRUE(sent) << sent.error();
        const auto other = curfew::with_timeout(of, 1ns);
        auto got = co_await curfew::async_receive(other, back);
        EXPECT_TRUE(got) << got.error();
      }
    };
    curfew::testing::thread echo(clock, [this] {
      for (int i = 0; i != 3; ++i) {
        auto got = to.receive(clock.background());
        std::ignore = back.send(clock.background(), got->value());
      }
    });
    curfew::testing::run(clock, body(clock.background()));
  }
  void right() {}
  void check() const { EXPECT_EQ(clock.now(), curfew::clock::time_point(3s)); }
};

TEST(RunRace, NoLimitIsReachedWhileAThreadCanGoOn) {
  curfew::testing::hunt<meeting_round>("a thread sleeps while the loop looks whether its io_context is idle");
}

}  // namespace
