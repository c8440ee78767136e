#include "redis/format.hpp"

#include <gtest/gtest.h>
#include <hiredis/hiredis.h>

#include <cstddef>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "race.hpp"

namespace curfew::redis {
namespace {

using namespace std::string_view_literals;

std::string as_hiredis_does(const std::vector<std::string_view>& words) {
  std::vector<const char*> begins;
  std::vector<std::size_t> lengths;
  for (const auto& each : words) {
    begins.push_back(each.data());
    lengths.push_back(each.size());
  }
  char* made = nullptr;
  const auto length =
      ::redisFormatCommandArgv(&made, static_cast<int>(words.size()), begins.data(), lengths.data());
  std::string text(made, static_cast<std::size_t>(length));
  ::redisFreeCommand(made);
  return text;
}

TEST(Format, IsWhatRedisReads) {
  EXPECT_EQ(format(std::vector{"SET"sv, "a key"sv, ""sv}), "*3\r\n$3\r\nSET\r\n$5\r\na key\r\n$0\r\n\r\n");
  EXPECT_EQ(format(std::vector{"\r\n\0\xff"sv}), "*1\r\n$4\r\n\r\n\0\xff\r\n"sv);
}

TEST(Format, IsThatOfHiredisForAnyWords) {
  std::mt19937_64 random(testing::announce_seed("words that are formatted"));
  for (int i = 0; i != 300; ++i) {
    std::vector<std::string> words(1 + random() % 12);
    for (auto& each : words) {
      each.resize(random() % (random() % 20 == 0 ? 70'000 : 12));
      for (auto& byte : each) byte = static_cast<char>(random());
    }
    const std::vector<std::string_view> views(words.begin(), words.end());
    ASSERT_EQ(format(views), as_hiredis_does(views));
  }
}

TEST(Format, RefusesWhatRedisWouldNotTake) {
  EXPECT_THROW(std::ignore = format({}), std::length_error);
  EXPECT_THROW(std::ignore = format(std::vector<std::string_view>(1'048'577, "a"sv)), std::length_error);
  EXPECT_EQ(format(std::vector<std::string_view>(1'048'576, "a"sv)).substr(0, 17), "*1048576\r\n$1\r\na\r\n");
  EXPECT_THROW(std::ignore = format(std::vector{std::string_view("a", 536'870'913)}), std::length_error);
}

}  // namespace
}  // namespace curfew::redis
