#include "http/server/trusted.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/address.hpp>
#include <curfew/http/errc.hpp>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/wire/ip.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using ::testing::HasSubstr;

host address(const char* text) { return plain_ip(asio::ip::make_address(text)); }

trusted_networks networks(std::vector<std::string> list) {
  auto made = trusted_networks::parse(list);
  EXPECT_TRUE(made) << made.error();
  return made ? *made : trusted_networks();
}

TEST(TrustedNetworks, ContainWhatBeginsAsTheyDo) {
  const auto n = networks({"10.0.0.0/8", "192.0.2.7", "172.16.0.0/12", "2001:db8::/33", "::1"});
  for (const auto* in : {"10.0.0.0", "10.255.255.255", "192.0.2.7", "172.31.0.1", "2001:db8:7fff::1", "::1",
                         "::ffff:10.1.2.3"}) {
    EXPECT_TRUE(n.contains(address(in))) << in;
  }
  for (const auto* out : {"11.0.0.0", "9.255.255.255", "192.0.2.8", "172.32.0.1", "2001:db8:8000::1", "::2",
                          "::ffff:11.1.2.3", "::a00:1"}) {
    EXPECT_FALSE(n.contains(address(out))) << out;
  }
  EXPECT_FALSE(n.contains(host())) << "a Unix socket";
}

TEST(TrustedNetworks, MayBeEverythingOrUnixSockets) {
  const auto all = networks({"0.0.0.0/0"});
  EXPECT_TRUE(all.contains(address("203.0.113.7")));
  EXPECT_FALSE(all.contains(address("::1"))) << "the other family";
  EXPECT_TRUE(networks({"::/0"}).contains(address("::1")));
  EXPECT_TRUE(networks({"unix:"}).contains(host()));
  EXPECT_FALSE(networks({"unix:"}).empty());
  EXPECT_TRUE(networks({}).empty());
}

TEST(TrustedNetworks, RefuseWhatIsNone) {
  for (const auto* bad : {"", "10.0.0/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "::/129",
                          "unix", "example.org", "10.0.0.0/8/8", "[::1]", "10.0.0.1:80"}) {
    const auto made = trusted_networks::parse({"127.0.0.1", bad});
    ASSERT_FALSE(made) << bad;
    EXPECT_EQ(made.error(), errc::bad_address);
    EXPECT_THAT(made.error().message(),
                HasSubstr("trusting \"" + std::string(bad) + "\" (write it as 10.0.0.0/8"));
  }
  EXPECT_THAT(trusted_networks::parse({"10.1.0.0/8"}).error().message(), HasSubstr("write 10.0.0.0/8"));
  EXPECT_THAT(trusted_networks::parse({"2001:db8::1/32"}).error().message(),
              HasSubstr("write 2001:db8::/32"));
}

using lines = std::initializer_list<std::pair<std::string_view, std::string_view>>;

/// The client's address, as the proxy at 10.0.0.1 lets it be known.
std::string client(lines of, forwarding by = forwarding::x_forwarded) {
  fields f;
  for (const auto& [name, value] : of) f.add(name, value);
  static const auto trusted = networks({"10.0.0.0/8", "2001:db8::/32", "unix:"});
  const auto found = find_client(f, address("10.0.0.1"), trusted, by);
  return (found.https ? "https " : "") + text_of(found.address);
}

std::string client7239(lines of) { return client(of, forwarding::rfc7239); }

TEST(FindClient, IsThePeerWhereNothingIsSaid) {
  EXPECT_EQ(client({}), "10.0.0.1");
  EXPECT_EQ(client7239({}), "10.0.0.1");
  EXPECT_EQ(client({{"X-Forwarded-For", ""}}), "10.0.0.1");
  EXPECT_EQ(client({{"X-Forwarded-For", " , ,"}}), "10.0.0.1");
}

TEST(FindClient, IsTheRightmostThatIsNotTrusted) {
  EXPECT_EQ(client({{"X-Forwarded-For", "203.0.113.7"}}), "203.0.113.7");
  EXPECT_EQ(client({{"x-forwarded-for", "1.1.1.1, 203.0.113.7, 10.9.9.9,2001:db8::1 , 10.0.0.2"}}),
            "203.0.113.7");
  EXPECT_EQ(client({{"X-Forwarded-For", "1.1.1.1"}, {"X-Forwarded-For", "203.0.113.7, 10.0.0.3"}}),
            "203.0.113.7");
  EXPECT_EQ(client({{"X-Forwarded-For", "203.0.113.7"}, {"X-Forwarded-For", "10.0.0.3"}}), "203.0.113.7");
  EXPECT_EQ(client({{"X-Forwarded-For", "unix:, 10.0.0.3"}}), "unix:") << "all are trusted: the farthest";
  EXPECT_EQ(client({{"X-Forwarded-For", "10.0.0.9, 10.0.0.3"}}), "10.0.0.9");
}

TEST(FindClient, ReadsEveryWayToWriteAnAddress) {
  for (const auto& [text, plain] : lines{{"203.0.113.7:4711", "203.0.113.7"},
                                         {"[2001:dead::7]:4711", "2001:dead::7"},
                                         {"[2001:DEAD::7]", "2001:dead::7"},
                                         {"2001:dead:0::7", "2001:dead::7"},
                                         {"::ffff:203.0.113.7", "203.0.113.7"}}) {
    EXPECT_EQ(client({{"X-Forwarded-For", text}}), plain);
    const std::string element = "for=\"" + std::string(text) + '"';
    EXPECT_EQ(client7239({{"Forwarded", element}}), plain);
  }
}

TEST(FindClient, IsThePeerWhereAHopIsMalformed) {
  for (const auto* bad :
       {"unknown", "_hidden", "203.0.113", "203.0.113.7:", "203.0.113.7:80:80", "[2001:dead::7",
        "[203.0.113.7]:80", "2001:dead::7]:80", "\"203.0.113.7\"", "203.0.113.7 203.0.113.8", "::g"}) {
    EXPECT_EQ(client({{"X-Forwarded-For", bad}}), "10.0.0.1") << bad;
    EXPECT_EQ(client({{"X-Forwarded-For", std::string(bad) + ", 10.0.0.2"}}), "10.0.0.1") << bad;
    EXPECT_EQ(client({{"X-Forwarded-For", std::string(bad) + ", 203.0.113.7"}}), "203.0.113.7")
        << "what a client invents hides nothing";
  }
}

TEST(FindClient, TakesTheSchemeOfASingleField) {
  EXPECT_EQ(client({{"X-Forwarded-For", "203.0.113.7"}, {"X-Forwarded-Proto", "https"}}),
            "https 203.0.113.7");
  EXPECT_EQ(client({{"X-Forwarded-Proto", "HTTPS"}}), "https 10.0.0.1");
  for (const auto* other : {"http", "https, http", "https,https", "httpsx", ""}) {
    EXPECT_EQ(client({{"X-Forwarded-Proto", other}}), "10.0.0.1") << other;
  }
  EXPECT_EQ(client({{"X-Forwarded-Proto", "https"}, {"X-Forwarded-Proto", "https"}}), "10.0.0.1");
}

TEST(FindClient, IgnoresTheFieldsThatItsProxiesDoNotSet) {
  EXPECT_EQ(client({{"Forwarded", "for=203.0.113.7;proto=https"}}), "10.0.0.1");
  EXPECT_EQ(client7239({{"X-Forwarded-For", "203.0.113.7"}, {"X-Forwarded-Proto", "https"}}), "10.0.0.1");
}

TEST(FindClient, ReadsForwarded) {
  EXPECT_EQ(client7239({{"Forwarded", "for=203.0.113.7"}}), "203.0.113.7");
  EXPECT_EQ(client7239({{"Forwarded", "For=203.0.113.7;Proto=HTTPS;by=10.0.0.2;host=\"a,b;c\""}}),
            "https 203.0.113.7");
  EXPECT_EQ(client7239({{"Forwarded", "for=1.1.1.1, proto=https;for=203.0.113.7 , for=10.0.0.2;proto=http"}}),
            "https 203.0.113.7");
  EXPECT_EQ(
      client7239({{"Forwarded", "for=1.1.1.1"}, {"Forwarded", R"(for="\2\0\3.0.113.7" ; proto="https")"}}),
      "https 203.0.113.7");
  EXPECT_EQ(client7239({{"Forwarded", R"(for=203.0.113.7;host="a\",b\\", for=10.0.0.2)"}}), "203.0.113.7");
}

TEST(FindClient, IsThePeerWhereForwardedIsMalformed) {
  for (const auto* bad : {"for", "for=", "for=unknown", "for=_x", "203.0.113.7", "proto=https",
                          "for=203.0.113.7;for=1.1.1.1", "for=\"203.0.113.7", "for=\"203.0.113.7\"x",
                          "=203.0.113.7", "f or=203.0.113.7", "for=\"203.0.113.7\\"}) {
    EXPECT_EQ(client7239({{"Forwarded", bad}}), "10.0.0.1") << bad;
  }
  EXPECT_EQ(client7239({{"Forwarded", ";for=203.0.113.7;;proto=https;"}}), "https 203.0.113.7")
      << "that is none";
}

TEST(FindClient, IsNotDeceivedByAQuoteThatTheClientOpens) {
  EXPECT_EQ(client7239({{"Forwarded", "for=\"1.1.1.1, for=203.0.113.7"}}), "203.0.113.7");
  EXPECT_EQ(client7239({{"Forwarded", "for=\"1.1.1.1\\, for=\"[2001:dead::7]\""}}), "2001:dead::7");
  EXPECT_EQ(client({{"X-Forwarded-For", "\", 203.0.113.7"}}), "203.0.113.7");
}

}  // namespace
}  // namespace curfew::http
