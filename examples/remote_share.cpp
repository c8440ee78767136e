// A context that goes to another process, by a ticket that any message can carry.
//
//     remote_share origin <redis>             prints a ticket, and lives until Ctrl-C
//     remote_share worker <redis> <ticket>    works as long as the origin lives; prints why it stopped
//
// <redis>: redis://127.0.0.1 or unix:///run/redis/redis.sock. Kill the origin, too: the worker stops when its lease is over.

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/redis.hpp>
#include <curfew/remote.hpp>
#include <curfew/sync.hpp>
#include <iostream>
#include <string>
#include <string_view>

namespace remote = curfew::remote;
using namespace std::chrono_literals;

namespace {

int failed(const curfew::error& why) {
  std::cerr << why << '\n';
  return 1;
}

int origin(const curfew::context& ctx, remote::hub& hub) {
  auto mine = hub.share(ctx);
  if (!mine) return failed(mine.error());
  std::cout << mine->ticket() << std::endl;
  mine->ctx().done().wait();
  return 0;
}

int worker(const curfew::context& ctx, remote::hub& hub, std::string_view ticket) {
  auto theirs = hub.join(ctx, ticket);
  if (!theirs) return failed(theirs.error());
  std::cout << "working" << std::endl;
  while (curfew::sleep_for(*theirs, 10ms)) {  // the work
  }
  std::cout << "stopped: " << theirs->err().message() << " (cause: " << theirs->cause() << ')' << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const bool is_worker = argc == 4 && std::string_view(argv[1]) == "worker";
  if (!is_worker && (argc != 3 || std::string_view(argv[1]) != "origin")) {
    std::cerr << "usage: remote_share origin <redis> | worker <redis> <ticket>\n";
    return 2;
  }
  return curfew::run([&](const curfew::context& ctx) {
    curfew::redis::client client(argv[2]);
    auto options = remote::hub_options().lease(1s);
    remote::hub hub(client, options);
    return is_worker ? worker(ctx, hub, argv[3]) : origin(ctx, hub);
  });
}
