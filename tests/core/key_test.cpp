#include <curfew/core/key.hpp>

#include "core/allocations.hpp"

#include <array>
#include <cstdint>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace curfew {
namespace {

constexpr key<std::string> trace_id{"trace id"};
constexpr key<std::string> user{"user"};
constexpr key<int> attempt{"attempt"};

TEST(Key, HasAName) { EXPECT_STREQ(trace_id.name(), "trace id"); }

TEST(Key, IsNotCopied) { EXPECT_FALSE(std::is_copy_constructible_v<key<int>>); }

TEST(WithValue, IsFoundByItsKey) {
  const context ctx = with_value(background(), trace_id, "4bf92f35");
  ASSERT_NE(ctx.value(trace_id), nullptr);
  EXPECT_EQ(*ctx.value(trace_id), "4bf92f35");
}

TEST(WithValue, IsAbsentUnderAnotherKeyOfTheSameTypeAndName) {
  static constexpr key<std::string> namesake{"trace id"};
  const context ctx = with_value(background(), trace_id, "4bf92f35");
  EXPECT_EQ(ctx.value(user), nullptr);
  EXPECT_EQ(ctx.value(namesake), nullptr);
}

TEST(WithValue, IsAbsentAbove) {
  const context outer = with_value(background(), trace_id, "a");
  const context inner = with_value(outer, user, "b");
  EXPECT_EQ(outer.value(user), nullptr);
  EXPECT_EQ(background().value(trace_id), nullptr);
  EXPECT_EQ(*inner.value(trace_id), "a");
}

TEST(WithValue, HidesTheOuterOneOfTheSameKey) {
  const context outer = with_value(background(), attempt, 1);
  const context inner = with_value(outer, attempt, 2);
  EXPECT_EQ(*outer.value(attempt), 1);
  EXPECT_EQ(*inner.value(attempt), 2);
}

TEST(WithValue, IsSeenThroughEveryKindOfContext) {
  const testing::manual_clock clock;
  const context ctx = with_value(clock.background(), attempt, 7);
  const auto canceled = with_cancel(ctx);
  const auto timed = with_timeout(canceled, std::chrono::hours(1));
  const context clean = without_cancel(timed);
  const context other = with_value(clean, user, "someone");
  EXPECT_EQ(canceled.value(attempt), ctx.value(attempt));
  EXPECT_EQ(timed.value(attempt), ctx.value(attempt));
  EXPECT_EQ(clean.value(attempt), ctx.value(attempt));
  EXPECT_EQ(other.value(attempt), ctx.value(attempt));
}

TEST(WithValue, FindsEachOfManyKeys) {
  // Many keys, so that there are several in each class by which the lookup skips.
  static const auto keys = []<std::size_t... I>(std::index_sequence<I...>) {
    return std::array<key<std::size_t>, sizeof...(I)>{
        key<std::size_t>((static_cast<void>(I), "one of many"))...};
  }(std::make_index_sequence<100>());
  context ctx = background();
  for (std::size_t i = 0; i != keys.size(); ++i) {
    for (std::size_t j = 0; j != keys.size(); ++j) {
      const std::size_t* found = ctx.value(keys[j]);
      ASSERT_EQ(found != nullptr, j < i) << i << ", " << j;
      if (found != nullptr) {
        ASSERT_EQ(*found, j);
      }
    }
    ctx = with_value(ctx, keys[i], i);
  }
}

TEST(WithValue, EndsWithItsParent) {
  auto scope = with_cancel(background());
  const context ctx = with_value(scope, attempt, 1);
  EXPECT_FALSE(ctx.err());
  scope.cancel("stop");
  EXPECT_EQ(ctx.err(), errc::canceled);
  EXPECT_EQ(ctx.cause().message(), "stop");
  EXPECT_EQ(*ctx.value(attempt), 1);
}

TEST(WithValue, TakesAMoveOnlyType) {
  static constexpr key<std::unique_ptr<int>> owner{"owner"};
  const context ctx = with_value(background(), owner, std::make_unique<int>(5));
  EXPECT_EQ(**ctx.value(owner), 5);
}

TEST(WithValue, TakesAnOverAlignedType) {
  struct alignas(256) wide {
    std::uint64_t number = 0;
    explicit wide(std::uint64_t n) : number(n) {}
    wide(const wide& other) : number(other.number) {}  // not trivial: passed by reference, on every compiler
  };
  static constexpr key<wide> wide_key{"wide"};
  context ctx = background();
  for (std::uint64_t i = 0; i != 8; ++i) {
    ctx = with_value(ctx, wide_key, wide(i));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(ctx.value(wide_key)) % alignof(wide), 0U);
    EXPECT_EQ(ctx.value(wide_key)->number, i);
  }
}

TEST(WithValue, LivesAsLongAsAnyContextThatSeesIt) {
  static constexpr key<std::shared_ptr<int>> shared{"shared"};
  auto value = std::make_shared<int>(3);
  const std::weak_ptr<int> watch = value;
  std::optional<context> below;
  {
    const context ctx = with_value(background(), shared, std::move(value));
    const context copy = ctx;  // NOLINT(performance-unnecessary-copy-initialization)
    below = with_value(copy, attempt, 1);
    EXPECT_FALSE(watch.expired());
  }
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(**below->value(shared), 3);
  below.reset();
  EXPECT_TRUE(watch.expired());
}

TEST(WithValue, LivesAsLongAsAScopeBelow) {
  static constexpr key<std::shared_ptr<int>> shared{"shared"};
  auto value = std::make_shared<int>(3);
  const std::weak_ptr<int> watch = value;
  {
    const auto scope = with_cancel(with_value(background(), shared, std::move(value)));
    EXPECT_FALSE(watch.expired());
  }
  EXPECT_TRUE(watch.expired());
}

TEST(WithValue, LeavesNothingWhenTheValueThrows) {
  struct thrower {
    std::string text = "longer than what fits into a string without an allocation";
    bool armed = false;
    thrower() = default;
    thrower(thrower&& other) : text(other.text), armed(other.armed) {
      if (armed) throw std::runtime_error("no copy today");
    }
  };
  static constexpr key<thrower> throwing{"throwing"};
  const testing::manual_clock clock;
  auto scope = with_cancel(clock.background());
  const testing::allocation_count count;
  {
    thrower value;
    value.armed = true;
    EXPECT_THROW(std::ignore = with_value(scope, throwing, std::move(value)), std::runtime_error);
  }
  EXPECT_EQ(count.held(), 0);
  scope.cancel();
  EXPECT_EQ(scope.err(), errc::canceled);
}

}  // namespace
}  // namespace curfew
