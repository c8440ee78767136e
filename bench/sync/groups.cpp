// Many tasks, and many who wait.

#include <malloc.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/sync.hpp>
#include <fstream>
#include <future>
#include <string>
#include <system_error>
#include <vector>

#include "sync/rows.hpp"

namespace {

namespace asio = boost::asio;
using namespace curfew;
using bench::check;
using bench::nanoseconds_each;
using bench::numbers;

constexpr std::size_t rounds = 100'000;
constexpr std::size_t rounds_of_threads = 2'000;
constexpr std::size_t fan = 10;
constexpr std::size_t tasks = 1'000'000;
constexpr std::size_t sleepers = 100'000;

void succeed(const context& /*ctx*/) {}

numbers spawn_and_join() {
  const auto parent = with_cancel(background());
  return {nanoseconds_each(rounds, [&] {
    task_group group(parent);
    group.spawn(succeed);
    check(group.join().has_value(), 0);
  })};
}

numbers async_and_get() {
  return {nanoseconds_each(rounds_of_threads, [] { std::async(std::launch::async, [] {}).get(); })};
}

numbers fan_out() {
  const auto parent = with_cancel(background());
  const double all = nanoseconds_each(rounds / 4, [&] {
    task_group group(parent);
    for (std::size_t i = 0; i != fan; ++i) group.spawn(succeed);
    check(group.join().has_value(), 0);
  });
  const auto fail = [](const context& /*ctx*/) { return std::make_error_code(std::errc::io_error); };
  const auto look = [](const context& ctx) { return ctx.err(); };
  const double first_fails = nanoseconds_each(rounds / 4, [&] {
    task_group group(parent);
    group.spawn(fail);
    for (std::size_t i = 1; i != fan; ++i) group.spawn(look);
    check(!group.join(), 0);
  });
  return {all / 1000, first_fails / 1000};
}

numbers async_fan_out() {
  const double all = nanoseconds_each(rounds_of_threads / 4, [] {
    std::vector<std::future<void>> running;
    for (std::size_t i = 0; i != fan; ++i) running.push_back(std::async(std::launch::async, [] {}));
    for (auto& each : running) each.get();
  });
  return {all / 1000, bench::no_number};
}

/// A line of /proc/self/status, in bytes.
double memory(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == name + ":") {
      double kilobytes = 0;
      status >> kilobytes;
      return kilobytes * 1024;
    }
  }
  return 0;
}

numbers many_tasks() {
  ::malloc_trim(0);                               // what other rounds had does not count as there already
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak begins anew
  const double before = memory("VmRSS");
  const double took = nanoseconds_each(1, [] {
    task_group group(background());
    for (std::size_t i = 0; i != tasks; ++i) group.spawn(succeed);
    check(group.join().has_value(), 0);
  });
  return {took / tasks, (memory("VmHWM") - before) / tasks};
}

numbers sleepers_wake() {
  asio::io_context io(1);
  auto scope = with_cancel(background());
  std::size_t awake = 0;
  auto sleep = [&]() -> asio::awaitable<void> {
    auto err = co_await async_wait(scope.done());
    if (err) ++awake;
  };
  for (std::size_t i = 0; i != sleepers; ++i) asio::co_spawn(io, sleep, asio::detached);
  io.poll();
  const double took = nanoseconds_each(1, [&] {
    scope.cancel();
    io.run();
  });
  return {check(awake == sleepers, took / 1e6)};
}

}  // namespace

std::vector<bench::measurement> bench::group_rows() {
  return {
      {"spawn_and_join",
       {{"a group, one task, join (standard library: std::async)", "ns", "Go ≥ 2 ×"}},
       spawn_and_join,
       async_and_get},
      {"fan_out",
       {{"fan-out of 10 and join, all succeed", "µs", "Go ≥ 2 ×"}, {"the first fails", "µs"}},
       fan_out,
       async_fan_out},
      {"many_tasks",
       {{"a group of 1,000,000 small tasks: each", "ns"}, {"peak memory, each", "B"}},
       many_tasks},
      {"sleepers", {{"100,000 coroutines wait for one end: until all are awake", "ms"}}, sleepers_wake},
  };
}
