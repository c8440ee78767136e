// What a server behind haproxy and nginx says of the client: by the PROXY protocol, X-Forwarded-For and Forwarded.
#include <curfew/http/server.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <curfew/core.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/testing/fault_proxy.hpp>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/raw_client.hpp"
#include "http/tls_identity.hpp"
#include "peers/others.hpp"
#include "program.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using curfew::testing::http_server;
using ::testing::AnyOf;
using ::testing::IsEmpty;
using tests::haproxy;
using tests::nginx;
using tests::raw_client;

/// Answers with what the server knows of the client.
asio::awaitable<response> who(context, const request& r) {
  std::string all(r.client_scheme());
  all += ' ';
  all += r.client_address();
  co_return text(status::ok, all);
}

/// What a client says that would like to be another one.
const std::string claims =
    "X-Forwarded-For: 198.51.100.9\r\nX-Forwarded-Proto: https\r\n"
    "Forwarded: for=198.51.100.9;proto=https\r\nForwarded: for=\"198.51.100.9\r\n";

const std::string nginx_http11 = "proxy_http_version 1.1; proxy_set_header Connection \"\";\n";
const std::string nginx_fields =
    "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n"
    "proxy_set_header X-Forwarded-Proto $scheme;\n" +
    nginx_http11;
const std::string nginx_forwarded =
    "proxy_set_header Forwarded \"$http_forwarded, for=$remote_addr;proto=$scheme\";\n" + nginx_http11;
const std::string haproxy_fields =
    "  option forwardfor\n  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]\n";
const std::string all_tlvs =
    " send-proxy-v2 proxy-v2-options crc32c,unique-id,authority,ssl,ssl-cipher,cert-cn";

std::string location(const std::string& fields, const std::string& to) {
  return "location / {\n" + fields + "proxy_pass http://" + to + ";\n}\n";
}

/// A proxy that runs. Keeps alive what it needs.
struct running {
  std::shared_ptr<void> keeps;
  std::uint16_t port;
};

running through_haproxy(const std::string& server, const std::string& lines = {}) {
  const auto made = std::make_shared<haproxy>(server, lines);
  return {made, made->port()};
}

running through_nginx(const std::string& server, const std::string& fields) {
  const auto made = std::make_shared<nginx>("keepalive_timeout 60s;\n", location(fields, server));
  return {made, made->port()};
}

/// nginx in front of haproxy.
running through_both(const std::string& server, const std::string& lines = {}) {
  const auto inner = std::make_shared<haproxy>(server, lines);
  const auto outer = through_nginx("127.0.0.1:" + std::to_string(inner->port()), nginx_fields);
  return {std::make_shared<std::pair<std::shared_ptr<void>, std::shared_ptr<void>>>(outer.keeps, inner),
          outer.port};
}

/// A way to the server, by whose word the client is known.
struct way {
  const char* name;
  std::vector<std::string> needs;
  running (*start)(const std::string& server);
  bool proxy_protocol = false;
  forwarding by = forwarding::x_forwarded;
};

void PrintTo(const way& w, std::ostream* out) { *out << w.name; }

class ClientAddress : public ::testing::TestWithParam<way> {
 protected:
  static server_options trusting(const char* proxy) {
    server_options made;
    made.trusted_peers({proxy}, GetParam().by);
    made.listen("127.0.0.1:0", listen_options().proxy_protocol(GetParam().proxy_protocol));
    return made;
  }
  static std::string address_of(const http_server& s) { return "127.0.0.1:" + std::to_string(s.port()); }
};

TEST_P(ClientAddress, IsTheClientsWhateverItClaims) {
  CURFEW_NEEDS_PROGRAMS(GetParam().needs);
  http_server server(handler{who}, trusting("127.0.0.1"));
  const auto proxy = GetParam().start(address_of(server));
  // In turn, over connections that are kept: a connection of the proxy must not be taken for another client.
  auto seven = raw_client::from("127.0.0.7", proxy.port);
  auto eight = raw_client::from("127.0.0.8", proxy.port);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(seven.get("/").body, "http 127.0.0.7");
    EXPECT_EQ(eight.get("/", claims).body, "http 127.0.0.8");
    EXPECT_EQ(seven.get("/", claims).body, "http 127.0.0.7");
  }
  EXPECT_THAT(server.complaints(), IsEmpty());
}

TEST_P(ClientAddress, IsTheProxysWhereThatIsNotTrusted) {
  CURFEW_NEEDS_PROGRAMS(GetParam().needs);
  http_server server(handler{who}, trusting("192.0.2.1"));
  const auto proxy = GetParam().start(address_of(server));
  const auto got = raw_client::from("127.0.0.7", proxy.port).get("/", claims);
  if (GetParam().proxy_protocol) {
    EXPECT_THAT(got.status, AnyOf(502, 503)) << "it may not connect";
  } else {
    EXPECT_EQ(got.body, "http 127.0.0.1");
  }
}

// clang-format off
const way ways[] = {
    {"HaproxySendProxy", {"haproxy"},
     [](const std::string& server) { return through_haproxy(server + " send-proxy"); }, true},
    {"HaproxySendProxyV2", {"haproxy"},
     [](const std::string& server) { return through_haproxy(server + " send-proxy-v2"); }, true},
    {"HaproxySendProxyV2Ssl", {"haproxy"},
     [](const std::string& server) { return through_haproxy(server + " send-proxy-v2-ssl-cn"); }, true},
    {"HaproxySendProxyV2AllTlvs", {"haproxy"},
     [](const std::string& server) {
       return through_haproxy(server + all_tlvs, "  unique-id-format %{+X}o%ci:%cp_%Ts_%rt\n");
     }, true},
    {"HaproxyForwardFor", {"haproxy"},
     [](const std::string& server) { return through_haproxy(server, haproxy_fields); }},
    {"NginxXForwardedFor", {"nginx"},
     [](const std::string& server) { return through_nginx(server, nginx_fields); }},
    {"NginxForwarded", {"nginx"},
     [](const std::string& server) { return through_nginx(server, nginx_forwarded); }, false, forwarding::rfc7239},
    // Both name hops, and both are trusted.
    {"NginxAndHaproxyForwardFor", {"nginx", "haproxy"},
     [](const std::string& server) { return through_both(server, "  option forwardfor\n"); }},
    // The header names nginx, and nginx names the client.
    {"NginxAndHaproxySendProxyV2", {"nginx", "haproxy"},
     [](const std::string& server) { return through_both(server + " send-proxy-v2"); }, true},
};
// clang-format on

INSTANTIATE_TEST_SUITE_P(By, ClientAddress, ::testing::ValuesIn(ways),
                         [](const auto& of) { return std::string(of.param.name); });

TEST(ClientAddressBehindTwo, IsTheOuterProxysWhereOnlyTheInnerOneIsTrusted) {
  CURFEW_NEEDS_PROGRAMS("nginx", "haproxy");
  for (const bool header : {false, true}) {
    server_options options;
    options.trusted_peers({"127.0.0.2"}).listen("127.0.0.1:0", listen_options().proxy_protocol(header));
    http_server server(handler{who}, options);
    const std::string address = "127.0.0.1:" + std::to_string(server.port()) + " source 127.0.0.2";
    const auto proxy =
        header ? through_both(address + " send-proxy-v2") : through_both(address, "  option forwardfor\n");
    const auto got = raw_client::from("127.0.0.7", proxy.port).get("/");
    EXPECT_EQ(got.body, "http 127.0.0.1") << (header ? "by the PROXY protocol" : "by X-Forwarded-For");
  }
}

TEST(ClientAddressByUnixSocket, IsWhatTheProxySays) {
  CURFEW_NEEDS_PROGRAMS("nginx", "haproxy");
  const tests::own_folder folder;
  const std::string fields_path = folder / "fields";
  const std::string header_path = folder / "header";
  server_options options;
  options.trusted_peers({"unix:"}).listen("unix:" + fields_path);
  options.also_listen("unix:" + header_path, listen_options().proxy_protocol(true));
  http_server server(handler{who}, options);
  const auto fields = through_nginx("unix:" + fields_path, nginx_fields);
  EXPECT_EQ(raw_client::from("127.0.0.7", fields.port).get("/", claims).body, "http 127.0.0.7");
  for (const std::string send : {" send-proxy", " send-proxy-v2"}) {
    const auto header = through_haproxy("unix@" + header_path + send);
    EXPECT_EQ(raw_client::from("127.0.0.7", header.port).get("/", claims).body, "http 127.0.0.7") << send;
  }
}

TEST(Haproxy, NamesClientsOfIpv6) {
  CURFEW_NEEDS_PROGRAMS("haproxy");
  server_options options;
  options.trusted_peers({"127.0.0.1"}).listen("127.0.0.1:0", listen_options().proxy_protocol(true));
  http_server server(handler{who}, options);
  for (const auto& send : {std::string(" send-proxy"), std::string(" send-proxy-v2"), all_tlvs}) {
    const haproxy proxy("127.0.0.1:" + std::to_string(server.port()) + send,
                        "  http-request set-src hdr(x-from)\n  http-request set-dst hdr(x-to)\n");
    raw_client client(proxy.port());
    EXPECT_EQ(client.get("/", "X-From: 2001:db8::7\r\nX-To: 2001:db8::1\r\n").body, "http 2001:db8::7")
        << send;
    EXPECT_EQ(client.get("/", "X-From: 203.0.113.7\r\nX-To: 203.0.113.1\r\n").body, "http 203.0.113.7")
        << send;
    EXPECT_EQ(client.get("/", "X-From: 203.0.113.7\r\nX-To: 2001:db8::1\r\n").body, "http 203.0.113.7")
        << send << ", of which the header makes an address of IPv6";
  }
}

TEST(Haproxy, SaysWhetherItsClientsUseTls) {
  CURFEW_NEEDS_PROGRAMS("haproxy", "curl");
  const tests::own_folder folder;
  const std::string pem = folder / "server.pem";
  const auto identity = client_tests::make_identity("localhost", nullptr, "DNS:localhost");
  {
    const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(pem.c_str(), "w"), &std::fclose);
    ASSERT_EQ(PEM_write_X509(file.get(), identity.certificate.get()), 1);
    ASSERT_EQ(PEM_write_PrivateKey(file.get(), identity.key.get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
  }
  server_options by_fields;
  by_fields.trusted_peers({"127.0.0.1"});
  server_options by_header;
  by_header.trusted_peers({"127.0.0.1"}).listen("127.0.0.1:0", listen_options().proxy_protocol(true));
  http_server behind_fields(handler{who}, by_fields);
  http_server behind_header(handler{who}, by_header);
  const auto ask = [&](const std::string& server, const std::string& lines) {
    const haproxy proxy(server, lines, "ssl crt " + pem);
    return tests::run({tests::find_program("curl"), "-sSkq", "--noproxy", "*", "--max-time", "30",
                       "--interface", "127.0.0.7", "https://127.0.0.1:" + std::to_string(proxy.port()) + "/"})
        .text;
  };
  const std::string to_fields = "127.0.0.1:" + std::to_string(behind_fields.port());
  const std::string to_header = "127.0.0.1:" + std::to_string(behind_header.port());
  EXPECT_EQ(ask(to_fields, haproxy_fields), "https 127.0.0.7");
  EXPECT_EQ(ask(to_header + " send-proxy-v2-ssl", ""), "https 127.0.0.7");
  EXPECT_EQ(ask(to_header + " send-proxy-v2-ssl-cn", ""), "https 127.0.0.7");
  EXPECT_EQ(ask(to_header + all_tlvs, "  unique-id-format %ci:%cp\n"), "https 127.0.0.7");
  EXPECT_EQ(ask(to_header + " send-proxy-v2", ""), "http 127.0.0.7") << "it does not say";
}

TEST(Haproxy, ChecksTheServerAsItself) {
  CURFEW_NEEDS_PROGRAMS("haproxy");
  for (const std::string send : {" send-proxy", " send-proxy-v2", " send-proxy-v2-ssl"}) {
    for (const std::string how :
         {"", "  option httpchk GET /\n  http-check expect string http\\ 127.0.0.1\n"}) {
      server_options options;
      options.trusted_peers({"127.0.0.1"}).listen("127.0.0.1:0", listen_options().proxy_protocol(true));
      http_server server(handler{who}, options);
      curfew::testing::fault_proxy counting(server.port());
      // One check that fails, and the server is down.
      const haproxy proxy(counting.address() + send + " check inter 50ms fall 1 rise 1000", how);
      EXPECT_TRUE(counting.wait_accepted(6)) << send;
      EXPECT_EQ(raw_client::from("127.0.0.7", proxy.port()).get("/").body, "http 127.0.0.7") << send << how;
      EXPECT_THAT(server.complaints(), IsEmpty()) << send << how;
    }
  }
}

}  // namespace
}  // namespace curfew::http
