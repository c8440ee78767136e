#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <curfew/core.hpp>
#include <curfew/http.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "http/both_engines.hpp"
#include "http/message/trace_fields.hpp"

namespace curfew::http {
namespace {

constexpr auto example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

context part_of(std::string state = {}) {
  auto t = *trace_context::parse(example);
  t.state = std::move(state);
  return with_value(background(), trace, t);
}

TEST(TraceOnTheWire, IsReadFromOneFieldAndAnyNumberOfStates) {
  fields from;
  EXPECT_FALSE(read_trace(from));
  from.add("TraceParent", example);
  from.add("tracestate", "a=1, b=2");
  from.add("X-Other", "1");
  from.add("Tracestate", "");
  from.add("Tracestate", "c=3");
  const auto read = read_trace(from);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->traceparent(), example);
  EXPECT_EQ(read->state, "a=1, b=2,c=3");
}

TEST(TraceOnTheWire, IsNoneWhereItIsMalformedOrThereTwice) {
  fields from;
  from.add("traceparent", "00-what");
  EXPECT_FALSE(read_trace(from));
  from.set("traceparent", example);
  from.add("traceparent", example);
  EXPECT_FALSE(read_trace(from));
}

TEST(TraceOnTheWire, ALongStateIsLeftOut) {
  fields from;
  from.add("traceparent", example);
  from.add("tracestate", "a=" + std::string(511, 'x'));
  EXPECT_EQ(read_trace(from)->state, "");
}

TEST(TraceOnTheWire, NamesTheCallAsTheSpan) {
  EXPECT_FALSE(trace_to_send(background(), 0));
  EXPECT_EQ(trace_to_send(part_of("a=1"), 0)->parent, example);
  EXPECT_EQ(trace_to_send(part_of("a=1"), 0)->state, "a=1");
  EXPECT_EQ(trace_to_send(part_of(), 0xabc)->parent,
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000abc-01");
  EXPECT_EQ(trace_context::parse(trace_to_send(background(), 0xabc)->parent)->span, 0xabcU);
}

TEST(TraceOnTheWire, GoesOnWhereNothingNamesTheCaller) {
  const auto begun = with_value(background(), trace, trace_context::begin());
  const auto sent = trace_to_send(begun, 0);
  ASSERT_TRUE(sent);
  const auto read = trace_context::parse(sent->parent);
  ASSERT_TRUE(read) << sent->parent;
  EXPECT_EQ(read->id(), begun.value(trace)->id());
}

TEST(TraceOnTheWire, AStateThatWouldEndTheFieldIsNotSent) {
  const auto sent = trace_to_send(part_of("a=1\r\nX-Evil: 1"), 0);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->state, "");
}

/// A server that answers with the trace of the request's context, and passes calls on.
class TraceThroughAServer : public ::testing::Test {
 protected:
  static std::string text_of(const context& ctx) {
    const auto* found = ctx.value(trace);
    return found == nullptr ? "none" : found->traceparent() + ' ' + found->state;
  }

  TraceThroughAServer() {
    router routes;
    routes.get("/trace", [](context ctx, const request&) -> boost::asio::awaitable<response> {
      co_return text(status::ok, text_of(ctx));
    });
    routes.get("/on", [this](context ctx, const request&) -> boost::asio::awaitable<response> {
      const std::string next = served->url() + "/trace";
      auto got = co_await async_get(ctx, next);
      co_return text(status::ok, got ? got->body() : got.error().message());
    });
    served.emplace(std::move(routes));
    EXPECT_TRUE(served->listen());
    serving = std::thread([this] { EXPECT_TRUE(served->serve(life)); });
  }
  ~TraceThroughAServer() override {
    life.cancel();
    serving.join();
  }

  std::string ask(const context& ctx, const std::string& path, const char* parent = nullptr) {
    request what("GET", served->url() + path);
    if (parent != nullptr) what.fields().add("traceparent", parent);
    const auto got = client().send(ctx, std::move(what));
    return got ? got->body() : got.error().message();
  }

  cancel_scope life = with_cancel(background());
  std::optional<server> served;
  std::thread serving;
};

TEST_F(TraceThroughAServer, IsInTheContextOfARequest) {
  EXPECT_EQ(ask(part_of("a=1"), "/trace"), std::string(example) + " a=1");
}

TEST_F(TraceThroughAServer, IsPassedOnByTheClient) {
  EXPECT_EQ(ask(part_of("a=1"), "/on"), std::string(example) + " a=1");
}

TEST_F(TraceThroughAServer, IsNoneWhereNothingBeganOne) {
  EXPECT_EQ(ask(background(), "/on"), "none");
  EXPECT_EQ(ask(background(), "/trace", "garbage"), "none");
}

TEST_F(TraceThroughAServer, WhatTheCallerSetsStays) {
  constexpr auto other = "00-11111111111111111111111111111111-2222222222222222-00";
  EXPECT_EQ(ask(part_of(), "/trace", other), std::string(other) + ' ');
}

using client_tests::conversation;

class TraceOfACall : public client_tests::OverBothEngines {};
CURFEW_OVER_BOTH_ENGINES(TraceOfACall);

TEST_P(TraceOfACall, IsSentBesideTheCallersFields) {
  std::string header;
  client_tests::engine_peer peer(GetParam(), [&](conversation& c) {
    header = c.read_header();
    c.write("HTTP/1.1 204 No Content\r\n\r\n");
  });
  ASSERT_TRUE(sender.send(part_of("a=1"), request("GET", peer.url())));
  EXPECT_TRUE(header.contains(std::string("\r\ntraceparent: ") + example + "\r\n")) << header;
  EXPECT_TRUE(header.contains("\r\ntracestate: a=1\r\n")) << header;
}

}  // namespace
}  // namespace curfew::http
