#include <curfew/http/testing.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <curfew/http.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

#include "http/waiting.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::testing::http_server;
using tests::event;

asio::awaitable<response> hello(context, const request& r) {
  co_return text(status::ok, "Hello, " + std::string(r.param("name")) + r.query("end").value_or("."));
}

router hello_routes() {
  router routes;
  routes.get("/hello/{name}", hello);
  return routes;
}

TEST(HttpServer, ServesARouterUntilItIsDestroyed) {
  std::string url;
  {
    const http_server server(hello_routes());
    url = server.url("/hello/you?end=!");
    EXPECT_EQ(server.url(), "http://127.0.0.1:" + std::to_string(server.port()));
    const auto answer = get(background(), url);
    ASSERT_TRUE(answer) << answer.error();
    EXPECT_EQ(answer->body(), "Hello, you!");
  }
  const auto refused = get(background(), url);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), errc::connection_refused);
}

TEST(HttpServer, ServesOneHandlerForEveryPathAndMethod) {
  const http_server server([](context, const request& r) -> asio::awaitable<response> {
    co_return text(status::ok, r.method() + ' ' + r.path());
  });
  client sender;
  const auto deep = sender.send(background(), request("DELETE", server.url("/a/b/c/d/e%20f")));
  ASSERT_TRUE(deep) << deep.error();
  EXPECT_EQ(deep->body(), "DELETE /a/b/c/d/e f");
  const auto root = get(background(), server.url());
  ASSERT_TRUE(root) << root.error();
  EXPECT_EQ(root->body(), "GET /");
}

TEST(HttpServer, TellsWhatTheHandlersDidWrong) {
  router routes;
  routes.get("/", [](context, const request&) -> asio::awaitable<response> {
    throw std::runtime_error("no such table");
    co_return response();
  });
  std::string also;
  http_server server(routes, server_options().on_error([&](std::string_view line) { also = line; }));
  const auto answer = get(background(), server.url("/"));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->status(), status::internal_server_error);
  EXPECT_THAT(server.complaints(), ::testing::ElementsAre("GET /: the handler threw: no such table"));
  server.stop();
  EXPECT_EQ(also, "GET /: the handler threw: no such table");
}

TEST(HttpServer, RunsOnTheClockOfItsRoot) {
  curfew::testing::manual_clock clock;
  event started;
  router routes;
  routes.get("/", [&](context ctx, const request&) -> asio::awaitable<response> {
    started.set();
    co_await async_wait(ctx.done());
    co_return text(status::ok, ctx.err().message());
  });
  http_server server(routes, server_options().max_request_time(5s), clock.background());
  std::thread moves([&] {
    EXPECT_TRUE(started.wait());
    clock.advance(5s);
  });
  const auto answer = get(background(), server.url("/"));
  moves.join();
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "deadline exceeded");
}

TEST(HttpServer, StopsWithItsRootAndReports) {
  auto root = with_cancel(background());
  http_server server(hello_routes(), server_options(), root);
  root.cancel();
  const auto report = server.stop();
  EXPECT_EQ(report.finished + report.ended, 0U);
  EXPECT_TRUE(report.stuck.empty());
  EXPECT_TRUE(server.stop().stuck.empty());
}

TEST(HttpServer, NamesTheRequestsThatDidNotComeHome) {
  event started;
  event go;
  router routes;
  routes.get("/stubborn", blocking([&](const context&, const request&) {
               started.set();
               go.wait();
               return text(status::ok, "x");
             }));
  std::optional<http_server> server(std::in_place, routes, server_options().grace(0s));
  std::thread asks([url = server->url("/stubborn")] { static_cast<void>(get(background(), url)); });
  ASSERT_TRUE(started.wait());
  const auto report = server->stop();
  EXPECT_THAT(report.stuck, ::testing::ElementsAre(::testing::StartsWith("GET /stubborn, ")));
  go.set();
  asks.join();
}

TEST(HttpServer, ThrowsWhereThePortIsTaken) {
  const http_server first(hello_routes());
  const auto second = [&] {
    const http_server made(hello_routes(),
                           server_options().listen("127.0.0.1:" + std::to_string(first.port())));
  };
  EXPECT_THROW(second(), std::system_error);
}

}  // namespace
}  // namespace curfew::http
