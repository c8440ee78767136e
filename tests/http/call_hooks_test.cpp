// What a client's hooks see and may change.
#include <curfew/http/call_hooks.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/errc.hpp>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "http/client_peer.hpp"
#include "http/waiting.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

/// What a server has been asked.
class requests {
 public:
  void add(const std::string& one) {
    const std::lock_guard guard(mutex_);
    all_.push_back(one);
  }
  std::vector<std::string> get() const {
    const std::lock_guard guard(mutex_);
    return all_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> all_;
};

TEST(RequestHook, SetsFieldsOfEachRequest) {
  requests got;
  peer server(answering([&](const std::string& request) {
    got.add(request);
    return ok("x");
  }));
  int number = 0;  // of this thread alone, which makes blocking calls
  client sender(client_options().on_request([&](outgoing_request& next) -> std::error_code {
    EXPECT_EQ(next.method, "POST");
    EXPECT_EQ(next.url, server.url("/a?b=c"));
    EXPECT_EQ(next.body, "{}");
    EXPECT_EQ(next.fields.find("Mine"), "1");
    next.fields.set("Signature", "s" + std::to_string(++number));
    next.fields.erase("Mine");
    return {};
  }));
  for (int i = 0; i != 2; ++i) {
    auto asks = request("POST", server.url("/a?b=c", "user:secret@127.0.0.1")).set("Mine", "1").body("{}");
    const auto answer = sender.send(background(), std::move(asks));
    ASSERT_TRUE(answer) << answer.error();
    EXPECT_EQ(answer->body(), "x");
  }
  const auto all = got.get();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_THAT(all[0], HasSubstr("\r\nSignature: s1\r\n"));
  EXPECT_THAT(all[1], HasSubstr("\r\nSignature: s2\r\n"));
  EXPECT_THAT(all[1], Not(HasSubstr("Mine")));
  EXPECT_EQ(server.connections(), 1);
}

TEST(RequestHook, DecidesAnewForEachOrigin) {
  requests got;
  peer second(answering([&](const std::string& request) {
    got.add(request);
    return ok("there");
  }));
  peer first(answering(redirect_to(second.url("/b"), 307)));
  std::vector<std::string> seen;
  client sender(client_options().on_request([&](outgoing_request& next) -> std::error_code {
    seen.push_back(next.url);
    EXPECT_EQ(next.fields.contains("X-Key"), seen.size() == 1) << "a secret stays with its origin";
    EXPECT_FALSE(next.fields.contains("Authorization")) << "what was set was for one request";
    next.fields.set("Authorization", "Bearer " + std::to_string(seen.size()));
    return {};
  }));
  const auto answer =
      sender.send(background(), request("GET", first.url("/a")).secret("X-Key", "k").set("Also", "1"));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_THAT(seen, ElementsAre(first.url("/a"), second.url("/b")));
  const auto all = got.get();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_THAT(all[0], HasSubstr("\r\nAuthorization: Bearer 2\r\n"));
  EXPECT_THAT(all[0], HasSubstr("\r\nAlso: 1\r\n"));
  EXPECT_THAT(all[0], Not(HasSubstr("X-Key")));
}

TEST(RequestHook, IsAskedAgainWhereADeadConnectionIsReplaced) {
  peer server([](conversation& c) {
    for (int i = 0; !c.read_request().empty(); ++i) {
      if (c.number() == 1 && i == 1) return c.reset();
      if (!c.write(ok(std::to_string(c.number())))) return;
    }
  });
  std::atomic<int> asked = 0;
  client sender(client_options().on_request([&](outgoing_request&) -> std::error_code {
    ++asked;
    return {};
  }));
  ASSERT_TRUE(sender.send(background(), get_of(server.url())));
  const auto answer = sender.send(background(), get_of(server.url()));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "2");
  EXPECT_EQ(asked, 3);
}

TEST(RequestHook, FindsAConnectionThatIsClosedMeanwhileReplaced) {
  tests::event closed;
  peer server([&](conversation& c) {
    c.read_request();
    c.write(ok(std::to_string(c.number())));
    if (c.number() != 1) return;
    shutdown(c.fd(), SHUT_WR);
    closed.set();
    c.sees_close();
  });
  int asked = 0;
  client sender(client_options().on_request([&](outgoing_request& next) -> std::error_code {
    ++asked;
    if (next.fields.contains("Wait") && asked == 2) {
      EXPECT_TRUE(closed.wait());
    }
    return {};
  }));
  ASSERT_TRUE(sender.send(background(), get_of(server.url())));
  // A post is not repeated once it has been sent.
  const auto answer = sender.send(background(), request("POST", server.url()).set("Wait", "1"));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "2");
}

TEST(RequestHook, MayRefuse) {
  peer server(answering(ok("x")));
  client refuses(client_options().on_request([](outgoing_request&) -> std::error_code {
    return std::make_error_code(std::errc::permission_denied);
  }));
  const error refused = error_of(refuses.send(background(), get_of(server.url())));
  EXPECT_EQ(refused, std::errc::permission_denied);
  EXPECT_EQ(refused.doing(), "GET " + server.url() + " : sending");
  client throws(client_options().on_request(
      [](outgoing_request&) -> std::error_code { throw std::runtime_error("no token"); }));
  const error thrown = error_of(throws.send(background(), get_of(server.url())));
  EXPECT_EQ(thrown, errc::request_refused);
  EXPECT_EQ(thrown.doing(), "GET " + server.url() + " : sending (no token)");
}

TEST(RequestHook, CannotBreakTheProtocol) {
  peer server(answering(ok("x")));
  const auto why = [&](const std::string& name, const std::string& value) {
    client sender(client_options().on_request([&](outgoing_request& next) -> std::error_code {
      next.fields.set(name, value);
      return {};
    }));
    const error refused = error_of(sender.send(background(), get_of(server.url())));
    EXPECT_EQ(refused, std::errc::invalid_argument) << name;
    return refused.doing();
  };
  EXPECT_THAT(why("a b", "x"), HasSubstr("on_request: the field name \"a b\" is not a token"));
  EXPECT_THAT(why("A", "x\r\nB: y"), HasSubstr("on_request: the value of the field A cannot be sent"));
  EXPECT_THAT(why("Transfer-Encoding", "chunked"), HasSubstr("is not for the caller to set"));
  EXPECT_THAT(why("Content-Length", "7"), HasSubstr("Content-Length is not for a hook to set"));
}

TEST(RequestHook, MayEndTheContextOfItsCall) {
  peer server(answering(ok("x")));
  auto scope = with_cancel(background());
  client sender(client_options().on_request([&](outgoing_request&) -> std::error_code {
    scope.cancel("enough");
    return {};
  }));
  const error why = error_of(sender.send(scope, get_of(server.url())));
  EXPECT_EQ(why, curfew::errc::canceled);
  EXPECT_EQ(why.cause().message(), "enough");
}

TEST(RequestHook, SeesWhatStreams) {
  requests got;
  peer server([&](conversation& c) {
    std::string header = c.read_header();
    std::string body;
    while (body.find("0\r\n\r\n") == std::string::npos) body += c.read_unread();
    got.add(header + body);
    c.write(ok("x"));
  });
  client sender(client_options().on_request([](outgoing_request& next) -> std::error_code {
    EXPECT_TRUE(next.body.empty());
    next.fields.set("Hooked", "1");
    return {};
  }));
  const auto source = [](context ctx, body_writer out) -> asio::awaitable<void> {
    for (int i = 0; i != 3; ++i) {
      auto sent = co_await out.async_write(ctx, "line\n");
      if (!sent) co_return;
    }
  };
  const auto answer = sender.send(background(), request("POST", server.url()).stream(source));
  ASSERT_TRUE(answer) << answer.error();
  const auto all = got.get();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_THAT(all[0], HasSubstr("Hooked: 1\r\n"));
  EXPECT_THAT(all[0], HasSubstr("line\n"));
}

TEST(ResponseHook, SeesEachHeaderBeforeItsBody) {
  tests::event seen_head;
  peer server([&](conversation& c) {
    if (c.read_request().empty()) return;
    c.write(redirect_to("/b", 303));
    if (c.read_request().empty()) return;
    c.write("HTTP/1.1 404 Not Found\r\nMine: 1\r\nContent-Length: 4\r\n\r\n");
    EXPECT_TRUE(seen_head.wait());
    c.write("none");
  });
  std::vector<std::string> seen;
  client sender(client_options().on_response([&](const incoming_response& answer) -> std::error_code {
    seen.push_back(answer.method + ' ' + answer.url + ' ' + answer.head.status_line());
    EXPECT_TRUE(answer.head.body().empty());
    EXPECT_GT(answer.head.timings().total(), 0ns);
    if (answer.head.status() == status::not_found) {
      EXPECT_EQ(answer.head.fields().find("Mine"), "1");
      EXPECT_TRUE(answer.head.timings().reused);
      seen_head.set();
    }
    return {};
  }));
  const auto answer = sender.send(background(), request("POST", server.url("/a")));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "none");
  EXPECT_THAT(seen, ElementsAre("POST " + server.url("/a") + " HTTP/1.1 303 See Other",
                                "GET " + server.url("/b") + " HTTP/1.1 404 Not Found"));
}

TEST(ResponseHook, MayRefuseAndClosesTheConnection) {
  tests::event closed;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 1000000000\r\n\r\nsome");
    if (c.sees_close()) closed.set();
  });
  client sender(client_options().on_response([](const incoming_response& answer) -> std::error_code {
    const auto type = answer.head.fields().find("Content-Type");
    if (type != "text/html") throw std::runtime_error("not HTML");
    return {};
  }));
  const error why = error_of(sender.send(background(), get_of(server.url())));
  EXPECT_EQ(why, errc::response_refused);
  EXPECT_EQ(why.doing(), "GET " + server.url() + " : reading the body (not HTML)");
  EXPECT_TRUE(closed.wait());
}

TEST(ResponseHook, MayEndTheContextOfItsCall) {
  peer server(answering(ok("x")));
  auto scope = with_cancel(background());
  client sender(client_options().on_response([&](const incoming_response&) -> std::error_code {
    scope.cancel("enough");
    return {};
  }));
  EXPECT_EQ(error_of(sender.send(scope, get_of(server.url()))), curfew::errc::canceled);
}

TEST(ResponseHook, LosesNothingOfWhatComesMeanwhile) {
  const std::string body(1'000'000, 'b');
  peer server([&](conversation& c) {
    for (int i = 0; !c.read_request().empty(); ++i) {
      const bool last = i % 2 == 1;
      const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n";
      if (!c.write(head + (last ? "Connection: close\r\n\r\n" : "\r\n") + body) || last) return;
    }
  });
  client sender(client_options().on_response([](const incoming_response&) -> std::error_code {
    std::this_thread::sleep_for(5ms);  // the rest of it, and perhaps the end, come meanwhile
    return {};
  }));
  asio::io_context loop;
  int done = 0;
  const auto calls = [&]() -> asio::awaitable<void> {
    for (int i = 0; i != 10; ++i) {
      auto answer = co_await sender.async_get(background(), server.url());
      if (!answer) ADD_FAILURE() << answer.error();
      if (!answer) co_return;
      EXPECT_TRUE(answer->body() == body);
      ++done;
    }
  };
  asio::co_spawn(loop, calls(), [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
  loop.run();
  EXPECT_EQ(done, 10);
  EXPECT_EQ(server.connections(), 5);
}

TEST(ResponseHook, IsAskedBeforeADownloadOpens) {
  peer server(answering(ok("streamed")));
  int asked = 0;
  client sender(client_options().on_response([&](const incoming_response&) -> std::error_code {
    ++asked;
    return {};
  }));
  auto opened = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(opened) << opened.error();
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(opened->read(background()).value(), "streamed");
  EXPECT_EQ(opened->read(background()).value(), std::nullopt);
}

TEST(ResponseHook, OfAnEarlyAnswerLetsTheRequestGoOn) {
  constexpr std::size_t size = 40'000'000;  // more than the sockets hold
  peer server([&](conversation& c) {
    c.read_header();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    EXPECT_EQ(c.read_exactly(size).size(), size);
    c.write("ok");
  });
  client sender(client_options().on_response([](const incoming_response&) -> std::error_code { return {}; }));
  const auto answer = sender.post(background(), server.url(), std::string(size, 'u'), "text/plain");
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "ok");
}

}  // namespace
}  // namespace curfew::http
