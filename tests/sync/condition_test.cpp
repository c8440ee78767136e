#include <curfew/sync/condition.hpp>

#include "sync/waiting_at.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <deque>
#include <gtest/gtest.h>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::await;
using testing::manual_clock;
using testing::waiting_at;

using pending = testing::pending<detail::notified>;

constexpr std::size_t nobody = 0;

/// The error of what has to have failed.
error error_of(const result<>& got) {
  if (got) throw std::runtime_error("no error");
  return got.error();
}

const auto never = [] { return false; };

// ---- waiting

TEST(Condition, EndsAWaitByANotification) {
  mutex m;
  condition changed;
  result<> got;
  bool held = false;
  std::jthread waiter([&] {
    std::unique_lock lock(m);
    got = changed.wait(background(), lock);
    held = lock.owns_lock() && lock.mutex() == &m;
  });
  await([&] { return waiting_at(changed) == 1; });
  changed.notify_one();
  waiter.join();
  EXPECT_TRUE(got);
  EXPECT_TRUE(held);
  EXPECT_TRUE(m.try_lock());
}

TEST(Condition, GivesTheLockBackWhileItWaits) {
  mutex m;
  condition changed;
  std::jthread waiter([&] {
    std::unique_lock lock(m);
    EXPECT_TRUE(changed.wait(background(), lock));
    EXPECT_FALSE(m.try_lock());
  });
  await([&] { return waiting_at(changed) == 1; });
  const std::lock_guard guard(m);
  changed.notify_one();
}

TEST(Condition, WaitsUntilThePredicateIsTrue) {
  mutex m;
  condition changed;
  int value = 0;
  int asked = 0;
  result<> got;
  std::jthread waiter([&] {
    std::unique_lock lock(m);
    got = changed.wait(background(), lock, [&] {
      EXPECT_TRUE(lock.owns_lock());
      ++asked;
      return value == 2;
    });
    EXPECT_TRUE(lock.owns_lock());
  });
  for (int i = 1; i != 3; ++i) {
    await([&] { return waiting_at(changed) == 1; });
    const std::lock_guard guard(m);
    value = i;
    changed.notify_one();
  }
  waiter.join();
  EXPECT_TRUE(got);
  EXPECT_EQ(asked, 3);
}

TEST(Condition, DoesNotWaitForWhatIsTrueAlready) {
  mutex m;
  condition changed;
  std::unique_lock lock(m);
  EXPECT_TRUE(changed.wait(background(), lock, [] { return true; }));
  EXPECT_TRUE(lock.owns_lock());
  EXPECT_EQ(waiting_at(changed), nobody);
}

TEST(Condition, LetsWhatThePredicateThrowsOut) {
  mutex m;
  condition changed;
  std::unique_lock lock(m);
  const auto throws = []() -> bool { throw std::runtime_error("no idea"); };
  EXPECT_THROW(std::ignore = changed.wait(background(), lock, throws), std::runtime_error);
  EXPECT_TRUE(lock.owns_lock());
  EXPECT_EQ(waiting_at(changed), nobody);
}

TEST(Condition, TakesAnyPredicate) {
  mutex m;
  condition changed;
  std::unique_lock lock(m);
  EXPECT_TRUE(changed.wait(background(), lock, [only = std::make_unique<bool>(true)] { return *only; }));
}

// ---- the end of the context

TEST(Condition, DoesNotWaitInAContextThatHasEnded) {
  mutex m;
  condition changed;
  auto scope = with_cancel(background());
  scope.cancel("gone home");
  std::unique_lock lock(m);
  testing::pending<detail::units_wait> other(m.locking());
  EXPECT_EQ(error_of(changed.wait(scope, lock)).message(), "wait: canceled (cause: gone home)");
  EXPECT_FALSE(other.happened()) << "the lock was given back";
  EXPECT_EQ(error_of(changed.wait(scope, lock, never)).code(), errc::canceled);
  EXPECT_TRUE(lock.owns_lock());
  EXPECT_FALSE(other.happened());
}

TEST(Condition, FindsTrueWhatIsTrueThoughTheContextHasEnded) {
  mutex m;
  condition changed;
  auto scope = with_cancel(background());
  scope.cancel();
  std::unique_lock lock(m);
  EXPECT_TRUE(changed.wait(scope, lock, [] { return true; }));
}

TEST(Condition, HoldsTheLockAgainWhenTheDeadlineEndsAWait) {
  manual_clock clock;
  clock.autojump();
  mutex m;
  condition changed;
  const auto scope = with_timeout(clock.background(), 1h, cause("report budget"));
  std::unique_lock lock(m);
  EXPECT_EQ(error_of(changed.wait(scope, lock)).message(), "wait: deadline exceeded (cause: report budget)");
  EXPECT_TRUE(lock.owns_lock());
  EXPECT_FALSE(m.try_lock());
  EXPECT_EQ(clock.now(), clock::time_point(1h));
  EXPECT_EQ(waiting_at(changed), nobody);
}

TEST(Condition, HoldsTheLockAgainWhenACancelEndsAWait) {
  mutex m;
  condition changed;
  auto scope = with_cancel(background());
  result<> got;
  bool held = false;
  std::jthread waiter([&] {
    std::unique_lock lock(m);
    got = changed.wait(scope, lock, never);
    held = lock.owns_lock();
  });
  await([&] { return waiting_at(changed) == 1; });
  scope.cancel("enough");
  waiter.join();
  EXPECT_EQ(error_of(got).cause().message(), "enough");
  EXPECT_TRUE(held);
}

TEST(Condition, WaitsForTheLockHoweverItsContextFares) {
  mutex m;
  condition changed;
  auto scope = with_cancel(background());
  std::atomic<bool> returned{false};
  std::jthread waiter([&] {
    std::unique_lock lock(m);
    EXPECT_FALSE(changed.wait(scope, lock));
    returned = true;
  });
  await([&] { return waiting_at(changed) == 1; });
  std::unique_lock lock(m);
  scope.cancel();
  await([&] { return waiting_at(m.locking()) == 1; });
  EXPECT_FALSE(returned);
  lock.unlock();
  waiter.join();
  EXPECT_TRUE(returned);
}

TEST(Condition, AsksThePredicateOnceMoreAfterTheEnd) {
  mutex m;
  condition changed;
  auto scope = with_cancel(background());
  bool ready = false;
  result<> got;
  std::jthread waiter([&] {
    std::unique_lock lock(m);
    got = changed.wait(scope, lock, [&] { return ready; });
  });
  await([&] { return waiting_at(changed) == 1; });
  {
    const std::lock_guard guard(m);
    ready = true;  // without a notification
    scope.cancel();
  }
  waiter.join();
  EXPECT_TRUE(got);
}

TEST(Condition, ReturnsNoErrorOfAContextThatEndsAfterTheNotification) {
  mutex m;
  condition changed;
  auto scope = with_cancel(background());
  result<> got = std::unexpected(error(errc::canceled));
  std::jthread waiter([&] {
    std::unique_lock lock(m);
    got = changed.wait(scope, lock);
    EXPECT_TRUE(scope.err());
  });
  await([&] { return waiting_at(changed) == 1; });
  {
    const std::lock_guard guard(m);
    changed.notify_one();
    scope.cancel();
  }
  waiter.join();
  EXPECT_TRUE(got);
}

// ---- notifying

TEST(Condition, ForgetsANotificationForNobody) {
  manual_clock clock;
  clock.autojump();
  mutex m;
  condition changed;
  changed.notify_one();
  changed.notify_all();
  const auto scope = with_timeout(clock.background(), 1s);
  std::unique_lock lock(m);
  EXPECT_EQ(error_of(changed.wait(scope, lock)).code(), errc::deadline_exceeded);
}

TEST(Condition, NotifiesWhoHasWaitedLongest) {
  condition changed;
  const pending first{detail::notified(changed)};
  const pending second{detail::notified(changed)};
  changed.notify_one();
  EXPECT_TRUE(first.happened());
  EXPECT_FALSE(second.happened());
  changed.notify_one();
  EXPECT_TRUE(second.happened());
  EXPECT_EQ(waiting_at(changed), nobody);
}

TEST(Condition, NotifiesAllWhoWaitAndNobodyWhoComesLater) {
  condition changed;
  const pending first{detail::notified(changed)};
  const pending second{detail::notified(changed)};
  changed.notify_all();
  const pending late{detail::notified(changed)};
  EXPECT_TRUE(first.happened());
  EXPECT_TRUE(second.happened());
  EXPECT_FALSE(late.happened());
}

TEST(Condition, NotifiesTheNextInThePlaceOfWhomAnEndHasReached) {
  condition changed;
  pending ended{detail::notified(changed)};
  const pending next{detail::notified(changed)};
  EXPECT_TRUE(ended.end());  // it is still in the list
  changed.notify_one();
  EXPECT_TRUE(next.happened());
  EXPECT_FALSE(ended.outcome());
  EXPECT_EQ(waiting_at(changed), nobody);
}

TEST(Condition, PassesOverAWaitWhoseContextEndedBeforeTheNotification) {
  condition changed;
  auto scope = with_cancel(background());
  pending canceled(detail::notified(changed), scope);
  const pending next(detail::notified(changed), background());
  scope.cancel();
  changed.notify_one();
  EXPECT_TRUE(next.happened());
  EXPECT_FALSE(canceled.outcome());
  changed.notify_all();
  EXPECT_FALSE(canceled.happened());
}

TEST(Condition, NotifiesWhoIsLeftWhenOthersHaveGivenUp) {
  condition changed;
  pending first{detail::notified(changed)};
  const pending second{detail::notified(changed)};
  pending third{detail::notified(changed)};
  EXPECT_TRUE(first.give_up());
  EXPECT_TRUE(third.give_up());
  changed.notify_one();
  EXPECT_TRUE(second.happened());
}

TEST(Condition, WakesAllThreads) {
  mutex m;
  condition changed;
  bool ready = false;
  int woken = 0;
  {
    std::vector<std::jthread> waiters;
    for (int i = 0; i != 4; ++i) {
      waiters.emplace_back([&] {
        std::unique_lock lock(m);
        if (changed.wait(background(), lock, [&] { return ready; })) ++woken;
      });
    }
    await([&] { return waiting_at(changed) == 4; });
    const std::lock_guard guard(m);
    ready = true;
    changed.notify_all();
  }
  EXPECT_EQ(woken, 4);
}

TEST(Condition, CarriesItemsFromThreadToThread) {
  mutex m;
  condition changed;
  std::deque<int> items;
  int sum = 0;
  {
    std::jthread consumer([&] {
      for (int i = 0; i != 1000; ++i) {
        std::unique_lock lock(m);
        if (!changed.wait(background(), lock, [&] { return !items.empty(); })) return;
        sum += items.front();
        items.pop_front();
      }
    });
    for (int i = 0; i != 1000; ++i) {
      {
        const std::lock_guard guard(m);
        items.push_back(1);
      }
      changed.notify_one();
    }
  }
  EXPECT_EQ(sum, 1000);
}

TEST(Condition, MayBeDestroyedByWhomItNotified) {
  mutex m;
  std::optional<condition> changed(std::in_place);
  std::jthread waiter([&] {
    {
      std::unique_lock lock(m);
      if (!changed->wait(background(), lock)) return;
    }
    changed.reset();
  });
  await([&] { return waiting_at(*changed) == 1; });
  changed->notify_all();
  waiter.join();
  EXPECT_FALSE(changed);
}

constinit condition from_the_beginning;

TEST(Condition, IsReadyBeforeAnyCodeRuns) { EXPECT_EQ(waiting_at(from_the_beginning), nobody); }

static_assert(!std::is_copy_constructible_v<condition>);
static_assert(!std::is_move_constructible_v<condition>, "those who wait point to it");

// ---- broken contracts

class ConditionDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(ConditionDeathTest, TerminatesWhenItWaitsWithoutTheLock) {
  EXPECT_DEATH(
      {
        mutex m;
        condition changed;
        std::unique_lock lock(m, std::defer_lock);
        std::ignore = changed.wait(background(), lock);
      },
      "curfew: broken contract: condition: wait\\(\\) without the lock held");
}

}  // namespace
}  // namespace curfew
