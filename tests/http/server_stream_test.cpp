#include <curfew/http/server.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
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

/// A server with one route, "/", which streams what `source` writes.
router streaming(body_source source, route_options options = {}) {
  router routes;
  routes.get(
      "/",
      [source = std::move(source)](context, const request&) -> asio::awaitable<response> {
        auto made = stream("text/plain", source);
        co_return made;
      },
      options);
  return routes;
}

constexpr std::string_view get_root = "GET / HTTP/1.1\r\nHost: t\r\n\r\n";

asio::awaitable<void> three_pieces(context ctx, body_writer out) {
  for (const auto* piece : {"one", "", "two", "three"}) {
    const auto sent = co_await out.async_write(ctx, piece);
    EXPECT_TRUE(sent);
  }
}

TEST(ServerStream, SendsChunks) {
  http_server s(streaming(three_pieces));
  raw_client client(s.port());
  for (int i = 0; i < 2; ++i) {
    client.send(get_root);
    const auto head = client.read_until("\r\n\r\n");
    EXPECT_THAT(head, ::testing::HasSubstr("Transfer-Encoding: chunked\r\n"));
    EXPECT_THAT(head, ::testing::Not(::testing::HasSubstr("Content-Length")));
    EXPECT_EQ(client.read_until("0\r\n\r\n"), "3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n");
  }
}

TEST(ServerStream, ClosesAtTheEndForHttp10) {
  http_server s(streaming(three_pieces));
  raw_client client(s.port());
  client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const auto r = client.read_response();
  EXPECT_EQ(r.field("Transfer-Encoding"), "");
  EXPECT_EQ(r.field("Connection"), "close");
  EXPECT_EQ(r.body, "onetwothree");
}

TEST(ServerStream, AnswersHeadWithoutRunningTheSource) {
  std::atomic<bool> ran{false};
  http_server s(streaming([&](context, body_writer) -> asio::awaitable<void> {
    ran = true;
    co_return;
  }));
  raw_client client(s.port());
  client.send("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(client.read_response(true).status, 200);
  EXPECT_FALSE(ran);
  client.send(get_root);
  EXPECT_EQ(client.read_response().body, "");
  EXPECT_TRUE(ran);
}

// Hunts: a client that takes all at once, so that no write has to wait, and its source holds the thread.
TEST(ServerStream, ASourceWhoseWritesNeedNotWaitLeavesTheThreadToOthers) {
  constexpr std::size_t most = 300;
  std::optional<raw_client> other;
  bool asked = false;
  std::size_t pieces = 0;
  router routes = streaming([&](context ctx, body_writer out) -> asio::awaitable<void> {
    other->send("GET /other HTTP/1.1\r\nHost: t\r\n\r\n");
    for (; !asked && pieces < most; ++pieces) {
      const auto sent = co_await out.async_write(ctx, "x");
      EXPECT_TRUE(sent);
    }
  });
  routes.get("/other", [&](context, const request&) -> asio::awaitable<response> {
    asked = true;
    co_return text(status::ok, "other");
  });
  http_server s(routes, server_options().threads(1));
  other.emplace(s.port());
  EXPECT_EQ(other->get("/nothing").status, 404) << "it is connected";
  raw_client client(s.port());
  const auto body = client.get("/").body;
  EXPECT_EQ(other->read_response().body, "other");
  EXPECT_EQ(body, std::string(pieces, 'x'));
  EXPECT_LT(pieces, most);
}

TEST(ServerStream, AWriterThatIsKeptWritesIntoNoOtherResponse) {
  std::optional<body_writer> kept;
  router routes = streaming([&](context, body_writer out) -> asio::awaitable<void> {
    kept.emplace(out);
    co_return;
  });
  std::error_code written;
  routes.get("/next", [&](context ctx, const request&) -> asio::awaitable<response> {
    auto made = stream("text/plain", [&](context of, body_writer out) -> asio::awaitable<void> {
      const auto poison = co_await kept->async_write(of, "poison");
      if (!poison) written = poison.error().code();
      const auto own = co_await out.async_write(of, "own");
      EXPECT_TRUE(own);
    });
    std::ignore = ctx;
    co_return made;
  });
  http_server s(std::move(routes));
  raw_client client(s.port());
  client.send(get_root);
  EXPECT_EQ(client.read_response().body, "");
  client.send("GET /next HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(client.read_response().body, "own");
  EXPECT_EQ(written, std::errc::operation_not_permitted);
}

// The source starts a write, leaves it to itself and returns: what the client gets must not look complete.
TEST(ServerStream, AWriteThatOutlivesItsSourceCutsTheBodyOff) {
  event over;
  std::error_code written;
  http_server s(streaming([&](context ctx, body_writer out) -> asio::awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    auto write_much = [&over, &written](context of, body_writer to) -> asio::awaitable<void> {
      const auto sent = co_await to.async_write(of, std::string(64'000'000, 'x'));
      if (!sent) written = sent.error().code();
      over.set();
    };
    asio::co_spawn(executor, write_much(ctx, out), asio::detached);
    auto turn = asio::post(executor, asio::use_awaitable);
    co_await std::move(turn);
  }));
  raw_client client(s.port());
  client.send(get_root);
  ASSERT_TRUE(over.wait());
  EXPECT_TRUE(written);
  EXPECT_THAT(s.complaints(), ::testing::Contains(::testing::HasSubstr("returned while a part of the body")));
}

TEST(ServerStream, EachPieceIsSentAtOnce) {
  event go;
  http_server s(streaming([&](context ctx, body_writer out) -> asio::awaitable<void> {
    const auto first = co_await out.async_write(ctx, "first");
    EXPECT_TRUE(first);
    while (!go.is_set()) std::ignore = co_await async_sleep_for(ctx, 1ms);
    const auto second = co_await out.async_write(ctx, "second");
    EXPECT_TRUE(second);
  }));
  raw_client client(s.port());
  client.send(get_root);
  client.read_until("\r\n\r\n");
  EXPECT_EQ(client.read_chunk(), "first");
  go.set();
  EXPECT_EQ(client.read_chunk(), "second");
  EXPECT_EQ(client.read_chunk(), "");
}

TEST(ServerStream, TheHeadIsSentBeforeThereIsABody) {
  event go;
  http_server s(streaming([&](context ctx, body_writer) -> asio::awaitable<void> {
    while (!go.is_set()) std::ignore = co_await async_sleep_for(ctx, 1ms);
  }));
  raw_client client(s.port());
  client.send(get_root);
  client.read_until("\r\n\r\n");
  go.set();
  EXPECT_EQ(client.read_chunk(), "");
}

TEST(ServerStream, WaitsForASlowReader) {
  constexpr std::size_t piece = 100'000;
  constexpr std::size_t pieces = 200;
  std::atomic<std::size_t> written{0};
  http_server s(streaming([&](context ctx, body_writer out) -> asio::awaitable<void> {
    for (std::size_t i = 0; i < pieces; ++i) {
      const auto sent = co_await out.async_write(ctx, std::string(piece, static_cast<char>('a' + i % 26)));
      if (!sent) co_return;
      ++written;
    }
  }));
  raw_client client(s.port(), 4096);
  client.send(get_root);
  client.read_until("\r\n\r\n");
  std::this_thread::sleep_for(50ms);
  EXPECT_LT(written, pieces) << "without a reader not all of it can have been taken";
  std::size_t total = 0;
  for (auto chunk = client.read_chunk(); !chunk.empty(); chunk = client.read_chunk()) {
    EXPECT_EQ(chunk, std::string(piece, static_cast<char>('a' + (total / piece) % 26)));
    total += chunk.size();
  }
  EXPECT_EQ(total, piece * pieces);
}

/// A source that writes until it fails, and tells why.
struct writes_on {
  ends ended;
  std::mutex mutex;
  std::optional<error> failed;
  event over;
  event started;

  body_source make(std::size_t size, clock::duration pause = {}) {
    return [this, size, pause](context ctx, body_writer out) -> asio::awaitable<void> {
      return run(std::move(ctx), out, this, size, pause);
    };
  }

 private:
  static asio::awaitable<void> run(context ctx, body_writer out, writes_on* self, std::size_t size,
                                   clock::duration pause) {
    for (;;) {
      auto sent = co_await out.async_write(ctx, std::string(size, 'x'));
      self->started.set();
      if (!sent) {
        const std::lock_guard guard(self->mutex);
        self->failed = sent.error();
        break;
      }
      if (pause > 0ns) std::ignore = co_await async_sleep_for(ctx, pause);
    }
    self->ended.add(ctx);
    self->over.set();
  }
};

TEST(ServerStream, EndsWhenTheClientGoes) {
  for (const bool reset : {false, true}) {
    writes_on source;
    http_server s(streaming(source.make(10, 1ms)));
    raw_client client(s.port());
    client.send(get_root);
    client.read_until("\r\n\r\n");
    client.read_chunk();
    if (reset) {
      client.reset();
    } else {
      client.close();
    }
    ASSERT_TRUE(source.over.wait());
    EXPECT_EQ(source.ended.wait()[0].second, errc::client_gone);
    EXPECT_EQ(*source.failed, curfew::errc::canceled);
    EXPECT_EQ(source.failed->cause(), errc::client_gone);
  }
}

TEST(ServerStream, AWriteToAClientThatDoesNotReadEndsWithItsContext) {
  curfew::testing::manual_clock clock;
  writes_on source;
  http_server s(streaming(source.make(1'000'000)), server_options().max_request_time(5s), clock.background());
  raw_client client(s.port(), 4096);
  client.send(get_root);
  client.read_until("\r\n\r\n");
  std::this_thread::sleep_for(30ms);  // until it blocks; if it does not yet, the outcome is the same
  EXPECT_FALSE(source.over.is_set());
  clock.advance(5s);
  ASSERT_TRUE(source.over.wait());
  EXPECT_EQ(*source.failed, curfew::errc::deadline_exceeded);
  EXPECT_TRUE(client.is_closed());
}

TEST(ServerStream, APlainResponseToAClientThatDoesNotReadEndsWithItsContextToo) {
  curfew::testing::manual_clock clock;
  ends ended;
  event asked;
  std::optional<on_done<std::function<void()>>> watch;
  router routes;
  routes.get("/", [&](context ctx, const request&) -> asio::awaitable<response> {
    watch.emplace(ctx, [&ended, ctx] { ended.add(ctx); });
    asked.set();
    co_return text(status::ok, std::string(20'000'000, 'x'));
  });
  http_server s(routes, server_options().max_request_time(5s), clock.background());
  raw_client client(s.port(), 4096);
  client.send(get_root);
  ASSERT_TRUE(asked.wait());
  client.read_until("\r\n\r\n");
  EXPECT_TRUE(ended.wait(0).empty()) << "it lives until the response has been sent";
  clock.advance(5s);
  EXPECT_EQ(ended.wait()[0].first, curfew::errc::deadline_exceeded);
  EXPECT_TRUE(client.is_closed());
}

TEST(ServerStream, AWriteToAClientThatDoesNotReadEndsByResetToo) {
  writes_on source;
  http_server s(streaming(source.make(1'000'000)));
  raw_client client(s.port(), 4096);
  client.send(get_root);
  client.read_until("\r\n\r\n");
  std::this_thread::sleep_for(30ms);
  client.reset();
  ASSERT_TRUE(source.over.wait());
  EXPECT_EQ(source.failed->cause(), errc::client_gone);
}

TEST(ServerStream, AClientThatNeverReadsIsGivenUpWithoutADeadlineToo) {
  writes_on source;
  http_server s(streaming(source.make(1'000'000), route_options().no_time_limit()),
                server_options().body_timeout(50ms));
  raw_client client(s.port(), 4096);
  client.send(get_root);
  ASSERT_TRUE(source.over.wait());
  EXPECT_EQ(source.ended.wait()[0].second, errc::client_gone);
}

TEST(ServerStream, AWriteMayHaveANarrowerContext) {
  std::optional<error> failed;
  event over;
  http_server s(streaming([&](context ctx, body_writer out) -> asio::awaitable<void> {
    const auto scope = with_timeout(ctx, 30ms, "write budget");
    for (;;) {
      auto sent = co_await out.async_write(scope, std::string(1'000'000, 'x'));
      if (!sent) {
        failed = sent.error();
        break;
      }
    }
    EXPECT_FALSE(ctx.err());
    const auto again = co_await out.async_write(ctx, "more");
    EXPECT_FALSE(again) << "a part may be missing before it";
    over.set();
  }));
  raw_client client(s.port(), 4096);
  client.send(get_root);
  ASSERT_TRUE(over.wait());
  EXPECT_EQ(*failed, curfew::errc::deadline_exceeded);
  EXPECT_EQ(failed->cause().message(), "write budget");
  EXPECT_TRUE(client.is_closed());
}

TEST(ServerStream, ASourceThatThrowsLeavesTheBodyVisiblyIncomplete) {
  const auto source = [](context ctx, body_writer out) -> asio::awaitable<void> {
    const auto sent = co_await out.async_write(ctx, "part");
    EXPECT_TRUE(sent);
    throw std::runtime_error("secret");
  };
  http_server s(streaming(source));
  raw_client client(s.port());
  client.send(get_root);
  client.read_until("\r\n\r\n");
  EXPECT_EQ(client.read_to_end(), "4\r\npart\r\n") << "without the last chunk";
  EXPECT_TRUE(eventually([&] { return s.complaints().size() == 1; }));
  EXPECT_EQ(s.complaints()[0], "GET /: the body's source threw: secret");

  raw_client old(s.port());
  old.send("GET / HTTP/1.0\r\n\r\n");
  old.read_until("\r\n\r\n");
  EXPECT_THROW(old.read_to_end(), std::system_error) << "where closing means the end, it is a reset";
}

TEST(ServerStream, ASourceThatStopsBecauseItsContextEndedLeavesTheBodyVisiblyIncomplete) {
  curfew::testing::manual_clock clock;
  const auto source = [](context ctx, body_writer out) -> asio::awaitable<void> {
    const auto sent = co_await out.async_write(ctx, "part");
    EXPECT_TRUE(sent);
    co_await async_wait(ctx.done());
  };
  http_server s(streaming(source), server_options().max_request_time(5s), clock.background());
  raw_client client(s.port());
  client.send(get_root);
  client.read_until("\r\n\r\n");
  EXPECT_EQ(client.read_chunk(), "part");
  clock.advance(5s);
  EXPECT_EQ(client.read_to_end(), "") << "without the last chunk";
}

TEST(ServerStream, TheContextLivesUntilTheBodyEnds) {
  ends ended;
  std::optional<on_done<std::function<void()>>> watch;
  event go;
  event watching;
  http_server s(streaming([&](context ctx, body_writer out) -> asio::awaitable<void> {
    watch.emplace(ctx, [&ended, ctx] { ended.add(ctx); });
    watching.set();
    while (!go.is_set()) std::ignore = co_await async_sleep_for(ctx, 1ms);
    EXPECT_FALSE(ctx.err());
    const auto sent = co_await out.async_write(ctx, "x");
    EXPECT_TRUE(sent);
  }));
  raw_client client(s.port());
  client.send(get_root);
  ASSERT_TRUE(watching.wait());
  EXPECT_TRUE(ended.wait(0).empty());
  go.set();
  EXPECT_EQ(ended.wait()[0].second, errc::handler_done);
  EXPECT_EQ(client.read_response().body, "x");
}

TEST(ServerStream, SendsEvents) {
  router routes;
  routes.get("/events", [](context, const request&) -> asio::awaitable<response> {
    const auto source = [](context ctx, body_writer out) -> asio::awaitable<void> {
      for (int i = 0; i < 3; ++i) {
        const auto sent = co_await out.async_write(ctx, http::event(std::to_string(i), "tick"));
        EXPECT_TRUE(sent);
      }
    };
    co_return events(source);
  });
  http_server s(routes);
  raw_client client(s.port());
  const auto r = client.get("/events");
  EXPECT_EQ(r.field("Content-Type"), "text/event-stream");
  EXPECT_EQ(r.body, "event: tick\ndata: 0\n\nevent: tick\ndata: 1\n\nevent: tick\ndata: 2\n\n");
}

TEST(ServerStream, AStreamWithoutALimitOutlivesTheServersLimit) {
  curfew::testing::manual_clock clock;
  event go;
  http_server s(streaming(
                    [&](context ctx, body_writer out) -> asio::awaitable<void> {
                      const auto first = co_await out.async_write(ctx, "1");
                      EXPECT_TRUE(first);
                      while (!go.is_set()) {
                        const auto scope =
                            with_cancel(background());  // NOLINT(curfew-background-in-request): real time
                        std::ignore = co_await async_sleep_for(scope, 1ms);
                      }
                      const auto second = co_await out.async_write(ctx, "2");
                      EXPECT_TRUE(second);
                    },
                    route_options().no_time_limit()),
                server_options().max_request_time(1s), clock.background());
  raw_client client(s.port());
  client.send(get_root);
  client.read_until("\r\n\r\n");
  EXPECT_EQ(client.read_chunk(), "1");
  clock.advance(std::chrono::hours(5));
  go.set();
  EXPECT_EQ(client.read_chunk(), "2");
}

}  // namespace
}  // namespace curfew::http
