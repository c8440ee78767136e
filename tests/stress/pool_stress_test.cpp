// A pool under threads that take, give back, discard and cancel at random. Hunts: a canceled wait that gets its turn at
// the same moment, a thing that expires while it is taken, more things than the capacity. Prints its seed.

#include "race.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/io/pool.hpp>
#include <random>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;

constexpr int capacity = 4;

std::atomic<int> alive{0};
std::atomic<int> most{0};
std::atomic<std::uint64_t> destroyed{0};
std::atomic<std::uint64_t> made{0};

struct counted {
  bool counts = true;
  std::atomic<bool> used{false};

  counted() {
    ++made;
    const int now = ++alive;
    for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
    }
  }
  counted(counted&& other) noexcept : counts(std::exchange(other.counts, false)) {}
  counted& operator=(counted&&) = delete;
  ~counted() {
    if (!counts) return;
    std::this_thread::yield();  // while it is destroyed it is alive
    --alive;
    ++destroyed;
  }
};

TEST(PoolStress, NeverMoreThanItsCapacityAndEachThingIsDestroyedOnce) {
  const auto seed =
      testing::announce_seed("things that are taken, given back, discarded and expired at once");
  constexpr int threads = 8;
  constexpr int each = 100'000 / threads;
  std::atomic<int> shared{0};
  {
    pool<counted> things(pool_options().capacity(capacity).max_idle(3).idle_time(50us).life_time(500us),
                         [](counted& c) { return !c.used; });
    std::vector<std::thread> all;
    for (int t = 0; t < threads; ++t) {
      all.emplace_back([&, t] {
        std::mt19937_64 random(seed + static_cast<std::uint64_t>(t));
        for (int i = 0; i < each; ++i) {
          const auto scope =
              with_timeout(background(), random() % 2 == 0 ? std::chrono::microseconds(random() % 200)
                                                           : std::chrono::microseconds(10s));
          auto mine = things.acquire(scope, [&](const context&) -> result<counted> {
            if (random() % 8 == 0) return error(std::make_error_code(std::errc::connection_refused));
            return counted();
          });
          if (!mine) continue;
          if ((*mine)->used.exchange(true)) ++shared;
          if (random() % 4 == 0) std::this_thread::yield();
          (*mine)->used = false;
          if (random() % 8 == 0) mine->discard();
          if (random() % 64 == 0) things.close_idle();
        }
      });
    }
    for (auto& one : all) one.join();
    EXPECT_EQ(things.stats().waiting, 0U);
    EXPECT_LE(things.stats().idle, 3U);
  }
  while (alive != 0) std::this_thread::yield();  // one may be expiring
  EXPECT_EQ(shared, 0) << "two had the same thing";
  EXPECT_LE(most, capacity);
  EXPECT_EQ(destroyed, made);
}

}  // namespace
}  // namespace curfew
