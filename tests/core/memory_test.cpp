// What each operation allocates, and what is left when an allocation fails.

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/allocations.hpp"
#include "core/tree.hpp"

#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <new>
#include <ostream>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::allocation_count;
using testing::failing_allocation;
using testing::manual_clock;

constexpr key<int> number{"number"};
constexpr key<int> shown_number{"shown number", show_value};
constexpr key<std::string> text{"text", show_value};
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
    const auto bridged = with_stop_token(child, token);
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
/// failure `parents` live and have no child, no callback, no reference and no memory more than before.
/// \return how many allocations failed.
template <class Act>
std::size_t fail_each_allocation(const std::vector<const cancel_scope*>& parents, Act act) {
  std::vector<std::uint32_t> refs;
  for (const cancel_scope* each : parents) refs.push_back(detail::ender_of(*each)->refs);
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
    for (std::size_t i = 0; i != parents.size(); ++i) {
      const detail::ender_node& node = *detail::ender_of(*parents[i]);
      EXPECT_TRUE(node.children.empty()) << "allocation " << nth;
      EXPECT_TRUE(node.callbacks.empty()) << "allocation " << nth;
      EXPECT_EQ(node.refs, refs[i]) << "allocation " << nth;
      EXPECT_FALSE(parents[i]->err());
    }
    if (!failed || ::testing::Test::HasFailure()) return nth - 1;
  }
}

template <class Act>
std::size_t fail_each_allocation(const cancel_scope& parent, Act act) {
  return fail_each_allocation(std::vector{&parent}, act);
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
  EXPECT_EQ(fail_each_allocation(
                parent, [&] { const context ctx = with_value(parent, text, std::string(long_text)); }),
            2U);
}

TEST_F(NoMemory, LeavesNothingOfWithoutCancel) {
  EXPECT_EQ(fail_each_allocation(parent, [&] { const context ctx = without_cancel(parent); }), 1U);
}

TEST_F(NoMemory, LeavesNothingOfWithStopToken) {
  std::stop_source source;
  const auto act = [&] {
    const auto scope = with_stop_token(parent, source.get_token());
    EXPECT_FALSE(scope.err());
  };
  EXPECT_GE(fail_each_allocation(parent, act), 4U);
  const auto scope = with_stop_token(parent, source.get_token());
  source.request_stop();  // a callback that a failure left behind would be used after its end
  EXPECT_EQ(scope.cause().message(), "stop requested");
  EXPECT_FALSE(parent.err());
}

TEST_F(NoMemory, LeavesNothingOfWithStopTokenOfOneThatIsStopped) {
  std::stop_source source;
  source.request_stop();
  EXPECT_GE(fail_each_allocation(parent,
                                 [&] {
                                   const auto scope = with_stop_token(parent, source.get_token());
                                   EXPECT_EQ(scope.cause().message(), "stop requested");
                                 }),
            4U);
}

TEST_F(NoMemory, LeavesNothingOfWithStopTokenOfOneThatCannotStop) {
  EXPECT_EQ(
      fail_each_allocation(parent, [&] { const auto scope = with_stop_token(parent, std::stop_token()); }),
      1U);
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
  int runs = 0;
  const auto request = [&] {
    const context ctx = with_value(parent, text, std::string(long_text));
    auto scope = with_timeout(ctx, 5s, cause(errc::deadline_exceeded, long_text));
    const on_done ends(scope, [&] { ++runs; });
    [[maybe_unused]] const auto child = with_cancel(scope);
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

TEST_F(NoMemory, LeavesNothingOfAMergeOfTwo) {
  auto other = with_cancel(clock.background());
  EXPECT_GE(fail_each_allocation({&parent, &other}, [&] { const auto both = merge(parent, other); }), 4U);
  const auto both = merge(parent, other);
  other.cancel(long_text);
  EXPECT_EQ(both.cause().message(), long_text);
}

TEST_F(NoMemory, LeavesNothingOfAMergeOfThreeWithTheirValues) {
  auto second = with_cancel(clock.background());
  auto third = with_timeout(clock.background(), 1s, long_text);
  const context a = with_value(parent, number, 1);
  const context b = with_value(with_value(second, text, std::string(long_text)), number, 2);
  const context c = with_value(with_value(third, shown_number, 3), text, "hidden by that of b");
  const auto check = [&](const context& all) {
    EXPECT_EQ(*all.value(number), 1);
    EXPECT_EQ(*all.value(text), long_text);
    EXPECT_EQ(*all.value(shown_number), 3);
    EXPECT_EQ(all.remaining(), 1s);
  };
  const auto act = [&] {
    const auto merged = merge(a, b, c);
    check(merged);
  };
  EXPECT_GE(fail_each_allocation({&parent, &second, &third}, act), 8U);
  const auto all = merge(a, b, c);
  check(all);
  clock.advance(1s);
  EXPECT_EQ(all.err(), errc::deadline_exceeded);
  EXPECT_EQ(all.cause().message(), long_text);
}

TEST_F(NoMemory, LeavesNothingOfAMergeOfManyAndOfWhatIsBelowIt) {
  std::vector<cancel_scope> scopes;
  std::vector<context> all;
  std::vector<const cancel_scope*> parents;
  scopes.reserve(8);
  for (int i = 0; i != 8; ++i) {
    scopes.push_back(with_cancel(clock.background()));
    parents.push_back(&scopes.back());
    all.push_back(with_value(scopes.back(), text, std::string(long_text)));
  }
  all.push_back(all.front());
  all.push_back(without_cancel(all.back()));
  const auto act = [&] {
    auto merged = merge(std::span<const context>(all));
    const auto below = with_timeout(merged, 1s, long_text);
    const auto twice = merge(below, merged, all.back());
    merged.cancel();
    EXPECT_EQ(twice.err(), errc::canceled);
  };
  EXPECT_GE(fail_each_allocation(parents, act), 20U);
  const auto merged = merge(std::span<const context>(all));
  scopes[5].cancel(long_text);
  EXPECT_EQ(merged.cause().message(), long_text);
}

TEST_F(NoMemory, LeavesNothingOfAMergeWithAnEndedOne) {
  auto ended = with_cancel(clock.background());
  ended.cancel(long_text);
  const context with_values = with_value(ended, number, 1);
  const auto act = [&] {
    const auto merged = merge(parent, with_values);
    EXPECT_EQ(merged.cause().message(), long_text);
  };
  EXPECT_GE(fail_each_allocation(parent, act), 5U);
}

TEST_F(NoMemory, LeavesNothingOfAfterFunc) {
  struct inline_executor {
    void execute(std::move_only_function<void()> f) const { f(); }
  };
  int runs = 0;
  const auto act = [&] {
    auto handle = after_func(parent, inline_executor(),
                             [&runs, much = std::string(long_text)] { runs += !much.empty(); });
    EXPECT_TRUE(handle.stop());
  };
  EXPECT_EQ(fail_each_allocation(parent, act), 2U);
  EXPECT_EQ(runs, 0);
  after_func(parent, inline_executor(), [&runs] { ++runs; });
  parent.cancel();
  EXPECT_EQ(runs, 1);
}

/// The number that the next descriptor of this process gets: the lowest that is free.
int next_descriptor() {
  const int next = ::eventfd(0, EFD_CLOEXEC);
  ::close(next);
  return next;
}

TEST_F(NoMemory, LeavesNoDescriptorOfADoneSignal) {
  const int before = next_descriptor();
  EXPECT_EQ(fail_each_allocation(parent,
                                 [&] {
                                   const auto scope = with_cancel(parent);
                                   EXPECT_GE(scope.done().fd(), 0);
                                 }),
            2U);
  EXPECT_EQ(next_descriptor(), before);
  pollfd end{.fd = parent.done().fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&end, 1, 0), 0);
  parent.cancel();
  EXPECT_EQ(::poll(&end, 1, 0), 1);
}

TEST_F(NoMemory, LeavesAStopTokenToTheNextCall) {
  std::size_t nth = 1;
  for (bool failed = true; failed; ++nth) {
    const failing_allocation failing(nth);
    try {
      std::ignore = parent.stop_token();
      failed = false;
    } catch (const std::bad_alloc&) {
    }
  }
  EXPECT_GE(nth, 3U);
  const std::stop_token token = parent.stop_token();
  parent.cancel();
  EXPECT_TRUE(token.stop_requested());
}

TEST_F(NoMemory, LeavesNothingOfAPath) {
  const context named = with_value(parent, text, std::string(long_text));
  const context numbered = with_value(named, shown_number, 12'345);
  EXPECT_GE(fail_each_allocation(parent,
                                 [&] {
                                   const std::string path = numbered.path();
                                   EXPECT_NE(path.find(long_text), std::string::npos) << path;
                                   EXPECT_NE(path.find("12345"), std::string::npos) << path;
                                 }),
            4U);
}

struct wordy {
  friend std::ostream& operator<<(std::ostream& out, const wordy& /*any*/) { return out << long_text; }
};
constexpr key<wordy> words{"words", show_value};

TEST_F(NoMemory, ForAValueThatIsPrintedComesOutOfAPath) {
  const context ctx = with_value(parent, words, wordy());
  EXPECT_GE(fail_each_allocation(parent,
                                 [&] {
                                   const std::string path = ctx.path();
                                   EXPECT_NE(path.find(long_text), std::string::npos) << path;
                                 }),
            4U);
}

TEST_F(NoMemory, LeavesNothingOfAListOfPlacesWithoutAContext) {
  std::ignore = todo();
  EXPECT_GE(fail_each_allocation(parent, [&] { EXPECT_FALSE(todo_places().empty()); }), 1U);
}

TEST_F(NoMemory, ForItsCauseLeavesAContextAlive) {
  EXPECT_EQ(fail_each_allocation(parent,
                                 [&] {
                                   auto scope = with_cancel(parent);
                                   try {
                                     scope.cancel(long_text);
                                   } catch (const std::bad_alloc&) {
                                     EXPECT_FALSE(scope.err());
                                     throw;
                                   }
                                   EXPECT_EQ(scope.err(), errc::canceled);
                                 }),
            3U);
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
