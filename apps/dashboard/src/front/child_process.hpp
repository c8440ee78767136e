#pragma once

#include <sys/types.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/file_descriptor.hpp"

namespace curfew_dashboard {

namespace asio = boost::asio;

/// A child process that dies with this one: it holds the other end of a lifeline (lifeline.hpp), and the
/// kernel sends it SIGTERM when the thread that started it ends.
/// Thread safety: one thread, that of its executor, which lives as long as the process is to live.
class child_process {
 public:
  /// Starts this program with other arguments.
  /// \param token  Goes through the lifeline: neither the arguments nor the environment show it.
  /// Errors: the system's.
  static curfew::result<child_process> start(asio::any_io_executor executor,
                                             const std::vector<std::string>& arguments,
                                             const std::string& token);

  child_process(child_process&& other) noexcept;
  child_process& operator=(child_process&&) = delete;
  /// Kills it if it still runs, and waits for that.
  ~child_process();

  /// The first line of its standard output. Errors: the end of ctx; its output ended without one.
  asio::awaitable<curfew::result<std::string>> async_first_line(curfew::context ctx);

  /// Waits until it has ended. \return "exited with code 1", "killed by signal 9". Errors: the end of ctx.
  asio::awaitable<curfew::result<std::string>> async_exit(curfew::context ctx);

  /// SIGTERM; and the lifeline is cut.
  void ask_to_stop() noexcept;
  /// SIGKILL.
  void kill() noexcept;

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

 private:
  child_process(pid_t pid, asio::posix::stream_descriptor handle, asio::posix::stream_descriptor output,
                file_descriptor lifeline)
      : pid_(pid),
        handle_(std::move(handle)),
        output_(std::move(output)),
        lifeline_(std::move(lifeline)) {}

  pid_t pid_;  // 0 once it has been waited for
  asio::posix::stream_descriptor handle_;
  asio::posix::stream_descriptor output_;
  file_descriptor lifeline_;
};

}  // namespace curfew_dashboard
