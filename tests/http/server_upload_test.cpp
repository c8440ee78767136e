// Bodies of requests that their handlers read as they come.
#include <curfew/http/body_reader.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/blocking.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
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
using tests::ends;
using tests::event;
using tests::eventually;
using tests::raw_client;

router with_upload(handler h, route_options options = route_options().stream_body()) {
  router routes;
  routes.post("/up", std::move(h), options);
  routes.get("/next", [](context, const request&) -> asio::awaitable<response> {
    co_return text(status::ok, "next");
  });
  return routes;
}

std::string post(std::size_t length, std::string_view fields = {}) {
  return "POST /up HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(length) + "\r\n" +
         std::string(fields) + "\r\n";
}

std::string pattern(std::size_t size) {
  std::string all(size, ' ');
  for (std::size_t i = 0; i < size; ++i) all[i] = static_cast<char>('a' + i * 7 % 26);
  return all;
}

asio::awaitable<response> echo(context ctx, const request& r) {
  auto reading = r.reader().async_read_all(ctx);
  const auto all = co_await std::move(reading);
  if (!all) co_return text(status::bad_request, all.error().message());
  co_return text(status::ok, *all);
}

TEST(ServerUpload, ABodyIsReadByItsHandler) {
  http_server s(with_upload(echo));
  raw_client client(s.port());
  const std::string body = pattern(300'000);
  client.send(post(body.size()) + body);
  EXPECT_EQ(client.read_response().body, body);
  client.send("POST /up HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (const std::string_view part : {"5\r", "\nfirst\r\n", "6;x=y\r\nsec", "ond\r\n0", "\r\n\r\n"})
    client.send(part);
  EXPECT_EQ(client.read_response().body, "firstsecond");
  client.send(post(0));
  EXPECT_EQ(client.read_response().body, "");
  EXPECT_EQ(client.get("/next").body, "next");
}

TEST(ServerUpload, TheHandlerRunsBeforeTheBodyHasComeAndGetsEachPieceAsItComes) {
  event first;
  http_server s(with_upload([&](context ctx, const request& r) -> asio::awaitable<response> {
    const auto body = r.reader();
    std::string pieces = r.body() + "|";
    for (;;) {
      auto reading = body.async_read(ctx);
      const auto piece = co_await std::move(reading);
      if (!piece || !*piece) break;
      pieces += **piece + "|";
      first.set();
    }
    const auto again = co_await body.async_read(ctx);
    EXPECT_TRUE(again && !*again) << "the end stays";
    co_return text(status::ok, pieces);
  }));
  raw_client client(s.port());
  client.send(post(6) + "one");
  ASSERT_TRUE(first.wait());
  client.send("two");
  EXPECT_EQ(client.read_response().body, "|one|two|");
}

TEST(ServerUpload, WithoutAReaderTheClientIsHeldBack) {
  constexpr std::size_t size = 64'000'000;
  event go;
  http_server s(with_upload(
      [&](context ctx, const request& r) -> asio::awaitable<response> {
        while (!go.is_set()) std::ignore = co_await async_sleep_for(ctx, 1ms);
        std::size_t total = 0;
        for (;;) {
          auto reading = r.reader().async_read(ctx);
          const auto piece = co_await std::move(reading);
          if (!piece || !*piece) break;
          EXPECT_LE((**piece).size(), 128U * 1024);
          total += (**piece).size();
        }
        co_return text(status::ok, std::to_string(total));
      },
      route_options().stream_body().max_body_size(size)));
  raw_client client(s.port());
  client.send(post(size));
  std::atomic<std::size_t> sent{0};
  std::thread sender([&] {
    const std::string block(100'000, 'x');
    while (sent < size) {
      client.send(block);
      sent += block.size();
    }
  });
  std::size_t before = 1;
  while (sent != before) {  // until it stands still
    before = sent;
    std::this_thread::sleep_for(100ms);
  }
  EXPECT_LT(sent, size) << "the kernel does not keep that much";
  go.set();
  sender.join();
  EXPECT_EQ(client.read_response().body, std::to_string(size));
}

TEST(ServerUpload, OneThatComesWithoutAPauseLeavesItsThreadToOthersNowAndThen) {
  constexpr std::size_t size = 64'000'000;
  unsigned longest = 0;
  http_server s(with_upload(
      [&](context ctx, const request& r) -> asio::awaitable<response> {
        const auto thread = co_await asio::this_coro::executor;
        const auto in_a_row = std::make_shared<unsigned>(0);  // reads since another had its turn
        for (;;) {
          auto reading = r.reader().async_read(ctx);
          const auto piece = co_await std::move(reading);
          if (!piece || !*piece) break;
          longest = std::max(longest, ++*in_a_row);
          if (*in_a_row == 1) asio::post(thread, [in_a_row] { *in_a_row = 0; });
        }
        co_return text(status::ok, "read");
      },
      route_options().stream_body().max_body_size(size)));
  raw_client client(s.port());
  client.send(post(size));
  client.send(std::string(size, 'x'));
  EXPECT_EQ(client.read_response().body, "read");
  EXPECT_LE(longest, 64U);
}

TEST(ServerUpload, ContinueIsSentWhenTheHandlerFirstReads) {
  event asked;
  event go;
  http_server s(with_upload([&](context ctx, const request& r) -> asio::awaitable<response> {
    asked.set();
    while (!go.is_set()) std::ignore = co_await async_sleep_for(ctx, 1ms);
    auto answer = echo(ctx, r);
    co_return co_await std::move(answer);
  }));
  raw_client client(s.port());
  client.send(post(4, "Expect: 100-continue\r\n"));
  ASSERT_TRUE(asked.wait());
  EXPECT_FALSE(client.has_input());
  go.set();
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("body");
  EXPECT_EQ(client.read_response().body, "body");
}

TEST(ServerUpload, AHandlerThatDoesNotReadAsksForNoBody) {
  http_server s(with_upload(
      [](context, const request&) -> asio::awaitable<response> { co_return text(status::forbidden, "no"); }));
  raw_client client(s.port());
  client.send(post(4, "Expect: 100-continue\r\n"));
  const auto r = client.read_response();
  EXPECT_EQ(r.status, 403);
  EXPECT_EQ(r.field("Connection"), "close");
}

TEST(ServerUpload, AnEarlyAnswerArrivesAndTheConnectionStaysWhereLittleIsLeft) {
  const auto refuse = [](context, const request&) -> asio::awaitable<response> {
    co_return text(status::forbidden, "no");
  };
  http_server s(with_upload(refuse, route_options().stream_body().max_body_size(100'000'000)));
  raw_client client(s.port());
  client.send(post(10'000));
  EXPECT_EQ(client.read_response().status, 403);
  client.send(std::string(10'000, 'x'));
  EXPECT_EQ(client.get("/next").body, "next");
  client.send("POST /up HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 403);
  EXPECT_EQ(client.get("/next").body, "next");

  client.send(post(50'000'000));
  client.send(std::string(500'000, 'x'));
  const auto large = client.read_response();
  EXPECT_EQ(large.status, 403);
  EXPECT_EQ(large.field("Connection"), "close");
}

TEST(ServerUpload, TheLimitsHold) {
  http_server s(with_upload(echo, route_options().stream_body().max_body_size(10)));
  raw_client declared(s.port());
  declared.send(post(11));
  EXPECT_EQ(declared.read_response().status, 413) << "before the handler";
  raw_client chunked(s.port());
  chunked.send(
      "POST /up HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n123456\r\n5\r\n12345\r\n");
  const auto r = chunked.read_response();
  EXPECT_EQ(r.status, 400);
  EXPECT_THAT(r.body, ::testing::HasSubstr("reading the body of the request"));
  EXPECT_EQ(r.field("Connection"), "close");

  http_server own(with_upload([](context ctx, const request& of) -> asio::awaitable<response> {
    auto reading = of.reader().async_read_all(ctx, 3);
    const auto all = co_await std::move(reading);
    co_return text(all ? status::ok : status::content_too_large, all ? *all : all.error().message());
  }));
  raw_client more(own.port());
  more.send(post(4) + "abcd");
  EXPECT_EQ(more.read_response().status, 413);
  more.send(post(3) + "abc");
  EXPECT_EQ(more.read_response().body, "abc");
}

TEST(ServerUpload, ALargerLimitOfTheRouteHoldsForABodyThatIsKeptToo) {
  router routes;
  routes.post(
      "/up",
      [](context, const request& r) -> asio::awaitable<response> {
        co_return text(status::ok, std::to_string(r.body().size()));
      },
      route_options().max_body_size(100));
  http_server s(routes, server_options().max_body_size(10));
  raw_client client(s.port());
  client.send(post(100) + std::string(100, 'x'));
  EXPECT_EQ(client.read_response().body, "100");
  client.send(post(101));
  EXPECT_EQ(client.read_response().status, 413);
}

TEST(ServerUpload, WhatIsNotHttpIsAnError) {
  http_server s(with_upload(echo));
  raw_client client(s.port());
  client.send("POST /up HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n");
  const auto r = client.read_response();
  EXPECT_EQ(r.status, 400);
  EXPECT_EQ(r.field("Connection"), "close");
}

/// A handler that reads until it fails, and tells why.
struct reads_on {
  event started;
  event over;
  ends ended;
  std::optional<error> failed;

  handler make() {
    return [this](context ctx, const request& r) -> asio::awaitable<response> {
      return run(this, std::move(ctx), r.reader());
    };
  }

 private:
  static asio::awaitable<response> run(reads_on* self, context ctx, body_reader body) {
    for (;;) {
      self->started.set();
      auto reading = body.async_read(ctx);
      auto piece = co_await std::move(reading);
      if (piece && *piece) continue;
      if (!piece) self->failed = piece.error();
      break;
    }
    self->ended.add(ctx);
    self->over.set();
    co_return text(status::ok, "x");
  }
};

TEST(ServerUpload, AClientThatLeavesInMidBodyEndsTheContext) {
  for (int way = 0; way < 3; ++way) {
    reads_on h;
    http_server s(with_upload(h.make()));
    raw_client client(s.port());
    client.send(post(1000) + "begin");
    ASSERT_TRUE(h.started.wait());
    if (way == 0) client.close();
    if (way == 1) client.reset();
    if (way == 2) client.half_close();
    ASSERT_TRUE(h.over.wait());
    EXPECT_EQ(h.ended.wait()[0].second, errc::client_gone) << way;
    ASSERT_TRUE(h.failed);
    EXPECT_EQ(*h.failed, curfew::errc::canceled) << way;
  }
}

TEST(ServerUpload, AReadEndsWithItsContextAndTakesNothing) {
  curfew::testing::manual_clock clock;
  event started;
  event ended;
  http_server s(with_upload([&](context ctx, const request& r) -> asio::awaitable<response> {
                  {
                    const auto scope = with_timeout(ctx, 5s);
                    started.set();
                    const auto piece = co_await r.reader().async_read(scope);
                    EXPECT_FALSE(piece);
                    if (!piece) {
                      EXPECT_EQ(piece.error(), curfew::errc::deadline_exceeded);
                    }
                  }
                  ended.set();
                  auto answer = echo(ctx, r);
                  co_return co_await std::move(answer);
                }),
                server_options().max_request_time(1min), clock.background());
  raw_client client(s.port());
  client.send(post(4));
  ASSERT_TRUE(started.wait());
  clock.advance(5s);
  ASSERT_TRUE(ended.wait());
  client.send("body");
  EXPECT_EQ(client.read_response().body, "body");
}

TEST(ServerUpload, AClientThatSendsNothingIsTooSlow) {
  reads_on h;
  http_server s(with_upload(h.make()), server_options().body_timeout(50ms));
  raw_client client(s.port());
  client.send(post(1000));
  ASSERT_TRUE(h.over.wait());
  ASSERT_TRUE(h.failed);
  EXPECT_EQ(*h.failed, std::errc::timed_out);
  EXPECT_EQ(client.read_response().field("Connection"), "close");
}

TEST(ServerUpload, AKeptReaderGetsAnError) {
  body_reader kept;
  std::optional<context> kept_ctx;
  std::optional<http_server> s(std::in_place,
                               with_upload([&](context ctx, const request& r) -> asio::awaitable<response> {
                                 kept = r.reader();
                                 kept_ctx = ctx;
                                 auto answer = echo(ctx, r);
                                 co_return co_await std::move(answer);
                               }));
  raw_client client(s->port());
  client.send(post(4) + "body");
  EXPECT_EQ(client.read_response().body, "body");
  EXPECT_EQ(client.get("/next").body, "next");
  ASSERT_TRUE(eventually([&] { return kept_ctx->err() == curfew::errc::canceled; }));
  const auto live = with_cancel(background());
  for (int i = 0; i < 2; ++i) {
    const auto piece = kept.read(live);
    ASSERT_FALSE(piece);
    EXPECT_EQ(piece.error(), std::errc::operation_not_permitted);
    client.close();
    s.reset();
  }
}

// The handler starts a read, leaves it to itself and answers.
TEST(ServerUpload, AReadThatOutlivesItsHandlerGetsAnError) {
  event over;
  std::optional<error> failed;
  auto read = [&](context of, body_reader body) -> asio::awaitable<void> {
    const auto piece = co_await body.async_read(of);
    if (!piece) failed = piece.error();
    over.set();
  };
  http_server s(with_upload([&](context ctx, const request& r) -> asio::awaitable<response> {
    asio::co_spawn(co_await asio::this_coro::executor, read(ctx, r.reader()), asio::detached);
    std::ignore = co_await async_sleep_for(ctx, 1ms);
    const auto second = co_await r.reader().async_read(ctx);
    EXPECT_FALSE(second);
    if (!second) {
      EXPECT_EQ(second.error(), std::errc::operation_in_progress);
    }
    co_return text(status::ok, "done");
  }));
  raw_client client(s.port());
  client.send(post(4));
  EXPECT_EQ(client.read_response().body, "done");
  ASSERT_TRUE(over.wait());
  ASSERT_TRUE(failed);
  EXPECT_EQ(*failed, std::errc::operation_not_permitted);
  client.send("body");
  EXPECT_EQ(client.get("/next").body, "next");
}

TEST(ServerUpload, ARouteThatKeepsItsBodiesHasNoReader) {
  router routes;
  routes.post("/up", echo);
  http_server s(routes);
  raw_client client(s.port());
  client.send(post(4) + "body");
  EXPECT_EQ(client.read_response().status, 400);
}

TEST(ServerUpload, ABlockingHandlerReadsToo) {
  http_server s(with_upload(blocking([](const context& ctx, const request& r) -> response {
    const auto all = r.reader().read_all(ctx);
    return text(all ? status::ok : status::bad_request, all ? *all : all.error().message());
  })));
  raw_client client(s.port());
  const std::string body = pattern(500'000);
  client.send(post(body.size()) + body);
  EXPECT_EQ(client.read_response().body, body);
  EXPECT_EQ(client.get("/next").body, "next");
}

TEST(ServerUpload, ABodyGoesToAFile) {
  const auto path = std::filesystem::temp_directory_path() / ("curfew_upload_" + std::to_string(::getpid()));
  for (const bool blocks : {false, true}) {
    router routes = with_upload([&](context ctx, const request& r) -> asio::awaitable<response> {
      auto saving = r.reader().async_save(ctx, path.string(), 200'000);
      const auto saved = co_await std::move(saving);
      co_return text(status::ok, saved ? std::to_string(*saved) : saved.error().message());
    });
    routes.put("/up", blocking([&](const context& ctx, const request& r) -> response {
                 const auto saved = r.reader().save(ctx, path.string(), 200'000);
                 return text(status::ok, saved ? std::to_string(*saved) : saved.error().message());
               }),
               route_options().stream_body());
    http_server s(routes);
    raw_client client(s.port());
    const std::string method = blocks ? "PUT" : "POST";
    const std::string body = pattern(200'000);
    const auto head = [&](std::size_t size) {
      return method + " /up HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n";
    };
    client.send(head(body.size()) + body);
    EXPECT_EQ(client.read_response().body, "200000");
    std::ifstream file(path);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), body);
    client.send(head(200'001) + body + 'x');
    EXPECT_THAT(client.read_response().body, ::testing::HasSubstr("more than 200000 bytes"));
    EXPECT_FALSE(std::filesystem::exists(path));
  }
}

TEST(ServerUpload, AResponseThatStreamsMayReadTheRequestMeanwhile) {
  http_server s(with_upload([](context, const request& r) -> asio::awaitable<response> {
    auto made =
        stream("text/plain", [body = r.reader()](context ctx, body_writer out) -> asio::awaitable<void> {
          for (;;) {
            auto reading = body.async_read(ctx);
            auto piece = co_await std::move(reading);
            if (!piece || !*piece) co_return;
            auto writing = out.async_write(ctx, **std::move(piece));
            const auto sent = co_await std::move(writing);
            if (!sent) co_return;
          }
        });
    co_return made;
  }));
  raw_client client(s.port());
  client.send(post(6) + "one");
  client.read_until("\r\n\r\n");
  EXPECT_EQ(client.read_chunk(), "one");
  client.send("two");
  EXPECT_EQ(client.read_chunk(), "two");
  EXPECT_EQ(client.read_chunk(), "");
  EXPECT_EQ(client.get("/next").body, "next");
}

}  // namespace
}  // namespace curfew::http
