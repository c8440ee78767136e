// Contexts that cross to another process, through a Redis of the benchmark's own.
//
//   bench_remote [contexts]     default: 10000
//
//   share, end       one blocking call after the other, and from 64 coroutines; scripts that Redis was asked for, and its memory
//   end → joined     one context of so many ends: until it has ended in the other process
//   all at once      their parent ends: until the last one has ended there
//   origin killed    kill -9 of a process that shares: until what has joined has ended, beyond the lease
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/redis.hpp>
#include <curfew/remote.hpp>
#include <deque>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "measure.hpp"
#include "redis.hpp"
#include "remote/other_process.hpp"

namespace {

using namespace std::chrono_literals;
using namespace curfew;
namespace asio = boost::asio;

/// Joins what it is told to, and says when it has ended; or shares, to be killed.
int other_process(const std::string& url, std::chrono::milliseconds lease) {
  struct joined {
    explicit joined(cancel_scope from, std::size_t number)
        : scope(std::move(from)),
          ending(scope.ctx(), [number] {
            std::printf("%zu %lld\n", number,
                        static_cast<long long>(clock::now().time_since_epoch().count()));
            std::fflush(stdout);
          }) {}
    cancel_scope scope;
    on_done<std::function<void()>> ending;
  };
  redis::client client(url);
  auto options = remote::hub_options().lease(lease);
  remote::hub here(client, options);
  std::deque<joined> all;
  std::deque<remote::shared> shared;
  for (std::string what; std::getline(std::cin, what);) {
    if (what == "share") {
      shared.push_back(here.share(background()).value());
      std::cout << shared.back().ticket() << std::endl;  // NOLINT(performance-avoid-endl): it is waited for
    } else if (what == "ready") {
      std::cout << "ready" << std::endl;  // NOLINT(performance-avoid-endl)
    } else {
      all.emplace_back(here.join(background(), what).value(), all.size());
    }
  }
  return 0;
}

std::int64_t scripts_run(const tests::redis_server& server) {
  std::istringstream all(server.ask_for({"INFO", "commandstats"}));
  for (std::string line; std::getline(all, line);) {
    if (line.starts_with("cmdstat_evalsha:calls=")) return std::atoll(line.c_str() + line.find('=') + 1);
  }
  return 0;
}

asio::awaitable<void> share_many(remote::hub& hub, context parent, std::deque<remote::shared>& into,
                                 int count) {
  for (int i = 0; i != count; ++i) {
    auto one = co_await hub.async_share(parent);
    into.push_back(std::move(one).value());
  }
}

void print(const char* what, double figure, const char* unit) {
  std::printf("%-58s %12.3f %s\n", what, figure, unit);
}

void costs(const tests::redis_server& server, int count) {
  redis::client client(server.url());
  remote::hub hub(client);
  auto parent = with_cancel(background());
  std::deque<remote::shared> all;
  all.push_back(hub.share(parent).value());
  print("share, one after the other",
        bench::nanoseconds_each(2000, [&] { all.push_back(hub.share(parent).value()); }) / 1000, "us each");

  const auto memory = std::atoll(server.info("used_memory").c_str());
  const auto scripts = scripts_run(server);
  const auto begin = clock::now();
  asio::io_context io;
  constexpr int coroutines = 64;
  for (int i = 0; i != coroutines; ++i) {
    auto work = share_many(hub, parent.ctx(), all, count / coroutines);
    asio::co_spawn(io, std::move(work), [](const std::exception_ptr& thrown) {
      if (thrown) std::rethrow_exception(thrown);
    });
  }
  io.run();
  const double made = count / coroutines * coroutines;
  print("share, 64 coroutines", bench::microseconds(clock::now() - begin) / made, "us each");
  print("  scripts per context", static_cast<double>(scripts_run(server) - scripts) / made, "");
  print("  memory of Redis per context",
        static_cast<double>(std::atoll(server.info("used_memory").c_str()) - memory) / made, "bytes");

  const auto scripts_before = scripts_run(server);
  const auto ending = clock::now();
  const auto number = all.size();
  all.clear();
  while (hub.shared_count() != 0) std::this_thread::sleep_for(100us);
  print("end, all one after the other",
        bench::microseconds(clock::now() - ending) / static_cast<double>(number), "us each");
  std::this_thread::sleep_for(200ms);
  print("  scripts per context",
        static_cast<double>(scripts_run(server) - scripts_before) / static_cast<double>(number), "");
}

void ends(const tests::redis_server& server, std::size_t count) {
  redis::client client(server.url());
  remote::hub hub(client);
  tests::other_process worker(server.url(), 10s);
  auto parent = with_cancel(background());
  std::vector<remote::shared> all;
  for (std::size_t i = 0; i != count; ++i) {
    all.push_back(hub.share(parent).value());
    worker.tell(all.back().ticket());
  }
  if (worker.ask("ready") != "ready") throw std::runtime_error("the other process has failed");

  const auto ended_at = [&worker] {
    std::istringstream line(worker.hear());
    std::size_t number = 0;
    std::int64_t when = 0;
    line >> number >> when;
    return clock::time_point(clock::duration(when));
  };
  bench::numbers took;
  const std::size_t singles = std::min<std::size_t>(2000, count / 5);
  for (std::size_t i = 0; i != singles; ++i) {
    const auto begin = clock::now();
    all[i].scope().cancel("enough");
    took.push_back(bench::microseconds(ended_at() - begin));
  }
  std::printf("of %zu contexts, one ends\n", count);
  print("  end -> joined ended, p50", bench::percentile(took, 0.5), "us");
  print("  end -> joined ended, p99", bench::percentile(took, 0.99), "us");
  print("  end -> joined ended, largest", bench::percentile(took, 1), "us");

  const auto begin = clock::now();
  parent.cancel("all");
  clock::time_point last;
  for (std::size_t i = singles; i != count; ++i) last = std::max(last, ended_at());
  std::printf("%zu end at once\n", count - singles);
  print("  until the last has ended", bench::microseconds(last - begin) / 1000, "ms");
}

void kills(const tests::redis_server& server) {
  constexpr std::chrono::milliseconds lease{1000};
  redis::client client(server.url());
  auto options = remote::hub_options().lease(lease);
  remote::hub hub(client, options);
  bench::numbers beyond;
  for (int i = 0; i != 10; ++i) {
    tests::other_process origin(server.url(), lease);
    auto joined = hub.join(background(), origin.ask("share")).value();
    std::this_thread::sleep_for(lease / 10 * i);  // between two beats, here and there
    const auto begin = clock::now();
    origin.kill(SIGKILL);
    joined.done().wait();
    beyond.push_back(bench::microseconds(clock::now() - begin - lease) / 1000);
  }
  print("origin killed, lease 1 s -> joined ended, median", 1000 + bench::percentile(beyond, 0.5), "ms");
  print("origin killed, lease 1 s -> joined ended, largest", 1000 + bench::percentile(beyond, 1), "ms");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == tests::other_process_argument)
    return other_process(argv[2], std::chrono::milliseconds(std::atoi(argv[3])));
  const int count = argc > 1 ? std::atoi(argv[1]) : 10'000;
  auto in_memory = tests::redis_options().set("appendonly no");
  const tests::redis_server server(in_memory);
  costs(server, count);
  ends(server, static_cast<std::size_t>(count));
  kills(server);
  return 0;
}
