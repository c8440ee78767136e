#include <curfew/http/errc.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string_view>

namespace curfew::http {
namespace {

TEST(HttpErrc, HasMessagesAndConditions) {
  const std::error_code gone = errc::client_gone;
  EXPECT_EQ(gone.category().name(), std::string_view("curfew.http"));
  EXPECT_EQ(gone.message(), "client gone");
  EXPECT_EQ(make_error_code(errc::connection_refused), std::errc::connection_refused);
  EXPECT_EQ(make_error_code(errc::connection_lost), std::errc::connection_reset);
  EXPECT_EQ(make_error_code(errc::truncated_body), std::errc::connection_reset);
  for (int i = 1; i <= static_cast<int>(errc::retry_too_late); ++i) {
    EXPECT_THAT(http_category().message(i), ::testing::Not(::testing::HasSubstr("unknown"))) << i;
  }
  EXPECT_EQ(http_category().message(99), "unknown http error 99");
}

}  // namespace
}  // namespace curfew::http
