#include "front/request_tree.hpp"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>

namespace curfew_dashboard {
namespace {

json::object parse(const char* text) { return json::parse(text).as_object(); }

TEST(MergeRequests, PutsRequestsUnderTheirParents) {
  const json::object merged = merge_requests(
      parse(R"({"service":"front","requests":[{"id":"front-1"},{"id":"front-2"}]})"),
      {{"disk",
        parse(
            R"({"service":"disk","requests":[{"id":"disk-1","parent":"front-2"},{"id":"disk-2","parent":"front-0"}]})")},
       {"vitals",
        parse(
            R"({"service":"vitals","requests":[{"id":"vitals-1","parent":"front-2"},{"id":"vitals-2","parent":null}]})")}});
  EXPECT_EQ(merged.at("front").at("service"), "front");
  EXPECT_TRUE(merged.at("tree").at(0).at("children").as_array().empty());
  EXPECT_EQ(merged.at("tree").at(1).at("children").at(0).at("id"), "disk-1");
  EXPECT_EQ(merged.at("tree").at(1).at("children").at(1).at("id"), "vitals-1");
  EXPECT_EQ(merged.at("orphans").as_array().size(), 2U);
  EXPECT_EQ(merged.at("services").at(1).at("service"), "vitals");
}

TEST(MergeRequests, SumsTheServices) {
  const json::object merged = merge_requests(
      parse(R"({"requests":[],"counters":{"started":100}})"),
      {{"disk",
        parse(
            R"({"ignoring":true,"counters":{"started":3,"ended_by_client":2,"cpu_s":1.5,"cpu_s_unwanted":1}})")},
       {"vitals", parse(R"({"ignoring":false,"counters":{"started":4,"cpu_s":0.25}})")}});
  EXPECT_EQ(merged.at("totals").at("started"), 7);
  EXPECT_EQ(merged.at("totals").at("ended_by_client"), 2);
  EXPECT_EQ(merged.at("totals").at("cpu_s"), 1.75);
  EXPECT_EQ(merged.at("totals").at("cpu_s_unwanted"), 1.0);
  EXPECT_EQ(merged.at("ignoring"), true);
}

TEST(MergeRequests, ShowsAServiceThatCannotBeAsked) {
  const json::object merged =
      merge_requests(parse(R"({"requests":[]})"), {{"disk", std::unexpected("It stopped.")}});
  EXPECT_EQ(merged.at("services").at(0).at("service"), "disk");
  EXPECT_EQ(merged.at("services").at(0).at("error"), "It stopped.");
  EXPECT_EQ(merged.at("ignoring"), false);
}

TEST(MergeRequests, TakesSnapshotsOfAnyShape) {
  for (const char* odd :
       {"{}", R"({"requests":3,"counters":[],"ignoring":"yes"})",
        R"({"requests":[1,null,{}],"counters":{"started":"x"}})", R"({"requests":[{"parent":7}]})"}) {
    const json::object merged = merge_requests(parse(R"({"requests":[]})"), {{"disk", parse(odd)}});
    EXPECT_EQ(merged.at("totals").at("started"), 0) << odd;
  }
}

}  // namespace
}  // namespace curfew_dashboard
