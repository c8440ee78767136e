#include <curfew/http/server.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io/wait.hpp>
#include <functional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>

#include "http/raw_client.hpp"
#include "http/waiting.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::testing::http_server;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using tests::raw_client;

asio::awaitable<response> hello(context /*ctx*/, const request& r) {
  co_return text(status::ok, "hello " + std::string(r.param("name")));
}

asio::awaitable<response> echo(context /*ctx*/, const request& r) { co_return text(status::ok, r.body()); }

router basic_routes() {
  router routes;
  routes.get("/hello/{name}", hello).post("/echo", echo);
  return routes;
}

TEST(Server, ARequestLivesAsLongAsACopyOfItsContext) {
  std::optional<context> kept;
  const request* first = nullptr;
  router routes;
  routes.post("/{name}", [&](context ctx, const request& r) -> asio::awaitable<response> {
    if (!kept) {
      kept = ctx;
      first = &r;
    }
    co_return text(status::ok, r.body());
  });
  curfew::testing::http_server s(std::move(routes));
  tests::raw_client client(s.port());
  const auto ask = [&](const std::string& path, const std::string& body) {
    client.send("POST " + path + " HTTP/1.1\r\nHost: t\r\nX-Path: " + path +
                "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    return client.read_response().body;
  };
  EXPECT_EQ(ask("/first", "the first body"), "the first body");
  EXPECT_EQ(ask("/second", "another"), "another");
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(kept->cause(), errc::handler_done);
  EXPECT_EQ(first->path(), "/first");
  EXPECT_EQ(first->param("name"), "first");
  EXPECT_EQ(first->body(), "the first body");
  EXPECT_EQ(*first->fields().find("X-Path"), "/first");
}

TEST(Server, AnswersARequest) {
  http_server s(basic_routes());
  raw_client client(s.port());
  const auto r = client.get("/hello/you");
  EXPECT_THAT(r.head, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(r.body, "hello you");
  EXPECT_EQ(r.field("Content-Length"), "9");
  EXPECT_EQ(r.field("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_THAT(r.field("Date"),
              ::testing::MatchesRegex("[A-Z][a-z][a-z], [0-9][0-9] [A-Z][a-z][a-z] [0-9]+ [0-9:]+ GMT"));
  EXPECT_EQ(r.field("Connection"), "") << "it stays open";
}

TEST(Server, KeepsTheConnectionForTheNextRequest) {
  http_server s(basic_routes());
  raw_client client(s.port());
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(client.get("/hello/" + std::to_string(i)).body, "hello " + std::to_string(i));
}

TEST(Server, GivesTheHandlerWhatTheClientSent) {
  router routes;
  routes.post("/a/{x}", [](context, const request& r) -> asio::awaitable<response> {
    std::string all = r.method() + '|' + r.target() + '|' + r.path() + '|' + std::string(r.param("x")) + '|' +
                      r.query("q").value_or("-") + '|' + r.body() + '|' +
                      std::to_string(r.fields().count("X-Two"));
    EXPECT_THAT(r.remote(), StartsWith("127.0.0.1:"));
    co_return text(status::ok, all);
  });
  http_server s(routes);
  raw_client client(s.port());
  client.send(
      "POST /a/b%20c?q=1%2B1 HTTP/1.1\r\nHost: t\r\nX-Two: 1\r\nx-two: 2\r\nContent-Length: 3\r\n\r\nxyz");
  EXPECT_EQ(client.read_response().body, "POST|/a/b%20c?q=1%2B1|/a/b c|b c|1+1|xyz|2");
  client.send("POST /a/d HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(client.read_response().body, "POST|/a/d|/a/d|d|-||0") << "nothing of the request before is left";
}

TEST(Server, ReadsBodiesOfAnySizeInAnyPieces) {
  http_server s(basic_routes());
  raw_client client(s.port());
  const std::string large(300'000, 'x');
  client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 300000\r\n\r\n" + large);
  EXPECT_EQ(client.read_response().body, large);

  const std::string whole =
      "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;ext=\"a;b\"\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
  for (const char c : whole) client.send(std::string_view(&c, 1));
  EXPECT_EQ(client.read_response().body, "hello 0123456789");
  EXPECT_EQ(client.get("/hello/still").body, "hello still");
}

TEST(Server, ATrailerIsNoField) {
  router routes;
  routes.post("/", [](context, const request& r) -> asio::awaitable<response> {
    co_return text(status::ok, r.fields().find("X-Admin") ? "forged" : "fine");
  });
  http_server s(routes);
  raw_client client(s.port());
  client.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Admin: 1\r\n\r\n");
  EXPECT_EQ(client.read_response().body, "fine");
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  router routes = basic_routes();
  routes.get("/slow", [](context ctx, const request&) -> asio::awaitable<response> {
    std::ignore = co_await async_sleep_for(ctx, 20ms);
    co_return text(status::ok, "slow");
  });
  http_server s(routes);
  raw_client client(s.port());
  std::string all;
  for (int i = 0; i < 200; ++i) {
    all += "GET " + (i % 50 == 0 ? std::string("/slow") : "/hello/" + std::to_string(i)) +
           " HTTP/1.1\r\nHost: t\r\n\r\n";
  }
  client.send(all);
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(client.read_response().body, i % 50 == 0 ? "slow" : "hello " + std::to_string(i));
  }
}

TEST(Server, APipelinedRequestMayArriveInPieces) {
  http_server s(basic_routes());
  raw_client client(s.port());
  client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nokGET /hel");
  EXPECT_EQ(client.read_response().body, "ok");
  client.send("lo/x HTTP/1.1\r\nHost: t\r\n\r\n\r\n\r\nGET /hello/y HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(client.read_response().body, "hello x");
  EXPECT_EQ(client.read_response().body, "hello y") << "empty lines before a request are skipped";
}

TEST(Server, SendsLargeBodiesToSlowReaders) {
  router routes;
  routes.get("/", [](context, const request&) -> asio::awaitable<response> {
    co_return text(status::ok, std::string(8'000'000, 'y'));
  });
  http_server s(routes);
  raw_client client(s.port(), 4096);
  const auto r = client.get("/");
  EXPECT_EQ(r.body, std::string(8'000'000, 'y'));
}

TEST(Server, ClosesWhenTheClientAsksForIt) {
  http_server s(basic_routes());
  raw_client client(s.port());
  const auto r = client.get("/hello/x", "Connection: close\r\n");
  EXPECT_EQ(r.field("Connection"), "close");
  EXPECT_EQ(client.read_to_end(), "");
}

TEST(Server, ClosesWhenTheHandlerAsksForIt) {
  router routes;
  routes.get("/", [](context, const request&) -> asio::awaitable<response> {
    auto r = text(status::ok, "bye");
    r.set("Connection", "close");
    co_return r;
  });
  http_server s(routes);
  raw_client client(s.port());
  EXPECT_EQ(client.get("/").field("Connection"), "close");
  EXPECT_EQ(client.read_to_end(), "");
}

TEST(Server, ServesHttp10) {
  http_server s(basic_routes());
  raw_client once(s.port());
  once.send("GET /hello/old HTTP/1.0\r\n\r\n");
  const auto r = once.read_response();
  EXPECT_EQ(r.body, "hello old");
  EXPECT_EQ(r.field("Connection"), "close");
  EXPECT_EQ(once.read_to_end(), "");

  raw_client keeps(s.port());
  for (int i = 0; i < 2; ++i) {
    keeps.send("GET /hello/old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_EQ(keeps.read_response().field("Connection"), "keep-alive");
  }
}

TEST(Server, AnswersHeadWithoutABody) {
  http_server s(basic_routes());
  raw_client client(s.port());
  client.send("HEAD /hello/you HTTP/1.1\r\nHost: t\r\n\r\n");
  const auto r = client.read_response(true);
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.field("Content-Length"), "9");
  EXPECT_EQ(client.get("/hello/me").body, "hello me") << "no byte of a body came between";
}

TEST(Server, AnswersOptionsAndWrongMethods) {
  http_server s(basic_routes());
  raw_client client(s.port());
  client.send("OPTIONS /echo HTTP/1.1\r\nHost: t\r\n\r\n");
  auto r = client.read_response();
  EXPECT_EQ(r.status, 204);
  EXPECT_EQ(r.field("Allow"), "OPTIONS, POST");
  EXPECT_EQ(r.field("Content-Length"), "");
  client.send("OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(client.read_response().field("Allow"), "GET, HEAD, OPTIONS, POST");
  r = client.get("/echo");
  EXPECT_EQ(r.status, 405);
  EXPECT_EQ(r.field("Allow"), "OPTIONS, POST");
  EXPECT_EQ(client.get("/none").status, 404);
  EXPECT_EQ(client.get("/%zz").status, 400);
  EXPECT_EQ(client.get("/hello/x").status, 200) << "none of them costs the connection";
}

TEST(Server, NeverSendsABodyWith204And304) {
  router routes;
  routes.get("/{code}", [](context, const request& r) -> asio::awaitable<response> {
    co_return text(static_cast<status>(std::stoi(std::string(r.param("code")))), "body");
  });
  http_server s(routes);
  raw_client client(s.port());
  for (const auto* target : {"/204", "/304"}) {
    const auto r = client.get(target);
    EXPECT_EQ(r.field("Content-Length"), "") << target;
  }
  EXPECT_EQ(client.get("/299").head.substr(0, 15), "HTTP/1.1 299 \r\n");
  EXPECT_EQ(client.get("/101").status, 500) << "no handler switches protocols";
}

TEST(Server, AHandlerThatThrowsIsAnsweredWith500) {
  router routes = basic_routes();
  routes.get("/throws", [](context, const request&) -> asio::awaitable<response> {
    throw std::runtime_error("secret");
    co_return response();
  });
  routes.get("/throws-at-once", [](context, const request&) -> asio::awaitable<response> { throw 42; });
  http_server s(routes);
  raw_client client(s.port());
  const auto r = client.get("/throws?x=1");
  EXPECT_EQ(r.status, 500);
  EXPECT_THAT(r.body, Not(HasSubstr("secret")));
  EXPECT_EQ(client.get("/throws-at-once").status, 500);
  EXPECT_EQ(client.get("/hello/x").status, 200) << "the connection stays";
  EXPECT_THAT(s.complaints(), ::testing::ElementsAre("GET /throws?x=1: the handler threw: secret",
                                                     "GET /throws-at-once: the handler threw"));
}

TEST(Server, DoesNotSendFieldsThatWouldSplitTheResponse) {
  router routes = basic_routes();
  routes.get("/value", [](context, const request& r) -> asio::awaitable<response> {
    auto reply = text(status::ok, "x");
    reply.set("X-Echo", r.query("v").value_or(""));
    co_return reply;
  });
  routes.get("/name", [](context, const request& r) -> asio::awaitable<response> {
    auto reply = text(status::ok, "x");
    reply.set(r.query("v").value_or(""), "1");
    co_return reply;
  });
  http_server s(routes);
  raw_client client(s.port());
  for (const auto* target :
       {"/value?v=a%0d%0aSet-Cookie:%20b", "/value?v=a%0ab", "/value?v=a%0db", "/value?v=a%00b",
        "/name?v=a%0d%0ab", "/name?v=a%20b", "/name?v=", "/name?v=a:b", "/name?v=a%00"}) {
    const auto r = client.get(target);
    EXPECT_EQ(r.status, 500) << target;
    EXPECT_EQ(r.field("Set-Cookie"), "") << target;
    EXPECT_THAT(r.head, Not(HasSubstr("X-Echo"))) << target;
  }
  EXPECT_EQ(client.get("/value?v=tab%09and%20%C3%A4").field("X-Echo"), "tab\tand \xC3\xA4");
  EXPECT_EQ(s.complaints().size(), 9U);
}

TEST(Server, FramingIsNotTheHandlersBusiness) {
  router routes = basic_routes();
  routes.get("/", [](context, const request&) -> asio::awaitable<response> {
    auto reply = text(status::ok, "four");
    reply.set("Content-Length", "2")
        .set("Transfer-Encoding", "chunked")
        .set("Date", "now")
        .set("Keep-Alive", "x");
    co_return reply;
  });
  http_server s(routes);
  raw_client client(s.port());
  const auto r = client.get("/");
  EXPECT_EQ(r.field("Content-Length"), "4");
  EXPECT_EQ(r.field("Transfer-Encoding"), "");
  EXPECT_EQ(r.field("Keep-Alive"), "");
  EXPECT_EQ(r.field("Date"), "now");
  EXPECT_EQ(client.get("/hello/x").status, 200);
}

TEST(Server, ServesFiles) {
  const std::array<static_file, 2> files{
      {{"index.html", "text/html", "<h1>x</h1>"}, {"js/app.js", "text/javascript", "let a;"}}};
  router routes;
  routes.files("/ui", files);
  http_server s(routes);
  raw_client client(s.port());
  const auto page = client.get("/ui");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.body, "<h1>x</h1>");
  EXPECT_EQ(page.field("Content-Type"), "text/html");
  const auto tag = page.field("ETag");
  EXPECT_THAT(tag, ::testing::MatchesRegex("\"[0-9a-f-]+\""));

  const auto same = client.get("/ui/index.html", "If-None-Match: \"other\", W/" + tag + "\r\n");
  EXPECT_EQ(same.status, 304);
  EXPECT_EQ(same.body, "");
  EXPECT_EQ(same.field("ETag"), tag);
  EXPECT_EQ(client.get("/ui/", "If-None-Match: *\r\n").status, 304);
  EXPECT_EQ(client.get("/ui/", "If-None-Match: \"other\"\r\n").status, 200);
  const auto script = client.get("/ui/js/app.js");
  EXPECT_EQ(script.field("Content-Type"), "text/javascript");
  EXPECT_NE(script.field("ETag"), tag);
  client.send("HEAD /ui/js/app.js HTTP/1.1\r\nHost: t\r\n\r\n");
  const auto head = client.read_response(true);
  EXPECT_EQ(head.field("Content-Length"), "6");
  for (const auto* target : {"/ui/../etc/passwd", "/ui/%2e%2e/x", "/ui/js", "/ui/none"}) {
    EXPECT_EQ(client.get(target).status, 404) << target;
  }
}

TEST(Server, RequestsHaveTheValuesOfServe) {
  static constexpr key<int> answer{"answer"};
  router routes;
  routes.get("/", [](context ctx, const request&) -> asio::awaitable<response> {
    const int* found = ctx.value(answer);
    co_return text(status::ok, found ? std::to_string(*found) : "none");
  });
  http_server s(routes, {}, with_value(background(), answer, 42));
  EXPECT_EQ(raw_client(s.port()).get("/").body, "42");
}

TEST(Server, SpreadsConnectionsOverItsThreads) {
  router routes;
  routes.get("/", [](context, const request&) -> asio::awaitable<response> {
    co_return text(status::ok, std::to_string(std::hash<std::thread::id>()(std::this_thread::get_id())));
  });
  http_server s(routes, server_options().threads(4));
  std::set<std::string> threads;
  for (int i = 0; i < 8; ++i) {
    raw_client client(s.port());
    const auto thread = client.get("/").body;
    EXPECT_EQ(client.get("/").body, thread) << "a connection stays on its thread";
    threads.insert(thread);
  }
  EXPECT_EQ(threads.size(), 4U);
}

TEST(Server, KnowsItsAddress) {
  server s(router(), server_options().listen("127.0.0.1:0"));
  EXPECT_EQ(s.port(), 0);
  EXPECT_EQ(s.url(), "");
  ASSERT_TRUE(s.listen());
  EXPECT_NE(s.port(), 0);
  EXPECT_EQ(s.url(), "http://127.0.0.1:" + std::to_string(s.port()));
  EXPECT_TRUE(s.listen()) << "a second time does nothing";
}

TEST(Server, ListensOnIpv6) {
  server s(router(), server_options().listen("[::1]:0"));
  const auto up = s.listen();
  if (!up && up.error() == std::errc::address_family_not_supported) GTEST_SKIP();
  if (!up && up.error() == std::errc::address_not_available) GTEST_SKIP();
  ASSERT_TRUE(up) << up.error();
  EXPECT_EQ(s.url(), "http://[::1]:" + std::to_string(s.port()));
}

TEST(Server, RefusesWhatIsNoAddress) {
  for (const auto* address :
       {"", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "host:80", "::1:80",
        "[127.0.0.1]:80", "127.0.0.1:-1", "127.0.0.1:80x"}) {
    server s(router(), server_options().listen(address));
    const auto up = s.listen();
    ASSERT_FALSE(up) << address;
    EXPECT_EQ(up.error(), errc::bad_address) << address;
    EXPECT_THAT(up.error().message(), HasSubstr('"' + std::string(address) + '"'));
  }
}

TEST(Server, SaysThatAnAddressIsInUse) {
  server first(router(), server_options().listen("localhost:0"));
  ASSERT_TRUE(first.listen());
  const auto address = "127.0.0.1:" + std::to_string(first.port());
  server second(router(), server_options().listen(address));
  const auto up = second.serve(background());
  ASSERT_FALSE(up);
  EXPECT_EQ(up.error(), std::errc::address_in_use);
  EXPECT_THAT(up.error().message(), HasSubstr(address));
  EXPECT_THAT(up.error().message(), HasSubstr("choose another port"));
}

TEST(Server, ClientsMayConnectBeforeItServes) {
  server s(basic_routes(), server_options().threads(1));
  ASSERT_TRUE(s.listen());
  raw_client client(s.port());
  client.send("GET /hello/early HTTP/1.1\r\nHost: t\r\n\r\n");
  auto root = with_cancel(background());
  std::thread serves([&] { EXPECT_TRUE(s.serve(root)); });
  EXPECT_EQ(client.read_response().body, "hello early");
  root.cancel();
  serves.join();
}

TEST(Server, ServesOnceOnly) {
  server s(basic_routes(), server_options().threads(1));
  auto over = with_cancel(background());
  over.cancel();
  EXPECT_TRUE(s.serve(over));
  const auto again = s.serve(over);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error(), std::errc::operation_not_permitted);
}

TEST(Server, ServesFromACoroutine) {
  server s(basic_routes(), server_options().threads(1));
  ASSERT_TRUE(s.listen());
  auto root = with_cancel(background());
  asio::io_context io;
  bool done = false;
  const auto main = [](server& which, context ctx, bool& over) -> asio::awaitable<void> {
    const auto report = co_await which.async_serve(ctx);
    EXPECT_TRUE(report.has_value());
    over = true;
  };
  asio::co_spawn(io, main(s, root, done), asio::detached);
  std::thread asks([&] {
    EXPECT_EQ(raw_client(s.port()).get("/hello/co").body, "hello co");
    root.cancel();
  });
  io.run();
  asks.join();
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace curfew::http
