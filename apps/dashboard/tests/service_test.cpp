#include "services/service.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <chrono>
#include <curfew/core/done.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/testing.hpp>
#include <string>
#include <thread>

#include "base/event_parser.hpp"
#include "http/waiting.hpp"

namespace curfew_dashboard {
namespace {

using namespace std::chrono_literals;
using curfew::tests::event;
using curfew::tests::eventually;

constexpr curfew::task_kind reporting{"report"};

/// Work that lasts until it is told to stop, one way or the other.
struct patient_work {
  event started;
  event finish;
  std::atomic<int> ended = 0;     // by the context
  std::atomic<int> finished = 0;  // with a result

  heavy_work work() {
    return heavy_work([this](const curfew::context& ctx,
                             const report_progress& tell) -> std::expected<json::value, failure> {
      tell({0.5, "half", {}});
      started.set();
      while (!finish.is_set()) {
        if (ctx.done().wait_for(1ms)) {
          ++ended;
          return std::unexpected(ended_failure(ctx));
        }
      }
      ++finished;
      return json::value("done");
    });
  }
  work_planner plan() {
    return [this](const http::request&) -> std::expected<heavy_work, refusal> { return work(); };
  }
};

/// A service over HTTP, and a client.
class served {
 public:
  explicit served(work_planner plan, service::answer kind = service::answer::streamed, std::string token = {})
      : service_("disk", kind, std::move(plan), log_, std::move(token)),
        server_(service_.routes()) {}
  ~served() { service_.stop(); }

  [[nodiscard]] std::string url(const char* path) const { return server_.url() + path; }
  http::client client;

  json::object snapshot() {
    auto response = client.send(curfew::background(), http::request("GET", url("/requests")));
    return json::parse(response.value().body()).as_object();
  }
  std::int64_t count(const char* counter) {
    return snapshot().at("counters").at(counter).to_number<std::int64_t>();
  }

  /// \return the state afterwards, or the status if it is not 200.
  std::string ignore(const char* body, const char* type = "application/json") {
    http::request request("POST", url("/ignore"));
    request.body(body, type);
    auto response = client.send(curfew::background(), request).value();
    return response.status() == http::status::ok ? response.body()
                                                 : std::to_string(http::to_number(response.status()));
  }

  /// Begins a report; its connection is open until the download is destroyed.
  http::download begin() {
    return client.open(curfew::background(), http::request("GET", url("/report"))).value();
  }

 private:
  request_log log_{"disk", reporting};
  service service_;
  curfew::testing::http_server server_;
};

std::string rest_of(http::download& from) {
  std::string all;
  while (auto piece = from.read(curfew::background()).value()) all += *piece;
  return all;
}

TEST(Service, StreamsProgressAndThenTheResult) {
  patient_work work;
  served service(work.plan());
  auto from = service.begin();
  EXPECT_EQ(from.head().status(), http::status::ok);
  EXPECT_EQ(*from.head().fields().find("Content-Type"), "application/x-ndjson");
  ASSERT_TRUE(work.started.wait());
  work.finish.set();
  const std::string lines = rest_of(from);
  EXPECT_NE(lines.find(R"("text":"half")"), std::string::npos);
  EXPECT_TRUE(lines.ends_with("{\"type\":\"result\",\"data\":\"done\"}\n")) << lines;
  EXPECT_TRUE(eventually([&] { return service.count("answered") == 1; }));
  EXPECT_EQ(service.count("living"), 0);
}

TEST(Service, EndsTheWorkWhenItsClientLeaves) {
  patient_work work;
  served service(work.plan());
  {
    const auto from = service.begin();
    ASSERT_TRUE(work.started.wait());
    EXPECT_EQ(service.count("living"), 1);
  }
  EXPECT_TRUE(eventually([&] { return work.ended == 1; }));
  EXPECT_TRUE(eventually([&] { return service.count("living") == 0; }));
  EXPECT_EQ(service.count("ended_by_client"), 1);
  EXPECT_EQ(service.count("answered"), 0);
}

TEST(Service, EndsTheWorkAtTheDeadlineThatCameWithTheRequest) {
  patient_work work;
  served service(work.plan());
  auto scope = curfew::with_timeout(curfew::background(), 100ms);
  auto opened = service.client.open(scope, http::request("GET", service.url("/report")));
  EXPECT_TRUE(eventually([&] { return work.ended == 1; }));
  EXPECT_TRUE(eventually([&] { return service.count("ended_by_deadline") == 1; }));
  EXPECT_EQ(service.count("ended_by_client"), 0);
}

TEST(Service, NamesTheParentOfARequest) {
  patient_work work;
  served service(work.plan());
  http::request request("GET", service.url("/report?root=/a"));
  request.set("Request-Id", "b408fe1d61973705");
  const auto from = service.client.open(curfew::background(), request);
  EXPECT_TRUE(eventually([&] { return service.count("living") == 1; }));
  const json::object snapshot = service.snapshot();
  EXPECT_EQ(snapshot.at("requests").at(0).at("parent"), "b408fe1d61973705");
  EXPECT_EQ(snapshot.at("requests").at(0).at("target"), "/report?root=/a");
  request.set("Request-Id", "<script>");
  const auto other = service.client.open(curfew::background(), request);
  EXPECT_TRUE(eventually([&] { return service.count("living") == 2; }));
  EXPECT_TRUE(service.snapshot().at("requests").at(1).at("parent").is_null());
}

TEST(Service, IgnoringLetsTheWorkGoOnAndKnowsThatNobodyWaits) {
  patient_work work;
  served service(work.plan());
  EXPECT_EQ(service.ignore(R"({"on": true})"), "{\"service\":\"disk\",\"ignoring\":true}\n");
  for (int i = 0; i < 20; ++i) {
    const auto from = service.begin();
    EXPECT_TRUE(eventually([&] { return service.count("started") == i + 1; }));
  }
  EXPECT_TRUE(eventually([&] { return service.count("ended_by_client") == 20; }));
  EXPECT_EQ(work.ended, 0);
  EXPECT_EQ(service.count("living"), 20);
  EXPECT_EQ(service.count("ignored"), 20);
  EXPECT_EQ(service.snapshot().at("requests").as_array().size(), 20U);
  work.finish.set();
  EXPECT_TRUE(eventually([&] { return work.finished == 20; }));
  EXPECT_TRUE(eventually([&] { return service.count("living") == 0; }));
  EXPECT_EQ(service.count("answered"), 0);
}

TEST(Service, TurningTheSwitchBackEndsWhatNobodyWaitsFor) {
  patient_work work;
  served service(work.plan());
  service.ignore(R"({"on": true})");
  for (int i = 0; i < 6; ++i) {
    const auto from = service.begin();
    EXPECT_TRUE(eventually([&] { return service.count("started") == i + 1; }));
  }
  auto waiting = service.begin();
  EXPECT_TRUE(eventually([&] { return service.count("ignored") == 6; }));
  service.ignore(R"({"on": false})");
  EXPECT_TRUE(eventually([&] { return service.count("living") == 1; }));
  EXPECT_EQ(work.finished, 0);
  work.finish.set();
  EXPECT_NE(rest_of(waiting).find("done"), std::string::npos);
}

TEST(Service, TakesTheSwitchFromJsonOnly) {
  patient_work work;
  served service(work.plan());
  EXPECT_EQ(service.ignore(R"({"on": true})", "text/plain"), "415");
  EXPECT_EQ(service.ignore(R"({"on": 1})"), "400");
  EXPECT_EQ(service.ignore("on"), "400");
  EXPECT_EQ(service.snapshot().at("ignoring"), false);
}

TEST(Service, AnswersItsDashboardOnly) {
  patient_work work;
  served service(work.plan(), service::answer::streamed, "secret");
  for (const char* path : {"/report", "/requests", "/requests/events", "/debug/curfew/tasks", "/none"}) {
    const auto response = service.client.send(curfew::background(), http::request("GET", service.url(path)));
    EXPECT_EQ(response->status(), http::status::unauthorized) << path;
  }
  EXPECT_EQ(service.ignore(R"({"on": true})"), "401");
  EXPECT_FALSE(work.started.is_set());
}

TEST(Service, ShowsItsTasksInAConsole) {
  patient_work work;
  served service(work.plan());
  const auto from = service.begin();
  ASSERT_TRUE(work.started.wait());
  const auto response = service.client.send(
      curfew::background(), http::request("GET", service.url("/debug/curfew/tasks?kind=report")));
  const json::value seen = json::parse(response.value().body());
  EXPECT_EQ(seen.at("tasks").at(0).at("id"), service.snapshot().at("requests").at(0).at("id"));
}

TEST(Service, SendsEventsOnEachChange) {
  patient_work work;
  served service(work.plan());
  auto from = service.client.open(curfew::background(), http::request("GET", service.url("/requests/events")))
                  .value();
  event_parser events;
  const auto next = [&] {
    for (;;) {
      if (auto found = events.next()) return json::parse(found->data).as_object();
      events.feed(*from.read(curfew::background()).value());
    }
  };
  EXPECT_TRUE(next().at("requests").as_array().empty());
  const auto report = service.begin();
  EXPECT_EQ(next().at("requests").at(0).at("state"), "running");
  work.finish.set();
  while (!next().at("requests").as_array().empty()) {
  }
  EXPECT_EQ(service.count("started"), 1);  // the observers are not counted
}

TEST(Service, AnswersWithAnErrorWhereTheWorkThrows) {
  const work_planner plan = [](const http::request&) -> std::expected<heavy_work, refusal> {
    return heavy_work(
        [](const curfew::context&, const report_progress&) -> std::expected<json::value, failure> {
          throw std::runtime_error("the disk is on fire");
        });
  };
  {
    served streamed(plan);
    auto from = streamed.begin();
    EXPECT_EQ(rest_of(from),
              "{\"type\":\"error\",\"code\":\"internal\",\"message\":\"the disk is on fire\"}\n");
    EXPECT_TRUE(eventually([&] { return streamed.count("failed") == 1; }));
  }
  served whole(plan, service::answer::whole);
  const auto response = whole.client.send(curfew::background(), http::request("GET", whole.url("/report")));
  EXPECT_EQ(response->status(), http::status::service_unavailable);
  EXPECT_EQ(response->body(), "{\"error\":\"the disk is on fire\"}\n");
}

TEST(Service, AnswersWholeWhereItIsToldTo) {
  const work_planner plan = [](const http::request&) -> std::expected<heavy_work, refusal> {
    return heavy_work(
        [](const curfew::context&, const report_progress&) -> std::expected<json::value, failure> {
          return json::value("all of it");
        });
  };
  served service(plan, service::answer::whole);
  const auto response =
      service.client.send(curfew::background(), http::request("GET", service.url("/report")));
  EXPECT_EQ(response->status(), http::status::ok);
  EXPECT_EQ(response->body(), "\"all of it\"\n");
}

}  // namespace
}  // namespace curfew_dashboard
