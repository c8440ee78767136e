// The client against the servers of others: nginx, node, Go and Python.
#include <curfew/http/client.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <ostream>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "http/raw_client.hpp"
#include "peers/others.hpp"
#include "peers/own_server.hpp"
#include "peers/tls.hpp"
#include "program.hpp"

namespace curfew::http {
namespace {

using ::testing::HasSubstr;
using tests::find_program;
using tests::nginx;
using tests::program;
using tests::test_tls;

std::string field(const response& of, std::string_view name) {
  const auto found = of.fields().find(name);
  return found ? std::string(*found) : std::string();
}

response answer_to(client& by, const request& what) {
  auto got = by.send(background(), what);
  if (got) return *std::move(got);
  ADD_FAILURE() << got.error();
  return response(status::internal_server_error);
}

std::string text_of(std::size_t size) {
  std::string made;
  for (std::size_t line = 0; made.size() < size; ++line) made += std::to_string(line) + '\n';
  made.resize(size);
  return made;
}

/// A program of the tests, in another language: "<command…> serve" is a server.
struct language {
  const char* name;
  const char* needs;
  std::vector<std::string> command;
  bool keeps;  // connections
  bool tls = false;
};

void PrintTo(const language& l, std::ostream* out) { *out << l.name; }

class ServerIn : public ::testing::TestWithParam<language> {
 protected:
  static std::vector<std::string> command() {
    std::vector<std::string> made;
    for (const auto& part : GetParam().command) made.push_back(find_program(part));
    made.emplace_back("serve");
    return made;
  }
  /// What it serves with; its first line is its port.
  static std::vector<std::string> environment() {
    return GetParam().tls ? test_tls::shared().serving() : std::vector<std::string>();
  }
  static std::string url_of(program& server) {
    return (GetParam().tls ? "https" : "http") + ("://127.0.0.1:" + server.read_line());
  }
  client sender{GetParam().tls ? test_tls::shared().client() : client_options()};
};

TEST_P(ServerIn, AnswersOverAKeptConnection) {
  CURFEW_NEEDS_PROGRAMS(GetParam().needs);
  program server(command(), nullptr, environment());
  const std::string url = url_of(server);
  std::set<std::string> connections;
  for (int i = 0; i < 4; ++i) {
    connections.insert(answer_to(sender, request("GET", url + "/remote")).body());
    EXPECT_EQ(answer_to(sender, request("GET", url + "/stream")).body(), tests::streamed_text());
    const std::string body = text_of(300'000);
    EXPECT_TRUE(answer_to(sender, request("POST", url + "/echo").body(body)).body() == body);
  }
  EXPECT_EQ(connections.size(), GetParam().keeps ? 1u : 4u);
}

TEST_P(ServerIn, GivesItsBodyInPieces) {
  CURFEW_NEEDS_PROGRAMS(GetParam().needs);
  program server(command(), nullptr, environment());
  const std::string url = url_of(server);
  auto open = sender.open(background(), request("GET", url + "/stream"));
  ASSERT_TRUE(open) << open.error();
  std::string text;
  for (;;) {
    const auto piece = open->read(background());
    ASSERT_TRUE(piece) << piece.error();
    if (!*piece) break;
    text += **piece;
  }
  EXPECT_EQ(text, tests::streamed_text());
}

TEST_P(ServerIn, SeesACanceledCall) {
  CURFEW_NEEDS_PROGRAMS(GetParam().needs);
  program server(command(), nullptr, environment());
  const std::string url = url_of(server);
  auto scope = with_cancel(background());
  result<response> got = error(std::error_code());
  std::thread caller([&] { got = sender.send(scope, request("GET", url + "/wait")); });
  EXPECT_EQ(server.read_line(), "waiting");
  scope.cancel("enough");
  caller.join();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), curfew::errc::canceled);
  EXPECT_EQ(server.read_line(), "gone");
}

TEST_P(ServerIn, SeesADownloadThatIsGivenUp) {
  CURFEW_NEEDS_PROGRAMS(GetParam().needs);
  program server(command(), nullptr, environment());
  const std::string url = url_of(server);
  {
    auto open = sender.open(background(), request("GET", url + "/hold"));
    ASSERT_TRUE(open) << open.error();
    const auto piece = open->read(background());
    ASSERT_TRUE(piece && *piece);
    EXPECT_EQ(**piece, "first piece\n");
    EXPECT_EQ(server.read_line(), "waiting");
  }
  EXPECT_EQ(server.read_line(), "gone");
}

INSTANTIATE_TEST_SUITE_P(
    , ServerIn,
    ::testing::Values(language{"Node", "node", {"node", "peer.mjs"}, true},
                      language{"Go", "go_peer", {"go_peer"}, true},
                      language{"Python", "python3", {"python3", "peer.py"}, false},
                      language{"NodeOverTls", "node", {"node", "peer.mjs"}, true, true},
                      language{"GoOverTls", "go_peer", {"go_peer"}, true, true},
                      language{"PythonOverTls", "python3", {"python3", "peer.py"}, false, true}),
    [](const auto& of) { return std::string(of.param.name); });

TEST(Nginx, SendsAFileWholeInPartAndCompressed) {
  CURFEW_NEEDS_PROGRAMS("nginx");
  const nginx server("gzip on; gzip_types text/plain;\n", "");
  const std::string text = text_of(300'000);
  server.add_file("file.txt", text);
  client sender;
  const auto compressed =
      sender.open(background(), request("GET", server.url("/file.txt")).set("Accept-Encoding", "gzip"));
  ASSERT_TRUE(compressed) << compressed.error();
  EXPECT_EQ(field(compressed->head(), "Content-Encoding"), "gzip");
  EXPECT_TRUE(answer_to(sender, request("GET", server.url("/file.txt"))).body() == text) << "decoded";
  const auto plain =
      answer_to(sender, request("GET", server.url("/file.txt")).set("Accept-Encoding", "identity"));
  EXPECT_EQ(field(plain, "Content-Length"), "300000");
  EXPECT_TRUE(plain.body() == text);

  const auto part = answer_to(sender, request("GET", server.url("/file.txt"))
                                          .set("Range", "bytes=1000-1999")
                                          .set("Accept-Encoding", "identity"));
  EXPECT_EQ(part.status(), status::partial_content);
  EXPECT_EQ(field(part, "Content-Range"), "bytes 1000-1999/300000");
  EXPECT_TRUE(part.body() == text.substr(1000, 1000));

  const auto head =
      answer_to(sender, request("HEAD", server.url("/file.txt")).set("Accept-Encoding", "identity"));
  EXPECT_EQ(field(head, "Content-Length"), "300000");
  EXPECT_EQ(head.body(), "");
  const auto again =
      answer_to(sender, request("GET", server.url("/file.txt")).set("If-None-Match", field(plain, "ETag")));
  EXPECT_EQ(again.status(), status::not_modified);
}

TEST(Nginx, SendsAFileOverTls) {
  CURFEW_NEEDS_PROGRAMS("nginx");
  const std::string text = text_of(3'000'000);
  for (const char* version : {"TLSv1.2", "TLSv1.3"}) {
    const nginx server(
        "ssl_protocols " + std::string(version) + ";\nssl_session_cache shared:all:1m;\n",
        "location = /about { return 200 \"$ssl_protocol $ssl_session_reused $connection_requests\"; }\n",
        &test_tls::shared().server);
    server.add_file("file.txt", text);
    client sender(test_tls::shared().client());
    EXPECT_TRUE(answer_to(sender, request("GET", server.url("/file.txt"))).body() == text);
    EXPECT_EQ(answer_to(sender, request("GET", server.url("/about"))).body(), std::string(version) + " . 2");
  }
}

TEST(Nginx, IsNotTrustedByThoseThatDoNotKnowItsAuthority) {
  CURFEW_NEEDS_PROGRAMS("nginx");
  const nginx server("", "location / { return 200; }\n", &test_tls::shared().server);
  client sender;
  const auto got = sender.send(background(), request("GET", server.url("/")));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::tls_failure) << got.error();
}

TEST(OpensslServer, AnswersUntilItsCloseNotify) {
  CURFEW_NEEDS_PROGRAMS("openssl");
  const auto& tls = test_tls::shared();
  for (const char* version : {"-tls1_2", "-tls1_3"}) {
    program server({find_program("openssl"), "s_server", "-accept", "127.0.0.1:0", "-cert",
                    tls.server.chain_file(), "-cert_chain", tls.server.chain_file(), "-key",
                    tls.server.key_file(), version, "-www"});
    std::string line;
    while (!line.starts_with("ACCEPT ")) line = server.read_line();
    client sender(tls.client());
    for (int i = 0; i < 3; ++i) {
      const auto got = answer_to(sender, request("GET", "https://" + line.substr(7) + "/"));
      EXPECT_EQ(got.status(), status::ok);
      EXPECT_THAT(got.body(), HasSubstr(version == std::string("-tls1_2") ? "TLSv1.2" : "TLSv1.3"));
      EXPECT_THAT(got.body(), HasSubstr("</HTML>")) << got.body().substr(0, 200);
    }
  }
}

TEST(Nginx, AnswersThreeRequestsAConnection) {
  CURFEW_NEEDS_PROGRAMS("nginx");
  const nginx server("keepalive_requests 3;\n", "location / { return 200 $connection; }\n");
  client sender;
  std::set<std::string> connections;
  for (int i = 0; i < 7; ++i) {
    connections.insert(answer_to(sender, request("GET", server.url("/"))).body());
    connections.insert(answer_to(sender, request("POST", server.url("/")).body("body")).body());
  }
  EXPECT_EQ(connections.size(), 5u) << "14 requests";
}

// Hunts: the server closes an idle connection at the moment at which the client takes it for the next request.
TEST(Nginx, MayCloseAnIdleConnectionAtAnyMoment) {
  CURFEW_NEEDS_PROGRAMS("nginx");
  const nginx server("keepalive_timeout 3ms;\n", "location / { return 200 $connection; }\n");
  client sender;
  std::set<std::string> connections;
  for (int i = 0; i < 200; ++i) {
    connections.insert(answer_to(sender, request("GET", server.url("/"))).body());
    std::this_thread::sleep_for(std::chrono::microseconds(2500 + i * 10));
  }
  EXPECT_GT(connections.size(), 1u);
}

TEST(Nginx, HasClosedAnIdleConnectionBeforeTheNextRequest) {
  CURFEW_NEEDS_PROGRAMS("nginx");
  const nginx server("keepalive_timeout 50ms;\n",
                     "location = /active { stub_status; }\nlocation / { return 200 $connection; }\n");
  client sender;
  const auto first = answer_to(sender, request("POST", server.url("/")).body("body")).body();
  EXPECT_TRUE(tests::eventually([&] {
    return tests::raw_client(server.port()).get("/active").body.starts_with("Active connections: 1 ");
  }));
  // A POST is not sent twice: it must not be tried on the dead connection.
  EXPECT_NE(answer_to(sender, request("POST", server.url("/")).body("body")).body(), first);
}

TEST(Nginx, RefusesALargeBody) {
  CURFEW_NEEDS_PROGRAMS("nginx");
  const tests::own_server behind;
  const nginx server(
      "", "client_max_body_size 1k;\nlocation / { proxy_pass http://" + behind.address() + "; }\n");
  client sender;
  for (const std::size_t size : {2'000UZ, 200'000UZ, 5'000'000UZ}) {
    const auto plain = answer_to(sender, request("POST", server.url("/echo")).body(text_of(size)));
    EXPECT_EQ(plain.status(), status::content_too_large) << size;
    const auto asked = answer_to(
        sender, request("POST", server.url("/echo")).set("Expect", "100-continue").body(text_of(size)));
    EXPECT_EQ(asked.status(), status::content_too_large) << size;
    EXPECT_EQ(answer_to(sender, request("POST", server.url("/echo")).body("small")).body(), "small");
  }
}

}  // namespace
}  // namespace curfew::http
