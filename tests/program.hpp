#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace curfew::tests {

/// How long a test waits for a program; only a hang is longer.
inline constexpr std::chrono::seconds program_patience{30};

/// The folder of the peers that are built or written here.
inline std::filesystem::path peer_folder() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "peers";
}

/// The programs of the newest PostgreSQL, which Debian keeps out of PATH; empty if there are none.
inline std::string postgres_folder() {
  std::string newest;
  int version = 0;
  std::error_code none;
  for (const auto& each : std::filesystem::directory_iterator("/usr/lib/postgresql", none)) {
    const int number = std::atoi(each.path().filename().c_str());
    if (number > version) version = number, newest = (each.path() / "bin").string();
  }
  return newest;
}

/// Where a program is: one of the system's, or one of `peer_folder()`; empty if it is not there.
inline std::string find_program(const std::string& name) {
  if (const auto own = peer_folder() / name; std::filesystem::exists(own)) return own.string();
  const char* path = std::getenv("PATH");
  std::istringstream folders(postgres_folder() + ':' + (path != nullptr ? path : "") + ":/usr/sbin:/sbin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::string at = folder + '/' + name;
    if (::access(at.c_str(), X_OK) == 0) return at;
  }
  return {};
}

/// A folder for one test's files; removed at the end.
class own_folder {
 public:
  explicit own_folder(const std::filesystem::path& in = std::filesystem::temp_directory_path()) {
    std::string name = (in / "curfew-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::generic_category(), "mkdtemp");
    path_ = name;
  }
  own_folder(const own_folder&) = delete;
  own_folder& operator=(const own_folder&) = delete;
  ~own_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  /// \return the file's path.
  std::string write(const std::string& name,
                    std::string_view content) const {  // NOLINT(modernize-use-nodiscard)
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << content;
    return *this / name;
  }

 private:
  std::filesystem::path path_;
};

/// A listening socket on a free port of 127.0.0.1, for a program that takes sockets over: nobody else can take the
/// port meanwhile, and connections wait until the program is up.
class free_port {
 public:
  free_port() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (fd_ < 0 || ::bind(fd_, generic, size) != 0 || ::listen(fd_, 128) != 0 ||
        ::getsockname(fd_, generic, &size) != 0) {
      throw std::system_error(errno, std::generic_category(), "a listening socket");
    }
    number_ = ntohs(address.sin_port);
  }
  free_port(const free_port&) = delete;
  free_port& operator=(const free_port&) = delete;
  ~free_port() { ::close(fd_); }

  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] std::uint16_t number() const noexcept { return number_; }
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(number_); }
  [[nodiscard]] std::string url(std::string_view path) const {
    return "http://" + address() + std::string(path);
  }

 private:
  int fd_;
  std::uint16_t number_ = 0;
};

/// Another program, whose input and output the test holds. Terminated at the end.
class program {
 public:
  /// Where the program finds the socket that it is given.
  static constexpr int given_fd = 3;

  /// \param listener     Given to the program as descriptor 3; null: none.
  /// \param environment  "NAME=value", beside the test's own.
  explicit program(std::vector<std::string> command, const free_port* listener = nullptr,
                   std::vector<std::string> environment = {})
      : name_(command[0]) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0)
      throw std::system_error(errno, std::generic_category(), "pipe");
    std::vector<char*> arguments;
    for (auto& each : command) arguments.push_back(each.data());
    arguments.push_back(nullptr);
    std::vector<char*> variables;
    for (auto& each : environment) variables.push_back(each.data());
    for (char** each = environ; *each != nullptr; ++each) variables.push_back(*each);
    variables.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGTERM);
      ::dup2(in[0], STDIN_FILENO);
      ::dup2(out[1], STDOUT_FILENO);
      if (listener != nullptr) {
        if (listener->fd() == given_fd) {
          ::fcntl(given_fd, F_SETFD, 0);
        } else {
          ::dup2(listener->fd(), given_fd);
        }
      }
      ::execve(arguments[0], arguments.data(), variables.data());
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    in_ = in[1];
    out_ = out[0];
  }
  program(const program&) = delete;
  program& operator=(const program&) = delete;
  ~program() {
    kill(SIGTERM);  // which lets nginx end its workers
    close_input();
    ::close(out_);
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
  }

  void kill(int signal) const noexcept {
    if (pid_ > 0) ::kill(pid_, signal);
  }
  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(in_, bytes.data(), bytes.size());
      if (n < 0) throw std::system_error(errno, std::generic_category(), "writing to " + name_);
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  void close_input() noexcept {
    if (in_ >= 0) ::close(std::exchange(in_, -1));
  }
  /// The next line of the output, without its end; throws if there is none.
  std::string read_line() {
    for (std::size_t end = 0; (end = read_.find('\n')) == std::string::npos;) {
      if (!receive()) throw std::runtime_error(name_ + " has ended after \"" + read_ + '"');
    }
    const std::size_t end = read_.find('\n');
    std::string line = read_.substr(0, end);
    read_.erase(0, end + 1);
    return line;
  }
  /// What is still to come of the output.
  std::string read_all() {
    while (receive()) {
    }
    return std::exchange(read_, {});
  }
  /// Waits for the end, once the output is closed. \return the exit code; 128 and the signal's number.
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  bool receive() {
    pollfd p{out_, POLLIN, 0};
    const auto limit = static_cast<int>(std::chrono::milliseconds(program_patience).count());
    if (::poll(&p, 1, limit) == 0) throw std::runtime_error(name_ + " says nothing after \"" + read_ + '"');
    std::array<char, 16384> bytes{};
    const ssize_t n = ::read(out_, bytes.data(), bytes.size());
    if (n > 0) read_.append(bytes.data(), static_cast<std::size_t>(n));
    return n > 0;
  }

  std::string name_;
  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
  std::string read_;
};

/// What a program said that has ended.
struct output {
  int code = 0;
  std::string text;
};

inline output run(std::vector<std::string> command, std::string_view input = {}) {
  program p(std::move(command));
  p.write(input);
  p.close_input();
  output made;
  made.text = p.read_all();
  made.code = p.wait();
  return made;
}

/// Those that are not on this machine, with what to do about it; empty if all are there.
inline std::string missing_programs(const std::vector<std::string>& names) {
  std::string missing;
  for (const auto& name : names) {
    if (find_program(name).empty()) missing += name + ' ';
  }
  if (!missing.empty()) missing += "missing; ./dev setup installs what the tests need";
  return missing;
}

}  // namespace curfew::tests

/// Leaves a test of GTest whose programs are not there; under CI it fails.
#define CURFEW_NEEDS_PROGRAMS(...)                                                               \
  if (const auto missing = ::curfew::tests::missing_programs({__VA_ARGS__}); !missing.empty()) { \
    if (std::getenv("CI") != nullptr) FAIL() << missing;                                         \
    GTEST_SKIP() << missing;                                                                     \
  }                                                                                              \
  static_assert(true)
