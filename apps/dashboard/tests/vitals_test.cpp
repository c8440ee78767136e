#include "services/vitals/vitals.hpp"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <chrono>
#include <curfew/core/cancel_scope.hpp>
#include <map>
#include <string>

#include "services/vitals/proc_files.hpp"
#include "temporary_tree.hpp"

namespace curfew_dashboard {
namespace {

using namespace std::chrono_literals;
using tests::temporary_tree;

void write_process(const temporary_tree& proc, int pid, const std::string& name, int rss_pages) {
  std::string stat = std::to_string(pid) + " (" + name + ") S";
  for (int field = 4; field <= 23; ++field) stat += " 7";
  proc.write(std::to_string(pid) + "/stat", stat + ' ' + std::to_string(rss_pages) + " 0 0\n");
}

void write_machine(const temporary_tree& proc) {
  proc.write("meminfo",
             "MemTotal:        1000 kB\nMemFree:  1 kB\nMemAvailable:     400 kB\nSwapTotal: 20 "
             "kB\nSwapFree: 10 kB\n");
  proc.write("loadavg", "0.25 1.50 2.00 1/100 4711\n");
  proc.write("uptime", "1234.56 99.0\n");
  proc.write("sys/kernel/hostname", "box\n");
  proc.write("sys/kernel/ostype", "Linux\n");
  proc.write("sys/kernel/osrelease", "6.1.0\n");
}

/// Reads `proc`; each process uses as much CPU as `per_look` says between two looks.
vitals_source fake(const temporary_tree& proc, std::map<pid_t, std::chrono::nanoseconds> per_look) {
  vitals_source from;
  from.proc = proc.root();
  from.window = 0ms;
  from.cpu_time = [per_look, looks = std::map<pid_t, int>()](
                      pid_t pid) mutable -> std::optional<std::chrono::nanoseconds> {
    const auto found = per_look.find(pid);
    if (found == per_look.end()) return std::nullopt;
    return found->second * looks[pid]++;
  };
  from.user_name = [](uid_t) { return "ada\xFF"; };
  return from;
}

TEST(ProcessStat, MayHaveAnyName) {
  const auto state = parse_process_stat("7 (a) (b c) d) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 42 0");
  ASSERT_TRUE(state);
  EXPECT_EQ(state->name, "a) (b c) d");
  EXPECT_EQ(state->rss_pages, 42U);
  EXPECT_FALSE(parse_process_stat(""));
  EXPECT_FALSE(parse_process_stat("7 (a"));
  EXPECT_FALSE(parse_process_stat("7 (a) S 1 2 3"));
}

TEST(VitalsReport, HasTheShapeOfTheContract) {
  const temporary_tree proc;
  write_machine(proc);
  write_process(proc, 10, "idle", 1);
  write_process(proc, 20, "busy <b>", 5);
  write_process(proc, 30, "gone", 5);
  proc.write("not a process/stat", "");
  const auto report = vitals_report(curfew::background(), fake(proc, {{10, 0ns}, {20, 1h}}));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->at("hostname"), "box");
  EXPECT_EQ(report->at("kernel"), "Linux 6.1.0");
  EXPECT_EQ(report->at("uptime_s"), 1234.56);
  EXPECT_EQ(report->at("load"), (json::array{0.25, 1.5, 2.0}));
  EXPECT_EQ(report->at("memory").at("total"), 1000 * 1024);
  EXPECT_EQ(report->at("memory").at("used"), 600 * 1024);
  EXPECT_EQ(report->at("memory").at("swap_free"), 10 * 1024);
  EXPECT_EQ(report->at("process_count"), 2);
  const json::value& first = report->at("processes").at(0);
  EXPECT_EQ(first.at("pid"), 20);
  EXPECT_EQ(first.at("name"), "busy <b>");
  EXPECT_EQ(first.at("user"), "ada\uFFFD");
  EXPECT_GT(first.at("cpu_percent").as_double(), 0);
  EXPECT_EQ(report->at("processes").at(1).at("cpu_percent"), 0.0);
}

TEST(VitalsReport, ListsTheEightBusiest) {
  const temporary_tree proc;
  write_machine(proc);
  std::map<pid_t, std::chrono::nanoseconds> cpu;
  for (int pid = 1; pid <= 20; ++pid) {
    write_process(proc, pid, "p", 1);
    cpu[pid] = std::chrono::hours(pid);
  }
  const auto report = vitals_report(curfew::background(), fake(proc, cpu));
  ASSERT_TRUE(report);
  const json::array& rows = report->at("processes").as_array();
  ASSERT_EQ(rows.size(), 8U);
  EXPECT_EQ(rows.front().at("pid"), 20);
  EXPECT_EQ(rows.back().at("pid"), 13);
}

TEST(VitalsReport, StopsMeasuringWhenTheContextEnds) {
  const temporary_tree proc;
  write_machine(proc);
  write_process(proc, 10, "p", 1);
  auto scope = curfew::with_cancel(curfew::background());
  vitals_source from = fake(proc, {{10, 0ns}});
  from.window = std::chrono::hours(1);
  from.cpu_time = [&](pid_t) {
    scope.cancel();
    return std::optional(0ns);
  };
  const auto report = vitals_report(scope, from);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, "canceled");
}

TEST(VitalsReport, SaysWhereThereIsNothingToRead) {
  const temporary_tree proc;
  const auto report = vitals_report(curfew::background(), fake(proc, {}));
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, "unavailable");
  EXPECT_NE(report.error().message.find(proc.root()), std::string::npos);
}

TEST(VitalsReport, OfThisMachineFindsThisProcess) {
  const vitals_source here;
  const auto report = vitals_report(curfew::background(), here);
  ASSERT_TRUE(report);
  EXPECT_GT(report->at("memory").at("total").to_number<double>(), 0);
  EXPECT_GE(report->at("process_count").to_number<int>(), 1);
  EXPECT_TRUE(here.cpu_time(::getpid()));
}

}  // namespace
}  // namespace curfew_dashboard
