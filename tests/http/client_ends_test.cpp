// A call ends with its context: what client_table_test.cpp does not hold.
#include <curfew/http/client.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <future>
#include <string>
#include <thread>

#include "fake_resolver.hpp"
#include "http/client_peer.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using namespace std::chrono_literals;
using ::testing::EndsWith;
using ::testing::HasSubstr;

class ClientEnds : public ::testing::Test {
 protected:
  void start(const request& what) {
    answer = std::async(std::launch::async, [this, what] { return sender.send(scope, what); });
  }

  /// Cancels; the call has to come back at once, to say so, and to name the phase.
  void cancel_and_expect(const std::string& url, const std::string& phase) {
    const auto before = clock::now();
    scope.cancel(cause("enough"));
    ASSERT_EQ(answer.wait_for(patience), std::future_status::ready);
    EXPECT_LT(clock::now() - before, 5s);
    const error e = error_of(answer.get());
    EXPECT_EQ(e, curfew::errc::canceled);
    EXPECT_EQ(e.cause().message(), "enough");
    EXPECT_THAT(e.doing(), HasSubstr(url + " : " + phase));
  }

  cancel_scope scope = with_cancel(background());
  client sender;
  std::future<result<response>> answer;
};

TEST_F(ClientEnds, BeforeAnythingIsSent) {
  peer server(answering(ok("")));
  scope.cancel(cause("enough"));
  const error e = error_of(sender.send(scope, get_of(server.url())));
  EXPECT_EQ(e, curfew::errc::canceled);
  EXPECT_EQ(e.cause().message(), "enough");
  EXPECT_THAT(e.doing(), EndsWith("before it was sent"));
  EXPECT_EQ(server.connections(), 0);
}

TEST(ClientEndsInTheQueue, WhileOthersHaveTheConnections) {
  moment asked;
  moment answer_now;
  peer server([&](conversation& c) {
    while (!c.read_request().empty()) {
      asked.set();
      if (!answer_now.wait() || !c.write(ok("x"))) return;
    }
  });
  client sender(client_options().max_connections_per_host(1));
  auto first =
      std::async(std::launch::async, [&] { return sender.send(background(), get_of(server.url("/1"))); });
  ASSERT_TRUE(asked.wait());
  auto scope = with_cancel(background());
  std::future<result<response>> queued;
  sender.async_send(scope.ctx(), get_of(server.url("/2")), into(queued));
  peer other(answering(ok("")));
  ASSERT_TRUE(sender.send(background(), get_of(other.url())));
  EXPECT_EQ(server.connections(), 1);
  scope.cancel();
  ASSERT_EQ(queued.wait_for(patience), std::future_status::ready);
  const error e = error_of(queued.get());
  EXPECT_EQ(e, curfew::errc::canceled);
  EXPECT_THAT(e.doing(), EndsWith("/2 : waiting for a connection"));
  answer_now.set();
  EXPECT_TRUE(first.get());
  EXPECT_TRUE(sender.send(background(), get_of(server.url("/3"))));  // the place in the queue is not lost
  EXPECT_EQ(server.connections(), 1);
}

TEST(ClientEndsInTheQueue, ACanceledCallMakesRoomForTheNext) {
  moment asked;
  moment closed;
  peer server([&](conversation& c) {
    if (c.number() > 1) {
      c.read_request();
      c.write(ok("x"));
      return;
    }
    c.read_request();
    asked.set();
    if (c.sees_close()) closed.set();
  });
  client sender(client_options().max_connections_per_host(1));
  auto scope = with_cancel(background());
  auto first = std::async(std::launch::async, [&] { return sender.send(scope, get_of(server.url("/1"))); });
  ASSERT_TRUE(asked.wait());
  std::future<result<response>> queued;
  sender.async_send(background(), get_of(server.url("/2")), into(queued));
  peer other(answering(ok("")));
  ASSERT_TRUE(sender.send(background(), get_of(other.url())));
  scope.cancel();
  EXPECT_EQ(error_of(first.get()), curfew::errc::canceled);
  EXPECT_TRUE(closed.wait());
  ASSERT_EQ(queued.wait_for(patience), std::future_status::ready);
  EXPECT_TRUE(queued.get());
}

TEST_F(ClientEnds, WhileResolving) {
  start(get_of("http://stuck.test/"));
  ASSERT_TRUE(tests::wait_for_stuck_lookup());
  cancel_and_expect("http://stuck.test/", "resolving");
  // The lookup, which still hangs, holds up neither other calls nor the client's end.
  peer server(answering(ok("")));
  ASSERT_TRUE(sender.send(background(), get_of(server.url())));
  {
    client other;
    auto own = with_cancel(background());
    auto stuck =
        std::async(std::launch::async, [&] { return other.send(own, get_of("http://stuck.test/")); });
    own.cancel();
    EXPECT_EQ(error_of(stuck.get()), curfew::errc::canceled);
  }
  tests::release_stuck_lookups();
}

// The second socket may have the number of the first.
TEST(ClientConnects, ToTheNextAddressWhereTheFirstDoesNotAnswer) {
  peer server(answering(ok("the second")));
  const unanswering first(INADDR_LOOPBACK + 1, server.port());
  client sender;
  const auto scope = with_timeout(background(), 2s);  // half of it is for the first
  const auto answer = sender.send(scope, get_of(server.url("/", "two.test")));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "the second");
}

TEST_F(ClientEnds, InTheTlsHandshake) {
  moment greeted;
  moment closed;
  peer server([&](conversation& c) {
    if (!c.read_some().empty()) greeted.set();
    if (c.sees_close()) closed.set();
  });
  const std::string url = "https" + server.url().substr(4);
  start(get_of(url));
  ASSERT_TRUE(greeted.wait());
  cancel_and_expect(url, "in the TLS handshake");
  EXPECT_TRUE(closed.wait());
}

TEST_F(ClientEnds, WithTheIoContextOfTheOneWhoWaits) {
  moment asked;
  moment answer_it;
  peer server([&](conversation& c) {
    c.read_request();
    asked.set();
    if (answer_it.wait()) c.write(ok("too late"));
  });
  {
    boost::asio::io_context io;
    auto job = [&]() -> boost::asio::awaitable<void> {
      auto got = co_await sender.async_send(scope.ctx(), get_of(server.url()));
      ADD_FAILURE() << "nothing runs the io_context any more: " << got.has_value();
    };
    boost::asio::co_spawn(io, job, boost::asio::detached);
    io.poll();
    ASSERT_TRUE(asked.wait());
  }
  answer_it.set();
}

TEST_F(ClientEnds, AtTheSecondServerOfARedirect) {
  moment asked;
  moment closed;
  peer second([&](conversation& c) {
    c.read_request();
    asked.set();
    if (c.sees_close()) closed.set();
  });
  peer first(answering(redirect_to(second.url("/second"))));
  start(get_of(first.url()));
  ASSERT_TRUE(asked.wait());
  cancel_and_expect(second.url("/second"), "waiting for the response");
  EXPECT_TRUE(closed.wait());
}

TEST_F(ClientEnds, ForNobodyElse) {
  moment both;
  std::atomic<int> asked = 0;
  moment answer_now;
  peer server([&](conversation& c) {
    const bool slow = c.read_request().find(" /slow ") != std::string::npos;
    if (++asked == 2) both.set();
    if (slow) {
      c.sees_close();
    } else if (answer_now.wait()) {
      c.write(ok("fine"));
    }
  });
  start(get_of(server.url("/slow")));
  auto other =
      std::async(std::launch::async, [&] { return sender.send(background(), get_of(server.url("/other"))); });
  ASSERT_TRUE(both.wait());
  cancel_and_expect(server.url("/slow"), "waiting for the response");
  answer_now.set();
  const auto got = other.get();
  ASSERT_TRUE(got) << got.error();
  EXPECT_EQ(got->body(), "fine");
}

TEST_F(ClientEnds, WithTheClient) {
  moment asked;
  moment closed;
  peer server([&](conversation& c) {
    c.read_request();
    asked.set();
    if (c.sees_close()) closed.set();
  });
  auto doomed = std::make_unique<client>();
  std::future<result<response>> reply;
  doomed->async_send(background(), get_of(server.url()), into(reply));
  ASSERT_TRUE(asked.wait());
  doomed.reset();
  ASSERT_EQ(reply.wait_for(patience), std::future_status::ready);
  const error e = error_of(reply.get());
  EXPECT_EQ(e, curfew::errc::canceled);
  EXPECT_THAT(e.doing(), HasSubstr("the client was destroyed"));
  EXPECT_TRUE(closed.wait());
}

// Ends a process in whose other threads calls of the shared client wait for an answer and for a name.
[[noreturn]] void exit_with_calls_under_way() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener, generic, size) != 0 || listen(listener, 1) != 0) std::abort();
  if (getsockname(listener, generic, &size) != 0) std::abort();
  const std::string url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/";
  std::thread([url] { static_cast<void>(get(background(), url)); }).detach();
  std::thread([] { static_cast<void>(get(background(), "http://stuck.test/")); }).detach();
  char byte = 0;
  if (recv(accept(listener, nullptr, nullptr), &byte, 1, 0) != 1 || !tests::wait_for_stuck_lookup())
    std::abort();
  std::exit(7);
}

TEST(ClientExitDeathTest, IsCleanWhileCallsAreUnderWay) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(exit_with_calls_under_way(), ::testing::ExitedWithCode(7), "");
}

// Which comes first is open; that there is one outcome is not. Hunts: the end of the context just while the
// response arrives, in the engine's inbox beside the socket's readiness.
TEST(ClientRaces, AResponseAndTheEndOfTheContextHaveOneOutcome) {
  peer server(answering(ok("complete")));
  client sender;
  ASSERT_TRUE(sender.send(background(), get_of(server.url())));
  int responses = 0;
  constexpr int rounds = 400;
  for (int i = 0; i < rounds; ++i) {
    auto scope = with_cancel(background());
    std::future<result<response>> reply;
    sender.async_send(scope.ctx(), get_of(server.url()), into(reply));
    const auto until = clock::now() + std::chrono::microseconds(i);
    while (clock::now() < until) {
    }
    scope.cancel();
    ASSERT_EQ(reply.wait_for(patience), std::future_status::ready);
    const auto got = reply.get();
    if (got) {
      ++responses;
      EXPECT_EQ(got->body(), "complete");
    } else {
      EXPECT_EQ(got.error(), curfew::errc::canceled) << got.error();
    }
  }
  std::cout << responses << " of " << rounds << " responses came first\n";
}

}  // namespace
}  // namespace curfew::http
