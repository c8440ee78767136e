#include "services/ignore_switch.hpp"

#include <gtest/gtest.h>

#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/key.hpp>
#include <random>
#include <string>
#include <thread>

namespace curfew_dashboard {
namespace {

constexpr curfew::key<std::string> user{"user"};

TEST(IgnoreSwitch, OffWorkEndsWithItsAsker) {
  ignore_switch ignore;
  auto asker = curfew::with_cancel(curfew::background());
  const auto life = ignore.begin(asker);
  EXPECT_EQ(life->ctx(), asker.ctx());
  asker.cancel();
  EXPECT_TRUE(life->ctx().err());
}

TEST(IgnoreSwitch, OnWorkOutlivesItsAskerAndKeepsTheValues) {
  ignore_switch ignore;
  ignore.set(true);
  const auto named = curfew::with_value(curfew::background(), user, "ada");
  auto asker = curfew::with_timeout(named, std::chrono::hours(1));
  const auto life = ignore.begin(asker);
  asker.cancel();
  EXPECT_FALSE(life->ctx().err());
  EXPECT_FALSE(life->ctx().deadline());
  ASSERT_NE(life->ctx().value(user), nullptr);
  EXPECT_EQ(*life->ctx().value(user), "ada");
}

TEST(IgnoreSwitch, TurnedOffEndsTheWorkThatNobodyWaitsFor) {
  ignore_switch ignore;
  ignore.set(true);
  auto gone = curfew::with_cancel(curfew::background());
  auto waiting = curfew::with_cancel(curfew::background());
  const auto unwanted = ignore.begin(gone);
  const auto wanted = ignore.begin(waiting);
  gone.cancel();
  ignore.set(false);
  EXPECT_TRUE(unwanted->ctx().err());
  EXPECT_EQ(unwanted->ctx().cause().message(), "the context is obeyed again");
  EXPECT_FALSE(wanted->ctx().err());
  waiting.cancel("left");  // from now on it is obeyed
  EXPECT_EQ(wanted->ctx().cause().message(), "left");
}

TEST(IgnoreSwitch, TurnedOnAgainDoesNotTakeUpWorkOfBefore) {
  ignore_switch ignore;
  ignore.set(true);
  auto asker = curfew::with_cancel(curfew::background());
  const auto life = ignore.begin(asker);
  ignore.set(false);
  ignore.set(true);
  asker.cancel();
  EXPECT_TRUE(life->ctx().err());
}

TEST(IgnoreSwitch, TurnedOnTwiceStaysOn) {
  ignore_switch ignore;
  ignore.set(true);
  auto asker = curfew::with_cancel(curfew::background());
  const auto life = ignore.begin(asker);
  asker.cancel();
  ignore.set(true);
  EXPECT_TRUE(ignore.on());
  EXPECT_FALSE(life->ctx().err());
}

// Hunts: work that goes on for ever, because the asker leaves while the switch is turned off, and each thinks
// that the other will end it.
TEST(IgnoreSwitch, NeverLosesWorkWhereTheAskerLeavesAsItIsTurnedOff) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 2000; ++i) {
    ignore_switch ignore;
    ignore.set(true);
    auto asker = curfew::with_cancel(curfew::background());
    const auto life = ignore.begin(asker);
    std::thread leaving([&] { asker.cancel(); });
    for (auto spin = random() % 20'000; spin > 0; --spin) asm volatile("");
    ignore.set(false);
    leaving.join();
    ASSERT_TRUE(life->ctx().err());
  }
}

}  // namespace
}  // namespace curfew_dashboard
