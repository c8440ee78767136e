// Which requests go through a proxy, and what becomes of them there.
#include "http/client/proxies.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/errc.hpp>
#include <future>
#include <map>
#include <string>
#include <utility>

#include "fake_resolver.hpp"
#include "http/client_peer.hpp"
#include "http/tls_peer.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Which.

TEST(NoProxy, NamesHosts) {
  const auto excepts = [](std::string_view list, std::string_view host, std::uint16_t port = 80) {
    return is_excepted(list, host, port);
  };
  EXPECT_FALSE(excepts("", "example.org"));
  EXPECT_FALSE(excepts(" , ,", "example.org"));
  EXPECT_TRUE(excepts("*", "example.org"));
  for (const auto* list :
       {"example.org", ".example.org", "*.example.org", "EXAMPLE.org.", "a,example.org", "a example.org"}) {
    EXPECT_TRUE(excepts(list, "example.org")) << list;
    EXPECT_TRUE(excepts(list, "www.example.org")) << list;
    EXPECT_TRUE(excepts(list, "www.example.org.")) << list;
    EXPECT_FALSE(excepts(list, "notexample.org")) << list;
    EXPECT_FALSE(excepts(list, "example.org.uk")) << list;
    EXPECT_FALSE(excepts(list, "org")) << list;
  }
  EXPECT_TRUE(excepts("example.org:8080", "example.org", 8080));
  EXPECT_FALSE(excepts("example.org:8080", "example.org", 80));
  EXPECT_TRUE(excepts("10.1.2.3", "10.1.2.3"));
  EXPECT_FALSE(excepts("2.3", "10.1.2.3")) << "an address has nothing below it";
  EXPECT_TRUE(excepts("10.0.0.0/8", "10.1.2.3"));
  EXPECT_FALSE(excepts("10.0.0.0/8", "11.1.2.3"));
  EXPECT_TRUE(excepts("10.0.16.0/20", "10.0.31.255"));
  EXPECT_FALSE(excepts("10.0.16.0/20", "10.0.32.0"));
  EXPECT_TRUE(excepts("10.0.0.0/0", "1.2.3.4"));
  EXPECT_FALSE(excepts("10.0.0.0/33", "10.0.0.0"));
  EXPECT_FALSE(excepts("10.0.0.0/8", "example.org"));
  EXPECT_TRUE(excepts("fd00::/8", "fd12::1"));
  EXPECT_TRUE(excepts("::ffff:10.0.0.1", "10.0.0.1"));
  EXPECT_TRUE(excepts("2001:db8::1", "2001:db8:0::1"));
  EXPECT_TRUE(excepts("[2001:db8::1]:443", "2001:db8::1", 443));
  EXPECT_FALSE(excepts("[2001:db8::1]:443", "2001:db8::1", 80));
  for (const auto* odd : {"[", "[]", ":", ":80", "/", "/8", ".", "*.", "10.0.0.0/", "[::1"}) {
    EXPECT_FALSE(excepts(odd, "10.0.0.1")) << odd;
    EXPECT_FALSE(excepts(odd, "example.org")) << odd;
  }
}

std::string proxy_for(const std::map<std::string, std::string>& environment, const std::string& text) {
  const auto rules = proxy_rules::of_environment([&](const char* name) {
    const auto at = environment.find(name);
    return at != environment.end() ? at->second : std::string();
  });
  std::string why;
  const auto url = client_url::parse(text, why);
  const auto found = url ? rules.find(*url) : nullptr;
  if (!found) return "none";
  return found->problem.empty() ? found->shown : found->problem;
}

TEST(Proxies, OfTheEnvironment) {
  const std::map<std::string, std::string> all = {{"http_proxy", "http://a:1"},
                                                  {"https_proxy", "b:2"},
                                                  {"all_proxy", "http://c:3"},
                                                  {"no_proxy", "inside.example"}};
  EXPECT_EQ(proxy_for(all, "http://x.example/"), "http://a:1");
  EXPECT_EQ(proxy_for(all, "https://x.example/"), "http://b:2");
  EXPECT_EQ(proxy_for(all, "https://www.inside.example/"), "none");
  for (const auto* own :
       {"http://localhost/", "https://a.localhost/", "http://127.0.0.2/", "https://[::1]/"}) {
    EXPECT_EQ(proxy_for(all, own), "none") << own;
  }
  EXPECT_EQ(proxy_for({{"HTTP_PROXY", "http://a:1"}}, "http://x/"), "none")
      << "a field of the request sets it, behind CGI";
  EXPECT_EQ(proxy_for({{"HTTPS_PROXY", "http://a:1"}}, "https://x/"), "http://a:1");
  EXPECT_EQ(proxy_for({{"http_proxy", "http://a:1"}}, "https://x/"), "none");
  EXPECT_EQ(proxy_for({{"ALL_PROXY", "http://a"}}, "https://x/"), "http://a:80");
  EXPECT_EQ(proxy_for({{"ALL_PROXY", "http://a"}, {"NO_PROXY", "*"}}, "https://x/"), "none");
  EXPECT_EQ(proxy_for({{"all_proxy", "socks5://me:secret@a:1"}}, "http://x/"),
            "the proxy socks5://...@a:1 of all_proxy: only proxies over http:// are spoken with");
  EXPECT_EQ(proxy_for({{"all_proxy", "http://a:x"}}, "http://x/"),
            "the proxy http://a:x of all_proxy: its port is not a number from 1 to 65535");
}

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

TEST(ClientProxy, OfAnotherKindIsAnError) {
  client sender(client_options().proxy("socks5://peer.test:1"));
  const auto error = error_of(sender.send(background(), get_of("http://peer.test/")));
  EXPECT_EQ(error, errc::bad_url);
  EXPECT_THAT(error.message(), HasSubstr("only proxies over http://"));
}

// Plain requests.

TEST(ClientProxy, GetsAPlainRequestInAbsoluteFormWithItsCredentials) {
  peer proxy(answering([](const std::string& request) { return ok(request); }));
  client sender(client_options().proxy("http://us%40er:pass@peer.test:" + std::to_string(proxy.port())));
  const auto one = sender.send(background(), get_of("http://one.example:81/a?b#c"));
  ASSERT_TRUE(one) << one.error();
  EXPECT_THAT(one->body(),
              AllOf(StartsWith("GET http://one.example:81/a?b HTTP/1.1\r\nHost: one.example:81\r\n"),
                    HasSubstr("\r\nProxy-Authorization: Basic dXNAZXI6cGFzcw==\r\n")));
  const auto two = sender.send(background(), get_of("http://two.example/"));
  ASSERT_TRUE(two) << two.error();
  EXPECT_THAT(two->body(), StartsWith("GET http://two.example/ HTTP/1.1\r\n"));
  EXPECT_EQ(proxy.connections(), 1) << "requests to all servers share its connections";
}

TEST(ClientProxy, ThatIsNotThereIsNamed) {
  const std::string url = "http://peer.test:" + std::to_string(unused_port());
  client sender(client_options().proxy(url));
  for (const auto* to : {"http://one.example/", "https://one.example/"}) {
    const auto error = error_of(sender.send(background(), get_of(to)));
    EXPECT_EQ(error, errc::connection_refused);
    EXPECT_THAT(error.message(), HasSubstr("the proxy " + url));
  }
}

// Tunnels.

/// A proxy that is asked for a tunnel, says `answer`, and then is the server itself.
class tunneling_peer {
 public:
  explicit tunneling_peer(std::string answer)
      : server_([](tls_conversation& c) {
          for (std::string asked; !(asked = c.read_header()).empty();) c.write(ok(asked));
        }),
        proxy_([this, answer = std::move(answer)](conversation& c) {
          asked_ = c.read_header();
          c.write(answer);
          server_.serve(c);
        }) {}

  [[nodiscard]] std::string url(const std::string& user = {}) const {
    return "http://" + user + "peer.test:" + std::to_string(proxy_.port());
  }
  [[nodiscard]] int connections() const { return proxy_.connections(); }
  [[nodiscard]] const std::string& asked() const { return asked_; }

 private:
  tls_script_peer server_;
  std::string asked_;
  peer proxy_;
};

TEST(ClientTunnel, CarriesTls) {
  const tunneling_peer proxy("HTTP/1.1 200 Connection established\r\nContent-Length: 5\r\n\r\n");
  client sender(trusting_options().proxy(proxy.url("me:secret@")));
  for (int i = 0; i < 2; ++i) {
    const auto answer = sender.send(background(), get_of("https://peer.test:4443/x"));
    ASSERT_TRUE(answer) << answer.error();
    EXPECT_THAT(answer->body(),
                AllOf(StartsWith("GET /x HTTP/1.1\r\nHost: peer.test:4443\r\n"), Not(HasSubstr("Proxy"))));
  }
  EXPECT_EQ(proxy.connections(), 1);
  EXPECT_THAT(proxy.asked(), AllOf(StartsWith("CONNECT peer.test:4443 HTTP/1.1\r\nHost: peer.test:4443\r\n"),
                                   HasSubstr("\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n")));
  const auto other = sender.send(background(), get_of("https://peer2.test:4443/x"));
  ASSERT_TRUE(other) << other.error();
  EXPECT_EQ(proxy.connections(), 2) << "a tunnel leads to one server";
}

TEST(ClientTunnel, NeedsACertificateForTheServer) {
  const tunneling_peer proxy("HTTP/1.1 200 OK\r\n\r\n");
  client sender(trusting_options().proxy(proxy.url()));
  const auto error = error_of(sender.send(background(), get_of("https://another.example/")));
  EXPECT_EQ(error, errc::tls_failure);
  EXPECT_THAT(error.message(), HasSubstr("not for \"another.example\""));
}

TEST(ClientTunnel, ThatIsRefusedOrIsNone) {
  const std::pair<std::string, const char*> answers[] = {
      {"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
       " answers 407 Proxy Authentication Required: it wants credentials)"},
      {"HTTP/1.1 403 No\r\n\r\n", " answers 403 Forbidden)"},
      {"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n", " answers 302 Found)"},
      {"HTTP/1.1 101 Switching\r\n\r\n", " answers with what is not HTTP: status 101"},
      {"SSH-2.0-server\r\n", " answers with what is not HTTP: the status line)"},
      {"HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x'), " answers with what is not HTTP: the header)"},
      {"HTTP/1.1 200 OK\r\n\r\n", " has closed the connection)"},
      {"HTTP/1.1 200 OK\r\nX", " has closed the connection)"},
      {"", " has closed the connection)"}};
  for (const auto& [answer, says] : answers) {
    const bool is_tunnel = answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n");
    peer proxy([&, text = answer](conversation& c) {
      c.read_header();
      c.write(text);
    });
    const std::string url = "http://peer.test:" + std::to_string(proxy.port());
    client sender(client_options().proxy(url));
    const auto error = error_of(sender.send(background(), get_of("https://one.example/")));
    if (is_tunnel) {
      EXPECT_EQ(error, errc::connection_lost) << error;
    } else {
      EXPECT_EQ(error, errc::proxy_refused) << error;
      EXPECT_FALSE(error.transient());
      EXPECT_THAT(error.doing(), StartsWith("GET https://one.example/ : asking the proxy (" + url));
      EXPECT_THAT(error.doing(), HasSubstr(says));
    }
  }
}

TEST(ClientTunnel, ThatBeginsWithBytesOfTheProxyIsNone) {
  peer proxy([](conversation& c) {
    c.read_header();
    c.write("HTTP/1.1 200 OK\r\n\r\ngarbage");
    c.sees_close();
  });
  client sender(client_options().proxy("http://peer.test:" + std::to_string(proxy.port())));
  const auto error = error_of(sender.send(background(), get_of("https://one.example/")));
  EXPECT_EQ(error, errc::proxy_refused) << error;
  EXPECT_THAT(error.message(), HasSubstr("sends bytes before the server could"));
}

TEST(ClientTunnel, ThatTheProxyDoesNotAnswerForEndsWithItsContext) {
  moment asked;
  moment closed;
  peer proxy([&](conversation& c) {
    c.read_header();
    asked.set();
    if (c.sees_close()) closed.set();
  });
  client sender(client_options().proxy("http://peer.test:" + std::to_string(proxy.port())));
  auto scope = with_cancel(background());
  auto reply =
      std::async(std::launch::async, [&] { return sender.send(scope, get_of("https://one.example/")); });
  ASSERT_TRUE(asked.wait());
  scope.cancel();
  ASSERT_EQ(reply.wait_for(patience), std::future_status::ready);
  const auto error = error_of(reply.get());
  EXPECT_EQ(error, curfew::errc::canceled);
  EXPECT_THAT(error.message(), HasSubstr("asking the proxy"));
  EXPECT_TRUE(closed.wait());
}

}  // namespace
}  // namespace curfew::http
