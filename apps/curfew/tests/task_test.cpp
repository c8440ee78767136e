#include "task.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace curfew_program {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;

constexpr const char* zombie = R"json({
  "id": "0000000a00000003", "parent": "0000000a00000001", "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
  "kind": "request", "name": "GET /report", "where": {"file": "src/report.cpp", "line": 71, "function": "void report()"},
  "path": "background.with_timeout(3s)", "opened_ns": 1000000000, "remaining_ms": 0, "state": "zombie", "detached": false,
  "waits": {"what": "channel receive", "on": null},
  "told": {"err": "canceled", "cause": "client gone", "at_ns": 2000000000, "cpu_ms": 0.25},
  "cpu_ms": 12.75, "thread": 4713, "values": [{"key": "trace id", "text": "7f3a"}]})json";

TEST(ReadTasks, TakesWhatTheGuidePromises) {
  const auto list = read_tasks(R"({"now_ns": 3000000000, "tasks": [)" + std::string(zombie) +
                               R"(], "seen": 9, "matching": 1})");
  ASSERT_TRUE(list) << list.error();
  EXPECT_EQ(list->seen, 9U);
  EXPECT_EQ(list->matching, 1U);
  ASSERT_EQ(list->tasks.size(), 1U);
  const auto& task = list->tasks.front();
  EXPECT_EQ(task.id, "0000000a00000003");
  EXPECT_EQ(task.parent, "0000000a00000001");
  EXPECT_EQ(task.trace, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(task.state, state::zombie);
  EXPECT_DOUBLE_EQ(task.age_ms, 2000);
  EXPECT_EQ(task.line, 71U);
  ASSERT_TRUE(task.waits);
  EXPECT_EQ(task.waits->what, "channel receive");
  EXPECT_EQ(task.waits->on, "");
  ASSERT_TRUE(task.told);
  EXPECT_DOUBLE_EQ(task.told->ago_ms, 1000);
  EXPECT_EQ(why(task.told->err, task.told->cause), "canceled: client gone");
  EXPECT_THAT(task.values, ::testing::ElementsAre(Pair("trace id", "7f3a")));
  EXPECT_EQ(budget_of(task, 500), "1.5 s past its end");
}

TEST(ReadTasks, WhatIsAbsentOrOfAnotherTypeIsAsIfItWereNotThere) {
  const auto list = read_tasks(
      R"({"tasks": [{"id": "1", "name": 7, "where": [], "told": "x", "waits": null, "values": [1, {}], "cpu_ms": "y",
          "opened_ns": 1.5, "thread": 1e300, "state": "asleep"}, {"name": "without an id"}, 3, null]})");
  ASSERT_TRUE(list) << list.error();
  ASSERT_EQ(list->tasks.size(), 1U);
  const auto& task = list->tasks.front();
  EXPECT_EQ(task.name, "");
  EXPECT_EQ(task.thread, 0);
  EXPECT_FALSE(task.told);
  EXPECT_FALSE(task.waits);
  EXPECT_EQ(task.state, state::waiting);
  EXPECT_EQ(budget_of(task, 0), "no deadline");
}

TEST(ReadTasks, SaysWhatIsWrong) {
  EXPECT_THAT(read_tasks("<html>").error(), HasSubstr("no JSON"));
  EXPECT_THAT(read_tasks("[]").error(), HasSubstr("there is no \"tasks\""));
  EXPECT_THAT(read_tasks(std::string(100'000, '[')).error(), HasSubstr("no JSON"))
      << "a depth that needs stack";
}

TEST(ReadTasks, NothingInATextSteersATerminal) {
  const auto list =
      read_tasks(R"({"tasks": [{"id": "1\u001b[0m", "name": "\u001b]0;x\u0007", "path": "\u009b1m"}]})");
  ASSERT_TRUE(list);
  EXPECT_EQ(list->tasks.front().id, "1\\x1b[0m");
  EXPECT_EQ(list->tasks.front().name, "\\x1b]0;x\\x07");
  EXPECT_EQ(list->tasks.front().path, "\\x9b1m");
}

TEST(ReadLook, HoldsTotalsAndTasks) {
  const auto now =
      read_look(R"({"now_ns": 3000000000, "totals": {"open": 4, "told": 2, "zombies": 1, "zombies_ever": 7,
      "cpu_ms": 1.5, "cpu_for_nobody_ms": 0.5, "cpu_of_process_ms": 2.5}, "tasks": [)" +
                std::string(zombie) + R"(], "others": 3})");
  ASSERT_TRUE(now) << now.error();
  EXPECT_EQ(now->totals.zombies_ever, 7U);
  EXPECT_DOUBLE_EQ(now->totals.cpu_for_nobody_ms, 0.5);
  EXPECT_EQ(now->tasks.size(), 1U);
  EXPECT_EQ(now->others, 3U);
}

TEST(ReadStacks, AFrameIsALine) {
  const auto stacks =
      read_stacks(R"({"now_ns": 1, "threads": [{"task": "0000000a00000003", "kind": "add up", "name": "2026",
      "thread": 4713, "error": null, "frames": [
        {"function": "add_up", "offset": 31, "file": "report.cpp", "line": 71, "module": "/usr/bin/shop", "address": "0x55"},
        {"function": null, "offset": 0, "file": null, "line": 0, "module": "/lib/libc.so.6", "address": "0x77"}]},
      {"thread": 1, "frames": [], "error": "the thread is gone"}]})");
  ASSERT_TRUE(stacks) << stacks.error();
  ASSERT_EQ(stacks->size(), 2U);
  EXPECT_THAT(stacks->front().frames,
              ::testing::ElementsAre("add_up  report.cpp:71", "0x77  in /lib/libc.so.6"));
  EXPECT_EQ(stacks->back().error, "the thread is gone");
}

TEST(ReadRefusal, IsTheTextOfTheError) {
  EXPECT_EQ(read_refusal(R"({"error": "the token is missing\u001b"})"), "the token is missing\\x1b");
  EXPECT_EQ(read_refusal("<html>"), "");
  EXPECT_EQ(read_refusal(R"({"error": 7})"), "");
}

}  // namespace
}  // namespace curfew_program
