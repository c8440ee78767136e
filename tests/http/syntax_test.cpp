#include "http/message/syntax.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace curfew::http {
namespace {

TEST(Syntax, ATokenHasNoSeparators) {
  EXPECT_TRUE(is_token("Content-Type"));
  EXPECT_TRUE(is_token("!#$%&'*+-.^_`|~09azAZ"));
  for (const std::string& bad : {std::string(), std::string("a b"), std::string("a:"), std::string("a\n"),
                                 std::string("(a)"), std::string("\xc3\xa4"), std::string("a\0b", 3)}) {
    EXPECT_FALSE(is_token(bad)) << bad;
  }
}

TEST(Syntax, AFieldValueHasNoControlCharactersButTabs) {
  EXPECT_TRUE(is_field_value(""));
  EXPECT_TRUE(is_field_value("a\tb \xc3\xa4"));
  for (const std::string& bad :
       {std::string("a\rb"), std::string("a\nb"), std::string("\x7f"), std::string(1, '\0')}) {
    EXPECT_FALSE(is_field_value(bad));
  }
}

TEST(Syntax, ItemsOfAListAreTrimmed) {
  std::vector<std::string> all;
  const auto keep = [&](std::string_view item) {
    all.emplace_back(item);
    return false;
  };
  EXPECT_FALSE(any_item(" a ,b\t,, c d", keep));
  EXPECT_THAT(all, ::testing::ElementsAre("a", "b", "", "c d"));
  EXPECT_TRUE(any_item("a, b", [](std::string_view item) { return item == "b"; }));
}

}  // namespace
}  // namespace curfew::http
