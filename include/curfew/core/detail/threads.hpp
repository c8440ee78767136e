#pragma once

// What the tree needs of threads, in one place, so that the same sources can be compiled against another
// one: the model checker of tests/model puts its own scheduler under them by naming its header in
// CURFEW_THREADS_HEADER.

#ifdef CURFEW_THREADS_HEADER
#include CURFEW_THREADS_HEADER
#else

#include <sched.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace curfew::detail::threads {

template <class T>
using atomic = std::atomic<T>;

/// Data that a lock or a happens-before relation guards: the model checker looks for races on it.
template <class T>
using plain = T;

using id = std::thread::id;

inline id this_thread() noexcept { return std::this_thread::get_id(); }

/// Whether a thread_local variable is one for each thread.
inline constexpr bool has_own_variables = true;

/// Lets time pass for a thread that waits for another one to leave a short section. Spins, then yields,
/// then sleeps, so that a holder of lower priority is not starved.
/// \param tries   How often the caller has looked already.
/// \param pauses  How long it spins, in pause instructions: 10 to 40 ns each.
inline void relax(unsigned tries, unsigned pauses = 1) noexcept {
  if (tries < 64) {
    for (unsigned i = 0; i != pauses; ++i) {
#if defined(__x86_64__) || defined(__i386__)
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      asm volatile("isb");
#endif
    }
  } else if (tries < 256) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

/// Looks for a short time, in which a thread on another core can answer, whether something has happened: first
/// every 0.1 to 0.3 µs, since each look takes the cache line from the thread that is about to answer, then
/// after each yield.
template <class Happened>
bool spin_until(Happened happened) noexcept {
  for (unsigned tries = 0; tries != 160; ++tries) {
    if (happened()) return true;
    relax(tries, 8);
  }
  return false;
}

/// Sleeps unless `word` has another value than `value`; may return for no reason.
void sleep_while(const atomic<std::uint32_t>& word, std::uint32_t value) noexcept;

/// Wakes a thread that sleeps there. Looks at the address only: the word may no longer exist.
void wake(const atomic<std::uint32_t>* word) noexcept;

/// A small number that differs between threads that run at the same time, more often than not.
inline unsigned core() noexcept { return static_cast<unsigned>(sched_getcpu()); }

/// A number below `bound`, each as likely as the others: for a fair choice, not for secrets.
inline std::uint32_t random_below(std::uint32_t bound) noexcept {
  // xorshift64: a nanosecond. Each thread starts somewhere else.
  static thread_local std::uint64_t state = 0;
  if (state == 0) state = reinterpret_cast<std::uintptr_t>(&state) * 0x9E3779B97F4A7C15ULL | 1U;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return static_cast<std::uint32_t>(((state >> 32) * bound) >> 32);
}

/// How many of them are to be told apart among the children of one node.
inline constexpr unsigned child_lists = 8;

/// Called by a thread that has had to wait for another.
/// \return at every 16th time that it meets others where it should be made sure that it no longer does.
inline bool meets_too_often() noexcept {
  static thread_local unsigned times = 0;
  return ++times % 16 == 0;
}

/// Where threads sleep until something has changed that another thread then tells.
class waiting_room {
 public:
  template <class Changed>
  void wait(Changed changed) {
    std::unique_lock in(mutex_);
    told_.wait(in, changed);
  }

  /// After the change.
  void tell() noexcept {
    {
      const std::lock_guard in(mutex_);
    }
    told_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable told_;
};

}  // namespace curfew::detail::threads

#endif
