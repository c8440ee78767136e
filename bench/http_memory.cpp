// What a connection and a call cost in memory, in both roles, beside Go's net/http.
//
//   bench_http_memory [count] [rounds]        default: 5000 3; prints the medians
//   bench_http_memory serve                   a server: "/hello" answers, "/wait" waits for the end of its context
//   bench_http_memory call <url> <count>      a client: one call, then <count> at a time, each with a deadline
//
// This program is the other side of both, with plain sockets. It reads the resident memory of the process that is
// measured: before, with <count> requests under way, and with their connections idle. What the kernel keeps for the sockets
// is not in it. Go's heap is as its collector leaves it.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/server.hpp>
#include <curfew/io/run.hpp>
#include <curfew/io/wait.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
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

// What is measured.

asio::awaitable<http::response> hello(curfew::context /*ctx*/, const http::request& /*request*/) {
  co_return http::text(http::status::ok, "hello\n");
}

asio::awaitable<http::response> wait(curfew::context ctx, const http::request& /*request*/) {
  co_await curfew::async_wait(ctx.done());
  co_return http::text(http::status::ok, "late\n");
}

int serve() {
  http::router routes;
  routes.get("/hello", hello).get("/wait", wait, http::route_options().no_time_limit());
  http::server server(routes, http::server_options().threads(1).max_connections(100'000).idle_timeout(10min));
  if (const auto up = server.listen(); !up) throw std::runtime_error(up.error().message());
  std::cout << server.url() << std::endl;
  static_cast<void>(server.serve(curfew::background()));
  return 0;
}

asio::awaitable<void> call(http::client& client, std::string url) {
  const auto scope = curfew::with_timeout(curfew::background(), 10min);
  http::request what("GET", url);
  const auto answer = co_await client.async_send(scope.ctx(), std::move(what));
  if (!answer) throw std::runtime_error(answer.error().message());
}

asio::awaitable<void> call_all(http::client& client, std::string url, int count) {
  co_await call(client, url);
  std::cout << "called" << std::endl;
  const auto executor = co_await asio::this_coro::executor;
  for (int i = 0; i < count; ++i) asio::co_spawn(executor, call(client, url), asio::detached);
}

int call(const std::string& url, int count) {
  http::client client(http::client_options().max_idle_connections(100'000).idle_timeout(10min));
  asio::io_context io{1};
  asio::co_spawn(io, call_all(client, url, count), asio::detached);
  io.run();
  std::this_thread::sleep_for(10min);  // until it is killed
  return 0;
}

// The other side.

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

double resident(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  double total = 0;
  double pages = 0;
  file >> total >> pages;
  return pages * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

/// Waits until the process has done what there was to do: it has not used its core for a while.
void settle(int pid) {
  const auto ticks = [pid] {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text{std::istreambuf_iterator<char>(file), {}};
    std::istringstream rest(text.substr(text.rfind(')') + 2));
    std::string skipped;
    long user = 0;
    long system = 0;
    for (int i = 0; i < 11; ++i) rest >> skipped;
    rest >> user >> system;
    return user + system;
  };
  for (long before = -1, now = ticks(); before != now; now = ticks()) {
    before = now;
    std::this_thread::sleep_for(300ms);
  }
}

sockaddr_in address_of(std::string_view url) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(std::string(url.substr(url.rfind(':') + 1)))));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return to;
}

void send(int to, std::string_view text) {
  if (::send(to, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) fail("send");
}

/// Reads to the end of a header, whose body is "hello\n" or nothing.
void receive(int from, std::string_view end) {
  for (std::string got; !got.ends_with(end);) {
    char bytes[4096];
    const ssize_t n = ::recv(from, bytes, sizeof bytes, 0);
    if (n <= 0) fail("recv");
    got.append(bytes, static_cast<std::size_t>(n));
  }
}

struct sizes {
  double under_way = 0;
  double idle = 0;
};

sizes measure_server(const std::vector<std::string>& command, int count) {
  const pinned_program server(command, 1);
  const auto to = address_of(server.line());
  const auto connect_one = [&] {
    const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made < 0 || ::connect(made, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) fail("connect");
    return made;
  };
  const auto hello_over = [](int over) {
    send(over, "GET /hello HTTP/1.1\r\nHost: b\r\n\r\n");
    receive(over, "\r\n\r\nhello\n");
  };
  std::vector<int> clients{connect_one()};
  hello_over(clients[0]);
  settle(server.pid());
  const double before = resident(server.pid());
  for (int i = 0; i < count; ++i) {
    clients.push_back(connect_one());
    hello_over(clients.back());
  }
  settle(server.pid());
  sizes made;
  made.idle = (resident(server.pid()) - before) / count;
  for (std::size_t i = 1; i < clients.size(); ++i) send(clients[i], "GET /wait HTTP/1.1\r\nHost: b\r\n\r\n");
  settle(server.pid());
  made.under_way = (resident(server.pid()) - before) / count;
  for (const int each : clients) ::close(each);
  return made;
}

sizes measure_client(std::vector<std::string> command, int count) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof own;
  auto* generic = reinterpret_cast<sockaddr*>(&own);
  if (listener < 0 || ::bind(listener, generic, size) != 0 || ::listen(listener, 4096) != 0 ||
      ::getsockname(listener, generic, &size) != 0)
    fail("listen");
  constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";
  std::vector<int> calls;
  const auto accept_one = [&] {
    calls.push_back(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (calls.back() < 0) fail("accept");
    receive(calls.back(), "\r\n\r\n");
  };
  std::thread first([&] {
    accept_one();
    send(calls[0], answer);
  });
  command.push_back("http://127.0.0.1:" + std::to_string(ntohs(own.sin_port)) + "/");
  command.push_back(std::to_string(count + 1));
  const pinned_program client(command, 1);  // has made one call, whose connection the next takes
  first.join();
  const double before = resident(client.pid());
  receive(calls[0], "\r\n\r\n");
  for (int i = 0; i < count; ++i) accept_one();
  settle(client.pid());
  sizes made;
  made.under_way = (resident(client.pid()) - before) / count;
  for (const int each : calls) send(each, answer);
  settle(client.pid());
  made.idle = (resident(client.pid()) - before) / count;
  for (const int each : calls) ::close(each);
  ::close(listener);
  return made;
}

double median(std::vector<sizes> rounds, double sizes::* what) {
  std::ranges::sort(rounds, {}, what);
  return rounds[rounds.size() / 2].*what;
}

int compare(int count, int rounds) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const char* peers = std::getenv("CURFEW_BENCH_PEERS");
  const auto go = std::filesystem::path(peers != nullptr ? peers : "") / "http_memory";
  std::vector<std::string> sides{self};
  if (std::filesystem::exists(go)) sides.push_back(go.string());
  std::vector<std::vector<sizes>> servers(sides.size());
  std::vector<std::vector<sizes>> clients(sides.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < sides.size(); ++i) {
      servers[i].push_back(measure_server({sides[i], "serve"}, count));
      clients[i].push_back(measure_client({sides[i], "call"}, count));
    }
  }
  std::printf("HTTP/1.1, %d connections; resident memory each, medians of %d rounds\n", count, rounds);
  std::printf("%-32s %10s %10s %8s\n", "", "curfew", "Go", "share");
  const auto row = [&](const char* what, const std::vector<std::vector<sizes>>& of, double sizes::* which) {
    const double ours = median(of[0], which);
    const double theirs = of.size() > 1 ? median(of[1], which) : 0;
    std::printf("%-32s %8.0f B %8.0f B %8.2f\n", what, ours, theirs, theirs > 0 ? ours / theirs : 0);
  };
  row("server: an idle connection", servers, &sizes::idle);
  row("server: a request under way", servers, &sizes::under_way);
  row("client: an idle connection", clients, &sizes::idle);
  row("client: a call under way", clients, &sizes::under_way);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  try {
    if (args.size() == 1 && args[0] == "serve") return serve();
    if (args.size() == 3 && args[0] == "call") return call(args[1], std::stoi(args[2]));
    return compare(args.empty() ? 5000 : std::stoi(args[0]), args.size() > 1 ? std::stoi(args[1]) : 3);
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
