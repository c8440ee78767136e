#include "inspect/detector.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <exception>
#include <mutex>
#include <thread>

#include "inspect/look.hpp"
#include "inspect/told_tasks.hpp"

namespace curfew::inspect::detector {

namespace {

constexpr std::chrono::milliseconds between_looks{20};
constexpr std::chrono::seconds between_calibrations{1};

class watch {
 public:
  void told(task_record& r) noexcept {
    tasks.told(r);
    wake();
  }
  void over(task_record& r) noexcept {
    tasks.over(r);
    wake();
  }

  void start(const inspection_options& how) {
    limit_ = how.zombie_after();
    alarm_ = how.on_zombie();
    stops_ = false;
    thread_ = std::thread([this] { run(); });
  }

  void stop() noexcept {
    {
      const std::lock_guard guard(sleep_mutex_);
      stops_ = true;
    }
    sleep_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  told_tasks tasks;

 private:
  /// Only a thread that has nothing to wait for has to be woken: what comes next is due later than what it waits for.
  void wake() noexcept {
    // seq_cst, as in sleep(): one of the two sees what the other has written.
    if (!idle_.load(std::memory_order_seq_cst)) return;
    if (!idle_.exchange(false, std::memory_order_seq_cst)) return;
    {
      const std::lock_guard guard(sleep_mutex_);
    }
    sleep_.notify_all();
  }

  void run() noexcept {
    do {
      calibrate();
      tasks.look(ticks_now(), as_ticks(limit_), [this](task_ref zombie) { tell(zombie); });
    } while (sleep());
  }

  /// \return false: it is to stop.
  bool sleep() noexcept {
    std::unique_lock guard(sleep_mutex_);
    if (stops_) return false;
    if (tasks.awaits()) {
      sleep_.wait_for(guard, between_looks, [this] { return stops_; });
      return !stops_;
    }
    idle_.store(true, std::memory_order_seq_cst);
    if (!tasks.has_news()) {
      sleep_.wait_for(guard, between_calibrations,
                      [this] { return stops_ || !idle_.load(std::memory_order_relaxed); });
    }
    idle_.store(false, std::memory_order_relaxed);
    return !stops_;
  }

  void tell(task_ref zombie) const noexcept {
    try {
      const auto info = look_at(zombie);
      if (!info) return;
      if (alarm_) {
        alarm_(*info);
      } else {
        std::fprintf(stderr, "curfew: %s\n", one_line(*info).c_str());
      }
    } catch (const std::exception& e) {
      std::fprintf(stderr, "curfew: a task goes on after its end, and telling of it failed: %s\n", e.what());
    }
  }

  std::atomic<bool> idle_{false};

  // Of the thread; changed while there is none.
  std::chrono::milliseconds limit_{0};
  inspection_options::alarm_function alarm_;
  std::thread thread_;

  std::mutex sleep_mutex_;
  std::condition_variable sleep_;
  bool stops_ = false;  // guarded by sleep_mutex_
};

/// Never destroyed: contexts end until the very last.
watch& the_watch() {
  static auto* const only = new watch;
  return *only;
}

}  // namespace

void told(task_record& r) noexcept { the_watch().told(r); }
void over(task_record& r) noexcept { the_watch().over(r); }
void start(const inspection_options& how) { the_watch().start(how); }
void stop() noexcept { the_watch().stop(); }
std::vector<task_ref> zombies() { return the_watch().tasks.zombies(); }
std::size_t zombie_count() noexcept { return the_watch().tasks.zombie_count(); }
std::uint64_t zombies_ever() noexcept { return the_watch().tasks.zombies_ever(); }
std::vector<past> longest_dying() { return the_watch().tasks.longest_dying(); }

}  // namespace curfew::inspect::detector
