// Jobs for workers in other processes: a job ends when nobody waits for it any more.
//
//     remote_queue work <redis>          does jobs until Ctrl-C
//     remote_queue ask <redis> <text>    has one done, and prints its answer; Ctrl-C ends it, wherever it is
//
// <redis>: redis://127.0.0.1 or unix:///run/redis/redis.sock. Kill the worker in the middle of a job: the next one does it.

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/redis.hpp>
#include <curfew/remote.hpp>
#include <iostream>
#include <string>
#include <string_view>
#include <tuple>

namespace remote = curfew::remote;
using namespace std::chrono_literals;

namespace {

/// "quick …" at once, others take a minute.
curfew::result<std::string> do_job(const curfew::context& ctx, const std::string& text,
                                   const remote::job_info& job) {
  std::cout << "begins " << text << " (attempt " << job.attempt << ')' << std::endl;
  if (!text.starts_with("quick")) {
    auto done = curfew::sleep_for(ctx, 60s);  // the work
    if (!done) {
      std::cout << "stops " << text << " (" << ctx.cause() << ')' << std::endl;
      return done.error();
    }
  }
  return text + ": done";
}

int work(const curfew::context& ctx, remote::queue<std::string>& jobs) {
  std::cout << "waits for jobs" << std::endl;
  std::ignore = jobs.work(ctx, do_job, 2);
  return 0;
}

int ask(const curfew::context& ctx, remote::queue<std::string>& jobs, const std::string& text) {
  auto answer = jobs.run(ctx, text);
  if (!answer) {
    std::cerr << answer.error() << '\n';
    return 1;
  }
  std::cout << *answer << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const bool works = argc == 3 && std::string_view(argv[1]) == "work";
  if (!works && (argc != 4 || std::string_view(argv[1]) != "ask")) {
    std::cerr << "usage: remote_queue work <redis> | ask <redis> <text>\n";
    return 2;
  }
  return curfew::run([&](const curfew::context& ctx) {
    curfew::redis::client client(argv[2]);
    const auto leased = remote::hub_options().lease(1s);
    remote::hub hub(client, leased);
    const auto how = remote::queue_options().job_lease(1s);
    remote::queue<std::string> jobs(hub, "example", how);
    return works ? work(ctx, jobs) : ask(ctx, jobs, argv[3]);
  });
}
