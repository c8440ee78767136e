#include <curfew/http/checked.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http.hpp>
#include <curfew/io/retry.hpp>
#include <curfew/io/testing.hpp>
#include <curfew/sync/retry.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "http/client_peer.hpp"
#include "run_coroutine.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using namespace std::chrono_literals;

response answer_of(status code, std::string_view retry = {}, std::string_view date = {}) {
  response made(code, "text/plain", "why");
  if (!retry.empty()) made.set("Retry-After", retry);
  if (!date.empty()) made.set("Date", date);
  return made;
}

TEST(Checked, ASuccessIsTheAnswer) {
  for (const auto code : {status::ok, status::created, status::no_content, static_cast<status>(299)}) {
    const auto reply = checked(answer_of(code));
    ASSERT_TRUE(reply) << code;
    EXPECT_EQ(reply->status(), code);
    EXPECT_EQ(reply->body(), "why");
  }
}

TEST(Checked, AnyOtherStatusIsAnErrorThatKeepsTheAnswer) {
  for (const auto code : {status::found, status::not_modified, status::not_found, status::bad_gateway}) {
    const auto reply = checked(answer_of(code), "fetching it");
    ASSERT_FALSE(reply) << code;
    EXPECT_TRUE(reply.error() == code);
    EXPECT_FALSE(reply.error() == status::gone);
    ASSERT_NE(reply.error().response(), nullptr);
    EXPECT_EQ(reply.error().response()->status(), code);
    EXPECT_EQ(reply.error().response()->body(), "why");
  }
  EXPECT_EQ(checked(answer_of(status::not_found), "fetching it").error().message(),
            "fetching it: 404 Not Found");
  EXPECT_EQ(checked(answer_of(status::not_found)).error().message(), "404 Not Found");
  EXPECT_EQ(checked(answer_of(static_cast<status>(499))).error().message(), "499");
}

TEST(Checked, AnErrorStaysWhatItWas) {
  const error lost(errc::connection_lost, "GET http://h/ : sending");
  const auto reply = checked(lost, "fetching it");
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().message(), lost.message());
  EXPECT_EQ(reply.error().response(), nullptr);
}

TEST(Checked, BecomesAResultOfTheCaller) {
  const auto fetch = []() -> result<std::string> {
    auto reply = checked(answer_of(status::forbidden));
    if (!reply) return reply.error();
    return reply->body();
  };
  const auto got = fetch();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), status::forbidden);
  const result<response> whole = checked(answer_of(status::forbidden));
  EXPECT_EQ(whole.error(), status::forbidden);
}

TEST(Checked, TheStatusesThatPassAreTransient) {
  for (unsigned code = 100; code < 600; ++code) {
    const bool passes =
        code == 408 || code == 425 || code == 429 || code == 502 || code == 503 || code == 504;
    EXPECT_EQ(error(static_cast<status>(code)).transient(), passes) << code;
  }
}

TEST(Checked, IsTriedAgainByRetry) {
  int calls = 0;
  peer server(answering([&](const std::string&) {
    return ++calls < 3 ? std::string("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n") : ok("there");
  }));
  client sender;
  const auto got =
      retry(background(), retry_policy().initial(1ms),
            [&](const context& ctx) -> result<response> { return checked(sender.get(ctx, server.url())); });
  ASSERT_TRUE(got) << got.error();
  EXPECT_EQ(got->body(), "there");
  EXPECT_EQ(calls, 3);
}

TEST(RetryAfter, IsSecondsOrADate) {
  constexpr std::string_view now = "Sun, 06 Nov 1994 08:49:37 GMT";
  const auto after = [&](std::string_view text) {
    return retry_after(answer_of(status::service_unavailable, text, now));
  };
  EXPECT_EQ(after("0"), 0s);
  EXPECT_EQ(after("120"), 120s);
  EXPECT_EQ(after("Sun, 06 Nov 1994 08:51:38 GMT"), 121s);
  EXPECT_EQ(after("Sunday, 06-Nov-94 08:49:47 GMT"), 10s);
  EXPECT_EQ(after("Sun Nov  6 08:50:37 1994"), 60s);
  EXPECT_EQ(after("Sat, 05 Nov 1994 08:49:37 GMT"), 0s) << "in the past";
  EXPECT_EQ(after("Tue, 29 Feb 2000 00:00:60 GMT"), 1h) << "of a leap second, and bounded";
}

TEST(RetryAfter, OfADateWithoutTheServersIsFromNow) {
  EXPECT_EQ(retry_after(answer_of(status::service_unavailable, "Fri, 01 Jan 2100 00:00:00 GMT"), 5min), 5min);
  EXPECT_EQ(retry_after(answer_of(status::service_unavailable, "Fri, 01 Jan 1999 00:00:00 GMT")), 0s);
  EXPECT_EQ(
      retry_after(answer_of(status::service_unavailable, "Fri, 01 Jan 2100 00:00:00 GMT", "soon"), 5min),
      5min);
}

TEST(RetryAfter, IsBounded) {
  EXPECT_EQ(retry_after(answer_of(status::ok, "3601")), 1h);
  EXPECT_EQ(retry_after(answer_of(status::ok, "99999999999999999999999999")), 1h);
  EXPECT_EQ(retry_after(answer_of(status::ok, "18446744073709551615"), 10s), 10s);
  EXPECT_EQ(retry_after(answer_of(status::ok, "7"), 1500ms), 1500ms);
  EXPECT_EQ(retry_after(answer_of(status::ok, "1"), 1500ms), 1s);
}

TEST(RetryAfter, IsNoneForAnythingElse) {
  EXPECT_EQ(retry_after(answer_of(status::ok)), std::nullopt);
  for (const char* text :
       {" ", "-1", "+1", "1.5", "1s", "soon", "Sun, 06 Nov 1994 08:49:37", "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Now 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 6 Nov 1994 08:49:37 GMT", ", ", "Sun Nov 66 08:49:37 1994", "Sun Nov  6 08:49:37 94 x"}) {
    EXPECT_EQ(retry_after(answer_of(status::ok, text)), std::nullopt) << text;
  }
}

/// Answers that ask to wait, and then one that does not.
class busy_at_first {
 public:
  explicit busy_at_first(std::string_view wait) : wait_(wait) {}

  std::expected<response, call_error> operator()(const context& ctx) {
    asked_at.push_back(ctx.now());
    return checked(asked_at.size() < 3 ? answer_of(status::service_unavailable, wait_)
                                       : answer_of(status::ok));
  }
  std::vector<clock::time_point> asked_at;

 private:
  std::string wait_;
};

TEST(ObeyingRetryAfter, WaitsAsTheServerAsks) {
  curfew::testing::manual_clock clock;
  clock.autojump();
  busy_at_first server("60");
  auto fetch = obeying_retry_after([&](const context& ctx) { return server(ctx); });
  const auto got = retry(clock.background(), retry_policy().initial(1ms), fetch);
  ASSERT_TRUE(got) << got.error();
  ASSERT_EQ(server.asked_at.size(), 3U);
  EXPECT_EQ(server.asked_at[1] - server.asked_at[0], 60s);
  EXPECT_EQ(server.asked_at[2] - server.asked_at[1], 60s);
}

TEST(ObeyingRetryAfter, WaitsInCoroutines) {
  curfew::testing::manual_clock clock;
  clock.autojump();
  busy_at_first server("60");
  const auto asks = [&](context ctx) -> boost::asio::awaitable<std::expected<response, call_error>> {
    co_return server(ctx);
  };
  auto fetch = obeying_retry_after(asks);
  const retry_policy policy = retry_policy().initial(1ms);
  const auto got = curfew::testing::run(clock, async_retry(clock.background(), policy, fetch));
  ASSERT_TRUE(got) << got.error();
  ASSERT_EQ(server.asked_at.size(), 3U);
  EXPECT_EQ(server.asked_at[2] - server.asked_at[0], 120s);
}

TEST(ObeyingRetryAfter, DoesNotWaitBeyondTheDeadline) {
  curfew::testing::manual_clock clock;
  clock.autojump();
  const auto scope = with_timeout(clock.background(), 90s);
  const auto begun = clock.now();
  busy_at_first server("60");
  auto fetch = obeying_retry_after([&](const context& ctx) { return server(ctx); });
  const auto got = retry(scope, retry_policy().initial(1ms), fetch);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::retry_too_late);
  EXPECT_THAT(got.error().doing(), ::testing::HasSubstr("503 Service Unavailable"));
  EXPECT_EQ(server.asked_at.size(), 2U);
  EXPECT_EQ(clock.now() - begun, 60s);
}

TEST(ObeyingRetryAfter, IsBounded) {
  curfew::testing::manual_clock clock;
  clock.autojump();
  busy_at_first server("86400");
  auto fetch = obeying_retry_after([&](const context& ctx) { return server(ctx); }, 5s);
  ASSERT_TRUE(retry(clock.background(), retry_policy().initial(1ms), fetch));
  EXPECT_EQ(server.asked_at[2] - server.asked_at[0], 10s);
}

}  // namespace
}  // namespace curfew::http
