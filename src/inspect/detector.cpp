#include "inspect/detector.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <utility>

#include "inspect/hooks.hpp"
#include "inspect/look.hpp"
#include "inspect/place_table.hpp"

namespace curfew::inspect::detector {

namespace {

constexpr std::chrono::milliseconds between_looks{20};
constexpr std::chrono::seconds between_calibrations{1};
constexpr std::size_t most_dying = 64;

/// A list to which any thread adds, and from which one takes all.
class shared_list {
 public:
  void push(task_record& r) noexcept {
    r.next = first_.load(std::memory_order_relaxed);
    while (!first_.compare_exchange_weak(r.next, &r, std::memory_order_release, std::memory_order_relaxed)) {
    }
  }
  [[nodiscard]] bool empty() const noexcept { return first_.load(std::memory_order_relaxed) == nullptr; }
  /// The earliest first.
  [[nodiscard]] task_record* take() noexcept {
    task_record* taken = first_.exchange(nullptr, std::memory_order_acquire);
    task_record* turned = nullptr;
    while (taken != nullptr) {
      task_record* r = std::exchange(taken, taken->next);
      r->next = std::exchange(turned, r);
    }
    return turned;
  }

 private:
  std::atomic<task_record*> first_{nullptr};
};

class watch {
 public:
  void told(task_record& r) noexcept {
    told_.push(r);
    wake();
  }
  void over(task_record& r) noexcept {
    over_.push(r);
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

  [[nodiscard]] std::vector<task_ref> zombies() {
    const std::lock_guard guard(mutex_);
    return {zombies_.begin(), zombies_.end()};
  }
  [[nodiscard]] std::size_t zombie_count() noexcept { return living_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t zombies_ever() const noexcept { return ever_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::vector<past> dying() {
    const std::lock_guard guard(mutex_);
    return dying_;
  }

 private:
  struct by_record {
    std::size_t operator()(const task_ref& t) const noexcept { return std::hash<const void*>()(t.record); }
  };

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
    for (;;) {
      calibrate();
      for (task_record* r = told_.take(); r != nullptr;) {
        task_record* after = r->next;
        pending_.push_back(r);
        r = after;
      }
      const ticks now = ticks_now();
      const ticks limit = as_ticks(limit_);
      while (!pending_.empty() &&
             since(pending_.front()->told_at.load(std::memory_order_relaxed), now) >= limit) {
        judge(*pending_.front());
        pending_.pop_front();
      }
      for (task_record* r = over_.take(); r != nullptr;) {
        task_record* after = r->next;
        bury(*r, true);
        r = after;
      }
      if (!sleep()) return;
    }
  }

  /// \return false: it is to stop.
  bool sleep() noexcept {
    std::unique_lock guard(sleep_mutex_);
    if (stops_) return false;
    if (!pending_.empty()) {
      sleep_.wait_for(guard, between_looks, [this] { return stops_; });
      return !stops_;
    }
    idle_.store(true, std::memory_order_seq_cst);
    if (told_.empty() && over_.empty()) {
      sleep_.wait_for(guard, between_calibrations,
                      [this] { return stops_ || !idle_.load(std::memory_order_relaxed); });
    }
    idle_.store(false, std::memory_order_relaxed);
    return !stops_;
  }

  /// What named the task of `r`, which may have been closed, and is the detector's (invariant 3).
  static task_ref opened_as(task_record& r) noexcept {
    const auto now = r.generation.load(std::memory_order_acquire);
    return {&r, detail::is_open(now) ? now : now - 1};
  }

  /// The limit of `r` has passed.
  void judge(task_record& r) noexcept {
    const task_ref ref = opened_as(r);
    auto seen = told_state::told;
    if (!r.told.compare_exchange_strong(seen, told_state::zombie, std::memory_order_acq_rel)) {
      bury(r, false);
      return;
    }
    {
      const std::lock_guard guard(mutex_);
      zombies_.insert(ref);
      living_.store(zombies_.size(), std::memory_order_relaxed);
    }
    ever_.fetch_add(1, std::memory_order_relaxed);
    try {
      if (auto info = look_at(ref)) tell(*info);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "curfew: a task goes on after its end, and telling of it failed: %s\n", e.what());
    }
  }

  void tell(const task_info& info) const {
    if (alarm_) {
      alarm_(info);
      return;
    }
    std::fprintf(stderr, "curfew: %s\n", one_line(info).c_str());
  }

  /// `r` is over, and was told.
  void bury(task_record& r, bool was_zombie) noexcept {
    if (was_zombie) {
      const std::lock_guard guard(mutex_);
      zombies_.erase(opened_as(r));
      living_.store(zombies_.size(), std::memory_order_relaxed);
    }
    past p = past_of_told(r);
    place_table::stopped(p, was_zombie);
    keep(std::move(p));
    release_record(r);
  }

  void keep(past&& p) noexcept {
    const auto took = [](const past& of) { return since(of.told, of.ended); };
    const std::lock_guard guard(mutex_);
    if (dying_.size() == most_dying && took(p) <= took(dying_.back())) return;
    const auto at = std::ranges::upper_bound(dying_, took(p), std::greater<>(), took);
    dying_.insert(at, std::move(p));
    if (dying_.size() > most_dying) dying_.pop_back();
  }

  shared_list told_;
  shared_list over_;
  std::atomic<bool> idle_{false};
  std::atomic<std::size_t> living_{0};
  std::atomic<std::uint64_t> ever_{0};

  // Of the thread; changed while there is none.
  std::chrono::milliseconds limit_{0};
  inspection_options::alarm_function alarm_;
  std::deque<task_record*> pending_;  // in the order in which they were told
  std::thread thread_;

  std::mutex sleep_mutex_;
  std::condition_variable sleep_;
  bool stops_ = false;  // guarded by sleep_mutex_

  std::mutex mutex_;
  std::unordered_set<task_ref, by_record> zombies_;  // guarded by mutex_
  std::vector<past> dying_;                          // guarded by mutex_; longest first
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
std::vector<task_ref> zombies() { return the_watch().zombies(); }
std::size_t zombie_count() noexcept { return the_watch().zombie_count(); }
std::uint64_t zombies_ever() noexcept { return the_watch().zombies_ever(); }
std::vector<past> longest_dying() { return the_watch().dying(); }

}  // namespace curfew::inspect::detector
