// Which connections a client keeps and uses, and its proxies.
#include <curfew/http/client.hpp>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "fake_resolver.hpp"
#include "http/client_peer.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using namespace std::chrono_literals;

TEST(ClientPool, KeepsConnections) {
  peer server(answering(ok("x")));
  client sender;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(sender.send(background(), get_of(server.url())));
  EXPECT_EQ(server.connections(), 1);

  client forgetful(client_options().max_idle_connections(0));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(forgetful.send(background(), get_of(server.url())));
  EXPECT_EQ(server.connections(), 4);
}

TEST(ClientPool, UsesNoConnectionThatIsTooOld) {
  peer server(answering(ok("x")));
  client sender(client_options().connection_life_time(30ms).max_connections_per_host(1));
  ASSERT_TRUE(sender.get(background(), server.url()));
  std::this_thread::sleep_for(40ms);
  ASSERT_TRUE(sender.get(background(), server.url()));
  EXPECT_EQ(server.connections(), 2);

  client patient(client_options().connection_life_time(1h));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(patient.get(background(), server.url()));
  EXPECT_EQ(server.connections(), 3);
}

// Its place goes to the call that waits, which connects anew.
TEST(ClientPool, OneThatHasBecomeTooOldIsNotGivenToTheNext) {
  peer server([](conversation& c) {
    if (c.read_request().empty()) return;
    std::this_thread::sleep_for(60ms);
    c.write(ok(std::to_string(c.number())));
    c.read_request();
  });
  client sender(client_options().connection_life_time(30ms).max_connections_per_host(1));
  std::vector<std::string> numbers(3);
  {
    std::vector<std::jthread> threads;
    for (auto& each : numbers)
      threads.emplace_back([&] { each = sender.get(background(), server.url()).value().body(); });
  }
  EXPECT_THAT(numbers, ::testing::UnorderedElementsAre("1", "2", "3"));
}

// A write finds the reset, and then a read does: one of them alone may begin anew.
TEST(ClientPool, UsesAFreshConnectionWhereTheKeptOneIsResetWhileABodyIsSent) {
  constexpr std::size_t size = 4'000'000;
  peer server([](conversation& c) {
    if (c.read_request().empty() || !c.write(ok(std::to_string(c.number())))) return;
    if (c.read_header().empty()) return;
    c.read_exactly(static_cast<std::size_t>(c.number()) * 37'337 % size);
    c.reset();
  });
  client sender;
  ASSERT_TRUE(sender.get(background(), server.url()));
  for (int i = 2; i != 60; ++i) {
    const auto answer = sender.put(background(), server.url(), std::string(size, 'u'), "text/plain");
    ASSERT_TRUE(answer) << answer.error();
    EXPECT_EQ(answer->body(), std::to_string(i));
  }
}

TEST(ClientPool, UsesAFreshConnectionWhereTheServerHasClosedTheKeptOne) {
  // Closed while it was idle, and closed in answer to the second request: what a server does whose idle limit
  // passes just then.
  for (const bool reads_again : {false, true}) {
    moment closed;
    peer server([&](conversation& c) {
      c.read_request();
      c.write(ok("x"));
      if (c.number() > 1) return;
      if (reads_again) {
        c.read_request();
      } else {
        shutdown(c.fd(), SHUT_RDWR);
      }
      closed.set();
    });
    client sender;
    ASSERT_TRUE(sender.send(background(), get_of(server.url())));
    if (!reads_again) {
      ASSERT_TRUE(closed.wait());
    }
    const auto again = sender.send(background(), get_of(server.url()));
    ASSERT_TRUE(again) << again.error();
    EXPECT_EQ(server.connections(), 2);
  }
}

TEST(ClientPool, SendsNothingTwiceThatMayHaveBeenDone) {
  std::atomic<int> posts = 0;
  peer server([&](conversation& c) {
    c.read_request();
    c.write(ok("x"));
    if (c.read_request().starts_with("POST")) ++posts;
  });
  client sender;
  for (const char* body : {"", "a body"}) {
    posts = 0;
    ASSERT_TRUE(sender.send(background(), get_of(server.url())));
    const error e = error_of(sender.send(background(), request("POST", server.url()).body(body)));
    EXPECT_EQ(e, errc::connection_lost) << e;
    EXPECT_TRUE(e.transient());
    EXPECT_EQ(posts, 1);
  }
}

TEST(ClientPool, ConnectionsAreNotForChildProcesses) {
  peer server(answering(ok("x")));
  client sender;
  ASSERT_TRUE(sender.send(background(), get_of(server.url())));
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    sockaddr_in other{};
    socklen_t size = sizeof other;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&other), &size) != 0) continue;
    if (other.sin_family != AF_INET || ntohs(other.sin_port) != server.port()) continue;
    ++found;
    EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  }
  EXPECT_EQ(found, 1);
}

}  // namespace
}  // namespace curfew::http
