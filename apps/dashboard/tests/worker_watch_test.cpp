#include "front/worker_watch.hpp"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <string>

namespace curfew_dashboard {
namespace {

using namespace std::chrono_literals;

const heard_workers::time_point at{1000s};

std::string snapshot_of(const std::string& name, const std::string& boot = "here") {
  json::object made;
  made["service"] = name;
  made["boot_id"] = boot;
  made["now_ns"] = 5'000'000'000;
  json::array running;
  running.push_back(json::object{{"id", "a"}, {"started_ns", 4'000'000'000}, {"ended_ns", nullptr}});
  made["requests"] = running;
  json::array recent;
  recent.push_back(json::object{
      {"id", "b"}, {"started_ns", 1'000'000'000}, {"ended_ns", 2'000'000'000}, {"home_ns", 3'000'000'000}});
  made["recent"] = recent;
  return json::serialize(made);
}

TEST(HeardWorkers, AreShownUnderTheirNames) {
  heard_workers heard("here");
  EXPECT_TRUE(heard.look(at).empty());
  heard.take(snapshot_of("worker b:2"), at);
  heard.take(snapshot_of("worker a:1"), at);
  heard.take(snapshot_of("worker a:1"), at);
  const auto views = heard.look(at);
  ASSERT_EQ(views.size(), 2U);
  EXPECT_EQ(views[0].service, "worker a:1");
  EXPECT_EQ(views[1].service, "worker b:2");
  EXPECT_EQ(views[1].snapshot.value().at("requests").at(0).at("id"), "a");
}

TEST(HeardWorkers, AreGoneAfterThreeSecondsAndDroppedAfterTen) {
  heard_workers heard("here");
  heard.take(snapshot_of("worker a:1"), at);
  EXPECT_TRUE(heard.look(at + 2999ms).at(0).snapshot);
  const auto silent = heard.look(at + 4500ms);
  ASSERT_EQ(silent.size(), 1U);
  EXPECT_EQ(silent[0].snapshot.error(), "The worker a:1 is gone: it has said nothing for 4 s.");
  EXPECT_EQ(heard.look(at + 9999ms).size(), 1U);
  EXPECT_TRUE(heard.look(at + 10s).empty());
  heard.take(snapshot_of("worker a:1"), at + 20s);
  EXPECT_TRUE(heard.look(at + 20s).at(0).snapshot);
}

TEST(HeardWorkers, KeepTheTimesOfThisMachinesClock) {
  heard_workers heard("here");
  heard.take(snapshot_of("worker a:1"), at);
  const auto views = heard.look(at);
  const json::object& shown = views.at(0).snapshot.value();
  EXPECT_EQ(shown.at("now_ns"), 5'000'000'000);
  EXPECT_EQ(shown.at("requests").at(0).at("started_ns"), 4'000'000'000);
}

TEST(HeardWorkers, HaveTheTimesOfAnotherMachineShifted) {
  heard_workers heard("here");
  heard.take(snapshot_of("worker a:1", "there"), at);
  const auto views = heard.look(at);
  const json::object& shown = views.at(0).snapshot.value();
  EXPECT_EQ(shown.at("now_ns"), 1'000'000'000'000);
  EXPECT_EQ(shown.at("requests").at(0).at("started_ns"), 999'000'000'000);
  EXPECT_TRUE(shown.at("requests").at(0).at("ended_ns").is_null());
  EXPECT_EQ(shown.at("recent").at(0).at("started_ns"), 996'000'000'000);
  EXPECT_EQ(shown.at("recent").at(0).at("ended_ns"), 997'000'000'000);
  EXPECT_EQ(shown.at("recent").at(0).at("home_ns"), 998'000'000'000);
}

TEST(HeardWorkers, AreNotTrusted) {
  heard_workers heard("here");
  for (const char* text :
       {"", "garbage", "[]", "{}", R"({"service":1})", R"({"service":"disk"})",
        R"({"service":"worker a","now_ns":-1,"requests":[1,{"started_ns":"x"}],"recent":{}})"})
    heard.take(text, at);
  heard.take(snapshot_of("worker " + std::string(300, 'x')), at);
  ASSERT_EQ(heard.look(at).size(), 1U);
  EXPECT_EQ(heard.look(at).at(0).service, "worker a");
  for (int i = 0; i < 100; ++i) heard.take(snapshot_of("worker " + std::to_string(i)), at);
  EXPECT_EQ(heard.look(at).size(), 64U);
}

}  // namespace
}  // namespace curfew_dashboard
