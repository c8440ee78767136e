#include <curfew/core.hpp>
#include <curfew/testing/manual_clock.hpp>

#include <algorithm>
#include <chrono>
#include <gtest/gtest.h>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;

constexpr key<std::string> trace_id{"trace id"};
constexpr key<std::string> shown{"user", show_value};
constexpr key<int> shown_number{"tries", show_value};

TEST(Path, TellsHowAContextCameToBe) {
  const auto scope = with_timeout(background(), 3s);
  EXPECT_EQ(background().path(), "background");
  EXPECT_EQ(todo().path(), "todo");
  EXPECT_EQ(with_value(scope, trace_id, "secret").path(), "background.with_timeout(3s).with_value(trace id)");
  const auto child = with_cancel(scope);
  EXPECT_EQ(child.ctx().path(), "background.with_timeout(3s).with_cancel");
  EXPECT_EQ(without_cancel(child).path(), "background.with_timeout(3s).with_cancel.without_cancel");
  const auto both = merge(background(), child);
  EXPECT_EQ(both.ctx().path(), "background.merge(1 more)");
}

TEST(Path, TellsATimeoutThatTheParentsDeadlineCutsShort) {
  const auto scope = with_timeout(background(), 3s);
  const auto longer = with_timeout(scope, 10s);
  EXPECT_EQ(longer.ctx().path(), "background.with_timeout(3s).with_timeout(10s)");
}

TEST(Path, RoundsDurationsToThreeDigits) {
  testing::manual_clock clock;
  const auto in = [](std::string_view d) { return "background.with_timeout(" + std::string(d) + ")"; };
  struct pair {
    std::chrono::nanoseconds asked;
    const char* text;
  };
  for (const pair& each :
       {pair{-5s, "0s"}, pair{0s, "0s"}, pair{1ns, "1ns"}, pair{510ns, "510ns"}, pair{511ns, "512ns"},
        pair{1us, "1us"}, pair{150ms, "150ms"}, pair{250ms, "250ms"}, pair{999ms, "999ms"}, pair{1s, "1s"},
        pair{1250ms, "1.25s"}, pair{30s, "30s"}, pair{59s, "59s"}, pair{60s, "1min"}, pair{5min, "5min"},
        pair{1h, "1h"}, pair{24h, "24h"}, pair{876000h, "876000h"}}) {
    const auto scope = with_timeout(clock.background(), each.asked);
    if (each.asked < 1000h) {
      EXPECT_EQ(scope.ctx().path(), in(each.text)) << each.asked.count();
    }
  }
  const auto at = with_deadline(clock.background(), clock.now() + 2s);
  EXPECT_EQ(at.ctx().path(), "background.with_deadline(in 2s)");
  const auto for_ever = with_timeout(clock.background(), clock::duration::max() - 1ns);
  EXPECT_NE(for_ever.ctx().path().find("h)"), std::string::npos);
}

TEST(Path, ShowsAValueOnlyIfItsKeyAllowsIt) {
  EXPECT_EQ(with_value(background(), trace_id, "hunter2").path().find("hunter2"), std::string::npos);
  EXPECT_EQ(with_value(background(), shown, "ann").path(), R"(background.with_value(user="ann"))");
  EXPECT_EQ(with_value(background(), shown_number, 3).path(), R"(background.with_value(tries="3"))");
}

TEST(Path, KeepsAShownValueOnOneLine) {
  EXPECT_EQ(with_value(background(), shown, "a\nb\"c\\").path(),
            R"(background.with_value(user="a\x0ab\"c\\"))");
  EXPECT_LT(with_value(background(), shown, std::string(10'000, 'x')).path().size(), 200U);
}

TEST(Path, CutsALongPathInItsMiddle) {
  context ctx = with_value(background(), trace_id, "first");
  for (int i = 0; i != 100'000; ++i) ctx = with_value(ctx, shown_number, i);
  const std::string path = ctx.path();
  EXPECT_TRUE(path.starts_with("background.with_value(trace id).with_value(tries=\"0\")")) << path;
  EXPECT_TRUE(path.ends_with(".with_value(tries=\"99999\")")) << path;
  EXPECT_NE(path.find(".(99970 more)"), std::string::npos) << path;
  EXPECT_LT(path.size(), 1000U);
}

TEST(Path, OfAsManyStepsAsAreShownIsNotCut) {
  context ctx = background();
  std::string expected = "background";
  for (int i = 0; i != 31; ++i) {
    ctx = with_value(ctx, shown_number, i);
    expected += ".with_value(tries=\"" + std::to_string(i) + "\")";
  }
  EXPECT_EQ(ctx.path(), expected);
  EXPECT_NE(with_value(ctx, trace_id, "").path().find("(1 more)"), std::string::npos);
}

TEST(Origin, IsTheLineOfTheDerivation) {
  const auto scope = with_timeout(background(), 3s);
  const auto here = std::source_location::current();
  EXPECT_EQ(scope.ctx().origin().line(), here.line() - 1);
  EXPECT_STREQ(scope.ctx().origin().file_name(), here.file_name());
  const context valued = with_value(scope, trace_id, "x");
  EXPECT_EQ(valued.origin().line(), here.line() + 3);
  const auto both = merge(scope, valued);
  EXPECT_EQ(both.ctx().origin().line(), here.line() + 5);
  EXPECT_EQ(background().origin().line(), 0U);
}

TEST(TodoPlaces, ListsEachLineOnce) {
  const auto before = todo_places().size();
  std::uint_least32_t line = 0;
  for (int i = 0; i != 3; ++i) {
    line = std::source_location::current().line() + 1;
    EXPECT_FALSE(todo().err());
  }
  const auto places = todo_places();
  ASSERT_EQ(places.size(), before + 1);
  EXPECT_EQ(places.back().line(), line);
}

}  // namespace
}  // namespace curfew
