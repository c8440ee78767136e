// What a console costs while its page is open: 10,000 living requests, of which 1,000 a second end and as many begin.
//
//   bench_console [seconds]    default: 30; prints the URL, and each 5 s the CPU of the process
//
// The viewer is a browser: `node bench/console_frames.mjs <URL>` opens the page and measures its frames.

#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <curfew/console.hpp>
#include <curfew/core.hpp>
#include <curfew/inspect.hpp>
#include <deque>
#include <memory>
#include <source_location>
#include <string>
#include <thread>

namespace {

using namespace std::chrono_literals;
namespace inspect = curfew::inspect;

constexpr curfew::task_kind of_server{"http request"};
constexpr std::size_t living = 10'000;
constexpr int per_second = 1'000;
constexpr int ticks_per_second = 100;

/// As a server makes one.
struct request {
  explicit request(int number)
      : scope(curfew::with_timeout(curfew::background(), 30s)),
        shown(scope, of_server, "GET /photos/" + std::to_string(number), std::source_location::current()) {}

  curfew::cancel_scope scope;
  curfew::detail::open_task shown;
};

double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto in_seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return in_seconds(used.ru_utime) + in_seconds(used.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
  const int seconds = argc > 1 ? std::atoi(argv[1]) : 30;
  const inspect::inspection on;
  const inspect::console console(curfew::background(), "127.0.0.1:0");
  std::printf("%s\n", console.url().c_str());
  std::fflush(stdout);
  std::deque<std::unique_ptr<request>> requests;
  int number = 0;
  while (requests.size() < living) requests.push_back(std::make_unique<request>(number++));
  double before = cpu_seconds();
  auto next = std::chrono::steady_clock::now();
  for (int tick = 1; tick <= seconds * ticks_per_second; ++tick) {
    for (int i = 0; i < per_second / ticks_per_second; ++i) {
      requests.pop_front();
      requests.push_back(std::make_unique<request>(number++));
    }
    std::this_thread::sleep_until(next += 1000ms / ticks_per_second);
    if (tick % (5 * ticks_per_second) != 0) continue;
    const double now = cpu_seconds();
    std::printf("%5.2f %% of a core\n", (now - before) / 5 * 100);
    std::fflush(stdout);
    before = now;
  }
}
