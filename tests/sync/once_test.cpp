#include <curfew/sync/once.hpp>

#include <atomic>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/testing.hpp>
#include <expected>
#include <gtest/gtest.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::manual_clock;

/// The error of what has to have failed.
error error_of(const result<>& got) {
  if (got) throw std::runtime_error("no error");
  return got.error();
}

/// A clock whose time passes when all wait: so what happens at a time of it happens when the others have come as far
/// as they can.
struct jumping_clock : manual_clock {
  jumping_clock() { autojump(); }
};

const auto nothing = [](const context& /*ctx*/) {};

// ---- one caller

TEST(Once, RunsTheFirstFunctionThatSucceedsAndNoFurtherOne) {
  once o;
  int runs = 0;
  EXPECT_FALSE(o.succeeded());
  EXPECT_TRUE(o.call(background(), [&](const context&) { ++runs; }));
  EXPECT_TRUE(o.succeeded());
  EXPECT_TRUE(o.call(background(), [&](const context&) { ++runs; }));
  EXPECT_EQ(runs, 1);
}

TEST(Once, GivesTheFunctionTheContextOfItsCaller) {
  once o;
  const auto scope = with_cancel(background());
  bool same = false;
  EXPECT_TRUE(o.call(scope, [&](const context& ctx) { same = ctx == scope.ctx(); }));
  EXPECT_TRUE(same);
}

TEST(Once, TakesFunctionsThatReturnAResultACodeOrNothing) {
  EXPECT_TRUE(once().call(background(), nothing));
  EXPECT_TRUE(once().call(background(), [](const context&) -> result<> { return {}; }));
  EXPECT_TRUE(once().call(background(), [](const context&) { return std::error_code(); }));
  EXPECT_TRUE(
      once().call(background(), [only = std::make_unique<int>()](const context&) mutable { only.reset(); }));
}

TEST(Once, ReturnsTheErrorOfTheFunctionAndTriesAgain) {
  once o;
  const auto fails = [](const context&) -> result<> {
    return std::unexpected(error(std::make_error_code(std::errc::connection_refused), "connect"));
  };
  EXPECT_EQ(error_of(o.call(background(), fails)).message(), "connect: Connection refused");
  EXPECT_FALSE(o.succeeded());
  const auto has_code = [](const context&) { return std::make_error_code(std::errc::io_error); };
  EXPECT_EQ(error_of(o.call(background(), has_code)).code(), std::errc::io_error);
  EXPECT_FALSE(o.succeeded());
  EXPECT_TRUE(o.call(background(), nothing));
}

TEST(Once, LetsWhatTheFunctionThrowsOutAndTriesAgain) {
  once o;
  const auto throws = [](const context&) { throw std::runtime_error("no idea"); };
  EXPECT_THROW(std::ignore = o.call(background(), throws), std::runtime_error);
  EXPECT_FALSE(o.succeeded());
  EXPECT_TRUE(o.call(background(), nothing));
  EXPECT_TRUE(o.succeeded());
}

TEST(Once, RunsNothingForAContextThatHasEnded) {
  once o;
  auto scope = with_cancel(background());
  scope.cancel("gone home");
  bool ran = false;
  EXPECT_EQ(error_of(o.call(scope, [&](const context&) { ran = true; })).message(),
            "once: canceled (cause: gone home)");
  EXPECT_FALSE(ran);
  EXPECT_FALSE(o.succeeded());
}

TEST(Once, ReportsASuccessToAContextThatHasEnded) {
  once o;
  ASSERT_TRUE(o.call(background(), nothing));
  auto scope = with_cancel(background());
  scope.cancel();
  EXPECT_TRUE(o.call(scope, nothing));
}

TEST(Once, IsDoneByAFunctionWhoseContextEndsMeanwhileIfItSucceeds) {
  once o;
  auto scope = with_cancel(background());
  EXPECT_TRUE(o.call(scope, [&](const context&) { scope.cancel(); }));
  EXPECT_TRUE(o.succeeded());
}

TEST(Once, LetsAFunctionThatCallsItWaitUntilTheContextEnds) {
  jumping_clock clock;
  once o;
  const auto scope = with_timeout(clock.background(), 1s);
  result<> inner;
  EXPECT_TRUE(o.call(scope, [&](const context& ctx) { inner = o.call(ctx, nothing); }));
  EXPECT_EQ(error_of(inner).code(), errc::deadline_exceeded);
  EXPECT_TRUE(o.succeeded());
}

// ---- several

TEST(Once, LetsTheOthersWaitForTheFirst) {
  jumping_clock clock;
  once o;
  std::atomic<int> runs{0};
  std::atomic<int> told{0};
  {
    std::vector<std::unique_ptr<testing::thread>> callers;
    for (int i = 0; i != 4; ++i) {
      callers.push_back(std::make_unique<testing::thread>(clock, [&] {
        const auto got = o.call(clock.background(), [&](const context& ctx) {
          std::ignore = ctx.done().wait_for(1s);  // until the others wait
          ++runs;
        });
        if (got && runs == 1) ++told;
      }));
    }
  }
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(told, 4);
}

TEST(Once, LetsAWaiterGiveUpWhenItsOwnContextEnds) {
  jumping_clock clock;
  once o;
  std::atomic<bool> running{false};
  testing::thread first(clock, [&] {
    EXPECT_TRUE(o.call(clock.background(), [&](const context& ctx) {
      running = true;
      std::ignore = ctx.done().wait_for(1h);
    }));
  });
  while (!running) std::this_thread::yield();
  const auto scope = with_timeout(clock.background(), 1s, cause("report budget"));
  bool ran = false;
  const auto got = o.call(scope, [&](const context&) { ran = true; });
  EXPECT_EQ(error_of(got).message(), "once: deadline exceeded (cause: report budget)");
  EXPECT_FALSE(ran);
  EXPECT_FALSE(o.succeeded());
  first.join();
  EXPECT_TRUE(o.succeeded());
}

TEST(Once, LetsTheNextTryWithItsOwnContextWhenTheFirstFails) {
  jumping_clock clock;
  once o;
  std::atomic<bool> running{false};
  const auto short_one = with_timeout(clock.background(), 1s);
  testing::thread first(clock, [&] {
    const auto got = o.call(short_one, [&](const context& ctx) {
      running = true;
      return ctx.done().wait();
    });
    EXPECT_EQ(error_of(got).code(), errc::deadline_exceeded);
  });
  while (!running) std::this_thread::yield();
  const auto long_one = with_cancel(clock.background());
  bool own = false;
  EXPECT_TRUE(o.call(long_one, [&](const context& ctx) { own = ctx == long_one.ctx() && !ctx.err(); }));
  EXPECT_TRUE(own);
}

TEST(Once, LetsTheNextTryWhenTheFirstThrows) {
  jumping_clock clock;
  once o;
  std::atomic<bool> running{false};
  testing::thread first(clock, [&] {
    EXPECT_THROW(std::ignore = o.call(clock.background(),
                                      [&](const context& ctx) {
                                        running = true;
                                        std::ignore = ctx.done().wait_for(1s);
                                        throw std::runtime_error("no idea");
                                      }),
                 std::runtime_error);
  });
  while (!running) std::this_thread::yield();
  bool ran = false;
  EXPECT_TRUE(o.call(clock.background(), [&](const context&) { ran = true; }));
  EXPECT_TRUE(ran);
}

TEST(Once, RunsOneFunctionAtATimeUntilOneSucceeds) {
  once o;
  int tries = 0;  // not atomic: the calls take turns
  std::atomic<int> failed{0};
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i != 4; ++i) {
      callers.emplace_back([&] {
        const auto got = o.call(background(), [&](const context&) {
          return ++tries == 3 ? std::error_code() : std::make_error_code(std::errc::io_error);
        });
        if (!got) ++failed;
      });
    }
  }
  EXPECT_EQ(tries, 3);
  EXPECT_EQ(failed, 2);
  EXPECT_TRUE(o.succeeded());
}

TEST(Once, ShowsAllCallersWhatTheFunctionDid) {
  once o;
  int plain = 0;
  std::vector<std::jthread> callers;
  for (int i = 0; i != 3; ++i) {
    callers.emplace_back([&] {
      const auto got = o.call(background(), [&](const context&) { plain = 42; });
      EXPECT_TRUE(got);
      EXPECT_EQ(plain, 42);
    });
  }
}

constinit once from_the_beginning;

TEST(Once, IsReadyBeforeAnyCodeRuns) { EXPECT_TRUE(from_the_beginning.call(background(), nothing)); }

static_assert(!std::is_copy_constructible_v<once>);
static_assert(!std::is_move_constructible_v<once>, "those who wait point to it");

}  // namespace
}  // namespace curfew
