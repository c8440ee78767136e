#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io/wait.hpp>
#include <memory>
#include <string>
#include <vector>

#include "front/front.hpp"
#include "front/panel_stream.hpp"
#include "http/client_peer.hpp"
#include "http/waiting.hpp"

namespace curfew_dashboard {
namespace {

using namespace std::chrono_literals;
using curfew::http::client_tests::conversation;
using curfew::http::client_tests::moment;
using curfew::http::client_tests::ok;
using curfew::http::client_tests::peer;
using curfew::tests::eventually;

constexpr curfew::task_kind showing{"panel"};

std::string chunk(std::string_view bytes) {
  char size[32];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + std::string(bytes) + "\r\n";
}
constexpr std::string_view lines_head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A panel that shows what a peer says, as a visitor sees it.
class shown {
 public:
  explicit shown(panel_kind kind, std::string url, curfew::clock::duration budget = 20s) {
    whom_.name = "odd";
    whom_.kind = kind;
    whom_.url = std::move(url);
    http::router routes;
    routes.get("/panel", [this, budget](curfew::context ctx, const http::request&) {
      return answer(std::move(ctx), budget);
    });
    server_ = std::make_unique<curfew::testing::http_server>(std::move(routes));
  }

  /// All lines but the front's own first one.
  std::vector<json::object> lines() {
    auto response = visitor_.send(curfew::background(), request());
    line_splitter split;
    split.feed(response.value().body());
    std::vector<json::object> all;
    while (auto line = split.next()) all.push_back(json::parse(*line).as_object());
    EXPECT_EQ(split.pending(), 0U);
    EXPECT_EQ(all.at(0).at("text"), "Asking odd");
    all.erase(all.begin());
    return all;
  }
  /// The only line there is.
  json::object line() {
    auto all = lines();
    EXPECT_EQ(all.size(), 1U);
    return all.at(0);
  }
  http::download open() { return visitor_.open(curfew::background(), request()).value(); }
  request_log book{"front", showing};

 private:
  [[nodiscard]] http::request request() const { return {"GET", server_->url() + "/panel"}; }

  asio::awaitable<http::response> answer(curfew::context ctx, curfew::clock::duration budget) {
    request_facts facts;
    auto stream = std::make_shared<panel_stream>(ctx, book, facts, client_, whom_, "", budget);
    http::body_source source = [stream](curfew::context c, http::body_writer out) {
      return stream->async_run(std::move(c), out);
    };
    co_return http::stream(panel_content_type, std::move(source));
  }

  panel whom_;
  http::client client_;
  http::client visitor_;
  std::unique_ptr<curfew::testing::http_server> server_;
};

TEST(PanelStream, PassesLinesOn) {
  const peer service([](conversation& c) {
    c.read_request();
    c.write(lines_head);
    c.write(chunk("{\"type\":\"progress\",\"fraction\":0.5,\"text\":\"half\"}\n{\"type\":\"resu"));
    c.write(chunk("lt\",\"data\":{\"a\":1}}\nafter the end nothing counts") + "0\r\n\r\n");
  });
  shown panel(panel_kind::disk, service.url());
  const auto lines = panel.lines();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].at("text"), "half");
  EXPECT_EQ(lines[1].at("data").at("a"), 1);
  EXPECT_TRUE(eventually([&] { return panel.book.counters().answered == 1; }));
  EXPECT_EQ(panel.book.counters().failed, 0U);
}

TEST(PanelStream, ShowsJsonAndTextOfASource) {
  const peer json_source([](conversation& c) {
    c.read_request();
    c.write(ok(R"({"temperature":21})", "Content-Type: application/json\r\n"));
  });
  json::object data = shown(panel_kind::source, json_source.url()).line().at("data").as_object();
  EXPECT_EQ(data.at("json").at("temperature"), 21);
  EXPECT_EQ(data.at("content_type"), "application/json");
  const peer text_source([](conversation& c) {
    c.read_request();
    c.write(ok("<b>21\xFF</b>"));
  });
  data = shown(panel_kind::source, text_source.url()).line().at("data").as_object();
  EXPECT_EQ(data.at("text"), "<b>21\uFFFD</b>");
  EXPECT_EQ(data.at("name_is_lossy"), true);
}

struct bad_service {
  const char* name;
  panel_kind kind;
  const char* code;
  const char* message;
  void (*play)(conversation& c);
};

class BadService : public testing::TestWithParam<bad_service> {};

TEST_P(BadService, CostsItsPanelWithAMessage) {
  const bad_service& bad = GetParam();
  const peer service([&](conversation& c) {
    c.read_request();
    bad.play(c);
  });
  shown panel(bad.kind, service.url());
  const json::object line = panel.line();
  EXPECT_EQ(line.at("type"), "error");
  EXPECT_EQ(line.at("code"), bad.code);
  EXPECT_NE(line.at("message").as_string().find(bad.message), std::string::npos) << line.at("message");
  EXPECT_TRUE(eventually([&] { return panel.book.counters().failed == 1; }));
}

/// More than the limit, as fast as it is taken; until the other side closes.
void flood(conversation& c) {
  const std::string much = chunk(std::string(64 * 1024, 'x'));
  c.write(lines_head);
  while (c.write(much)) {
  }
}

const bad_service bad_services[] = {
    {"GarbageLines", panel_kind::disk, "bad_response", "makes no sense",
     [](conversation& c) {
       c.write(lines_head);
       c.write(chunk("<html>\n"));
       c.sees_close();
     }},
    {"LinesOfTheWrongShape", panel_kind::disk, "bad_response", "makes no sense",
     [](conversation& c) {
       c.write(lines_head);
       c.write(chunk("{\"type\":\"progress\"}\n"));
       c.sees_close();
     }},
    {"TooMuch", panel_kind::source, "too_large", "more than 1 MiB", flood},
    {"ALineWithoutEnd", panel_kind::disk, "too_large", "more than 1 MiB", flood},
    {"NoResult", panel_kind::disk, "truncated", "broke off",
     [](conversation& c) {
       c.write(lines_head);
       c.write("0\r\n\r\n");
     }},
    {"BrokenOff", panel_kind::source, "truncated", "broke off",
     [](conversation& c) { c.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"); }},
    {"NoAnswer", panel_kind::source, "unreachable", "cannot be reached", [](conversation&) {}},
    {"NotHttp", panel_kind::source, "bad_response", "not HTTP",
     [](conversation& c) {
       c.write("220 mail.example ESMTP\r\n");
       c.sees_close();
     }},
    {"NotFound", panel_kind::source, "refused", "odd answered with 404 Not Found.",
     [](conversation& c) { c.write("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"); }},
    {"Unavailable", panel_kind::source, "unavailable", "odd answered with 503 Service Unavailable.",
     [](conversation& c) { c.write("HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n"); }},
};

INSTANTIATE_TEST_SUITE_P(PanelStream, BadService, testing::ValuesIn(bad_services),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(PanelStream, SaysThatTheBudgetIsUsedUp) {
  moment told_to_stop;
  const peer service([&](conversation& c) {
    c.read_request();
    c.write(lines_head);
    if (c.sees_close()) told_to_stop.set();
  });
  shown panel(panel_kind::disk, service.url(), 100ms);
  const json::object line = panel.line();
  EXPECT_EQ(line.at("code"), "deadline_exceeded");
  EXPECT_EQ(line.at("message"), "The budget of 100 ms is used up; odd was told to stop.");
  EXPECT_TRUE(told_to_stop.wait());
  EXPECT_TRUE(eventually([&] { return panel.book.counters().ended_by_deadline == 1; }));
  EXPECT_EQ(panel.book.counters().answered, 0U);
}

TEST(PanelStream, SaysThatTheBudgetIsUsedUpWhereNobodyAnswers) {
  const peer service([](conversation& c) { c.sees_close(); });
  shown panel(panel_kind::source, service.url(), 100ms);
  EXPECT_EQ(panel.line().at("code"), "deadline_exceeded");
}

TEST(PanelStream, LeavesTheServiceWhenTheVisitorLeaves) {
  moment asked;
  moment left;
  const peer service([&](conversation& c) {
    c.read_request();
    asked.set();
    c.write(lines_head);
    if (c.sees_close()) left.set();
  });
  shown panel(panel_kind::disk, service.url());
  {
    const auto visit = panel.open();
    EXPECT_TRUE(asked.wait());
  }
  EXPECT_TRUE(left.wait());
  EXPECT_TRUE(eventually([&] { return panel.book.counters().ended_by_client == 1; }));
  EXPECT_TRUE(eventually([&] { return panel.book.counters().living == 0; }));
}

/// The front without services, and a client that may send any fields.
class whole_front {
 public:
  whole_front(const whole_front&) = delete;
  whole_front& operator=(const whole_front&) = delete;
  whole_front() : whole_front(std::vector<source_option>()) {}
  explicit whole_front(std::vector<source_option> sources) {
    front_options options;
    options.roots = {"/usr"};
    options.sources = std::move(sources);
    front_ = std::make_unique<front>(io_.get_executor(), options,
                                     std::vector<std::shared_ptr<service_process>>(), log_);
    server_ = std::make_unique<curfew::testing::http_server>(front_->routes());
    front_->let_in(front_access(server_->url().substr(7), {}));
  }

  http::response send(std::string method, const std::string& target, const std::string& name = {},
                      const std::string& value = {}, std::string body = {}) {
    http::request request(std::move(method), server_->url() + target);
    if (!name.empty()) request.set(name, value);
    if (!body.empty()) request.body(std::move(body), "application/json");
    return client_.send(curfew::background(), request).value();
  }
  http::download open(const std::string& target) {
    return client_.open(curfew::background(), http::request("GET", server_->url() + target)).value();
  }
  [[nodiscard]] std::string url() const { return server_->url(); }

 private:
  request_log log_{"front", showing};
  asio::io_context io_;
  std::unique_ptr<front> front_;
  std::unique_ptr<curfew::testing::http_server> server_;
  http::client client_;
};

TEST(Front, SendsItsSecurityFieldsWithEveryResponse) {
  whole_front front;
  for (const char* target : {"/", "/api/config", "/api/panels/none", "/api/requests"}) {
    const auto response = front.send("GET", target);
    ASSERT_TRUE(response.fields().contains("Content-Security-Policy")) << target;
    EXPECT_NE(response.fields().find("Content-Security-Policy")->find("default-src 'self'"),
              std::string::npos);
    EXPECT_EQ(*response.fields().find("X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(*response.fields().find("Referrer-Policy"), "no-referrer");
    EXPECT_EQ(*response.fields().find("Cross-Origin-Resource-Policy"), "same-origin");
    EXPECT_FALSE(response.fields().contains("Access-Control-Allow-Origin"));
  }
}

TEST(Front, RefusesPagesFromElsewhereOnEveryRoute) {
  whole_front front;
  for (const char* target : {"/api/config", "/api/panels/x", "/api/requests", "/api/requests/events",
                             "/api/requests/disk/1/stack", "/debug/curfew/tasks"}) {
    EXPECT_EQ(front.send("GET", target, "Origin", "http://evil.example").status(), http::status::forbidden)
        << target;
    EXPECT_EQ(front.send("GET", target, "Sec-Fetch-Site", "cross-site").status(), http::status::forbidden)
        << target;
    EXPECT_EQ(http::to_number(front.send("GET", target, "Host", "evil.example").status()), 421U) << target;
  }
  const std::string on = R"({"on": true})";
  EXPECT_EQ(front.send("POST", "/api/ignore", "Origin", "http://evil.example", on).status(),
            http::status::forbidden);
  EXPECT_EQ(front.send("POST", "/api/ignore", "Origin", front.url(), on).status(), http::status::ok);
  EXPECT_EQ(front.send("POST", "/api/ignore").status(), http::status::unsupported_media_type);
  EXPECT_EQ(front.send("POST", "/api/ignore", "", "", "{}").status(), http::status::bad_request);
}

TEST(Front, HasItsGateInFrontOfWhatTheRouterAnswersItself) {
  struct {
    const char* method;
    const char* target;
    unsigned status;
  } const cases[] = {{"GET", "/none", 404},
                     {"GET", "/%zz", 400},
                     {"DELETE", "/api/config", 405},
                     {"OPTIONS", "/api/config", 204},
                     {"TRACE", "/", 405}};
  whole_front front;
  for (const auto& [method, target, status] : cases) {
    const auto own = front.send(method, target);
    EXPECT_EQ(http::to_number(own.status()), status) << method << target;
    EXPECT_TRUE(own.fields().contains("Content-Security-Policy")) << method << target;
    EXPECT_EQ(own.fields().contains("Allow"), status == 405 || status == 204) << method << target;
    EXPECT_EQ(front.send(method, target, "Sec-Fetch-Site", "cross-site").status(), http::status::forbidden)
        << method << target;
    EXPECT_EQ(http::to_number(front.send(method, target, "Host", "evil.example").status()), 421U)
        << method << target;
  }
}

/// The line that a panel ends with.
json::object last_line(const http::response& answer) {
  const std::string_view lines = answer.body();
  return json::parse(lines.substr(lines.rfind('\n', lines.size() - 2) + 1)).as_object();
}

TEST(Front, FollowsNoRedirectOfASourceToItsOwnPanel) {
  std::string to;
  const peer source([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 302 Found\r\nLocation: " + to + "\r\nContent-Length: 0\r\n\r\n");
    c.sees_close();
  });
  whole_front front(std::vector{source_option{"odd", source.url()}});
  to = front.url() + "/api/panels/odd?budget_ms=2000";
  const json::object line = last_line(front.send("GET", "/api/panels/odd?budget_ms=2000"));
  EXPECT_EQ(line.at("code"), "refused");
  EXPECT_EQ(std::string(line.at("message").as_string()),
            "odd answered with 302 Found, a redirect to " + to + "; redirects are not followed.");
  const json::value seen = json::parse(front.send("GET", "/api/requests").body());
  EXPECT_EQ(seen.at("front").at("counters").at("started"), 1);
}

TEST(Front, HasPlacesForSoManyPanelsAndEventStreams) {
  const peer silent([](conversation& c) { c.sees_close(); });
  whole_front front(std::vector{source_option{"odd", silent.url()}});
  struct {
    const char* target;
    std::size_t most;
    const char* message;
  } const cases[] = {{"/api/panels/odd", 32, "There are 32 panels at work already"},
                     {"/api/requests/events", 64, "There are 64 event streams at work already"}};
  for (const auto& [target, most, message] : cases) {
    std::vector<http::download> open;
    for (std::size_t i = 0; i < most; ++i) {
      open.push_back(front.open(target));
      ASSERT_EQ(open.back().head().status(), http::status::ok) << target << i;
    }
    const auto refused = front.send("GET", target);
    EXPECT_EQ(refused.status(), http::status::service_unavailable) << target;
    EXPECT_EQ(*refused.fields().find("Retry-After"), "1");
    EXPECT_NE(refused.body().find(message), std::string::npos) << refused.body();
    open.pop_back();
    EXPECT_TRUE(eventually([&] { return front.open(target).head().status() == http::status::ok; })) << target;
  }
}

TEST(Front, DescribesItsPanels) {
  const source_option weather{"weather", "http://weather.example/"};
  whole_front front(std::vector{weather});
  const json::value config = json::parse(front.send("GET", "/api/config").body());
  EXPECT_EQ(config.at("default_budget_ms"), 60'000);
  EXPECT_EQ(config.at("panels").at(0).at("name"), "weather");
  EXPECT_EQ(config.at("panels").at(0).at("kind"), "source");
  EXPECT_EQ(config.at("panels").at(0).at("streaming"), false);
}

TEST(Front, RefusesBudgetsThatMakeNoSense) {
  const source_option dead{"dead", "http://127.0.0.1:9/"};
  whole_front front(std::vector{dead});
  for (const char* budget : {"", "x", "99", "600001", "-5", "1e3", "1000%20", "99999999999999999999"}) {
    const auto response = front.send("GET", std::string("/api/panels/dead?budget_ms=") + budget);
    EXPECT_EQ(response.status(), http::status::bad_request) << budget;
    EXPECT_NE(response.body().find("100 to 600000"), std::string::npos);
  }
  const auto response = front.send("GET", "/api/panels/dead?budget_ms=100");
  EXPECT_EQ(response.status(), http::status::ok);
  EXPECT_EQ(response.fields().find("Request-Id")->size(), 16U);
  EXPECT_NE(response.body().find("\"code\":\"unreachable\""), std::string::npos) << response.body();
}

TEST(Front, HasAConsoleOfItsOwn) {
  const peer silent([](conversation& c) { c.sees_close(); });
  whole_front front(std::vector{source_option{"odd", silent.url()}});
  const auto open = front.open("/api/panels/odd");
  const json::value seen = json::parse(front.send("GET", "/debug/curfew/tasks?kind=panel").body());
  EXPECT_EQ(seen.at("tasks").at(0).at("name"), "/api/panels/odd");
  EXPECT_EQ(front.send("GET", "/api/requests/none/b408fe1d61973705/stack").status(), http::status::not_found);
}

TEST(Front, SendsThePageOnceAndThenOnlyThatItIsStillTheSame) {
  whole_front front;
  const auto first = front.send("GET", "/");
  EXPECT_EQ(first.status(), http::status::ok);
  EXPECT_NE(first.body().find("<!doctype html>"), std::string::npos);
  const std::string etag(*first.fields().find("ETag"));
  EXPECT_EQ(front.send("GET", "/index.html", "If-None-Match", etag).status(), http::status::not_modified);
}

}  // namespace
}  // namespace curfew_dashboard
