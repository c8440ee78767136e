// What is not a request is refused in a way that the client, and every proxy between, can rely on.
#include <curfew/http/server.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io/wait.hpp>
#include <string>
#include <thread>
#include <tuple>

#include "http/raw_client.hpp"
#include "http/waiting.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::testing::http_server;
using ::testing::HasSubstr;
using tests::event;
using tests::eventually;
using tests::raw_client;

asio::awaitable<response> echo(context /*ctx*/, const request& r) {
  co_return text(status::ok, r.body().empty() ? r.target() : r.body());
}

router echo_routes() {
  router routes;
  routes.get("/", echo).post("/", echo).get("/{x}", echo);
  return routes;
}

struct refused {
  const char* name;
  int status;
  std::string bytes;
};

class Refuses : public ::testing::TestWithParam<refused> {};

TEST_P(Refuses, AndClosesTheConnection) {
  http_server s(echo_routes());
  raw_client client(s.port());
  client.try_send(GetParam().bytes);
  // Whatever comes behind is not a second request: that is what smuggling would be.
  client.try_send("GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n");
  const auto r = client.read_response();
  EXPECT_EQ(r.status, GetParam().status) << r.head;
  EXPECT_EQ(r.field("Connection"), "close");
  EXPECT_EQ(client.read_to_end(), "");
}

std::string get_with(const std::string& fields) { return "GET / HTTP/1.1\r\nHost: t\r\n" + fields + "\r\n"; }
std::string post_with(const std::string& fields, const std::string& body) {
  return "POST / HTTP/1.1\r\nHost: t\r\n" + fields + "\r\n" + body;
}
std::string chunked(const std::string& body) { return post_with("Transfer-Encoding: chunked\r\n", body); }

INSTANTIATE_TEST_SUITE_P(
    , Refuses,
    ::testing::Values(
        refused{"NoRequest", 400, "hello\r\n\r\n"}, refused{"NoVersion", 400, "GET /\r\n\r\n"},
        refused{"TwoBlanks", 400, "GET  / HTTP/1.1\r\nHost: t\r\n\r\n"},
        refused{"ALowerCaseVersion", 400, "GET / http/1.1\r\nHost: t\r\n\r\n"},
        refused{"Http2", 505, "GET / HTTP/2.0\r\nHost: t\r\n\r\n"},
        refused{"Http09", 505, "GET / HTTP/0.9\r\nHost: t\r\n\r\n"},
        refused{"TheHttp2Preface", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
        refused{"ABadMethod", 400, "G(T / HTTP/1.1\r\nHost: t\r\n\r\n"},
        refused{"Connect", 501, "CONNECT t:80 HTTP/1.1\r\nHost: t\r\n\r\n"},
        refused{"ARelativeTarget", 400, "GET x HTTP/1.1\r\nHost: t\r\n\r\n"},
        refused{"AnotherScheme", 400, "GET ftp://t/ HTTP/1.1\r\nHost: t\r\n\r\n"},
        refused{"AnAsteriskForGet", 400, "GET * HTTP/1.1\r\nHost: t\r\n\r\n"},
        refused{"AFragment", 400, "GET /a#b HTTP/1.1\r\nHost: t\r\n\r\n"},
        refused{"NulInTheTarget", 400, std::string("GET /\0 HTTP/1.1\r\nHost: t\r\n\r\n", 29)},
        refused{"NoHost", 400, "GET / HTTP/1.1\r\n\r\n"},
        refused{"TwoHosts", 400, "GET / HTTP/1.1\r\nHost: t\r\nHost: t\r\n\r\n"},
        refused{"ABadHost", 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
        refused{"AHostWithABlank", 400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
        refused{"BareLineFeeds", 400, "GET / HTTP/1.1\nHost: t\n\n\r\n\r\n"},
        refused{"ABareLineFeedInAField", 400, get_with("A: b\nTransfer-Encoding: chunked\r\n")},
        refused{"ABareReturnInAField", 400, get_with("A: b\rc\r\n")},
        refused{"NulInAField", 400, get_with(std::string("A: \0\r\n", 6))},
        refused{"ABlankBeforeTheColon", 400, post_with("Content-Length : 3\r\n", "abc")},
        refused{"AFieldWithoutAName", 400, get_with(": x\r\n")},
        refused{"AFieldWithoutAColon", 400, get_with("x\r\n")},
        refused{"AFoldedFirstField", 400, "GET / HTTP/1.1\r\n Host: t\r\n\r\n"},
        refused{"LengthAndChunked", 400,
                post_with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")},
        refused{"ChunkedAndLength", 400,
                post_with("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n")},
        refused{"TwoLengths", 400, post_with("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd")},
        refused{"TheSameLengthTwice", 400, post_with("Content-Length: 3\r\nContent-Length: 3\r\n", "abc")},
        refused{"AListOfLengths", 400, post_with("Content-Length: 3, 3\r\n", "abc")},
        refused{"ANegativeLength", 400, post_with("Content-Length: -1\r\n", "abc")},
        refused{"ALengthWithAPlus", 400, post_with("Content-Length: +3\r\n", "abc")},
        refused{"AHexLength", 400, post_with("Content-Length: 0x3\r\n", "abc")},
        refused{"AnEmptyLength", 400, post_with("Content-Length:\r\n", "abc")},
        refused{"AnOverflowingLength", 400, post_with("Content-Length: 18446744073709551619\r\n", "abc")},
        refused{"TwoEncodings", 400,
                post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")},
        refused{"ChunkedTwice", 501, post_with("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n")},
        refused{"AnotherEncoding", 400, post_with("Transfer-Encoding: gzip\r\n", "0\r\n\r\n")},
        refused{"AnotherEncodingBeforeChunked", 501,
                post_with("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")},
        refused{"ChunkedNotLast", 400, post_with("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")},
        refused{"ChunkedWithATail", 400, post_with("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")},
        refused{"AVerticalTabBeforeChunked", 400,
                post_with("Transfer-Encoding: \x0b"
                          "chunked\r\n",
                          "0\r\n\r\n")},
        refused{"ChunkedInHttp10", 400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        refused{"AChunkWithoutASize", 400, chunked("\r\nabc\r\n0\r\n\r\n")},
        refused{"AChunkWithABadSize", 400, chunked("xyz\r\nabc\r\n0\r\n\r\n")},
        refused{"AChunkWith0x", 400, chunked("0x3\r\nabc\r\n0\r\n\r\n")},
        refused{"ANegativeChunk", 400, chunked("-1\r\nabc\r\n0\r\n\r\n")},
        refused{"AnOverflowingChunk", 400, chunked("10000000000000003\r\nabc\r\n0\r\n\r\n")},
        refused{"AChunkLongerThanItsSize", 400, chunked("2\r\nabc\r\n0\r\n\r\n")},
        refused{"AChunkSizeWithABareLineFeed", 400, chunked("3\nabc\r\n0\r\n\r\n")},
        refused{"AnExpectationWeDoNotKnow", 417, post_with("Expect: tea\r\nContent-Length: 3\r\n", "abc")},
        refused{"ALongTarget", 414, "GET /" + std::string(20'000, 'a') + " HTTP/1.1\r\nHost: t\r\n\r\n"},
        refused{"AnEndlessTarget", 414, "GET /" + std::string(100'000, 'a')},
        refused{"ALongField", 431, get_with("A: " + std::string(20'000, 'a') + "\r\n")},
        refused{"AnEndlessField", 431, "GET / HTTP/1.1\r\nHost: t\r\nA: " + std::string(100'000, 'a')},
        refused{"ABodyThatSaysItIsTooLong", 413, post_with("Content-Length: 1048577\r\n", "abc")}),
    [](const auto& of) { return of.param.name; });

TEST(ServerProtocol, RefusesManySmallFields) {
  http_server s(echo_routes());
  raw_client client(s.port());
  client.send("GET / HTTP/1.1\r\nHost: t\r\n");
  std::string field = "A: b\r\n";
  for (int i = 0; i < 10'000; ++i) client.try_send(field);  // in as many pieces as the network makes of them
  EXPECT_EQ(client.read_response().status, 431);
  EXPECT_TRUE(client.is_closed());
}

TEST(ServerProtocol, RefusesAChunkedBodyThatGrowsTooLong) {
  http_server s(echo_routes(), server_options().max_body_size(10'000));
  raw_client client(s.port());
  client.try_send(chunked(""));
  for (int i = 0; i < 11; ++i) client.try_send("3e8\r\n" + std::string(1000, 'x') + "\r\n");
  EXPECT_EQ(client.read_response().status, 413);
  EXPECT_TRUE(client.is_closed());
}

TEST(ServerProtocol, RefusesAnEndlessChunkExtension) {
  http_server s(echo_routes());
  raw_client client(s.port());
  client.try_send(chunked("3;x=") + std::string(200'000, 'y'));
  EXPECT_EQ(client.read_response().status, 400);
  raw_client trailer(s.port());
  trailer.try_send(chunked("0\r\nA: ") + std::string(200'000, 'y'));
  EXPECT_EQ(trailer.read_response().status, 400);
}

TEST(ServerProtocol, AClientThatStillSendsSeesWhyItWasRefused) {
  http_server s(echo_routes());
  for (int i = 0; i < 5; ++i) {
    raw_client client(s.port());
    client.send(post_with("Content-Length: 50000000\r\n", ""));
    std::thread sends([&] { client.try_send(std::string(5'000'000, 'x')); });
    EXPECT_EQ(client.read_response().status, 413);
    client.stop_sending();
    sends.join();
  }
}

TEST(ServerProtocol, TakesExactlyTheLargestBody) {
  http_server s(echo_routes(), server_options().max_body_size(1000));
  raw_client client(s.port());
  client.send(post_with("Content-Length: 1000\r\n", std::string(1000, 'x')));
  EXPECT_EQ(client.read_response().body.size(), 1000U);
  client.send(chunked("3e8\r\n" + std::string(1000, 'x') + "\r\n0\r\n\r\n"));
  EXPECT_EQ(client.read_response().body.size(), 1000U);
}

TEST(ServerProtocol, SaysContinueToWhomWaitsForIt) {
  http_server s(echo_routes());
  raw_client client(s.port());
  for (int i = 0; i < 2; ++i) {
    client.send(post_with("Expect: 100-continue\r\nContent-Length: 3\r\n", ""));
    EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abc");
    EXPECT_EQ(client.read_response().body, "abc");
  }
  client.send(post_with("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", ""));
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("1\r\nx\r\n0\r\n\r\n");
  EXPECT_EQ(client.read_response().body, "x");
}

TEST(ServerProtocol, DoesNotSayContinueWhereTheBodyIsThereOrNotWanted) {
  http_server s(echo_routes());
  raw_client there(s.port());
  there.send(post_with("Expect: 100-continue\r\nContent-Length: 3\r\n", "abc"));
  EXPECT_EQ(there.read_response().status, 200);
  there.send(
      "POST / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  there.send("abc");
  EXPECT_EQ(there.read_response().status, 200) << "HTTP/1.0 has no 100";

  raw_client large(s.port());
  large.send(post_with("Expect: 100-continue\r\nContent-Length: 99999999\r\n", ""));
  EXPECT_EQ(large.read_response().status, 413);
  raw_client unknown(s.port());
  unknown.send("POST /none/at/all HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  const auto r = unknown.read_response();
  EXPECT_EQ(r.status, 404);
  EXPECT_EQ(r.field("Connection"), "close") << "whether the body still comes is not known";
  raw_client late(s.port());
  late.send(post_with("Expect: 100-continue\r\nContent-Length: 3\r\nRequest-Timeout-Ms: 0\r\n", ""));
  EXPECT_EQ(late.read_response().status, 504);
}

TEST(ServerProtocol, ABodyForNobodyIsReadAndTheConnectionKept) {
  http_server s(echo_routes());
  raw_client client(s.port());
  client.send("POST /none/at/all HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_EQ(client.read_response().status, 404);
  client.send("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_EQ(client.read_response().status, 405);
  EXPECT_EQ(client.get("/x").body, "/x");
}

TEST(ServerProtocol, TakesTheAbsoluteForm) {
  http_server s(echo_routes());
  raw_client client(s.port());
  EXPECT_EQ(client.get("http://t/x").body, "http://t/x");
  EXPECT_EQ(client.get("http://t").status, 200);
}

TEST(ServerProtocol, AFoldedFieldIsRefused) {
  http_server s(echo_routes());
  raw_client client(s.port());
  EXPECT_EQ(client.get("/", "X-Folded: a\r\n   b\r\n").status, 400);
}

TEST(ServerTimeout, AHeaderThatDoesNotCome) {
  http_server s(echo_routes(), server_options().header_timeout(50ms));
  raw_client silent(s.port());
  EXPECT_EQ(silent.read_to_end(), "") << "nothing was asked, nothing is answered";
  raw_client slow(s.port());
  slow.send("GET / HTTP/1.1\r\nHost");
  const auto r = slow.read_response();
  EXPECT_EQ(r.status, 408);
  EXPECT_EQ(r.field("Connection"), "close");
  EXPECT_TRUE(slow.is_closed());
}

TEST(ServerTimeout, AHeaderThatComesByteByByte) {
  http_server s(echo_routes(), server_options().header_timeout(100ms));
  raw_client client(s.port());
  const std::string endless = get_with("A: " + std::string(10'000, 'a'));
  event answered;
  std::thread drips([&] {
    for (const char c : endless) {
      if (answered.is_set()) return;
      client.try_send(std::string_view(&c, 1));
      std::this_thread::sleep_for(2ms);
    }
  });
  EXPECT_EQ(client.read_response().status, 408);
  answered.set();
  drips.join();
}

TEST(ServerTimeout, ABodyThatDoesNotCome) {
  http_server s(echo_routes(), server_options().body_timeout(50ms));
  raw_client client(s.port());
  client.send(post_with("Content-Length: 10\r\n", "abc"));
  EXPECT_EQ(client.read_response().status, 408);
  EXPECT_TRUE(client.is_closed());
}

TEST(ServerTimeout, AnIdleConnection) {
  http_server s(echo_routes(), server_options().idle_timeout(50ms));
  raw_client client(s.port());
  EXPECT_EQ(client.get("/").status, 200);
  EXPECT_EQ(client.read_to_end(), "");
}

TEST(ServerTimeout, DoesNotHitARunningHandler) {
  event go;
  router routes;
  routes.get("/", [&](context ctx, const request&) -> asio::awaitable<response> {
    while (!go.is_set()) std::ignore = co_await async_sleep_for(ctx, 1ms);
    co_return text(status::ok, "x");
  });
  http_server s(routes, server_options().idle_timeout(20ms).header_timeout(20ms).body_timeout(20ms));
  raw_client client(s.port());
  client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  std::this_thread::sleep_for(100ms);
  go.set();
  EXPECT_EQ(client.read_response().status, 200);
}

TEST(ServerLimit, MoreConnectionsThanAllowedWaitTheirTurn) {
  http_server s(echo_routes(), server_options().max_connections(2).threads(2));
  raw_client first(s.port());
  raw_client second(s.port());
  EXPECT_EQ(first.get("/").status, 200);
  EXPECT_EQ(second.get("/").status, 200);
  raw_client third(s.port());
  third.send("GET /third HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(first.get("/").status, 200);
  first.close();
  EXPECT_EQ(third.read_response().body, "/third");
  EXPECT_EQ(second.get("/").status, 200);
}

}  // namespace
}  // namespace curfew::http
