#include "front/child_process.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <csignal>
#include <curfew/io/with.hpp>
#include <string_view>
#include <system_error>
#include <utility>

#include "lifeline.hpp"

namespace curfew_dashboard {

namespace {

std::error_code last_error() { return {errno, std::generic_category()}; }

struct pipe_ends {
  file_descriptor read;
  file_descriptor write;
};

std::optional<pipe_ends> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return std::nullopt;
  return pipe_ends{file_descriptor(ends[0]), file_descriptor(ends[1])};
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> made;
  made.reserve(texts.size() + 1);
  for (std::string& text : texts) made.push_back(text.data());
  made.push_back(nullptr);
  return made;
}

/// In the child, between fork and exec: only what is safe where other threads held locks.
[[noreturn]] void become(char* const* arguments, char* const* environment, int input, int output,
                         int lifeline, pid_t parent) {
  ::setpgid(0, 0);  // Ctrl-C is for the dashboard alone, which then stops its services
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(1);  // it died before it could be said
  ::dup2(input, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::fcntl(lifeline, F_SETFD, 0);
  ::execve("/proc/self/exe", arguments, environment);
  ::_exit(127);
}

std::string describe_exit(int status) {
  if (WIFSIGNALED(status)) return "killed by signal " + std::to_string(WTERMSIG(status));
  return "exited with code " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

curfew::result<child_process> child_process::start(asio::any_io_executor executor,
                                                   const std::vector<std::string>& arguments,
                                                   const std::string& token) {
  const auto fail = [] { return std::unexpected(curfew::error(last_error(), "starting a service")); };
  auto lifeline = make_pipe();
  auto output = make_pipe();
  const file_descriptor input(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!lifeline || !output || !input) return fail();
  const std::string line = token + '\n';  // far less than a pipe holds: this does not block
  if (::write(lifeline->write.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    return fail();

  std::vector<std::string> words{"curfew-dashboard"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<std::string> environment;
  const std::string variable = std::string(lifeline_variable) + '=';
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with(variable)) environment.emplace_back(*entry);
  }
  environment.push_back(variable + std::to_string(lifeline->read.get()));
  const auto argument_pointers = pointers(words);
  const auto environment_pointers = pointers(environment);

  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail();
  if (pid == 0) {
    become(argument_pointers.data(), environment_pointers.data(), input.get(), output->write.get(),
           lifeline->read.get(), parent);
  }
  // The header of glibc 2.36 does not compile as C++.
  file_descriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!handle) {
    const auto failed = fail();
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return failed;
  }
  return child_process(pid, asio::posix::stream_descriptor(executor, handle.release()),
                       asio::posix::stream_descriptor(executor, output->read.release()),
                       std::move(lifeline->write));
}

child_process::child_process(child_process&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      handle_(std::move(other.handle_)),
      output_(std::move(other.output_)),
      lifeline_(std::move(other.lifeline_)) {}

child_process::~child_process() {
  if (pid_ == 0) return;
  kill();
  ::waitpid(pid_, nullptr, 0);
}

asio::awaitable<curfew::result<std::string>> child_process::async_first_line(curfew::context ctx) {
  constexpr std::size_t longest = 1024;
  std::string line;
  std::array<char, 256> chunk{};
  while (line.size() < longest) {
    auto got = co_await output_.async_read_some(asio::buffer(chunk), curfew::with(ctx));
    if (!got) co_return std::unexpected(std::move(got).error());
    line.append(chunk.data(), *got);
    if (const auto end = line.find('\n'); end != std::string::npos) {
      line.resize(end);
      co_return line;
    }
  }
  co_return std::unexpected(
      curfew::error(std::make_error_code(std::errc::message_size), "reading a service's first line"));
}

asio::awaitable<curfew::result<std::string>> child_process::async_exit(curfew::context ctx) {
  auto ready = co_await handle_.async_wait(asio::posix::descriptor_base::wait_read, curfew::with(ctx));
  if (!ready) co_return std::unexpected(std::move(ready).error());
  int status = 0;
  ::waitpid(pid_, &status, WNOHANG);  // it has ended: the handle is readable
  pid_ = 0;
  co_return describe_exit(status);
}

void child_process::ask_to_stop() noexcept {
  lifeline_ = file_descriptor();
  if (pid_ != 0) ::kill(pid_, SIGTERM);
}

void child_process::kill() noexcept {
  if (pid_ != 0) ::kill(pid_, SIGKILL);
}

}  // namespace curfew_dashboard
