#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>

namespace curfew::testing {

/// The seed of this run, printed with what it is for. CURFEW_SEED=<number> repeats a run.
inline std::uint64_t announce_seed(std::string_view hunted) {
  static const std::uint64_t seed = [] {
    const char* given = std::getenv("CURFEW_SEED");
    return given != nullptr ? std::stoull(given) : std::random_device{}();
  }();
  std::cout << "[   SEED   ] " << seed << ": " << hunted << std::endl;
  return seed;
}

/// Passes a random, short time without giving up the processor: mostly very short, now and then longer.
inline void dawdle(std::mt19937_64& random) {
  for (auto left = random() % (std::uint64_t{1} << random() % 12); left != 0; --left) {
    asm volatile("" ::: "memory");
  }
}

/// Where two threads wait for each other, again and again. They spin, so that they go on at the same moment.
class meeting {
 public:
  void meet() noexcept {
    const std::uint64_t complete = (arrived_.fetch_add(1, std::memory_order_acq_rel) / 2 + 1) * 2;
    for (unsigned spins = 0; arrived_.load(std::memory_order_acquire) < complete; ++spins) {
      if (spins > 5000) std::this_thread::yield();
    }
  }

 private:
  std::atomic<std::uint64_t> arrived_{0};
};

/// Says whether to go on, for as long as it was given.
class time_box {
 public:
  explicit time_box(std::chrono::milliseconds length) : end_(std::chrono::steady_clock::now() + length) {}
  [[nodiscard]] bool open() const { return std::chrono::steady_clock::now() < end_; }

 private:
  std::chrono::steady_clock::time_point end_;
};

/// Hunts one interleaving: makes a Round, lets two threads call its left() and right() at the same time, each
/// after a random short delay, and then calls its check(); again and again, for a fraction of a second, but some tens
/// of times at least, however slow the machine is.
template <class Round>
void hunt(std::string_view hunted) {
  const std::uint64_t seed = announce_seed(hunted);
  constexpr int least_rounds = 50;
  constexpr int most_rounds = 20'000;
  const time_box box(std::chrono::milliseconds(500));
  std::optional<Round> round;  // empty: no further round
  meeting both;
  std::jthread other([&] {
    std::mt19937_64 random(seed + 1);
    for (;;) {
      both.meet();
      if (!round) return;
      dawdle(random);
      round->right();
      both.meet();
    }
  });
  std::mt19937_64 random(seed);
  for (int i = 0; i != most_rounds && (i < least_rounds || box.open()); ++i) {
    round.emplace();
    both.meet();
    dawdle(random);
    round->left();
    both.meet();
    round->check();
  }
  round.reset();
  both.meet();
}

}  // namespace curfew::testing
