#include <gtest/gtest.h>

#include <curfew/core.hpp>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace curfew {
namespace {

constexpr auto example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceContext, IsReadAndWrittenAsTheStandardSays) {
  const auto read = trace_context::parse(example);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->id_high, 0x4bf92f3577b34da6U);
  EXPECT_EQ(read->id_low, 0xa3ce929d0e0e4736U);
  EXPECT_EQ(read->span, 0x00f067aa0ba902b7U);
  EXPECT_EQ(read->flags, 1);
  EXPECT_EQ(read->id(), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(read->traceparent(), example);
}

TEST(TraceContext, OfALaterVersionIsReadAsFarAsItIsKnown) {
  const auto read =
      trace_context::parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-what-will-be");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->flags, 3);
  EXPECT_TRUE(trace_context::parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-"));
}

TEST(TraceContext, WhatIsMalformedIsNone) {
  for (const auto* bad : {
           "",
           "00",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
           " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what",
           "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b77-01",
       }) {
    EXPECT_FALSE(trace_context::parse(bad)) << '"' << bad << '"';
  }
}

TEST(TraceContext, NoTwoThatBeginAreOne) {
  std::vector<std::vector<std::string>> of_threads(4);
  {
    std::vector<std::jthread> threads;
    for (auto& ids : of_threads) {
      threads.emplace_back([&ids] {
        for (int i = 0; i != 1000; ++i) ids.push_back(trace_context::begin().id());
      });
    }
  }
  std::set<std::string> all;
  for (const auto& ids : of_threads) all.insert(ids.begin(), ids.end());
  EXPECT_EQ(all.size(), 4000U);
}

TEST(TraceContext, IsAValueThatLogsAndInspectionMayShow) {
  const auto ctx = with_value(background(), trace, *trace_context::parse(example));
  ASSERT_NE(ctx.value(trace), nullptr);
  EXPECT_EQ(ctx.path(), "background.with_value(trace=\"4bf92f3577b34da6a3ce929d0e0e4736\")");
  std::ostringstream printed;
  printed << *ctx.value(trace);
  EXPECT_EQ(printed.str(), "4bf92f3577b34da6a3ce929d0e0e4736");
}

}  // namespace
}  // namespace curfew
