// Long because it is a list: a test for each error, each phase in which a context can end, each option, with
// the peer that it needs beside it. They share the small peers at the top; what is special to TLS is in
// client_tls_test.cpp.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/deadline.hpp>
#include <curfew/http/errc.hpp>
#include <filesystem>
#include <future>
#include <optional>
#include <string>

#include "http/client_peer.hpp"
#include "http/fake_resolver.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using namespace std::chrono_literals;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

/// Answers every request of every connection with `answer(request)`.
peer::script answering(std::function<std::string(const std::string&)> answer) {
  return [answer = std::move(answer)](conversation& c) {
    for (std::string request; !(request = c.read_request()).empty();) {
      if (!c.write(answer(request))) return;
    }
  };
}

peer::script answering(std::string answer) {
  return answering([answer = std::move(answer)](const std::string&) { return answer; });
}

/// Sends its answer once and closes the connection.
peer::script closing_after(std::string answer) {
  return [answer = std::move(answer)](conversation& c) {
    c.read_request();
    c.write(answer);
  };
}

/// The request as the peer got it.
std::string seen_by_peer(client& sender, const context& ctx, std::function<request(const peer&)> make) {
  std::string seen;
  std::mutex mutex;
  peer server([&](conversation& c) {
    std::string got = c.read_request();
    {
      const std::lock_guard guard(mutex);
      seen = std::move(got);
    }
    c.write(ok(""));
  });
  const auto answer = sender.send(ctx, make(server));
  EXPECT_TRUE(answer) << answer.error();
  const std::lock_guard guard(mutex);
  return seen;
}

/// A completion token: puts what it is called with into `to`.
template <class T>
auto into(std::future<T>& to) {
  std::promise<T> promise;
  to = promise.get_future();
  return [promise = std::move(promise)](T value) mutable { promise.set_value(std::move(value)); };
}

request get_of(const std::string& url) { return {"GET", url}; }

// What is sent and what comes back.

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
  for (const auto& [name, value] : answer->fields()) all += name + '=' + value + ';';
  EXPECT_EQ(all, "B=2;Set-Cookie=a;A=1;Set-Cookie=b;Content-Length=4;");
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
  EXPECT_EQ(answer->fields().find("Link"), nullptr);
  EXPECT_EQ(answer->fields().find("Late"), nullptr);
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
  EXPECT_EQ(decoded->fields().find("Content-Encoding"), nullptr);
  EXPECT_EQ(decoded->fields().find("Content-Length"), nullptr);

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

// Nothing leaves that somebody else has smuggled in.

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

// Redirects.

std::string redirect_to(const std::string& url, int code = 302) {
  return "HTTP/1.1 " + std::to_string(code) + " There\r\nLocation: " + url +
         "\r\nContent-Length: 5\r\n\r\nthere";
}

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
  EXPECT_EQ(answer->fields().find("Location"), nullptr);
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

// What goes wrong.

/// The error of one call; fails the test if there is none.
error error_of(result<response> answer) {
  if (!answer) return std::move(answer.error());
  ADD_FAILURE() << "no error: " << answer->status_line();
  return error(std::error_code());
}

std::uint16_t unused_port() {
  const peer gone(answering(""));
  return gone.port();
}

TEST(ClientErrors, ARefusedConnection) {
  client sender;
  const std::string url = "http://127.0.0.1:" + std::to_string(unused_port()) + "/";
  const error e = error_of(sender.send(background(), get_of(url)));
  EXPECT_EQ(e, errc::connection_refused);
  EXPECT_EQ(e.code(), std::errc::connection_refused);
  EXPECT_TRUE(e.transient());
  EXPECT_EQ(e.message(), "GET " + url + " : connecting: connection refused");
}

TEST(ClientErrors, NoSocketLeft) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the undefined-behaviour sanitizer makes a pipe where it looks at an object's type";
#endif
  peer server(answering(ok("")));
  client sender;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{.rlim_cur = 3, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto answer = sender.send(background(), get_of(server.url()));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(error_of(answer), std::errc::too_many_files_open);
}

TEST(ClientErrors, ANameThatDoesNotExist) {
  client sender;
  const error e = error_of(sender.send(background(), get_of("http://missing.test/")));
  EXPECT_EQ(e, errc::name_not_found);
  EXPECT_FALSE(e.transient());
  EXPECT_THAT(e.message(), StartsWith("GET http://missing.test/ : resolving: "));
}

TEST(ClientErrors, ATimeoutAndACancelStayApart) {
  peer server([](conversation& c) { c.sees_close(); });
  client sender;
  {
    const auto scope = with_timeout(background(), 5ms, "report budget");
    const error e = error_of(sender.send(scope, get_of(server.url())));
    EXPECT_EQ(e, curfew::errc::deadline_exceeded);
    EXPECT_TRUE(e.transient());
    EXPECT_EQ(e.cause().message(), "report budget");
  }
  auto scope = with_cancel(background());
  std::jthread other([&] { scope.cancel(cause(errc::client_gone)); });
  const error e = error_of(sender.send(scope, get_of(server.url())));
  EXPECT_EQ(e, curfew::errc::canceled);
  EXPECT_FALSE(e.transient());
  EXPECT_EQ(e.cause(), errc::client_gone);
}

TEST(ClientErrors, ATruncatedBody) {
  client sender;
  for (const char* answer : {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n12345"}) {
    peer server(closing_after(answer));
    const error e = error_of(sender.send(background(), get_of(server.url())));
    EXPECT_EQ(e, errc::truncated_body) << e;
    EXPECT_TRUE(e.transient());
    EXPECT_THAT(e.message(), HasSubstr(server.url() + " : reading the body: "));
  }
  peer server([](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\n\r\nsome");
    c.reset();
  });
  const error e = error_of(sender.send(background(), get_of(server.url())));
  // The reset may overtake the header.
  EXPECT_TRUE(e == errc::truncated_body || e == errc::connection_lost) << e;
}

TEST(ClientErrors, AConnectionLostBeforeTheResponse) {
  client sender;
  for (const char* answer : {"", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Le",
                             "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", "HTTP/1.1 2"}) {
    peer server(closing_after(answer));
    const error e = error_of(sender.send(background(), get_of(server.url())));
    EXPECT_EQ(e, errc::connection_lost) << answer << e;
    EXPECT_TRUE(e.transient());
  }
  peer server([](conversation& c) {
    c.read_request();
    c.reset();
  });
  const error e = error_of(sender.send(background(), get_of(server.url())));
  EXPECT_EQ(e, errc::connection_lost) << e;
  EXPECT_EQ(e.code(), std::errc::connection_reset);
}

TEST(ClientErrors, AnAnswerThatIsNotHttp) {
  client sender;
  const auto chunked = [](const std::string& body) {
    return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body;
  };
  for (const std::string& answer :
       {std::string("SSH-2.0-OpenSSH_9.2\r\n"), std::string("\0\1\2\3\4\5\6\7", 8),
        std::string("{\"json\":true}\r\n\r\n"), std::string("HTTP/1.1 abc\r\n\r\n"),
        std::string("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw"), chunked("no size\r\n"),
        chunked(std::string(40, 'f') + "\r\n"), chunked(std::string(16, 'F') + "\r\n"),
        chunked("5\r\nhello."), chunked("\r\n"),
        std::string("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx")}) {
    peer server(closing_after(answer));
    const error e = error_of(sender.send(background(), get_of(server.url())));
    EXPECT_EQ(e, errc::bad_response) << answer << " -> " << e;
    EXPECT_FALSE(e.transient());
  }
}

TEST(ClientErrors, AResponseLargerThanTheLimits) {
  client sender(client_options().max_header_size(1000).max_body_size(1000));
  const auto code_for = [&](const std::string& answer) {
    peer server(closing_after(answer));
    auto got = sender.send(background(), get_of(server.url()));
    return got ? std::error_code() : got.error().code();
  };
  EXPECT_EQ(code_for(ok(std::string(1000, 'x'))), std::error_code());
  EXPECT_EQ(code_for(ok(std::string(1001, 'x'))), errc::too_large);
  EXPECT_EQ(code_for("HTTP/1.1 200 OK\r\n\r\n" + std::string(100'000, 'x')), errc::too_large);
  EXPECT_EQ(code_for(ok("", "X: " + std::string(1000, 'x') + "\r\n")), errc::too_large);
  EXPECT_EQ(code_for("HTTP/1.1 200 OK\r\nX: " + std::string(400'000, 'x')), errc::too_large);
  std::string hints;
  for (int i = 0; i < 100; ++i) hints += "HTTP/1.1 103 Early Hints\r\n\r\n";
  EXPECT_EQ(code_for(hints + ok("")), errc::too_large);
  const std::string zeros(  // 1,100 of them, compressed
      "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x63\x60\x18\x05"
      "\xa3\x60\x14\x8c\x02\xca\x01\x00\x2b\xa0\x77\xab\x4c\x04\x00\x00",
      30);
  EXPECT_EQ(code_for(ok(zeros, "Content-Encoding: gzip\r\n")), errc::too_large);
}

// The pool.

TEST(ClientPool, KeepsConnections) {
  peer server(answering(ok("x")));
  client sender;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(sender.send(background(), get_of(server.url())));
  EXPECT_EQ(server.connections(), 1);

  client forgetful(client_options().max_idle_connections(0));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(forgetful.send(background(), get_of(server.url())));
  EXPECT_EQ(server.connections(), 4);
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

// Proxies.

class environment_variable {
 public:
  environment_variable(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  environment_variable(const environment_variable&) = delete;
  environment_variable& operator=(const environment_variable&) = delete;
  ~environment_variable() { unsetenv(name_); }

 private:
  const char* name_;
};

TEST(ClientProxy, OfTheEnvironmentIsUsedButNotForTheOwnMachine) {
  peer proxy(
      answering([](const std::string& request) { return ok(request.substr(0, request.find("\r\n"))); }));
  peer server(answering(ok("direct")));
  const environment_variable set("http_proxy", proxy.url());
  client sender;
  const auto outside = sender.send(background(), get_of("http://peer.test/x"));
  ASSERT_TRUE(outside) << outside.error();
  EXPECT_EQ(outside->body(), "GET http://peer.test/x HTTP/1.1");
  for (const char* host : {"127.0.0.1", "localhost", "sub.localhost", "127.1"}) {
    const auto own = sender.send(background(), get_of(server.url("/", host)));
    ASSERT_TRUE(own) << own.error();
    EXPECT_EQ(own->body(), "direct") << host;
  }
  EXPECT_EQ(proxy.connections(), 1);
}

// The end of the context, in every phase.

class ClientEnds : public testing::Test {
 protected:
  void start(const request& what) {
    answer = std::async(std::launch::async, [this, what] { return sender.send(scope, what); });
  }

  /// A call that goes through the engine after everything that has reached it before.
  void let_the_engine_catch_up() {
    peer other(answering(ok("")));
    ASSERT_TRUE(sender.send(background(), get_of(other.url())));
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
  ASSERT_TRUE(wait_for_stuck_lookup());
  cancel_and_expect("http://stuck.test/", "resolving");
  // And the lookup, which still hangs, holds up nobody: neither other calls nor the client's end.
  let_the_engine_catch_up();
  {
    client other;
    auto own = with_cancel(background());
    auto stuck =
        std::async(std::launch::async, [&] { return other.send(own, get_of("http://stuck.test/")); });
    own.cancel();
    EXPECT_EQ(error_of(stuck.get()), curfew::errc::canceled);
  }
  release_stuck_lookups();
}

/// Listens at an address without ever accepting; its queue is full, so the kernel lets further connections
/// wait.
class unanswering {
 public:
  explicit unanswering(in_addr_t host = INADDR_LOOPBACK, std::uint16_t port = 0) {
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(host);
    address.sin_port = htons(port);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener, generic, size) != 0 || listen(listener, 0) != 0 ||
        getsockname(listener, generic, &size) != 0 || connect(filler, generic, size) != 0) {
      throw std::runtime_error("no listening socket");
    }
    url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/";
  }
  unanswering(const unanswering&) = delete;
  unanswering& operator=(const unanswering&) = delete;
  ~unanswering() {
    close(filler);
    close(listener);
  }

  int listener;
  int filler;
  std::string url;
};

TEST_F(ClientEnds, WhileConnecting) {
  const unanswering there;
  start(get_of(there.url));
  // Until its socket is there: the call may not have reached the engine yet.
  const auto connecting = [&] {
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      sockaddr_in other{};
      socklen_t length = sizeof other;
      const int fd = std::stoi(entry.path().filename());
      int type = 0;
      socklen_t type_size = sizeof type;
      if (fd == there.filler || fd == there.listener ||
          getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) != 0)
        continue;
      if (getsockname(fd, reinterpret_cast<sockaddr*>(&other), &length) == 0 && other.sin_family == AF_INET &&
          type == SOCK_STREAM && getpeername(fd, reinterpret_cast<sockaddr*>(&other), &length) != 0) {
        return true;
      }
    }
    return false;
  };
  while (!connecting()) {
    ASSERT_EQ(answer.wait_for(1ms), std::future_status::timeout);
  }
  cancel_and_expect(there.url, "connecting");
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

TEST_F(ClientEnds, WhileSending) {
  moment begun;
  moment canceled;
  moment closed;
  peer server([&](conversation& c) {
    c.read_header();
    begun.set();
    if (canceled.wait() && c.sees_close()) closed.set();
  });
  start(request("POST", server.url()).body(std::string(64 * 1024 * 1024, 'x')));
  ASSERT_TRUE(begun.wait());
  cancel_and_expect(server.url(), "sending");
  canceled.set();
  EXPECT_TRUE(closed.wait());
}

TEST_F(ClientEnds, WhileWaiting) {
  moment asked;
  moment closed;
  peer server([&](conversation& c) {
    c.read_request();
    asked.set();
    if (c.sees_close()) closed.set();
  });
  start(request("POST", server.url()).body("some"));
  ASSERT_TRUE(asked.wait());
  let_the_engine_catch_up();
  cancel_and_expect(server.url(), "waiting for the response");
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
      ADD_FAILURE() << "nobody runs the io_context any more: " << got.has_value();
    };
    boost::asio::co_spawn(io, job, boost::asio::detached);
    io.poll();
    ASSERT_TRUE(asked.wait());
  }
  answer_it.set();
  let_the_engine_catch_up();
}

TEST_F(ClientEnds, WhileReadingTheHeader) {
  moment written;
  moment closed;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nX: 1\r\n");
    written.set();
    if (c.sees_close()) closed.set();
  });
  start(get_of(server.url()));
  ASSERT_TRUE(written.wait());
  let_the_engine_catch_up();
  cancel_and_expect(server.url(), "reading the header");
  EXPECT_TRUE(closed.wait());
}

TEST_F(ClientEnds, WhileReadingTheBody) {
  moment written;
  moment closed;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    written.set();
    if (c.sees_close()) closed.set();
  });
  start(get_of(server.url()));
  ASSERT_TRUE(written.wait());
  let_the_engine_catch_up();
  cancel_and_expect(server.url(), "reading the body");
  EXPECT_TRUE(closed.wait());
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

TEST_F(ClientEnds, ByItsDeadlineToo) {
  moment closed;
  peer server([&](conversation& c) {
    c.read_request();
    if (c.sees_close()) closed.set();
  });
  const auto late = with_timeout(background(), 20ms);
  const error e = error_of(sender.send(late, get_of(server.url())));
  EXPECT_EQ(e, curfew::errc::deadline_exceeded);
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
  if (recv(accept(listener, nullptr, nullptr), &byte, 1, 0) != 1 || !wait_for_stuck_lookup()) std::abort();
  std::exit(7);
}

TEST(ClientExitDeathTest, IsCleanWhileCallsAreUnderWay) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(exit_with_calls_under_way(), testing::ExitedWithCode(7), "");
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

// Downloads.

class Download : public testing::Test {
 protected:
  client sender;

  static std::string all_of(download& from, const context& ctx = background()) {
    std::string all;
    for (;;) {
      auto piece = from.read(ctx);
      if (!piece) {
        ADD_FAILURE() << piece.error();
        return all;
      }
      if (!*piece) return all;
      EXPECT_FALSE((*piece)->empty());
      all += **piece;
    }
  }
};

TEST_F(Download, ComesInPiecesAsTheyAreSent) {
  moment first_read;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    if (first_read.wait()) c.write("6\r\nsecond\r\n0\r\n\r\n");
  });
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  EXPECT_EQ(from->head().status(), status::ok);
  EXPECT_EQ(*from->head().fields().find("x"), "1");
  EXPECT_EQ(from->head().body(), "");
  EXPECT_EQ(from->read(background()).value(), "first");
  first_read.set();
  EXPECT_EQ(from->read(background()).value(), "second");
  EXPECT_EQ(from->read(background()).value(), std::nullopt);
  EXPECT_EQ(from->read(background()).value(), std::nullopt);
}

TEST_F(Download, OpensBeforeThereIsABody) {
  moment opened;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    if (opened.wait()) c.write("body");
  });
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  opened.set();
  EXPECT_EQ(all_of(*from), "body");
}

TEST_F(Download, OfNothingEndsAtOnce) {
  peer server(answering(ok("")));
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  EXPECT_EQ(all_of(*from), "");
  auto head = sender.open(background(), request("HEAD", server.url()));
  ASSERT_TRUE(head) << head.error();
  EXPECT_EQ(all_of(*head), "");
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(Download, HoldsBackASenderThatNobodyReadsFrom) {
  constexpr std::size_t total = 64 * 1024 * 1024;
  moment held_back;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(total) + "\r\n\r\n");
    const std::string block(64 * 1024, 'x');
    for (std::size_t sent = 0; sent < total; sent += block.size()) {
      pollfd p{.fd = c.fd(), .events = POLLOUT, .revents = 0};
      if (poll(&p, 1, 200) == 0) held_back.set();
      if (!c.write(block)) return;
    }
  });
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  ASSERT_TRUE(held_back.wait());
  std::size_t received = 0;
  std::size_t largest = 0;
  for (;;) {
    const auto piece = from->read(background());
    ASSERT_TRUE(piece) << piece.error();
    if (!*piece) break;
    received += (*piece)->size();
    largest = std::max(largest, (*piece)->size());
  }
  EXPECT_EQ(received, total);
  EXPECT_LE(largest, 512u * 1024);
}

TEST_F(Download, EndsWithTheContextItWasOpenedWith) {
  for (const bool held_back : {false, true}) {
    moment ready;
    moment closed;
    peer server([&](conversation& c) {
      c.read_request();
      c.write("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
      pollfd p{.fd = c.fd(), .events = POLLOUT, .revents = 0};
      while (held_back && poll(&p, 1, 200) == 1) c.write(std::string(4096, 'x'));
      ready.set();
      if (c.sees_close()) closed.set();
    });
    auto scope = with_cancel(background());
    auto from = sender.open(scope, get_of(server.url()));
    ASSERT_TRUE(from) << from.error();
    std::future<result<std::optional<std::string>>> reading;
    if (!held_back) reading = std::async(std::launch::async, [&] { return from->read(background()); });
    ASSERT_TRUE(ready.wait());
    scope.cancel(cause("enough"));
    EXPECT_TRUE(closed.wait());
    const auto piece = held_back ? from->read(background()) : reading.get();
    ASSERT_FALSE(piece);
    EXPECT_EQ(piece.error(), curfew::errc::canceled);
    EXPECT_EQ(piece.error().cause().message(), "enough");
    EXPECT_EQ(piece.error().doing(), "GET " + server.url() + " : reading the body");
  }
}

TEST_F(Download, TheEndOfAReadsOwnContextTakesNothing) {
  moment read_ended;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    if (read_ended.wait()) c.write("body");
  });
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  {
    const auto short_time = with_timeout(background(), 10ms);
    const auto piece = from->read(short_time);
    ASSERT_FALSE(piece);
    EXPECT_EQ(piece.error(), curfew::errc::deadline_exceeded);
    const auto again = from->read(short_time);
    ASSERT_FALSE(again);
  }
  read_ended.set();
  EXPECT_EQ(all_of(*from), "body");
}

// Hunts: the end of a read's context while the piece that it waits for arrives.
TEST_F(Download, LosesNothingToReadsThatAreCanceled) {
  std::string sent;
  for (int i = 0; i < 300; ++i) sent += "piece " + std::to_string(i) + ';';
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(sent.size()) + "\r\n\r\n");
    for (std::size_t i = 0; i < sent.size(); i += 7) {
      c.write(sent.substr(i, 7));
      std::this_thread::yield();
    }
  });
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  std::string received;
  int canceled = 0;
  for (bool over = false; !over;) {
    auto scope = with_cancel(background());
    std::future<result<std::optional<std::string>>> piece;
    from->async_read(scope.ctx(), into(piece));
    scope.cancel();
    const auto got = piece.get();
    if (!got) {
      ASSERT_EQ(got.error(), curfew::errc::canceled) << got.error();
      ++canceled;
    } else if (*got) {
      received += **got;
    } else {
      over = true;
    }
  }
  EXPECT_EQ(received, sent);
  std::cout << canceled << " reads canceled\n";
}

TEST_F(Download, ThatIsGivenUpClosesItsConnection) {
  moment closed;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
    if (c.sees_close()) closed.set();
  });
  {
    auto from = sender.open(background(), get_of(server.url()));
    ASSERT_TRUE(from) << from.error();
    EXPECT_EQ(from->read(background()).value(), "abc");
  }
  EXPECT_TRUE(closed.wait());
}

TEST_F(Download, ThatIsGivenUpCompletesItsPendingRead) {
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    c.sees_close();
  });
  std::future<result<std::optional<std::string>>> piece;
  {
    auto from = sender.open(background(), get_of(server.url()));
    ASSERT_TRUE(from) << from.error();
    from->async_read(background(), into(piece));
  }
  ASSERT_EQ(piece.wait_for(patience), std::future_status::ready);
  EXPECT_EQ(piece.get().error(), curfew::errc::canceled);
}

TEST_F(Download, HasOneReadAtATime) {
  moment refused;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    if (refused.wait()) c.write("body");
  });
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  std::future<result<std::optional<std::string>>> first;
  from->async_read(background(), into(first));
  const auto second = from->read(background());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), std::errc::operation_in_progress);
  refused.set();
  EXPECT_EQ(first.get().value(), "body");
}

TEST_F(Download, GivesWhatCameBeforeItWasTruncated) {
  peer server(closing_after("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"));
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  EXPECT_EQ(from->read(background()).value(), "abc");
  for (int i = 0; i < 2; ++i) {
    const auto piece = from->read(background());
    ASSERT_FALSE(piece);
    EXPECT_EQ(piece.error(), errc::truncated_body) << piece.error();
  }
}

TEST_F(Download, MayOutliveItsClient) {
  moment read_it;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
    c.sees_close();
  });
  peer finished(answering(ok("all of it")));
  std::optional<download> open;
  std::optional<download> complete;
  {
    client short_lived;
    auto from = short_lived.open(background(), get_of(server.url()));
    ASSERT_TRUE(from) << from.error();
    open.emplace(*std::move(from));
    EXPECT_EQ(open->read(background()).value(), "abc");
    auto other = short_lived.open(background(), get_of(finished.url()));
    ASSERT_TRUE(other) << other.error();
    complete.emplace(*std::move(other));
    EXPECT_EQ(complete->read(background()).value(), "all of it");
  }
  const auto piece = open->read(background());
  ASSERT_FALSE(piece);
  EXPECT_EQ(piece.error(), curfew::errc::canceled);
  EXPECT_EQ(open->head().status(), status::ok);
  EXPECT_EQ(all_of(*complete), "");
}

TEST_F(Download, IsNotLimitedInSize) {
  client small(client_options().max_body_size(10));
  peer server(answering(ok(std::string(100'000, 'x'))));
  auto from = small.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  EXPECT_EQ(all_of(*from).size(), 100'000u);
}

TEST_F(Download, FailsToOpenAsACallFails) {
  peer garbage(closing_after("garbage\r\n\r\n"));
  const auto bad = sender.open(background(), get_of(garbage.url()));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error(), errc::bad_response) << bad.error();
  moment asked;
  moment closed;
  peer server([&](conversation& c) {
    c.read_request();
    asked.set();
    if (c.sees_close()) closed.set();
  });
  auto scope = with_cancel(background());
  auto opening = std::async(std::launch::async, [&] { return sender.open(scope, get_of(server.url())); });
  ASSERT_TRUE(asked.wait());
  scope.cancel();
  const auto none = opening.get();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error(), curfew::errc::canceled);
  EXPECT_TRUE(closed.wait());
}

}  // namespace
}  // namespace curfew::http
