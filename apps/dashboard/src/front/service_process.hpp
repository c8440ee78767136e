#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>
#include <expected>
#include <mutex>
#include <string>
#include <vector>

#include "base/change_hub.hpp"
#include "front/child_process.hpp"

namespace curfew_dashboard {

/// Keeps one service running as a child process: starts it again, with back-off, when it ends.
/// Thread safety: `where` and `async_where` from any thread.
class service_process {
 public:
  /// Its URL, or a sentence for people that says why there is none.
  using address = std::expected<std::string, std::string>;

  /// \param arguments  For this program: "service", "disk", ….
  service_process(std::string name, std::vector<std::string> arguments, std::string token);

  /// Runs until ctx ends; then stops the process, and returns when it is gone.
  asio::awaitable<void> async_run(curfew::context ctx);

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const std::string& token() const noexcept { return token_; }

  [[nodiscard]] address where() const;
  /// Waits while it starts for the first time. Errors: as `address`; also when ctx ends.
  asio::awaitable<address> async_where(curfew::context ctx);

 private:
  asio::awaitable<std::string> run_once(curfew::context ctx);
  asio::awaitable<void> stop(child_process& child);
  void set_where(address now);

  const std::string name_;
  const std::vector<std::string> arguments_;
  const std::string token_;

  change_hub changed_;
  mutable std::mutex mutex_;
  address where_;         // guarded by mutex_, as starting_
  bool starting_ = true;  // for the first time
};

}  // namespace curfew_dashboard
