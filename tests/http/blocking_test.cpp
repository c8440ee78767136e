#include <curfew/http/blocking.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "http/raw_client.hpp"
#include "http/waiting.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::testing::http_server;
using tests::ends;
using tests::event;
using tests::raw_client;

/// A plain function that blocks until its context ends.
struct patient_work {
  event started;
  ends ended;

  response operator()(const context& ctx) {
    started.set();
    static_cast<void>(ctx.done().wait());
    ended.add(ctx);
    return text(status::ok, "late");
  }

  handler make() {
    return blocking([this](const context& ctx, const request&) { return (*this)(ctx); });
  }
};

constexpr std::string_view get_wait = "GET /wait HTTP/1.1\r\nHost: t\r\n\r\n";

TEST(Blocking, AnswersWithWhatThePlainFunctionReturns) {
  router routes;
  routes.post("/echo/{name}", blocking([](const context& ctx, const request& r) {
                EXPECT_FALSE(ctx.err());
                return text(status::created, std::string(r.param("name")) + ' ' + r.body());
              }));
  http_server s(routes);
  raw_client client(s.port());
  for (int i = 0; i < 2; ++i) {
    client.send("POST /echo/bob HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello");
    const auto r = client.read_response();
    EXPECT_EQ(r.status, 201);
    EXPECT_EQ(r.body, "bob hello");
  }
}

TEST(Blocking, IsToldThatItsClientHasGoneWhileItBlocks) {
  patient_work work;
  router routes;
  routes.get("/wait", work.make());
  http_server s(routes);
  raw_client client(s.port());
  client.send(get_wait);
  ASSERT_TRUE(work.started.wait());
  client.reset();
  EXPECT_EQ(work.ended.wait()[0].second, errc::client_gone);
}

TEST(Blocking, LeavesItsThreadToOthers) {
  patient_work work;
  router routes;
  routes.get("/wait", work.make());
  http_server s(routes);  // one thread
  raw_client client(s.port());
  client.send(get_wait);
  ASSERT_TRUE(work.started.wait());
  raw_client other(s.port());
  EXPECT_EQ(other.get("/none").status, 404);
  EXPECT_TRUE(work.ended.wait(0).empty());
  client.close();
}

TEST(Blocking, EndsWithTheDeadlineOfTheRequest) {
  curfew::testing::manual_clock clock;
  patient_work work;
  router routes;
  routes.get("/wait", work.make());
  http_server s(routes, server_options().max_request_time(5s), clock.background());
  raw_client client(s.port());
  client.send(get_wait);
  ASSERT_TRUE(work.started.wait());
  clock.advance(5s);
  EXPECT_EQ(client.read_response().body, "late");
  EXPECT_EQ(work.ended.wait()[0].first, curfew::errc::deadline_exceeded);
}

TEST(Blocking, EndsAtShutdown) {
  patient_work work;
  router routes;
  routes.get("/wait", work.make());
  http_server s(routes, server_options().grace(clock::duration::zero()));
  raw_client client(s.port());
  client.send(get_wait);
  ASSERT_TRUE(work.started.wait());
  EXPECT_EQ(s.stop().ended, 1U);
  EXPECT_EQ(work.ended.wait()[0].second, errc::shutdown);
}

TEST(Blocking, IsAnsweredWith500WhenItThrows) {
  router routes;
  routes.get("/", blocking([](const context&, const request&) -> response {
               throw std::runtime_error("no such table");
             }));
  http_server s(routes);
  raw_client client(s.port());
  EXPECT_EQ(client.get("/").status, 500);
  EXPECT_EQ(client.get("/").status, 500) << "the connection stays";
  EXPECT_THAT(s.complaints().at(0), ::testing::HasSubstr("the handler threw: no such table"));
}

TEST(Blocking, GivesUpItsPlaceInThePoolsQueue) {
  curfew::testing::manual_clock clock;
  thread_pool pool(1);
  event busy;
  event go;
  pool.post([&] {
    busy.set();
    go.wait();
  });
  ASSERT_TRUE(busy.wait());
  std::atomic<int> calls{0};
  router routes;
  routes.get("/", blocking(pool, [&](const context&, const request&) {
               ++calls;
               return text(status::ok, "x");
             }));
  {
    http_server s(routes, server_options().max_request_time(5s), clock.background());
    raw_client client(s.port());
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    ASSERT_TRUE(tests::eventually([&] { return clock.advance_to_next(); })) << "the request's deadline";
    EXPECT_EQ(client.read_response().status, 504);
    EXPECT_EQ(calls, 0);
    go.set();
    EXPECT_EQ(client.get("/").body, "x");
  }
  EXPECT_EQ(calls, 1);
}

TEST(Blocking, WithoutAFunctionIsNoHandler) {
  router routes;
  EXPECT_THROW(routes.get("/", blocking({})), std::invalid_argument);
}

}  // namespace
}  // namespace curfew::http
