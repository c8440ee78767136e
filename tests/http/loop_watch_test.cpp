// A handler that holds its thread is noticed and named. These tests block for real: that is what they are about.
#include <curfew/http/server.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <condition_variable>
#include <curfew/core.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io/wait.hpp>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "http/raw_client.hpp"
#include "http/waiting.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::testing::http_server;
using ::testing::MatchesRegex;
using ::testing::StartsWith;
using tests::event;
using tests::raw_client;

/// The lines of a server, and how a thread waits for them.
class lines {
 public:
  server_options::line_sink sink() {
    return [this](std::string_view line) {
      const std::lock_guard guard(mutex_);
      all_.emplace_back(line);
      changed_.notify_all();
    };
  }
  /// Blocks until there are `count`; gives up after 20 s.
  std::vector<std::string> wait(std::size_t count = 1) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 20s, [&] { return all_.size() >= count; });
    return all_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> all_;
};

server_options watched(lines& to, clock::duration limit = 2ms) {
  return server_options().max_hold(limit).on_held_thread(to.sink());
}

TEST(LoopWatch, NamesTheHandlerThatStillHoldsItsThread) {
  lines told;
  router routes;
  routes.get("/disk/{name}", [&](context, const request&) -> asio::awaitable<response> {
    co_return text(status::ok, told.wait().empty() ? "not told" : "told");
  });
  http_server s(routes, watched(told));
  raw_client client(s.port());
  EXPECT_EQ(client.get("/disk/usr?x=1").body, "told");
  EXPECT_THAT(told.wait()[0],
              MatchesRegex("GET /disk/\\{name\\}: the handler has held its thread for [0-9]+ ms so far; .*"
                           "http::blocking"));
}

TEST(LoopWatch, SaysHowLongWhenTheThreadIsFreeAgain) {
  lines told;
  router routes;
  routes.get("/slow", [&](context, const request&) -> asio::awaitable<response> {
    const auto until = std::chrono::steady_clock::now() + 60ms;
    while (std::chrono::steady_clock::now() < until) {
    }
    co_return text(status::ok, "x");
  });
  http_server s(routes, watched(told, 20ms));
  raw_client client(s.port());
  // On a machine that is busy otherwise the watching thread may sleep through one.
  for (int i = 0; i < 100 && told.wait(0).empty(); ++i) EXPECT_EQ(client.get("/slow").status, 200);
  const auto all = told.wait();
  ASSERT_FALSE(all.empty());
  EXPECT_THAT(all[0], MatchesRegex("GET /slow: the handler (held|has held) its thread for [0-9]+ ms.*"));
}

TEST(LoopWatch, NamesAllThatItMayHaveBeenAfterAWait) {
  lines told;
  event waits;
  router routes;
  routes.get("/holds", [&](context ctx, const request&) -> asio::awaitable<response> {
    std::ignore = co_await async_sleep_for(ctx, 1ms);  // goes on without the worker's knowledge
    co_return text(status::ok, told.wait().empty() ? "not told" : "told");
  });
  routes.get("/waits", [&](context ctx, const request&) -> asio::awaitable<response> {
    waits.set();
    co_await async_wait(ctx.done());
    co_return text(status::ok, "late");
  });
  http_server s(routes, watched(told, 100ms));  // a busy machine holds up the one that waits for less
  raw_client other(s.port());
  other.send("GET /waits HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(waits.wait());
  raw_client client(s.port());
  EXPECT_EQ(client.get("/holds").body, "told");
  EXPECT_THAT(told.wait()[0], StartsWith("one of GET /"));
  EXPECT_THAT(told.wait()[0], ::testing::HasSubstr("GET /holds"));
}

TEST(LoopWatch, NamesTheSourceOfABody) {
  lines told;
  router routes;
  routes.get("/stream", [&](context, const request&) -> asio::awaitable<response> {
    co_return stream("text/plain", [&](context ctx, body_writer out) -> asio::awaitable<void> {
      std::string bytes = told.wait().empty() ? "not told" : "told";
      static_cast<void>(co_await out.async_write(ctx, std::move(bytes)));
    });
  });
  http_server s(routes, watched(told));
  EXPECT_EQ(raw_client(s.port()).get("/stream").body, "told");
  EXPECT_THAT(told.wait()[0], StartsWith("GET /stream: "));
}

TEST(LoopWatch, WritesOneLineASecond) {
  constexpr int holds = 30;
  lines told;
  router routes;
  routes.get("/slow", [&](context, const request&) -> asio::awaitable<response> {
    const auto until = std::chrono::steady_clock::now() + 10ms;
    while (std::chrono::steady_clock::now() < until) {
    }
    co_return text(status::ok, "x");
  });
  http_server s(routes, watched(told));
  raw_client client(s.port());
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < holds; ++i) EXPECT_EQ(client.get("/slow").status, 200);
  EXPECT_GE(told.wait().size(), 1U);
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_LE(told.wait(0).size(), 1U + static_cast<std::size_t>(took / 1s));
}

}  // namespace
}  // namespace curfew::http
