// How long after a visitor of the dashboard has gone do the contexts end in all three services?
//
//   bench_dashboard_refresh <path of curfew-dashboard> [refreshes]
//
// Each refresh opens the three panels, waits until all three services work, and closes the three connections.
// The time is from the close to the end of the context in the service: browser side -> dashboard -> service.
// Everything is on this machine, so CLOCK_MONOTONIC is the same clock for all, and the services tell
// when each context ended.

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <curfew/http.hpp>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

namespace http = curfew::http;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

constexpr std::array panels{"vitals", "packages", "disk"};
constexpr auto goal_p99 = 5ms;

/// The dashboard as a child process.
class dashboard {
 public:
  explicit dashboard(const std::string& program, const std::string& root) {
    std::array<int, 2> output{};
    if (::pipe(output.data()) != 0) throw std::runtime_error("pipe");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::dup2(output[1], STDOUT_FILENO);
      ::execl(program.c_str(), program.c_str(), "--listen", "127.0.0.1:0", "--root", root.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(output[1]);
    std::string line;
    for (char c = 0; ::read(output[0], &c, 1) == 1 && c != '\n';) line.push_back(c);
    const auto begin = line.find("http://");
    if (begin == std::string::npos) throw std::runtime_error("the dashboard does not start");
    url_ = line.substr(begin, line.find('/', begin + 7) - begin);
  }
  dashboard(const dashboard&) = delete;
  dashboard& operator=(const dashboard&) = delete;
  ~dashboard() {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] const std::string& url() const { return url_; }

 private:
  pid_t pid_ = -1;
  std::string url_;
};

/// A large directory tree that costs no room: files of holes, which take long to compare.
class hollow_tree {
 public:
  hollow_tree()
      : root_(std::filesystem::temp_directory_path() / ("curfew-bench-" + std::to_string(::getpid()))) {
    std::filesystem::create_directory(root_);
    for (int i = 0; i < 8; ++i) {
      const auto file = root_ / std::to_string(i);
      if (const int made = ::creat(file.c_str(), 0600);
          made < 0 || ::ftruncate(made, off_t{4} << 30) != 0 || ::close(made) != 0) {
        throw std::runtime_error("cannot write " + file.string());
      }
    }
  }
  hollow_tree(const hollow_tree&) = delete;
  hollow_tree& operator=(const hollow_tree&) = delete;
  ~hollow_tree() { std::filesystem::remove_all(root_); }
  [[nodiscard]] std::string root() const { return root_.string(); }

 private:
  std::filesystem::path root_;
};

std::string ask(http::client& client, const std::string& url) {
  auto response = client.send(curfew::background(), http::request("GET", url));
  if (!response) throw std::runtime_error(response.error().message());
  return response->body();
}

/// The value of `"key":` after `from`: enough of JSON for what this program asks for.
std::string_view field(std::string_view text, std::string_view key, std::size_t from) {
  const std::string quoted = '"' + std::string(key) + "\":";
  const auto begin = text.find(quoted, from);
  if (begin == std::string_view::npos) return {};
  std::string_view value = text.substr(begin + quoted.size());
  if (value.starts_with('"')) return value.substr(1, value.find('"', 1) - 1);
  return value.substr(0, value.find_first_of(",}"));
}

struct visit {
  std::string id;  // of the front's request
  std::string panel;
  clock_type::time_point closed;
};

struct ended_request {
  std::string service;
  std::string state;
  std::int64_t ended_ns = 0;
};

/// By the id of the front's request.
std::multimap<std::string, ended_request> ended_requests(std::string_view view) {
  std::multimap<std::string, ended_request> found;
  for (auto at = view.find("{\"id\":\""); at != std::string_view::npos;
       at = view.find("{\"id\":\"", at + 1)) {
    const auto row = view.substr(at, view.find('}', at) - at);
    const auto ended = field(row, "ended_ns", 0);
    if (ended.empty()) continue;
    ended_request request;
    request.service = field(row, "service", 0);
    request.state = field(row, "state", 0);
    std::from_chars(ended.data(), ended.data() + ended.size(), request.ended_ns);
    found.emplace(field(row, "parent", 0), request);
  }
  return found;
}

/// Opens a panel, and returns once its service works for it.
http::download open_panel(http::client& client, const std::string& url) {
  auto opened = client.open(curfew::background(), http::request("GET", url));
  if (!opened) throw std::runtime_error(opened.error().message());
  return *std::move(opened);
}

void print(const char* what, std::vector<double>& ms) {
  std::sort(ms.begin(), ms.end());
  const auto at = [&](double part) {
    return ms[static_cast<std::size_t>(part * static_cast<double>(ms.size() - 1))];
  };
  std::printf("%-10s %6zu   p50 %7.3f ms   p99 %7.3f ms   max %7.3f ms\n", what, ms.size(), at(0.5), at(0.99),
              ms.back());
}

int run(const std::string& program, int refreshes) {
  const hollow_tree tree;
  const dashboard served(program, tree.root());
  http::client client;
  ask(client, served.url() + "/api/requests");  // once all three have started

  std::map<std::string, std::vector<double>> by_panel;
  std::vector<double> all;
  int early = 0;
  for (int done = 0; done < refreshes;) {
    std::vector<visit> visits;
    // The services remember 512 requests: ask for them from time to time.
    for (int i = 0; i < 100 && done < refreshes; ++i, ++done) {
      std::vector<http::download> open;
      for (const char* panel : panels) {
        open.push_back(open_panel(client, served.url() + "/api/panels/" + panel));
        visits.push_back({std::string(*open.back().head().fields().find("Request-Id")), panel, {}});
      }
      std::this_thread::sleep_for(20ms);  // all three work; vitals takes 50 ms
      for (std::size_t panel = open.size(); panel > 0; --panel) {
        visits[visits.size() - open.size()].closed = clock_type::now();
        open.erase(open.begin());
      }
      std::this_thread::sleep_for(20ms);
    }
    std::this_thread::sleep_for(200ms);
    const auto ended = ended_requests(ask(client, served.url() + "/api/requests"));
    for (const visit& v : visits) {
      const auto [begin, end] = ended.equal_range(v.id);
      const auto found = std::find_if(begin, end, [&](const auto& e) { return e.second.service == v.panel; });
      if (found == end || found->second.state != "ended by client") {
        ++early;  // answered before, or not yet begun: nothing was there to end
        continue;
      }
      const auto ns = found->second.ended_ns - std::chrono::nanoseconds(v.closed.time_since_epoch()).count();
      by_panel[v.panel].push_back(static_cast<double>(ns) / 1e6);
      all.push_back(static_cast<double>(ns) / 1e6);
    }
  }
  std::printf("client gone -> context ended in the service, through the dashboard, %d refreshes\n",
              refreshes);
  for (auto& [panel, ms] : by_panel) print(panel.c_str(), ms);
  if (all.empty()) throw std::runtime_error("no request was ended by its client");
  print("all", all);
  std::printf("%d of %d requests had nothing to end (answered before the close, or not begun)\n", early,
              refreshes * static_cast<int>(panels.size()));
  const double p99 = all[static_cast<std::size_t>(0.99 * static_cast<double>(all.size() - 1))];
  const bool reached = p99 <= std::chrono::duration<double, std::milli>(goal_p99).count();
  std::printf("goal: p99 <= 5 ms: %s\n", reached ? "reached" : "NOT reached");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // Beside this program, in the build directory, unless it is named.
  const auto beside =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "../apps/dashboard/curfew-dashboard";
  const std::string program = argc > 1 && argv[1][0] != '-' ? argv[1] : beside.string();
  try {
    return run(program, argc > 2 ? std::stoi(argv[2]) : 200);
  } catch (const std::exception& e) {
    std::cerr << "bench_dashboard_refresh: " << e.what() << '\n';
    return 2;
  }
}
