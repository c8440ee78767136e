// TLS, side by side: curfew's server beside Go's and nginx, curfew's client beside Go's and curl. One core for the server, another
// for the load; in every round each side takes its turn.
//
//   bench_tls [rounds] [seconds] [MiB] [idle connections] [requests in flight]     default: 5 2 1024 2000 10000
//   prints the medians and their ratios
//
//   bench_tls serve <chain> <key> <MiB>     the server: "/hello", "/down" of so much, "/up", "/held", "/wait", "/begun", "/ended"
//   bench_tls many <url> <root> <seconds>   the client: 64 calls at a time, each with a deadline
//   bench_tls down <url> <root>             reads a download to its end, prints the seconds
//   bench_tls up <url> <root> <MiB>         sends a body out of memory, prints the seconds
//   bench_tls up_file <url> <root> <path>   sends a file
//
// The load is plain OpenSSL. CPU time is that of the server's process, all its threads, user and system. A resumed handshake takes
// up a session of TLS 1.3 by its ticket. nginx answers "hello" from its configuration; it ends no handler.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/tls.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/tls/certificate_authority.hpp>
#include <deque>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "pinned_program.hpp"
#include "pinned_sides.hpp"

namespace http = curfew::http;
namespace asio = boost::asio;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

namespace {

constexpr std::size_t mebibyte = 1024 * 1024;

// curfew's sides.

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

asio::awaitable<http::response> hello(curfew::context ctx, const http::request& /*request*/) {
  const auto scope = curfew::with_timeout(ctx, 3s);
  if (scope.err()) co_return http::text(http::status::gateway_timeout, "too late\n");
  co_return http::text(http::status::ok, "Hello, World!\n");
}

asio::awaitable<http::response> up(curfew::context ctx, const http::request& request) {
  for (;;) {
    const auto piece = co_await request.reader().async_read(ctx);
    if (!piece) throw std::runtime_error(piece.error().message());
    if (!*piece) break;
  }
  co_return http::text(http::status::ok, "read\n");
}

int serve(const std::string& chain, const std::string& key, std::size_t size) {
  static std::atomic<int> begun{0};
  static std::atomic<std::int64_t> ended{0};
  http::router routes;
  routes.get("/hello", hello);
  routes.put("/up", up, http::route_options().stream_body().max_body_size(std::uint64_t{1} << 40U));
  routes.get("/down", [size](curfew::context, const http::request&) -> asio::awaitable<http::response> {
    auto source = [size](curfew::context ctx, http::body_writer out) -> asio::awaitable<void> {
      for (std::size_t sent = 0; sent < size; sent += mebibyte / 4) {
        if (!co_await out.async_write(ctx, std::string(mebibyte / 4, 'd'))) co_return;
      }
    };
    co_return http::stream("application/octet-stream", source);
  });
  routes.get(
      "/held",
      [](curfew::context ctx, const http::request&) -> asio::awaitable<http::response> {
        co_await curfew::async_wait(ctx.done());
        co_return http::text(http::status::ok, "late\n");
      },
      http::route_options().no_time_limit());
  routes.get(
      "/wait",
      [](curfew::context ctx, const http::request&) -> asio::awaitable<http::response> {
        ended = 0;
        const auto note = [] {
          begun = 0;
          ended = now_ns();
        };
        const curfew::on_done noted(ctx, note);
        begun = 1;
        co_await curfew::async_wait(ctx.done());
        co_return http::text(http::status::ok, "late\n");
      },
      http::route_options().no_time_limit());
  routes.get("/begun", [](curfew::context, const http::request&) -> asio::awaitable<http::response> {
    co_return http::text(http::status::ok, std::to_string(begun.load()));
  });
  routes.get("/ended", [](curfew::context, const http::request&) -> asio::awaitable<http::response> {
    co_return http::text(http::status::ok, std::to_string(ended.load()));
  });
  http::tls_server_options files;
  files.certificate(chain, key);
  const auto tls = http::tls_server::load(files);
  if (!tls) throw std::runtime_error(tls.error().message());
  http::server_options options;
  options.threads(1).max_connections(100'000).idle_timeout(10min);
  options.listen("127.0.0.1:0", http::listen_options().tls(*tls));
  http::server server(routes, options);
  if (const auto listens = server.listen(); !listens) throw std::runtime_error(listens.error().message());
  std::cout << server.url() << std::endl;
  static_cast<void>(server.serve(curfew::background()));
  return 0;
}

asio::awaitable<void> in_turn(http::client& client, std::string url, curfew::bench::samples& s) {
  for (;;) {
    const auto begun = steady::now();
    const auto scope = curfew::with_timeout(curfew::background(), 3s);
    http::request what("GET", url);
    const auto answer = co_await client.async_send(scope.ctx(), std::move(what));
    if (!answer) throw std::runtime_error(answer.error().message());
    if (!s.add(begun)) co_return;
  }
}

int many(const std::string& url, const std::string& root, double seconds) {
  http::client client(http::client_options().ca_file(root).max_idle_connections(100));
  curfew::bench::samples s(seconds);
  asio::io_context io{1};
  for (int i = 0; i < 64; ++i) {
    asio::co_spawn(io, in_turn(client, url, s), [](std::exception_ptr thrown) {
      if (thrown) std::rethrow_exception(thrown);
    });
  }
  io.run();
  s.print();
  return 0;
}

double seconds_since(steady::time_point begun) {
  return std::chrono::duration<double>(steady::now() - begun).count();
}

int down(const std::string& url, const std::string& root) {
  http::client client(http::client_options().ca_file(root));
  const auto begun = steady::now();
  auto open = client.open(curfew::background(), http::request("GET", url));
  if (!open) throw std::runtime_error(open.error().message());
  for (;;) {
    const auto piece = open->read(curfew::background());
    if (!piece) throw std::runtime_error(piece.error().message());
    if (!*piece) break;
  }
  std::cout << seconds_since(begun) << std::endl;
  return 0;
}

int upload(http::request what, const std::string& root) {
  http::client client(http::client_options().ca_file(root));
  const auto begun = steady::now();
  const auto answer = client.send(curfew::background(), std::move(what));
  if (!answer) throw std::runtime_error(answer.error().message());
  std::cout << seconds_since(begun) << std::endl;
  return 0;
}

// The load: plain OpenSSL.

[[noreturn]] void fail(const std::string& what) {
  std::array<char, 256> why{};
  ERR_error_string_n(ERR_get_error(), why.data(), why.size());
  throw std::runtime_error(what + ": " + why.data());
}

struct free_openssl {
  void operator()(SSL* p) const noexcept { SSL_free(p); }
  void operator()(SSL_CTX* p) const noexcept { SSL_CTX_free(p); }
  void operator()(SSL_SESSION* p) const noexcept { SSL_SESSION_free(p); }
};
template <class T>
using owned = std::unique_ptr<T, free_openssl>;

owned<SSL_CTX> load_context(const std::string& root) {
  owned<SSL_CTX> made(SSL_CTX_new(TLS_client_method()));
  if (SSL_CTX_load_verify_file(made.get(), root.c_str()) != 1) fail(root);
  SSL_CTX_set_verify(made.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_min_proto_version(made.get(), TLS1_3_VERSION);
  SSL_CTX_set_mode(made.get(), SSL_MODE_RELEASE_BUFFERS);
  return made;
}

/// A connection that blocks.
struct connection {
  connection(SSL_CTX* context, const std::string& url, SSL_SESSION* session = nullptr)
      : socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
        ssl(SSL_new(context)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1))));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      throw std::system_error(errno, std::generic_category(), url);
    const int yes = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    SSL_set_fd(ssl.get(), socket);
    if (session != nullptr) SSL_set_session(ssl.get(), session);
    if (SSL_connect(ssl.get()) != 1) fail("handshake");
  }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  ~connection() {
    SSL_shutdown(ssl.get());
    ::close(socket);
  }

  void ask(const std::string& path) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    if (SSL_write(ssl.get(), request.data(), static_cast<int>(request.size())) <= 0) fail("write");
    asked = steady::now();
  }
  /// Has all of a response come? It has a Content-Length.
  bool take() {
    std::array<char, 16384> bytes;
    const int n = SSL_read(ssl.get(), bytes.data(), static_cast<int>(bytes.size()));
    if (n <= 0) fail("read");
    received.append(bytes.data(), static_cast<std::size_t>(n));
    const auto end = received.find("\r\n\r\n");
    const auto length = received.find("Content-Length: ");
    return end != std::string::npos && length < end &&
           received.size() >= end + 4 + std::stoul(received.substr(length + 16, 12));
  }
  std::string get(const std::string& path) {
    ask(path);
    while (!take()) {
    }
    std::string body = received.substr(received.find("\r\n\r\n") + 4);
    received.clear();
    return body;
  }

  int socket;
  owned<SSL> ssl;
  std::string received;
  steady::time_point asked;
};

double resident(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  double total = 0;
  double pages = 0;
  file >> total >> pages;
  return pages * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

// What is measured of a server.

using figures = std::vector<double>;

struct target {
  std::string url;  // "https://127.0.0.1:40312"
  int pid;
  SSL_CTX* context;
  double seconds;
};

/// 64 connections, each with a request under way: requests/s, us of CPU each, p50 and p99 in us.
figures hellos(const target& at) {
  std::deque<connection> all;
  const int set = ::epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < 64; ++i) {
    connection& made = all.emplace_back(at.context, at.url);
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.ptr = &made;
    ::epoll_ctl(set, EPOLL_CTL_ADD, made.socket, &e);
    made.ask("/hello");
  }
  figures took;
  const auto warm = steady::now() + 300ms;
  steady::time_point begin;
  double cpu = 0;
  std::array<epoll_event, 64> events;
  for (;;) {
    const int ready = ::epoll_wait(set, events.data(), static_cast<int>(events.size()), 1000);
    const auto now = steady::now();
    if (begin == steady::time_point() && now >= warm) {
      begin = now;
      cpu = cpu_of(at.pid);
    }
    if (begin != steady::time_point() && seconds_since(begin) >= at.seconds) break;
    for (int i = 0; i < ready; ++i) {
      auto& c = *static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (!c.take()) continue;
      if (c.asked >= begin && begin != steady::time_point())
        took.push_back(curfew::bench::microseconds(steady::now() - c.asked));
      c.received.clear();
      c.ask("/hello");
    }
  }
  cpu = cpu_of(at.pid) - cpu;
  const double lasted = seconds_since(begin);
  ::close(set);
  if (took.empty()) throw std::runtime_error("no request was answered");
  const auto count = static_cast<double>(took.size());
  return {count / lasted, cpu * 1e6 / count, curfew::bench::percentile(took, 0.5),
          curfew::bench::percentile(took, 0.99)};
}

owned<SSL_SESSION> last_session;

/// One after the other, each with one request, closed in order: handshakes/s, us of the server's CPU each.
figures handshakes(const target& at, bool resumed) {
  SSL_CTX_set_session_cache_mode(at.context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
  SSL_CTX_sess_set_new_cb(at.context, [](SSL*, SSL_SESSION* session) {
    last_session.reset(session);
    return 1;
  });
  last_session.reset();
  connection(at.context, at.url).get("/hello");
  const double cpu = cpu_of(at.pid);
  const auto begin = steady::now();
  double count = 0;
  while (seconds_since(begin) < at.seconds) {
    const owned<SSL_SESSION> session = std::move(last_session);
    connection one(at.context, at.url, resumed ? session.get() : nullptr);
    one.get("/hello");
    if ((SSL_session_reused(one.ssl.get()) == 1) != resumed)
      throw std::runtime_error("not as it was to be resumed");
    ++count;
  }
  return {count / seconds_since(begin), (cpu_of(at.pid) - cpu) * 1e6 / count};
}

/// Resident bytes of each connection that has had one answer.
figures idle_memory(const target& at, int count) {
  std::deque<connection> all;
  all.emplace_back(at.context, at.url).get("/hello");
  const double before = resident(at.pid);
  for (int i = 0; i < count; ++i) all.emplace_back(at.context, at.url).get("/hello");
  std::this_thread::sleep_for(500ms);
  const double bytes = (resident(at.pid) - before) / count;
  for (auto& each : all) SSL_set_quiet_shutdown(each.ssl.get(), 1);
  return {bytes};
}

/// From the close of a connection to the end of its handler's context: p50 and p99 in us. By close_notify, or without.
figures vanishing(const target& at, connection& other, bool in_order, int count) {
  figures took;
  for (int i = 0; i < count; ++i) {
    std::int64_t left = 0;
    {
      connection goes(at.context, at.url);
      goes.ask("/wait");
      while (other.get("/begun") != "1") std::this_thread::sleep_for(100us);
      left = now_ns();
      if (!in_order) SSL_set_quiet_shutdown(goes.ssl.get(), 1);
    }
    const auto limit = steady::now() + 20s;
    std::int64_t ended = 0;
    while ((ended = std::stoll(other.get("/ended"))) == 0) {
      if (steady::now() > limit) throw std::runtime_error("the context did not end");
      std::this_thread::sleep_for(100us);
    }
    if (i >= count / 10) took.push_back(static_cast<double>(ended - left) / 1e3);
  }
  return {curfew::bench::percentile(took, 0.5), curfew::bench::percentile(took, 0.99)};
}

/// Both, while others wait: p50 and p99 by close_notify, p50 and p99 without.
figures gone(const target& at, int in_flight) {
  std::deque<connection> others;
  for (int i = 0; i < in_flight; ++i) others.emplace_back(at.context, at.url).ask("/held");
  connection asks(at.context, at.url);
  figures both = vanishing(at, asks, true, 300);
  const figures cut = vanishing(at, asks, false, 300);
  both.insert(both.end(), cut.begin(), cut.end());
  for (auto& each : others) SSL_set_quiet_shutdown(each.ssl.get(), 1);
  return both;
}

// The comparison.

std::string find(const std::string& name) {
  for (const std::string folder : {"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/"}) {
    if (::access((folder + name).c_str(), X_OK) == 0) return folder + name;
  }
  return {};
}

std::uint16_t free_port() {
  const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof own;
  auto* generic = reinterpret_cast<sockaddr*>(&own);
  if (made < 0 || ::bind(made, generic, size) != 0 || ::getsockname(made, generic, &size) != 0)
    throw std::system_error(errno, std::generic_category(), "a free port");
  ::close(made);  // another program takes it meanwhile only by bad luck
  return ntohs(own.sin_port);
}

/// The command that starts nginx; its first line is its URL.
std::vector<std::string> nginx(const std::filesystem::path& folder,
                               const curfew::testing::test_certificate& who) {
  const std::string port = std::to_string(free_port());
  const std::string url = "https://127.0.0.1:" + port;
  std::ofstream file(folder / "nginx.conf");
  file << (::geteuid() == 0 ? "user root;\n" : "") << "daemon off;\nmaster_process off;\npid nginx.pid;\n"
       << "events { worker_connections 20000; }\nhttp {\naccess_log off;\nsendfile on;\nkeepalive_requests "
          "1000000000;\n"
       << "default_type text/plain;\nkeepalive_timeout 600s;\nssl_protocols TLSv1.2 TLSv1.3;\n";
  for (const std::string kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
    file << kind << "_temp_path " << (folder / kind).string() << ";\n";
  file << "server { listen 127.0.0.1:" << port << " ssl; root " << folder.string() << ";\nssl_certificate "
       << who.chain_file() << ";\nssl_certificate_key " << who.key_file()
       << ";\nlocation = /hello { return 200 \"Hello, World!\\n\"; }\n}\n}\n";
  return {"/bin/sh", "-c",
          find("nginx") + " -p " + folder.string() + " -e error.log -t -q -c " +
              (folder / "nginx.conf").string() + " && echo " + url + " && exec " + find("nginx") + " -p " +
              folder.string() + " -e error.log -c " + (folder / "nginx.conf").string()};
}

void wait_for(const std::string& url, SSL_CTX* context) {
  for (int tries = 0;; ++tries) {
    try {
      connection(context, url).get("/hello");
      return;
    } catch (const std::exception&) {
      if (tries == 100) throw;
      std::this_thread::sleep_for(20ms);
    }
  }
}

struct table {
  struct side {
    std::string name;
    std::vector<figures> rounds = {};
  };

  void add(std::size_t which, const std::string& name, figures round) {
    if (sides.size() <= which) sides.resize(which + 1);
    sides[which].name = name;
    sides[which].rounds.push_back(std::move(round));
  }
  /// \param names  Of the figures; one that ends with "/s" is a rate, of which more is better.
  void print(const std::string& what, const std::vector<std::string>& names) const {
    std::printf("\n%-36s", what.c_str());
    for (const auto& each : sides) std::printf(" %24s", each.name.c_str());
    std::printf("\n");
    for (std::size_t i = 0; i < names.size(); ++i) {
      std::printf("  %-34s", names[i].c_str());
      double ours = 0;
      for (const auto& each : sides) {
        figures values;
        for (const auto& round : each.rounds) values.push_back(round.at(i));
        const double value = curfew::bench::percentile(values, 0.5);
        if (&each == &sides.front()) {
          ours = value;
          std::printf(" %24.1f", value);
        } else {
          std::printf(" %14.1f (× %5.2f)", value, ours / value);
        }
      }
      std::printf("\n");
    }
    std::fflush(stdout);
  }

  std::vector<side> sides;
};

double seconds_of(const std::vector<std::string>& command) {
  return std::stod(pinned_program(command, 1).line());
}

int compare(int rounds, double seconds, std::size_t mebibytes, int idle, int in_flight) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL's
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const char* peers = std::getenv("CURFEW_BENCH_PEERS");
  const std::string go = std::filesystem::path(peers != nullptr ? peers : "") / "tls";
  const curfew::testing::certificate_authority ca;
  const auto who = ca.issue({"localhost", "127.0.0.1"});
  const std::string root = ca.root_file();
  const std::string size = std::to_string(mebibytes);
  const auto context = load_context(root);

  struct server {
    std::string name;
    std::vector<std::string> command;
    bool has_handlers = true;
  };
  std::vector<server> servers{{"curfew", {self, "serve", who.chain_file(), who.key_file(), size}}};
  const bool has_go = std::filesystem::exists(go);
  if (has_go) {
    servers.push_back({"Go", {go, "serve", who.chain_file(), who.key_file(), size}});
  } else {
    std::fprintf(stderr, "without Go: no %s; ./dev bench builds it\n", go.c_str());
  }
  if (!find("nginx").empty()) servers.push_back({"nginx", nginx(ca.directory(), who), false});
  {
    std::ofstream file(std::filesystem::path(ca.directory()) / "down", std::ios::binary);
    for (std::size_t i = 0; i < mebibytes; ++i) file << std::string(mebibyte, 'f');
  }
  const auto curl = [&](std::vector<std::string> more) {
    std::vector<std::string> made{find("curl"), "-sSq",      "--noproxy", "*",  "--cacert",        root,
                                  "-o",         "/dev/null", "--http1.1", "-w", "%{time_total}\\n"};
    made.insert(made.end(), more.begin(), more.end());
    return made;
  };
  const auto rate = [&](const std::vector<std::string>& command) {
    return figures{static_cast<double>(mebibytes) / seconds_of(command)};
  };

  pin_to(1);
  table hello_table, full, resumed, memory, vanished, downloads, uploads, calls, client_down, client_up,
      client_up_file;
  for (int round = 0; round < rounds; ++round) {
    std::fprintf(stderr, "round %d of %d\n", round + 1, rounds);
    for (std::size_t i = 0; i < servers.size(); ++i) {
      const auto& [name, command, has_handlers] = servers[i];
      const auto fresh = [&](const auto& measure) {  // each in a process of its own
        const pinned_program process(command, 0);
        wait_for(process.line(), context.get());
        return measure(target{process.line(), process.pid(), context.get(), seconds});
      };
      hello_table.add(i, name, fresh([](const target& at) { return hellos(at); }));
      full.add(i, name, fresh([](const target& at) { return handshakes(at, false); }));
      resumed.add(i, name, fresh([](const target& at) { return handshakes(at, true); }));
      memory.add(i, name, fresh([&](const target& at) { return idle_memory(at, idle); }));
      downloads.add(i, name, fresh([&](const target& at) { return rate(curl({at.url + "/down"})); }));
      if (!has_handlers) continue;
      vanished.add(i, name, fresh([&](const target& at) { return gone(at, in_flight); }));
      const std::string file = std::filesystem::path(ca.directory()) / "down";
      uploads.add(i, name, fresh([&](const target& at) {
                    return rate(curl({"-H", "Expect:", "-T", file, at.url + "/up"}));
                  }));
    }
    // The clients, each against the same servers: nginx sends, curfew's server takes.
    const pinned_program source(servers.back().command, 0);
    wait_for(source.line(), context.get());
    const std::string from = source.line();
    const auto of_call = [](const std::string& line) {
      const auto said = curfew::bench::parse_side(line);
      return figures{1e9 / said.each_ns, said.cpu_ns / 1e3, said.p50_us, said.p99_us};
    };
    const std::string for_seconds = std::to_string(seconds);
    calls.add(0, "curfew",
              of_call(pinned_program({self, "many", from + "/hello", root, for_seconds}, 1).line()));
    client_down.add(0, "curfew", rate({self, "down", from + "/down", root}));
    std::size_t next = 1;
    if (has_go) {
      calls.add(1, "Go", of_call(pinned_program({go, "many", from + "/hello", root, for_seconds}, 1).line()));
      client_down.add(next++, "Go", rate({go, "down", from + "/down", root}));
    }
    client_down.add(next, "curl", rate(curl({from + "/down"})));
    const pinned_program sink(servers[0].command, 0);
    const std::string to = sink.line() + "/up";
    client_up.add(0, "curfew", rate({self, "up", to, root, size}));
    if (has_go) client_up.add(1, "Go", rate({go, "up", to, root, size}));
    const std::string file = std::filesystem::path(ca.directory()) / "down";
    client_up_file.add(0, "curfew", rate({self, "up_file", to, root, file}));
    client_up_file.add(1, "curl", rate(curl({"-H", "Expect:", "-T", file, to})));
  }

  std::printf(
      "HTTP/1.1 over TLS 1.3, one core for each program; medians of %d rounds; in brackets curfew's figure ÷ "
      "it\n",
      rounds);
  const std::vector<std::string> of_hello{"requests/s", "us of CPU each", "p50 us", "p99 us"};
  hello_table.print("server: hello, 64 connections", of_hello);
  full.print("server: full handshakes", {"handshakes/s", "us of CPU each, with a request"});
  resumed.print("server: resumed handshakes", {"handshakes/s", "us of CPU each, with a request"});
  memory.print("server: an idle connection", {"resident bytes"});
  vanished.print("client gone, us to the context's end",
                 {"by close_notify: p50", "p99", "without: p50", "p99"});
  downloads.print("server: " + size + " MiB to curl", {"MiB/s"});
  uploads.print("server: " + size + " MiB from curl", {"MiB/s"});
  calls.print("client: hello, 64 at a time", of_hello);
  client_down.print("client: " + size + " MiB from " + servers.back().name, {"MiB/s"});
  client_up.print("client: " + size + " MiB to curfew, out of memory", {"MiB/s"});
  client_up_file.print("client: " + size + " MiB to curfew, of a file", {"MiB/s"});
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  const auto number = [&](std::size_t i, double otherwise) {
    return i < args.size() ? std::stod(args[i]) : otherwise;
  };
  try {
    if (args.size() == 4 && args[0] == "serve")
      return serve(args[1], args[2], std::stoull(args[3]) * mebibyte);
    if (args.size() == 4 && args[0] == "many") return many(args[1], args[2], std::stod(args[3]));
    if (args.size() == 3 && args[0] == "down") return down(args[1], args[2]);
    if (args.size() == 4 && args[0] == "up")
      return upload(http::request("PUT", args[1]).body(std::string(std::stoull(args[3]) * mebibyte, 'u')),
                    args[2]);
    if (args.size() == 4 && args[0] == "up_file")
      return upload(http::request("PUT", args[1]).file(args[3]), args[2]);
    return compare(static_cast<int>(number(0, 5)), number(1, 2), static_cast<std::size_t>(number(2, 1024)),
                   static_cast<int>(number(3, 2000)), static_cast<int>(number(4, 10'000)));
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
