#include <curfew/core/cancel_scope.hpp>
#include <curfew/http/deadline.hpp>
#include <curfew/testing/manual_clock.hpp>

#include <gtest/gtest.h>

#include <chrono>

namespace curfew::http {
namespace {

using namespace std::chrono_literals;

std::optional<std::string> sent_for(clock::duration left) {
  testing::manual_clock clock;
  const auto scope = with_timeout(clock.background(), left);
  return timeout_to_send(scope);
}

TEST(DeadlineOnTheWire, IsNotSentWithoutADeadline) { EXPECT_EQ(timeout_to_send(background()), std::nullopt); }

TEST(DeadlineOnTheWire, IsRoundedUpToAMillisecond) {
  EXPECT_EQ(sent_for(5s), "5000");
  EXPECT_EQ(sent_for(1ns), "1");
  EXPECT_EQ(sent_for(1ms), "1");
  EXPECT_EQ(sent_for(1ms + 1ns), "2");
}

TEST(DeadlineOnTheWire, IsZeroWhenItHasPassed) {
  EXPECT_EQ(sent_for(0s), "0");
  EXPECT_EQ(sent_for(-1s), "0");
}

TEST(DeadlineOnTheWire, SaysWhatRemains) {
  testing::manual_clock clock;
  const auto scope = with_timeout(clock.background(), 5s);
  clock.advance(1s);
  EXPECT_EQ(timeout_to_send(scope), "4000");
}

TEST(DeadlineOnTheWire, HasALargestValue) { EXPECT_EQ(sent_for(std::chrono::hours(24 * 365)), "99999999"); }

TEST(DeadlineOnTheWire, IsOneToEightDigits) {
  EXPECT_EQ(parse_timeout("0"), 0ms);
  EXPECT_EQ(parse_timeout("250"), 250ms);
  EXPECT_EQ(parse_timeout("00000250"), 250ms);
  EXPECT_EQ(parse_timeout("99999999"), 99'999'999ms);
  for (const auto* bad :
       {"", "-1", "+1", "1.5", "1e3", " 1", "1 ", "0x10", "123456789", "5s", "1,2", "\xD9\xA1"}) {
    EXPECT_EQ(parse_timeout(bad), std::nullopt) << '"' << bad << '"';
  }
}

}  // namespace
}  // namespace curfew::http
