#include <curfew/http/server.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io/wait.hpp>
#include <memory>
#include <optional>
#include <string>
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
using tests::raw_client;

/// A route that goes on until it is let go; obedient: or until its context ends.
struct held_route {
  explicit held_route(bool obeys) : obedient(obeys) {}

  const bool obedient;
  std::atomic<int> running{0};
  event go;
  ends ended;

  handler make() {
    return [this](context ctx, const request&) -> asio::awaitable<response> { return run(std::move(ctx)); };
  }

 private:
  asio::awaitable<response> run(context ctx) {
    ++running;
    asio::steady_timer timer(co_await asio::this_coro::executor);
    while (!go.is_set() && !(obedient && ctx.err())) {
      timer.expires_after(1ms);
      co_await timer.async_wait(asio::use_awaitable);
    }
    ended.add(ctx);
    --running;
    co_return text(status::ok, "held");
  }
};

constexpr std::string_view get_held = "GET /held?x=1 HTTP/1.1\r\nHost: t\r\n\r\n";

router with_route(held_route& r) {
  router routes;
  routes.get("/held", r.make());
  return routes;
}

TEST(ServerShutdown, LetsRunningRequestsFinish) {
  held_route held(true);
  http_server s(with_route(held));
  raw_client client(s.port());
  client.send(get_held);
  ASSERT_TRUE(eventually([&] { return held.running == 1; }));
  s.begin_stop();
  ASSERT_TRUE(eventually([&] {
    try {
      raw_client late(s.port());
      return false;
    } catch (const std::system_error& e) {
      return e.code() == std::errc::connection_refused || e.code() == std::errc::connection_reset;
    }
  })) << "new connections are refused";
  held.go.set();
  const auto r = client.read_response();
  EXPECT_EQ(r.body, "held");
  EXPECT_EQ(r.field("Connection"), "close");
  const auto report = s.stop();
  EXPECT_EQ(report.finished, 1U);
  EXPECT_EQ(report.ended, 0U);
  EXPECT_TRUE(report.stuck.empty());
  EXPECT_FALSE(held.ended.wait()[0].first) << "its context did not end early";
}

TEST(ServerShutdown, ClosesIdleConnectionsAtOnce) {
  http_server s(router(), server_options().grace(30s));
  raw_client used(s.port());
  EXPECT_EQ(used.get("/").status, 404);
  raw_client fresh(s.port());
  const auto begin = std::chrono::steady_clock::now();
  const auto report = s.stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s) << "the grace time is for requests";
  EXPECT_TRUE(used.is_closed());
  EXPECT_TRUE(fresh.is_closed());
  // A request that has just been answered may be on its way home: it counts as finished.
  EXPECT_EQ(report.ended + report.stuck.size(), 0U);
}

TEST(ServerShutdown, ClosesConnectionsWhoseHeaderHasNotComeAtOnce) {
  http_server s(router(), server_options().grace(1h).header_timeout(1h));
  raw_client half_a_header(s.port());
  half_a_header.send("GET / HTTP/1.1\r\nHo");
  raw_client other(s.port());
  EXPECT_EQ(other.get("/").status, 404);
  const auto report = s.stop();
  EXPECT_TRUE(half_a_header.is_closed());
  EXPECT_EQ(report.ended + report.stuck.size(), 0U);
}

TEST(ServerShutdown, DoesNotWaitForClientsThatHaveTheirAnswer) {
  // By time, since nothing else tells; the machine may be slow, but not each time.
  auto fastest = std::chrono::steady_clock::duration::max();
  for (int i = 0; i < 5 && fastest > 1s; ++i) {
    http_server s(router(), server_options().grace(1h));
    raw_client does_not_hang_up(s.port());
    does_not_hang_up.send("nonsense\r\n\r\n");
    EXPECT_EQ(does_not_hang_up.read_response().status, 400);
    const auto begin = std::chrono::steady_clock::now();
    s.stop();
    fastest = std::min(fastest, std::chrono::steady_clock::now() - begin);
    EXPECT_TRUE(does_not_hang_up.is_closed());
  }
  EXPECT_LT(fastest, 1s);
}

TEST(ServerShutdown, CompletesAResponseThatIsUnderWay) {
  event asked;
  router routes;
  routes.get("/large", [&](context, const request&) -> asio::awaitable<response> {
    asked.set();
    co_return text(status::ok, std::string(20'000'000, 'x'));
  });
  http_server s(routes, server_options().grace(1h));
  raw_client client(s.port(), 4096);
  client.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(asked.wait());
  raw_client idle(s.port());
  s.begin_stop();
  EXPECT_TRUE(idle.is_closed()) << "the shutdown has begun";
  EXPECT_EQ(client.read_response().body.size(), 20'000'000U);
  EXPECT_EQ(s.stop().finished, 1U);
}

TEST(ServerShutdown, EndsContextsAfterTheGraceTime) {
  held_route held(true);
  http_server s(with_route(held), server_options().grace(30ms).threads(2));
  std::vector<raw_client> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(s.port());
    clients.back().send(get_held);
  }
  ASSERT_TRUE(eventually([&] { return held.running == 3; }));
  const auto report = s.stop();
  EXPECT_EQ(report.finished, 0U);
  EXPECT_EQ(report.ended, 3U);
  EXPECT_TRUE(report.stuck.empty());
  for (const auto& [err, why] : held.ended.wait(3)) {
    EXPECT_EQ(err, curfew::errc::canceled);
    EXPECT_EQ(why, errc::shutdown);
  }
  for (auto& c : clients) EXPECT_EQ(c.read_response().body, "held") << "they could still answer";
}

TEST(ServerShutdown, NamesWhoDidNotComeHome) {
  held_route held(false);
  std::optional<http_server> s(std::in_place, with_route(held), server_options().grace(10ms));
  raw_client client(s->port());
  client.send(get_held);
  ASSERT_TRUE(eventually([&] { return held.running == 1; }));
  const auto report = s->stop();
  EXPECT_EQ(report.ended, 0U);
  ASSERT_EQ(report.stuck.size(), 1U);
  EXPECT_THAT(report.stuck[0], ::testing::MatchesRegex("GET /held\\?x=1, [0-9]+\\.[0-9] s"));
  held.go.set();
  s.reset();
  EXPECT_EQ(held.running, 0) << "the destructor waits for it";
}

TEST(ServerShutdown, NamesAHandlerThatBlocksItsThread) {
  event started;
  event go;
  router routes;
  routes.get("/blocks", [&](context ctx, const request&) -> asio::awaitable<response> {
    started.set();
    EXPECT_EQ(ctx.done().wait(), curfew::errc::canceled) << "its context ends although its thread is busy";
    go.wait();
    co_return text(status::ok, "x");
  });
  http_server s(routes, server_options().grace(10ms));
  raw_client client(s.port());
  client.send("GET /blocks HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(started.wait());
  const auto report = s.stop();
  ASSERT_EQ(report.stuck.size(), 1U);
  EXPECT_THAT(report.stuck[0], ::testing::StartsWith("GET /blocks, "));
  go.set();
}

TEST(ServerShutdown, IsNotHeldUpByClients) {
  router routes;
  routes.get("/large", [](context, const request&) -> asio::awaitable<response> {
    co_return text(status::ok, std::string(20'000'000, 'x'));
  });
  http_server s(routes, server_options().grace(50ms));
  raw_client does_not_read(s.port(), 4096);
  does_not_read.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
  raw_client half_a_header(s.port());
  half_a_header.send("GET /");
  raw_client half_a_body(s.port());
  half_a_body.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nab");
  raw_client does_not_hang_up(s.port());
  does_not_hang_up.send("nonsense\r\n\r\n");
  does_not_hang_up.read_response();
  does_not_read.read_until("\r\n\r\n");
  const auto report = s.stop();
  EXPECT_TRUE(report.stuck.empty());
}

TEST(ServerShutdown, DestroyingItNeedsNoGrace) {
  held_route held(true);
  auto s =
      std::make_unique<server>(with_route(held), server_options().threads(1).grace(std::chrono::hours(1)));
  ASSERT_TRUE(s->listen());
  auto root = with_cancel(background());
  asio::io_context io;
  std::optional<result<shutdown_report>> report;
  const auto main = [](server& which, context ctx,
                       std::optional<result<shutdown_report>>& out) -> asio::awaitable<void> {
    auto got = co_await which.async_serve(ctx);
    out = std::move(got);
  };
  asio::co_spawn(io, main(*s, root, report), asio::detached);
  io.poll();
  raw_client client(s->port());
  client.send(get_held);
  ASSERT_TRUE(eventually([&] { return held.running == 1; }));
  s.reset();
  EXPECT_EQ(held.ended.wait()[0].second, errc::shutdown);
  io.restart();
  io.run();
  ASSERT_TRUE(report && *report);
  EXPECT_EQ((**report).ended, 1U);
}

TEST(ServerShutdown, AServerThatNeverServedCanBeDestroyed) {
  server s(router(), server_options().threads(1));
  ASSERT_TRUE(s.listen());
  const raw_client waits_in_vain(s.port());
}

}  // namespace
}  // namespace curfew::http
