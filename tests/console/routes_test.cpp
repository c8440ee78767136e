#include <curfew/console/routes.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/json/parse.hpp>
#include <curfew/core.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/inspect.hpp>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "http/raw_client.hpp"
#include "http/waiting.hpp"
#include "sanitizers.hpp"

namespace curfew::inspect {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;
using curfew::testing::http_server;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using tests::eventually;
using tests::raw_client;

constexpr task_kind digging{"dig"};
constexpr key<std::string> shown{"trace id", show_value};
constexpr key<std::string> secret{"password"};

class Routes : public ::testing::Test {
 protected:
  static console_options with_token(std::string token) {
    return console_options().cancel_token(std::move(token));
  }

  /// A server with the routes below /debug.
  static http::router mounted(const console_options& options = {}) {
    http::router made;
    made.mount("/debug", routes(options));
    return made;
  }

  struct answer {
    int status;
    std::string body;
    std::string head;
    [[nodiscard]] json::value read() const { return json::parse(body); }
  };
  static answer ask(const http_server& server, const std::string& method, const std::string& target,
                    const std::string& fields = {}, const std::string& body = {},
                    const std::string& host = "localhost") {
    raw_client client(server.port());
    client.send(method + " /debug" + target + " HTTP/1.1\r\nHost: " + host +
                "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + fields + "\r\n" + body);
    const auto got = client.read_response();
    return {got.status, got.body, got.head};
  }
  static answer get(const http_server& server, const std::string& target) {
    return ask(server, "GET", target);
  }

  inspection on{inspection_options().zombie_after(20ms).on_zombie([](const task_info&) {})};
};

std::string id_of(const http_server& server, std::string_view name);

/// The tasks called `name`, as the console tells of them.
std::vector<json::object> named(const json::value& list, std::string_view name) {
  std::vector<json::object> found;
  for (const auto& each : list.as_array()) {
    if (each.at("name").as_string() == name) found.push_back(each.as_object());
  }
  return found;
}

std::string id_of(const http_server& server, std::string_view name) {
  raw_client client(server.port());
  client.send("GET /debug/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto found = named(json::parse(client.read_response().body).at("tasks"), name);
  return found.empty() ? std::string() : std::string(found.front().at("id").as_string());
}

TEST_F(Routes, ListAnOpenTaskWithWhatIsKnownOfIt) {
  const http_server server(mounted());
  const auto ctx = with_value(with_value(background(), shown, "7f3a"), secret, "hunter2");
  const auto scope = with_timeout(ctx, 1h);
  const task open(scope, digging, "deep");
  const auto got = get(server, "/tasks");
  EXPECT_EQ(got.status, 200);
  const auto found = named(got.read().at("tasks"), "deep");
  ASSERT_EQ(found.size(), 1U);
  const auto& dig = found.front();
  EXPECT_EQ(dig.at("kind"), "dig");
  EXPECT_THAT(std::string(dig.at("where").at("file").as_string()), HasSubstr("routes_test.cpp"));
  EXPECT_THAT(std::string(dig.at("path").as_string()), HasSubstr("with_timeout"));
  EXPECT_GT(dig.at("remaining_ms").to_number<double>(), 3'500'000);
  EXPECT_EQ(dig.at("values").at(0).at("text"), "7f3a");
  EXPECT_THAT(got.body, ::testing::Not(HasSubstr("hunter2")));
}

TEST_F(Routes, TheRequestsToThemAreNoTasks) {
  const http_server server(mounted());
  const auto opened = [&] {
    return get(server, "/totals").read().at("totals").at("opened").to_number<int>();
  };
  const int before = opened();
  EXPECT_EQ(get(server, "/tasks").read().at("seen"), 0);
  EXPECT_EQ(get(server, "/tasks?limit=10").read().at("seen"), 0);
  EXPECT_EQ(opened(), before);
}

TEST_F(Routes, HostileNamesStayText) {
  const http_server server(mounted());
  const std::string hostile("</script>\"\\\x00\x1b[2J\xff\n'", 20);
  const task open(background(), digging, hostile);
  for (const auto* target :
       {"/tasks", "/tasks?limit=100", "/ended", "/places", "/totals", "/about", "/zombies"}) {
    const auto got = get(server, target);
    EXPECT_EQ(got.status, 200) << target;
    EXPECT_TRUE(got.read().is_object()) << target;
    EXPECT_THAT(got.head, HasSubstr("nosniff")) << target;
  }
}

TEST_F(Routes, AQueryChooses) {
  const http_server server(mounted());
  auto scope = with_cancel(background());
  const task one(scope, digging, "Alpha");
  const auto part_of = with_value(background(), trace, trace_context::begin());
  const task two(part_of, digging, "beta");
  const auto names = [&](const std::string& query) {
    std::vector<std::string> found;
    const auto got = get(server, "/tasks?kind=dig&" + query).read();
    for (const auto& each : got.at("tasks").as_array()) {
      found.emplace_back(each.at("name").as_string());
    }
    return found;
  };
  EXPECT_THAT(names("name=ALPH"), ::testing::ElementsAre("Alpha"));
  EXPECT_THAT(names("path=WITH_cancel"), ::testing::ElementsAre("Alpha"));
  EXPECT_THAT(names("min_age_ms=3600000"), ::testing::IsEmpty());
  EXPECT_THAT(names("state=queued,waiting,running"), ::testing::UnorderedElementsAre("Alpha", "beta"));
  EXPECT_THAT(names("limit=1"), ::testing::SizeIs(1));
  EXPECT_THAT(names("trace=" + part_of.value(trace)->id()), ::testing::ElementsAre("beta"));
  EXPECT_THAT(names("limit=1&name=beta&above=1"), ::testing::ElementsAre("beta", "Alpha"));
  scope.cancel();
  ASSERT_TRUE(eventually([&] { return names("state=zombie") == std::vector<std::string>{"Alpha"}; }));
  EXPECT_EQ(names("limit=5").front(), "Alpha") << "the most urgent first";
  for (const auto* wrong : {"state=asleep", "min_age_ms=-1", "limit=x", "limit=10001"}) {
    EXPECT_EQ(get(server, std::string("/tasks?") + wrong).status, 400) << wrong;
  }
}

TEST_F(Routes, ATaskHasAPageOfItsOwnWithItsFamily) {
  const http_server server(mounted());
  const task outer(background(), digging, "outer");
  const task middle(background(), digging, "middle");
  const task inner(background(), digging, "inner");
  const auto got = get(server, "/tasks/" + id_of(server, "middle")).read();
  EXPECT_EQ(got.at("task").at("name"), "middle");
  EXPECT_EQ(named(got.at("above"), "outer").size(), 1U);
  EXPECT_EQ(named(got.at("below"), "inner").size(), 1U);
  EXPECT_EQ(got.at("below_count"), 1);
  for (const auto* none :
       {"/tasks/0000000000000000", "/tasks/7", "/tasks/zzzzzzzzzzzzzzzz", "/tasks/ffffffffffffffff"}) {
    EXPECT_EQ(get(server, none).status, 404) << none;
  }
}

TEST_F(Routes, TheStackOfAThreadAtATask) {
  if (tests::under_thread_sanitizer) GTEST_SKIP() << "signals are delivered late";
  const http_server server(mounted());
  const task here(background(), digging, "here");
  const auto got = get(server, "/tasks/" + id_of(server, "here") + "/stack");
  ASSERT_EQ(got.status, 200) << got.body;
  const auto threads = got.read().at("threads");
  ASSERT_EQ(threads.as_array().size(), 1U);
  const auto& thread = threads.at(0);
  EXPECT_EQ(thread.at("name"), "here");
  EXPECT_TRUE(thread.at("error").is_null());
  const auto& frames = thread.at("frames").as_array();
  const auto here_it_is = std::ranges::find_if(frames, [](const json::value& f) {
    return f.at("file").is_string() &&
           std::string_view(f.at("file").as_string()).ends_with("routes_test.cpp");
  });
  ASSERT_NE(here_it_is, frames.end()) << got.body;
  EXPECT_GT(here_it_is->at("line").to_number<int>(), 0);
  EXPECT_TRUE(here_it_is->at("function").is_string());
  EXPECT_EQ(get(server, "/tasks/00000000000000ff/stack").status, 404);
}

TEST_F(Routes, AZombieIsToldOfEverywhere) {
  const http_server server(mounted());
  {
    auto scope = with_cancel(background());
    const task undead(scope, digging, "undead");
    scope.cancel(cause("nobody waits"));
    ASSERT_TRUE(
        eventually([&] { return !named(get(server, "/zombies").read().at("zombies"), "undead").empty(); }));
    const auto zombie = named(get(server, "/zombies").read().at("zombies"), "undead").front();
    EXPECT_EQ(zombie.at("state"), "zombie");
    EXPECT_EQ(zombie.at("told").at("cause"), "nobody waits");
    EXPECT_TRUE(eventually([&] { return get(server, "/metrics").body.contains("\ncurfew_zombies 1\n"); }));
  }
  EXPECT_TRUE(eventually(
      [&] { return !named(get(server, "/ended?by=dying").read().at("ended"), "undead").empty(); }));
  EXPECT_TRUE(eventually([&] {
    const auto places = get(server, "/places").read().at("places").as_array();
    return std::ranges::any_of(places,
                               [](const auto& p) { return p.at("kind") == "dig" && p.at("zombies") != 0; });
  }));
  EXPECT_EQ(get(server, "/ended?by=age").status, 400);
  EXPECT_EQ(get(server, "/ended?most=1001").status, 400);
}

TEST_F(Routes, SamplesComeOnceASecond) {
  const http_server server(mounted());
  json::array samples;
  ASSERT_TRUE(eventually([&] {
    samples = get(server, "/history").read().at("samples").as_array();
    return samples.size() >= 2;
  }));
  const auto between = samples[1].at("at_ns").as_int64() - samples[0].at("at_ns").as_int64();
  EXPECT_GT(between, 500'000'000);
  EXPECT_TRUE(samples[0].at("ended").at("deadline_exceeded").is_number());
}

// ---- cancel by hand ----

TEST_F(Routes, CancelByHandIsOffUnlessThereIsAToken) {
  const http_server server(mounted());
  auto scope = with_cancel(background());
  const task open(scope, digging, "kept");
  EXPECT_EQ(get(server, "/about").read().at("can_cancel"), false);
  const auto target = "/tasks/" + id_of(server, "kept") + "/cancel";
  EXPECT_EQ(ask(server, "POST", target, "Authorization: Bearer \r\n", "why").status, 403);
  EXPECT_FALSE(scope.err());
}

TEST_F(Routes, CancelByHandNeedsTheTokenAndAReasonAndIsLogged) {
  std::mutex mutex;
  std::vector<std::string> log;
  auto options = with_token("open sesame");
  options.on_log([&](std::string_view line) {
    const std::lock_guard guard(mutex);
    log.emplace_back(line);
  });
  const http_server server(mounted(options));
  EXPECT_EQ(get(server, "/about").read().at("can_cancel"), true);
  auto scope = with_cancel(background());
  const task open(scope, digging, "stuck\n");
  const auto target = "/tasks/" + id_of(server, "stuck\n") + "/cancel";
  const std::string token = "Authorization: Bearer open sesame\r\n";
  EXPECT_EQ(ask(server, "POST", target, {}, "why").status, 401);
  EXPECT_EQ(ask(server, "POST", target, "Authorization: Bearer open sesamE\r\n", "why").status, 401);
  EXPECT_EQ(ask(server, "POST", target, "Authorization: open sesame\r\n", "why").status, 401);
  EXPECT_EQ(ask(server, "POST", target, token).status, 400);
  EXPECT_EQ(ask(server, "POST", target, token, std::string(201, 'x')).status, 400);
  EXPECT_EQ(ask(server, "GET", target, token).status, 405);
  EXPECT_EQ(ask(server, "POST", "/tasks/0000000000000000/cancel", token, "why").status, 404);
  EXPECT_FALSE(scope.err());
  EXPECT_TRUE(log.empty());

  const auto done = ask(server, "POST", target, token, "stuck since noon\n");
  EXPECT_EQ(done.status, 200);
  EXPECT_EQ(done.read().at("canceled"), true);
  EXPECT_EQ(scope.err(), errc::canceled);
  EXPECT_EQ(scope.cause().message(), R"(operator: stuck since noon\x0a)");
  EXPECT_EQ(ask(server, "POST", target, token, "again").status, 409);
  const std::lock_guard guard(mutex);
  ASSERT_EQ(log.size(), 1U);
  EXPECT_THAT(log.front(), AllOf(HasSubstr(R"("stuck\x0a" ended by hand from 127.0.0.1:)"),
                                 HasSubstr("stuck since noon"), ::testing::Not(HasSubstr("sesame"))));
}

// ---- who may ask ----

TEST_F(Routes, AForeignPageCanNeitherReadNorCancel) {
  const http_server server(mounted(with_token("t")));
  auto scope = with_cancel(background());
  const task open(scope, digging, "kept");
  const auto target = "/tasks/" + id_of(server, "kept") + "/cancel";
  const std::string token = "Authorization: Bearer t\r\n";
  for (const char* const fields :
       {"Origin: http://evil.example\r\n", "Origin: null\r\n", "Origin: http://localhost:1\r\n",
        "Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n",
        "Origin: http://localhost\r\nOrigin: http://evil.example\r\n",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n"}) {
    EXPECT_EQ(ask(server, "POST", target, token + fields, "why").status, 403) << fields;
  }
  EXPECT_EQ(ask(server, "GET", "/tasks", "Sec-Fetch-Site: cross-site\r\n").status, 403);
  EXPECT_EQ(ask(server, "GET", "/nothing", "Sec-Fetch-Site: cross-site\r\n").status, 404)
      << "not of the console";
  EXPECT_FALSE(scope.err());
  EXPECT_EQ(ask(server, "GET", "/", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n").status,
            200);
  EXPECT_EQ(ask(server, "POST", target, token + "Origin: http://localhost\r\n", "why").status, 200);
}

TEST_F(Routes, AForeignNameThatPointsHereIsRefused) {
  const http_server server(mounted(console_options().allow_host("Shop.internal")));
  const auto status = [&](const std::string& host) {
    return ask(server, "GET", "/totals", {}, {}, host).status;
  };
  for (const auto* host : {"evil.example", "evil.example:6060", "localhost.evil.example",
                           "127.0.0.1.evil.example", "[::1].evil.example", "10.0.0.1x", ""}) {
    EXPECT_NE(status(host), 200) << host;
  }
  for (const auto* host : {"localhost", "LOCALHOST:80", "127.0.0.1:6060", "10.1.2.3", "[::1]:6060",
                           "[fe80::1]", "shop.internal:6060"}) {
    EXPECT_EQ(status(host), 200) << host;
  }
  EXPECT_EQ(ask(server, "GET", "/totals", "Host: localhost\r\n").status / 100, 4) << "two of them";
}

TEST_F(Routes, ThePageIsServedAndItsBareAddressLeadsToIt) {
  const http_server server(mounted());
  const auto page = get(server, "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(page.head, AllOf(HasSubstr("text/html"), HasSubstr("default-src 'none'")));
  const auto bare = get(server, "");
  EXPECT_EQ(bare.status, 308);
  EXPECT_THAT(bare.head, HasSubstr("Location: /debug/\r\n"));
}

// ---- many tasks, slow readers ----

TEST_F(Routes, AHundredThousandTasksAreListedWhileTheyOpenAndClose) {
  const http_server server(mounted());
  std::atomic<bool> stop{false};
  std::vector<detail::open_task> many;
  const auto here = std::source_location::current();
  many.reserve(100'000);
  for (int i = 0; i < 100'000; ++i) many.emplace_back(background(), digging, "many", here);
  std::thread churn([&] {
    while (!stop) {
      detail::open_task brief(background(), digging, "brief", here);
      many[0] = detail::open_task(background(), digging, "many", here);
    }
  });
  std::thread reader([&] {
    const auto got = get(server, "/tasks");
    EXPECT_EQ(got.status, 200);
    const auto read = got.read();
    EXPECT_GE(named(read.at("tasks"), "many").size(), 99'999U);
    EXPECT_EQ(read.at("matching").to_number<std::size_t>(), read.at("tasks").as_array().size());
  });
  const auto few = get(server, "/tasks?limit=10").read();
  EXPECT_EQ(few.at("tasks").as_array().size(), 10U);
  EXPECT_GE(few.at("matching").to_number<std::size_t>(), 99'999U);
  reader.join();
  stop = true;
  churn.join();
}

TEST_F(Routes, AReaderThatGoesEndsTheLooking) {
  http_server server(mounted());
  std::vector<detail::open_task> many;
  const auto here = std::source_location::current();
  for (int i = 0; i < 30'000; ++i) many.emplace_back(background(), digging, "many", here);
  for (int i = 0; i < 4; ++i) {  // more than there are threads for dumps
    raw_client client(server.port(), 4096);
    client.send("GET /debug/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.read_until("\"tasks\":[");
    client.reset();
  }
  EXPECT_EQ(get(server, "/tasks").status, 200);
  EXPECT_TRUE(server.stop().stuck.empty());
}

json::value next_look(raw_client& client, std::string& rest) {
  for (;;) {
    if (const auto end = rest.find("\n\n"); end != std::string::npos) {
      const auto event = rest.substr(0, end);
      rest.erase(0, end + 2);
      if (const auto data = event.find("data: ");
          data != std::string::npos && event.contains("event: look")) {
        return json::parse(event.substr(data + 6));
      }
    }
    rest += client.read_chunk();
  }
}

TEST_F(Routes, EventsShowTheUrgentTasks) {
  const http_server server(mounted());
  auto scope = with_cancel(background());
  const task open(scope, digging, "soon dead");
  raw_client client(server.port());
  client.send("GET /debug/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(client.read_until("\r\n\r\n"), HasSubstr("text/event-stream"));
  std::string rest;
  const auto first = next_look(client, rest);
  EXPECT_EQ(named(first.at("tasks"), "soon dead").size(), 1U);
  EXPECT_EQ(first.at("others"), 0);
  scope.cancel();
  const auto top = [](const json::value& look) { return look.at("tasks").at(0); };
  EXPECT_TRUE(eventually([&] {
    const auto look = next_look(client, rest);
    return top(look).at("name") == "soon dead" && top(look).at("state") == "zombie" &&
           look.at("totals").at("zombies") == 1;
  }));
}

TEST_F(Routes, ASlowReaderOfTheEventsHoldsNothingUp) {
  http_server server(mounted());
  std::vector<detail::open_task> many;
  const auto here = std::source_location::current();
  for (int i = 0; i < 500; ++i) many.emplace_back(background(), digging, std::string(100, 'x'), here);
  raw_client slow(server.port(), 4096);
  slow.send("GET /debug/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  slow.read_until("event: look");
  raw_client quick(server.port());
  quick.send("GET /debug/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  quick.read_until("\r\n\r\n");
  std::string rest;
  std::int64_t last = 0;
  for (int i = 0; i < 10; ++i) {
    const auto now = next_look(quick, rest).at("now_ns").as_int64();
    EXPECT_GT(now, last);
    last = now;
  }
  EXPECT_EQ(get(server, "/totals").status, 200);
  EXPECT_TRUE(server.stop().stuck.empty());
}

}  // namespace
}  // namespace curfew::inspect
