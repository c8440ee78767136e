// The context of a request ends when its client goes: what disconnect_table_test.cpp does not hold.
#include <curfew/http/server.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "http/raw_client.hpp"
#include "http/waiting.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::testing::http_server;
using tests::ends;
using tests::event;
using tests::eventually;
using tests::open_descriptors;
using tests::raw_client;

/// A route that waits for the end of its context, tells it, and answers.
struct waiting_route {
  event started;
  ends ended;

  handler make() {
    return
        [this](context ctx, const request& r) -> asio::awaitable<response> { return run(std::move(ctx), r); };
  }

 private:
  asio::awaitable<response> run(context ctx, const request& /*r*/) {
    started.set();
    co_await async_wait(ctx.done());
    ended.add(ctx);
    co_return text(status::ok, "late");
  }
};

constexpr std::string_view get_wait = "GET /wait HTTP/1.1\r\nHost: t\r\n\r\n";

/// Returns when the server's only thread has dealt with all that happened to other connections before.
void expect_served(const http_server& s) {
  raw_client other(s.port());
  EXPECT_EQ(other.get("/none").status, 404);
}

TEST(ServerDisconnect, AResetIsNoticedBehindMoreThanAllBuffersHold) {
  waiting_route route;
  router routes;
  routes.get("/wait", route.make());
  http_server s(routes);
  raw_client client(s.port());
  client.send(get_wait);
  ASSERT_TRUE(route.started.wait());
  client.fill();
  EXPECT_TRUE(route.ended.wait(0).empty());
  client.reset();
  EXPECT_EQ(route.ended.wait()[0].second, errc::client_gone);
}

TEST(ServerDisconnect, ALivingClientKeepsItsContext) {
  router routes;
  routes.get("/", [](context ctx, const request&) -> asio::awaitable<response> {
    std::ignore = co_await async_sleep_for(ctx, 30ms);
    co_return text(status::ok, ctx.err() ? "ended" : "alive");
  });
  http_server s(routes);
  raw_client client(s.port());
  EXPECT_EQ(client.get("/").body, "alive");
  client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(client.read_response().body, "alive");
  EXPECT_EQ(client.read_response().body, "alive");
}

TEST(ServerDisconnect, AHalfCloseMayBeAllowed) {
  waiting_route route;
  event go;
  router routes;
  routes.get("/wait", route.make());
  routes.get("/until", [&](context ctx, const request&) -> asio::awaitable<response> {
    route.started.set();
    while (!go.is_set()) std::ignore = co_await async_sleep_for(ctx, 1ms);
    co_return text(status::ok, ctx.err() ? "ended" : "alive");
  });
  http_server s(routes, server_options().half_close_is_alive(true));
  raw_client client(s.port());
  client.send("GET /until HTTP/1.1\r\nHost: t\r\n\r\nGET /until HTTP/1.1\r\nHost: t\r\n\r\n");
  client.half_close();
  ASSERT_TRUE(route.started.wait());
  expect_served(s);  // behind the half-close, by the same thread
  go.set();
  EXPECT_EQ(client.read_response().body, "alive");
  EXPECT_EQ(client.read_response().body, "alive") << "what was sent before the half-close is answered";
  EXPECT_EQ(client.read_to_end(), "");

  raw_client other(s.port());
  other.send(get_wait);
  other.half_close();
  ASSERT_TRUE(route.started.wait());
  expect_served(s);
  EXPECT_TRUE(route.ended.wait(0).empty());
  other.reset();
  EXPECT_EQ(route.ended.wait()[0].second, errc::client_gone) << "a reset ends it";
}

TEST(ServerDisconnect, ARequestSentTogetherWithAHalfCloseIsAnswered) {
  router routes;
  routes.get("/", [](context ctx, const request&) -> asio::awaitable<response> {
    co_return text(status::ok, ctx.cause() == errc::client_gone ? "gone" : "alive");
  });
  http_server s(routes);
  for (int i = 0; i < 50; ++i) {
    raw_client client(s.port());
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n");
    client.half_close();
    EXPECT_EQ(client.read_response().status, 200);
    EXPECT_EQ(client.read_response().status, 200);
    EXPECT_EQ(client.read_to_end(), "");
  }
}

TEST(ServerDisconnect, EndsWhenTheResponseHasBeenSent) {
  ends ended;
  std::mutex mutex;
  std::vector<std::unique_ptr<on_done<std::function<void()>>>> watches;
  router routes;
  routes.get("/", [&](context ctx, const request&) -> asio::awaitable<response> {
    const std::lock_guard guard(mutex);
    watches.push_back(
        std::make_unique<on_done<std::function<void()>>>(ctx, [&ended, ctx] { ended.add(ctx); }));
    co_return text(status::ok, "x");
  });
  {
    http_server s(routes);
    raw_client client(s.port());
    EXPECT_EQ(client.get("/").status, 200);
    const auto all = ended.wait();
    EXPECT_EQ(all[0].first, curfew::errc::canceled);
    EXPECT_EQ(all[0].second, errc::handler_done);
  }
  watches.clear();
}

TEST(ServerDisconnect, AHandlerThatIgnoresItGoesOnSafely) {
  event started;
  event go;
  event returned;
  router routes;
  routes.get("/stubborn", [&](context, const request& r) -> asio::awaitable<response> {
    started.set();
    asio::steady_timer timer(co_await asio::this_coro::executor);
    while (!go.is_set()) {
      timer.expires_after(1ms);
      co_await timer.async_wait(asio::use_awaitable);
    }
    EXPECT_EQ(r.target(), "/stubborn") << "the request is still there";
    returned.set();
    co_return text(status::ok, "nobody reads this");
  });
  http_server s(routes);
  raw_client client(s.port());
  client.send("GET /stubborn HTTP/1.1\r\nHost: t\r\n\r\nGET /stubborn HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(started.wait());
  client.reset();
  raw_client other(s.port());
  EXPECT_EQ(other.get("/none").status, 404) << "others are served meanwhile";
  go.set();
  EXPECT_TRUE(returned.wait());
}

TEST(ServerDisconnect, EndsAtTheDeadlineOfTheServer) {
  curfew::testing::manual_clock clock;
  waiting_route route;
  router routes;
  routes.get("/wait", route.make());
  http_server s(routes, server_options().max_request_time(5s), clock.background());
  raw_client client(s.port());
  client.send(get_wait);
  ASSERT_TRUE(route.started.wait());
  clock.advance(5s - 1ns);
  EXPECT_TRUE(route.ended.wait(0).empty());
  clock.advance(1ns);
  EXPECT_EQ(route.ended.wait()[0].first, curfew::errc::deadline_exceeded);
  EXPECT_EQ(client.read_response().body, "late");
}

asio::awaitable<response> tell_remaining(context ctx, const request& /*r*/) {
  const auto left = ctx.remaining();
  co_return text(status::ok,
                 left ? std::to_string(std::chrono::ceil<std::chrono::milliseconds>(*left).count()) : "none");
}

TEST(ServerDeadline, TakesTheSmallerOfTheClientsAndItsOwn) {
  curfew::testing::manual_clock clock;
  router routes;
  routes.get("/", tell_remaining).get("/endless", tell_remaining, route_options().no_time_limit());
  http_server s(routes, server_options().max_request_time(5s), clock.background());
  raw_client client(s.port());
  EXPECT_EQ(client.get("/").body, "5000");
  EXPECT_EQ(client.get("/", "Request-Timeout-Ms: 250\r\n").body, "250");
  EXPECT_EQ(client.get("/", "request-timeout-ms: 00000001\r\n").body, "1");
  EXPECT_EQ(client.get("/", "Request-Timeout-Ms: 99999999\r\n").body, "5000");
  EXPECT_EQ(client.get("/endless").body, "none");
  EXPECT_EQ(client.get("/endless", "Request-Timeout-Ms: 250\r\n").body, "250");
}

TEST(ServerDeadline, MayHaveNoLimit) {
  router routes;
  routes.get("/", tell_remaining);
  http_server s(routes, server_options().max_request_time(curfew::clock::duration::max()));
  EXPECT_EQ(raw_client(s.port()).get("/").body, "none");
}

TEST(ServerDeadline, RefusesWhatIsTooLateBeforeTheHandler) {
  bool called = false;
  router routes;
  routes.get("/", [&](context, const request&) -> asio::awaitable<response> {
    called = true;
    co_return response();
  });
  http_server s(routes);
  raw_client client(s.port());
  EXPECT_EQ(client.get("/", "Request-Timeout-Ms: 0\r\n").status, 504);
  EXPECT_FALSE(called);
  EXPECT_EQ(client.get("/", "Request-Timeout-Ms: 5000\r\n").status, 200) << "the connection stays";
}

TEST(ServerDeadline, RefusesAMalformedTimeout) {
  router routes;
  routes.get("/", tell_remaining);
  http_server s(routes);
  for (const auto* bad : {"", "-1", "1s", "123456789", "1.5", "1, 2"}) {
    raw_client client(s.port());
    EXPECT_EQ(client.get("/", "Request-Timeout-Ms: " + std::string(bad) + "\r\n").status, 400) << bad;
    EXPECT_TRUE(client.is_closed());
  }
  raw_client twice(s.port());
  EXPECT_EQ(twice.get("/", "Request-Timeout-Ms: 1\r\nRequest-Timeout-Ms: 1\r\n").status, 400);
}

TEST(ServerDeadline, TheTimeThatABodyTakesCounts) {
  curfew::testing::manual_clock clock;
  router routes;
  routes.post("/", tell_remaining);
  http_server s(routes, server_options().max_request_time(5s), clock.background());
  raw_client client(s.port());
  const std::string head = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
  client.send(head);
  client.read_until("\r\n\r\n");
  client.send("a");
  client.send("b");
  EXPECT_EQ(client.read_response().body, "5000");

  client.send(head);
  client.read_until("\r\n\r\n");
  client.send("a");
  // The server has read the header, or it would not have said 100, and its thread has gone on to another request.
  expect_served(s);
  clock.advance(6s);
  client.send("b");
  EXPECT_EQ(client.read_response().status, 504);
}

TEST(ServerDisconnect, AThousandClientsThatVanishLeaveNothing) {
  constexpr std::size_t count = 1000;
  const auto before_all = open_descriptors();
  std::atomic<std::size_t> running{0};
  std::atomic<std::size_t> ended{0};
  router routes;
  routes.get("/wait", [&](context ctx, const request&) -> asio::awaitable<response> {
    ++running;
    co_await async_wait(ctx.done());
    if (ctx.cause() == errc::client_gone) ++ended;
    --running;
    co_return text(status::ok, "late");
  });
  {
    http_server s(routes, server_options().threads(2));
    raw_client first(s.port());
    EXPECT_EQ(first.get("/none").status, 404);  // so it serves, with all that it needs for that
    const auto before = open_descriptors();
    std::vector<raw_client> clients;
    for (std::size_t i = 0; i < count; ++i) {
      clients.emplace_back(s.port());
      clients.back().send(get_wait);
    }
    ASSERT_TRUE(eventually([&] { return running == count; }));
    EXPECT_GE(open_descriptors(), before + 2 * count);
    for (auto& c : clients) c.reset();
    clients.clear();
    EXPECT_TRUE(eventually([&] { return ended == count && running == 0; }));
    EXPECT_TRUE(eventually([&] { return open_descriptors() == before; }))
        << open_descriptors() << " for " << before;
    EXPECT_EQ(first.get("/none").status, 404);
  }
  EXPECT_EQ(open_descriptors(), before_all);
}

}  // namespace
}  // namespace curfew::http
