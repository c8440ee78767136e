// What one client, or all together, may take of a server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <functional>
#include <optional>
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
using tests::event;
using tests::eventually;
using tests::open_descriptors;
using tests::raw_client;

asio::awaitable<response> size_of(context, const request& r) {
  co_return text(status::ok, std::to_string(r.body().size()));
}

router with_sizes() {
  router routes;
  routes.get("/", size_of).post("/", size_of);
  return routes;
}

std::string post(std::size_t length) {
  return "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n";
}

TEST(ServerLimits, BodiesThatAreKeptHaveALimitTogether) {
  http_server s(with_sizes(), server_options().max_buffered_bodies(100'000));
  raw_client first(s.port());
  first.send(post(80'000) + std::string(70'000, 'x'));
  raw_client second(s.port());
  // Until the first one's bytes are there, there is room.
  ASSERT_TRUE(eventually([&] {
    second = raw_client(s.port());
    second.send(post(40'000) + std::string(40'000, 'x'));
    return second.read_response().status == 503;
  }));
  EXPECT_TRUE(second.is_closed());
  first.send(std::string(10'000, 'x'));
  EXPECT_EQ(first.read_response().body, "80000") << "one that was there before stays";
  for (int i = 0; i < 3; ++i) {
    raw_client third(s.port());
    third.send(post(90'000) + std::string(90'000, 'x'));
    EXPECT_EQ(third.read_response().body, "90000") << "answered ones give their room back";
  }
}

TEST(ServerLimits, AConnectionHasSoManyRequests) {
  http_server s(with_sizes(), server_options().max_requests(3));
  raw_client client(s.port());
  EXPECT_EQ(client.get("/").field("Connection"), "");
  EXPECT_EQ(client.get("/").field("Connection"), "");
  EXPECT_EQ(client.get("/").field("Connection"), "close");
  EXPECT_TRUE(client.is_closed());
}

TEST(ServerLimits, BytesOfABodyExtendItsTime) {
  http_server s(with_sizes(), server_options().body_timeout(50ms).min_body_rate(100));
  raw_client client(s.port());
  client.send(post(100'001) + std::string(100'000, 'x'));
  std::this_thread::sleep_for(200ms);  // it has 1000 s more
  client.send("x");
  EXPECT_EQ(client.read_response().body, "100001");

  raw_client slow(s.port());
  slow.send(post(100) + "x");
  EXPECT_EQ(slow.read_response().status, 408);
}

TEST(ServerLimits, AHalfClosedClientThatDoesNotReadEndsASecondAfterItsTime) {
  curfew::testing::manual_clock clock;
  event asked;
  event gone;
  std::optional<on_done<std::function<void()>>> watch;
  router routes;
  routes.get("/", [&](context ctx, const request&) -> asio::awaitable<response> {
    watch.emplace(ctx, [&] { gone.set(); });
    asked.set();
    co_return text(status::ok, std::string(20'000'000, 'x'));
  });
  http_server s(routes, server_options().max_request_time(5s).body_timeout(1h), clock.background());
  raw_client client(s.port(), 4096);
  client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(asked.wait());
  const auto open = open_descriptors();
  client.half_close();
  ASSERT_TRUE(gone.wait());
  clock.advance(6s);
  EXPECT_TRUE(eventually([&] { return open_descriptors() < open; })) << "the server has closed it";
  EXPECT_TRUE(client.is_closed());
}

TEST(ServerLimits, TheFirstHeaderHasItsTimeOnce) {
  // By time, since nothing else tells; the machine may be slow, but not each time.
  auto fastest = std::chrono::steady_clock::duration::max();
  for (int i = 0; i < 5 && fastest > 900ms; ++i) {
    http_server s(with_sizes(), server_options().header_timeout(600ms));
    const auto begin = std::chrono::steady_clock::now();
    raw_client client(s.port());
    std::this_thread::sleep_for(500ms);
    client.try_send("GET /");
    EXPECT_TRUE(client.is_closed());
    fastest = std::min(fastest, std::chrono::steady_clock::now() - begin);
  }
  EXPECT_LT(fastest, 900ms);
}

TEST(ServerLimits, APipelinedRequestHasItsTimeFromItsHeaderOn) {
  curfew::testing::manual_clock clock;
  event started;
  event go;
  std::optional<curfew::clock::time_point> deadline;
  router routes;
  routes.get("/first", [&](context ctx, const request&) -> asio::awaitable<response> {
    std::ignore = ctx;
    started.set();
    while (!go.is_set()) {
      asio::steady_timer timer(co_await asio::this_coro::executor, 1ms);
      co_await timer.async_wait(asio::use_awaitable);
    }
    co_return text(status::ok, "1");
  });
  routes.get("/second", [&](context ctx, const request&) -> asio::awaitable<response> {
    deadline = ctx.deadline();
    co_return text(status::ok, "2");
  });
  http_server s(routes, server_options().max_request_time(10s), clock.background());
  const auto begin = clock.now();
  raw_client client(s.port());
  client.send("GET /first HTTP/1.1\r\nHost: t\r\n\r\nGET /second HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(started.wait());
  clock.advance(6s);
  go.set();
  EXPECT_EQ(client.read_response().body, "1");
  EXPECT_EQ(client.read_response().body, "2");
  EXPECT_EQ(deadline, begin + 10s);
}

/// A server whose only handler answers when it is let go, or as soon as its context ends.
struct late_server {
  curfew::testing::manual_clock clock;
  event started;
  event go;
  std::optional<http_server> s;

  explicit late_server(bool obeys) {
    router routes;
    routes.get("/", [this, obeys](context ctx, const request&) -> asio::awaitable<response> {
      return run(this, std::move(ctx), obeys);
    });
    s.emplace(routes, server_options().max_request_time(5s).grace(10ms), clock.background());
  }

 private:
  static asio::awaitable<response> run(late_server* self, context ctx, bool obeys) {
    self->started.set();
    asio::steady_timer timer(co_await asio::this_coro::executor);
    while (!self->go.is_set() && !(obeys && ctx.err())) {
      timer.expires_after(1ms);
      co_await timer.async_wait(asio::use_awaitable);
    }
    co_return text(status::gateway_timeout, "too late");
  }
};

TEST(ServerLimits, ASecondAfterItsTimeARequestIsAnsweredWithoutItsHandler) {
  late_server l(false);
  raw_client client(l.s->port());
  client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(l.started.wait());
  l.clock.advance(5s);
  EXPECT_FALSE(client.has_input(300ms)) << "the handler has a second";
  l.clock.advance(1s);
  const auto r = client.read_response();
  EXPECT_EQ(r.status, 503);
  EXPECT_EQ(r.field("Connection"), "close");
  EXPECT_TRUE(client.is_closed());
  const auto report = l.s->stop();
  ASSERT_EQ(report.stuck.size(), 1U) << "its handler is left behind, by name";
  EXPECT_THAT(report.stuck[0], ::testing::StartsWith("GET /, "));
  l.go.set();
}

TEST(ServerLimits, AHandlerThatIsLeftBehindMayReturn) {
  late_server l(false);
  raw_client client(l.s->port());
  client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(l.started.wait());
  l.clock.advance(6s);
  EXPECT_EQ(client.read_response().status, 503);
  l.go.set();
  EXPECT_EQ(client.read_to_end(), "");
  const auto report = l.s->stop();
  EXPECT_EQ(report.stuck.size(), 0U);
}

TEST(ServerLimits, TheHandlersOwnAnswerWithinThatSecondWins) {
  late_server l(true);
  raw_client client(l.s->port());
  client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(l.started.wait());
  l.clock.advance(5s);
  const auto r = client.read_response();
  EXPECT_EQ(r.status, 504);
  EXPECT_EQ(r.body, "too late");
}

}  // namespace
}  // namespace curfew::http
