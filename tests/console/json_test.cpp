#include "console/json.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "console/describe.hpp"
#include "console/dump.hpp"
#include "console/metrics.hpp"

namespace curfew::inspect {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

std::string written(std::string_view bytes) {
  std::string text;
  json_writer(text).text(bytes);
  return text;
}

TEST(Json, AnyBytesBecomeText) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string bytes{'x', static_cast<char>(first), static_cast<char>(second), 'y'};
      const auto read = json::parse(written(bytes));  // throws for control characters and malformed UTF-8
      ASSERT_TRUE(read.as_string().starts_with('x')) << first << ' ' << second;
      ASSERT_TRUE(read.as_string().ends_with('y')) << first << ' ' << second;
    }
  }
}

TEST(Json, TextComesBackAsItWas) {
  for (const std::string& text :
       std::vector{std::string("\"\\/<script>&'</script>"), std::string("a\0b\x1f\x7f\n\r\t", 9),
                   std::string("h\u00fcbsch \u2028 \U0001F600")}) {
    EXPECT_EQ(json::parse(written(text)).as_string(), text);
  }
}

TEST(Json, MalformedUtf8IsReplaced) {
  EXPECT_EQ(json::parse(written("a\xff\xc0\xafz")).as_string(), "a\uFFFD\uFFFD\uFFFDz");
  EXPECT_EQ(json::parse(written("\xed\xa0\x80")).as_string(), "\uFFFD\uFFFD\uFFFD");  // a surrogate
  EXPECT_EQ(json::parse(written("\xe2\x82")).as_string(), "\uFFFD");                  // cut short
}

TEST(Json, DurationsAreExact) {
  EXPECT_EQ(in_milliseconds(0ns), "0");
  EXPECT_EQ(in_milliseconds(1ns), "0.000001");
  EXPECT_EQ(in_milliseconds(1'500'000ns), "1.5");
  EXPECT_EQ(in_milliseconds(2h), "7200000");
  EXPECT_EQ(in_milliseconds(-250us), "-0.25");
  EXPECT_EQ(in_milliseconds(-1'000'001ns), "-1.000001");
}

TEST(Json, AnIdIs16DigitsAndNoneIsNull) {
  std::string text;
  json_writer to(text);
  to.begin_array().id(0xab).id(0).id(~std::uint64_t{0}).end_array();
  EXPECT_EQ(text, R"(["00000000000000ab",null,"ffffffffffffffff"])");
}

TEST(Json, ATaskHasTheFieldsOfItsStruct) {
  task_info task;
  task.id = 3;
  task.kind = "request";
  task.name = "GET \"/\x01\xff\"";
  task.path = "background";
  task.opened = clock::time_point(5ns);
  task.state = state::zombie;
  task.told = told_to_stop{std::make_error_code(std::errc::timed_out), cause("client <gone>"),
                           clock::time_point(9ns), 250us};
  task.values.push_back({"user", "\xc3("});
  std::string text;
  json_writer to(text);
  write(to, task);
  const auto read = json::parse(text).as_object();
  EXPECT_EQ(read.at("id"), "0000000000000003");
  EXPECT_TRUE(read.at("parent").is_null());
  EXPECT_TRUE(read.at("remaining_ms").is_null());
  EXPECT_TRUE(read.at("waits").is_null());
  EXPECT_EQ(read.at("state"), "zombie");
  EXPECT_EQ(read.at("opened_ns"), 5);
  EXPECT_EQ(read.at("told").at("cause"), "client <gone>");
  EXPECT_EQ(read.at("told").at("cpu_ms"), 0.25);
  EXPECT_EQ(read.at("values").at(0).at("text"), "\uFFFD(");
  EXPECT_EQ(read.at("name"), "GET \"/\x01\uFFFD\"");
}

TEST(Spelled, NothingIsLeftThatSteersATerminal) {
  EXPECT_EQ(spelled("a\x1b[2J\nb\x7f"), R"(a\x1b[2J\x0ab\x7f)");
  EXPECT_EQ(spelled("\xc2\x9b"), R"(\x9b)");  // CSI
  EXPECT_EQ(spelled("h\u00fcbsch\xff"), "h\u00fcbsch\uFFFD");
}

// ---- metrics ----

struct line {
  std::string name;
  std::string labels;
  double value;
};

/// Reads the text format as Prometheus does; throws for what is not of it.
std::vector<line> read_metrics(const std::string& text) {
  std::vector<line> lines;
  std::istringstream in(text);
  std::string described;
  for (std::string each; std::getline(in, each);) {
    if (each.starts_with("# TYPE ")) {
      described = each.substr(7, each.find(' ', 7) - 7);
      continue;
    }
    if (each.starts_with("# HELP ")) continue;
    const auto space = each.rfind(' ');
    line made;
    std::size_t used = 0;
    made.value = std::stod(each.substr(space + 1), &used);
    if (used != each.size() - space - 1) throw std::runtime_error("no number: " + each);
    const auto front = each.substr(0, space);
    const auto brace = front.find('{');
    made.name = front.substr(0, brace);
    if (!made.name.starts_with(described)) throw std::runtime_error("not described: " + each);
    if (brace != std::string::npos) {
      if (!front.ends_with('}')) throw std::runtime_error("labels: " + each);
      made.labels = front.substr(brace + 1, front.size() - brace - 2);
    }
    lines.push_back(made);
  }
  return lines;
}

TEST(Metrics, AreCountersGaugesAndCumulativeHistograms) {
  totals all;
  all.opened = 12;
  all.open = 2;
  all.zombies = 1;
  all.cpu = 1'500ms;
  all.cpu_of_process = 2s;
  all.age[1].count = {1, 2, 3};
  all.age[1].count.back() = 4;
  all.age[1].sum = 1234567890ns;
  const auto lines = read_metrics(metrics(all));
  const auto value = [&](std::string_view name, std::string_view labels = {}) {
    for (const auto& each : lines) {
      if (each.name == name && each.labels == labels) return each.value;
    }
    ADD_FAILURE() << "no " << name << '{' << labels << '}';
    return -1.0;
  };
  EXPECT_EQ(value("curfew_tasks_opened_total"), 12);
  EXPECT_EQ(value("curfew_zombies"), 1);
  EXPECT_EQ(value("curfew_cpu_seconds_total"), 1.5);
  EXPECT_EQ(value("curfew_cpu_unattributed_seconds"), 0.5);
  const std::string canceled = "ending=\"canceled\"";
  EXPECT_EQ(value("curfew_task_age_seconds_bucket", canceled + ",le=\"0.0001\""), 1);
  EXPECT_EQ(value("curfew_task_age_seconds_bucket", canceled + ",le=\"0.001\""), 6);
  EXPECT_EQ(value("curfew_task_age_seconds_bucket", canceled + ",le=\"300\""), 6);
  EXPECT_EQ(value("curfew_task_age_seconds_bucket", canceled + ",le=\"+Inf\""), 10);
  EXPECT_EQ(value("curfew_task_age_seconds_count", canceled), 10);
  EXPECT_EQ(value("curfew_task_age_seconds_sum", canceled), 1.23456789);
  EXPECT_EQ(value("curfew_loop_lag_seconds_count"), 0);
  EXPECT_EQ(value("curfew_told_to_over_seconds_bucket", "le=\"+Inf\""), 0);
}

}  // namespace
}  // namespace curfew::inspect
