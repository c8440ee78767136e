#pragma once

#include <sys/resource.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "measure.hpp"
#include "pinned_program.hpp"

// A comparison whose sides are programs on one core: in every round each takes its turn. A side prints one line: how often it
// did its work, in how many seconds, of how much CPU time, and the p50 and p99 of one time, in microseconds.
namespace curfew::bench {

/// Of this process, all its threads, user and system.
inline double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return of(used.ru_utime) + of(used.ru_stime);
}

/// What one side has done: calls between the warm-up and the end.
class samples {
 public:
  using steady = std::chrono::steady_clock;

  /// \param each  How often the work is done by each call.
  explicit samples(double seconds, std::size_t each = 1)
      : seconds_(seconds),
        each_(each),
        end_(warm_ + std::chrono::duration_cast<steady::duration>(std::chrono::duration<double>(seconds))) {}

  /// \return whether there is time for another.
  bool add(steady::time_point begun) {
    const auto now = steady::now();
    if (begun >= warm_ && !is_warm_) {
      is_warm_ = true;
      cpu_before_ = cpu_seconds();
    }
    if (begun >= warm_ && now < end_) took_.push_back(microseconds(now - begun));
    return now < end_;
  }
  void print() const {
    std::printf("%zu %.6f %.6f %.1f %.1f\n", took_.size() * each_, seconds_, cpu_seconds() - cpu_before_,
                percentile(took_, 0.5), percentile(took_, 0.99));
  }

 private:
  double seconds_;
  std::size_t each_;
  steady::time_point warm_ = steady::now() + std::chrono::milliseconds(300);
  steady::time_point end_;
  bool is_warm_ = false;
  double cpu_before_ = 0;
  std::vector<double> took_;
};

/// What a side's line says.
struct side_line {
  double each_ns = 0;
  double cpu_ns = 0;
  double p50_us = 0;
  double p99_us = 0;
};

inline side_line parse_side(const std::string& line) {
  std::istringstream in(line);
  double count = 0;
  double seconds = 0;
  double cpu = 0;
  side_line m;
  in >> count >> seconds >> cpu >> m.p50_us >> m.p99_us;
  if (!in || count == 0) throw std::runtime_error("a side has failed: " + line);
  m.each_ns = seconds * 1e9 / count;
  m.cpu_ns = cpu * 1e9 / count;
  return m;
}

/// A side of a comparison; the first one of all is curfew's.
struct pinned_side {
  pinned_side(std::string called, std::vector<std::string> program)
      : name(std::move(called)),
        command(std::move(program)) {}

  std::string name;
  std::vector<std::string> command;
  std::vector<side_line> rounds;

  [[nodiscard]] double median(double side_line::* what) const {
    std::vector<double> values;
    for (const auto& each : rounds) values.push_back(each.*what);
    return percentile(std::move(values), 0.5);
  }
};

/// Runs them in turn, and prints the medians and their ratios.
inline void compare_pinned(const std::string& what, std::vector<pinned_side> sides, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    for (pinned_side& each : sides) each.rounds.push_back(parse_side(pinned_program(each.command, 1).line()));
  }
  std::printf("\n%-14s %12s %12s %12s %12s   curfew's rate and CPU ÷ its\n", what.c_str(), "ns each",
              "CPU ns each", "p50 us", "p99 us");
  for (const pinned_side& each : sides) {
    std::printf("%-14s %12.0f %12.0f %12.1f %12.1f   %.2f, %.2f\n", each.name.c_str(),
                each.median(&side_line::each_ns), each.median(&side_line::cpu_ns),
                each.median(&side_line::p50_us), each.median(&side_line::p99_us),
                each.median(&side_line::each_ns) / sides[0].median(&side_line::each_ns),
                sides[0].median(&side_line::cpu_ns) / each.median(&side_line::cpu_ns));
  }
  std::fflush(stdout);
}

}  // namespace curfew::bench
