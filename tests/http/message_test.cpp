#include <curfew/http/message.hpp>

#include <gtest/gtest.h>

#include <string>

namespace curfew::http {
namespace {

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

TEST(Request, OfAClientHasNoOtherEnd) {
  const request r("GET", "http://host/");
  EXPECT_EQ(r.remote(), "");
  EXPECT_EQ(r.client_address(), "");
  EXPECT_EQ(r.client_scheme(), "http");
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

}  // namespace
}  // namespace curfew::http
