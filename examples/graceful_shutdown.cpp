// On SIGTERM no new work is begun, what was begun may finish, and what does not finish within the grace is
// cut off.

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/sync.hpp>
#include <iostream>
#include <string>
#include <tuple>

using namespace std::chrono_literals;

namespace {

/// A piece of work that takes a while.
curfew::result<> handle(const curfew::context& ctx, int job, curfew::clock::duration takes) {
  auto worked = curfew::sleep_for(ctx, takes);
  std::cout << "job " << job << (worked ? " finished" : " was cut off: " + worked.error().message())
            << std::endl;
  return worked;
}

int serve(const curfew::context& ctx) {
  const curfew::grace grace(ctx, 300ms);
  curfew::task_group group(grace.hard());  // ends 300 ms after ctx
  group.spawn([&](const curfew::context& hard) { return handle(hard, 1, 100ms); });
  group.spawn([&](const curfew::context& hard) { return handle(hard, 2, 10min); });
  std::cout << "serving" << std::endl;
  std::ignore = grace.soft().done().wait();  // from here on nothing is begun
  std::cout << "shutting down: " << ctx.cause().message() << std::endl;
  return group.join() ? 0 : 1;
}

}  // namespace

int main() { return curfew::run(serve); }
