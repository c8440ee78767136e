// What a client sends and what it gives back.
#include <curfew/http/client.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/deadline.hpp>
#include <curfew/http/errc.hpp>
#include <future>
#include <optional>
#include <string>
#include <thread>

#include "http/client_peer.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using namespace std::chrono_literals;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Client, GivesStatusFieldsAndBody) {
  peer server(
      answering("HTTP/1.1 404 Not Found\r\nB: 2\r\nSet-Cookie: a\r\nA:1\r\nSet-Cookie:  b \r\n"
                "Content-Length: 4\r\n\r\nbody"));
  client sender;
  const auto answer = sender.send(background(), get_of(server.url()));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->status(), status::not_found);
  EXPECT_EQ(answer->status_line(), "HTTP/1.1 404 Not Found");
  EXPECT_EQ(answer->body(), "body");
  std::string all;
  for (const auto& [name, value] : answer->fields()) all.append(name).append("=").append(value).append(";");
  EXPECT_EQ(all, "B=2;Set-Cookie=a;A=1;Set-Cookie=b;Content-Length=4;");
}

TEST(Client, DoesNotCopyTheBodyOfARequestThatIsMovedIn) {
  peer server(answering(ok("")));
  client sender;
  request what("PUT", server.url());
  what.body(std::string(100'000, 'x'));
  ASSERT_TRUE(sender.send(background(), std::move(what)));
  EXPECT_TRUE(what.body().empty());  // NOLINT(bugprone-use-after-move): it has been taken
}

// The socket is in the loop's set while it connects, and stays there: no event is lost between.
TEST(Client, HearsASocketThatHadToWaitForItsConnection) {
  unanswering server;
  client sender;
  auto reply = std::async(std::launch::async, [&] { return sender.send(background(), get_of(server.url)); });
  ASSERT_TRUE(wait_until_connecting());
  const int full = accept4(server.listener, nullptr, nullptr, SOCK_CLOEXEC);  // now there is room
  const int fd = accept4(server.listener, nullptr, nullptr, SOCK_CLOEXEC);
  {
    conversation c(fd, 1);
    EXPECT_THAT(c.read_request(), StartsWith("GET / HTTP/1.1\r\n"));
    c.write(ok("late"));
  }
  const auto answer = reply.get();
  close(fd);
  close(full);
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "late");
}

TEST(Client, SendsMethodTargetFieldsAndBody) {
  client sender;
  const std::string seen = seen_by_peer(sender, background(), [](const peer& p) {
    request r("PUT", p.url("/a%20b?c=d&e=\xc3\xa4#fragment"));
    r.set("X-One", "1").set("X-Empty", "").body("hello", "text/x-greeting");
    r.fields().add("X-One", "2");
    return r;
  });
  EXPECT_THAT(seen, StartsWith("PUT /a%20b?c=d&e=%C3%A4 HTTP/1.1\r\n"));
  EXPECT_THAT(seen, HasSubstr("\r\nX-One: 1\r\n"));
  EXPECT_THAT(seen, HasSubstr("\r\nX-One: 2\r\n"));
  EXPECT_THAT(seen, HasSubstr("\r\nX-Empty:\r\n"));
  EXPECT_THAT(seen, HasSubstr("\r\nContent-Type: text/x-greeting\r\n"));
  EXPECT_THAT(seen, HasSubstr("\r\nContent-Length: 5\r\n"));
  EXPECT_THAT(seen, EndsWith("\r\n\r\nhello"));
  EXPECT_THAT(seen, Not(HasSubstr("Expect")));
}

TEST(Client, SendsNoFieldsOfItsOwnAboutABodyThatIsEmpty) {
  client sender;
  const std::string post =
      seen_by_peer(sender, background(), [](const peer& p) { return request("POST", p.url()); });
  EXPECT_THAT(post, HasSubstr("\r\nContent-Length: 0\r\n"));
  EXPECT_THAT(post, Not(HasSubstr("Content-Type")));
  const std::string del =
      seen_by_peer(sender, background(), [](const peer& p) { return request("DELETE", p.url()); });
  EXPECT_THAT(del, StartsWith("DELETE / HTTP/1.1\r\n"));
  EXPECT_THAT(del, Not(HasSubstr("Content-Length")));
}

TEST(Client, SendsBodiesLargerThanAnyBuffer) {
  const std::string large(8 * 1024 * 1024, 'x');
  client sender;
  const std::string seen = seen_by_peer(
      sender, background(), [&](const peer& p) { return std::move(request("POST", p.url()).body(large)); });
  EXPECT_THAT(seen, HasSubstr("Content-Length: 8388608\r\n"));
  EXPECT_TRUE(seen.ends_with(large));
}

TEST(Client, SendsTheBodyWhenTheServerSaysThatItMayWhereThatIsAsked) {
  const std::string body = "as it was asked for";
  std::string early;
  std::string seen;
  peer server([&](conversation& c) {
    seen = c.read_header();
    char byte = 0;
    if (recv(c.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) early = "the body came unasked";
    c.write("HTTP/1.1 100 Continue\r\n\r\n");
    std::string got;
    while (got.size() < body.size()) {
      const std::string more = c.read_some();
      if (more.empty()) return;
      got += more;
    }
    c.write(ok(got));
  });
  client sender;
  const auto answer =
      sender.send(background(), request("POST", server.url()).set("Expect", "100-continue").body(body));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), body);
  EXPECT_EQ(early, "");
  EXPECT_THAT(seen, HasSubstr("\r\nExpect: 100-continue\r\n"));
}

TEST(Client, SendsNoBodyThatTheServerHasRefused) {
  moment answered;
  std::string body;
  peer server([&](conversation& c) {
    if (c.read_header().empty()) return;
    c.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    body = c.read_some();
    answered.set();
  });
  client sender;
  const auto answer =
      sender.send(background(), request("POST", server.url()).set("Expect", "100-continue").body("a body"));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->status(), status::content_too_large);
  EXPECT_EQ(answer->body(), "no");
  ASSERT_TRUE(answered.wait());
  EXPECT_EQ(body, "") << "the connection is closed, since the server may still wait for it";
}

TEST(Client, HeadAndNoContentHaveNoBody) {
  peer server(answering([](const std::string& request) -> std::string {
    return request.starts_with("HEAD") ? "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
                                       : "HTTP/1.1 204 No Content\r\n\r\n";
  }));
  client sender;
  const auto head = sender.send(background(), request("HEAD", server.url()));
  ASSERT_TRUE(head) << head.error();
  EXPECT_EQ(head->body(), "");
  EXPECT_EQ(*head->fields().find("content-length"), "1000");
  const auto none = sender.send(background(), request("OPTIONS", server.url()));
  ASSERT_TRUE(none) << none.error();
  EXPECT_EQ(none->status(), status::no_content);
  EXPECT_EQ(server.connections(), 1);
}

TEST(Client, GivesTheFinalResponseWithoutItsTrailers) {
  peer server(
      answering("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                "3\r\nabc\r\n2\r\nde\r\n0\r\nLate: 1\r\n\r\n"));
  client sender;
  const auto answer = sender.send(background(), get_of(server.url()));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->status(), status::ok);
  EXPECT_EQ(answer->body(), "abcde");
  EXPECT_FALSE(answer->fields().contains("Link"));
  EXPECT_FALSE(answer->fields().contains("Late"));
}

TEST(Client, TakesABodyThatEndsWithTheConnection) {
  peer server(closing_after("HTTP/1.0 200 OK\r\n\r\nuntil the end"));
  client sender;
  const auto answer = sender.send(background(), get_of(server.url()));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "until the end");
}

// "hello hello hello", compressed.
const std::string gzip(
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x90\x00"
    "\x80\x88\xf9\xe5\x11\x00\x00\x00",
    28);

TEST(Client, DecodesTheContentEncodingThatItAskedFor) {
  peer server(answering([](const std::string& request) {
    EXPECT_THAT(request, HasSubstr("Accept-Encoding: "));
    EXPECT_THAT(request, HasSubstr("gzip"));
    return ok(gzip, "Content-Encoding: gzip\r\n");
  }));
  client sender;
  const auto decoded = sender.send(background(), get_of(server.url()));
  ASSERT_TRUE(decoded) << decoded.error();
  EXPECT_EQ(decoded->body(), "hello hello hello");
  EXPECT_FALSE(decoded->fields().contains("Content-Encoding"));
  EXPECT_FALSE(decoded->fields().contains("Content-Length"));

  const auto raw = sender.send(background(), get_of(server.url()).set("Accept-Encoding", "gzip"));
  ASSERT_TRUE(raw) << raw.error();
  EXPECT_EQ(raw->body(), gzip);
  EXPECT_EQ(*raw->fields().find("Content-Encoding"), "gzip");
}

TEST(Client, SendsWhatRemainsOfTheDeadline) {
  client sender;
  const auto scope = with_timeout(background(), 1h);
  const auto make = [](const peer& p) { return get_of(p.url()); };
  const std::string seen = seen_by_peer(sender, scope, make);
  const std::size_t at = seen.find("Request-Timeout-Ms: ");
  ASSERT_NE(at, std::string::npos) << seen;
  const long ms = std::stol(seen.substr(at + 20));
  EXPECT_LE(ms, 3'600'000);
  EXPECT_GT(ms, 3'600'000 - 60'000);

  EXPECT_THAT(seen_by_peer(sender, background(), make), Not(HasSubstr("Request-Timeout-Ms")));
  EXPECT_THAT(
      seen_by_peer(sender, scope, [](const peer& p) { return get_of(p.url()).set(timeout_field, "7"); }),
      HasSubstr("Request-Timeout-Ms: 7\r\n"));
  client silent(client_options().send_deadline(false));
  EXPECT_THAT(seen_by_peer(silent, scope, make), Not(HasSubstr("Request-Timeout-Ms")));
}

TEST(Client, SendsTheUserinfoOfTheUrlAndNeverShowsIt) {
  client sender;
  std::string url;
  const std::string seen = seen_by_peer(sender, background(), [&](const peer& p) {
    url = p.url("/x", "us%40er:secret@127.0.0.1");
    return get_of(url);
  });
  EXPECT_THAT(seen, HasSubstr("\r\nAuthorization: Basic dXNAZXI6c2VjcmV0\r\n"));
  EXPECT_THAT(seen, Not(HasSubstr("secret")));

  for (const std::string& bad :
       {url, std::string("http://us:secret@ho st/"), std::string("http://us:sec/ret@host:x/"),
        std::string("ftp://us:secret@host/"), std::string("us:secret@host")}) {
    const auto failed = sender.send(background(), get_of(bad));
    ASSERT_FALSE(failed);
    EXPECT_THAT(failed.error().message(), Not(HasSubstr("sec"))) << bad;
  }
}

// Foreign text in a request cannot add fields or requests.

TEST(Client, RefusesWhatIsNotAUrlBeforeAnythingIsSent) {
  peer server(answering(ok("")));
  client sender;
  for (const std::string& url :
       {std::string(), std::string("/path"), std::string("127.0.0.1"), std::string("http://"),
        std::string("http:///x"), "ftp" + server.url().substr(4), std::string("file:///etc/passwd"),
        std::string("gopher://x/"), server.url("/a b"), server.url("/a\r\nX-Injected: 1"),
        server.url("/a\tb"), server.url("/a\x7f"), server.url(std::string("/a\0b", 4)),
        server.url("/", "127.0.0.1\n"), std::string("http://host:99999/"), std::string("http://[::1/"),
        ' ' + server.url()}) {
    const auto answer = sender.send(background(), get_of(url));
    ASSERT_FALSE(answer) << url;
    EXPECT_EQ(answer.error(), errc::bad_url) << answer.error();
    EXPECT_FALSE(answer.error().transient()) << url;
    EXPECT_EQ(answer.error().message().find_first_of("\r\n\t"), std::string::npos);
  }
  EXPECT_EQ(server.connections(), 0);
}

TEST(Client, RefusesMethodsAndFieldsThatAreNotHttpBeforeAnythingIsSent) {
  peer server(answering(ok("")));
  client sender;
  const auto refused = [&](const request& what) {
    const auto answer = sender.send(background(), what);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error(), std::errc::invalid_argument) << answer.error();
    EXPECT_FALSE(answer.error().transient());
    EXPECT_EQ(answer.error().message().find_first_of("\r\n"), std::string::npos) << answer.error();
    EXPECT_THAT(answer.error().message(), HasSubstr(server.url()));
  };
  const auto with = [&](std::string_view name, std::string_view value) {
    return request("POST", server.url()).set(name, value);
  };
  for (const char* method : {"", "GE T", "GET\r\nX: 1", "GET / HTTP/1.1\r\n", "G\xc3\xa4T", "CONNECT"}) {
    refused(request(method, server.url()));
  }
  refused(request("HEAD", server.url()).body("x"));
  refused(with("", "x"));
  refused(with("X Y", "x"));
  refused(with("X:", "x"));
  refused(with("X\r\nY", "x"));
  refused(with("X", "a\r\nInjected: 1"));
  refused(with("X", "a\nb"));
  refused(with("X", std::string_view("a\0b", 3)));
  refused(with("Transfer-Encoding", "chunked"));
  refused(with("Content-Length", "5"));
  refused(with("Upgrade", "websocket"));
  EXPECT_EQ(server.connections(), 0);
}

// Coroutines.

TEST(ClientCoroutine, RunsOnItsOwnExecutor) {
  peer server(answering(ok("hello")));
  boost::asio::io_context io;
  std::optional<std::string> body;
  std::thread::id ran_on;
  auto job = [&]() -> boost::asio::awaitable<void> {
    auto answer = co_await async_get(background(), server.url());
    ran_on = std::this_thread::get_id();
    if (answer) body = answer->body();
    auto scope = with_cancel(background());
    scope.cancel();
    const context ended = scope;
    auto none = co_await async_get(ended, server.url());
    EXPECT_EQ(none.error(), curfew::errc::canceled);
  };
  boost::asio::co_spawn(io, job, [](std::exception_ptr e) { EXPECT_FALSE(e); });
  io.run();
  EXPECT_EQ(body, "hello");
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

}  // namespace
}  // namespace curfew::http
