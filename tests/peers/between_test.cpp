// nginx and haproxy between the client and the server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/errc.hpp>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "peers/others.hpp"
#include "peers/own_server.hpp"
#include "peers/tls.hpp"
#include "program.hpp"

namespace curfew::http {
namespace {

using tests::own_server;

/// A proxy in front of a server; gives the URL of a path.
using between = std::function<std::string(std::string_view path)>;

struct proxy_case {
  const char* name;
  const char* needs;
  between (*start)(const own_server& behind);
  bool tls = false;  // of the server behind
};

void PrintTo(const proxy_case& p, std::ostream* out) { *out << p.name; }

template <class Proxy, class... Arguments>
between start(Arguments&&... arguments) {
  auto made = std::make_shared<Proxy>(std::forward<Arguments>(arguments)...);
  return [made](std::string_view path) { return made->url(path); };
}

class Between : public ::testing::TestWithParam<proxy_case> {
 protected:
  std::string get(const std::string& url) {
    const auto got = sender.send(background(), request("GET", url));
    EXPECT_TRUE(got) << got.error();
    return got ? got->body() : "";
  }
  client sender{tests::test_tls::shared().client()};
};

TEST_P(Between, AnswersPass) {
  CURFEW_NEEDS_PROGRAMS(GetParam().needs);
  const own_server server(GetParam().tls);
  const auto url = GetParam().start(server);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(get(url("/hello")), "hello\n");
    EXPECT_EQ(get(url("/stream")), tests::streamed_text());
    const std::string body(500'000, 'b');
    auto post = request("POST", url("/echo")).body(body);
    if (i == 1) post.set("Expect", "100-continue");
    const auto echoed = sender.send(background(), post);
    ASSERT_TRUE(echoed) << echoed.error();
    EXPECT_TRUE(echoed->body() == body);
  }
}

TEST_P(Between, ARefusalPasses) {
  CURFEW_NEEDS_PROGRAMS(GetParam().needs);
  const own_server server(GetParam().tls);
  const auto url = GetParam().start(server);
  const std::string body(own_server::max_body + 1'000'000, 'b');
  const auto refused = sender.send(background(), request("POST", url("/echo")).body(body));
  ASSERT_TRUE(refused) << refused.error();
  EXPECT_EQ(refused->status(), status::content_too_large);
  EXPECT_EQ(get(url("/hello")), "hello\n");
}

TEST_P(Between, ACanceledCallEndsTheHandlersContext) {
  CURFEW_NEEDS_PROGRAMS(GetParam().needs);
  own_server server(GetParam().tls);
  const auto url = GetParam().start(server);
  auto scope = with_cancel(background());
  result<response> got = error(std::error_code());
  std::thread caller([&] { got = sender.send(scope, request("GET", url("/wait"))); });
  EXPECT_TRUE(server.has_begun());
  scope.cancel("enough");
  caller.join();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), curfew::errc::canceled);
  EXPECT_EQ(server.end(), errc::client_gone);
}

TEST_P(Between, ADownloadThatIsGivenUpEndsTheHandlersContext) {
  CURFEW_NEEDS_PROGRAMS(GetParam().needs);
  own_server server(GetParam().tls);
  const auto url = GetParam().start(server);
  {
    auto open = sender.open(background(), request("GET", url("/hold")));
    ASSERT_TRUE(open) << open.error();
    const auto piece = open->read(background());
    ASSERT_TRUE(piece && *piece);
    EXPECT_EQ(**piece, "first piece\n");
  }
  EXPECT_EQ(server.end(), errc::client_gone);
}

TEST_P(Between, ADeadlinePasses) {
  CURFEW_NEEDS_PROGRAMS(GetParam().needs);
  own_server server(GetParam().tls);
  const auto url = GetParam().start(server);
  const auto scope = with_timeout(background(), std::chrono::milliseconds(100));
  const auto got = sender.send(scope, request("GET", url("/wait")));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), curfew::errc::deadline_exceeded);
}

// clang-format off
const proxy_case cases[] = {
    {"Nginx", "nginx", [](const own_server& behind) {
       return start<tests::nginx>("upstream own { server " + behind.address() + "; keepalive 4; }\n",
                                  "client_max_body_size 100m; proxy_request_buffering off;\n"
                                  "location / { proxy_pass http://own; proxy_http_version 1.1;\n"
                                  "proxy_set_header Connection \"\"; proxy_buffering off; }\n");
     }},
    // To its servers it speaks HTTP/1.0 where nothing else is said.
    {"NginxAsItIs", "nginx", [](const own_server& behind) {
       return start<tests::nginx>("", "client_max_body_size 100m; proxy_buffering off;\n"
                                  "location / { proxy_pass http://" + behind.address() + "; }\n");
     }},
    {"Haproxy", "haproxy", [](const own_server& behind) { return start<tests::haproxy>(behind.address()); }},
    // In front of a server over TLS, and itself over TLS.
    {"NginxOverTls", "nginx", [](const own_server& behind) {
       const auto& tls = tests::test_tls::shared();
       return start<tests::nginx>("upstream own { server " + behind.address() + "; keepalive 4; }\n",
                                  "client_max_body_size 100m; proxy_request_buffering off;\n"
                                  "location / { proxy_pass https://own; proxy_http_version 1.1;\n"
                                  "proxy_ssl_verify on; proxy_ssl_verify_depth 3; proxy_ssl_name localhost;\n"
                                  "proxy_ssl_trusted_certificate " + tls.ca.root_file() + ";\n"
                                  "proxy_set_header Connection \"\"; proxy_buffering off; }\n", &tls.server);
     }, true},
    {"HaproxyOverTls", "haproxy", [](const own_server& behind) {
       return start<tests::haproxy>(behind.address() + " ssl verify required verifyhost localhost ca-file " +
                                    tests::test_tls::shared().ca.root_file());
     }, true},
};
// clang-format on

INSTANTIATE_TEST_SUITE_P(The, Between, ::testing::ValuesIn(cases),
                         [](const auto& of) { return std::string(of.param.name); });

}  // namespace
}  // namespace curfew::http
