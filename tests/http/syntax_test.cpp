#include "http/message/syntax.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
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

TEST(Syntax, AControlCharacterIsSeenInEachPlace) {
  for (std::size_t size = 1; size <= 20; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (int c = 0; c < 256; ++c) {
        for (const char other : {'x', '\x20', '\x7e', '\x80', '\xff'}) {
          std::string text(size, other);
          text[at] = static_cast<char>(c);
          ASSERT_EQ(is_field_value(text), c == '\t' || (c >= 0x20 && c != 0x7f)) << c << " at " << at;
        }
      }
    }
  }
}

TEST(Syntax, ATokenEndsAtTheFirstOtherCharacter) {
  EXPECT_EQ(token_size("Host: a"), 4U);
  EXPECT_EQ(token_size("Host"), 4U);
  EXPECT_EQ(token_size(" Host"), 0U);
  EXPECT_EQ(token_size(""), 0U);
  EXPECT_EQ(token_size("a\x80"), 1U);
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

TEST(Syntax, ANumberIsDigitsAndNothingBesideThem) {
  EXPECT_EQ(parse_number<std::uint16_t>("65535"), 65535);
  EXPECT_EQ(parse_number<std::uint64_t>("18446744073709551615"), UINT64_MAX);
  for (const char* other : {"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "65536"}) {
    EXPECT_EQ(parse_number<std::uint16_t>(other), std::nullopt) << other;
  }
}

TEST(Syntax, ALengthIsThatOfAFile) {
  EXPECT_EQ(parse_length("0"), 0U);
  EXPECT_EQ(parse_length("9223372036854775807"), static_cast<std::uint64_t>(INT64_MAX));
  EXPECT_EQ(parse_length("9223372036854775808"), std::nullopt);
  EXPECT_EQ(parse_length("5, 5"), std::nullopt);
}

}  // namespace
}  // namespace curfew::http
