// The answers of threads that block are read by these, or by the client's thread.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <curfew/redis.hpp>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "race.hpp"
#include "redis/redis_fixture.hpp"

namespace curfew::redis {
namespace {

class RedisReading : public redis_test {
 protected:
  /// How often the other threads of this process have gone to sleep.
  static std::uint64_t sleeps_of_others() {
    std::uint64_t all = 0;
    const std::string mine = std::to_string(::gettid());
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      if (task.path().filename() == mine) continue;
      std::ifstream status(task.path() / "status");
      std::string name;
      for (std::uint64_t count = 0; status >> name;) {
        if (name == "voluntary_ctxt_switches:" && status >> count) all += count;
      }
    }
    return all;
  }
};

TEST_F(RedisReading, OfAThreadAloneWakesNoOther) {
  constexpr unsigned calls = 500;
  client cache(server().url());
  for (int i = 0; i != 3; ++i) ASSERT_TRUE(cache.run(patience, set("key", "value")));
  const auto before = sleeps_of_others();
  for (unsigned i = 0; i != calls; ++i) ASSERT_EQ(cache.run(patience, get("key")).value(), "value");
  EXPECT_LT(sleeps_of_others() - before, calls / 10);
}

// Each takes the answers of the others on its way, and leaves the rest to the client's thread, again and again.
TEST_F(RedisReading, OfThreadsThatComeAndGoGivesEachItsOwnAnswers) {
  constexpr unsigned threads = 3;
  constexpr unsigned calls = 700;
  const auto seed = testing::announce_seed("an answer that one thread read for another");
  client cache(server().url());
  for (unsigned key = 0; key != 10; ++key)
    ASSERT_TRUE(cache.run(patience, set(std::to_string(key), std::to_string(key))));
  std::atomic<unsigned> right{0};
  std::vector<std::thread> callers;
  for (unsigned i = 0; i != threads; ++i) {
    callers.emplace_back([&, i] {
      std::mt19937_64 random(seed + i);
      for (unsigned call = 0; call != calls; ++call) {
        const auto key = std::to_string(random() % 10);
        auto scope = with_cancel(patience);
        if (random() % 8 == 0) {  // is not waited for
          const std::jthread ends([&scope] { scope.cancel(); });
          std::ignore = cache.run(scope, get(key));
        }
        if (cache.run(patience, get(key)).value() == key) ++right;
        testing::dawdle(random);
      }
    });
  }
  for (auto& each : callers) each.join();
  EXPECT_EQ(right, threads * calls);
}

}  // namespace
}  // namespace curfew::redis
