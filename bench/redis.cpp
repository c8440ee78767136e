// Redis through curfew, beside hiredis used directly and Go's redigo, with a server of its own. One core for the client,
// another for the server; in every round each takes its turn.
//
//   bench_redis [rounds] [seconds]                     default: 5 1; prints the medians and their ratios
//   bench_redis run <side> <what> <port> [seconds]     one side alone: curfew or hiredis
//
//   one        GET, one connection, blocking calls in turn
//   pipeline   64 GET in one pipeline, one connection, blocking
//   coroutine  GET, in a coroutine (hiredis: its asynchronous part, by epoll)
//   many       64 coroutines on 4 connections, a GET each (hiredis: 16 at a time on each of 4; redigo: 64 goroutines that
//              take turns at a pool of 4, and again with a sender and a receiver for each of the 4, written by hand)
//
// Each value has 32 bytes and is compared with what it has to be. curfew's calls and Go's have a deadline each, hiredis' have
// none. The CPU time is that of the client's process, all its threads, user and system.
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/redis.hpp>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pinned_program.hpp"
#include "pinned_sides.hpp"
#include "redis.hpp"

namespace redis = curfew::redis;
namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace std::string_literals;
using curfew::bench::samples;
using steady = std::chrono::steady_clock;

namespace {

constexpr std::size_t keys = 10'000;
constexpr std::size_t batch = 64;
constexpr std::size_t callers = 64;
constexpr std::size_t connections = 4;
constexpr auto patience = 30s;

std::string key_of(std::size_t i) { return "key:" + std::to_string(i % keys); }
std::string value_of(std::size_t i) {
  auto value = key_of(i);
  value.resize(32, '.');
  return value;
}

/// The keys and values, made in advance.
const std::vector<std::pair<std::string, std::string>>& table() {
  static const auto made = [] {
    std::vector<std::pair<std::string, std::string>> all;
    for (std::size_t i = 0; i != keys; ++i) all.emplace_back(key_of(i), value_of(i));
    return all;
  }();
  return made;
}

void expect(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}
void expect_value(std::string_view got, std::size_t i) {
  expect(got == table()[i % keys].second, "another value came");
}

// curfew's side.

template <class T>
T checked(redis::result<T> got) {
  if (!got) throw std::runtime_error(got.error().message());
  return *std::move(got);
}
void expect_value(redis::result<std::optional<std::string>> got, std::size_t i) {
  const auto value = checked(std::move(got));
  expect(value.has_value(), "a key is missing");
  expect_value(std::string_view(*value), i);
}

asio::awaitable<void> ask_in_turn(redis::client& client, samples& s, std::size_t first) {
  for (std::size_t i = first;; ++i) {
    const auto begun = steady::now();
    const auto scope = curfew::with_timeout(curfew::background(), patience);
    auto got = co_await client.async_run(scope.ctx(), redis::get(table()[i % keys].first));
    expect_value(std::move(got), i);
    if (!s.add(begun)) co_return;
  }
}

void run_curfew(const std::string& what, const std::string& port, double seconds) {
  redis::client client("redis://127.0.0.1:" + port,
                       redis::client_options().connections(what == "many" ? connections : 1));
  samples s(seconds, what == "pipeline" ? batch : 1);
  if (what == "one") {
    for (std::size_t i = 0;; ++i) {
      const auto begun = steady::now();
      const auto scope = curfew::with_timeout(curfew::background(), patience);
      expect_value(client.run(scope, redis::get(table()[i % keys].first)), i);
      if (!s.add(begun)) return s.print();
    }
  }
  if (what == "pipeline") {
    for (std::size_t first = 0;; first += batch) {
      const auto begun = steady::now();
      const auto scope = curfew::with_timeout(curfew::background(), patience);
      std::vector<redis::command<std::optional<std::string>>> gets;
      gets.reserve(batch);
      for (std::size_t i = first; i != first + batch; ++i)
        gets.push_back(redis::get(table()[i % keys].first));
      auto got = checked(client.run_all(scope, std::move(gets)));
      for (std::size_t i = 0; i != batch; ++i) expect_value(std::move(got[i]), first + i);
      if (!s.add(begun)) return s.print();
    }
  }
  asio::io_context io{1};
  const auto rethrow = [](std::exception_ptr thrown) {
    if (thrown) std::rethrow_exception(thrown);
  };
  const std::size_t count = what == "many" ? callers : 1;
  for (std::size_t i = 0; i != count; ++i) asio::co_spawn(io, ask_in_turn(client, s, 1000 * i), rethrow);
  io.run();
  s.print();
}

// hiredis' side.

struct free_reply {
  void operator()(redisReply* r) const noexcept { ::freeReplyObject(r); }
};

void expect_value(const redisReply* got, std::size_t i) {
  expect(got != nullptr && got->type == REDIS_REPLY_STRING, "no value came");
  expect_value(std::string_view(got->str, got->len), i);
}

std::array<const char*, 2> words_of(std::size_t i) { return {"GET", table()[i % keys].first.c_str()}; }
std::array<std::size_t, 2> sizes_of(std::size_t i) { return {3, table()[i % keys].first.size()}; }

/// hiredis' asynchronous connections and an epoll set. What is to be sent is written once for all callbacks of a turn, without
/// waiting for the socket to be ready: epoll is asked for that only when it is not.
class hiredis_loop {
 public:
  hiredis_loop(int port, std::size_t count, std::size_t each, samples& s) : s_(s), links_(count) {
    std::size_t key = 0;
    for (link& l : links_) {
      l.of = this;
      l.on = ::redisAsyncConnect("127.0.0.1", port);
      expect(l.on != nullptr && l.on->err == 0, "no connection");
      l.on->ev.data = &l;
      l.on->ev.addRead = [](void*) {};
      l.on->ev.delRead = [](void*) {};
      l.on->ev.addWrite = [](void* at) { static_cast<link*>(at)->wants_to_write = true; };
      l.on->ev.delWrite = [](void* at) { static_cast<link*>(at)->wants_to_write = false; };
      l.on->ev.cleanup = [](void* at) { static_cast<link*>(at)->on = nullptr; };
      watch(l, EPOLL_CTL_ADD);
      for (std::size_t i = 0; i != each; ++i) {
        l.calls.push_back(std::make_unique<call>(&l, 1000 * key++));
        send(*l.calls.back());
      }
    }
  }
  hiredis_loop(const hiredis_loop&) = delete;
  hiredis_loop& operator=(const hiredis_loop&) = delete;
  ~hiredis_loop() {
    s_.print();
    std::fflush(stdout);
    ::_exit(0);  // what is under way is of no interest
  }

  void run() {
    std::array<epoll_event, 16> ready{};
    while (goes_on_) {
      for (link& l : links_) flush(l);
      const int found = ::epoll_wait(set_, ready.data(), static_cast<int>(ready.size()), -1);
      for (int i = 0; i < found; ++i) {
        const auto& each = ready[static_cast<std::size_t>(i)];
        link& l = *static_cast<link*>(each.data.ptr);
        if ((each.events & EPOLLOUT) != 0) {
          l.is_connected = true;
          l.wants_to_write = true;  // hiredis looks at the end of its connect then
        }
        if ((each.events & EPOLLIN) != 0) ::redisAsyncHandleRead(l.on);
        expect(l.on != nullptr, "the connection is lost");
      }
    }
  }

 private:
  struct link;
  struct call {
    call(link* on, std::size_t first) : of(on), key(first) {}
    link* of;
    std::size_t key;
    steady::time_point begun;
  };
  struct link {
    hiredis_loop* of = nullptr;
    redisAsyncContext* on = nullptr;
    bool is_connected = false;
    bool wants_to_write = false;
    bool is_watched_for_room = true;
    std::vector<std::unique_ptr<call>> calls;
  };

  void watch(link& l, int how) const {
    epoll_event interest{};
    interest.events = EPOLLIN;
    if (l.is_watched_for_room) interest.events |= EPOLLOUT;
    interest.data.ptr = &l;
    expect(::epoll_ctl(set_, how, l.on->c.fd, &interest) == 0, "epoll_ctl");
  }
  void flush(link& l) const {
    if (l.is_connected && l.wants_to_write) {
      l.wants_to_write = false;
      ::redisAsyncHandleWrite(l.on);
      expect(l.on != nullptr, "the connection is lost");
    }
    const bool for_room = !l.is_connected || l.wants_to_write;
    if (for_room == l.is_watched_for_room) return;
    l.is_watched_for_room = for_room;
    watch(l, EPOLL_CTL_MOD);
  }
  static void send(call& c) {
    c.begun = steady::now();
    auto words = words_of(c.key);
    const auto sizes = sizes_of(c.key);
    expect(::redisAsyncCommandArgv(c.of->on, &answered, &c, 2, words.data(), sizes.data()) == REDIS_OK,
           "a command was not taken");
  }
  static void answered(redisAsyncContext* /*on*/, void* reply, void* data) {
    call& c = *static_cast<call*>(data);
    expect_value(static_cast<const redisReply*>(reply), c.key++);
    hiredis_loop& loop = *c.of->of;
    loop.goes_on_ = loop.s_.add(c.begun) && loop.goes_on_;
    send(c);
  }

  samples& s_;
  int set_ = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<link> links_;
  bool goes_on_ = true;
};

void run_hiredis(const std::string& what, const std::string& port, double seconds) {
  samples s(seconds, what == "pipeline" ? batch : 1);
  if (what == "coroutine" || what == "many") {
    const bool many = what == "many";
    hiredis_loop loop(std::stoi(port), many ? connections : 1, many ? callers / connections : 1, s);
    return loop.run();
  }
  const std::size_t each = what == "one" ? 1 : batch;
  const std::unique_ptr<redisContext, decltype(&redisFree)> on(::redisConnect("127.0.0.1", std::stoi(port)),
                                                               &redisFree);
  expect(on != nullptr && on->err == 0, "no connection");
  for (std::size_t first = 0;; first += each) {
    const auto begun = steady::now();
    for (std::size_t i = first; i != first + each; ++i) {
      auto words = words_of(i);
      const auto sizes = sizes_of(i);
      expect(::redisAppendCommandArgv(on.get(), 2, words.data(), sizes.data()) == REDIS_OK,
             "a command was not taken");
    }
    for (std::size_t i = first; i != first + each; ++i) {
      void* got = nullptr;
      expect(::redisGetReply(on.get(), &got) == REDIS_OK, "the connection is lost");
      const std::unique_ptr<redisReply, free_reply> reply(static_cast<redisReply*>(got));
      expect_value(reply.get(), i);
    }
    if (!s.add(begun)) return s.print();
  }
}

// The comparison.

void compare_sides(const curfew::tests::redis_server& server, int rounds, const std::string& seconds) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string port = std::to_string(server.port());
  const char* const peers = std::getenv("CURFEW_BENCH_PEERS");
  const auto go = std::filesystem::path(peers != nullptr ? peers : "") / "redis";
  const bool has_go = std::filesystem::exists(go);
  if (!has_go) std::cerr << "no " << go << ": ./dev bench builds it\n";
  for (const std::string what : {"one", "pipeline", "coroutine", "many"}) {
    std::vector<curfew::bench::pinned_side> sides;
    sides.emplace_back("curfew", std::vector{self, "run"s, "curfew"s, what, port, seconds});
    sides.emplace_back("hiredis", std::vector{self, "run"s, "hiredis"s, what, port, seconds});
    // A goroutine is both.
    if (has_go)
      sides.emplace_back(
          "redigo", std::vector{go.string(), what == "coroutine" ? "one" : what, server.address(), seconds});
    if (has_go && what == "many")
      sides.emplace_back("redigo, shared",
                         std::vector{go.string(), "many_pipelined"s, server.address(), seconds});
    curfew::bench::compare_pinned(what, std::move(sides), rounds);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  try {
    if (args.size() > 3 && args[0] == "run") {
      const double seconds = args.size() > 4 ? std::stod(args[4]) : 1;
      args[1] == "hiredis" ? run_hiredis(args[2], args[3], seconds) : run_curfew(args[2], args[3], seconds);
      return 0;
    }
    if (curfew::tests::find_program("redis-server").empty()) {
      std::cerr << "no redis-server here\n";
      return 0;
    }
    const int rounds = args.empty() ? 5 : std::stoi(args[0]);
    pin_to(0);  // the server's, which inherits it
    const curfew::tests::redis_server server(curfew::tests::redis_options().set("appendonly no"));
    for (const auto& [key, value] : table()) server.ask({"SET", key, value});
    std::printf("Redis, a core for the client and one for the server; medians of %d rounds\n", rounds);
    compare_sides(server, rounds, args.size() > 1 ? args[1] : "1");
    return 0;
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
