#pragma once

// What curfew/core/detail/threads.hpp gives to the tree, from the model checker. Named in
// CURFEW_THREADS_HEADER.

#include <cstddef>
#include <cstdint>

#include "model/engine.hpp"

namespace curfew::detail::threads {

template <class T>
using atomic = model::atomic<T>;

template <class T>
using plain = model::plain<T>;

struct id {
  unsigned number = model::detail::max_threads;  // no thread

  friend bool operator==(const id&, const id&) noexcept = default;
};

inline id this_thread() noexcept { return {model::this_thread()}; }

inline constexpr bool has_own_variables = false;

inline void relax(unsigned /*tries*/, unsigned /*pauses*/ = 1) noexcept { model::relax(); }

template <class Happened>
bool spin_until(Happened happened) noexcept {
  return happened();
}

inline void sleep_while(const atomic<std::uint32_t>& word, std::uint32_t value) noexcept {
  word.wait(value, std::memory_order_relaxed);
}

inline void wake(const atomic<std::uint32_t>* word) noexcept { model::notify_at(word); }

inline unsigned core() noexcept { return model::this_thread(); }

inline std::uint32_t random_below(std::uint32_t /*bound*/) noexcept { return 0; }

inline constexpr unsigned child_lists = 2;

inline bool meets_too_often() noexcept { return false; }  // cases spread nodes themselves

class waiting_room {
 public:
  template <class Changed>
  void wait(Changed changed) {
    for (;;) {
      const std::uint32_t before = told_.load();
      if (changed()) return;
      told_.wait(before);
    }
  }

  void tell() noexcept {
    told_.fetch_add(1);
    told_.notify_all();
  }

  // A room may be made once for the process, at the first need.
  static void* operator new(std::size_t size) { return model::permanent(size); }
  static void operator delete(void* /*room*/) noexcept {}

 private:
  atomic<std::uint32_t> told_{0};
};

}  // namespace curfew::detail::threads
