#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "program.hpp"

// What the servers that tests start have in common.

namespace curfew::tests {

namespace detail {

/// The user that a server runs as: PostgreSQL and pgbouncer refuse root.
struct server_user {
  uid_t user = ::geteuid();
  gid_t group = ::getegid();
  bool other = false;
};

inline server_user find_server_user() {
  server_user found;
  if (found.user != 0) return found;
  for (const char* name : {"postgres", "nobody"}) {
    if (const passwd* of = ::getpwnam(name); of != nullptr) return {of->pw_uid, of->pw_gid, true};
  }
  throw std::runtime_error("there is no user for a server that refuses root");
}

inline void give_to(const server_user& user, const std::filesystem::path& what) {
  if (!user.other) return;
  const auto give = [&](const std::filesystem::path& each) {
    if (::lchown(each.c_str(), user.user, user.group) != 0)
      throw std::system_error(errno, std::generic_category(), each.string());
  };
  give(what);
  if (!std::filesystem::is_directory(what)) return;
  for (const auto& each : std::filesystem::recursive_directory_iterator(what)) give(each.path());
}

/// Where the files of servers lie: in memory, if there is room. A server's start and end are 30 MB of files.
inline std::filesystem::path server_files() {
  constexpr std::uintmax_t room = std::uintmax_t{1} << 30U;
  const std::filesystem::path memory("/dev/shm");
  std::error_code none;
  const auto space = std::filesystem::space(memory, none);
  const bool is_writable = ::access(memory.c_str(), W_OK | X_OK) == 0;
  return !none && is_writable && space.available > room ? memory : std::filesystem::temp_directory_path();
}

/// Starts a program as that user, with its output in a file. It gets the signal when the thread ends that starts it.
inline pid_t launch(std::vector<std::string> command, const server_user& user, const std::string& folder,
                    const std::string& log, int at_the_end = SIGQUIT) {
  std::vector<char*> arguments;
  for (auto& each : command) arguments.push_back(each.data());
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid > 0) return pid;
  if (user.other && (::setgroups(0, nullptr) != 0 || ::setgid(user.group) != 0 || ::setuid(user.user) != 0))
    ::_exit(126);
  ::prctl(PR_SET_PDEATHSIG, at_the_end);  // which a change of the user clears
  if (::getppid() != parent || ::chdir(folder.c_str()) != 0) ::_exit(126);
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  const int in = ::open("/dev/null", O_RDONLY);
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(out, STDERR_FILENO);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

/// Up to where it can be read: the files of a process go with it.
inline std::string read_file(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream read;
  read << file.rdbuf();
  return read.str();
}

/// Asks again and again; false if that takes longer than any program needs.
template <class F>
bool wait_for(F holds) {
  const auto until = std::chrono::steady_clock::now() + program_patience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

/// What the system says of a process: its state, a letter, and its parent; of one that is gone 'X'.
struct process_state {
  char letter = 'X';
  pid_t parent = 0;
};

inline process_state state_of(pid_t pid) {
  const std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  const auto name_end = stat.rfind(')');
  process_state found;
  if (name_end != std::string::npos)
    std::istringstream(stat.substr(name_end + 1)) >> found.letter >> found.parent;
  return found;
}

inline std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> found;
  for (const auto& each : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(each.path().filename().c_str());
    if (pid > 0 && state_of(pid).parent == parent) found.push_back(pid);
  }
  return found;
}

inline bool is_dead(pid_t pid) {
  const char letter = state_of(pid).letter;
  return letter == 'X' || letter == 'Z';
}

/// Waits for the end of a child, and takes its status.
inline bool wait_for_end(pid_t child) {
  return wait_for([&] { return ::waitpid(child, nullptr, WNOHANG) != 0; });
}

}  // namespace detail

/// A port of 127.0.0.1 for a program that listens by itself, between its runs, too: nobody else is given it meanwhile.
class kept_port {
 public:
  kept_port() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    // Bound, but not listening: with SO_REUSEADDR on both sides the program may bind it all the same.
    const int yes = 1;
    if (fd_ < 0 || ::bind(fd_, generic, size) != 0 || ::getsockname(fd_, generic, &size) != 0 ||
        ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0) {
      throw std::system_error(errno, std::generic_category(), "a port");
    }
    number_ = ntohs(address.sin_port);
  }
  kept_port(const kept_port&) = delete;
  kept_port& operator=(const kept_port&) = delete;
  ~kept_port() { ::close(fd_); }

  [[nodiscard]] std::uint16_t number() const noexcept { return number_; }

 private:
  int fd_;
  std::uint16_t number_ = 0;
};

}  // namespace curfew::tests
