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

}  // namespace
}  // namespace curfew
