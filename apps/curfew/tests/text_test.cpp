#include "text.hpp"

#include <gtest/gtest.h>

#include <clocale>
#include <cmath>
#include <limits>
#include <string>

namespace curfew_program {
namespace {

/// Widths are those of the locale.
class Text : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(std::setlocale(LC_CTYPE, "C.UTF-8"), nullptr); }
};

TEST_F(Text, NothingInItSteersATerminal) {
  EXPECT_EQ(printable("\x1b[2J\x1b]0;x\x07"), "\\x1b[2J\\x1b]0;x\\x07");
  EXPECT_EQ(printable("a\tb\nc\rd\x7f"), "a\\tb\\nc\\rd\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\x9b31m")
      << "CSI as one character";
  EXPECT_EQ(printable("a\u202e"
                      "b\u200bc"),
            "a\\u{202e}b\\u{200b}c");
}

TEST_F(Text, WhatIsNotUtf8IsReplaced) {
  EXPECT_EQ(printable("a\xff"
                      "b\xe2\x82"),
            "a\uFFFDb\uFFFD");
  EXPECT_EQ(printable("\xed\xa0\x80\xc0\xaf"), "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD")
      << "surrogates, overlong forms";
  EXPECT_EQ(printable("grün 漢字 🦊"), "grün 漢字 🦊");
}

TEST_F(Text, LongTextIsCut) {
  EXPECT_EQ(printable(std::string(3000, 'x')), std::string(2000, 'x') + "…");
  EXPECT_EQ(printable("äöü", 4), "äö…");
}

TEST_F(Text, FitsIntoColumns) {
  EXPECT_EQ(width_of("grün"), 4U);
  EXPECT_EQ(width_of("漢字"), 4U);
  EXPECT_EQ(cut("abcdef", 4), "abc…");
  EXPECT_EQ(cut("漢字漢字", 4), "漢…") << "half a character has no room";
  EXPECT_EQ(cut("abc", 0), "");
  EXPECT_EQ(cut_front("abcdef", 4), "…def");
  EXPECT_EQ(cut_front("漢字漢字", 4), "…字");
  EXPECT_EQ(cut_front("ab", 2), "ab");
  EXPECT_EQ(left("ab", 4), "ab  ");
  EXPECT_EQ(right("ab", 4), "  ab");
  EXPECT_EQ(width_of(left("漢字漢字", 6)), 6U);
}

TEST_F(Text, AsciiKeepsTheWidthOfWhatTheProgramDraws) {
  EXPECT_EQ(ascii("│ └─a 5 µs…"), "| `-a 5 us~");
  EXPECT_EQ(ascii("grün"), "gr?n");
}

TEST_F(Text, DurationsReadAsOnThePage) {
  EXPECT_EQ(duration(0), "0");
  EXPECT_EQ(duration(0.25), "250 µs");
  EXPECT_EQ(duration(2.1), "2.1 ms");
  EXPECT_EQ(duration(312), "312 ms");
  EXPECT_EQ(duration(1500), "1.50 s");
  EXPECT_EQ(duration(59'900), "59.9 s");
  EXPECT_EQ(duration(125'000), "2 min 05 s");
  EXPECT_EQ(duration(3.2 * 3'600'000), "3 h 12 min");
  EXPECT_EQ(ticking(1234), "1.2 s");
  EXPECT_EQ(ticking(-5), "0.0 s");
  EXPECT_EQ(duration(std::numeric_limits<double>::infinity()), "0");
  EXPECT_EQ(duration(std::nan("")), "0");
}

TEST_F(Text, NumbersAndPlaces) {
  EXPECT_EQ(count(1234567), "1,234,567");
  EXPECT_EQ(cores(0.0049), "0");
  EXPECT_EQ(cores(1.256), "1.26");
  EXPECT_EQ(short_place("/usr/src/shop/server/exchange.cpp", 71), "server/exchange.cpp:71");
  EXPECT_EQ(short_place("main.cpp", 3), "main.cpp:3");
  EXPECT_EQ(percent_encode("a b&c=ä"), "a%20b%26c%3D%C3%A4");
}

}  // namespace
}  // namespace curfew_program
