#include <curfew/core/error.hpp>

#include <curfew/core/cancel_scope.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <gtest/gtest.h>
#include <sstream>
#include <string>
#include <system_error>

namespace curfew {
namespace {

using namespace std::chrono_literals;

TEST(Error, SaysWhatWasBeingDoneAndWhatWentWrong) {
  EXPECT_EQ(error(errc::canceled, "GET http://host/ : connecting").message(),
            "GET http://host/ : connecting: canceled");
}

TEST(Error, WithoutAnActivityIsTheCodesMessage) { EXPECT_EQ(error(errc::canceled).message(), "canceled"); }

TEST(Error, TellsACauseThatSaysMore) {
  EXPECT_EQ(error(errc::deadline_exceeded, "GET /", cause("report budget")).message(),
            "GET /: deadline exceeded (cause: report budget)");
}

TEST(Error, TellsACauseWithTheSameCodeAndATextOfItsOwn) {
  EXPECT_EQ(error(errc::canceled, "", cause(errc::canceled, "user pressed stop")).message(),
            "canceled (cause: user pressed stop)");
}

TEST(Error, DoesNotRepeatACauseThatIsTheErr) {
  EXPECT_EQ(error(errc::canceled, "", cause(errc::canceled)).message(), "canceled");
}

TEST(Error, OfAnEndedContextHasItsErrAndCause) {
  const testing::manual_clock clock;
  auto scope = with_cancel(clock.background());
  scope.cancel("shutdown");
  const error e = error::ended(scope, "reading");
  EXPECT_EQ(e.code(), errc::canceled);
  EXPECT_EQ(e.doing(), "reading");
  EXPECT_EQ(e.cause().message(), "shutdown");
  EXPECT_EQ(e.message(), "reading: canceled (cause: shutdown)");
}

TEST(Error, OfAPassedDeadlineHasNoOtherCause) {
  testing::manual_clock clock;
  auto scope = with_timeout(clock.background(), 1s);
  clock.advance(1s);
  EXPECT_EQ(error::ended(scope).message(), "deadline exceeded");
}

TEST(Error, IsTransientWhereTryingAgainMaySucceed) {
  EXPECT_TRUE(error(errc::deadline_exceeded).transient());
  for (const std::errc passing :
       {std::errc::timed_out, std::errc::connection_refused, std::errc::connection_reset,
        std::errc::connection_aborted, std::errc::broken_pipe, std::errc::host_unreachable,
        std::errc::network_unreachable, std::errc::network_down, std::errc::resource_unavailable_try_again,
        std::errc::too_many_files_open, std::errc::no_buffer_space}) {
    EXPECT_TRUE(error(std::make_error_code(passing)).transient()) << std::make_error_code(passing).message();
  }
}

TEST(Error, IsNotTransientWhereTryingAgainIsInVain) {
  EXPECT_FALSE(error(errc::canceled).transient());
  for (const std::errc lasting : {std::errc::operation_canceled, std::errc::invalid_argument,
                                  std::errc::permission_denied, std::errc::not_enough_memory}) {
    EXPECT_FALSE(error(std::make_error_code(lasting)).transient()) << std::make_error_code(lasting).message();
  }
}

TEST(Error, ComparesWithCodesAndConditions) {
  const error e(errc::deadline_exceeded, "reading");
  EXPECT_EQ(e, errc::deadline_exceeded);
  EXPECT_EQ(e, std::errc::timed_out);
  EXPECT_EQ(e, make_error_code(errc::deadline_exceeded));
  EXPECT_FALSE(e == errc::canceled);
}

TEST(Error, EqualsAnErrorWithTheSameCodeActivityAndCause) {
  const error e(errc::canceled, "reading", cause("shutdown"));
  EXPECT_EQ(e, error(errc::canceled, "reading", cause("shutdown")));
  EXPECT_NE(e, error(errc::canceled, "writing", cause("shutdown")));
  EXPECT_NE(e, error(errc::canceled, "reading"));
  EXPECT_NE(e, error(errc::deadline_exceeded, "reading", cause("shutdown")));
}

// As Boost.System's codes are: enums and codes that convert to std's.
namespace foreign {
enum class failure { odd = 1 };
struct code {
  int value;
  operator std::error_code() const {
    return {value, curfew_category()};
  }  // NOLINT(google-explicit-constructor)
};
code make_error_code(failure f) { return {static_cast<int>(f)}; }
}  // namespace foreign

TEST(Error, ComparesWithTheCodesOfOtherLibraries) {
  const error e(errc::canceled);
  EXPECT_TRUE(e == foreign::failure::odd);
  EXPECT_TRUE(e == foreign::code{1});
  EXPECT_TRUE(e != foreign::code{2});
  EXPECT_TRUE(foreign::code{1} == e);
}

TEST(Error, IsPrintedAsItsMessage) {
  std::ostringstream out;
  out << error(errc::canceled, "reading");
  EXPECT_EQ(out.str(), "reading: canceled");
}

TEST(Result, HoldsAValueOrAnError) {
  const result<int> good = 7;
  const result<int> bad = std::unexpected(error(errc::canceled));
  EXPECT_EQ(good.value(), 7);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error(), errc::canceled);
  EXPECT_TRUE(result<>());
}

result<int> half_of(int n) {
  if (n % 2 != 0) return error(std::make_error_code(std::errc::invalid_argument), "halving");
  return n / 2;
}

result<std::string> half_in_words(int n) {
  auto half = half_of(n);
  if (!half) return half.error();
  return std::to_string(*half);
}

result<> half_is_even(int n) {
  auto half = half_of(n);
  if (!half) return std::move(half).error();
  return {};
}

TEST(Result, IsMadeFromAnErrorAsItStands) {
  EXPECT_EQ(half_of(4), 2);
  EXPECT_EQ(half_of(3).error(), std::errc::invalid_argument);
  EXPECT_EQ(half_in_words(4), "2");
  EXPECT_EQ(half_in_words(3).error().doing(), "halving");
  EXPECT_TRUE(half_is_even(8));
  EXPECT_EQ(half_is_even(3).error(), std::errc::invalid_argument);
}

TEST(Result, IsAssignedAnErrorOrAValue) {
  result<int> r = 7;
  r = error(errc::canceled);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error(), errc::canceled);
  r = 8;
  EXPECT_EQ(r, 8);
}

TEST(Result, ComparesAsAnExpectedDoes) {
  EXPECT_EQ(half_of(4), half_of(5 - 1));
  EXPECT_NE(half_of(4), half_of(6));
  EXPECT_EQ(half_of(3), half_of(3));
  EXPECT_NE(half_of(3), half_of(4));
  EXPECT_EQ(half_is_even(8), half_is_even(4));
}

TEST(Result, ConvertsFromAndToAnExpected) {
  const std::expected<int, error> plain = half_of(4);
  EXPECT_EQ(plain, 2);
  const result<int> back = plain;
  EXPECT_EQ(back, 2);
  const result<int> bad = std::expected<int, error>(std::unexpected(error(errc::canceled)));
  EXPECT_EQ(bad.error(), errc::canceled);
}

}  // namespace
}  // namespace curfew
