#include <pthread.h>
#include <sys/prctl.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <curfew/core/detail/manual_time.hpp>
#include <mutex>
#include <new>
#include <thread>
#include <tuple>

#include "core/timer_wheel.hpp"
#include "core/tree.hpp"

// Who calls what: any thread arms and disarms; the timer thread (or, for a manual clock, the one who
// moves it) pops what is due and ends it, outside the lock. A popped timer's reference is the popper's.
// `arm` looks at `ended` under the clock's lock, and who ends a node sets `ended` before he asks the
// clock to disarm it; so either arm sees the end, or disarm finds the timer: none stays behind.

namespace curfew::detail {

namespace {

/// The timers of one clock and their lock.
class timer_set {
 public:
  /// \param earliest  Called with the lock held if `n` is now the first to be due.
  template <class Earliest>
  bool arm(deadline_node* n, std::uint64_t tick, Earliest earliest) noexcept {
    const std::lock_guard guard(mutex_);
    if (n->ended.load(std::memory_order_relaxed) != live) return false;
    n->refs.fetch_add(1, std::memory_order_relaxed);
    n->tick = tick;
    wheel_.insert(n);
    earliest(tick);
    return true;
  }

  bool disarm(deadline_node* n) noexcept {
    const std::lock_guard guard(mutex_);
    if (n->timer_prev == nullptr) return false;
    wheel_.remove(n);
    return true;
  }

  std::mutex& mutex() noexcept { return mutex_; }
  timer_wheel& wheel() noexcept { return wheel_; }

 private:
  std::mutex mutex_;
  timer_wheel wheel_;  // guarded by mutex_
};

void expire(deadline_node* n) noexcept { release(n, 1 + end(n, deadline_exceeded, nullptr)); }

/// The system's monotonic clock, with one thread that sleeps until the next deadline. The thread starts
/// with the first deadline of the process and is joined at its exit; deadlines do not come after that.
/// It does not survive a fork: in the child it starts again with the first deadline that is made there.
class system_source final : public clock_source {
 public:
  [[nodiscard]] nanoseconds now() const noexcept override {
    return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  }

  void prepare() override {
    if (started_.load(std::memory_order_acquire)) return;  // pairs with the store below
    const std::lock_guard guard(timers_.mutex());
    if (started_.load(std::memory_order_relaxed)) return;
    if (timers_.wheel().next() == timer_wheel::never)
      timers_.wheel().pop(tick_before(now()));  // brings it to the present
    thread_ = std::thread([this] { run(); });
    if (!registered_) {
      std::atexit([] { self().stop(); });
      pthread_atfork([] { self().timers_.mutex().lock(); }, [] { self().timers_.mutex().unlock(); },
                     [] { self().forget_thread(); });
      registered_ = true;
    }
    started_.store(true, std::memory_order_release);
  }

  bool arm(deadline_node* n) noexcept override {
    return timers_.arm(n, tick_after(n->deadline), [this](std::uint64_t tick) {
      if (tick >= wake_at_) return;
      wake_at_ = tick;
      changed_.notify_one();
    });
  }

  bool disarm(deadline_node* n) noexcept override { return timers_.disarm(n); }

 private:
  // A tick is 2^15 ns, 33 µs: a deadline comes late by half of that on average, and never early.
  static constexpr unsigned tick_bits = 15;

  static std::uint64_t tick_before(nanoseconds t) noexcept {
    return static_cast<std::uint64_t>(t) >> tick_bits;
  }
  static std::uint64_t tick_after(nanoseconds t) noexcept {
    return tick_before(t) + ((static_cast<std::uint64_t>(t) & ((1U << tick_bits) - 1)) != 0);
  }
  static std::chrono::steady_clock::time_point start_of(std::uint64_t tick) noexcept {
    if (tick > tick_before(no_deadline)) return std::chrono::steady_clock::time_point::max();
    return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(tick << tick_bits));
  }

  void run() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);  // signals are for the program's own threads
    prctl(PR_SET_NAME, "curfew timers");
    prctl(PR_SET_TIMERSLACK, 1UL);  // else the kernel may wake us 50 µs late, to save power
    std::unique_lock lock(timers_.mutex());
    while (!stopping_) {
      if (deadline_node* n = timers_.wheel().pop(tick_before(now()))) {
        wake_at_ = 0;  // awake: nobody needs to notify
        lock.unlock();
        expire(n);
        lock.lock();
        continue;
      }
      wake_at_ = timers_.wheel().next();
      if (wake_at_ == timer_wheel::never) {
        changed_.wait(lock);
      } else {
        changed_.wait_until(lock, start_of(wake_at_));
      }
    }
  }

  static system_source& self() noexcept { return static_cast<system_source&>(system_clock_source()); }

  void stop() noexcept {
    if (!started_.load(std::memory_order_acquire)) return;  // a forked child that has made no deadline
    {
      const std::lock_guard guard(timers_.mutex());
      stopping_ = true;
    }
    changed_.notify_one();
    if (thread_.get_id() == std::this_thread::get_id()) {
      thread_.detach();  // a callback called exit
    } else {
      thread_.join();
    }
  }

  /// In a forked child, with the lock held since before the fork: makes anew what stands for the thread and
  /// its sleep.
  void forget_thread() noexcept {
    new (&thread_) std::thread;
    new (&changed_) std::condition_variable;
    wake_at_ = 0;
    started_.store(false, std::memory_order_relaxed);
    timers_.mutex().unlock();
  }

  timer_set timers_;
  std::condition_variable changed_;
  std::uint64_t wake_at_ = 0;  // guarded by the timers' lock: when the thread will wake by itself
  bool stopping_ = false;      // guarded by the timers' lock
  bool registered_ = false;    // guarded by the timers' lock
  std::thread thread_;         // guarded by the timers' lock until it has started
  std::atomic<bool> started_{false};
};

/// A clock that moves when it is told to. A tick is a nanosecond, so deadlines come in their order.
class manual_source final : public clock_source {
 public:
  [[nodiscard]] nanoseconds now() const noexcept override { return now_.load(std::memory_order_acquire); }

  bool arm(deadline_node* n) noexcept override {
    const bool armed = timers_.arm(n, static_cast<std::uint64_t>(n->deadline), [](std::uint64_t) {});
    // The clock may have passed the deadline since the caller looked at it: then no `advance` pops it.
    if (armed && n->deadline <= now() && timers_.disarm(n)) expire(n);
    return armed;
  }

  bool disarm(deadline_node* n) noexcept override { return timers_.disarm(n); }

  void advance(nanoseconds step) noexcept {
    if (step <= 0) return;
    const std::lock_guard one_at_a_time(advancing_);
    nanoseconds target = 0;
    if (__builtin_add_overflow(now(), step, &target)) target = no_deadline - 1;
    while (deadline_node* n = pop(target)) expire(n);
  }

 private:
  deadline_node* pop(nanoseconds target) noexcept {
    const std::lock_guard guard(timers_.mutex());
    deadline_node* n = timers_.wheel().pop(static_cast<std::uint64_t>(target));
    // Under the lock, for `arm`; never back: a callback may have moved the clock beyond `target`.
    const nanoseconds reached = n != nullptr ? n->deadline : target;
    if (reached > now()) now_.store(reached, std::memory_order_release);  // pairs: now()
    return n;
  }

  timer_set timers_;
  std::recursive_mutex advancing_;  // a callback may move the clock on
  std::atomic<nanoseconds> now_{0};
};

}  // namespace

clock_source& system_clock_source() noexcept {
  alignas(system_source) static std::byte storage[sizeof(system_source)];  // never destroyed
  static auto* source = new (storage) system_source;
  return *source;
}

context make_manual_root() {
  std::ignore = background();  // fills end_codes
  return tree::adopt(new root_node(std::make_unique<manual_source>()));
}

void advance_manual_root(const context& root, clock::duration step) noexcept {
  static_cast<manual_source*>(ender_of(root)->root->clock)->advance(std::chrono::nanoseconds(step).count());
}

}  // namespace curfew::detail
