#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/cause.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/http/server.hpp>
#include <curfew/io/wait.hpp>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace curfew::tests {

/// Waits, in real time, until `f` holds; false after 20 s.
template <class F>
bool eventually(F f) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!f()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

/// Something that happens, in one thread, and is waited for in others.
class event {
 public:
  void set() {
    const std::lock_guard guard(mutex_);
    set_ = true;
    changed_.notify_all();
  }
  /// False after 20 s.
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [this] { return set_; });
  }
  bool is_set() {
    const std::lock_guard guard(mutex_);
    return set_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

/// What happened to the contexts of requests, told by handlers.
class ends {
 public:
  void add(const context& ctx) {
    const std::lock_guard guard(mutex_);
    list_.emplace_back(ctx.err(), ctx.cause());
    changed_.notify_all();
  }
  /// Waits until there are `count`; throws after 20 s.
  std::vector<std::pair<std::error_code, cause>> wait(std::size_t count = 1) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(20), [&] { return list_.size() >= count; })) {
      throw std::runtime_error("contexts did not end");
    }
    return list_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<std::error_code, cause>> list_;
};

/// A server that serves in a thread of its own until it is stopped or destroyed.
class serving {
 public:
  explicit serving(http::router routes, http::server_options options = {}, const context& root = background(),
                   unsigned threads = 1)
      : root_(with_cancel(root)) {
    options.on_error([this](std::string_view line) {
      const std::lock_guard guard(mutex_);
      complaints_.emplace_back(line);
    });
    server_.emplace(std::move(routes), options.threads(threads));
    if (auto up = server_->listen(); !up) throw std::runtime_error(up.error().message());
    thread_ = std::thread([this] { report_ = server_->serve(root_); });
  }
  ~serving() { static_cast<void>(stop()); }

  [[nodiscard]] std::uint16_t port() const { return server_->port(); }
  [[nodiscard]] std::string url() const { return server_->url(); }
  http::server& server() { return *server_; }

  /// Tells it to stop; does not wait.
  void begin_stop() { root_.cancel(); }
  /// Stops it and waits.
  http::shutdown_report stop() {
    begin_stop();
    if (thread_.joinable()) thread_.join();
    return report_ && *report_ ? **report_ : http::shutdown_report();
  }
  /// Stops it, without grace if it still runs, and destroys it.
  void destroy() {
    begin_stop();
    if (thread_.joinable()) thread_.join();
    server_.reset();
  }
  std::vector<std::string> complaints() {
    const std::lock_guard guard(mutex_);
    return complaints_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> complaints_;
  cancel_scope root_;
  std::optional<http::server> server_;
  std::optional<result<http::shutdown_report>> report_;
  std::thread thread_;
};

}  // namespace curfew::tests
