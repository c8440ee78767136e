#include <curfew/core/errc.hpp>

#include <curfew/core/error.hpp>
#include <gtest/gtest.h>
#include <string>
#include <system_error>

namespace curfew {
namespace {

TEST(Errc, ConvertsToAnErrorCode) {
  const std::error_code code = errc::canceled;
  EXPECT_TRUE(code);
  EXPECT_EQ(code, errc::canceled);
  EXPECT_EQ(&code.category(), &curfew_category());
}

TEST(Errc, CanceledIsTheConditionOperationCanceled) {
  const std::error_code code = errc::canceled;
  EXPECT_EQ(code, std::errc::operation_canceled);
  EXPECT_NE(code, std::errc::timed_out);
}

TEST(Errc, DeadlineExceededIsTheConditionTimedOut) {
  const std::error_code code = errc::deadline_exceeded;
  EXPECT_EQ(code, std::errc::timed_out);
  EXPECT_NE(code, std::errc::operation_canceled);
}

TEST(Errc, WouldBlockIsTheConditionOfThatNameAndTransient) {
  const std::error_code code = errc::would_block;
  EXPECT_EQ(code, std::errc::operation_would_block);
  EXPECT_TRUE(error(errc::would_block).transient());
}

TEST(Errc, ClosedIsNoConditionAndNotTransient) {
  const std::error_code code = errc::closed;
  EXPECT_NE(code, std::errc::broken_pipe) << "which is transient";
  EXPECT_NE(code, std::errc::operation_canceled);
  EXPECT_FALSE(error(errc::closed).transient()) << "it will not open again";
}

TEST(Errc, TwoCodesDiffer) {
  EXPECT_NE(make_error_code(errc::canceled), make_error_code(errc::deadline_exceeded));
}

TEST(Errc, IsNoCodeOfAnotherCategory) {
  EXPECT_NE(make_error_code(errc::canceled), std::make_error_code(std::errc::operation_canceled));
}

TEST(Errc, HasMessages) {
  EXPECT_STREQ(curfew_category().name(), "curfew");
  EXPECT_EQ(make_error_code(errc::canceled).message(), "canceled");
  EXPECT_EQ(make_error_code(errc::deadline_exceeded).message(), "deadline exceeded");
  EXPECT_EQ(make_error_code(errc::closed).message(), "closed");
  EXPECT_EQ(make_error_code(errc::would_block).message(), "would block");
}

TEST(Errc, ZeroIsNoErrorAndSaysSo) {
  const std::error_code none(0, curfew_category());
  EXPECT_FALSE(none);
  EXPECT_EQ(none.message(), "not ended");
  EXPECT_EQ(none, std::error_condition());
}

TEST(Errc, AnUnknownNumberIsNamedAndEqualsNothing) {
  const std::error_code unknown(77, curfew_category());
  EXPECT_EQ(unknown.message(), "curfew error 77");
  EXPECT_NE(unknown, std::errc::operation_canceled);
  EXPECT_NE(unknown, std::errc::timed_out);
}

}  // namespace
}  // namespace curfew
