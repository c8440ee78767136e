#include <curfew/http/status.hpp>

#include <gtest/gtest.h>

#include <sstream>

namespace curfew::http {
namespace {

TEST(Status, PrintsNumberAndReason) {
  std::ostringstream out;
  out << status::not_found << '|' << static_cast<status>(299);
  EXPECT_EQ(out.str(), "404 Not Found|299");
}

}  // namespace
}  // namespace curfew::http
