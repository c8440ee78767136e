// A peer that falls silent in the middle of a request or a response: its machine is switched off, or it lives, and
// takes or sends nothing any more. The times are the kernel's, or those of a slow client, so they are real.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/http/body_reader.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/testing/fault_proxy.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "http/raw_client.hpp"
#include "http/waiting.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::testing::fault_options;
using curfew::testing::fault_proxy;
using curfew::testing::faults;
using curfew::testing::http_server;
using tests::ends;
using tests::event;
using tests::eventually;
using tests::open_descriptors;
using tests::raw_client;
using steady = std::chrono::steady_clock;

std::string request_for(std::string_view target) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: t\r\n\r\n";
}

std::string post(std::string_view target, std::size_t length) {
  return "POST " + std::string(target) + " HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(length) +
         "\r\n\r\n";
}

class ServerSilence : public ::testing::Test {
 protected:
  router routes() {
    router made;
    made.get("/wait", [this](context ctx, const request&) -> asio::awaitable<response> {
      begun.set();
      co_await async_wait(ctx.done());
      ended.add(ctx);
      co_return text(status::ok, "late");
    });
    made.get("/large", [this](context ctx, const request&) -> asio::awaitable<response> {
      watch.emplace(ctx, [this, ctx] { ended.add(ctx); });
      begun.set();
      co_return text(status::ok, std::string(50'000'000, 'x'));
    });
    made.get("/endless", [this](context, const request&) -> asio::awaitable<response> {
      const auto source = [this](context ctx, body_writer out) -> asio::awaitable<void> {
        const std::string piece(64 * 1024, 'x');
        while (co_await out.async_write(ctx, piece)) begun.set();
        ended.add(ctx);
      };
      co_return stream("text/plain", source);
    });
    made.post("/kept", [this](context, const request& r) -> asio::awaitable<response> {
      begun.set();
      co_return text(status::ok, r.body());
    });
    const auto read = [this](context ctx, const request& r) -> asio::awaitable<response> {
      auto all = co_await r.reader().async_read_all(ctx);
      if (!all) failed = all.error();
      if (ctx.err()) ended.add(ctx);
      watch.emplace(ctx, [this] { over.set(); });
      co_return text(status::request_timeout, "too slow");
    };
    made.post("/read", read, route_options().stream_body());
    return made;
  }

  /// Of a body, so much comes.
  static constexpr std::size_t sent = 50'000;
  static constexpr std::size_t length = 2 * sent;

  event begun;
  event over;  // the context of "/read" has ended
  ends ended;
  std::optional<error> failed;  // how the read of "/read" has ended
  std::optional<on_done<std::function<void()>>> watch;
};

/// Nothing but the time of the silent peer holds.
server_options patient() {
  return server_options().max_request_time(clock::duration::max()).body_timeout(1h).silent_peer_timeout(2s);
}

void expect_gone(ends& of) {
  const auto got = of.wait();
  EXPECT_EQ(got[0].first, curfew::errc::canceled);
  EXPECT_EQ(got[0].second, errc::client_gone);
}

TEST_F(ServerSilence, OfAMachineThatIsSwitchedOffEndsARunningHandler) {
  http_server s(routes(), patient());
  raw_client client(s.port());
  client.send(request_for("/wait"));
  ASSERT_TRUE(begun.wait());
  const auto open = open_descriptors();
  client.fall_silent();
  expect_gone(ended);
  EXPECT_TRUE(eventually([&] { return open_descriptors() < open; }));
}

TEST_F(ServerSilence, OfAMachineThatLivesIsNoneHoweverLongItAsksForNothing) {
  http_server s(routes(), patient());
  raw_client living(s.port());
  living.send(request_for("/wait"));
  raw_client client(s.port());
  client.send(request_for("/wait"));
  ASSERT_TRUE(begun.wait());
  client.fall_silent();
  expect_gone(ended);
  EXPECT_FALSE(living.has_input());
  living.close();
  EXPECT_EQ(ended.wait(2)[1].second, errc::client_gone);
}

TEST_F(ServerSilence, OfAMachineThatIsSwitchedOffEndsABodyThatIsKept) {
  http_server s(routes(), patient());
  raw_client client(s.port());
  client.send(post("/kept", length) + std::string(sent, 'x'));
  client.fall_silent();
  const auto open = open_descriptors();
  EXPECT_TRUE(eventually([&] { return open_descriptors() < open; }));
  EXPECT_FALSE(begun.is_set());
}

TEST_F(ServerSilence, OfAMachineThatIsSwitchedOffEndsAReadOfABody) {
  http_server s(routes(), patient());
  raw_client client(s.port());
  client.send(post("/read", length) + std::string(sent, 'x'));
  client.fall_silent();
  expect_gone(ended);
  ASSERT_TRUE(over.wait());
  EXPECT_EQ(*failed, curfew::errc::canceled);
}

class ServerSilenceIn : public ServerSilence, public ::testing::WithParamInterface<const char*> {};

TEST_P(ServerSilenceIn, OfAMachineThatIsSwitchedOffEndsADownload) {
  http_server s(routes(), patient());
  raw_client client(s.port(), 4096);
  client.send(request_for(GetParam()));
  ASSERT_TRUE(begun.wait());
  const auto open = open_descriptors();
  client.fall_silent();
  expect_gone(ended);
  EXPECT_TRUE(eventually([&] { return open_descriptors() < open; }));
}

/// A client behind a proxy that passes the beginning of the response, and then reads nothing more of it.
void expect_gone_behind_black_hole(http_server& s, const char* path, event& begun, ends& ended) {
  fault_proxy proxy(s.port(), fault_options().to_client(faults().stop_after(100'000)));
  raw_client client(proxy.port());
  client.send(request_for(path));
  client.read_exactly(100'000);
  ASSERT_TRUE(begun.wait());
  const auto open = open_descriptors();
  expect_gone(ended);
  EXPECT_TRUE(eventually([&] { return open_descriptors() < open; }));
}

TEST_P(ServerSilenceIn, OfAPeerThatTakesNothingMoreEndsADownloadByTheTimeOfTheSilentPeer) {
  http_server s(routes(), patient());
  expect_gone_behind_black_hole(s, GetParam(), begun, ended);
}

TEST_P(ServerSilenceIn, OfAPeerThatTakesNothingMoreEndsADownloadByTheTimeOfABody) {
  http_server s(routes(), patient().silent_peer_timeout(1h).body_timeout(300ms));
  expect_gone_behind_black_hole(s, GetParam(), begun, ended);
}

INSTANTIATE_TEST_SUITE_P(, ServerSilenceIn, ::testing::Values("/large", "/endless"),
                         [](const auto& of) { return std::string(of.param + 1); });

/// An upload through a proxy that passes the first half of its body.
class ServerSilenceInAnUpload : public ServerSilence {
 protected:
  raw_client::response answer_to_half(const char* path) {
    http_server s(routes(), patient().body_timeout(200ms).min_body_rate(sent));
    const std::string head = post(path, length);
    fault_proxy proxy(s.port(), fault_options().to_server(faults().stop_after(head.size() + sent)));
    raw_client client(proxy.port());
    const auto begin = steady::now();
    client.send(head + std::string(length, 'x'));
    const auto got = client.read_response();
    EXPECT_GE(steady::now() - begin, 1200ms) << "the bytes that came have extended its time";
    EXPECT_EQ(got.field("Connection"), "close");
    EXPECT_TRUE(client.is_closed());
    return got;
  }
};

TEST_F(ServerSilenceInAnUpload, IsAnsweredBelowTheRateOfABodyThatIsKept) {
  EXPECT_EQ(answer_to_half("/kept").body, "408 Request Timeout\n");
  EXPECT_FALSE(begun.is_set());
}

TEST_F(ServerSilenceInAnUpload, IsAnErrorOfAReadBelowTheRateOfABody) {
  EXPECT_EQ(answer_to_half("/read").body, "too slow");
  ASSERT_TRUE(over.wait());
  EXPECT_EQ(*failed, std::errc::timed_out);
}

}  // namespace
}  // namespace curfew::http
