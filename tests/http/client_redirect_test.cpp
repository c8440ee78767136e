// Which redirects a client follows, and what it takes along.
#include <curfew/http/client.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/deadline.hpp>
#include <curfew/http/errc.hpp>
#include <mutex>
#include <string>

#include "http/client_peer.hpp"
#include "http/fake_resolver.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Redirects, AreFollowedForGetAndHead) {
  peer server(answering([](const std::string& request) {
    if (request.find(" /a/first ") != std::string::npos) return redirect_to("second?x=1", 301);
    if (request.find(" /a/second?x=1 ") != std::string::npos) return redirect_to("/third", 308);
    return request.starts_with("HEAD") ? std::string("HTTP/1.1 200 OK\r\nLast: 1\r\n\r\n")
                                       : ok("third", "Last: 1\r\n");
  }));
  client sender;
  const auto answer = sender.send(background(), get_of(server.url("/a/first")));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "third");
  EXPECT_FALSE(answer->fields().contains("Location"));
  EXPECT_EQ(server.connections(), 1);

  auto streamed = sender.open(background(), get_of(server.url("/a/first")));
  ASSERT_TRUE(streamed) << streamed.error();
  EXPECT_EQ(streamed->head().status(), status::ok);
  EXPECT_EQ(streamed->read(background()).value(), "third");
}

TEST(Redirects, OfOtherMethodsAreTheResponse) {
  peer server(answering(redirect_to("/x")));
  client sender;
  const auto post = sender.send(background(), request("POST", server.url()));
  ASSERT_TRUE(post) << post.error();
  EXPECT_EQ(post->status(), status::found);
  EXPECT_EQ(post->body(), "there");

  client stays(client_options().max_redirects(0));
  const auto get = stays.send(background(), get_of(server.url()));
  ASSERT_TRUE(get) << get.error();
  EXPECT_EQ(get->status(), status::found);
}

TEST(Redirects, EndAtTheLimit) {
  std::atomic<int> requests = 0;
  peer server(answering([&](const std::string&) {
    ++requests;
    return redirect_to("/again");
  }));
  client sender(client_options().max_redirects(3));
  const auto answer = sender.send(background(), get_of(server.url()));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error(), errc::too_many_redirects) << answer.error();
  EXPECT_FALSE(answer.error().transient());
  EXPECT_EQ(requests, 4);
}

TEST(Redirects, GoNowhereButToHttp) {
  for (const char* where : {"ftp://127.0.0.1/", "file:///etc/passwd", "http://", "/a b"}) {
    peer server(answering(redirect_to(where)));
    client sender;
    const auto answer = sender.send(background(), get_of(server.url()));
    ASSERT_FALSE(answer) << where;
    EXPECT_EQ(answer.error(), errc::bad_response) << answer.error();
  }
}

TEST(Redirects, LeaveCredentialsWithTheirServer) {
  std::string at_second;
  std::mutex mutex;
  peer second(answering([&](const std::string& request) {
    const std::lock_guard guard(mutex);
    at_second = request;
    return ok("");
  }));
  std::string at_first_again;
  peer first(answering([&](const std::string& request) {
    if (request.find(" /away ") != std::string::npos) return redirect_to(second.url("/"));
    if (request.find(" /home ") != std::string::npos) return redirect_to("/again");
    const std::lock_guard guard(mutex);
    at_first_again = request;
    return ok("");
  }));
  client sender;
  const auto scope = with_timeout(background(), 1h);
  const auto secret = [&](std::string_view path) {
    return get_of(first.url(path, "user:pass@127.0.0.1"))
        .set("Authorization", "Bearer secret")
        .set("Cookie", "secret")
        .set("Host", "first.test")
        .set("X-Other", "1");
  };
  ASSERT_TRUE(sender.send(scope, secret("/home")));
  ASSERT_TRUE(sender.send(scope, secret("/away")));
  const std::lock_guard guard(mutex);
  EXPECT_THAT(at_first_again, HasSubstr("Authorization: Bearer secret\r\n"));
  EXPECT_THAT(at_first_again, HasSubstr("Host: first.test\r\n"));
  EXPECT_THAT(at_second, Not(HasSubstr("secret")));
  EXPECT_THAT(at_second, Not(HasSubstr("Authorization")));
  EXPECT_THAT(at_second, HasSubstr("Host: 127.0.0.1:" + std::to_string(second.port()) + "\r\n"));
  EXPECT_THAT(at_second, HasSubstr("X-Other: 1\r\n"));
  EXPECT_THAT(at_second, HasSubstr("Request-Timeout-Ms: "));
}

TEST(Redirects, WithABodyWithoutEndAreFollowedAllTheSame) {
  peer server([](conversation& c) {
    const std::string request = c.read_request();
    if (request.find(" /last ") != std::string::npos) {
      c.write(ok("last"));
      return;
    }
    c.write("HTTP/1.1 302 Found\r\nLocation: /last\r\nContent-Length: 1000000000\r\n\r\n");
    while (c.write(std::string(65536, 'x'))) {
    }
  });
  client sender;
  const auto answer = sender.send(background(), get_of(server.url()));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "last");
}

}  // namespace
}  // namespace curfew::http
