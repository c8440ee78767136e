// Each error of a client, from a peer that makes it.
#include <curfew/http/client.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <string>

#include "fake_resolver.hpp"
#include "http/client_peer.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;

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

}  // namespace
}  // namespace curfew::http
