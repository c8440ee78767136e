// HTTP/1.1 clients, side by side: "hello" with a deadline of 3 s per call, by curfew, by Go's net/http and by plain
// Boost.Beast coroutines, from the same server, a bare epoll loop. One core for the client, another for the server; in
// every round each takes its turn.
//
//   bench_http_client [rounds] [seconds]             default: 5 2; prints the medians and their ratios
//   bench_http_client run <what> <url> [seconds]     curfew alone: many, one, threads or fan
//
//   many     64 coroutines on one io_context, each with one call under way
//   one      one coroutine, one call after the other
//   threads  16 threads, each with one blocking call under way
//   fan      one coroutine that makes 10 calls at a time and joins them; a call counts each
//
// The CPU time is that of the client's process, all its threads, user and system.
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/io/race.hpp>
#include <filesystem>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "pinned_program.hpp"

namespace http = curfew::http;
namespace asio = boost::asio;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

namespace {

// curfew's side.

struct samples {
  steady::time_point warm = steady::now() + 300ms;
  steady::time_point end;
  std::vector<std::uint32_t> took;  // nanoseconds

  explicit samples(double seconds)
      : end(warm + std::chrono::duration_cast<steady::duration>(std::chrono::duration<double>(seconds))) {}
  /// \return whether there is time for another.
  bool add(steady::time_point begun, steady::time_point now) {
    if (begun >= warm && now < end) took.push_back(static_cast<std::uint32_t>((now - begun).count()));
    return now < end;
  }
};

double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return of(used.ru_utime) + of(used.ru_stime);
}

void check(const curfew::result<http::response>& answer) {
  if (!answer) throw std::runtime_error(answer.error().message());
}

asio::awaitable<void> in_turn(http::client& client, std::string url, samples& s) {
  const curfew::context ctx = curfew::background();
  for (;;) {
    const auto begun = steady::now();
    const auto scope = curfew::with_timeout(ctx, 3s);
    http::request what("GET", url);
    const auto answer = co_await client.async_send(scope.ctx(), std::move(what));
    check(answer);
    if (!s.add(begun, steady::now())) co_return;
  }
}

asio::awaitable<void> fanned(http::client& client, std::string url, samples& s) {
  constexpr std::size_t at_a_time = 10;
  const curfew::context ctx = curfew::background();
  for (;;) {
    const auto begun = steady::now();
    const auto scope = curfew::with_timeout(ctx, 3s);
    auto call = [&client, &url](curfew::context each) -> asio::awaitable<curfew::result<std::string>> {
      http::request what("GET", url);
      auto answer = co_await client.async_send(each, std::move(what));
      if (!answer) co_return answer.error();
      co_return std::move(answer->body());
    };
    std::vector<decltype(call)> calls(at_a_time, call);
    const auto answers = co_await curfew::async_all(scope.ctx(), std::move(calls));
    if (!answers) throw std::runtime_error(answers.error().message());
    const auto now = steady::now();
    for (std::size_t i = 0; i + 1 < at_a_time; ++i) s.add(begun, now);
    if (!s.add(begun, now)) co_return;
  }
}

int run(const std::string& what, const std::string& url, double seconds) {
  http::client client(http::client_options().max_idle_connections(100));
  samples s(seconds);
  double before = 0;
  std::thread watch([&] {
    std::this_thread::sleep_until(s.warm);
    before = cpu_seconds();
  });
  if (what == "threads") {
    std::vector<std::thread> all;
    std::vector<samples> each(16, s);
    for (auto& mine : each) {
      all.emplace_back([&mine, &client, &url] {
        for (;;) {
          const auto begun = steady::now();
          const auto scope = curfew::with_timeout(curfew::background(), 3s);
          check(client.send(scope, http::request("GET", url)));
          if (!mine.add(begun, steady::now())) return;
        }
      });
    }
    for (auto& t : all) t.join();
    for (const auto& mine : each) s.took.insert(s.took.end(), mine.took.begin(), mine.took.end());
  } else {
    asio::io_context io{1};
    const int count = what == "many" ? 64 : 1;
    for (int i = 0; i < count; ++i) {
      asio::co_spawn(io, what == "fan" ? fanned(client, url, s) : in_turn(client, url, s),
                     [](std::exception_ptr thrown) {
                       if (thrown) std::rethrow_exception(thrown);
                     });
    }
    io.run();
  }
  const double cpu = cpu_seconds() - before;
  watch.join();
  if (s.took.empty()) throw std::runtime_error("no call was answered");
  std::ranges::sort(s.took);
  const auto at = [&](double part) {
    return s.took[static_cast<std::size_t>(part * static_cast<double>(s.took.size() - 1))];
  };
  std::printf("%zu %.3f %.6f %.1f %.1f\n", s.took.size(), seconds, cpu, at(0.5) / 1e3, at(0.99) / 1e3);
  return 0;
}

// The comparison.

struct measured {
  double rate = 0;
  double cpu_us = 0;
  double p50_us = 0;
  double p99_us = 0;
};

measured parse(const std::string& line) {
  std::istringstream in(line);
  double calls = 0;
  double seconds = 0;
  double cpu = 0;
  measured m;
  in >> calls >> seconds >> cpu >> m.p50_us >> m.p99_us;
  m.rate = calls / seconds;
  m.cpu_us = cpu * 1e6 / calls;
  return m;
}

double median(std::vector<measured> rounds, double measured::* what) {
  std::ranges::sort(rounds, {}, what);
  return rounds[rounds.size() / 2].*what;
}

int compare(int rounds, const std::string& seconds) {
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  const char* peers = std::getenv("CURFEW_BENCH_PEERS");
  const auto go = std::filesystem::path(peers != nullptr ? peers : "") / "http_client";
  const auto beast = self.parent_path() / "peer_beast_client";
  const pinned_program server({(self.parent_path() / "peer_epoll_hello").string(), "127.0.0.1:0"}, 0);
  const std::string url = server.line() + "/hello";
  std::printf("HTTP/1.1 client, hello, a deadline per call, one core; medians of %d rounds\n", rounds);
  for (const std::string what : {"many", "one", "threads", "fan"}) {
    std::vector<std::pair<std::string, std::vector<std::string>>> sides;
    sides.push_back({"curfew", {self.string(), "run", what, url, seconds}});
    if (std::filesystem::exists(go)) sides.push_back({"Go net/http", {go.string(), what, url, seconds}});
    if (what != "threads" && what != "fan" && std::filesystem::exists(beast))
      sides.push_back({"Beast", {beast.string(), what, url, seconds}});
    std::vector<std::vector<measured>> all(sides.size());
    for (int round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < sides.size(); ++i)
        all[i].push_back(parse(pinned_program(sides[i].second, 1).line()));
    }
    std::printf("\n%-12s %12s %12s %10s %10s   curfew's share of it: rate, CPU, p99\n", what.c_str(),
                "calls/s", "CPU us each", "p50 us", "p99 us");
    for (std::size_t i = 0; i < sides.size(); ++i) {
      const auto of = [&](std::size_t side, double measured::* m) { return median(all[side], m); };
      const auto share = [&](double measured::* m) { return of(0, m) / of(i, m); };
      std::printf("%-12s %12.0f %12.2f %10.1f %10.1f   %.2f, %.2f, %.2f\n", sides[i].first.c_str(),
                  of(i, &measured::rate), of(i, &measured::cpu_us), of(i, &measured::p50_us),
                  of(i, &measured::p99_us), share(&measured::rate), share(&measured::cpu_us),
                  share(&measured::p99_us));
    }
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  try {
    if (args.size() > 2 && args[0] == "run")
      return run(args[1], args[2], args.size() > 3 ? std::stod(args[3]) : 2);
    return compare(args.empty() ? 5 : std::stoi(args[0]), args.size() > 1 ? args[1] : "2");
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
