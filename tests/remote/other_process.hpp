#pragma once

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

#include "program.hpp"
#include "server.hpp"

namespace curfew::tests {

inline constexpr const char* other_process_argument = "--other-process";

/// Another process with a hub: this program again, with the main of main.cpp. It is told a line and answers with one;
/// and it says when a context has ended:
///
///     share [<timeout in ms>]   "shared <i> <ticket>"
///     join <ticket>             "joined <j>"
///     cancel <i> <text>         nothing: the end of what was shared
///     work <queue>              "working"; of each job that is not "echo…" "began <job> <attempt>", "ended <job>: <cause>"
///     ask <queue> <job>         "asking", later "answered <answer>"
///     counts                    "counts <shared> <joined>"
///                               "ended <shared or joined> <i>: <err> (<cause>)"
///
/// It is killed at the end, and ends by itself when this process does.
class other_process {
 public:
  other_process(const std::string& url, std::chrono::milliseconds lease) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0)
      throw std::system_error(errno, std::generic_category(), "pipe");
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    std::vector<std::string> words{"/proc/self/exe", other_process_argument, url,
                                   std::to_string(lease.count())};
    std::vector<char*> arguments;
    for (auto& each : words) arguments.push_back(each.data());
    arguments.push_back(nullptr);
    const int wrong = ::posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(in[0]);
    ::close(out[1]);
    in_ = in[1];
    out_ = out[0];
    if (wrong != 0) throw std::system_error(wrong, std::generic_category(), "posix_spawn");
  }
  other_process(const other_process&) = delete;
  other_process& operator=(const other_process&) = delete;
  ~other_process() {
    kill(SIGKILL);
    ::close(in_);
    ::close(out_);
  }

  void tell(std::string line) const {
    line += '\n';
    if (::write(in_, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
      throw std::system_error(errno, std::generic_category(), "the other process is gone");
  }
  /// The next line; "(silent)" if there is none for longer than any test needs, "(gone)" when it has ended.
  std::string hear() {
    const auto limit = std::chrono::steady_clock::now() + program_patience;
    for (;;) {
      if (const auto end = read_.find('\n'); end != std::string::npos) {
        const std::string line = read_.substr(0, end);
        read_.erase(0, end + 1);
        return line;
      }
      pollfd ready{out_, POLLIN, 0};
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(limit - std::chrono::steady_clock::now());
      if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left.count())) == 0) return "(silent)";
      std::array<char, 4096> buffer{};
      const auto size = ::read(out_, buffer.data(), buffer.size());
      if (size <= 0) return "(gone)";
      read_.append(buffer.data(), static_cast<std::size_t>(size));
    }
  }
  std::string ask(std::string line) {
    tell(std::move(line));
    return hear();
  }

  /// Completes when it is dead, or has stopped.
  void kill(int signal) {
    if (pid_ <= 0) return;
    ::kill(pid_, signal);
    if (signal == SIGKILL) {
      ::waitpid(pid_, nullptr, 0);
      pid_ = -1;
    } else if (signal == SIGSTOP) {
      detail::wait_for([&] { return detail::state_of(pid_).letter == 'T'; });
    }
  }

 private:
  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
  std::string read_;
};

}  // namespace curfew::tests
