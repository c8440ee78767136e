#include "http/client/client_url.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <random>
#include <string>
#include <utility>

namespace curfew::http {
namespace {

client_url parsed(std::string_view text) {
  std::string why;
  auto url = client_url::parse(text, why);
  EXPECT_TRUE(url) << text << ": " << why;
  return url.value_or(client_url());
}

std::string refused(std::string_view text) {
  std::string why;
  EXPECT_FALSE(client_url::parse(text, why)) << text;
  return why;
}

TEST(ClientUrl, IsTakenApart) {
  const auto url = parsed("HTTP://us%40er:pa%3ass@Example.ORG/a/../b?c=d#fragment");
  EXPECT_EQ(url.text, "http://Example.ORG/b?c=d");
  EXPECT_EQ(url.origin, "http://example.org:80");
  EXPECT_EQ(url.user, "us@er");
  EXPECT_EQ(url.password, "pa:ss");
  EXPECT_TRUE(url.has_user);
  EXPECT_FALSE(url.tls);
  EXPECT_FALSE(url.loopback);
}

TEST(ClientUrl, KnowsTlsAndItsPort) {
  const auto url = parsed("https://example.org");
  EXPECT_TRUE(url.tls);
  EXPECT_EQ(url.origin, "https://example.org:443");
  EXPECT_EQ(parsed("https://example.org:444/").origin, "https://example.org:444");
}

TEST(ClientUrl, KnowsTheOwnMachine) {
  for (const auto* own : {"http://127.0.0.1/", "http://127.1.2.3:8080/", "http://localhost/",
                          "http://a.localhost/", "http://[::1]/", "http://LOCALHOST/"}) {
    EXPECT_TRUE(parsed(own).loopback) << own;
  }
  for (const auto* other : {"http://127.example.org/", "http://localhost.example.org/", "http://10.0.0.1/"}) {
    EXPECT_FALSE(parsed(other).loopback) << other;
  }
}

// On each of its networks a machine may have the same neighbour of that address.
TEST(ClientUrl, KeepsTheZoneOfALinkLocalAddress) {
  const auto url = parsed("http://[fe80::1%25eth0]:81/x");
  EXPECT_EQ(url.host, "fe80::1%eth0");
  EXPECT_EQ(url.origin, "http://[fe80::1%eth0]:81");
  EXPECT_EQ(url.authority, "[fe80::1]:81");  // RFC 6874: the zone is nothing to the server
  EXPECT_EQ(parsed(url.text).host, url.host);
}

TEST(ClientUrl, EncodesBytesBeyondAsciiInThePath) {
  EXPECT_EQ(parsed("http://h/\xc3\xa4?\xc3\xb6").text, "http://h/%C3%A4?%C3%B6");
}

TEST(ClientUrl, WantsAHostBeyondAsciiAsDnsNamesIt) {
  EXPECT_EQ(refused("http://b\u00fccher.example:81/x"),
            "its host has letters beyond ASCII: DNS has a name for it that begins with xn--");
  EXPECT_EQ(parsed("http://xn--bcher-kva.example:81/x").host, "xn--bcher-kva.example");
}

TEST(ClientUrl, WritesAnAddressInOneWay) {
  for (const auto& [host, address] :
       std::initializer_list<std::pair<const char*, const char*>>{{"127.1", "127.0.0.1"},
                                                                  {"0x7f.1", "127.0.0.1"},
                                                                  {"0177.0.0.01", "127.0.0.1"},
                                                                  {"2130706433", "127.0.0.1"},
                                                                  {"10.0.513", "10.0.2.1"},
                                                                  {"[0:0::0:1]", "::1"},
                                                                  {"[2001:DB8::0a]", "2001:db8::a"}}) {
    const auto url = parsed("http://" + std::string(host) + "/");
    EXPECT_EQ(url.host, address) << host;
    EXPECT_NE(url.text.find(address), std::string::npos) << url.text;
  }
  for (const auto* name : {"1.2.3.400", "4294967296", "08.1", "1.2.3.4.5", "127.0.0.1."}) {
    EXPECT_EQ(parsed("http://" + std::string(name) + "/").host, name);
  }
}

TEST(ClientUrl, KnowsAUserInItsOddForms) {
  const auto without_password = parsed("http://me@h/");
  EXPECT_TRUE(without_password.has_user);
  EXPECT_EQ(without_password.user, "me");
  EXPECT_EQ(without_password.password, "");
  EXPECT_EQ(parsed("http://:pw@h/").password, "pw");
  EXPECT_EQ(parsed("http://100%@h/").user, "100%");
  EXPECT_FALSE(parsed("http://@h/").has_user);
  EXPECT_EQ(refused("http://a%0ab@h/"), "its user or password has a control character");
  EXPECT_EQ(refused("http://a@b@h/"), "its host cannot be written as a name of DNS")
      << "which host is meant?";
}

TEST(ClientUrl, SaysWhatIsWrong) {
  EXPECT_EQ(refused("example.org"), "it does not start with http:// or https://");
  EXPECT_EQ(refused("ftp://example.org/"), "the scheme is neither http nor https");
  EXPECT_EQ(refused("http://exa mple.org/"), "it has a space or a control character");
  EXPECT_EQ(refused("http://h/\r\nX: y"), "it has a space or a control character");
  EXPECT_EQ(refused("http:///path"), "it names no host");
  EXPECT_EQ(refused("http:/example.org/?next=http://h/"), "it does not start with http:// or https://");
  for (const auto* port : {"99999", "0", "1x", "-1", "80:80"}) {
    EXPECT_EQ(refused("http://h:" + std::string(port) + "/"), "its port is not a number from 1 to 65535");
  }
  for (const auto* bad :
       {"http://[::1/", "http://[1.2.3.4]/", "http://[::1]x/", "http://[]/", "http://::1/"}) {
    EXPECT_NE(refused(bad), "") << bad;
  }
  EXPECT_EQ(refused("http://[fe80::1%25\xff]/"), "its zone is not the name of an interface");
  EXPECT_EQ(refused("http://a%7f.b/"), "its host cannot be written as a name of DNS");
  EXPECT_EQ(refused("http://%F/"), "its host cannot be written as a name of DNS");
  EXPECT_EQ(refused("http://a\\b/"), "its host cannot be written as a name of DNS");
  EXPECT_EQ(refused("http://" + std::string(256, 'a') + "/"), "its host cannot be written as a name of DNS");
}

TEST(ClientUrl, ResolvesALocation) {
  const auto base = parsed("http://h:8080/a/b?c");
  const auto to = [&](std::string_view location) {
    std::string why;
    const auto url = base.resolve(location, why);
    return url ? url->text : "refused: " + why;
  };
  EXPECT_EQ(to("d"), "http://h:8080/a/d");
  EXPECT_EQ(to("/d?e"), "http://h:8080/d?e");
  EXPECT_EQ(to("//other/x"), "http://other/x");
  EXPECT_EQ(to("https://other/"), "https://other/");
  EXPECT_EQ(to("file:///etc/passwd").substr(0, 8), "refused:");
  EXPECT_EQ(to("ftp://other/").substr(0, 8), "refused:");
  EXPECT_EQ(to("\xc3\xa4"), "http://h:8080/a/%C3%A4");
  EXPECT_EQ(to("\xc3\xa4?at=http://x"), "http://h:8080/a/%C3%A4?at=http://x");
  EXPECT_EQ(to("?\xc3\xa4"), "http://h:8080/a/b?%C3%A4");
  EXPECT_EQ(to(""), "http://h:8080/a/b?c");
  EXPECT_EQ(to("#there"), "http://h:8080/a/b?c");
  EXPECT_EQ(to("../../../d"), "http://h:8080/d");
  EXPECT_EQ(to("./d/../e/."), "http://h:8080/a/e/");
  EXPECT_EQ(to("d?to=/x"), "http://h:8080/a/d?to=/x");
  EXPECT_EQ(to("javascript:alert(1)").substr(0, 8), "refused:");
  EXPECT_EQ(to("http:d").substr(0, 8), "refused:");
}

TEST(ClientUrl, ShowsNoSecretsAndNoControlCharacters) {
  EXPECT_EQ(shown_url("http://user:secret@h/\n"), "http://...@h/%0A");
  EXPECT_EQ(shown_url("user:secret@h"), "...@h");
  EXPECT_EQ(shown_url(std::string(600, 'x')), std::string(500, 'x') + "...");
}

/// All that a URL was taken apart into.
std::string parts_of(std::string_view text) {
  std::string why;
  const auto url = client_url::parse(text, why);
  if (!url) return "none";
  return url->text + ' ' + url->origin + ' ' + url->host + ' ' + std::to_string(url->port) + ' ' +
         url->authority + ' ' + url->target + (url->loopback ? " loopback" : "") + (url->tls ? " tls" : "") +
         (url->has_user ? " user" : "");
}

// One in its normal form is taken as it stands; with a fragment, which is dropped, the same one is taken apart.
TEST(ClientUrl, InItsNormalFormIsWhatTheParserReadsInIt) {
  for (const std::string url : {"http://a/",
                                "http://example.org/a/b?c=d",
                                "http://example.org:80/",
                                "http://example.org:8080/x",
                                "http://127.0.0.1:8080/a",
                                "http://127.1/",
                                "http://1.2.3.400/",
                                "http://0x7f.1/",
                                "http://1.2.3.04/",
                                "http://localhost/",
                                "http://a.localhost:81/",
                                "http://a-b.c/~x!$&'()*+,;=:@",
                                "http://a/b/../c",
                                "http://a/./b",
                                "http://a//b",
                                "http://a/?",
                                "http://a/b?c?d/../e",
                                "http://a./",
                                "http://a:0/",
                                "http://a:65536/",
                                "http://a:08/",
                                "http://a:/",
                                "http://A/",
                                "http://a",
                                "http://a?b",
                                "http://1/",
                                "http://a.1/",
                                "http://-a/",
                                "http://a..b/"}) {
    EXPECT_EQ(parts_of(url), parts_of(url + '#')) << url;
    const std::string secure = "https" + url.substr(4);
    EXPECT_EQ(parts_of(secure), parts_of(secure + '#')) << secure;
  }
  constexpr std::string_view letters = "abz019-._~/?:@=&;.%!//..";
  std::minstd_rand random(1);
  int taken = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string url = "http://";
    for (auto left = 1 + random() % 14; left != 0; --left) url += letters[random() % letters.size()];
    const std::string parts = parts_of(url);
    ASSERT_EQ(parts, parts_of(url + '#')) << url;
    if (parts != "none") ++taken;
  }
  EXPECT_GT(taken, 1000);
}

}  // namespace
}  // namespace curfew::http
