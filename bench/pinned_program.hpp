#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

/// Has this thread run on one core.
inline void pin_to(unsigned core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core % std::max(1U, std::thread::hardware_concurrency()), &set);
  ::sched_setaffinity(0, sizeof set, &set);
}

/// A program on one core, whose first line of output is read. It is killed at the end.
class pinned_program {
 public:
  pinned_program(std::vector<std::string> command, unsigned core) {
    std::array<int, 2> out{};
    if (::pipe2(out.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    std::vector<char*> args;
    for (auto& arg : command) args.push_back(arg.data());
    args.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::dup2(out[1], STDOUT_FILENO);
      pin_to(core);
      ::setenv("GOMAXPROCS", "1", 1);
      ::execv(args[0], args.data());
      ::_exit(127);
    }
    ::close(out[1]);
    for (char c = 0; ::read(out[0], &c, 1) == 1 && c != '\n';) line_ += c;
    ::close(out[0]);
    if (line_.empty()) throw std::runtime_error(command[0] + " has failed");
  }
  pinned_program(const pinned_program&) = delete;
  pinned_program& operator=(const pinned_program&) = delete;
  ~pinned_program() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  [[nodiscard]] const std::string& line() const noexcept { return line_; }
  [[nodiscard]] int pid() const noexcept { return pid_; }

 private:
  int pid_ = 0;
  std::string line_;
};

/// The CPU time of a process, all its threads, in seconds. From schedstat: clock ticks are too coarse for
/// short runs.
inline double cpu_of(int pid) {
  double nanoseconds = 0;
  std::error_code failed;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", failed)) {
    std::ifstream file(task.path() / "schedstat");
    double of_task = 0;
    if (file >> of_task) nanoseconds += of_task;
  }
  return nanoseconds / 1e9;
}
