#include "base/text.hpp"

#include <gtest/gtest.h>

#include <boost/json/object.hpp>

namespace curfew_dashboard {
namespace {

using namespace std::chrono_literals;

TEST(ToUtf8, KeepsWhatIsValid) {
  for (const char* text :
       {"", "plain", "<b>&\n\t\x01", "Grüße", "\u0080\u07FF\u0800\uFFFF", "\U00010000\U0010FFFF"}) {
    const shown_text shown = to_utf8(text);
    EXPECT_EQ(shown.text, text);
    EXPECT_FALSE(shown.lossy);
  }
}

TEST(ToUtf8, ReplacesEachBrokenSequenceOnce) {
  struct {
    std::string_view bytes;
    std::string_view text;
  } const cases[] = {
      {"a\xFFz", "a\uFFFDz"},                            // no such byte
      {"\x80\xBF", "\uFFFD\uFFFD"},                      // continuations without a beginning
      {"\xC3", "\uFFFD"},                                // cut off
      {"\xE2\x82z", "\uFFFDz"},                          // cut off after two of three
      {"\xF0\x9F\x98z", "\uFFFDz"},                      // cut off after three of four
      {"\xC0\xAF", "\uFFFD\uFFFD"},                      // overlong '/'
      {"\xE0\x80\xAF", "\uFFFD\uFFFD\uFFFD"},            // overlong in three
      {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},            // surrogate
      {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},  // beyond U+10FFFF
      {"\xC3\xC3\xA9", "\uFFFDé"},                       // the next one is whole again
  };
  for (const auto& c : cases) {
    const shown_text shown = to_utf8(c.bytes);
    EXPECT_EQ(shown.text, c.text);
    EXPECT_TRUE(shown.lossy);
  }
}

TEST(SetText, SaysWhereTheNameIsLossy) {
  json::object whole;
  set_text(whole, "path", "/tmp/ä");
  EXPECT_FALSE(whole.contains("name_is_lossy"));
  json::object lossy;
  set_text(lossy, "path", "/tmp/\xE4");
  EXPECT_EQ(lossy.at("path"), "/tmp/\uFFFD");
  EXPECT_EQ(lossy.at("name_is_lossy"), true);
}

TEST(HumanText, ReadsWell) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1204), "1,204");
  EXPECT_EQ(with_commas(1234567), "1,234,567");
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1024), "1 KiB");
  EXPECT_EQ(human_bytes(4301), "4.2 KiB");
  EXPECT_EQ(human_bytes(5ULL << 30U), "5 GiB");
  EXPECT_EQ(human_duration(250ms), "250 ms");
  EXPECT_EQ(human_duration(1s), "1 s");
  EXPECT_EQ(human_duration(1500ms), "1.5 s");
  EXPECT_EQ(human_duration(10min), "10 min");
}

TEST(PercentEncode, LeavesOnlyUnreservedCharacters) {
  EXPECT_EQ(percent_encode("/usr/a b&c=ä~"), "%2Fusr%2Fa%20b%26c%3D%C3%A4~");
}

}  // namespace
}  // namespace curfew_dashboard
