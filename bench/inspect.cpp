// What it costs to be looked at: tasks, waits and switches with nobody looking and with an inspection; what is said of
// CPU against the truth; a million tasks.
//
//   bench_inspect [seconds]    default: 10, for the shares of CPU

#include <sys/resource.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/inspect.hpp>
#include <deque>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include "measure.hpp"

namespace {

using namespace std::chrono_literals;
using curfew::bench::nanoseconds_each;
using curfew::bench::percentile;
namespace inspect = curfew::inspect;

constexpr curfew::task_kind working{"work"};
constexpr std::size_t times = 200'000;

struct costs {
  std::vector<double> task;
  std::vector<double> context;
  std::vector<double> switching;
  std::vector<double> wait;
};

void measure(costs& into) {
  auto scope = curfew::with_cancel(curfew::background());
  into.task.push_back(nanoseconds_each(times, [&] { const curfew::task t(scope, working, "photo 17"); }));
  into.context.push_back(nanoseconds_each(times, [&] {
    [[maybe_unused]] auto child = curfew::with_cancel(scope);
    child.cancel();
  }));
  const curfew::detail::open_task a(scope, working, "a", std::source_location::current());
  into.switching.push_back(nanoseconds_each(times, [&] { const curfew::detail::working_for here(a.ref()); }) /
                           2);
  const curfew::detail::working_for here(a.ref());
  into.wait.push_back(nanoseconds_each(times, [&] { const curfew::detail::waiting_for x("x"); }));
}

void report_costs() {
  costs off;
  costs on;
  costs after;
  for (int round = 0; round != 9; ++round) measure(off);
  for (int round = 0; round != 9; ++round) {
    {
      const inspect::inspection looking;
      measure(on);
    }
    measure(after);
  }
  const auto row = [](const char* what, const auto& without, const auto& with, const auto& then) {
    std::printf("%-36s %8.1f %8.1f %8.1f\n", what, percentile(without, 0.5), percentile(with, 0.5),
                percentile(then, 0.5));
  };
  std::printf("%-36s %8s %8s %8s\n", "ns, medians of 9 rounds", "never on", "on", "off again");
  row("a task: open and close", off.task, on.task, after.task);
  row("a switch to a task or from it", off.switching, on.switching, after.switching);
  row("a wait of a thread, its slow path", off.wait, on.wait, after.wait);
  row("with_cancel + cancel", off.context, on.context, after.context);
}

double thread_cpu() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

void burn(double seconds) {
  const double until = thread_cpu() + seconds;
  while (thread_cpu() < until) {
  }
}

/// Eight tasks that two threads take from one queue, in turns of different length, as coroutines hop.
void report_shares(double seconds) {
  const inspect::inspection looking;
  struct share {
    curfew::detail::open_task task;
    double turn = 0;
    std::atomic<double> truth{0};
  };
  std::deque<share> all(8);
  std::mutex mutex;
  std::deque<share*> ready;
  for (std::size_t i = 0; i != all.size(); ++i) {
    all[i].task = curfew::detail::open_task(curfew::background(), working, std::to_string(i),
                                            std::source_location::current());
    all[i].turn = 20e-6 * static_cast<double>(i + 1);
    ready.push_back(&all[i]);
  }
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  const auto work = [&] {
    while (std::chrono::steady_clock::now() < until) {
      share* mine = nullptr;
      {
        const std::lock_guard guard(mutex);
        mine = ready.front();
        ready.pop_front();
      }
      const double before = thread_cpu();
      {
        const curfew::detail::working_for here(mine->task.ref());
        burn(mine->turn);
      }
      mine->truth = mine->truth + thread_cpu() - before;
      const std::lock_guard guard(mutex);
      ready.push_back(mine);
    }
  };
  std::thread other(work);
  work();
  other.join();
  double worst = 0;
  inspect::each_task([&](inspect::task_info&& t) {
    const share& s = all[std::stoul(t.name)];
    const double said = std::chrono::duration<double>(t.cpu).count();
    worst = std::max(worst, std::abs(said / s.truth - 1));
    return true;
  });
  std::printf(
      "\nCPU of 8 tasks in 2 threads, turns of 20 to 160 us, after %.0f s: at most %.1f %% from the truth\n",
      seconds, worst * 100);
}

double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double pages = 0;
  file >> pages >> pages;
  return pages * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

void report_million() {
  constexpr std::size_t count = 1'000'000;
  std::atomic<std::int64_t> told_after{0};
  std::optional<std::chrono::steady_clock::time_point> ended;
  const inspect::inspection looking(inspect::inspection_options().on_zombie([&](const inspect::task_info& t) {
    if (t.name == "planted") told_after = (std::chrono::steady_clock::now() - *ended).count();
  }));
  std::vector<curfew::detail::open_task> all(count);
  const double before = resident_bytes();
  auto scope = curfew::with_cancel(curfew::background());
  for (auto& t : all) {
    t = curfew::detail::open_task(scope, working, "one of many", std::source_location::current());
  }
  std::printf("\n1,000,000 living tasks: %.0f B each\n", (resident_bytes() - before) / count);
  {
    auto one = curfew::with_cancel(curfew::background());
    const curfew::task planted(one, working, "planted");
    ended = std::chrono::steady_clock::now();
    one.cancel();
    while (told_after == 0) std::this_thread::sleep_for(1ms);
    std::printf("  one is told to stop and goes on: alarm %.0f ms after the limit of 250\n",
                static_cast<double>(told_after) / 1e6 - 250);
  }
  const double memory = resident_bytes();
  const auto began = std::chrono::steady_clock::now();
  std::size_t seen = 0;
  std::chrono::steady_clock::duration first{};
  inspect::each_task([&](inspect::task_info&&) {
    if (seen++ == 0) first = std::chrono::steady_clock::now() - began;
    return true;
  });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::printf("  looked at: %zu in %.2f s, the first after %.3f ms, %.1f MB more memory\n", seen,
              took.count(), std::chrono::duration<double, std::milli>(first).count(),
              (resident_bytes() - memory) / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  report_costs();
  report_shares(argc > 1 ? std::atof(argv[1]) : 10);
  report_million();
}
