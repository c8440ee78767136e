#include "model/run_cases.hpp"

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <system_error>

#include "model/engine.hpp"

namespace curfew::model {

namespace {

struct request {
  std::string_view part_of_name;
  std::optional<unsigned> preemptions;
  std::optional<unsigned> stale_reads;
  std::optional<std::uint64_t> executions;
  std::optional<std::uint64_t> seed;
  bool expect_failure = false;
  bool trace = false;
};

[[noreturn]] void complain(std::string_view program, std::string_view about) {
  std::fprintf(stderr, "%.*s: %.*s?\n", static_cast<int>(program.size()), program.data(),
               static_cast<int>(about.size()), about.data());
  std::exit(2);
}

template <class T>
T number_in(std::string_view program, std::string_view text) {
  T parsed{};
  const auto read = std::from_chars(text.data(), text.data() + text.size(), parsed);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) complain(program, text);
  return parsed;
}

request read_arguments(std::string_view program, int argc, char** argv) {
  request asked;
  for (int i = 1; i != argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--expect-failure") {
      asked.expect_failure = true;
    } else if (option == "--trace") {
      asked.trace = true;
    } else if (i + 1 == argc) {
      complain(program, option);
    } else if (option == "--case") {
      asked.part_of_name = argv[++i];
    } else if (option == "--preemptions") {
      asked.preemptions = number_in<unsigned>(program, argv[++i]);
    } else if (option == "--stale-reads") {
      asked.stale_reads = number_in<unsigned>(program, argv[++i]);
    } else if (option == "--executions") {
      asked.executions = number_in<std::uint64_t>(program, argv[++i]);
    } else if (option == "--seed") {
      asked.seed = number_in<std::uint64_t>(program, argv[++i]);
    } else {
      complain(program, option);
    }
  }
  return asked;
}

}  // namespace

int run_cases(std::string_view program, int argc, char** argv, std::span<const model_case> cases) {
  const request asked = read_arguments(program, argc, argv);
  std::printf("%-45s %11s %6s %11s %6s  %s\n", "case", "preemptions", "stale", "executions", "s", "outcome");
  bool any = false;
  bool failed = false;
  for (const model_case& each : cases) {
    if (each.name.find(asked.part_of_name) == std::string_view::npos) continue;
    any = true;
    options bounds;
    bounds.preemptions = asked.preemptions.value_or(each.preemptions);
    bounds.stale_reads = asked.stale_reads.value_or(each.stale_reads);
    bounds.executions = asked.executions.value_or(bounds.executions);
    bounds.seed = asked.seed;
    const auto start = std::chrono::steady_clock::now();
    const outcome found = explore(bounds, each.body);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    const char* result = found.exhausted ? "exhausted" : "not exhausted";
    std::printf("%-45s %11u %6u %11llu %6.2f  %s\n", each.name.data(), bounds.preemptions, bounds.stale_reads,
                static_cast<unsigned long long>(found.executions), took.count(),
                found.failure.empty() ? result : found.failure.c_str());
    if (!found.failure.empty() && (asked.trace || !asked.expect_failure))
      std::fputs(found.trace.c_str(), stdout);
    std::fflush(stdout);
    failed = failed || !found.failure.empty();
    if (failed && asked.expect_failure) break;
  }
  if (!any) complain(program, asked.part_of_name);
  if (asked.expect_failure) {
    std::puts(failed ? "the planted bug was found" : "the planted bug was NOT found");
    return failed ? 0 : 1;
  }
  return failed ? 1 : 0;
}

}  // namespace curfew::model
