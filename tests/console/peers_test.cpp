#include <gtest/gtest.h>

#include <atomic>
#include <boost/json.hpp>
#include <curfew/console.hpp>
#include <curfew/core.hpp>
#include <curfew/http.hpp>
#include <curfew/inspect.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

namespace curfew::inspect {
namespace {

namespace json = boost::json;

constexpr task_kind digging{"dig"};

/// A console in a server, on a thread.
class served {
 public:
  explicit served(http::router routes) : server_(std::move(routes)) {
    EXPECT_TRUE(server_.listen());
    thread_ = std::thread([this] { EXPECT_TRUE(server_.serve(life_)); });
  }
  served(const served&) = delete;
  served& operator=(const served&) = delete;
  ~served() {
    life_.cancel();
    thread_.join();
  }
  [[nodiscard]] std::string url() const { return server_.url(); }

 private:
  cancel_scope life_ = with_cancel(background());
  http::server server_;
  std::thread thread_;
};

http::response get(const std::string& url) {
  auto got = http::get(background(), url);
  EXPECT_TRUE(got) << got.error();
  return got ? *std::move(got) : http::response();
}

class Peers : public ::testing::Test {
 protected:
  const inspection on{inspection_options().on_zombie([](const task_info&) {})};
};

TEST_F(Peers, AnswerThroughTheConsoleThatKnowsThem) {
  const served other(routes());
  const served here(routes(console_options().peer("other", other.url() + "/")));
  const task open(background(), digging, "a hole");
  const auto about = json::parse(get(here.url() + "/about").body());
  EXPECT_EQ(json::serialize(about.at("peers")), R"([{"name":"other"}])");
  const auto tasks = get(here.url() + "/peers/other/tasks?kind=dig&limit=5");
  EXPECT_EQ(tasks.status(), http::status::ok);
  EXPECT_EQ(tasks.fields().find("Content-Type"), "application/json");
  const auto listed = json::parse(tasks.body()).at("tasks");
  ASSERT_EQ(listed.as_array().size(), 1U);
  EXPECT_EQ(listed.at(0).at("name"), "a hole");
  const std::string id(listed.at(0).at("id").as_string());
  EXPECT_EQ(json::parse(get(here.url() + "/peers/other/tasks/" + id).body()).at("task").at("name"), "a hole");
  for (const auto* path :
       {"/zombies", "/ended?by=slowest", "/places", "/totals", "/history", "/look", "/tasks"}) {
    const auto got = get(here.url() + "/peers/other" + path);
    EXPECT_EQ(got.status(), http::status::ok) << path;
    EXPECT_TRUE(json::parse(got.body()).is_object()) << path;
  }
}

TEST_F(Peers, TheirRefusalsArePassedOn) {
  const served other(routes());
  const served here(routes(console_options().peer("other", other.url())));
  EXPECT_EQ(get(here.url() + "/peers/other/tasks?limit=1&state=asleep").status(), http::status::bad_request);
  EXPECT_EQ(get(here.url() + "/peers/other/tasks/00000000000000ff").status(), http::status::not_found);
  EXPECT_EQ(get(here.url() + "/peers/nobody/tasks").status(), http::status::not_found);
  EXPECT_EQ(get(here.url() + "/peers/other/about").status(), http::status::not_found);
  EXPECT_EQ(get(here.url() + "/peers/other/tasks/..%2f..%2fsecret").status(), http::status::not_found);
}

TEST_F(Peers, OneThatIsAwayIsSaidToBe) {
  std::string gone;
  {
    const served other(routes());
    gone = other.url();
  }
  std::atomic<bool> runs{false};
  const served here(
      routes(console_options().peer("gone", gone).peer("later", [&] { return runs ? "http://[" : ""; })));
  const auto away = get(here.url() + "/peers/gone/look");
  EXPECT_EQ(away.status(), http::status::bad_gateway);
  EXPECT_TRUE(away.body().contains("the process gone does not answer: ")) << away.body();
  EXPECT_TRUE(get(here.url() + "/peers/later/look").body().contains("it is not running"));
  runs = true;
  EXPECT_EQ(get(here.url() + "/peers/later/look").status(), http::status::bad_gateway);
}

TEST_F(Peers, AreAskedWithWhatGuardsThem) {
  std::mutex mutex;
  std::string came;  // of the last request; guarded by mutex
  http::router guarded;
  const auto look = [&](context /*ctx*/,
                        const http::request& request) -> boost::asio::awaitable<http::response> {
    const std::lock_guard guard(mutex);
    came = request.fields().find("Authorization").value_or("nothing");
    co_return http::json(http::status::ok, "{}");
  };
  const auto last = [&] {
    const std::lock_guard guard(mutex);
    return came;
  };
  guarded.get("/look", look).post("/tasks/{id}/cancel", look);
  const served other(std::move(guarded));
  const served here(
      routes(console_options().peer("guarded", other.url(), "Bearer a").peer("open", other.url())));
  get(here.url() + "/peers/guarded/look");
  EXPECT_EQ(last(), "Bearer a");
  http::request end("POST", here.url() + "/peers/open/tasks/00000000000000ff/cancel");
  end.fields().set("Authorization", "Bearer of the viewer");
  end.body("why");
  EXPECT_TRUE(http::client::shared().send(background(), end));
  EXPECT_EQ(last(), "Bearer of the viewer");
}

TEST_F(Peers, ATaskIsEndedThereByItsOwnToken) {
  const served other(
      routes(console_options().cancel_token("sesame").on_log([](std::string_view /*line*/) {})));
  const served here(routes(console_options().peer("other", other.url())));
  const auto scope = with_cancel(background());
  const task open(scope, digging, "to be ended");
  const auto found = json::parse(get(here.url() + "/peers/other/tasks?kind=dig").body()).at("tasks").at(0);
  const std::string url =
      here.url() + "/peers/other/tasks/" + std::string(found.at("id").as_string()) + "/cancel";
  const auto end = [&](const std::string& authorization) {
    http::request what("POST", url);
    what.fields().set("Authorization", authorization);
    what.body("why not");
    return http::client::shared().send(background(), what)->status();
  };
  EXPECT_EQ(end("Bearer wrong"), http::status::unauthorized);
  EXPECT_FALSE(scope.err());
  EXPECT_EQ(end("Bearer sesame"), http::status::ok);
  EXPECT_EQ(scope.ctx().cause().message(), "operator: why not");
}

TEST_F(Peers, NeedNamesThatAreTheirOwn) {
  EXPECT_THROW(std::ignore = routes(console_options().peer("", "http://localhost:1")), std::invalid_argument);
  EXPECT_THROW(std::ignore = routes(console_options().peer("a/b", "http://localhost:1")),
               std::invalid_argument);
  EXPECT_THROW(
      std::ignore = routes(console_options().peer("a", "http://localhost:1").peer("a", "http://localhost:2")),
      std::invalid_argument);
}

}  // namespace
}  // namespace curfew::inspect
