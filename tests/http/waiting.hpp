#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <curfew/core/cause.hpp>
#include <curfew/core/context.hpp>
#include <filesystem>
#include <mutex>
#include <stdexcept>
#include <system_error>
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

/// Descriptors that this process has open, but for files: a sanitizer's runtime opens one for a moment in each thread that
/// starts.
inline std::size_t open_descriptors() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;  // by another thread, meanwhile
    const auto of = std::filesystem::read_symlink(entry, gone);
    if (!gone && !of.native().starts_with('/')) ++count;
  }
  return count;
}

/// Set by one thread, waited for by others.
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

/// How the contexts of requests ended, as their handlers tell.
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

}  // namespace curfew::tests
