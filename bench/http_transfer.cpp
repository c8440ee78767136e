// Large bodies, both ways and in both roles, beside nginx and curl. The sides take turns; each program has a core.
//
//   bench_http_transfer [MiB] [rounds]      default: 1024 5; prints the medians
//   bench_http_transfer serve <MiB> <path>  the server: "/down" streams so much, "/file" is that file
//   bench_http_transfer sink                a bare loop that reads a body and answers
//   bench_http_transfer down <url>          the client: reads a download to its end, prints the seconds
//   bench_http_transfer up <url> <MiB>      sends a body
//   bench_http_transfer file <url> <path>   sends a file
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/file.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/server.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "pinned_program.hpp"

namespace http = curfew::http;
namespace asio = boost::asio;
using steady = std::chrono::steady_clock;

namespace {

constexpr std::size_t mebibyte = 1024 * 1024;

double seconds_since(steady::time_point begun) {
  return std::chrono::duration<double>(steady::now() - begun).count();
}

// What is measured.

int serve(std::size_t size, const std::string& path) {
  http::router routes;
  routes.get("/file",
             [path](curfew::context, const http::request& request) -> asio::awaitable<http::response> {
               co_return http::file(request, path);
             });
  routes.get("/down", [size](curfew::context, const http::request&) -> asio::awaitable<http::response> {
    auto source = [size](curfew::context ctx, http::body_writer out) -> asio::awaitable<void> {
      for (std::size_t sent = 0; sent < size; sent += mebibyte / 4) {
        if (!co_await out.async_write(ctx, std::string(mebibyte / 4, 'd'))) co_return;
      }
    };
    co_return http::stream("application/octet-stream", source);
  });
  http::server server(routes, http::server_options().threads(1));
  if (const auto up = server.listen(); !up) throw std::runtime_error(up.error().message());
  std::cout << server.url() << std::endl;
  static_cast<void>(server.serve(curfew::background()));
  return 0;
}

int down(const std::string& url) {
  http::client client;
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

int up(http::request what) {
  http::client client;
  const auto begun = steady::now();
  const auto answer = client.send(curfew::background(), std::move(what));
  if (!answer) throw std::runtime_error(answer.error().message());
  std::cout << seconds_since(begun) << std::endl;
  return 0;
}

// The other sides.

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

int listening(std::uint16_t& port) {
  const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof own;
  auto* generic = reinterpret_cast<sockaddr*>(&own);
  if (made < 0 || ::bind(made, generic, size) != 0 || ::listen(made, 16) != 0 ||
      ::getsockname(made, generic, &size) != 0)
    fail("listen");
  port = ntohs(own.sin_port);
  return made;
}

int sink() {
  std::uint16_t port = 0;
  const int listener = listening(port);
  std::cout << "http://127.0.0.1:" << port << std::endl;
  std::vector<char> bytes(mebibyte / 4);
  for (;;) {
    const int from = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    std::string head;
    std::size_t end = 0;
    while ((end = head.find("\r\n\r\n")) == std::string::npos) {
      const ssize_t n = ::recv(from, bytes.data(), bytes.size(), 0);
      if (n <= 0) fail("recv");
      head.append(bytes.data(), static_cast<std::size_t>(n));
    }
    const std::size_t length = std::stoull(head.substr(head.find("Content-Length: ") + 16));
    for (std::size_t got = head.size() - end - 4; got < length;) {
      const ssize_t n = ::recv(from, bytes.data(), bytes.size(), 0);
      if (n <= 0) fail("recv");
      got += static_cast<std::size_t>(n);
    }
    constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    ::send(from, answer.data(), answer.size(), MSG_NOSIGNAL);
    ::close(from);
  }
}

std::string find(const std::string& name) {
  for (const std::string folder : {"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/"}) {
    if (::access((folder + name).c_str(), X_OK) == 0) return folder + name;
  }
  throw std::runtime_error("there is no " + name);
}

/// nginx, which sends the files of a folder.
struct nginx {
  /// \param sendfile  "on": the kernel sends what it has of a file; "off": nginx reads it and sends that.
  nginx(const std::filesystem::path& folder, const std::string& sendfile)
      : program({"/bin/sh", "-c",
                 "echo started; exec " + find("nginx") + " -p " + folder.string() + " -e error.log -c " +
                     configure(folder, sendfile)},
                0) {}

  std::string configure(const std::filesystem::path& folder, const std::string& sendfile) {
    ::close(listening(port));  // free, unless another program takes it meanwhile
    const std::string name = "nginx-" + std::to_string(port);
    std::ofstream file(folder / (name + ".conf"));
    file << (::geteuid() == 0 ? "user root;\n" : "") << "daemon off;\nmaster_process off;\npid " << name
         << ".pid;\nevents {}\nhttp {\naccess_log off;\nsendfile " << sendfile << ";\n";
    for (const std::string kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
      file << kind << "_temp_path " << folder.string() << "/" << kind << ";\n";
    file << "server { listen 127.0.0.1:" << port << "; root " << folder.string() << "; }\n}\n";
    return (folder / (name + ".conf")).string();
  }

  std::uint16_t port = 0;
  pinned_program program;
};

double seconds_of(const std::vector<std::string>& command) {
  return std::stod(pinned_program(command, 1).line());
}

double median(std::vector<double> all) {
  std::ranges::sort(all);
  return all[all.size() / 2];
}

int compare(std::size_t mebibytes, int rounds) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  std::string name =
      std::filesystem::exists("/dev/shm") ? "/dev/shm/curfew-transfer-XXXXXX" : "/tmp/curfew-transfer-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) fail("mkdtemp");
  const std::filesystem::path folder = name;
  {
    std::ofstream file(folder / "down", std::ios::binary);
    for (std::size_t i = 0; i < mebibytes; ++i) file << std::string(mebibyte, 'f');
  }
  const std::string size = std::to_string(mebibytes);
  {
    const nginx files(folder, "on");
    const nginx copies(folder, "off");
    const std::string file = folder / "down";
    const pinned_program ours({self, "serve", size, file}, 0);
    const pinned_program bare({self, "sink"}, 0);
    const auto from = [](const nginx& of) { return "http://127.0.0.1:" + std::to_string(of.port) + "/down"; };
    const std::string from_nginx = from(files);
    const std::string curfew = ours.line();
    const std::vector<std::string> curl{find("curl"), "-sS",       "-q", "--noproxy",       "*",
                                        "-o",         "/dev/null", "-w", "%{time_total}\\n"};
    const auto curl_with = [&](std::vector<std::string> more) {
      std::vector<std::string> made = curl;
      made.insert(made.end(), more.begin(), more.end());
      return made;
    };
    struct row {
      const char* what;
      const char* beside;
      std::vector<std::string> our_command;
      std::vector<std::string> their_command;
      std::vector<double> own = {};
      std::vector<double> other = {};
    };
    const std::string upload = bare.line() + "/up";
    const auto upload_by_curl = curl_with({"-H", "Expect:", "-T", file, upload});
    std::vector<row> rows{
        {"server, a file by curl", "nginx", curl_with({curfew + "/file"}), curl_with({from_nginx})},
        {"server, a stream by curl", "nginx without sendfile", curl_with({curfew + "/down"}),
         curl_with({from(copies)})},
        {"client, download from nginx", "curl", {self, "down", from_nginx}, curl_with({from_nginx})},
        {"client, upload to a bare loop", "curl", {self, "up", upload, size}, upload_by_curl},
        {"client, upload of a file", "curl", {self, "file", upload, file}, upload_by_curl},
    };
    for (int round = 0; round < rounds; ++round) {
      for (row& each : rows) {
        each.own.push_back(seconds_of(each.our_command));
        each.other.push_back(seconds_of(each.their_command));
      }
    }
    std::printf("%zu MiB, medians of %d rounds\n", mebibytes, rounds);
    for (const row& each : rows) {
      const double own = median(each.own);
      const double other = median(each.other);
      std::printf("%-30s curfew %.3f s, %s %.3f s: %.2f of its rate\n", each.what, own, each.beside, other,
                  other / own);
    }
  }
  std::filesystem::remove_all(folder);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  try {
    if (args.size() == 3 && args[0] == "serve") return serve(std::stoull(args[1]) * mebibyte, args[2]);
    if (args.size() == 1 && args[0] == "sink") return sink();
    if (args.size() == 2 && args[0] == "down") return down(args[1]);
    if (args.size() == 3 && (args[0] == "up" || args[0] == "file")) {
      http::request what("PUT", args[1]);
      if (args[0] == "up") {
        what.body(std::string(std::stoull(args[2]) * mebibyte, 'u'));
      } else {
        what.file(args[2]);
      }
      return up(std::move(what));
    }
    return compare(args.empty() ? 1024 : std::stoull(args[0]), args.size() > 1 ? std::stoi(args[1]) : 5);
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
