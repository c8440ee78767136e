#include <curfew/http/url.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <curfew/core.hpp>
#include <curfew/http.hpp>
#include <curfew/http/testing.hpp>
#include <string>

namespace curfew::http {
namespace {

using ::testing::HasSubstr;

std::string built(const url& from) {
  const auto text = from.str();
  EXPECT_TRUE(text) << text.error();
  return text.value_or("");
}

std::string refused(const url& from) {
  const auto text = from.str();
  EXPECT_FALSE(text) << *text;
  if (text) return {};
  EXPECT_EQ(text.error(), errc::bad_url);
  EXPECT_FALSE(text.error().transient());
  return text.error().message();
}

TEST(Url, EncodesWhatIsNotPlainInSegmentsAndQueries) {
  EXPECT_EQ(built(url("https://api.example.org")
                      .segment("users")
                      .segment("a b/c?d#e%f;g=h&i+j\\k\"l")
                      .query("q", "x y&z=1+2#%")
                      .query("page", 3)),
            "https://api.example.org/users/a%20b%2Fc%3Fd%23e%25f%3Bg%3Dh%26i%2Bj%5Ck%22l"
            "?q=x%20y%26z%3D1%2B2%23%25&page=3");
  EXPECT_EQ(built(url("http://h/").segment("z\xc3\xbc").query("\xe2\x82\xac", "")),
            "http://h/z%C3%BC?%E2%82%AC=");
  EXPECT_EQ(built(url("http://h").segment(std::string_view("\0\r\n\x7f", 4))), "http://h/%00%0D%0A%7F");
  EXPECT_EQ(built(url("http://h").segment("-._~azAZ09")), "http://h/-._~azAZ09");
  EXPECT_EQ(built(url("http://h").segment(-1).segment(18446744073709551615U)),
            "http://h/-1/18446744073709551615");
}

TEST(Url, KeepsThePathAndTheQueryOfItsBase) {
  EXPECT_EQ(built(url("https://h:8443/a%2Fb/c?x=1").segment("d").query("y", 2)),
            "https://h:8443/a%2Fb/c/d?x=1&y=2");
  EXPECT_EQ(built(url("http://h/a/").segment("b")), "http://h/a/b");
  EXPECT_EQ(built(url("http://h?x=1&").query("y", 2)), "http://h?x=1&y=2");
  EXPECT_EQ(built(url("http://h?x").segment("a")), "http://h/a?x");
  EXPECT_EQ(built(url("http://user:pass@h/#top").segment("a").query("b", "c")), "http://user:pass@h/a?b=c");
  EXPECT_EQ(built(url("http://[::1]:8080").segment("a")), "http://[::1]:8080/a");
}

TEST(Url, ASegmentStaysOneSegment) {
  EXPECT_EQ(built(url("http://h").segment("users").segment("1/../admin")), "http://h/users/1%2F..%2Fadmin");
  EXPECT_EQ(built(url("http://h").segment("%2e%2e")), "http://h/%252e%252e");
  EXPECT_EQ(built(url("http://h").segment("...")), "http://h/...");
}

TEST(Url, RefusesSegmentsThatAreNone) {
  EXPECT_THAT(refused(url("http://h").segment("users").segment("..")),
              HasSubstr("the segment .. would lead up"));
  EXPECT_THAT(refused(url("http://h").segment(".")), HasSubstr("the segment . would be dropped"));
  EXPECT_THAT(refused(url("http://h/users").segment("")), HasSubstr("a segment of the path is empty"));
  EXPECT_THAT(refused(url("http://h").segment("..").segment("").segment("x")), HasSubstr("would lead up"))
      << "the first thing that is wrong";
}

TEST(Url, RefusesABaseThatIsNone) {
  for (const char* base : {"", "example.org", "/users", "ftp://h/", "http://", "http://a b/", "http:///users",
                           "http://h:99999/", "http://h\n/"}) {
    EXPECT_NE(refused(url(base).segment("x")), "") << base;
  }
  EXPECT_THAT(refused(url("https://user:secret@exa mple")), ::testing::Not(HasSubstr("secret")));
}

TEST(Url, ABadOneIsAnErrorOfTheCall) {
  const auto answer = http::get(background(), url("http://127.0.0.1:1/users").segment(".."));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error(), errc::bad_url);
  EXPECT_THAT(answer.error().message(),
              HasSubstr("GET http://127.0.0.1:1/users (the segment .. would lead up)"));
  const auto based = http::get(background(), url("ftp://127.0.0.1:1"));
  ASSERT_FALSE(based);
  EXPECT_EQ(based.error(), errc::bad_url) << based.error();
}

TEST(Url, AnEncodedSlashReachesTheServerAndItsRouterAsItWasSent) {
  router routes;
  auto admin = [](context, const request&) -> boost::asio::awaitable<response> {
    co_return text(status::ok, "admin");
  };
  auto user = [](context, const request& r) -> boost::asio::awaitable<response> {
    co_return text(status::ok, r.target() + ' ' + std::string(r.param("id")));
  };
  routes.get("/users/{id}", user);
  routes.get("/admin", admin);
  routes.get("/users/admin", admin);
  const curfew::testing::http_server server(routes);
  const auto answer =
      http::get(background(), url(server.url()).segment("users").segment("1/../admin").query("q", "a b"));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "/users/1%2F..%2Fadmin?q=a%20b 1/../admin");
}

}  // namespace
}  // namespace curfew::http
