// HTTP/1.1, side by side: the same "hello" with a timeout per request by curfew, by the same server with its tasks recorded,
// by Go's net/http and by a bare epoll loop that answers whatever comes. One core for the server, another for the load; in every round
// each takes its turn.
//
//   bench_http [rounds] [seconds] [connections]                 default: 5 2 64;
//                                                               prints the medians and their ratios
//   bench_http serve [address] [threads]                        the server alone
//   bench_http serve-inspected [address] [threads]              the same, whose tasks are recorded
//   bench_http load <url> [connections] [seconds] [server pid]  the load alone
//
// A round's CPU time per request is that of the server's process, all its threads, user and system.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/server.hpp>
#include <curfew/inspect.hpp>
#include <curfew/io/run.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
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

namespace {

// The server.

asio::awaitable<http::response> hello(curfew::context ctx, const http::request& /*request*/) {
  const auto scope = curfew::with_timeout(ctx, 3s);
  if (scope.err()) co_return http::text(http::status::gateway_timeout, "too late\n");
  co_return http::text(http::status::ok, "Hello, World!\n");
}

int serve(const std::string& address, unsigned threads) {
  http::router routes;
  routes.get("/hello", hello);
  http::server server(routes, http::server_options().listen(address).threads(threads));
  if (const auto up = server.listen(); !up) {
    std::cerr << up.error() << '\n';
    return 1;
  }
  std::cout << server.url() << std::endl;
  return curfew::run([&](const curfew::context& ctx) {
    const auto report = server.serve(ctx);
    return report ? 0 : 1;
  });
}

// The load: keep-alive connections, each with one request under way.

using clock_type = std::chrono::steady_clock;

struct connection {
  int socket = -1;
  std::string received;
  clock_type::time_point asked;
};

void ask(connection& c, std::string_view request) {
  c.asked = clock_type::now();
  if (::send(c.socket, request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    throw std::runtime_error("cannot send to the server");
  }
}

/// Has all of a response come? It has a Content-Length.
bool is_complete(const std::string& text) {
  const auto end = text.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  const auto length = text.find("Content-Length: ");
  if (length == std::string::npos || length > end) {
    throw std::runtime_error("a response without Content-Length");
  }
  return text.size() >= end + 4 + std::stoul(text.substr(length + 16, 12));
}

struct measured {
  double per_second = 0;
  double cpu_us = 0;  // of the server, per request
  double p50_us = 0;
  double p99_us = 0;
};

measured load(const std::string& url, std::size_t count, double seconds, int pid) {
  const auto host_at = url.find("://") + 3;
  const auto colon = url.find(':', host_at);
  const auto slash = std::min(url.find('/', colon), url.size());
  const std::string path = slash < url.size() ? url.substr(slash) : "/hello";
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::stoul(url.substr(colon + 1, slash - colon - 1))));
  ::inet_pton(AF_INET, url.substr(host_at, colon - host_at).c_str(), &to.sin_addr);
  const std::string request =
      "GET " + path + " HTTP/1.1\r\nHost: " + url.substr(host_at, slash - host_at) + "\r\n\r\n";

  const int set = ::epoll_create1(0);
  std::vector<connection> all(count);
  for (auto& c : all) {
    c.socket = ::socket(AF_INET, SOCK_STREAM, 0);
    const int yes = 1;
    ::setsockopt(c.socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (::connect(c.socket, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
      throw std::system_error(errno, std::generic_category(), url);
    }
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.ptr = &c;
    ::epoll_ctl(set, EPOLL_CTL_ADD, c.socket, &e);
    ask(c, request);
  }

  std::vector<std::uint32_t> took;  // nanoseconds
  took.reserve(2'000'000);
  const auto warm = clock_type::now() + std::chrono::milliseconds(300);
  const auto to_measure =
      std::chrono::duration_cast<clock_type::duration>(std::chrono::duration<double>(seconds));
  bool measuring = false;
  clock_type::time_point begin;
  double cpu = 0;
  std::array<epoll_event, 256> events;
  std::array<char, 65536> buffer;
  for (;;) {
    const int ready = ::epoll_wait(set, events.data(), static_cast<int>(events.size()), 1000);
    const auto now = clock_type::now();
    if (!measuring && now >= warm) {
      measuring = true;
      begin = now;
      cpu = pid != 0 ? cpu_of(pid) : 0;
    }
    if (measuring && now - begin >= to_measure) break;
    for (int i = 0; i < ready; ++i) {
      auto& c = *static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      const ssize_t got = ::recv(c.socket, buffer.data(), buffer.size(), 0);
      if (got <= 0) {
        throw std::runtime_error("the server closed a connection");
      }
      c.received.append(buffer.data(), static_cast<std::size_t>(got));
      if (!is_complete(c.received)) continue;
      if (measuring) took.push_back(static_cast<std::uint32_t>((clock_type::now() - c.asked).count()));
      c.received.clear();
      ask(c, request);
    }
  }
  const double lasted = std::chrono::duration<double>(clock_type::now() - begin).count();
  cpu = pid != 0 ? cpu_of(pid) - cpu : 0;
  for (auto& c : all) ::close(c.socket);
  ::close(set);
  if (took.empty()) throw std::runtime_error("no request was answered");
  std::ranges::sort(took);
  const auto at = [&](double part) {
    return took[static_cast<std::size_t>(part * static_cast<double>(took.size() - 1))];
  };
  return {static_cast<double>(took.size()) / lasted, cpu * 1e6 / static_cast<double>(took.size()),
          at(0.5) / 1e3, at(0.99) / 1e3};
}

// The comparison.

struct side {
  std::string name;
  std::vector<std::string> command;
  std::vector<measured> rounds;

  [[nodiscard]] double median(double measured::* what) const {
    std::vector<double> all;
    for (const auto& m : rounds) all.push_back(m.*what);
    std::ranges::sort(all);
    return all[all.size() / 2];
  }
};

int compare(int rounds, double seconds, std::size_t connections) {
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  std::vector<side> sides;
  sides.push_back({"curfew", {self.string(), "serve", "127.0.0.1:0", "1"}, {}});
  sides.push_back({"inspected", {self.string(), "serve-inspected", "127.0.0.1:0", "1"}, {}});
  const char* peers = std::getenv("CURFEW_BENCH_PEERS");
  const auto go = std::filesystem::path(peers != nullptr ? peers : "") / "http_hello";
  if (std::filesystem::exists(go)) {
    sides.push_back({"Go net/http", {go.string(), "127.0.0.1:0"}, {}});
  } else {
    std::fprintf(stderr, "without Go: no %s\n", go.c_str());
  }
  const auto bare = self.parent_path() / "peer_epoll_hello";
  if (std::filesystem::exists(bare)) sides.push_back({"bare epoll", {bare.string(), "127.0.0.1:0"}, {}});

  pin_to(1);
  for (int round = 0; round < rounds; ++round) {
    for (auto& s : sides) {
      const pinned_program process(s.command, 0);
      s.rounds.push_back(load(process.line() + "/hello", connections, seconds, process.pid()));
    }
  }

  const auto us = [&](const side& s, double measured::* what) {
    return sides[0].median(what) / s.median(what);
  };
  std::printf(
      "HTTP/1.1 hello, a timeout per request, one core for the server; medians of %d rounds, %zu "
      "connections\n\n",
      rounds, connections);
  std::printf("%-12s %12s %12s %10s %10s   curfew's share of it: rate, CPU, p99\n", "", "requests/s",
              "CPU us each", "p50 us", "p99 us");
  for (const auto& s : sides) {
    std::printf("%-12s %12.0f %12.2f %10.1f %10.1f   %.2f, %.2f, %.2f\n", s.name.c_str(),
                s.median(&measured::per_second), s.median(&measured::cpu_us), s.median(&measured::p50_us),
                s.median(&measured::p99_us), us(s, &measured::per_second), us(s, &measured::cpu_us),
                us(s, &measured::p99_us));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  const auto number = [&](std::size_t i, double otherwise) {
    return i < args.size() ? std::stod(args[i]) : otherwise;
  };
  try {
    std::optional<curfew::inspect::inspection> inspected;
    if (!args.empty() && args[0] == "serve-inspected") inspected.emplace();
    if (!args.empty() && args[0].starts_with("serve")) {
      return serve(args.size() > 1 ? args[1] : "127.0.0.1:8080", static_cast<unsigned>(number(2, 1)));
    }
    if (args.size() > 1 && args[0] == "load") {
      const auto m = load(args[1], static_cast<std::size_t>(number(2, 64)), number(3, 3),
                          static_cast<int>(number(4, 0)));
      std::printf("%.0f requests/s, %.2f us CPU each, p50 %.1f us, p99 %.1f us\n", m.per_second, m.cpu_us,
                  m.p50_us, m.p99_us);
      return 0;
    }
    return compare(static_cast<int>(number(0, 5)), number(1, 2), static_cast<std::size_t>(number(2, 64)));
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
