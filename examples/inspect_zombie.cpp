// A program with a request that never ends, and holds a lock meanwhile; and the console that shows which one it is:
//
//     inspect_zombie [address [token [peer]]]     prints the console's URL; with a token, tasks can be ended by hand there;
//                                                 the URL of another one's shows both

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <curfew/console.hpp>
#include <curfew/core.hpp>
#include <curfew/inspect.hpp>
#include <curfew/io.hpp>
#include <curfew/sync.hpp>
#include <iostream>
#include <string>
#include <thread>

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

inline constexpr curfew::task_kind request{"request"};
inline constexpr curfew::task_kind resizing{"resize"};
inline constexpr curfew::task_kind adding{"add up"};
inline constexpr curfew::key<std::string> trace_id{"trace id", curfew::show_value};

std::atomic<bool> program_ends{false};
curfew::mutex ledger;

/// The bug: it was given a context, and does not look at it.
void add_up(const curfew::context& ctx, const std::string& month) {
  const curfew::task working(ctx, adding, month);
  const auto mine = ledger.acquire(ctx);
  if (!mine) return;
  while (!program_ends) std::this_thread::sleep_for(1ms);  // NOLINT(curfew-blocking-call): the bug
}

void report(const curfew::context& ctx) {
  const auto traced = curfew::with_value(ctx, trace_id, "7f3a");
  const auto scope = curfew::with_timeout(traced, 500ms);
  const curfew::task working(scope, request, "GET /report");
  add_up(scope, "2026-10");
}

/// Waits behind it, as long as its context lets it.
void enter(const curfew::context& ctx) {
  const curfew::task working(ctx, request, "POST /entries");
  std::ignore = ledger.acquire(ctx);
}

/// As it should be: the wait ends with the context.
void upload(const curfew::context& ctx, int n) {
  const auto scope = curfew::with_timeout(ctx, 4s);
  const curfew::task working(scope, request, "POST /photos");
  const curfew::task inner(scope, resizing, "photo " + std::to_string(n));
  std::ignore = curfew::sleep_for(scope, 3s);
}

void import(const curfew::context& ctx) {
  const auto scope = curfew::with_cancel(ctx);
  const curfew::task working(scope, request, "POST /import");
  std::ignore = curfew::sleep_for(scope, 24h);
}

asio::awaitable<int> work(curfew::context ctx, std::string address, curfew::inspect::console_options how) {
  const curfew::inspect::inspection on;
  const curfew::inspect::console console(ctx, address, how);
  std::cout << console.url() << std::endl;
  const std::jthread never_ends([&] { report(ctx); });
  const std::jthread long_one([&] { import(ctx); });
  const std::jthread behind([&] {
    while (!ctx.err()) enter(ctx);
  });
  const std::jthread steady([&] {
    for (int n = 1; !ctx.err(); ++n) upload(ctx, n);
  });
  std::ignore = co_await curfew::async_wait(ctx.done());
  program_ends = true;
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string address = argc > 1 ? argv[1] : "127.0.0.1:6060";
  curfew::inspect::console_options how;
  how.cancel_token(argc > 2 ? argv[2] : "").dump_on_sigusr1(true);
  if (argc > 3) how.peer("other", argv[3]);
  return curfew::run([&](curfew::context ctx) { return work(ctx, address, how); });
}
