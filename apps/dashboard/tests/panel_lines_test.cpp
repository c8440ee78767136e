#include "base/panel_lines.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "base/event_parser.hpp"

namespace curfew_dashboard {
namespace {

TEST(PanelLines, AreOneObjectEach) {
  progress p;
  p.fraction = 0.25;
  p.text = "a\nb";
  p.more["files"] = 3;
  const std::string line = progress_line(p);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const json::value parsed = json::parse(line);
  EXPECT_EQ(parsed.at("type"), "progress");
  EXPECT_EQ(parsed.at("fraction"), 0.25);
  EXPECT_EQ(parsed.at("text"), "a\nb");
  EXPECT_EQ(parsed.at("files"), 3);
}

TEST(PanelLines, HaveNullForAnUnknownFraction) {
  progress p;
  p.text = "x";
  EXPECT_TRUE(json::parse(progress_line(p)).at("fraction").is_null());
}

TEST(PanelLines, AreClassifiedAsWhatTheyAre) {
  EXPECT_EQ(classify_line(progress_line({0.5, "half", {}})), line_kind::progress);
  EXPECT_EQ(classify_line(result_line(json::value(nullptr))), line_kind::result);
  EXPECT_EQ(classify_line(error_line({"canceled", "gone"})), line_kind::error);
}

TEST(PanelLines, OfAnyOtherShapeAreNotTrusted) {
  for (const char* line :
       {"", "{", "[]", "3", R"({"type":3})", R"({"type":"result"})", R"({"type":"progress"})",
        R"({"type":"error","code":"x"})", R"({"type":"surprise","text":"x"})", "{\"type\":\"\xFF\"}"}) {
    EXPECT_EQ(classify_line(line), std::nullopt) << line;
  }
}

TEST(LineSplitter, FindsLinesHoweverTheBytesCome) {
  line_splitter lines;
  std::vector<std::string> found;
  for (const char c : std::string_view("one\n\ntwo\nthr")) {
    lines.feed({&c, 1});
    while (auto line = lines.next()) found.push_back(*line);
  }
  EXPECT_EQ(found, (std::vector<std::string>{"one", "", "two"}));
  EXPECT_EQ(lines.pending(), 3U);
  lines.feed("ee\nfour\n");
  EXPECT_EQ(lines.next(), "three");
  EXPECT_EQ(lines.next(), "four");
  EXPECT_EQ(lines.next(), std::nullopt);
  EXPECT_EQ(lines.pending(), 0U);
}

TEST(EventParser, ReadsNamesAndDataOfSeveralLines) {
  event_parser events;
  events.feed(": a comment\nevent: requests\ndata: {\ndata: }\n\ndata:x\r\n\r\nevent: no data\n\ndata: half");
  auto first = events.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->name, "requests");
  EXPECT_EQ(first->data, "{\n}");
  auto second = events.next();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->name, "");
  EXPECT_EQ(second->data, "x");
  EXPECT_FALSE(events.next());
  EXPECT_GT(events.pending(), 0U);
}

}  // namespace
}  // namespace curfew_dashboard
