// What happens in time: how late deadlines come, how soon a waiter is awake.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <curfew/core.hpp>
#include <deque>
#include <latch>
#include <mutex>
#include <semaphore>
#include <stop_token>
#include <thread>
#include <vector>

#include "core/rows.hpp"

namespace {

using namespace curfew;
using namespace std::chrono_literals;
using bench::microseconds;
using bench::numbers;
using bench::percentile;

constexpr std::size_t crowd_size = 100'000;
constexpr auto head_start = 1s;  // all are made by then, before the first is due
constexpr auto spread = 2s;
constexpr auto between_cancels = 10us;
constexpr std::size_t wakes = 2'000;
constexpr auto until_blocked = 200us;

/// Notes how late it runs.
struct note_lateness {
  clock::time_point due;
  double* late;
  std::latch* noted;

  void operator()() const noexcept {
    *late = microseconds(clock::now() - due);
    noted->count_down();
  }
};

// ---- deadlines one after the other

numbers lateness_of_many() {
  const auto parent = with_cancel(background());
  const auto first = clock::now() + head_start;
  std::vector<double> late(crowd_size);
  std::latch all(crowd_size);
  std::deque<cancel_scope> scopes;
  std::deque<on_done<note_lateness>> notes;
  for (std::size_t i = 0; i != crowd_size; ++i) {
    const auto due = first + i * std::chrono::nanoseconds(spread) / crowd_size;
    scopes.push_back(with_deadline(parent, due));
    notes.emplace_back(scopes.back(), note_lateness{due, &late[i], &all});
  }
  all.wait();
  return {percentile(late, 0.5), percentile(late, 0.99)};
}

// ---- deadlines at once

/// A crowd of deadlines at one moment; what a single one then, a single one soon after, and the cancel of
/// contexts that have nothing to do with it notice of the crowd.
numbers burst() {
  const auto parent = with_cancel(background());
  const auto due = clock::now() + head_start;
  std::deque<cancel_scope> crowd;
  for (std::size_t i = 0; i != crowd_size; ++i) crowd.push_back(with_deadline(parent, due));
  double late_then = 0;
  double late_after = 0;
  std::latch both(2);
  const auto then = with_deadline(background(), due);
  const auto after = with_deadline(background(), due + 1ms);
  const on_done noted_then(then, note_lateness{due, &late_then, &both});
  const on_done noted_after(after, note_lateness{due + 1ms, &late_after, &both});

  std::this_thread::sleep_until(due - 1ms);
  std::vector<double> cancels;
  for (auto next = crowd.begin(); next != crowd.end();) {
    auto unrelated = with_timeout(background(), 1h);
    const auto began = clock::now();
    unrelated.cancel();
    cancels.push_back(microseconds(clock::now() - began));
    while (clock::now() < began + between_cancels) std::this_thread::yield();
    while (next != crowd.end() && next->err()) ++next;
  }
  const double all_ended = microseconds(clock::now() - due);
  both.wait();
  return {late_then, late_after, all_ended, percentile(cancels, 0.99), percentile(cancels, 1)};
}

// ---- a blocked thread

/// \param wait  Blocks until the i-th of them ends.
/// \param end   Ends it.
template <class Wait, class End>
numbers wake_each(Wait wait, End end) {
  std::vector<clock::time_point> began(wakes);
  std::vector<double> took(wakes);
  std::binary_semaphore ready(0);
  std::jthread waiter([&] {
    for (std::size_t i = 0; i != wakes; ++i) {
      ready.release();
      wait(i);
      took[i] = microseconds(clock::now() - began[i]);
    }
  });
  for (std::size_t i = 0; i != wakes; ++i) {
    ready.acquire();
    std::this_thread::sleep_for(until_blocked);
    began[i] = clock::now();
    end(i);
  }
  waiter.join();
  return {percentile(took, 0.5), percentile(took, 0.99)};
}

numbers wake_from_done() {
  std::deque<cancel_scope> scopes;
  for (std::size_t i = 0; i != wakes; ++i) scopes.push_back(with_cancel(background()));
  return wake_each([&](std::size_t i) { bench::keep(scopes[i].done().wait()); },
                   [&](std::size_t i) { scopes[i].cancel(); });
}

numbers wake_from_condition_variable() {
  std::deque<std::stop_source> sources(wakes);
  std::mutex mutex;
  std::condition_variable_any never;
  return wake_each(
      [&](std::size_t i) {
        std::unique_lock lock(mutex);
        bench::keep(never.wait(lock, sources[i].get_token(), [] { return false; }));
      },
      [&](std::size_t i) { sources[i].request_stop(); });
}

}  // namespace

std::vector<bench::measurement> bench::waiting_rows() {
  return {
      {"lateness",
       {{"100,000 deadlines over 2 s, one live parent: lateness, p50", "µs", "≤ 100 µs"},
        {"p99", "µs", "≤ 300 µs"}},
       lateness_of_many},
      {"burst",
       {{"100,000 deadlines at one moment: another at that moment comes late by", "µs"},
        {"one that is due 1 ms later comes late by", "µs"},
        {"all have ended after", "µs"},
        {"cancel of another context meanwhile, p99", "µs"},
        {"the slowest", "µs"}},
       burst},
      {"wake",
       {{"cancel to a blocked waiter awake, p50", "µs", "≤ Go"}, {"p99", "µs", "≤ Go"}},
       wake_from_done,
       wake_from_condition_variable},
  };
}
