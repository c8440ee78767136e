// Two threads that derive and end children: of one parent, and each of its own.

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <curfew/core.hpp>
#include <stop_token>
#include <thread>
#include <vector>

#include "core/rows.hpp"

namespace {

using namespace curfew;
using bench::keep;
using bench::linked_stop_source;
using bench::numbers;

constexpr std::size_t children = 200'000;

/// Nanoseconds of one child, in each of `count` threads that do the same at the same time.
/// \param body  What a thread does; it calls its argument once, when it is ready to begin.
template <class Body>
double nanoseconds_of_threads(std::ptrdiff_t count, Body body) {
  std::barrier ready(count);
  std::vector<double> each(static_cast<std::size_t>(count));
  std::vector<std::jthread> threads;
  for (double& mine : each) {
    threads.emplace_back([&] { mine = body([&] { ready.arrive_and_wait(); }); });
  }
  threads.clear();
  return std::ranges::max(each);
}

/// \param own     What a thread does that makes a parent for itself.
/// \param shared  What it does with the one parent.
template <class Own, class Shared>
numbers scaling(Own own, Shared shared) {
  const double alone = nanoseconds_of_threads(1, shared);
  const double with_shared = nanoseconds_of_threads(2, shared);
  const double alone_with_own = nanoseconds_of_threads(1, own);
  const double with_own = nanoseconds_of_threads(2, own);
  return {alone, with_shared, 2 * alone / with_shared, with_own, 2 * alone_with_own / with_own};
}

/// What the machine gives two threads that share nothing and need no memory.
double machine_throughput() {
  const auto count = [](auto begin) {
    begin();
    std::size_t n = 0;
    return bench::nanoseconds_each(children * 20, [&] { n = n * 3 + *bench::hidden(&n); });
  };
  const double alone = nanoseconds_of_threads(1, count);
  return 2 * alone / nanoseconds_of_threads(2, count);
}

numbers contexts() {
  const auto derive_from = [](const context& parent) {
    return bench::nanoseconds_each(children, [&] {
      [[maybe_unused]] auto scope = with_cancel(parent);
      scope.cancel();
    });
  };
  const auto one = with_cancel(background());
  numbers all = scaling(
      [&](auto begin) {
        const auto parent = with_cancel(background());
        begin();
        return derive_from(parent);
      },
      [&](auto begin) {
        begin();
        return derive_from(one);
      });
  all.push_back(machine_throughput());
  return all;
}

numbers stop_sources() {
  const auto derive_from = [](const std::stop_token& parent) {
    return bench::nanoseconds_each(children, [&] {
      linked_stop_source child(parent);
      child.own.request_stop();
      keep(child);
    });
  };
  const std::stop_source one;
  return scaling(
      [&](auto begin) {
        const std::stop_source parent;
        begin();
        return derive_from(parent.get_token());
      },
      [&](auto begin) {
        begin();
        return derive_from(one.get_token());
      });
}

}  // namespace

std::vector<bench::measurement> bench::thread_rows() {
  return {
      {"threads",
       {{"with_cancel + cancel in one thread", "ns"},
        {"in 2 threads, one parent: each child", "ns"},
        {"throughput of the 2 to that of one", "×"},
        {"in 2 threads, each its own parent: each child", "ns"},
        {"throughput of the 2 to that of one", "×"},
        {"the same of arithmetic, which shares nothing", "×"}},
       contexts,
       stop_sources},
  };
}
