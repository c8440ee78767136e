// The verbs of a client, blocking and not, its default timeout, and servers that fall silent.
#include <curfew/http/client.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/checked.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <future>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "http/client_peer.hpp"
#include "run_coroutine.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using namespace std::chrono_literals;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// Answers each request with itself.
peer::script echoing() {
  return answering([](const std::string& request) { return ok(request); });
}

TEST(ClientVerbs, SendARequestOfTheirMethod) {
  peer server(echoing());
  client sender;
  const auto seen = [](const result<response>& got) { return got ? got->body() : got.error().message(); };
  EXPECT_THAT(seen(sender.get(background(), server.url("/a"))), StartsWith("GET /a HTTP/1.1\r\n"));
  const std::string deleted = seen(sender.del(background(), server.url("/a")));
  EXPECT_THAT(deleted, StartsWith("DELETE /a HTTP/1.1\r\n"));
  EXPECT_THAT(deleted, Not(HasSubstr("Content-")));
  for (const auto& [method, got] :
       {std::pair("POST", sender.post(background(), server.url("/b"), "{}", "application/json")),
        std::pair("PUT", sender.put(background(), server.url("/b"), "{}", "application/json")),
        std::pair("PATCH", sender.patch(background(), server.url("/b"), "{}", "application/json"))}) {
    EXPECT_THAT(seen(got), StartsWith(std::string(method) + " /b HTTP/1.1\r\n"));
    EXPECT_THAT(seen(got), HasSubstr("Content-Type: application/json\r\nContent-Length: 2\r\n"));
    EXPECT_THAT(seen(got), EndsWith("\r\n\r\n{}"));
  }
}

TEST(ClientVerbs, AreThereForCoroutinesAndForAnyToken) {
  peer server(echoing());
  client sender;
  std::vector<std::string> seen;
  const auto calls = [&]() -> boost::asio::awaitable<void> {
    const context ctx = background();
    const std::string url = server.url("/c");
    const std::string body = "x=1";
    const std::string type = "text/x";
    auto got = co_await sender.async_get(ctx, url);
    seen.push_back(got->body());
    auto posted = co_await sender.async_post(ctx, url, body, type);
    seen.push_back(posted->body());
    auto put = co_await sender.async_put(ctx, url, body, type);
    seen.push_back(put->body());
    auto patched = co_await sender.async_patch(ctx, url, body, type);
    seen.push_back(patched->body());
    auto deleted = co_await sender.async_del(ctx, url);
    seen.push_back(deleted->body());
  };
  tests::run_coroutine(calls());
  ASSERT_EQ(seen.size(), 5U);
  const char* const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
  for (std::size_t i = 0; i < seen.size(); ++i) {
    EXPECT_THAT(seen[i], StartsWith(std::string(methods[i]) + " /c HTTP/1.1\r\n"));
    if (i % 4 != 0) {
      EXPECT_THAT(seen[i], EndsWith("\r\n\r\nx=1"));
    }
  }
  std::future<result<response>> later;
  sender.async_post(background(), server.url(), "y", "text/y", into(later));
  EXPECT_THAT(later.get()->body(), EndsWith("\r\n\r\ny"));
}

TEST(ClientTimeout, EndsACallWhoseContextHasNoDeadline) {
  curfew::testing::manual_clock clock;
  moment asked;
  moment over;
  peer server([&](conversation& c) {
    c.read_request();
    asked.set();
    EXPECT_TRUE(c.sees_close());
    over.set();
  });
  client sender(client_options().default_timeout(1h));
  std::future<result<response>> later;
  sender.async_get(clock.background(), server.url(), into(later));
  ASSERT_TRUE(asked.wait());
  clock.advance(1h - 1ms);
  EXPECT_EQ(later.wait_for(0s), std::future_status::timeout);
  clock.advance(1ms);
  const error why = error_of(later.get());
  EXPECT_EQ(why, curfew::errc::deadline_exceeded);
  EXPECT_EQ(why.cause().message(), "the client's default timeout");
  EXPECT_THAT(why.doing(), HasSubstr("GET " + server.url() + " : "));
  EXPECT_TRUE(over.wait());
}

TEST(ClientTimeout, IsToldToTheServer) {
  client sender(client_options().default_timeout(1h));
  const std::string seen =
      seen_by_peer(sender, background(), [](const peer& server) { return get_of(server.url()); });
  EXPECT_THAT(seen, HasSubstr("Request-Timeout-Ms: "));
}

TEST(ClientTimeout, LeavesAContextsOwnDeadlineAlone) {
  curfew::testing::manual_clock clock;
  moment asked;
  peer server([&](conversation& c) {
    c.read_request();
    asked.set();
    c.sees_close();
  });
  client sender(client_options().default_timeout(1min));
  const auto scope = with_timeout(clock.background(), 1h, "my own");
  std::future<result<response>> later;
  sender.async_get(scope, server.url(), into(later));
  ASSERT_TRUE(asked.wait());
  clock.advance(1min);
  EXPECT_EQ(later.wait_for(10ms), std::future_status::timeout);
  clock.advance(1h);
  const error why = error_of(later.get());
  EXPECT_EQ(why, curfew::errc::deadline_exceeded);
  EXPECT_EQ(why.cause().message(), "my own");
}

TEST(ClientTimeout, EndsWithItsContextBefore) {
  moment asked;
  peer server([&](conversation& c) {
    c.read_request();
    asked.set();
    c.sees_close();
  });
  client sender(client_options().default_timeout(1h));
  auto scope = with_cancel(background());
  std::future<result<response>> later;
  sender.async_get(scope, server.url(), into(later));
  ASSERT_TRUE(asked.wait());
  scope.cancel("enough");
  const error why = error_of(later.get());
  EXPECT_EQ(why, curfew::errc::canceled);
  EXPECT_EQ(why.cause().message(), "enough");
}

TEST(ClientTimeout, DoesNotEndADownloadThatHasOpened) {
  curfew::testing::manual_clock clock;
  moment go_on;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    std::ignore = go_on.wait();
    c.write("body");
  });
  client sender(client_options().default_timeout(1h));
  auto from = sender.open(clock.background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  clock.advance(2h);
  go_on.set();
  const auto piece = from->read(background());
  ASSERT_TRUE(piece) << piece.error();
  EXPECT_EQ(*piece, "body");
}

TEST(ClientTimeout, EndsTheOpeningOfADownload) {
  curfew::testing::manual_clock clock;
  moment asked;
  peer server([&](conversation& c) {
    c.read_request();
    asked.set();
    c.sees_close();
  });
  client sender(client_options().default_timeout(1h));
  std::future<result<download>> later;
  sender.async_open(clock.background(), get_of(server.url()), into(later));
  ASSERT_TRUE(asked.wait());
  clock.advance(1h);
  const auto got = later.get();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), curfew::errc::deadline_exceeded);
}

/// What the kernel does for the connection of this process to `port`.
std::optional<std::pair<int, int>> watch_of(std::uint16_t port) {
  std::optional<std::pair<int, int>> found;
  wait_for_descriptor([&](int fd) {
    sockaddr_in other{};
    socklen_t size = sizeof other;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&other), &size) != 0 || other.sin_family != AF_INET ||
        ntohs(other.sin_port) != port) {
      return false;
    }
    int keeps_alive = 0;
    int timeout = 0;
    size = sizeof keeps_alive;
    getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &keeps_alive, &size);
    size = sizeof timeout;
    getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, &size);
    found.emplace(keeps_alive, timeout);
    return true;
  });
  return found;
}

TEST(ClientSilence, TheKernelWatchesOverConnections) {
  peer server(answering(ok("x")));
  {
    client sender;
    ASSERT_TRUE(sender.get(background(), server.url()));
    EXPECT_EQ(watch_of(server.port()), std::pair(1, 60'000));
  }
  peer other(answering(ok("x")));
  client brief(client_options().silent_peer_timeout(7s));
  ASSERT_TRUE(brief.get(background(), other.url()));
  EXPECT_EQ(watch_of(other.port()), std::pair(1, 7'000));
  peer third(answering(ok("x")));
  client trusting(client_options().silent_peer_timeout(clock::duration::max()));
  ASSERT_TRUE(trusting.get(background(), third.url()));
  EXPECT_EQ(watch_of(third.port()), std::pair(0, 0));
}

}  // namespace
}  // namespace curfew::http
