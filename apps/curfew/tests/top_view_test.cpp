#include "top_view.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <clocale>
#include <string>
#include <vector>

#include "event_reader.hpp"
#include "text.hpp"

namespace curfew_program {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const auto now = curfew::clock::time_point(std::chrono::seconds(100));

task made(const std::string& id, const std::string& name, const std::string& parent = "") {
  task one;
  one.id = id;
  one.parent = parent;
  one.kind = "request";
  one.name = name;
  one.file = "src/shop.cpp";
  one.line = 71;
  one.age_ms = 5000;
  return one;
}

look of(std::vector<task> tasks) {
  look all;
  for (const auto& each : tasks) all.totals.zombies += each.state == state::zombie ? 1 : 0;
  all.totals.open = tasks.size();
  all.tasks = std::move(tasks);
  return all;
}

class TopView : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(std::setlocale(LC_CTYPE, "C.UTF-8"), nullptr);
    view.processes[0].name = "shop 4711";
    auto zombie = made("2", "GET /report");
    zombie.state = state::zombie;
    zombie.told = {"canceled", "client gone", 1200, 900};
    view.processes[0].heard_of(of({made("1", "POST /import"), zombie, made("3", "resize", "1")}), now);
  }

  std::string drawn(screen_size size = {100, 20}) {
    std::string all;
    lines = view.draw(now, size);
    EXPECT_EQ(lines.size(), size.height);
    for (const auto& line : lines) {
      std::string text;
      for (const auto& each : line) text += each.text;
      EXPECT_LE(width_of(text), size.width) << text;
      all += text + '\n';
    }
    return all;
  }
  wish press(key which) { return view.press({which, 0}); }
  wish type(const std::string& text) {
    wish last;
    for (const char c : text) last = view.press({key::character, static_cast<char32_t>(c)});
    return last;
  }
  [[nodiscard]] std::string selected() const {
    for (const auto& line : lines) {
      for (const auto& each : line) {
        if (each.as == look_of::selected || each.as == look_of::selected_alarm) return each.text;
      }
    }
    return {};
  }

  top_view view{1, true};
  std::vector<screen_line> lines;
};

TEST_F(TopView, ZombiesAreOnTopAndMarkedByALetter) {
  EXPECT_THAT(drawn(), HasSubstr("shop 4711: 1 zombie, 0 told, 3 open"));
  EXPECT_THAT(selected(), testing::StartsWith("Z "));
  EXPECT_THAT(selected(), HasSubstr("GET /report"));
  EXPECT_THAT(drawn(), HasSubstr("└─request resize"));
  EXPECT_THAT(drawn(), HasSubstr("told 1.2 s ago: canceled: client gone"));
}

TEST_F(TopView, LongAgesFitIntoTheirColumn) {
  auto one = made("1", "GET /a");
  one.age_ms = 125'000;
  auto two = made("2", "GET /b");
  two.age_ms = 3.2 * 3'600'000;
  view.processes[0].heard_of(of({one, two}), now);
  EXPECT_THAT(drawn(), HasSubstr("W    2m05s "));
  EXPECT_THAT(drawn(), HasSubstr("W    3h12m "));
}

TEST_F(TopView, FitsIntoAnyScreen) {
  for (std::size_t width = 1; width < 130; width += 3) {
    for (const std::size_t height : {1U, 2U, 3U, 5U, 6U, 8U, 10U, 24U}) drawn({width, height});
  }
  EXPECT_THAT(drawn({40, 10}), HasSubstr("request GET"));
  EXPECT_TRUE(view.draw(now, {0, 0}).empty());
}

TEST_F(TopView, TheSelectionStaysWithItsTask) {
  drawn();
  press(key::down);
  drawn();
  EXPECT_THAT(selected(), HasSubstr("POST /import"));
  auto worse = made("4", "GET /worse");
  worse.state = state::zombie;
  worse.told = {"canceled", "", 9000, 0};
  view.processes[0].heard_of(of({made("1", "POST /import"), worse}), now);
  drawn();
  EXPECT_THAT(selected(), HasSubstr("POST /import"));
  view.processes[0].gone("connection refused");
  EXPECT_THAT(drawn(), HasSubstr("away: connection refused"));
  press(key::enter);
  EXPECT_FALSE(view.page());
}

TEST_F(TopView, AKeyAfterATaskHasGoneIsHarmless) {
  drawn();
  view.processes[0].heard_of(of({}), now);  // the rows drawn are those of before
  press(key::down);
  press(key::enter);
  EXPECT_TRUE(view.page());
}

TEST_F(TopView, AFilterNarrowsAsItIsTyped) {
  drawn();
  type("\\impo");
  EXPECT_THAT(drawn(), Not(HasSubstr("GET /report")));
  press(key::enter);
  EXPECT_THAT(drawn(), HasSubstr("[filter: impo]"));
  press(key::filter);
  press(key::escape);
  EXPECT_THAT(drawn(), HasSubstr("GET /report"));
}

TEST_F(TopView, SearchMovesToTheNextOne) {
  drawn();
  type("/resize");
  press(key::enter);
  drawn();
  EXPECT_THAT(selected(), HasSubstr("resize"));
  type("/nothing");
  press(key::enter);
  EXPECT_THAT(drawn(), HasSubstr("nothing has \"nothing\""));
}

TEST_F(TopView, EndingATaskAsksForAReason) {
  drawn();
  type("k");
  EXPECT_THAT(drawn(), HasSubstr("Why end request GET /report?"));
  EXPECT_FALSE(press(key::enter).end) << "no reason was given";
  type("k");
  type("stuc");
  press(key::backspace);
  type("ck");
  const auto wanted = press(key::enter).end;
  ASSERT_TRUE(wanted);
  EXPECT_EQ(wanted->id, "2");
  EXPECT_EQ(wanted->reason, "stuck");
}

TEST_F(TopView, WithoutATokenNoTaskIsEnded) {
  top_view other(1, false);
  other.processes = view.processes;
  std::ignore = other.draw(now, {80, 24});
  other.press({key::cancel, 0});
  std::string all;
  for (const auto& line : other.draw(now, {80, 24})) {
    for (const auto& each : line) all += each.text;
  }
  EXPECT_THAT(all, HasSubstr("needs a token"));
}

TEST_F(TopView, APauseKeepsWhatIsShown) {
  drawn();
  type(" ");
  view.processes[0].heard_of(of({}), now);
  EXPECT_THAT(drawn(), HasSubstr("GET /report"));
  EXPECT_THAT(drawn(), HasSubstr("[paused]"));
  type(" ");
  EXPECT_THAT(drawn(), HasSubstr("Nothing is open."));
}

TEST_F(TopView, ThePageOfATaskComesAndGoes) {
  drawn();
  EXPECT_TRUE(press(key::enter).page_changed);
  ASSERT_TRUE(view.page());
  EXPECT_EQ(view.page()->id, "2");
  view.fill({"2", false}, {"GET /report  (zombie)", "  Age  5.0 s"});
  EXPECT_THAT(drawn(), HasSubstr("Age  5.0 s"));
  EXPECT_TRUE(type("s").page_changed);
  EXPECT_TRUE(view.page()->with_stack);
  view.fill({"2", false}, {"too late"});
  EXPECT_THAT(drawn(), Not(HasSubstr("too late")));
  EXPECT_TRUE(press(key::escape).page_changed);
  EXPECT_FALSE(view.page());
  EXPECT_TRUE(type("q").quit);
}

TEST_F(TopView, OrderAndTreesChange) {
  drawn();
  press(key::order);
  EXPECT_THAT(drawn(), HasSubstr("ordered by age"));
  type("t");
  EXPECT_THAT(drawn(), HasSubstr("TASK (no trees)"));
  type("?");
  EXPECT_THAT(drawn(), HasSubstr("curfew top: what curfew programs"));
  type("x");
  EXPECT_THAT(drawn(), HasSubstr("GET /report"));
}

TEST(RateMeter, IsTheGrowthOfASecond) {
  rate_meter meter;
  meter.add(1'000'000'000, 100);
  EXPECT_DOUBLE_EQ(meter.cores(), 0);
  meter.add(1'100'000'000, 5000);
  EXPECT_DOUBLE_EQ(meter.cores(), 0) << "too early to say";
  meter.add(3'000'000'000, 1100);
  EXPECT_DOUBLE_EQ(meter.cores(), 0.5);
  meter.add(4'000'000'000, 10);
  EXPECT_DOUBLE_EQ(meter.cores(), 0) << "another process";
}

TEST(EventReader, KeepsTheLastEventThatIsComplete) {
  event_reader events("look");
  events.feed("event: look\r\ndata: {\"a\":1}\r\n\r\nevent: look\ndata: 2\n\n: a comment\nevent: oth");
  EXPECT_EQ(events.take_last(), "2");
  EXPECT_EQ(events.take_last(), std::nullopt);
  events.feed("er\ndata: x\n\nevent: look\ndata: a\ndata: b\n");
  EXPECT_EQ(events.take_last(), std::nullopt);
  EXPECT_GT(events.pending(), 0U);
  events.feed("\n");
  EXPECT_EQ(events.take_last(), "a\nb");
  EXPECT_EQ(events.pending(), 0U);
}

}  // namespace
}  // namespace curfew_program
