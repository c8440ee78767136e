// Consoles that do not answer as they should.
#include "console.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io.hpp>
#include <curfew/testing.hpp>
#include <exception>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

#include "feed.hpp"

namespace curfew_program {
namespace {

namespace http = curfew::http;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

/// Runs a coroutine to its end.
void run(asio::awaitable<void> what) {
  asio::io_context io;
  std::exception_ptr thrown;
  asio::co_spawn(io, std::move(what), [&](std::exception_ptr e) { thrown = std::move(e); });
  io.run();
  if (thrown) std::rethrow_exception(thrown);
}

answer<std::string> get(const curfew::context& ctx, const std::string& url, const std::string& path) {
  console of(*source::parse(url));
  answer<std::string> got;
  auto ask = [&]() -> asio::awaitable<void> { got = co_await of.async_get(ctx, path); };
  run(ask());
  return got;
}

/// Follows until the console counts as away. \return why.
std::string away_of(const std::string& url) {
  console of(*source::parse(url));
  process_view view;
  auto watch = [&]() -> asio::awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    auto body = [&](curfew::task_group& group) -> asio::awaitable<void> {
      bell changed;
      auto following = [&](curfew::context ctx) { return follow(std::move(ctx), of, view, changed); };
      const auto nothing = [] {};
      curfew::spawn(group, executor, following);
      while (view.away.empty() || view.away == "connecting") {
        curfew::case_list next;
        next.when(changed.ringing(), nothing);
        std::ignore = co_await curfew::async_select(next);
      }
      group.cancel();
      std::ignore = co_await curfew::async_join(group);
    };
    std::ignore = co_await curfew::async_task_group(curfew::background(), body);
  };
  run(watch());
  return view.away;
}

asio::awaitable<void> send_without_end(curfew::context ctx, http::body_writer out) {
  for (;;) {
    auto sent = co_await out.async_write(ctx, std::string(256 * 1024, 'x'));
    if (!sent) co_return;
  }
}

/// Answers /about as a console does, and /events as it is told.
http::router with_events(http::body_source events) {
  http::router routes;
  routes.get("/about", [](curfew::context, const http::request&) -> asio::awaitable<http::response> {
    co_return http::json(http::status::ok, R"({"now_ns": 1, "pid": 7, "program": "shop"})");
  });
  routes.get("/events", [events](curfew::context, const http::request&) -> asio::awaitable<http::response> {
    co_return http::events(events);
  });
  return routes;
}

http::body_source saying(std::string text) {
  return [text](curfew::context ctx, http::body_writer out) -> asio::awaitable<void> {
    std::ignore = co_await out.async_write(ctx, text);
  };
}

TEST(Console, ARefusalIsItsTextAndStatus) {
  http::router routes;
  routes.get("/tasks", [](curfew::context, const http::request&) -> asio::awaitable<http::response> {
    co_return http::json(http::status::unauthorized, R"({"error": "the token is missing\u001b"})");
  });
  curfew::testing::http_server server(routes);
  const auto refused = get(curfew::background(), server.url(), "/tasks");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().status, 401U);
  EXPECT_EQ(refused.error().text, server.url() + ": the token is missing\\x1b (status 401)");
  const auto other = get(curfew::background(), server.url(), "/nothing");
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().text, HasSubstr("no console of curfew answers there"));
}

TEST(Console, AnAnswerWithoutEndIsGivenUp) {
  http::router routes;
  routes.get("/tasks", [](curfew::context, const http::request&) -> asio::awaitable<http::response> {
    co_return http::stream("application/json", send_without_end);
  });
  curfew::testing::http_server server(routes);
  const auto got = get(curfew::background(), server.url(), "/tasks");
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().text, HasSubstr("a smaller --limit makes it less"));
}

TEST(Console, ASilentOneIsGivenUpAfterTenSeconds) {
  std::atomic<bool> asked{false};
  http::router routes;
  routes.get("/tasks", [&](curfew::context ctx, const http::request&) -> asio::awaitable<http::response> {
    asked = true;
    asked.notify_all();
    std::ignore = co_await curfew::async_wait(ctx.done());
    co_return http::text(http::status::ok, "too late");
  });
  curfew::testing::http_server server(routes);
  curfew::testing::manual_clock clock;
  answer<std::string> got;
  std::thread asking([&] { got = get(clock.background(), server.url(), "/tasks"); });
  asked.wait(false);
  clock.advance(10s);
  asking.join();
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().text, HasSubstr("no answer within 10 s"));
}

TEST(Follow, AnEventWithoutEndIsGivenUp) {
  curfew::testing::http_server server(with_events(send_without_end));
  EXPECT_THAT(away_of(server.url()), HasSubstr("an event of more than 16 MiB"));
}

TEST(Follow, WhatIsNotToBeBelievedIsGivenUp) {
  curfew::testing::http_server garbage(with_events(saying("event: look\ndata: {\"tasks\n\n")));
  EXPECT_THAT(away_of(garbage.url()), HasSubstr("no JSON"));
  curfew::testing::http_server other(with_events(saying("event: look\ndata: {}\n\n")));
  EXPECT_THAT(away_of(other.url()), HasSubstr("there is no \"tasks\""));
  curfew::testing::http_server none(http::router{});
  EXPECT_THAT(away_of(none.url()), HasSubstr("no console of curfew"));
}

TEST(Follow, AStreamThatEndsIsSaidToHave) {
  curfew::testing::http_server server(with_events(saying(": nothing\n\n")));
  EXPECT_THAT(away_of(server.url()), HasSubstr("it has closed the connection"));
}

}  // namespace
}  // namespace curfew_program
