#include "http/wire/response_head.hpp"

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <string>

namespace curfew::http {
namespace {

constexpr std::string_view date = "Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n";

struct head {
  std::optional<framing> how;
  std::string text;
  bool keep_alive;
};

head head_of(const response& what, head_options options = {}) {
  head made{std::nullopt, "before", false};
  made.how = append_head(made.text, what, date, options);
  made.keep_alive = options.keep_alive;
  return made;
}

response streaming() {
  return stream("text/plain", [](context, body_writer) -> boost::asio::awaitable<void> { co_return; });
}

head_options options(bool is_head, bool http11, bool keep_alive) {
  head_options made;
  made.is_head = is_head;
  made.http11 = http11;
  made.keep_alive = keep_alive;
  return made;
}

TEST(ResponseHead, HasStatusFieldsDateAndLength) {
  const auto h = head_of(text(status::not_found, "none"));
  EXPECT_EQ(h.how, framing::sized);
  EXPECT_EQ(h.text, "beforeHTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n" +
                        std::string(date) + "Content-Length: 4\r\n\r\n");
  EXPECT_TRUE(h.keep_alive);
}

TEST(ResponseHead, KeepsTheBlankBehindAStatusWithoutAReason) {
  EXPECT_EQ(head_of(response(static_cast<status>(299))).text.substr(6, 15), "HTTP/1.1 299 \r\n");
}

TEST(ResponseHead, ChoosesTheFraming) {
  EXPECT_EQ(head_of(response(status::no_content)).how, framing::none);
  EXPECT_EQ(head_of(response(status::not_modified)).how, framing::none);
  EXPECT_EQ(head_of(response(), options(true, true, true)).how, framing::none);
  EXPECT_EQ(head_of(streaming()).how, framing::chunked);
  EXPECT_EQ(head_of(streaming(), options(true, true, true)).how, framing::none);
  const auto old = head_of(streaming(), options(false, false, true));
  EXPECT_EQ(old.how, framing::until_close);
  EXPECT_FALSE(old.keep_alive) << "the end of the connection is the end of the body";
}

TEST(ResponseHead, SaysWhetherTheConnectionStays) {
  EXPECT_EQ(head_of(response()).text.find("Connection"), std::string::npos) << "HTTP/1.1 keeps it";
  EXPECT_NE(head_of(response(), options(false, true, false)).text.find("Connection: close\r\n"),
            std::string::npos);
  EXPECT_NE(head_of(response(), options(false, false, true)).text.find("Connection: keep-alive\r\n"),
            std::string::npos);
  response asks;
  asks.set("Connection", "upgrade, Close");
  const auto h = head_of(asks);
  EXPECT_FALSE(h.keep_alive) << "a handler may close it";
  EXPECT_EQ(h.text.find("upgrade"), std::string::npos);
}

TEST(ResponseHead, LeavesOutWhatAHandlerSaysAboutFraming) {
  response r = text(status::ok, "four");
  r.set("Content-Length", "2").set("Transfer-Encoding", "gzip").set("Keep-Alive", "timeout=5");
  r.set("Date", "today");
  const auto h = head_of(r);
  EXPECT_NE(h.text.find("Content-Length: 4\r\n"), std::string::npos);
  for (const auto* out : {"Content-Length: 2", "Transfer-Encoding", "Keep-Alive", "1994"}) {
    EXPECT_EQ(h.text.find(out), std::string::npos) << out;
  }
  EXPECT_NE(h.text.find("Date: today\r\n"), std::string::npos) << "a date of its own stands";
}

TEST(ResponseHead, RefusesWhatWouldBeReadOtherwise) {
  const auto refused = [](const response& r) {
    const auto h = head_of(r);
    EXPECT_EQ(h.text, "before");
    return !h.how;
  };
  EXPECT_TRUE(refused(response(static_cast<status>(100))));
  EXPECT_TRUE(refused(response(static_cast<status>(1000))));
  response split;
  split.set("Location", "/x\r\nSet-Cookie: a=b");
  EXPECT_TRUE(refused(split));
  response name;
  name.set("X Y", "z");
  EXPECT_TRUE(refused(name));
}

}  // namespace
}  // namespace curfew::http
