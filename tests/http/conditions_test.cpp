#include "http/message/conditions.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "http/message/http_date.hpp"

namespace curfew::http {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view tag = "\"5f-12\"";
constexpr std::string_view before = "Sun, 06 Nov 1994 08:49:36 GMT";
constexpr std::string_view then = "Sun, 06 Nov 1994 08:49:37 GMT";
constexpr std::string_view after = "Sun, 06 Nov 1994 08:49:38 GMT";

representation now() { return {tag, parse_http_date(then)}; }

using list = std::vector<std::pair<std::string_view, std::string_view>>;

fields made(const list& all) {
  fields f;
  for (const auto& [name, value] : all) f.set(name, value);
  return f;
}

condition judge(const list& all, bool reads = true) { return judge_conditions(made(all), now(), reads); }

TEST(Conditions, AreThoseOfTheStandard) {
  using enum condition;
  EXPECT_EQ(judge({}), holds);
  EXPECT_EQ(judge({{"If-None-Match", tag}}), not_modified);
  EXPECT_EQ(judge({{"If-None-Match", "\"a\", W/\"5f-12\""}}), not_modified) << "a weak one is enough";
  EXPECT_EQ(judge({{"If-None-Match", "*"}}), not_modified);
  EXPECT_EQ(judge({{"If-None-Match", "\"a\""}}), holds);
  EXPECT_EQ(judge({{"If-None-Match", tag}}, false), failed);
  EXPECT_EQ(judge({{"If-Match", tag}}), holds);
  EXPECT_EQ(judge({{"If-Match", "*"}}), holds);
  EXPECT_EQ(judge({{"If-Match", "W/\"5f-12\""}}), failed) << "a weak one is another";
  EXPECT_EQ(judge({{"If-Match", "\"a\", \"b\""}}), failed);
  EXPECT_EQ(judge({{"If-Modified-Since", before}}), holds);
  EXPECT_EQ(judge({{"If-Modified-Since", then}}), not_modified);
  EXPECT_EQ(judge({{"If-Modified-Since", after}}), not_modified);
  EXPECT_EQ(judge({{"If-Modified-Since", then}}, false), holds) << "not of a method that writes";
  EXPECT_EQ(judge({{"If-Modified-Since", "yesterday"}}), holds);
  EXPECT_EQ(judge({{"If-Unmodified-Since", before}}), failed);
  EXPECT_EQ(judge({{"If-Unmodified-Since", then}}), holds);
  EXPECT_EQ(judge({{"If-Unmodified-Since", "yesterday"}}), holds);
}

TEST(Conditions, ATagCountsBeforeADate) {
  using enum condition;
  EXPECT_EQ(judge({{"If-None-Match", "\"a\""}, {"If-Modified-Since", after}}), holds);
  EXPECT_EQ(judge({{"If-Match", tag}, {"If-Unmodified-Since", before}}), holds);
  EXPECT_EQ(judge({{"If-Match", "\"a\""}, {"If-None-Match", tag}}), failed);
}

TEST(Conditions, WithoutADateNoDateCounts) {
  const representation undated{tag, {}};
  EXPECT_EQ(judge_conditions(made({{"If-Modified-Since", after}}), undated, true), condition::holds);
  EXPECT_EQ(judge_conditions(made({{"If-Unmodified-Since", before}}), undated, true), condition::holds);
}

/// "2+3" of ten bytes; "all"; "none".
std::string range(std::string_view text, std::uint64_t size = 10, std::string_view if_range = {}) {
  fields f = made({{"Range", text}});
  if (!if_range.empty()) f.set("If-Range", if_range);
  const auto found = asked_range(f, now(), size);
  if (!found) return "all";
  if (found->length == 0) return "none";
  return std::to_string(found->offset) + '+' + std::to_string(found->length);
}

TEST(Ranges, AreReadAndCutToSize) {
  EXPECT_EQ(range("bytes=0-0"), "0+1");
  EXPECT_EQ(range("bytes=2-4"), "2+3");
  EXPECT_EQ(range("bytes=2-"), "2+8");
  EXPECT_EQ(range("bytes=9-9"), "9+1");
  EXPECT_EQ(range("bytes=2-100"), "2+8");
  EXPECT_EQ(range("bytes=2-99999999999999999999999"), "2+8");
  EXPECT_EQ(range("bytes=-3"), "7+3");
  EXPECT_EQ(range("bytes=-100"), "0+10");
  EXPECT_EQ(range("BYTES= 2-4 "), "2+3");
}

TEST(Ranges, ThatAreNotThere) {
  for (const auto* text : {"bytes=10-", "bytes=10-20", "bytes=99999999999999999999999-", "bytes=-0"})
    EXPECT_EQ(range(text), "none") << text;
  EXPECT_EQ(range("bytes=0-", 0), "none");
  EXPECT_EQ(range("bytes=-1", 0), "none");
}

TEST(Ranges, ThatSayNothingGetAll) {
  for (const auto* text :
       {"", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=4-2", "bytes=1-2,4-5", "bytes=-1,2-3",
        "bytes=1", "bytes=1-2-3", "bytes=+1-2", "bytes=0x1-2", "items=0-1"})
    EXPECT_EQ(range(text), "all") << text;
}

TEST(Ranges, AreOfOneVersion) {
  EXPECT_EQ(range("bytes=2-4", 10, tag), "2+3");
  EXPECT_EQ(range("bytes=2-4", 10, "W/\"5f-12\""), "all");
  EXPECT_EQ(range("bytes=2-4", 10, "\"a\""), "all");
  EXPECT_EQ(range("bytes=2-4", 10, then), "2+3");
  EXPECT_EQ(range("bytes=2-4", 10, after), "all") << "a date has to be that of the file";
  EXPECT_EQ(range("bytes=2-4", 10, "yesterday"), "all");
}

TEST(HttpDate, IsWrittenAsItIsRead) {
  using namespace std::chrono;
  for (const auto* text : {"Thu, 01 Jan 1970 00:00:00 GMT", "Sun, 06 Nov 1994 08:49:37 GMT",
                           "Tue, 29 Feb 2000 23:59:59 GMT", "Fri, 31 Dec 9999 12:00:00 GMT"}) {
    const auto when = parse_http_date(text);
    ASSERT_TRUE(when) << text;
    EXPECT_EQ(to_http_date(*when), text);
  }
}

}  // namespace
}  // namespace curfew::http
