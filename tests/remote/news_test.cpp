#include "remote/news.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/remote/errc.hpp>
#include <random>
#include <string>
#include <system_error>
#include <tuple>
#include <vector>

namespace curfew::remote {
namespace {

using namespace std::chrono_literals;

class strange_category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "strange things"; }
  [[nodiscard]] std::string message(int code) const override { return "thing " + std::to_string(code); }
};

const strange_category strange;

read_end crossed(const cause& why, const std::vector<const std::error_category*>& known = {}) {
  auto scope = with_cancel(background());
  scope.cancel(why);
  auto read = parse_end(end_text(scope), known);
  EXPECT_TRUE(read.has_value());
  return read.value_or(read_end());
}

TEST(EndText, KeepsACause) {
  for (const cause& why : {cause("the user left"), cause(errc::lease_lost),
                           cause(make_error_code(curfew::errc::canceled), "with a text"),
                           cause(std::make_error_code(std::errc::io_error))}) {
    EXPECT_EQ(crossed(why).why, why) << why;
    EXPECT_FALSE(crossed(why).by_deadline);
  }
}

TEST(EndText, OfAnEndWithoutACauseIsItsErr) {
  auto scope = with_cancel(background());
  scope.cancel();
  EXPECT_EQ(parse_end(end_text(scope), {})->why, scope.cause());
  auto late = with_timeout(background(), 0s);
  const auto read = parse_end(end_text(late), {});
  EXPECT_TRUE(read->by_deadline);
  EXPECT_EQ(read->why, late.cause());
}

TEST(EndText, OfAForeignCategoryKeepsItsMessage) {
  const cause why(std::error_code(7, strange));
  EXPECT_EQ(crossed(why).why, cause("thing 7"));
  EXPECT_EQ(crossed(why, {&strange}).why, why);
}

TEST(EndText, IsShortAndOneLine) {
  auto scope = with_cancel(background());
  scope.cancel(std::string(150, 'x') + "\n\r\x01" + std::string(1000, 'y') + "ä");
  const auto text = end_text(scope);
  EXPECT_LE(text.size(), 200U);
  EXPECT_EQ(text.find_first_of("\n\r\x01"), std::string::npos);
}

TEST(EndText, IsCutBetweenCharacters) {
  std::string umlauts = "x";
  for (int i = 0; i != 200; ++i) umlauts += "ä";
  const auto said = crossed(umlauts).why.message();
  EXPECT_EQ(said, umlauts.substr(0, said.size()));
  EXPECT_EQ(said.size() % 2, 1U);
}

TEST(News, SaysWhatItWasMadeOf) {
  const auto read = parse_news("17 10000\n3 c - 0 one\n4 d curfew 2 deadline exceeded");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->count, 17U);
  EXPECT_EQ(read->lease, 10s);
  ASSERT_EQ(read->ends.size(), 2U);
  EXPECT_EQ(read->ends[0].number, 3U);
  EXPECT_EQ(read->ends[0].text, "c - 0 one");
  EXPECT_EQ(read->ends[1].number, 4U);
  EXPECT_TRUE(parse_news("1 0"));
}

TEST(News, OfNonsenseAreRefused) {
  for (const char* each :
       {"", "x", "1", "1 ", "1 -5", "-1 5", "1 5 6", "1 5\nx", "1 5\n\n", "1 5\n99999999999999999999 c"})
    EXPECT_FALSE(parse_news(each)) << each;
  for (const char* each : {"", "x", "c", "c curfew", "c curfew x y", "e curfew 1 z", "c  1 z"})
    EXPECT_FALSE(parse_end(each, {})) << each;
}

TEST(News, OfAnyBytesDoNoHarm) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string original = "17 10000\n3 c - 0 one\n4 d curfew 2 deadline exceeded";
  for (int i = 0; i < 20'000; ++i) {
    std::string text = original;
    for (int changes = 0; changes != 3; ++changes) {
      text[std::uniform_int_distribution<std::size_t>(0, text.size() - 1)(random)] =
          static_cast<char>(std::uniform_int_distribution<int>(-128, 127)(random));
    }
    if (const auto read = parse_news(text)) {
      for (const auto& each : read->ends) std::ignore = parse_end(each.text, {});
    }
  }
}

}  // namespace
}  // namespace curfew::remote
