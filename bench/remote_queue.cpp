// Jobs through remote::queue, beside the same by streams of Redis alone: XADD, XREADGROUP, XACK and XDEL, an answer by another
// XADD; without contexts, leases, and what is done when a worker dies. The sides take turns, a Redis of the benchmark's own.
//
//   bench_remote_queue [jobs] [rounds]     default: 5000 5; prints medians: jobs a second, and from push to answer
//
// 64 coroutines ask, ten jobs at a time are done, in one process: the worker answers with what it was asked.
#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/redis.hpp>
#include <curfew/remote.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "measure.hpp"
#include "redis.hpp"

namespace {

using namespace std::chrono_literals;
using namespace curfew;
namespace asio = boost::asio;

constexpr std::size_t askers = 64;
constexpr std::size_t at_a_time = 10;

struct round {
  double jobs_a_second = 0;
  double p50_us = 0;
  double p99_us = 0;
};

/// Of many askers, the time of each job.
class stopwatch {
 public:
  explicit stopwatch(std::size_t jobs) : left_(jobs) { all_.reserve(jobs); }

  [[nodiscard]] bool take() noexcept { return left_ != 0 && left_-- != 0; }
  void add(clock::duration d) { all_.push_back(std::chrono::duration<double, std::micro>(d).count()); }
  [[nodiscard]] round result() {
    round made;
    made.jobs_a_second =
        static_cast<double>(all_.size()) / std::chrono::duration<double>(clock::now() - begin_).count();
    std::ranges::sort(all_);
    made.p50_us = all_[all_.size() / 2];
    made.p99_us = all_[all_.size() * 99 / 100];
    return made;
  }

 private:
  std::size_t left_;
  std::vector<double> all_;
  clock::time_point begin_ = clock::now();
};

void expect(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

// curfew

asio::awaitable<result<std::string>> echo(context /*ctx*/, std::string text) { co_return text; }

asio::awaitable<void> ask(remote::queue<std::string>& of, stopwatch& watch) {
  while (watch.take()) {
    const auto begin = clock::now();
    auto got = co_await of.async_run(background(), "thumbnail of cat.jpg");
    expect(got && *got == "thumbnail of cat.jpg", "a wrong answer");
    watch.add(clock::now() - begin);
  }
}

round run_curfew(const std::string& url, std::size_t jobs) {
  redis::client client(url);
  remote::hub hub(client);
  remote::queue<std::string> of(hub, "bench");
  auto scope = with_cancel(background());
  std::thread works([&] {
    asio::io_context loop(1);
    asio::co_spawn(loop, of.async_work(scope.ctx(), echo, at_a_time), asio::detached);
    loop.run();
  });
  asio::io_context loop(1);
  stopwatch watch(jobs);
  for (std::size_t i = 0; i != askers; ++i) asio::co_spawn(loop, ask(of, watch), asio::detached);
  loop.run();
  const auto made = watch.result();
  scope.cancel();
  works.join();
  return made;
}

// Streams alone

struct plain {
  explicit plain(const std::string& url) : client(url) {}

  redis::client client;
  std::unordered_map<std::string, std::shared_ptr<channel<std::string>>> waiting;
  std::size_t last = 0;
};

asio::awaitable<void> do_plain(plain& of, redis::stream_entry entry) {
  const std::vector<redis::pair_of_words> answer{{"n", *entry.find("n")}, {"b", *entry.find("b")}};
  auto done =
      co_await of.client.async_run_all(background(), redis::xadd("plain:answers", answer),
                                       redis::xack("plain", "g", entry.id), redis::xdel("plain", entry.id));
  expect(done.has_value(), "not done");
}

asio::awaitable<void> work_plain(context ctx, plain& of) {
  const auto here = co_await asio::this_coro::executor;
  const auto how = redis::xread_options().count(at_a_time);
  while (!ctx.err()) {
    auto got = co_await of.client.async_run(ctx, redis::xreadgroup_blocking("g", "c", "plain", how));
    if (!got) co_return;
    for (auto& from : *got) {
      for (auto& each : from.entries) asio::co_spawn(here, do_plain(of, std::move(each)), asio::detached);
    }
  }
}

asio::awaitable<void> read_plain(context ctx, plain& of) {
  std::string after = "0";
  const auto how = redis::xread_options().count(1000);
  while (!ctx.err()) {
    auto got = co_await of.client.async_run(ctx, redis::xread_blocking("plain:answers", after, how));
    if (!got) co_return;
    std::vector<std::string> ids;
    for (auto& each : got->front().entries) {
      const auto found = of.waiting.find(*each.find("n"));
      if (found != of.waiting.end()) std::ignore = found->second->try_send(std::string(*each.find("b")));
      ids.push_back(each.id);
    }
    after = ids.back();
    std::ignore = co_await of.client.async_run(ctx, redis::xdel("plain:answers", ids));
  }
}

asio::awaitable<void> ask_plain(plain& of, stopwatch& watch, std::size_t& left, cancel_scope& scope) {
  while (watch.take()) {
    const auto begin = clock::now();
    const std::string number = std::to_string(++of.last);
    const auto answer = std::make_shared<channel<std::string>>(1);
    of.waiting.emplace(number, answer);
    const std::vector<redis::pair_of_words> job{{"n", number}, {"b", "thumbnail of cat.jpg"}};
    // NOLINTBEGIN(curfew-background-in-request): what is compared has no contexts
    auto added = co_await of.client.async_run(background(), redis::xadd("plain", job));
    expect(added.has_value(), "not added");
    auto got = co_await async_receive(background(), *answer);
    // NOLINTEND(curfew-background-in-request)
    expect(got && *got && **got == "thumbnail of cat.jpg", "a wrong answer");
    of.waiting.erase(number);
    watch.add(clock::now() - begin);
  }
  if (--left == 0) scope.cancel();
}

round run_plain(const std::string& url, std::size_t jobs) {
  plain of(url);
  expect(of.client.run(background(), redis::xgroup_create("plain", "g", "0")).has_value(), "no group");
  auto scope = with_cancel(background());
  std::thread works([&] {
    asio::io_context loop(1);
    asio::co_spawn(loop, work_plain(scope.ctx(), of), asio::detached);
    loop.run();
  });
  asio::io_context loop(1);
  stopwatch watch(jobs);
  std::size_t left = askers;
  asio::co_spawn(loop, read_plain(scope.ctx(), of), asio::detached);
  for (std::size_t i = 0; i != askers; ++i)
    asio::co_spawn(loop, ask_plain(of, watch, left, scope), asio::detached);
  loop.run();
  works.join();
  return watch.result();
}

double median(std::vector<round> all, double round::* of) {
  std::ranges::sort(all, {}, of);
  return all[all.size() / 2].*of;
}

}  // namespace

int main(int argc, char** argv) {
  const auto jobs = static_cast<std::size_t>(argc > 1 ? std::atoi(argv[1]) : 5000);
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  std::vector<round> of_curfew;
  std::vector<round> of_plain;
  for (int i = 0; i != rounds; ++i) {
    const tests::redis_server server;
    of_curfew.push_back(run_curfew(server.url(), jobs));
    of_plain.push_back(run_plain(server.url(), jobs));
  }
  const auto print = [](const char* name, const std::vector<round>& all) {
    std::printf("%-22s %8.0f jobs/s   p50 %7.0f us   p99 %7.0f us\n", name,
                median(all, &round::jobs_a_second), median(all, &round::p50_us), median(all, &round::p99_us));
  };
  print("remote::queue", of_curfew);
  print("streams alone", of_plain);
  std::printf("%-22s %8.2f\n", "rate ÷ that of streams",
              median(of_curfew, &round::jobs_a_second) / median(of_plain, &round::jobs_a_second));
}
