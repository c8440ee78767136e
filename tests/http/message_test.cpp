#include <curfew/http/errc.hpp>
#include <curfew/http/message.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace curfew::http {
namespace {

TEST(Fields, NamesCompareWithoutCase) {
  fields f;
  f.add("Content-Type", "a/b");
  ASSERT_NE(f.find("content-TYPE"), nullptr);
  EXPECT_EQ(*f.find("content-TYPE"), "a/b");
  EXPECT_EQ(f.find("Content-Typ"), nullptr);
  EXPECT_FALSE(same_name("a[", "a{")) << "only letters have a case";
  EXPECT_TRUE(same_name("", ""));
}

TEST(Fields, KeepOrderAndDoubles) {
  fields f;
  f.add("A", "1");
  f.add("B", "2");
  f.add("a", "3");
  EXPECT_EQ(f.count("A"), 2U);
  EXPECT_EQ(*f.find("a"), "1");
  std::string all;
  for (const auto& [name, value] : f) all += name + value;
  EXPECT_EQ(all, "A1B2a3");
}

TEST(Fields, SetReplacesAllOfThatName) {
  fields f;
  f.add("A", "1");
  f.add("B", "2");
  f.add("a", "3");
  f.set("A", "4");
  EXPECT_EQ(f.count("A"), 1U);
  EXPECT_EQ(*f.find("A"), "4");
  EXPECT_EQ(f.size(), 2U);
  f.set("C", "5");
  f.erase("b");
  EXPECT_EQ(f.size(), 2U);
  EXPECT_EQ(f.find("B"), nullptr);
}

TEST(Request, QueryIsDecoded) {
  const request r("GET", "/p?a=1&b=x%20y+z&c&d=&a=2&e%3D=f&bad=%zz&bad=good&q=a=b");
  EXPECT_EQ(r.query("a"), "1");
  EXPECT_EQ(r.query("b"), "x y z");
  EXPECT_EQ(r.query("c"), "");
  EXPECT_EQ(r.query("d"), "");
  EXPECT_EQ(r.query("e="), "f");
  EXPECT_EQ(r.query("bad"), "good") << "what is malformed is as if absent";
  EXPECT_EQ(r.query("q"), "a=b");
  EXPECT_EQ(r.query("none"), std::nullopt);
  EXPECT_EQ(request("GET", "/p").query("a"), std::nullopt);
  EXPECT_EQ(request("GET", "/p?").query(""), std::nullopt);
}

TEST(Request, BodySetsItsType) {
  request r("POST", "http://host/");
  r.body("{}", "application/json").set("X", "1");
  EXPECT_EQ(r.body(), "{}");
  EXPECT_EQ(*r.fields().find("content-type"), "application/json");
}

TEST(Response, StatusLineHasTheReason) {
  EXPECT_EQ(response().status_line(), "HTTP/1.1 200 OK");
  EXPECT_EQ(response(status::gateway_timeout).status_line(), "HTTP/1.1 504 Gateway Timeout");
  EXPECT_EQ(response(static_cast<status>(299)).status_line(), "HTTP/1.1 299");
}

TEST(Response, ShortFormsSetTheType) {
  EXPECT_EQ(*text(status::ok, "x").fields().find("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_EQ(*json(status::ok, "{}").fields().find("Content-Type"), "application/json");
  const auto e = events([](context, body_writer) -> boost::asio::awaitable<void> { co_return; });
  EXPECT_EQ(*e.fields().find("Content-Type"), "text/event-stream");
  EXPECT_TRUE(e.source());
}

TEST(Event, KeepsLines) {
  EXPECT_EQ(event("x"), "data: x\n\n");
  EXPECT_EQ(event(""), "data: \n\n");
  EXPECT_EQ(event("a\nb\r\nc\rd", "n"), "event: n\ndata: a\ndata: b\ndata: c\ndata: d\n\n");
  EXPECT_EQ(event("a\n"), "data: a\ndata: \n\n");
  EXPECT_EQ(event("x", "n\ndata: forged"), "event: n\ndata: x\n\n") << "a name has one line";
}

TEST(Status, PrintsNumberAndReason) {
  std::ostringstream out;
  out << status::not_found << '|' << static_cast<status>(299);
  EXPECT_EQ(out.str(), "404 Not Found|299");
}

TEST(HttpErrc, HasMessagesAndConditions) {
  const std::error_code gone = errc::client_gone;
  EXPECT_EQ(gone.category().name(), std::string_view("curfew.http"));
  EXPECT_EQ(gone.message(), "client gone");
  EXPECT_EQ(make_error_code(errc::connection_refused), std::errc::connection_refused);
  EXPECT_EQ(make_error_code(errc::connection_lost), std::errc::connection_reset);
  EXPECT_EQ(make_error_code(errc::truncated_body), std::errc::connection_reset);
  for (int i = 1; i <= static_cast<int>(errc::bad_address); ++i) {
    EXPECT_THAT(http_category().message(i), testing::Not(testing::HasSubstr("unknown"))) << i;
  }
  EXPECT_EQ(http_category().message(99), "unknown http error 99");
}

}  // namespace
}  // namespace curfew::http
