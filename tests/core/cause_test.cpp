#include <curfew/core/cause.hpp>

#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/errc.hpp>
#include <gtest/gtest.h>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace curfew {
namespace {

TEST(Cause, IsNoneByDefault) {
  const cause none;
  EXPECT_FALSE(none);
  EXPECT_FALSE(none.code());
  EXPECT_EQ(none.message(), "");
}

TEST(Cause, OfACodeHasItsMessage) {
  const cause why = std::make_error_code(std::errc::connection_reset);
  EXPECT_TRUE(why);
  EXPECT_EQ(why.code(), std::errc::connection_reset);
  EXPECT_EQ(why.message(), std::make_error_code(std::errc::connection_reset).message());
}

TEST(Cause, OfATextHasNoCode) {
  for (const cause& why : {cause("report budget"), cause(std::string("report budget")),
                           cause(std::string_view("report budget and more").substr(0, 13))}) {
    EXPECT_TRUE(why);
    EXPECT_FALSE(why.code());
    EXPECT_EQ(why.message(), "report budget");
  }
}

TEST(Cause, OfACodeAndATextSaysTheText) {
  const cause why(errc::canceled, "user pressed stop");
  EXPECT_EQ(why.code(), errc::canceled);
  EXPECT_EQ(why.message(), "user pressed stop");
}

TEST(Cause, OfNothingIsNone) {
  EXPECT_FALSE(cause(std::error_code()));
  EXPECT_FALSE(cause(""));
  EXPECT_FALSE(cause(std::error_code(), ""));
}

TEST(Cause, KeepsATextWithNulBytes) {
  const std::string text("a\0b", 3);
  EXPECT_EQ(cause(text).message(), text);
}

TEST(Cause, IsOnePointerWide) { EXPECT_EQ(sizeof(cause), sizeof(void*)); }

TEST(Cause, EqualsACopyAndAnEqualOne) {
  const cause why(errc::canceled, "stop");
  const cause copy = why;  // NOLINT(performance-unnecessary-copy-initialization)
  EXPECT_EQ(copy, why);
  EXPECT_EQ(cause(errc::canceled, "stop"), why);
  EXPECT_NE(cause(errc::canceled, "go"), why);
  EXPECT_NE(cause(errc::deadline_exceeded, "stop"), why);
  EXPECT_NE(cause(), why);
  EXPECT_EQ(cause(), cause());
}

TEST(Cause, ComparesWithCodesAndConditions) {
  const cause why(errc::canceled, "stop");
  EXPECT_EQ(why, errc::canceled);
  EXPECT_EQ(why, std::errc::operation_canceled);
  EXPECT_NE(why, errc::deadline_exceeded);
  EXPECT_NE(cause(), errc::canceled);
}

TEST(Cause, IsNoneAfterItWasMovedFrom) {
  cause from("stop");
  const cause to = std::move(from);
  EXPECT_EQ(to.message(), "stop");
  EXPECT_FALSE(from);  // NOLINT(bugprone-use-after-move)
}

TEST(Cause, CanBeAssigned) {
  cause why("one");
  cause other("two");
  why = other;
  EXPECT_EQ(why.message(), "two");
  EXPECT_EQ(other.message(), "two");
  why = cause("three");
  EXPECT_EQ(why.message(), "three");
  const cause& itself = why;
  why = itself;
  EXPECT_EQ(why.message(), "three");
  why = cause();
  EXPECT_FALSE(why);
}

TEST(Cause, OutlivesItsContext) {
  cause kept;
  {
    auto scope = with_cancel(background());
    scope.cancel("a text that is longer than what fits into a string without an allocation");
    kept = scope.cause();
  }
  EXPECT_EQ(kept.message(), "a text that is longer than what fits into a string without an allocation");
}

TEST(Cause, IsPrintedAsItsMessage) {
  std::ostringstream out;
  out << cause("stop") << '|' << cause();
  EXPECT_EQ(out.str(), "stop|");
}

}  // namespace
}  // namespace curfew
