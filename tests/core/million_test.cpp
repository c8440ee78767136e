// Chains and fans of a million contexts, in a thread whose stack has no room for recursion.

#include "core/small_stack.hpp"

#include <algorithm>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <functional>
#include <gtest/gtest.h>
#include <optional>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::run_on_a_small_stack;

constexpr std::size_t million = 1'000'000;
constexpr key<std::size_t> place{"place"};

/// A million scopes, each made by `derive` from the one before it.
template <class Derive>
std::vector<cancel_scope> chain(const context& root, Derive derive) {
  std::vector<cancel_scope> scopes;
  scopes.reserve(million);
  scopes.push_back(with_cancel(root));
  while (scopes.size() != million) scopes.push_back(derive(scopes.back().ctx()));
  return scopes;
}

/// A million scopes, each made by `derive` from `parent`.
template <class Derive>
std::vector<cancel_scope> fan(const context& parent, Derive derive) {
  std::vector<cancel_scope> scopes;
  scopes.reserve(million);
  while (scopes.size() != million) scopes.push_back(derive(parent));
  return scopes;
}

bool all_ended(const std::vector<cancel_scope>& scopes, errc how) {
  return std::ranges::all_of(scopes, [&](const cancel_scope& scope) { return scope.err() == how; });
}

TEST(MillionDeep, EndsFromTheTop) {
  run_on_a_small_stack([] {
    auto scopes = chain(background(), [](const context& ctx) { return with_cancel(ctx); });
    EXPECT_FALSE(scopes.back().err());
    scopes.front().cancel("top");
    EXPECT_TRUE(all_ended(scopes, errc::canceled));
    EXPECT_EQ(scopes.back().cause().message(), "top");
  });
}

TEST(MillionDeep, IsDestroyedFromTheTopWhileItLives) {
  run_on_a_small_stack([] {
    auto scopes = chain(background(), [](const context& ctx) { return with_cancel(ctx); });
    for (auto& scope : scopes) scope = with_cancel(background());
  });
}

TEST(MillionDeep, IsDestroyedFromTheBottomWhileItLives) {
  run_on_a_small_stack([] {
    auto scopes = chain(background(), [](const context& ctx) { return with_cancel(ctx); });
    while (!scopes.empty()) scopes.pop_back();
  });
}

TEST(MillionDeep, GoesAtOnceWithItsLastContext) {
  run_on_a_small_stack([] {
    auto scopes = chain(background(), [](const context& ctx) { return with_cancel(ctx); });
    const context deepest = scopes.back();
    scopes.clear();
    EXPECT_EQ(deepest.err(), errc::canceled);
  });
}

TEST(MillionDeep, OfValuesGoesAtOnceWithItsLastContext) {
  run_on_a_small_stack([] {
    auto scope = with_cancel(background());
    context ctx = scope;
    for (std::size_t i = 0; i != million; ++i) ctx = with_value(ctx, place, i);
    EXPECT_EQ(*ctx.value(place), million - 1);
    scope.cancel();
    EXPECT_EQ(ctx.err(), errc::canceled);
  });
}

TEST(MillionDeep, OfEveryKindEndsAtItsDeadline) {
  run_on_a_small_stack([] {
    testing::manual_clock clock;
    std::vector<cancel_scope> scopes;
    context ctx = clock.background();
    clock::duration timeout = 1h;
    for (std::size_t i = 0; i != million / 4; ++i) {
      scopes.push_back(with_cancel(ctx));
      scopes.push_back(with_timeout(scopes.back(), timeout));
      timeout -= 1ns;
      ctx = with_value(scopes.back(), place, i);
      if (i == million / 8) ctx = without_cancel(ctx);
    }
    EXPECT_FALSE(ctx.err());
    clock.advance(timeout + 1ns);
    EXPECT_EQ(ctx.err(), errc::deadline_exceeded);
    EXPECT_FALSE(scopes[0].err());
    clock.advance(1h);
    EXPECT_TRUE(scopes[1].err());
  });
}

TEST(MillionDeep, RunsACallbackAtEachPlace) {
  run_on_a_small_stack([] {
    auto scopes = chain(background(), [](const context& ctx) { return with_cancel(ctx); });
    std::size_t runs = 0;
    auto count = [&runs] { ++runs; };
    std::vector<std::optional<on_done<decltype(count)>>> callbacks(million);
    for (std::size_t i = 0; i != million; ++i) callbacks[i].emplace(scopes[i], count);
    scopes.front().cancel();
    EXPECT_EQ(runs, million);
  });
}

TEST(MillionWide, EndsWithItsParent) {
  run_on_a_small_stack([] {
    auto parent = with_cancel(background());
    auto scopes = fan(parent, [](const context& ctx) { return with_cancel(ctx); });
    parent.cancel();
    EXPECT_TRUE(all_ended(scopes, errc::canceled));
  });
}

TEST(MillionWide, IsCanceledChildByChild) {
  run_on_a_small_stack([] {
    const auto parent = with_cancel(background());
    auto scopes = fan(parent, [](const context& ctx) { return with_cancel(ctx); });
    for (std::size_t i = 0; i < million; i += 2) scopes[i].cancel();
    for (std::size_t i = 1; i < million; i += 2) scopes[i].cancel();
    EXPECT_FALSE(parent.err());
    EXPECT_TRUE(all_ended(scopes, errc::canceled));
  });
}

TEST(MillionWide, IsDestroyedWhileItLives) {
  run_on_a_small_stack([] {
    const auto parent = with_cancel(background());
    auto scopes = fan(parent, [](const context& ctx) { return with_cancel(ctx); });
    scopes.clear();
    EXPECT_FALSE(parent.err());
  });
}

TEST(MillionWide, EndsAtItsDeadlines) {
  run_on_a_small_stack([] {
    testing::manual_clock clock;
    const auto parent = with_cancel(clock.background());
    clock::duration timeout{};
    auto scopes = fan(parent, [&](const context& ctx) { return with_timeout(ctx, timeout += 1us); });
    clock.advance(timeout / 2);
    EXPECT_TRUE(scopes[million / 2 - 1].err());
    EXPECT_FALSE(scopes[million / 2].err());
    clock.advance(timeout);
    EXPECT_TRUE(all_ended(scopes, errc::deadline_exceeded));
  });
}

TEST(MillionWide, LeavesNoTimerOnTheSystemsClock) {
  run_on_a_small_stack([] {
    auto parent = with_cancel(background());
    auto scopes = fan(parent, [](const context& ctx) { return with_timeout(ctx, 1h); });
    parent.cancel();
    EXPECT_TRUE(all_ended(scopes, errc::canceled));
  });
}

TEST(MillionWide, RunsEveryCallbackOfOneContext) {
  run_on_a_small_stack([] {
    auto scope = with_cancel(background());
    std::size_t runs = 0;
    auto count = [&runs] { ++runs; };
    std::vector<std::optional<on_done<decltype(count)>>> callbacks(million);
    for (auto& each : callbacks) each.emplace(scope, count);
    scope.cancel();
    EXPECT_EQ(runs, million);
  });
}

}  // namespace
}  // namespace curfew
