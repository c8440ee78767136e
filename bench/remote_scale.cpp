// Many machines on one Redis: what their leases, their contexts and the ends of these cost it.
//
//   bench_remote_scale [machines] [contexts of each] [seconds]     default: 1000 1000 20
//
// A machine is a hub with a client of its own: its own connections, its lease of 10 s, its beats. It shares its contexts and has joined
// ten of other machines. Fifty of them share a process here, for there is one machine only. Redis has one core, they have the
// other.
//
//   at rest    nothing happens but the beats
//   churn      so many contexts end in each second, and as many are shared anew: each more than the last
#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/redis.hpp>
#include <curfew/remote.hpp>
#include <deque>
#include <exception>
#include <iostream>
#include <list>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "pinned_program.hpp"
#include "redis.hpp"
#include "remote/other_process.hpp"

namespace {

using namespace std::chrono_literals;
using namespace curfew;
namespace asio = boost::asio;

constexpr auto lease = 10s;
constexpr std::size_t hubs_of_a_process = 50;
constexpr std::size_t joined_by_each = 10;
constexpr unsigned core_of_redis = 0;
constexpr unsigned core_of_the_machines = 1;

// A process with some of the machines.

struct machine {
  explicit machine(const std::string& url)
      : client(std::make_unique<redis::client>(url)),
        hub(*client, remote::hub_options().lease(lease)) {}

  std::unique_ptr<redis::client> client;
  remote::hub hub;
  std::deque<remote::shared> shared;
  std::vector<cancel_scope> joined;
};

void run_all(std::vector<asio::awaitable<void>> all) {
  asio::io_context io(1);
  for (auto& each : all) {
    asio::co_spawn(io, std::move(each), [](const std::exception_ptr& thrown) {
      if (thrown) std::rethrow_exception(thrown);
    });
  }
  io.run();
}

asio::awaitable<void> share(machine& in, std::size_t count) {
  for (std::size_t i = 0; i != count; ++i) {
    auto one = co_await in.hub.async_share(background());
    in.shared.push_back(std::move(one).value());
  }
}

asio::awaitable<void> join(machine& in, const std::vector<std::string>& tickets, std::size_t first) {
  for (std::size_t i = 0; i != joined_by_each; ++i) {
    auto one = co_await in.hub.async_join(background(), tickets[(first + i * 101) % tickets.size()]);
    in.joined.push_back(std::move(one).value());
  }
}

/// Ends the oldest, and shares another, at times that are due.
asio::awaitable<void> churn(machine& in, double each_second, clock::time_point until, std::size_t& count) {
  const auto period =
      std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(1 / each_second));
  for (auto due = clock::now() + period; due < until; due += period) {
    if (const auto now = clock::now(); now < due)
      std::ignore = co_await async_sleep_for(background(), due - now);
    in.shared.pop_front();
    auto one = co_await in.hub.async_share(background());
    in.shared.push_back(std::move(one).value());
    ++count;
  }
}

void answer(const std::string& line) {
  std::cout << line << std::endl;  // NOLINT(performance-avoid-endl): it is waited for
}

int other_process(const std::string& url) {
  pin_to(core_of_the_machines);
  std::list<machine> machines;
  std::vector<std::string> tickets;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string what;
    words >> what;
    std::vector<asio::awaitable<void>> all;
    std::size_t count = 0;
    if (what == "share") {
      std::size_t hubs = 0;
      words >> hubs >> count;
      while (machines.size() != hubs) all.push_back(share(machines.emplace_back(url), count));
      run_all(std::move(all));
      std::string some;
      for (const machine& each : machines) some += each.shared.back().ticket() + ' ';
      answer(some);
    } else if (what == "know") {
      for (std::string one; words >> one;) tickets.push_back(one);
    } else if (what == "join") {
      words >> count;
      for (machine& each : machines) all.push_back(join(each, tickets, count++));
      run_all(std::move(all));
      answer("joined");
    } else {
      double each_second = 0;
      int seconds = 0;
      words >> each_second >> seconds;
      for (machine& each : machines)
        all.push_back(churn(each, each_second, clock::now() + std::chrono::seconds(seconds), count));
      run_all(std::move(all));
      answer(std::to_string(count));
    }
  }
  return 0;
}

// Redis, as it says itself.

struct reading {
  double cpu = 0;  // seconds
  double commands = 0;
  double scripts = 0;
  double messages = 0;  // that scripts sent
  double bytes = 0;     // that Redis sent

  friend reading operator-(const reading& a, const reading& b) {
    return {a.cpu - b.cpu, a.commands - b.commands, a.scripts - b.scripts, a.messages - b.messages,
            a.bytes - b.bytes};
  }
};

reading read_now(const tests::redis_server& server) {
  const auto number = [&server](const char* name) { return std::atof(server.info(name).c_str()); };
  reading made;
  made.cpu = number("used_cpu_user") + number("used_cpu_sys");
  made.commands = number("total_commands_processed");
  made.bytes = number("total_net_output_bytes");
  std::istringstream all(server.ask_for({"INFO", "commandstats"}));
  for (std::string line; std::getline(all, line);) {
    const auto calls = [&line] { return std::atof(line.c_str() + line.find('=') + 1); };
    if (line.starts_with("cmdstat_evalsha:")) made.scripts = calls();
    if (line.starts_with("cmdstat_publish:")) made.messages = calls();
  }
  return made;
}

void print(const std::string& what, const reading& spent, double seconds) {
  std::printf("%-28s %9.1f %% of a core %9.0f scripts/s %9.0f messages/s %9.0f KB/s\n", what.c_str(),
              100 * spent.cpu / seconds, spent.scripts / seconds, spent.messages / seconds,
              spent.bytes / seconds / 1024);
  std::fflush(stdout);
}

void measure(std::size_t machines, std::size_t contexts, int seconds) {
  pin_to(core_of_redis);  // which the server inherits
  const tests::redis_server server(tests::redis_options().set("appendonly no").set("maxclients 10000"));
  pin_to(core_of_the_machines);
  const double empty = std::atof(server.info("used_memory").c_str());
  std::list<tests::other_process> processes;
  const std::size_t count = (machines + hubs_of_a_process - 1) / hubs_of_a_process;
  for (std::size_t i = 0; i != count; ++i)
    processes.emplace_back(server.url(), std::chrono::duration_cast<std::chrono::milliseconds>(lease));

  std::vector<std::string> tickets;
  std::size_t left = machines;
  for (auto& each : processes) {
    const std::size_t some = std::min(left, hubs_of_a_process);
    left -= some;
    each.tell("share " + std::to_string(some) + ' ' + std::to_string(contexts));
    std::istringstream said(each.hear());
    for (std::string one; said >> one;) tickets.push_back(one);
  }
  if (tickets.size() != machines) throw std::runtime_error("a process has failed");
  const double shared = std::atof(server.info("used_memory").c_str());
  for (auto& each : processes) {
    for (const auto& one : tickets) each.tell("know " + one);
  }
  std::size_t first = hubs_of_a_process;  // those of the next process
  for (auto& each : processes) {
    each.tell("join " + std::to_string(first));
    if (each.hear() != "joined") throw std::runtime_error("a process has failed");
    first += hubs_of_a_process;
  }
  const double joined = std::atof(server.info("used_memory").c_str());
  const double all = static_cast<double>(machines * contexts);
  std::printf("%zu machines with %zu contexts each, %zu joined by each; a lease of %lld s\n", machines,
              contexts, joined_by_each, static_cast<long long>(lease.count()));
  std::printf("Redis: %.0f MB for what is shared, %.0f bytes each; %.0f MB more with %s connections\n",
              (shared - empty) / 1e6, (shared - empty) / all, (joined - shared) / 1e6,
              server.info("connected_clients").c_str());

  const auto spent_while = [&](auto&& what) {
    const reading before = read_now(server);
    const auto begun = clock::now();
    what();
    const double took = std::chrono::duration<double>(clock::now() - begun).count();
    return std::pair(read_now(server) - before, took);
  };
  const auto [idle, idle_time] =
      spent_while([&] { std::this_thread::sleep_for(std::chrono::seconds(seconds)); });
  print("at rest", idle, idle_time);
  for (const double wanted : {1'000.0, 5'000.0, 20'000.0}) {
    double done = 0;
    const auto [spent, took] = spent_while([&] {
      for (auto& each : processes)
        each.tell("churn " + std::to_string(wanted / static_cast<double>(machines)) + ' ' +
                  std::to_string(seconds));
      for (auto& each : processes) done += std::atof(each.hear().c_str());
    });
    print("churn of " + std::to_string(static_cast<int>(done / took)) + " a second", spent, took);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 4 && std::string_view(argv[1]) == tests::other_process_argument)
      return other_process(argv[2]);
    const auto argument = [&](int i, int otherwise) { return argc > i ? std::atoi(argv[i]) : otherwise; };
    measure(static_cast<std::size_t>(argument(1, 1000)), static_cast<std::size_t>(argument(2, 1000)),
            argument(3, 20));
    return 0;
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
