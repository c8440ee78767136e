#include <curfew/core/clock.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include "core/tree.hpp"

#include <atomic>
#include <cstdlib>
#include <ctime>
#include <curfew/core.hpp>
#include <functional>
#include <gtest/gtest.h>
#include <latch>
#include <memory>
#include <optional>
#include <random>
#include <tuple>
#include <vector>

// Deadlines by the system's clock. Whoever waits here waits for an end, not for a time.
namespace curfew {
namespace {

using namespace std::chrono_literals;

TEST(SystemClock, EndsAContextAtItsDeadlineAndNeverEarly) {
  std::mt19937_64 random(20240229);
  for (int i = 0; i != 100; ++i) {
    const auto timeout = std::chrono::nanoseconds(random() % 500'000);
    const auto before = clock::now();
    const auto scope = with_timeout(background(), timeout);
    ASSERT_GE(*scope.deadline(), before + timeout);
    EXPECT_EQ(scope.done().wait(), errc::deadline_exceeded);
    EXPECT_GE(clock::now(), *scope.deadline());
  }
}

TEST(SystemClock, EndsManyAtOnceEachNotEarly) {
  constexpr int count = 5000;
  std::mt19937_64 random(4711);
  std::latch all(count);
  std::atomic<int> early{0};
  struct waiting {
    cancel_scope scope;
    on_done<std::function<void()>> end;
    waiting(clock::duration timeout, std::latch& ended, std::atomic<int>& too_early)
        : scope(with_timeout(background(), timeout)),
          end(scope, [this, &ended, &too_early] {
            if (clock::now() < *scope.deadline() || scope.err() != errc::deadline_exceeded) ++too_early;
            ended.count_down();
          }) {}
  };
  std::vector<std::unique_ptr<waiting>> waiters;
  for (int i = 0; i != count; ++i) {
    waiters.push_back(std::make_unique<waiting>(std::chrono::nanoseconds(random() % 20'000'000), all, early));
  }
  all.wait();
  EXPECT_EQ(early, 0);
}

TEST(SystemClock, WakesForAnEarlierDeadlineThanTheOneItSleepsFor) {
  const auto late = with_timeout(background(), 1h);
  const auto soon = with_timeout(background(), 1ms);
  EXPECT_EQ(soon.done().wait(), errc::deadline_exceeded);
  EXPECT_FALSE(late.err());
}

TEST(SystemClock, StaysQuietUnderADeadlineAtTheEndOfTime) {
  for (const clock::duration before_the_end : {1ns, 2ns, 32767ns, 32768ns, 32769ns, 1'000'000ns}) {
    const auto far = with_deadline(background(), clock::time_point::max() - before_the_end);
    const auto began = std::clock();
    const auto soon = with_timeout(background(), 20ms);
    EXPECT_EQ(soon.done().wait(), errc::deadline_exceeded);
    EXPECT_LT(std::clock() - began, CLOCKS_PER_SEC / 100) << "busy while it should sleep";
    EXPECT_FALSE(far.err());
    EXPECT_GT(*far.remaining(), 24h * 365 * 200);
  }
}

TEST(SystemClock, TakesEveryTimeout) {
  for (const clock::duration ended : {0ns, -1ns, clock::duration::min(), clock::duration::min() + 1ns}) {
    EXPECT_EQ(with_timeout(background(), ended).err(), errc::deadline_exceeded) << ended.count();
  }
  for (const clock::duration ahead :
       {clock::duration::max(), clock::duration::max() - 1ns, clock::duration(24h * 365)}) {
    const auto scope = with_timeout(background(), ahead);
    EXPECT_FALSE(scope.err()) << ahead.count();
  }
}

TEST(SystemClock, ForgetsACanceledDeadline) {
  auto scope = with_timeout(background(), 1h);
  auto* node = static_cast<detail::deadline_node*>(detail::ender_of(scope));
  EXPECT_NE(node->timer_prev, nullptr);
  scope.cancel();
  EXPECT_EQ(node->timer_prev, nullptr);
  EXPECT_EQ(node->refs, 1U);
}

TEST(SystemClock, CanBeUsedByACallbackOfItsOwnThread) {
  std::latch done(1);
  std::optional<cancel_scope> second;
  std::optional<on_done<std::function<void()>>> again;
  const auto first = with_timeout(background(), 1ms);
  const on_done start(first, [&] {
    second.emplace(with_timeout(background(), 1ms));
    again.emplace(*second, [&] { done.count_down(); });
  });
  done.wait();
  EXPECT_EQ(second->err(), errc::deadline_exceeded);
}

TEST(SystemClock, GoesOnInAForkedChild) {
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
  GTEST_SKIP() << "ThreadSanitizer does not let a forked child start threads";
#endif
#endif
  const auto inherited =
      with_timeout(background(), 20ms);  // starts the thread, which the child does not have
  const pid_t child = ::fork();
  if (child == 0) {
    const auto own = with_timeout(background(), 1ms);
    const bool both =
        own.done().wait() == errc::deadline_exceeded && inherited.done().wait() == errc::deadline_exceeded;
    std::exit(both ? 42 : 1);  // runs what was registered to run at exit, and does not hang there
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 42) << status;
}

TEST(SystemClockDeathTest, LetsACallbackOfItsThreadExitTheProgram) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(
      {
        const auto scope = with_timeout(background(), 1ms);
        const on_done leave(scope, [] { std::exit(7); });
        std::ignore = background().done().wait();
      },
      ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace curfew
