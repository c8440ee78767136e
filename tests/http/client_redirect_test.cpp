// Which redirects a client follows, and what it takes along.
#include <curfew/http/client.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/deadline.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/io/wait.hpp>
#include <mutex>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "fake_resolver.hpp"
#include "http/client/transfer.hpp"
#include "http/client_peer.hpp"

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

/// What a server sees of the second request, after a redirect with `code` in answer to the first.
std::string second_request(request first, int code) {
  std::string seen;
  std::mutex mutex;
  peer server(answering([&](const std::string& got) {
    if (got.find(" /second ") == std::string::npos) return redirect_to("/second", code);
    const std::lock_guard guard(mutex);
    seen = got;
    return std::string("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  }));
  request sent(first.method(), server.url());
  sent.body(first.body());
  sent.fields() = first.fields();
  client sender;
  const auto answer = sender.send(background(), std::move(sent));
  EXPECT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer.value_or(response(status::gone)).status(), status::ok);
  const std::lock_guard guard(mutex);
  return seen;
}

request with_fields(const char* method, std::string body) {
  request made(method, "");
  made.body(std::move(body), "text/plain");
  made.set("Content-Language", "en").set("Digest", "md5=x").set("Expect", "nothing").set("X-Other", "1");
  return made;
}

TEST(Redirects, MakeAGetOfAPostWhereBrowsersDo) {
  for (const int code : {301, 302, 303}) {
    const std::string seen = second_request(with_fields("POST", "the body"), code);
    EXPECT_TRUE(seen.starts_with("GET /second HTTP/1.1\r\n")) << code << seen;
    EXPECT_TRUE(seen.ends_with("\r\n\r\n")) << "no body: " << seen;
    for (const char* gone : {"Content-", "Digest", "Expect", "Transfer-Encoding"}) {
      EXPECT_THAT(seen, Not(HasSubstr(gone))) << code;
    }
    EXPECT_THAT(seen, HasSubstr("X-Other: 1\r\n"));
  }
}

TEST(Redirects, ToSeeAnotherMakeAGetOfAllButHead) {
  for (const char* method : {"PUT", "DELETE", "PATCH", "OPTIONS"}) {
    const std::string seen = second_request(with_fields(method, "the body"), 303);
    EXPECT_TRUE(seen.starts_with("GET /second HTTP/1.1\r\n")) << method << seen;
    EXPECT_THAT(seen, Not(HasSubstr("the body")));
  }
  EXPECT_TRUE(second_request(request("HEAD", ""), 303).starts_with("HEAD /second HTTP/1.1\r\n"));
}

TEST(Redirects, OfOtherKindsKeepTheMethodAndTheBody) {
  const std::string large(300'000, 'x');  // sent from where it is
  const auto expect_the_same = [](const char* method, const std::string& body, int code) {
    const std::string seen = second_request(with_fields(method, body).set("Expect", ""), code);
    EXPECT_TRUE(seen.starts_with(std::string(method) + " /second HTTP/1.1\r\n")) << code << seen;
    EXPECT_TRUE(seen.ends_with("\r\n\r\n" + body)) << code << ' ' << method;
    EXPECT_THAT(seen, HasSubstr("Content-Type: text/plain\r\n"));
  };
  for (const int code : {307, 308}) {
    for (const char* method : {"POST", "PUT", "DELETE"}) expect_the_same(method, "the body", code);
    expect_the_same("POST", large, code);
  }
  for (const int code : {301, 302}) {
    for (const char* method : {"PUT", "PATCH", "DELETE"}) expect_the_same(method, "the body", code);
  }
}

TEST(Redirects, ToAGetLeaveASourceBehindThatReturnsBeforeTheCallDoes) {
  peer server([](conversation& c) {
    const std::string header = c.read_header();
    if (header.starts_with("GET /there ")) {
      c.write(ok(header));
      return;
    }
    c.write(redirect_to("/there", 303));
    c.sees_close();
  });
  for (const auto again : {repeatable::no, repeatable::yes}) {
    std::atomic<int> called = 0;
    std::atomic<bool> returned = false;
    cause why;
    const auto waits = [&](context ctx, body_writer out) -> boost::asio::awaitable<void> {
      ++called;
      auto sending = out.async_write(ctx, "x");
      std::ignore = co_await std::move(sending);
      auto ending = async_wait(ctx.done());
      co_await std::move(ending);
      why = ctx.cause();
      returned = true;
    };
    client sender;
    const auto answer = sender.send(background(), request("POST", server.url()).stream(waits, again));
    EXPECT_TRUE(returned);
    ASSERT_TRUE(answer) << answer.error();
    EXPECT_THAT(answer->body(), Not(HasSubstr("Transfer-Encoding")));
    EXPECT_EQ(called, 1);
    EXPECT_EQ(why, errc::answered);
  }
}

TEST(Redirects, AreTheResponseIfNoneIsAllowed) {
  peer server(answering(redirect_to("/x")));
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

TEST(Redirects, LeaveSecretsWithTheirServer) {
  std::string at_second;
  std::string at_first;
  std::mutex mutex;
  peer second(answering([&](const std::string& request) {
    const std::lock_guard guard(mutex);
    at_second = request;
    return ok("");
  }));
  peer front(answering([&](const std::string& request) {
    if (request.find(" /away ") != std::string::npos) return redirect_to(second.url("/"), 307);
    if (request.find(" /home ") != std::string::npos) return redirect_to("/again", 307);
    const std::lock_guard guard(mutex);
    at_first = request;
    return ok("");
  }));
  client sender;
  const auto secret = [&](std::string_view path) {
    return request("POST", front.url(path))
        .secret("X-Api-Key", "hidden")
        .set("Proxy-Authorization", "hidden")
        .set("X-Other", "1")
        .body("body");
  };
  ASSERT_TRUE(sender.send(background(), secret("/home")));
  ASSERT_TRUE(sender.send(background(), secret("/away")));
  const std::lock_guard guard(mutex);
  EXPECT_THAT(at_first, HasSubstr("X-Api-Key: hidden\r\n"));
  EXPECT_THAT(at_second, Not(HasSubstr("hidden")));
  EXPECT_THAT(at_second, HasSubstr("X-Other: 1\r\n"));
  EXPECT_THAT(at_second, HasSubstr("\r\n\r\nbody"));
}

TEST(Redirects, DoNotBringSecretsBack) {
  std::string again;
  std::mutex mutex;
  peer* home = nullptr;
  peer second(answering([&](const std::string&) { return redirect_to(home->url("/again")); }));
  peer first(answering([&](const std::string& request) {
    if (request.find(" /again ") == std::string::npos) return redirect_to(second.url("/"));
    const std::lock_guard guard(mutex);
    again = request;
    return ok("");
  }));
  home = &first;
  client sender;
  ASSERT_TRUE(
      sender.send(background(), get_of(first.url()).secret("X-Api-Key", "hidden").set("Cookie", "hidden")));
  const std::lock_guard guard(mutex);
  EXPECT_THAT(again, HasSubstr("GET /again "));
  EXPECT_THAT(again, Not(HasSubstr("hidden")));
}

TEST(Redirects, FromTlsToPlainAreRefusedUnlessTheyAreAllowed) {
  const auto follow = [](std::string_view from, std::string_view to, const client_options& options) {
    auto target = call_target::make(background(), get_of(std::string(from)), {});
    EXPECT_TRUE(target) << target.error();
    return target->follow(to, status::found, options);
  };
  const auto refused = follow("https://127.0.0.1/a", "http://127.0.0.1/b", client_options());
  ASSERT_TRUE(refused);
  EXPECT_EQ(*refused, errc::redirect_refused);
  EXPECT_THAT(refused->message(), HasSubstr("GET https://127.0.0.1/a : following a redirect (to "
                                            "http://127.0.0.1/b: it leads from https:// to http://)"));
  EXPECT_FALSE(refused->transient());
  EXPECT_FALSE(
      follow("https://127.0.0.1/a", "http://127.0.0.1/b", client_options().insecure_redirects(true)));
  EXPECT_FALSE(follow("https://127.0.0.1/a", "//127.0.0.1:444/b", client_options()));
  EXPECT_FALSE(follow("http://127.0.0.1/a", "https://127.0.0.1/b", client_options()));
}

TEST(Redirects, AreShownToTheHookBeforeTheyAreFollowed) {
  peer second(answering(ok("there")));
  peer first(answering([&](const std::string& request) {
    if (request.starts_with("POST /a ")) return redirect_to("/b", 303);
    return redirect_to(second.url("/c?d=e"), 307);
  }));
  std::vector<redirect> seen;  // all by this thread, which makes a blocking call
  client sender(client_options().on_redirect([&](const redirect& next) -> std::error_code {
    EXPECT_EQ(second.connections(), 0);
    seen.push_back(next);
    return {};
  }));
  const auto answer = sender.send(background(), request("POST", first.url("/a", "user:secret@127.0.0.1")));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "there");
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].status, status::see_other);
  EXPECT_EQ(seen[0].from, first.url("/a"));
  EXPECT_EQ(seen[0].to, first.url("/b"));
  EXPECT_EQ(seen[0].method, "GET");
  EXPECT_EQ(seen[0].count, 1U);
  EXPECT_FALSE(seen[0].cross_origin);
  EXPECT_EQ(seen[1].status, status::temporary_redirect);
  EXPECT_EQ(seen[1].from, first.url("/b"));
  EXPECT_EQ(seen[1].to, second.url("/c?d=e"));
  EXPECT_EQ(seen[1].count, 2U);
  EXPECT_TRUE(seen[1].cross_origin);
}

TEST(Redirects, AreNotFollowedIfTheHookRefuses) {
  peer second(answering(ok("there")));
  peer first(answering(redirect_to(second.url())));
  client refuses(client_options().on_redirect([](const redirect& next) -> std::error_code {
    if (next.cross_origin) return errc::redirect_refused;
    return {};
  }));
  const error why = error_of(refuses.send(background(), get_of(first.url())));
  EXPECT_EQ(why, errc::redirect_refused);
  EXPECT_EQ(why.doing(), "GET " + second.url() + " : following a redirect (from " + first.url() + ')');

  client throws(client_options().on_redirect(
      [](const redirect&) -> std::error_code { throw std::runtime_error("not today"); }));
  const error thrown = error_of(throws.send(background(), get_of(first.url())));
  EXPECT_EQ(thrown, errc::redirect_refused);
  EXPECT_THAT(thrown.doing(), HasSubstr("(not today)"));
  EXPECT_EQ(second.connections(), 0);
}

TEST(Redirects, AHookMayEndTheContextOfItsCall) {
  peer server(answering(redirect_to("/again")));
  auto scope = with_cancel(background());
  client sender(client_options().on_redirect([&](const redirect&) -> std::error_code {
    scope.cancel("enough");
    return {};
  }));
  const error why = error_of(sender.send(scope, get_of(server.url())));
  EXPECT_EQ(why, curfew::errc::canceled);
  EXPECT_EQ(why.cause().message(), "enough");
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
