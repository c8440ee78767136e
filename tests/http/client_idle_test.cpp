// What a server sends on an idle connection belongs to no request: the connection is dropped.
#include <gtest/gtest.h>

#include <atomic>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <ostream>
#include <string>

#include "http/client_peer.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;

struct stray {
  const char* name;
  std::string bytes;      // behind the first answer
  bool ends = false;      // by FIN
  bool resets = false;    // by RST
  bool together = false;  // in one piece with the first answer
};
void PrintTo(const stray& s, std::ostream* out) { *out << s.name; }

const std::string timed_out =
    "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

class ClientIdle : public ::testing::TestWithParam<stray> {
 protected:
  void serve(conversation& c) {
    for (std::string request; !(request = c.read_request()).empty();) {
      ++asked;
      const std::string body = request.substr(request.find("\r\n\r\n") + 4);
      const std::string answer = ok(request.substr(0, request.find(' ')) + " " + body);
      if (c.number() > 1) {
        c.write(answer);
        continue;
      }
      const stray& s = GetParam();
      c.write(s.together ? answer + s.bytes : answer);
      if (!first_read.wait()) return;
      if (!s.together) c.write(s.bytes);
      if (s.ends) shutdown(c.fd(), SHUT_WR);
      if (s.resets) {
        const sockaddr none{.sa_family = AF_UNSPEC, .sa_data = {}};
        EXPECT_EQ(connect(c.fd(), &none, sizeof none), 0);
      }
      sent.set();  // a write to the own machine is with the receiver when it returns
    }
  }

  /// A second request, behind the stray.
  void expect_the_second_is_answered(const request& second) {
    const auto first = sender.send(background(), get_of(server.url("/first")));
    ASSERT_TRUE(first) << first.error();
    EXPECT_EQ(first->body(), "GET ");
    first_read.set();
    ASSERT_TRUE(sent.wait());
    const auto answer = sender.send(background(), second);
    ASSERT_TRUE(answer) << answer.error();
    EXPECT_EQ(answer->status(), status::ok);
    EXPECT_EQ(answer->body(), second.method() + " " + second.body());
    EXPECT_EQ(server.connections(), 2);
    EXPECT_EQ(asked, 2) << "it was sent once";
  }

  moment first_read;
  moment sent;
  std::atomic<int> asked = 0;
  client sender;
  peer server{[this](conversation& c) { serve(c); }};
};

TEST_P(ClientIdle, IsNotForTheNextRequest) { expect_the_second_is_answered(get_of(server.url("/second"))); }

TEST_P(ClientIdle, IsNotForTheNextRequestThatMayNotBeRepeated) {
  expect_the_second_is_answered(request("POST", server.url("/second")).body("a body"));
}

TEST_P(ClientIdle, IsNotForTheNextDownload) {
  const auto first = sender.send(background(), get_of(server.url("/first")));
  ASSERT_TRUE(first) << first.error();
  first_read.set();
  ASSERT_TRUE(sent.wait());
  auto from = sender.open(background(), get_of(server.url("/second")));
  ASSERT_TRUE(from) << from.error();
  EXPECT_EQ(from->head().status(), status::ok);
  EXPECT_EQ(from->read(background()).value(), "GET ");
  EXPECT_EQ(server.connections(), 2);
}

INSTANTIATE_TEST_SUITE_P(
    , ClientIdle,
    ::testing::Values(
        stray{.name = "AStray408", .bytes = timed_out},
        stray{.name = "AStray408AndAnEnd", .bytes = timed_out, .ends = true},
        stray{.name = "APoisonedResponse", .bytes = ok("poisoned")},
        stray{.name = "APoisonedResponseTogetherWithTheFirst", .bytes = ok("poisoned"), .together = true},
        stray{.name = "OneByte", .bytes = "x"},
        stray{.name = "OneByteTogetherWithTheFirst", .bytes = "x", .together = true},
        stray{.name = "AnEnd", .bytes = "", .ends = true},
        stray{.name = "AReset", .bytes = "", .resets = true}),
    [](const auto& of) { return of.param.name; });

}  // namespace
}  // namespace curfew::http
