// Which addresses a client connects to, and which its hook keeps it from.
#include <curfew/http/dial.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstring>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/errc.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "fake_resolver.hpp"
#include "http/client_peer.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using boost::asio::ip::tcp;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

tcp::endpoint endpoint_of(const std::string& address) { return {boost::asio::ip::make_address(address), 80}; }

TEST(RefusePrivateAddresses, RefusesWhatIsNotPublic) {
  for (const char* each :
       {"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255",
        "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.169.254",
        "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1",
        "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
        "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        // IPv6, and IPv4 in it
        "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "::ffff:169.254.169.254", "::ffff:0:8.8.8.8", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1",
        "64:ff9b::a9fe:a9fe", "64:ff9b:1::8.8.8.8", "100::1", "2001::1", "2001:10::1", "2001:20::1",
        "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "3fff:fff::1", "5f00::1", "fc00::1",
        "fd00:ec2::254", "fd20:ce::254", "fe80::1", "febf::1", "fec0::1", "ff02::1", "4000::1"}) {
    EXPECT_EQ(refuse_private_addresses(endpoint_of(each)), errc::address_refused) << each;
  }
}

TEST(RefusePrivateAddresses, LetsPublicOnesPass) {
  for (const char* each : {"1.1.1.1",
                           "8.8.8.8",
                           "9.255.255.255",
                           "11.0.0.0",
                           "100.63.255.255",
                           "100.128.0.0",
                           "126.255.255.255",
                           "128.0.0.0",
                           "168.63.129.15",
                           "168.63.129.17",
                           "169.253.255.255",
                           "169.255.0.0",
                           "172.15.255.255",
                           "172.32.0.0",
                           "192.0.1.0",
                           "192.167.255.255",
                           "192.169.0.0",
                           "198.17.255.255",
                           "198.20.0.0",
                           "223.255.255.255",
                           "2001:200::1",
                           "2001:4860:4860::8888",
                           "2606:4700:4700::1111",
                           "2a00:1450::1",
                           "3ffe::1",
                           "3fff:1000::1",
                           "::ffff:8.8.8.8",
                           "64:ff9b::8.8.8.8"}) {
    EXPECT_EQ(refuse_private_addresses(endpoint_of(each)), std::error_code()) << each;
  }
}

TEST(Dial, TheHookSeesEachAddressBeforeItIsConnectedTo) {
  peer server(answering(ok("x")));
  std::vector<std::string> seen;
  client sender(client_options().on_dial([&](const tcp::endpoint& to) -> std::error_code {
    EXPECT_EQ(server.connections(), 0);
    EXPECT_EQ(to.port(), server.port());
    seen.push_back(to.address().to_string());
    return {};
  }));
  ASSERT_TRUE(sender.send(background(), get_of(server.url("/", "two.test"))));
  EXPECT_THAT(seen, ElementsAre("127.0.0.2", "127.0.0.1"));
  ASSERT_TRUE(sender.send(background(), get_of(server.url("/", "two.test"))));
  EXPECT_EQ(seen.size(), 2U) << "a kept connection has been asked about";
}

TEST(Dial, AnAddressThatIsRefusedIsLeftOut) {
  peer server(answering(ok("x")));
  client sender(client_options().on_dial([](const tcp::endpoint& to) -> std::error_code {
    if (to.address().to_string() == "127.0.0.2") return errc::address_refused;
    return {};
  }));
  const auto answer = sender.send(background(), get_of(server.url("/", "two.test")));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(server.connections(), 1);
}

TEST(Dial, ACallFailsIfAllAddressesAreRefused) {
  peer server(answering(ok("x")));
  client sender(client_options().on_dial(refuse_private_addresses));
  for (const char* host : {"127.0.0.1", "peer-refused.test", "localhost"}) {
    const error why = error_of(sender.send(background(), get_of(server.url("/", host))));
    EXPECT_EQ(why, errc::address_refused) << why;
    EXPECT_FALSE(why.transient());
    EXPECT_THAT(why.doing(), HasSubstr("GET " + server.url("/", host) + " : connecting (")) << why;
  }
  const auto opened = sender.open(background(), get_of(server.url()));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error(), errc::address_refused);
  EXPECT_EQ(server.connections(), 0);
}

TEST(Dial, OtherWaysToWriteLoopbackAreRefusedToo) {
  peer server(answering(ok("x")));
  client sender(client_options().on_dial(refuse_private_addresses));
  for (const char* host : {"127.1", "2130706433", "0x7f000001", "017700000001", "0", "[::ffff:127.0.0.1]",
                           "[::ffff:7f00:1]", "[::1]", "[::]", "0.0.0.0", "LOCALHOST", "a.localhost"}) {
    const auto answer = sender.send(background(), get_of(server.url("/", host)));
    ASSERT_FALSE(answer) << host;
  }
  EXPECT_EQ(server.connections(), 0);
}

/// Looks a name up, as a program does that checks before it calls.
std::string first_look(const std::string& host) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &wanted, &found) != 0) return {};
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  tcp::endpoint made;
  std::memcpy(made.data(), found->ai_addr, std::min<std::size_t>(found->ai_addrlen, made.capacity()));
  return made.address().to_string();
}

TEST(Dial, ANameThatChangesItsMeaningAfterItWasCheckedIsRefused) {
  peer server(answering(ok("secrets")));
  static int runs = 0;  // a name of its own for each: the second lookup of a name is another
  const std::string host = "rebinds-" + std::to_string(++runs) + ".test";
  ASSERT_EQ(refuse_private_addresses(endpoint_of(first_look(host))), std::error_code())
      << "checked, and public";
  client naive;
  client careful(client_options().on_dial(refuse_private_addresses));
  const error why = error_of(careful.send(background(), get_of(server.url("/", host))));
  EXPECT_EQ(why, errc::address_refused) << why;
  EXPECT_THAT(why.doing(), HasSubstr("(127.0.0.1)"));
  EXPECT_EQ(server.connections(), 0);
  const auto stolen = naive.send(background(), get_of(server.url("/", host)));
  ASSERT_TRUE(stolen) << "the attack works without the hook: " << stolen.error();
}

TEST(Dial, ARedirectToAPrivateAddressIsRefused) {
  peer hidden(answering(ok("secrets")));
  for (const char* host : {"127.0.0.1", "peer-hidden.test"}) {
    peer outside(answering(redirect_to(hidden.url("/", host))));
    client sender(client_options().on_dial([&](const tcp::endpoint& to) -> std::error_code {
      if (to.port() == outside.port()) return {};  // stands for a public server
      return refuse_private_addresses(to);
    }));
    const error why = error_of(sender.send(background(), get_of(outside.url())));
    EXPECT_EQ(why, errc::address_refused) << why;
    EXPECT_THAT(why.doing(), HasSubstr(hidden.url("/", host)));
    EXPECT_EQ(outside.connections(), 1);
  }
  EXPECT_EQ(hidden.connections(), 0);
}

TEST(Dial, OfACallThroughAProxyTheHookSeesTheProxy) {
  peer proxy(answering(ok("x")));
  std::vector<std::string> seen;
  client sender(
      client_options().proxy(proxy.url("")).on_dial([&](const tcp::endpoint& to) -> std::error_code {
        seen.push_back(to.address().to_string());
        EXPECT_EQ(to.port(), proxy.port());
        return {};
      }));
  const auto answer = sender.send(background(), get_of("http://nowhere.test:81/"));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_THAT(seen, ElementsAre("127.0.0.1"));

  client careful(client_options().proxy(proxy.url("")).on_dial(refuse_private_addresses));
  EXPECT_EQ(error_of(careful.send(background(), get_of("http://nowhere.test:81/"))), errc::address_refused);
  EXPECT_EQ(proxy.connections(), 1);
}

TEST(Dial, AHookThatThrowsRefuses) {
  peer server(answering(ok("x")));
  client sender(client_options().on_dial(
      [](const tcp::endpoint&) -> std::error_code { throw std::runtime_error("no idea"); }));
  const error why = error_of(sender.send(background(), get_of(server.url())));
  EXPECT_EQ(why, errc::address_refused);
  EXPECT_THAT(why.doing(), HasSubstr("(no idea)"));
  EXPECT_EQ(server.connections(), 0);
}

TEST(Dial, AHookMayEndTheContextOfItsCallAndDestroyNothing) {
  peer server(answering(ok("x")));
  auto scope = with_cancel(background());
  client sender(client_options().on_dial([&](const tcp::endpoint&) -> std::error_code {
    scope.cancel();
    return {};
  }));
  EXPECT_EQ(error_of(sender.send(scope, get_of(server.url()))), curfew::errc::canceled);
  EXPECT_EQ(server.connections(), 0);
}

}  // namespace
}  // namespace curfew::http
