#include <csignal>
#include <curfew/io/run.hpp>
#include <exception>
#include <iostream>
#include <memory>
#include <span>
#include <utility>
#include <variant>

#include "base/log.hpp"
#include "base/request_log.hpp"
#include "base/thread_priority.hpp"
#include "front_main.hpp"
#include "lifeline.hpp"
#include "options.hpp"
#include "service_main.hpp"
#include "worker_main.hpp"

namespace {

using namespace curfew_dashboard;  // NOLINT(google-build-using-namespace): the program's own

// What the page shows as requests.
constexpr curfew::task_kind of_the_front{"panel"};
constexpr curfew::task_kind of_a_service{"report"};

struct run_command {
  int operator()(show_help) const {
    std::cout << help_text();
    return 0;
  }
  int operator()(show_version) const {
    std::cout << "curfew-dashboard " << version << '\n';
    return 0;
  }
  int operator()(front_options options) const {
    request_log log("front", of_the_front);
    const auto main = [&](curfew::context ctx) { return run_front(std::move(ctx), std::move(options), log); };
    return curfew::run(main);
  }
  int operator()(service_options options) const {
    lifeline dashboard;
    request_log log(options.name, of_a_service);
    const auto main = [&](curfew::context ctx) {
      return run_service(std::move(ctx), std::move(options), std::move(dashboard), log);
    };
    return curfew::run(main);
  }
  int operator()(worker_options options) const {
    request_log log(worker_name(), of_a_service);
    const auto main = [&](curfew::context ctx) {
      return run_worker(std::move(ctx), std::move(options), log);
    };
    return curfew::run(main);
  }
};

}  // namespace

int main(int argc, char** argv) {
  // A write to a closed pipe or socket fails, and sends no signal.
  std::signal(SIGPIPE, SIG_IGN);
  become_prompt_thread();
  auto parsed = parse_options(
      std::span<const char* const>(argv, static_cast<std::size_t>(argc)).subspan(argc > 0 ? 1 : 0));
  if (!parsed) {
    log_line(parsed.error() + "; --help lists the options");
    return 2;
  }
  try {
    return std::visit(run_command(), *std::move(parsed));
  } catch (const std::exception& e) {
    log_line(e.what());
    return 1;
  }
}
