// What inspect says against the truth that the test keeps, while tasks open, nest, are told to stop and close in several
// threads.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/inspect.hpp>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "sanitizers.hpp"

namespace curfew::inspect {
namespace {

using namespace std::chrono_literals;

constexpr task_kind working{"work"};
constexpr unsigned threads = 4;
constexpr unsigned slots = 64;  // of each thread
#ifdef CURFEW_TESTS_SANITIZED
constexpr unsigned steps = 50'000;
#else
constexpr unsigned steps = 500'000;
#endif

/// A task, and what is true of it. Its thread writes, others read.
struct slot {
  std::optional<cancel_scope> scope;
  detail::open_task task;
  bool told = false;
  // The id while it is open, and how often that has changed: odd while it changes.
  std::atomic<std::uint64_t> id{0};
};

class world {
 public:
  void work(unsigned seed) {
    std::mt19937 random(seed);
    auto& mine = of_[seed];
    for (unsigned i = 0; i != steps; ++i) {
      slot& s = mine[random() % slots];
      if (!s.scope) {
        s.scope.emplace(with_cancel(background()));
        s.told = random() % 8 == 0;
        if (s.told && random() % 2 == 0) s.scope->cancel("before");
        s.task = detail::open_task(*s.scope, working,
                                   random() % 2 == 0 ? "short" : "a name that is longer than that",
                                   std::source_location::current());
        s.id.store(detail::id_of(s.task));
        opened.fetch_add(1);
      } else if (random() % 4 == 0) {
        const detail::working_for here(s.task.ref());
        const detail::waiting_for something("something", i);
      } else {
        if (s.told) s.scope->cancel("while it works");
        s.id.store(0);
        s.task.close();
        s.scope.reset();
      }
    }
  }

  /// \return whether each open one that stays open is seen, and nothing else.
  void settle_and_compare() {
    std::map<std::uint64_t, bool> truth;
    for (auto& mine : of_) {
      for (slot& s : mine) {
        if (s.scope) truth[s.id.load()] = static_cast<bool>(s.scope->err());
      }
    }
    std::size_t seen = 0;
    each_task([&](task_info&& t) {
      const auto found = truth.find(t.id);
      EXPECT_NE(found, truth.end());
      if (found != truth.end()) {
        EXPECT_EQ(t.told.has_value(), found->second);
      }
      ++seen;
      return true;
    });
    EXPECT_EQ(seen, truth.size());
    EXPECT_EQ(count().open, truth.size());
  }

  void clear() {
    for (auto& mine : of_) {
      for (slot& s : mine) {
        s.task.close();
        s.scope.reset();
        s.id.store(0);
      }
    }
  }

  std::atomic<std::uint64_t> opened{0};

 private:
  std::array<std::array<slot, slots>, threads> of_;
};

TEST(InspectStress, SaysWhatIsTrue) {
  const auto before = count();
  std::atomic<std::uint64_t> zombies{0};
  const inspection on(inspection_options().zombie_after(1ms).on_zombie([&](const task_info&) { ++zombies; }));
  world all;
  std::atomic<bool> over{false};
  std::thread looker([&] {
    std::size_t looks = 0;
    while (!over.load()) {
      each_task([&](task_info&& t) {
        EXPECT_STREQ(t.kind, "work");
        EXPECT_TRUE(t.name == "short" || t.name == "a name that is longer than that") << t.name;
        EXPECT_NE(t.id, 0u);
        if (t.told) {
          EXPECT_EQ(t.told->err, errc::canceled);
        }
        return true;
      });
      for (const auto& z : curfew::inspect::zombies()) EXPECT_TRUE(z.told);
      for (const auto& t : last_ended(100)) EXPECT_GE(t.ended, t.opened);
      ++looks;
    }
    EXPECT_GT(looks, 0u);
  });
  std::vector<std::thread> workers;
  for (unsigned n = 0; n != threads; ++n) workers.emplace_back([&, n] { all.work(n); });
  for (auto& w : workers) w.join();
  over = true;
  looker.join();
  all.settle_and_compare();
  EXPECT_EQ(count().opened - before.opened, all.opened);
  all.clear();
  EXPECT_EQ(count().open, 0u);
  EXPECT_EQ(count().told, 0u);
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (count().zombies != 0 && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(count().zombies, 0u);
  EXPECT_GE(count().zombies_ever - before.zombies_ever, zombies);  // one that is over by then is not told
}

TEST(InspectStress, InspectionsComeAndGoWhileTasksAreOpened) {
  std::atomic<bool> over{false};
  std::vector<std::thread> workers;
  for (unsigned n = 0; n != 2; ++n) {
    workers.emplace_back([&] {
      while (!over.load()) {
        auto scope = with_cancel(background());
        const task t(scope, working, "x");
        scope.cancel();
      }
    });
  }
  for (int i = 0; i != 200; ++i) {
    std::atomic<int> spans{0};
    const inspection on(inspection_options()
                            .zombie_after(0ms)
                            .on_zombie([](const task_info&) {})
                            .on_span([&](const ended_task&) { ++spans; }));
    std::this_thread::sleep_for(1ms);
  }
  over = true;
  for (auto& w : workers) w.join();
  EXPECT_EQ(count().open, 0u);
}

}  // namespace
}  // namespace curfew::inspect
