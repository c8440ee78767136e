#include "small_stack.hpp"

#include <chrono>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <gtest/gtest.h>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::manual_clock;

constexpr key<int> number{"number"};
constexpr key<std::string> text{"text"};

TEST(Merge, EndsWithTheFirst) {
  auto a = with_cancel(background());
  auto b = with_cancel(background());
  const auto both = merge(a, b);
  EXPECT_FALSE(both.err());
  a.cancel("a had enough");
  EXPECT_EQ(both.err(), errc::canceled);
  EXPECT_EQ(both.cause().message(), "a had enough");
  EXPECT_FALSE(b.err());
}

TEST(Merge, EndsWithAnyOther) {
  for (std::size_t which = 0; which != 4; ++which) {
    std::vector<cancel_scope> parents;
    std::vector<context> all;
    for (int i = 0; i != 4; ++i) all.push_back(parents.emplace_back(with_cancel(background())));
    const auto merged = merge(std::span<const context>(all));
    const auto below = with_cancel(merged);
    parents[which].cancel("number " + std::to_string(which));
    EXPECT_EQ(below.err(), errc::canceled);
    EXPECT_EQ(below.cause().message(), "number " + std::to_string(which));
    for (auto& each : parents) each.cancel("too late");
    EXPECT_EQ(merged.cause().message(), "number " + std::to_string(which));
  }
}

TEST(Merge, KeepsTheFirstCauseWhenBothEnd) {
  auto a = with_cancel(background());
  auto b = with_cancel(background());
  const auto both = merge(a, b);
  b.cancel("first");
  a.cancel("second");
  EXPECT_EQ(both.cause().message(), "first");
}

TEST(Merge, OfOneThatHasEndedHasEnded) {
  auto a = with_cancel(background());
  auto b = with_cancel(background());
  b.cancel("long ago");
  EXPECT_EQ(merge(a, b).cause().message(), "long ago");
  EXPECT_EQ(merge(b, a).cause().message(), "long ago");
  a.cancel("before the other, in the order of the list");
  const auto both = merge(a, b);
  EXPECT_EQ(both.cause().message(), "before the other, in the order of the list");
}

TEST(Merge, EndsByItsOwnScopeAlone) {
  const auto a = with_cancel(background());
  const auto b = with_cancel(background());
  std::optional<cancel_scope> both(merge(a, b));
  const context kept = *both;
  both.reset();
  EXPECT_EQ(kept.err(), errc::canceled);
  EXPECT_FALSE(a.err());
  EXPECT_FALSE(b.err());
}

TEST(Merge, HasTheNearestDeadline) {
  manual_clock clock;
  const auto near = with_timeout(clock.background(), 1s, "near");
  const auto far = with_timeout(clock.background(), 2s, "far");
  const auto one = merge(near, far);
  const auto other = merge(far, near);
  EXPECT_EQ(one.remaining(), 1s);
  EXPECT_EQ(other.remaining(), 1s);
  const auto below = with_timeout(other, 1500ms);
  EXPECT_EQ(below.remaining(), 1s);
  clock.advance(1s);
  for (const context& each : {one.ctx(), other.ctx(), below.ctx()}) {
    EXPECT_EQ(each.err(), errc::deadline_exceeded);
    EXPECT_EQ(each.cause().message(), "near");
  }
  EXPECT_FALSE(far.err());
}

TEST(Merge, KeepsTheErrOfADeadlineThatHasPassed) {
  manual_clock clock;
  const auto late = with_timeout(clock.background(), 0s, "late");
  const auto alive = with_cancel(clock.background());
  const auto both = merge(alive, late);
  EXPECT_EQ(both.err(), errc::deadline_exceeded);
  EXPECT_EQ(both.cause().message(), "late");
}

TEST(Merge, HasTheDeadlinesOfTheFirstsClockOnly) {
  manual_clock clock;
  const auto system = with_timeout(background(), 1h);
  const auto manual = with_timeout(clock.background(), 2h);
  const auto both = merge(manual, system);
  EXPECT_EQ(both.remaining(), 2h);
  EXPECT_EQ(both.ctx().now(), clock.now());
}

TEST(Merge, HasTheValuesOfTheFirstThatHasThem) {
  const context a = with_value(background(), number, 1);
  const context b = with_value(with_value(background(), number, 2), text, "from b");
  const context c = with_value(background(), text, "from c");
  const auto all = merge(a, b, c);
  ASSERT_NE(all.value(number), nullptr);
  EXPECT_EQ(*all.value(number), 1);
  ASSERT_NE(all.value(text), nullptr);
  EXPECT_EQ(*all.value(text), "from b");
  const context below = with_value(all, number, 3);
  EXPECT_EQ(*below.value(number), 3);
  EXPECT_EQ(*below.value(text), "from b");
}

TEST(Merge, KeepsTheValuesOfAllAlive) {
  std::optional<context> a(with_value(background(), number, 1));
  std::optional<context> b(with_value(background(), text, std::string(100, 'b')));
  const auto both = merge(*a, *b);
  a.reset();
  b.reset();
  EXPECT_EQ(*both.value(number), 1);
  EXPECT_EQ(*both.value(text), std::string(100, 'b'));
}

TEST(Merge, OfOneOrOfTheSameIsAChild) {
  auto a = with_cancel(background());
  const auto one = merge({a.ctx()});
  const auto twice = merge(a, a);
  a.cancel("once");
  EXPECT_EQ(one.cause().message(), "once");
  EXPECT_EQ(twice.cause().message(), "once");
}

TEST(Merge, OfNothingIsRefused) {
  EXPECT_THROW(std::ignore = merge(std::span<const context>()), std::invalid_argument);
}

TEST(Merge, OfWhatCannotEndEndsByItsScope) {
  const auto scope = with_cancel(background());
  auto all = merge(background(), without_cancel(scope));
  EXPECT_FALSE(all.err());
  all.cancel();
  EXPECT_EQ(all.err(), errc::canceled);
}

TEST(Merge, HasEndedBelowWhenTheCallbacksRun) {
  auto a = with_cancel(background());
  auto b = with_cancel(background());
  std::optional<cancel_scope> both;
  bool seen = false;
  const on_done early(b, [&] { seen = both->err() == errc::canceled; });
  both.emplace(merge(a, b));
  b.cancel();
  EXPECT_TRUE(seen);
}

TEST(Merge, MayBeDestroyedByACallbackOfItsOwnEnd) {
  auto a = with_cancel(background());
  auto b = with_cancel(background());
  std::optional<cancel_scope> both(merge(a, b));
  const context kept = *both;
  const on_done drop(kept, [&] { both.reset(); });
  b.cancel("b");
  EXPECT_FALSE(both);
  EXPECT_EQ(kept.cause().message(), "b");
}

TEST(Merge, LeavesNothingAtAParentThatLives) {
  auto server = with_cancel(background());
  for (int i = 0; i != 1000; ++i) {
    const auto request = with_cancel(background());
    const auto both = merge(request, server);
    const auto other = merge(server, request);
  }
  server.cancel();  // walks its children: under ASan a link left behind shows
}

// Hunts: both ends have the merged context at hand at once, the one in the list of its children, the other by
// its link; neither may lose the siblings that stand behind it.
TEST(Merge, EndingFromBothSidesLosesNoSibling) {
  for (int i = 0; i != 2000; ++i) {
    auto a = with_cancel(background());
    auto b = with_cancel(background());
    const auto merged = merge(a, b);
    int runs = 0;
    const on_done count(merged, [&runs] { ++runs; });
    const auto sibling = with_cancel(a);
    std::thread one([&] { a.cancel("a"); });
    b.cancel("b");
    one.join();
    EXPECT_EQ(runs, 1);
    EXPECT_EQ(sibling.cause().message(), "a");
  }
}

TEST(Merge, ChainsOfAMillionNeedNoStack) {
  testing::run_on_a_small_stack([] {
    auto end = with_cancel(background());
    const auto spare = with_cancel(background());
    std::vector<cancel_scope> chain;
    chain.reserve(200'000);
    chain.push_back(merge(spare, end));
    while (chain.size() != 200'000) chain.push_back(merge(spare, chain.back()));
    const context last = chain.back();
    end.cancel("the end");
    EXPECT_EQ(last.cause().message(), "the end");
    chain.clear();
  });
}

TEST(Merge, EndsOnceFromWhicheverSide) {
  for (int i = 0; i != 2000; ++i) {
    auto a = with_cancel(background());
    auto b = with_cancel(background());
    std::optional<cancel_scope> both(merge(a, b));
    const context kept = *both;
    int runs = 0;
    const on_done count(kept, [&runs] { ++runs; });
    std::thread one([&] { a.cancel("a"); });
    std::thread other([&] { b.cancel("b"); });
    both.reset();
    one.join();
    other.join();
    EXPECT_EQ(runs, 1);
    EXPECT_EQ(kept.err(), errc::canceled);
    const std::string why = kept.cause().message();
    EXPECT_TRUE(why == "a" || why == "b" || why == "canceled") << why;
  }
}

}  // namespace
}  // namespace curfew
