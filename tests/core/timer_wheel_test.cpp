#include "core/timer_wheel.hpp"

#include "race.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace curfew::detail {
namespace {

using testing::announce_seed;

struct timer : deadline_node {
  explicit timer(std::uint64_t due)
      : deadline_node(nullptr, {nullptr, static_cast<nanoseconds>(due)}, {}, {}) {}
};

TEST(TimerWheel, IsEmptyAtFirst) {
  timer_wheel wheel(0);
  EXPECT_EQ(wheel.next(), timer_wheel::never);
  EXPECT_EQ(wheel.pop(1000), nullptr);
  EXPECT_EQ(wheel.present(), 1000U);
}

TEST(TimerWheel, GivesATimerAtItsTickAndNotBefore) {
  for (const std::uint64_t due :
       {std::uint64_t{1}, std::uint64_t{63}, std::uint64_t{64}, std::uint64_t{65}, std::uint64_t{4095},
        std::uint64_t{4096}, std::uint64_t{1} << 36, (std::uint64_t{1} << 60) + 17, timer_wheel::never - 1}) {
    timer_wheel wheel(0);
    timer one(due);
    wheel.insert(&one);
    EXPECT_LE(wheel.next(), due);
    EXPECT_EQ(wheel.pop(due - 1), nullptr) << due;
    EXPECT_EQ(wheel.present(), due - 1);
    EXPECT_EQ(wheel.next(), due);
    EXPECT_EQ(wheel.pop(due), &one) << due;
    EXPECT_FALSE(timer_wheel::holds(&one));
    EXPECT_EQ(wheel.next(), timer_wheel::never);
  }
}

TEST(TimerWheel, GivesATimerOfThePastAtOnce) {
  timer_wheel wheel(0);
  wheel.pop(100);
  timer one(7);
  wheel.insert(&one);
  EXPECT_EQ(wheel.next(), 100U);
  EXPECT_EQ(wheel.pop(100), &one);
}

TEST(TimerWheel, GivesTimersOfOneTickInTheOrderOfTheirInsertion) {
  timer_wheel wheel(0);
  timer first(5000);
  timer second(5000);
  timer third(5000);
  wheel.insert(&first);
  wheel.pop(4000);
  wheel.insert(&second);
  wheel.pop(4999);
  wheel.insert(&third);
  EXPECT_EQ(wheel.pop(5000), &first);
  EXPECT_EQ(wheel.pop(5000), &second);
  EXPECT_EQ(wheel.pop(5000), &third);
}

TEST(TimerWheel, KeepsTheLastTickAheadForEver) {
  timer_wheel wheel(0);
  EXPECT_EQ(wheel.pop(timer_wheel::never), nullptr);
  timer_wheel other(0);
  timer last(timer_wheel::never);
  other.insert(&last);
  EXPECT_EQ(other.pop(timer_wheel::never - 1), nullptr);
  other.remove(&last);
  EXPECT_EQ(other.next(), timer_wheel::never);
}

/// A wheel beside a multimap, which is what it has to equal: the next in the order of ticks and, within a
/// tick, of insertion; a timer of the past is due at the present.
class wheel_and_model {
 public:
  explicit wheel_and_model(std::uint64_t start) { EXPECT_EQ(wheel_.pop(start), nullptr); }

  void insert(std::uint64_t tick) {
    timers_.push_back(std::make_unique<timer>(tick));
    wheel_.insert(timers_.back().get());
    model_.emplace(std::max(tick, wheel_.present()), timers_.back().get());
  }

  void remove_one(std::mt19937_64& random) {
    if (model_.empty()) return;
    const auto victim = std::next(model_.begin(), static_cast<std::ptrdiff_t>(random() % model_.size()));
    wheel_.remove(victim->second);
    ASSERT_FALSE(timer_wheel::holds(victim->second));
    model_.erase(victim);
  }

  void pop_until(std::uint64_t to) {
    for (;;) {
      const bool any = !model_.empty() && model_.begin()->first <= to;
      ASSERT_LE(wheel_.next(), model_.empty() ? timer_wheel::never : model_.begin()->first);
      deadline_node* const popped = wheel_.pop(to);
      ASSERT_EQ(popped, any ? model_.begin()->second : nullptr);
      if (!any) break;
      ASSERT_EQ(wheel_.present(), model_.begin()->first);
      model_.erase(model_.begin());
    }
    ASSERT_EQ(wheel_.present(), to);
  }

  [[nodiscard]] std::uint64_t present() const { return wheel_.present(); }
  [[nodiscard]] bool empty() const { return model_.empty(); }
  [[nodiscard]] std::uint64_t first() const { return model_.begin()->first; }

 private:
  timer_wheel wheel_{0};
  std::multimap<std::uint64_t, deadline_node*> model_;
  std::vector<std::unique_ptr<timer>> timers_;
};

/// A number of any size: each number of digits is as likely as another.
std::uint64_t of_any_size(std::mt19937_64& random) { return random() >> (random() % 64); }

std::uint64_t sum_below_never(std::uint64_t a, std::uint64_t b) {
  return b < timer_wheel::never - 1 - a ? a + b : timer_wheel::never - 1;
}

void compare_at_random(std::uint64_t start, std::uint64_t seed, int steps) {
  std::mt19937_64 random(seed);
  wheel_and_model both(start);
  for (int i = 0; i != steps && !::testing::Test::HasFatalFailure(); ++i) {
    switch (random() % 8) {
      case 0:
        both.insert(both.present() - std::min(both.present(), of_any_size(random)));
        break;  // the past
      case 1:
      case 2:
      case 3:
        both.insert(sum_below_never(both.present(), of_any_size(random)));
        break;
      case 4:
        both.insert(sum_below_never(both.present(), random() % 200));
        break;  // many in one slot
      case 5:
        both.remove_one(random);
        break;
      case 6:
        both.pop_until(sum_below_never(both.present(), random() % 300));
        break;
      case 7:
        if (!both.empty()) both.pop_until(both.first() - (both.first() > both.present() ? random() % 2 : 0));
        break;
    }
  }
  if (!::testing::Test::HasFatalFailure()) both.pop_until(timer_wheel::never - 1);
  EXPECT_TRUE(both.empty());
}

TEST(TimerWheel, EqualsAMultimapFromTheStart) {
  const std::uint64_t seed = announce_seed("random ticks from 0");
  for (std::uint64_t i = 0; i != 30; ++i) compare_at_random(0, seed + i, 2000);
}

TEST(TimerWheel, EqualsAMultimapNearEveryPowerOfTwo) {
  const std::uint64_t seed = announce_seed("random ticks from before 2^n");
  for (unsigned n = 1; n != 64; ++n) {
    const std::uint64_t boundary = std::uint64_t{1} << n;
    compare_at_random(boundary - std::min<std::uint64_t>(boundary, 100), seed + n, 500);
  }
}

TEST(TimerWheel, EqualsAMultimapUpToTheLastTick) {
  const std::uint64_t seed = announce_seed("random ticks up to 2^64 - 2");
  for (const std::uint64_t left : {2U, 10U, 63U, 64U, 65U, 1000U, 4097U, 1U << 20}) {
    compare_at_random(timer_wheel::never - left, seed + left, 1000);
  }
}

TEST(TimerWheel, EqualsAMultimapFromRandomPoints) {
  const std::uint64_t seed = announce_seed("random ticks from random points");
  std::mt19937_64 random(seed);
  for (int i = 0; i != 50; ++i) compare_at_random(random(), random(), 500);
}

}  // namespace
}  // namespace curfew::detail
