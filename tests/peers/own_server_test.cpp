// The server called by other programs: curl, node, Go and Python.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <curfew/http/errc.hpp>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "peers/own_server.hpp"
#include "program.hpp"

namespace curfew::http {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using tests::find_program;
using tests::own_folder;
using tests::own_server;
using tests::program;
using tests::test_tls;

/// curl that says nothing but the answer, and its complaints.
std::vector<std::string> curl(std::vector<std::string> arguments) {
  std::vector<std::string> command{find_program("curl"), "-sS", "-q", "--noproxy", "*", "--max-time", "30"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

std::string text_of(std::size_t size) {
  std::string made;
  for (std::size_t line = 0; made.size() < size; ++line) made += std::to_string(line) + '\n';
  made.resize(size);
  return made;
}

TEST(Curl, KeepsItsConnection) {
  CURFEW_NEEDS_PROGRAMS("curl");
  const own_server server;
  const std::string remote = server.url("/remote");
  const auto said = tests::run(curl({"-w", " %{num_connects}\n", remote, server.url("/stream"), remote}));
  EXPECT_EQ(said.code, 0);
  const std::string first = said.text.substr(0, said.text.find(' '));
  EXPECT_EQ(said.text, first + " 1\n" + tests::streamed_text() + " 0\n" + first + " 0\n");
}

TEST(Curl, GetsAHeadAndNoBody) {
  CURFEW_NEEDS_PROGRAMS("curl");
  const own_server server;
  const auto said = tests::run(curl({"-I", server.url("/hello")}));
  EXPECT_EQ(said.code, 0);
  EXPECT_THAT(said.text, HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(said.text, HasSubstr("Content-Length: 6\r\n"));
}

TEST(Curl, PostsAForm) {
  CURFEW_NEEDS_PROGRAMS("curl");
  const own_server server;
  EXPECT_EQ(tests::run(curl({"-d", "a=1&b=2", server.url("/echo")})).text, "a=1&b=2");
}

TEST(Curl, UploadsBehind100Continue) {
  CURFEW_NEEDS_PROGRAMS("curl");
  const own_server server;
  const own_folder folder;
  const std::string body = text_of(1'500'000);
  const std::string head = folder / "head";
  const auto said = tests::run(curl({"-H", "Expect: 100-continue", "--expect100-timeout", "30", "-D", head,
                                     "-T", folder.write("body", body), server.url("/echo")}));
  EXPECT_EQ(said.code, 0);
  EXPECT_TRUE(said.text == body) << said.text.size();
  std::ifstream file(head);
  EXPECT_THAT(std::string(std::istreambuf_iterator<char>(file), {}), HasSubstr("HTTP/1.1 100 Continue\r\n"));
}

TEST(Curl, DoesNotSendABodyThatIsRefused) {
  CURFEW_NEEDS_PROGRAMS("curl");
  const own_server server;
  const own_folder folder;
  const auto said =
      tests::run(curl({"-H", "Expect: 100-continue", "--expect100-timeout", "30", "-o", folder / "answer",
                       "-w", "%{http_code} %{size_upload}", "-T",
                       folder.write("body", text_of(own_server::max_body + 1)), server.url("/echo")}));
  EXPECT_EQ(said.text, "413 0");
}

TEST(Curl, UploadsInChunks) {
  CURFEW_NEEDS_PROGRAMS("curl");
  const own_server server;
  const std::string body = text_of(300'000);
  for (const std::string expect : {"Expect:", "Expect: 100-continue"}) {
    const auto said = tests::run(curl({"-H", expect, "-T", "-", server.url("/echo")}), body);
    EXPECT_EQ(said.code, 0);
    EXPECT_TRUE(said.text == body) << said.text.size();
  }
}

TEST(Curl, SpeaksHttp10) {
  CURFEW_NEEDS_PROGRAMS("curl");
  const own_server server;
  EXPECT_EQ(tests::run(curl({"--http1.0", server.url("/hello")})).text, "hello\n");
  const auto said = tests::run(curl({"--http1.0", "-i", server.url("/stream")}));
  EXPECT_EQ(said.code, 0);
  EXPECT_THAT(said.text, HasSubstr("\r\n\r\n" + tests::streamed_text()));
  EXPECT_THAT(said.text, Not(HasSubstr("chunked")));
  const auto echoed = tests::run(curl({"--http1.0", "-d", "body", server.url("/echo")}));
  EXPECT_EQ(echoed.text, "body");
}

TEST(Curl, ThatIsKilledEndsTheContext) {
  CURFEW_NEEDS_PROGRAMS("curl");
  for (const char* path : {"/wait", "/hold"}) {
    for (const int signal : {SIGINT, SIGKILL}) {
      own_server server;
      program caller(curl({server.url(path)}));
      ASSERT_TRUE(server.has_begun());
      caller.kill(signal);
      EXPECT_EQ(server.end(), errc::client_gone) << path << ' ' << signal;
    }
  }
}

/// A program of the tests, in another language: "<command…> <role> <what> <url>" makes calls and says "ok".
struct language {
  const char* name;
  const char* needs;
  std::vector<std::string> command;
  const char* role = "call";
  bool tls = false;
};

void PrintTo(const language& l, std::ostream* out) { *out << l.name; }

class Calls : public ::testing::TestWithParam<language> {
 protected:
  static std::vector<std::string> call(const std::string& what, const std::string& url) {
    auto made = test_tls::shared().trusting();
    for (const auto& part : GetParam().command) made.push_back(find_program(part));
    made.insert(made.end(), {GetParam().role, what, url});
    return made;
  }
};

TEST_P(Calls, KeepTheirConnection) {
  CURFEW_NEEDS_PROGRAMS(GetParam().needs);
  const own_server server(GetParam().tls);
  EXPECT_EQ(tests::run(call("keep", server.url("/remote"))).text, "ok\n");
}

TEST_P(Calls, UploadWithALengthAndInChunks) {
  CURFEW_NEEDS_PROGRAMS(GetParam().needs);
  const own_server server(GetParam().tls);
  EXPECT_EQ(tests::run(call("upload", server.url("/echo"))).text, "ok\n");
}

TEST_P(Calls, GetAStreamedBody) {
  CURFEW_NEEDS_PROGRAMS(GetParam().needs);
  const own_server server(GetParam().tls);
  EXPECT_EQ(tests::run(call("print", server.url("/stream"))).text, tests::streamed_text());
}

TEST_P(Calls, ThatAreCanceledEndTheContext) {
  CURFEW_NEEDS_PROGRAMS(GetParam().needs);
  for (const char* path : {"/wait", "/hold"}) {
    own_server server(GetParam().tls);
    program caller(call("cancel", server.url(path)));
    ASSERT_TRUE(server.has_begun());
    caller.write("now\n");
    EXPECT_EQ(server.end(), errc::client_gone) << path;
    EXPECT_EQ(caller.read_line(), "ok");
  }
}

const language node{"Node", "node", {"node", "peer.mjs"}};
const language node_agent{"NodeAgent", "node", {"node", "peer.mjs"}, "call-agent"};
const language go{"Go", "go_peer", {"go_peer"}};
const language python{"Python", "python3", {"python3", "peer.py"}};

language over_tls(language plain, const char* name) {
  plain.name = name;
  plain.tls = true;
  return plain;
}

INSTANTIATE_TEST_SUITE_P(Of, Calls,
                         ::testing::Values(node, node_agent, go, python, over_tls(node, "NodeOverTls"),
                                           over_tls(node_agent, "NodeAgentOverTls"),
                                           over_tls(go, "GoOverTls"), over_tls(python, "PythonOverTls")),
                         [](const auto& of) { return std::string(of.param.name); });

}  // namespace
}  // namespace curfew::http
