// From the cancel of a call to the end of the context of its handler, in the server, over one connection each.
//
//   bench_http_cancel [rounds] [others under way]        default: 5000 64; beside Go where its program is there
//
// A coroutine calls, the handler says that it has begun, a thread cancels the call. The time ends when an on_done of the
// handler's context runs. Client and server are in one process, each on a thread of its own.
#include <algorithm>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/server.hpp>
#include <curfew/io/wait.hpp>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace http = curfew::http;
namespace asio = boost::asio;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

namespace {

std::atomic<int> begun{0};
std::atomic<steady::rep> ended{0};

asio::awaitable<http::response> wait(curfew::context ctx, const http::request& request) {
  const bool measured = request.path() == "/measured";
  const auto note = [measured] {
    if (measured) ended = steady::now().time_since_epoch().count();
  };
  const curfew::on_done noted(ctx, note);
  ++begun;
  co_await curfew::async_wait(ctx.done());
  co_return http::text(http::status::ok, "late\n");
}

asio::awaitable<void> call(http::client& client, curfew::context ctx, std::string url) {
  http::request what("GET", url);
  std::ignore = co_await client.async_send(ctx, std::move(what));
}

template <class F>
void until(F f) {
  const auto limit = steady::now() + 20s;
  while (!f()) {
    if (steady::now() > limit) throw std::runtime_error("this takes too long");
    std::this_thread::sleep_for(50us);
  }
}

std::vector<double> measure(int rounds, int others) {
  http::router routes;
  routes.get("/measured", wait).get("/other", wait);
  http::server server(routes, http::server_options().threads(1));
  if (const auto up = server.listen(); !up) throw std::runtime_error(up.error().message());
  auto root = curfew::with_cancel(curfew::background());
  std::thread serves([&] { static_cast<void>(server.serve(root)); });
  asio::io_context io{1};
  auto guard = asio::make_work_guard(io);
  std::thread calls([&] { io.run(); });
  std::vector<double> took;
  {
    http::client client;
    auto rest = curfew::with_cancel(curfew::background());
    for (int i = 0; i < others; ++i)
      asio::co_spawn(io, call(client, rest.ctx(), server.url() + "/other"), asio::detached);
    until([&] { return begun == others; });
    for (int i = 0; i < rounds; ++i) {
      begun = 0;
      ended = 0;
      auto scope = curfew::with_cancel(curfew::background());
      asio::co_spawn(io, call(client, scope.ctx(), server.url() + "/measured"), asio::detached);
      until([] { return begun == 1; });
      const auto now = steady::now().time_since_epoch().count();
      scope.cancel();
      until([] { return ended != 0; });
      if (i >= rounds / 10) took.push_back(static_cast<double>(ended - now) / 1e3);
    }
    rest.cancel();
    guard.reset();
    calls.join();
  }
  root.cancel();
  serves.join();
  return took;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const int rounds = argc > 1 ? std::atoi(argv[1]) : 5000;
    const int others = argc > 2 ? std::atoi(argv[2]) : 64;
    auto took = measure(rounds, others);
    std::ranges::sort(took);
    const auto at = [&](double part) {
      return took[static_cast<std::size_t>(part * static_cast<double>(took.size() - 1))];
    };
    std::printf("cancel of a call -> its handler's context has ended, with %d others under way\n", others);
    std::printf("%-12s p50 %.0f us, p99 %.0f us, worst %.0f us\n", "curfew", at(0.5), at(0.99), took.back());
    const char* peers = std::getenv("CURFEW_BENCH_PEERS");
    const auto go = std::filesystem::path(peers != nullptr ? peers : "") / "http_cancel";
    if (!std::filesystem::exists(go)) return 0;
    std::fflush(stdout);
    const std::string command =
        '"' + go.string() + "\" " + std::to_string(rounds) + ' ' + std::to_string(others);
    return std::system(command.c_str()) == 0 ? 0 : 1;
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
