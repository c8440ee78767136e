// Whom a server lets in, and what it says of the client.
#include <curfew/http/server.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/testing.hpp>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "http/raw_client.hpp"
#include "http/waiting.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace std::string_literals;
using curfew::testing::http_server;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using tests::raw_client;

/// Answers with what the server knows of the client.
asio::awaitable<response> who(context, const request& r) {
  std::string all(r.client_scheme());
  all += ' ';
  all += r.client_address();
  co_return text(status::ok, all);
}

const std::string ask = "GET / HTTP/1.1\r\nHost: t\r\n\r\n";
const std::string ask_for_another = "GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 198.51.100.9\r\n\r\n";
const std::string binary_header =
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0C\xCB\x00\x71\x07\x7F\x00\x00\x01\x9D\x78\x00\x50"s;  // 203.0.113.7
const std::string local_header = "\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"s;

server_options behind_proxies(std::vector<std::string> trusted = {"127.0.0.0/8"}) {
  server_options o;
  o.trusted_peers(std::move(trusted)).listen("127.0.0.1:0", listen_options().proxy_protocol(true));
  return o;
}

/// What the server answers to these bytes; none: it closes the connection.
std::optional<std::string> answer(raw_client client, const std::string& bytes) {
  client.try_send(bytes);
  try {
    return client.read_response().body;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

std::optional<std::string> answer(const http_server& s, const std::string& bytes) {
  return answer(raw_client(s.port()), bytes);
}

TEST(ServerPeers, OneThatIsNotTrustedIsTheClientWhateverItSays) {
  http_server s(handler{who}, server_options().trusted_peers({"192.0.2.0/24"}));
  EXPECT_EQ(answer(s, ask), "http 127.0.0.1");
  EXPECT_EQ(answer(s, ask_for_another), "http 127.0.0.1");
  EXPECT_EQ(answer(s, "GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-Proto: https\r\n\r\n"), "http 127.0.0.1");
}

TEST(ServerPeers, OneOfIpv6IsNamedWithoutBracketsAndPort) {
  http_server s(handler{who}, server_options().listen("[::1]:0"));
  EXPECT_EQ(answer(raw_client::v6(s.port()), ask), "http ::1");
}

TEST(ServerPeers, ATrustedOneSaysWhoAsksForEachRequest) {
  http_server s(handler{who}, server_options().trusted_peers({"127.0.0.1"}));
  raw_client proxy(s.port());
  EXPECT_EQ(proxy.get("/", "X-Forwarded-For: 1.1.1.1, 203.0.113.7\r\nX-Forwarded-Proto: https\r\n").body,
            "https 203.0.113.7");
  EXPECT_EQ(proxy.get("/", "X-Forwarded-For: 203.0.113.8\r\n").body, "http 203.0.113.8");
  EXPECT_EQ(proxy.get("/").body, "http 127.0.0.1");
  EXPECT_EQ(proxy.get("/", "Forwarded: for=203.0.113.7\r\n").body, "http 127.0.0.1")
      << "not the field it sets";
}

TEST(ServerPeers, ATrailerSaysNothingOfTheClient) {
  http_server s(handler{who}, server_options().trusted_peers({"127.0.0.1"}));
  EXPECT_EQ(answer(s,
                   "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nTrailer: X-Forwarded-For\r\n"
                   "X-Forwarded-For: 203.0.113.7\r\n\r\n0\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n"),
            "http 203.0.113.7");
}

TEST(ServerPeers, OneThatSpeaksForwardedIsRead) {
  http_server s(handler{who}, server_options().trusted_peers({"127.0.0.1"}, forwarding::rfc7239));
  raw_client proxy(s.port());
  EXPECT_EQ(proxy.get("/", "Forwarded: for=\"[2001:dead::7]:80\";proto=https\r\n").body,
            "https 2001:dead::7");
  EXPECT_EQ(proxy.get("/", "X-Forwarded-For: 203.0.113.7\r\n").body, "http 127.0.0.1");
}

TEST(ServerPeers, AUnixSocketMayBeTrusted) {
  http_server s(handler{who}, server_options().listen("unix:@curfew-trusted-peer").trusted_peers({"unix:"}));
  EXPECT_EQ(answer(raw_client::local("@curfew-trusted-peer"), ask_for_another), "http 198.51.100.9");
  EXPECT_EQ(answer(raw_client::local("@curfew-trusted-peer"), ask), "http unix:");
}

TEST(ServerPeers, AHeaderOfTheProxyProtocolSaysWhoConnects) {
  http_server s(handler{who}, behind_proxies());
  EXPECT_EQ(answer(s, "PROXY TCP4 203.0.113.7 127.0.0.1 40312 80\r\n" + ask), "http 203.0.113.7");
  EXPECT_EQ(answer(s, "PROXY TCP6 2001:db8::7 ::1 40312 80\r\n" + ask), "http 2001:db8::7");
  EXPECT_EQ(answer(s, binary_header + ask), "http 203.0.113.7");
  EXPECT_EQ(answer(s, binary_header + ask_for_another), "http 203.0.113.7")
      << "the client itself is not trusted";
  EXPECT_EQ(answer(s, "PROXY TCP4 127.9.9.9 127.0.0.1 40312 80\r\n" + ask_for_another), "http 198.51.100.9")
      << "it is another proxy";
  raw_client kept(s.port());
  kept.send(binary_header);
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(kept.get("/").body, "http 203.0.113.7") << "for all of the connection";
}

TEST(ServerPeers, AHeaderOfTheProxyProtocolTellsOfTlsBetweenItAndWhatItNames) {
  http_server s(handler{who}, behind_proxies({"127.0.0.1", "203.0.113.7"}));
  const auto with_tls = [](const char* host) {
    return "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x14\xCB\x00\x71"s + host +
           "\x7F\x00\x00\x01\x9D\x78\x00\x50\x20\x00\x05\x01\x00\x00\x00\x00"s;
  };
  raw_client client(s.port());
  client.send(with_tls("\x08"));
  for (int i = 0; i < 2; ++i) EXPECT_EQ(client.get("/").body, "https 203.0.113.8");
  raw_client proxy(s.port());
  proxy.send(with_tls("\x07"));
  EXPECT_EQ(proxy.get("/").body, "https 203.0.113.7") << "it names no other client";
  EXPECT_EQ(proxy.get("/", "X-Forwarded-For: 198.51.100.9\r\n").body, "http 198.51.100.9");
  EXPECT_EQ(proxy.get("/", "X-Forwarded-For: 198.51.100.9\r\nX-Forwarded-Proto: https\r\n").body,
            "https 198.51.100.9");
}

TEST(ServerPeers, AProxyThatDoesNotKnowTheClientIsIt) {
  http_server s(handler{who}, behind_proxies());
  for (const auto& header : {"PROXY UNKNOWN\r\n"s, local_header}) {
    EXPECT_EQ(answer(s, header + ask), "http 127.0.0.1");
    EXPECT_EQ(answer(s, header + ask_for_another), "http 127.0.0.1")
        << "a client that is not known says nothing";
  }
}

TEST(ServerPeers, AHeaderOfTheProxyProtocolMayBeCutAnywhere) {
  http_server s(handler{who}, behind_proxies());
  for (const auto& bytes : {"PROXY TCP4 203.0.113.7 127.0.0.1 40312 80\r\n" + ask, binary_header + ask}) {
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
      raw_client proxy(s.port());
      proxy.send(bytes.substr(0, cut));
      proxy.send(bytes.substr(cut));
      ASSERT_EQ(proxy.read_response().body, "http 203.0.113.7") << "cut at " << cut;
    }
    raw_client slow(s.port());
    for (const char c : bytes) slow.send(std::string(1, c));
    EXPECT_EQ(slow.read_response().body, "http 203.0.113.7");
  }
}

TEST(ServerPeers, AConnectionWithoutTheHeaderIsClosedAndToldOf) {
  http_server s(handler{who}, behind_proxies());
  EXPECT_EQ(answer(s, ask), std::nullopt);
  EXPECT_EQ(answer(s, "PROXY TCP4 nobody\r\n" + ask), std::nullopt);
  EXPECT_EQ(answer(s, binary_header.substr(0, 12) + "\x31" + ask), std::nullopt);
  EXPECT_THAT(s.complaints(), ElementsAre(HasSubstr("connection closed: it began with no PROXY header"),
                                          StartsWith("127.0.0.1:"), StartsWith("127.0.0.1:")));
  EXPECT_EQ(answer(s, "PROXY UNKNOWN\r\nPROXY UNKNOWN\r\n" + ask), "400 Bad Request\n") << "one is enough";
}

TEST(ServerPeers, APartOfAHeaderHasTheHeadersTime) {
  http_server s(handler{who}, behind_proxies().header_timeout(50ms));
  for (const auto& part : {""s, "PROXY TCP4 203."s, binary_header.substr(0, 20)}) {
    raw_client proxy(s.port());
    proxy.send(part);
    EXPECT_TRUE(proxy.is_closed());
  }
  EXPECT_THAT(s.complaints(), IsEmpty());
}

TEST(ServerPeers, AShutdownDoesNotWaitForAHeader) {
  http_server s(handler{who}, behind_proxies().header_timeout(1h).grace(1h));
  raw_client proxy(s.port());
  proxy.send("PROXY TCP4 203.");
  s.stop();
  EXPECT_TRUE(proxy.is_closed());
}

TEST(ServerPeers, WhereAProxyIsExpectedNothingElseMayConnect) {
  http_server s(handler{who}, behind_proxies({"127.0.0.2"}));
  EXPECT_EQ(answer(raw_client::from("127.0.0.2", s.port()), binary_header + ask), "http 203.0.113.7");
  EXPECT_EQ(answer(s, binary_header + ask), std::nullopt);
  raw_client silent(s.port());
  EXPECT_TRUE(silent.is_closed()) << "at once";
}

TEST(ServerPeers, WhereNoProxyIsTrustedNoneIsExpected) {
  server s(router(), behind_proxies({}));
  const auto up = s.listen();
  EXPECT_EQ(up.error(), std::errc::invalid_argument);
  EXPECT_THAT(up.error().message(), HasSubstr("name the proxies with trusted_peers"));
}

TEST(ServerPeers, ListenRefusesWhatIsNoNetwork) {
  server s(router(), server_options().trusted_peers({"10.0.0.0/40"}));
  EXPECT_EQ(s.listen().error(), errc::bad_address);
}

TEST(ServerPeers, OneAddressHasAsManyConnectionsAsItMayHave) {
  http_server s(handler{who}, server_options().max_connections_per_address(2));
  raw_client first(s.port());
  raw_client second(s.port());
  EXPECT_EQ(first.get("/").status, 200);
  EXPECT_EQ(second.get("/").status, 200);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(answer(s, ask), std::nullopt);
  EXPECT_EQ(answer(raw_client::from("127.0.0.2", s.port()), ask), "http 127.0.0.2") << "another address";
  EXPECT_EQ(first.get("/").status, 200) << "those that are there stay";
  second.close();
  EXPECT_TRUE(tests::eventually([&] { return answer(s, ask).has_value(); }));
}

TEST(ServerPeers, TrustedOnesAndUnixSocketsHaveNoLimit) {
  http_server s(handler{who}, server_options()
                                  .max_connections_per_address(1)
                                  .trusted_peers({"127.0.0.1"})
                                  .also_listen("127.0.0.1:0")
                                  .also_listen("unix:@curfew-no-limit"));
  std::vector<raw_client> in;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(in.emplace_back(s.port()).get("/").status, 200);
    EXPECT_EQ(in.emplace_back(raw_client::local("@curfew-no-limit")).get("/").status, 200);
  }
}

TEST(ServerPeers, ClientsOfAProxyAreCountedByTheProxyProtocol) {
  http_server s(handler{who}, behind_proxies().max_connections_per_address(1));
  raw_client first(s.port());
  first.send(binary_header + ask);
  EXPECT_EQ(first.read_response().status, 200);
  EXPECT_EQ(answer(s, binary_header + ask), std::nullopt);
  EXPECT_EQ(answer(s, "PROXY TCP4 203.0.113.8 127.0.0.1 40312 80\r\n" + ask), "http 203.0.113.8");
  for (int i = 0; i < 2; ++i) {
    raw_client checks(s.port());
    checks.send(local_header + ask);
    EXPECT_EQ(checks.read_response().status, 200) << "the proxy itself is not counted";
  }
}

}  // namespace
}  // namespace curfew::http
