// What each operation allocates, and what is left when an allocation fails.

#include "core/allocations.hpp"
#include "core/tree.hpp"

#include <curfew/core.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <gtest/gtest.h>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::allocation_count;
using testing::failing_allocation;
using testing::manual_clock;

constexpr key<int> number{"number"};
constexpr std::string_view long_text =
    "a text that is longer than what fits into a string without an allocation";

struct counting_test : ::testing::Test {
  void SetUp() override {
    if (!testing::allocations_are_counted) GTEST_SKIP() << "this sanitizer has its own operator new";
  }
};

using Memory = counting_test;

TEST_F(Memory, WithCancelIsOneAllocationOf96BytesAtMost) {
  const auto parent = with_cancel(background());
  const allocation_count count;
  const auto scope = with_cancel(parent);
  EXPECT_EQ(count.made(), 1U);
  EXPECT_LE(count.bytes(), 96U);
}

TEST_F(Memory, WithTimeoutIsOneAllocationOf128BytesAtMost) {
  const auto first = with_timeout(background(), 1h);  // starts the timer thread
  const allocation_count count;
  const auto scope = with_timeout(first, 30min);
  EXPECT_EQ(count.made(), 1U);
  EXPECT_LE(count.bytes(), 128U);
}

TEST_F(Memory, WithTimeoutUnderAnEarlierDeadlineIsAsSmallAsWithCancel) {
  const auto parent = with_timeout(background(), 30min);
  const allocation_count count;
  const auto scope = with_timeout(parent, 1h);
  EXPECT_EQ(count.made(), 1U);
  EXPECT_LE(count.bytes(), 96U);
}

TEST_F(Memory, WithValueAndWithoutCancelAreOneAllocationEach) {
  const allocation_count count;
  const context ctx = with_value(background(), number, 1);
  EXPECT_EQ(count.made(), 1U);
  const context clean = without_cancel(ctx);
  EXPECT_EQ(count.made(), 2U);
}

TEST_F(Memory, WhatOnlyLooksAllocatesNothing) {
  auto scope = with_timeout(with_value(background(), number, 1), 1h);
  const allocation_count count;
  const context copy = scope;
  const context moved = context(copy);
  std::ignore = copy.err();
  std::ignore = copy.cause();
  std::ignore = copy.deadline();
  std::ignore = copy.remaining();
  std::ignore = copy.value(number);
  std::ignore = copy.done();
  scope.cancel();
  EXPECT_EQ(scope.cause(), errc::canceled);
  std::ignore = scope.done().wait();
  EXPECT_EQ(count.made(), 0U);
}

TEST_F(Memory, OnDoneAllocatesNothing) {
  auto scope = with_cancel(background());
  const allocation_count count;
  int runs = 0;
  {
    const on_done removed(scope, [&] { ++runs; });
    const on_done kept(scope, [&] { ++runs; });
    scope.cancel();
    const on_done late(scope, [&] { ++runs; });
  }
  EXPECT_EQ(runs, 3);
  EXPECT_EQ(count.made(), 0U);
}

TEST_F(Memory, IsGivenBackByTheLastOfEach) {
  manual_clock clock;
  const allocation_count count;
  {
    auto parent = with_cancel(clock.background());
    const auto timed = with_timeout(with_value(parent, number, 1), 1s, long_text);
    const auto child = with_cancel(timed);
    const canceler stop = child.canceler();
    const std::stop_token token = timed.stop_token();
    const on_done ends(child, [] {});
    clock.advance(1s);
    parent.cancel(long_text);
  }
  EXPECT_EQ(count.held(), 0);
}

TEST_F(Memory, OfACauseThatComesTooLateIsGivenBack) {
  const allocation_count count;
  {
    auto scope = with_cancel(background());
    const canceler stop = scope.canceler();
    scope.cancel(long_text);
    scope.cancel(cause(errc::canceled, long_text));
    stop.cancel(long_text);
    EXPECT_EQ(scope.cause().message(), long_text);
  }
  EXPECT_EQ(count.held(), 0);
}

/// Runs `act` with its first allocation failing, then with its second, until none fails any more. After each
/// failure `parent` has no child, no callback and no memory more than before.
/// \return how many allocations failed.
template <class Act>
std::size_t fail_each_allocation(cancel_scope& parent, Act act) {
  const detail::ender_node& node = *detail::ender_of(parent);
  for (std::size_t nth = 1;; ++nth) {
    const allocation_count count;
    bool failed = false;
    bool happened = false;
    {
      const failing_allocation failing(nth);
      try {
        act();
      } catch (const std::bad_alloc&) {
        failed = true;
      }
      happened = failing_allocation::happened();
    }
    EXPECT_EQ(failed, happened) << "std::bad_alloc has to come out";
    EXPECT_EQ(count.held(), 0) << "allocation " << nth;
    EXPECT_EQ(node.children, nullptr) << "allocation " << nth;
    EXPECT_EQ(node.callbacks, nullptr) << "allocation " << nth;
    EXPECT_EQ(node.refs, 1U) << "allocation " << nth;
    EXPECT_FALSE(parent.err());
    if (!failed || ::testing::Test::HasFailure()) return nth - 1;
  }
}

struct failing_test : counting_test {
  manual_clock clock;
  cancel_scope parent = with_cancel(clock.background());
};

using NoMemory = failing_test;

TEST_F(NoMemory, LeavesNothingOfWithCancel) {
  EXPECT_EQ(fail_each_allocation(parent, [&] { const auto scope = with_cancel(parent); }), 1U);
}

TEST_F(NoMemory, LeavesNeitherTimerNorCauseOfWithTimeout) {
  EXPECT_EQ(fail_each_allocation(parent, [&] { const auto scope = with_timeout(parent, 1s, long_text); }),
            3U);
  clock.advance(1s);
}

TEST_F(NoMemory, LeavesNothingOfWithValue) {
  static constexpr key<std::string> text{"text"};
  EXPECT_EQ(fail_each_allocation(
                parent, [&] { const context ctx = with_value(parent, text, std::string(long_text)); }),
            2U);
}

TEST_F(NoMemory, LeavesNothingOfWithoutCancel) {
  EXPECT_EQ(fail_each_allocation(parent, [&] { const context ctx = without_cancel(parent); }), 1U);
}

TEST_F(NoMemory, LeavesNothingOfACause) {
  EXPECT_EQ(fail_each_allocation(parent, [&] { const cause why(errc::canceled, long_text); }), 2U);
}

TEST_F(NoMemory, LeavesNothingOfACanceler) {
  EXPECT_GE(fail_each_allocation(parent,
                                 [&] {
                                   const auto scope = with_cancel(parent);
                                   const canceler stop = scope.canceler();
                                 }),
            2U);
}

TEST_F(NoMemory, LeavesNothingOfAStopToken) {
  EXPECT_GE(fail_each_allocation(parent,
                                 [&] {
                                   const auto scope = with_cancel(parent);
                                   const std::stop_token token = scope.stop_token();
                                 }),
            2U);
}

TEST_F(NoMemory, LeavesNothingOfWaitingWithATimeout) {
  EXPECT_EQ(fail_each_allocation(parent, [&] { std::ignore = parent.done().wait_for(0s); }), 1U);
}

TEST_F(NoMemory, LeavesNothingOfAnError) {
  auto ended = with_cancel(clock.background());
  ended.cancel(long_text);
  EXPECT_GE(fail_each_allocation(
                parent, [&] { std::ignore = error::ended(ended, std::string(long_text)).message(); }),
            2U);
}

TEST_F(NoMemory, LeavesNothingOfAWholeRequest) {
  static constexpr key<std::string> text{"text"};
  int runs = 0;
  const auto request = [&] {
    const context ctx = with_value(parent, text, std::string(long_text));
    auto scope = with_timeout(ctx, 5s, cause(errc::deadline_exceeded, long_text));
    const on_done ends(scope, [&] { ++runs; });
    const auto child = with_cancel(scope);
    const canceler stop = child.canceler();
    const std::stop_token token = scope.stop_token();
    stop.cancel(long_text);
    const context clean = without_cancel(scope);
    scope.cancel(cause(errc::canceled, long_text));
  };
  const std::size_t failures = fail_each_allocation(parent, request);
  EXPECT_GE(failures, 10U);
  clock.advance(10s);
}

TEST_F(NoMemory, OfTheTimerThreadComesOutAndTheNextDeadlineTriesAgain) {
  for (std::size_t nth = 1;; ++nth) {
    const failing_allocation failing(nth);
    try {
      const auto scope = with_timeout(background(), 1us);
      EXPECT_EQ(scope.done().wait(), errc::deadline_exceeded);
      break;
    } catch (const std::bad_alloc&) {
      EXPECT_LE(nth, 4U);
    }
  }
}

}  // namespace
}  // namespace curfew
