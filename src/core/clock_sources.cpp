#include <pthread.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <curfew/core/driven_clock.hpp>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "core/clocks.hpp"
#include "core/timer_wheel.hpp"
#include "core/tree.hpp"

// Any thread arms and disarms a timer. What is due is popped under the shard's lock, which takes a reference of the
// node, and ended outside of it: by the timer thread; for a manual clock, by the thread that moves it; for a driven one,
// by the thread that calls run_due.

namespace curfew::detail {

namespace {

/// The system's monotonic clock, with one thread that sleeps until the next deadline. The thread starts
/// with the first deadline of the process and is joined at its exit; deadlines do not come after that.
/// It does not survive a fork: in the child it starts again with the first deadline that is made there.
///
/// Timers are kept in shards, a core has one, so threads meet at one lock only by chance. The thread promises
/// each shard, in `wake_at`, when it will look next. Arming a timer that is due before then counts a call in
/// `calls_`, which the thread reads before it looks at the shards, and compares before it sleeps.
class system_source final : public clock_source {
 public:
  [[nodiscard]] nanoseconds now() const noexcept override {
    return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  }

  [[nodiscard]] timer_shard& shard() noexcept override {
    return shards_[threads::core() & (shard_count - 1)];
  }

  void prepare() override {
    if (started_.load(std::memory_order_acquire)) return;  // pairs with the store below
    const std::lock_guard guard(mutex_);
    if (started_.load(std::memory_order_relaxed)) return;
    for (timer_shard& each : shards_) {  // bring them to the present
      const byte_lock lock(each.lock);
      if (each.wheel.next() == timer_wheel::never) each.wheel.pop(each.wheel.tick_before(now()));
    }
    thread_ = std::thread([this] { run(); });
    if (!registered_) {
      std::atexit([] { self().stop(); });
      pthread_atfork([] { self().lock_all(); }, [] { self().unlock_all(); }, [] { self().forget_thread(); });
      registered_ = true;
    }
    started_.store(true, std::memory_order_release);
  }

  void arm(deadline_node* n) noexcept override {
    bool earlier = false;
    detail::arm(n, earlier);
    if (earlier) {
      {
        const std::lock_guard guard(mutex_);
        ++calls_;
      }
      called_.notify_one();
    }
  }

 private:
  // A tick is 2^15 ns, 33 µs: a deadline comes late by half of that on average, and never early.
  static constexpr unsigned tick_bits = 15;
  static constexpr unsigned shard_count = 16;  // a power of two
  // How many timers one shard may run before another has its turn: a burst in one does not hold up the
  // others.
  static constexpr unsigned turn = 64;

  static std::chrono::steady_clock::time_point start_of(std::uint64_t tick) noexcept {
    if (tick > (static_cast<std::uint64_t>(no_deadline) >> tick_bits))
      return std::chrono::steady_clock::time_point::max();
    return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(tick << tick_bits));
  }

  void run() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);  // signals are for the program's own threads
    prctl(PR_SET_NAME, "curfew timers");
    prctl(PR_SET_TIMERSLACK, 1UL);  // else the kernel may wake us 50 µs late, to save power
    for (;;) {
      std::uint64_t heard = 0;
      {
        const std::lock_guard guard(mutex_);
        if (stopping_) return;
        heard = calls_;
      }
      std::uint64_t next = timer_wheel::never;
      for (timer_shard& each : shards_) next = std::min(next, run_due(each));
      std::unique_lock lock(mutex_);
      const auto told = [&] { return stopping_ || calls_ != heard; };
      if (next == timer_wheel::never) {
        called_.wait(lock, told);
      } else if (next != 0) {
        called_.wait_until(lock, start_of(next), told);
      }
    }
  }

  /// \return the tick at which the shard wants to be looked at again: 0 for at once.
  std::uint64_t run_due(timer_shard& shard) noexcept {
    for (unsigned i = 0; i != turn; ++i) {
      deadline_node* n = nullptr;
      {
        const byte_lock guard(shard.lock);
        n = pop_due(shard.wheel, shard.wheel.tick_before(now()));
        shard.wake_at = n != nullptr ? 0 : shard.wheel.next();
        if (n == nullptr) return shard.wake_at;
      }
      expire(n);
    }
    return 0;
  }

  static system_source& self() noexcept { return static_cast<system_source&>(system_clock_source()); }

  void stop() noexcept {
    if (!started_.load(std::memory_order_acquire)) return;  // a forked child that has made no deadline
    {
      const std::lock_guard guard(mutex_);
      stopping_ = true;
    }
    called_.notify_one();
    if (thread_.get_id() == std::this_thread::get_id()) {
      thread_.detach();  // a callback called exit
    } else {
      thread_.join();
    }
  }

  // Around a fork no thread is within a locked section.
  void lock_all() noexcept {
    mutex_.lock();
    for (timer_shard& each : shards_) {
      for (unsigned tries = 0; each.lock.exchange(state_bits::locked, std::memory_order_acquire) != 0;
           ++tries) {
        threads::relax(tries);
      }
    }
  }
  void unlock_all() noexcept {
    for (timer_shard& each : shards_) each.lock.store(0, std::memory_order_release);
    mutex_.unlock();
  }

  /// In a forked child: makes the thread and its condition anew.
  void forget_thread() noexcept {
    new (&thread_) std::thread;
    new (&called_) std::condition_variable;
    started_.store(false, std::memory_order_relaxed);
    unlock_all();
  }

  template <std::size_t... I>
  static std::array<timer_shard, sizeof...(I)> make_shards(clock_source& of,
                                                           std::index_sequence<I...> /*n*/) {
    return {timer_shard((static_cast<void>(I), of), tick_bits)...};
  }

  std::array<timer_shard, shard_count> shards_ = make_shards(*this, std::make_index_sequence<shard_count>());
  std::mutex mutex_;  // taken before a shard's lock by prepare and around a fork; nowhere else together
  std::condition_variable called_;
  std::uint64_t calls_ = 0;  // guarded by mutex_, as are the next two
  bool stopping_ = false;
  bool registered_ = false;
  std::thread thread_;  // guarded by mutex_ until it has started
  std::atomic<bool> started_{false};
};

/// A clock of the user's. Its timers run in the thread that calls run_due; a tick is a nanosecond.
class driven_source final : public clock_source {
 public:
  explicit driven_source(std::shared_ptr<time_source> time) noexcept : time_(std::move(time)) {}

  [[nodiscard]] nanoseconds now() const noexcept override {
    const nanoseconds told = std::chrono::nanoseconds(time_->now().time_since_epoch()).count();
    return std::clamp(told, nanoseconds{0}, no_deadline - 1);
  }

  [[nodiscard]] timer_shard& shard() noexcept override { return shard_; }

  void arm(deadline_node* n) noexcept override {
    bool earlier = false;
    const nanoseconds deadline = n->deadline;
    detail::arm(n, earlier);
    if (earlier) time_->on_earlier_deadline(clock::time_point(std::chrono::nanoseconds(deadline)));
  }

  std::size_t run_due() noexcept {
    for (std::size_t ended = 0;;) {
      deadline_node* n = nullptr;
      {
        const nanoseconds present = now();  // the user's code, so not under the lock
        const byte_lock guard(shard_.lock);
        n = pop_due(shard_.wheel, shard_.wheel.tick_before(present));
      }
      if (n == nullptr) return ended;
      if (expire(n)) ++ended;
    }
  }

  std::optional<clock::time_point> next_deadline() noexcept {
    const byte_lock guard(shard_.lock);
    const std::uint64_t next = shard_.wheel.earliest();
    shard_.wake_at = next;  // what comes before it is told
    if (next == timer_wheel::never) return std::nullopt;
    return clock::time_point(std::chrono::nanoseconds(static_cast<nanoseconds>(next)));
  }

 private:
  const std::shared_ptr<time_source> time_;
  timer_shard shard_{*this, 0};
};

driven_source& driven(const context& root) noexcept {
  return static_cast<driven_source&>(clock_of(ender_of(root)));
}

}  // namespace

clock_source& system_clock_source() noexcept {
  alignas(system_source) static std::byte storage[sizeof(system_source)];  // never destroyed
  static auto* source = new (storage) system_source;
  return *source;
}

}  // namespace curfew::detail

namespace curfew {

void time_source::on_earlier_deadline(clock::time_point /*next*/) noexcept {}

driven_clock::driven_clock(std::shared_ptr<time_source> time) {
  if (time == nullptr) throw std::invalid_argument("curfew: a driven_clock needs a time_source, not null");
  root_ = detail::make_root<detail::driven_source>(std::move(time));
}

std::size_t driven_clock::run_due() noexcept { return detail::driven(root_).run_due(); }

std::optional<clock::time_point> driven_clock::next_deadline() const noexcept {
  return detail::driven(root_).next_deadline();
}

}  // namespace curfew
