// Tests of code with time limits: a clock that jumps whenever nothing can happen before the next deadline. It takes no
// time, and every run sees the same moments.
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/io/testing.hpp>
#include <curfew/sync.hpp>
#include <curfew/testing.hpp>
#include <iostream>

using namespace std::chrono_literals;

namespace {

// The code under test: workers that report an idle minute.
curfew::result<> work_off(const curfew::context& ctx, curfew::channel<int>& jobs,
                          curfew::channel<int>& results) {
  for (;;) {
    const auto patience = curfew::with_timeout(ctx, 1min);
    auto job = jobs.receive(patience);
    if (!job && ctx.err()) return job.error();
    if (!job) {
      std::cout << "idle for a minute\n";
      continue;
    }
    if (!*job) return {};
    if (auto sent = results.send(ctx, **job * **job); !sent) return sent;
  }
}

auto seconds(const curfew::testing::manual_clock& clock) {
  return std::chrono::duration_cast<std::chrono::seconds>(clock.now().time_since_epoch()).count();
}

// Threads: the clock alone counts them.
void workers_square_what_they_get() {
  curfew::testing::manual_clock clock;
  clock.autojump();
  curfew::channel<int> jobs;
  curfew::channel<int> results;
  curfew::task_group group(clock.background());
  group.spawn([&](const curfew::context& ctx) { return work_off(ctx, jobs, results); });
  group.spawn([&](const curfew::context& ctx) -> curfew::result<> {
    for (const int n : {2, 3}) {
      if (auto slept = curfew::sleep_for(ctx, 90s); !slept) return slept;
      if (auto sent = jobs.send(ctx, n); !sent) return sent;
    }
    jobs.close();
    return {};
  });
  for (int i = 0; i != 2; ++i) {
    auto square = results.receive(clock.background());
    std::cout << **square << " after " << seconds(clock) << " s\n";
  }
  std::cout << (group.join() ? "joined" : "failed") << '\n';
}

// Coroutines: the safety limit of an hour is not waited for.
void a_coroutine_takes_its_own_time() {
  const curfew::testing::manual_clock clock;
  const auto safety = curfew::with_timeout(clock.background(), 1h);
  auto sleeps = curfew::async_sleep_for(safety, 10s);
  const auto slept = curfew::testing::run(clock, std::move(sleeps));
  std::cout << (slept ? "slept" : "failed") << " until " << seconds(clock) << " s\n";
}

}  // namespace

int main() {
  workers_square_what_they_get();
  a_coroutine_takes_its_own_time();
}
