#include <curfew/core.hpp>

#include "race.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <gtest/gtest.h>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace curfew {
namespace {

/// Keeps what is posted until it is told to run it.
struct queue {
  std::vector<std::move_only_function<void()>> posted;

  void post(std::move_only_function<void()> f) { posted.push_back(std::move(f)); }
  void run() {
    for (auto& f : std::exchange(posted, {})) f();
  }
};

struct inline_executor {
  template <class F>
  void execute(F f) const {
    f();
  }
};

TEST(AfterFunc, PostsTheFunctionAtTheEnd) {
  queue q;
  auto scope = with_cancel(background());
  int runs = 0;
  after_func(scope, &q, [&] { ++runs; });  // the handle may be dropped
  EXPECT_TRUE(q.posted.empty());
  scope.cancel();
  EXPECT_EQ(q.posted.size(), 1U);
  EXPECT_EQ(runs, 0);
  q.run();
  EXPECT_EQ(runs, 1);
}

TEST(AfterFunc, PostsAtOnceIfTheContextHasEnded) {
  auto scope = with_cancel(background());
  scope.cancel();
  int runs = 0;
  auto handle = after_func(scope, inline_executor(), [&] { ++runs; });
  EXPECT_EQ(runs, 1);
  EXPECT_FALSE(handle.stop());
}

TEST(AfterFunc, StopSaysWhetherItPreventedTheRun) {
  queue q;
  auto scope = with_cancel(background());
  int runs = 0;
  auto stopped = after_func(scope, &q, [&] { ++runs; });
  auto posted = after_func(scope, &q, [&] { ++runs; });
  EXPECT_TRUE(stopped.stop());
  EXPECT_FALSE(stopped.stop());
  scope.cancel();
  EXPECT_FALSE(posted.stop());
  q.run();
  EXPECT_EQ(runs, 1);
}

TEST(AfterFunc, DestroysTheFunctionWhenStopped) {
  auto scope = with_cancel(background());
  auto resource = std::make_shared<int>(1);
  {
    auto handle = after_func(scope, inline_executor(), [resource] {});
    EXPECT_EQ(resource.use_count(), 2);
    EXPECT_TRUE(handle.stop());
  }
  EXPECT_EQ(resource.use_count(), 1);
}

TEST(AfterFunc, OfAContextThatCannotEndIsDestroyedWithItsHandle) {
  auto resource = std::make_shared<int>(1);
  {
    auto handle = after_func(background(), inline_executor(), [resource] {});
    EXPECT_EQ(resource.use_count(), 2);
  }
  EXPECT_EQ(resource.use_count(), 1);
  {
    auto handle = after_func(background(), inline_executor(), [resource] {});
    EXPECT_TRUE(handle.stop());
  }
  EXPECT_EQ(resource.use_count(), 1);
}

TEST(AfterFunc, MayStopItselfFromTheFunction) {
  auto scope = with_cancel(background());
  std::unique_ptr<after_func_handle> handle;
  bool prevented = true;
  handle = std::make_unique<after_func_handle>(after_func(scope, inline_executor(), [&] {
    prevented = handle->stop();
    handle.reset();
  }));
  scope.cancel();
  EXPECT_FALSE(prevented);
  EXPECT_EQ(handle, nullptr);
}

// The function waits for a lock that the thread that stops it holds: the way out where an on_done would wait for
// ever.
TEST(AfterFunc, StopDoesNotWaitForAFunctionThatRuns) {
  struct shared_state {
    std::timed_mutex mutex;
    bool closed = false;
    bool seen_closed = false;
    std::latch entered{1};
  };
  auto state = std::make_shared<shared_state>();
  auto scope = with_cancel(background());
  auto handle = after_func(scope, inline_executor(), [state] {  // keeps alive what it uses
    state->entered.count_down();
    const std::unique_lock lock(state->mutex, std::chrono::seconds(30));  // rather than to hang
    if (lock) state->seen_closed = state->closed;
  });
  {
    std::unique_lock lock(state->mutex);
    std::jthread other([&] { scope.cancel(); });
    state->entered.wait();
    EXPECT_FALSE(handle.stop());
    state->closed = true;
    lock.unlock();
  }
  EXPECT_TRUE(state->seen_closed);
}

struct drop_against_run {
  cancel_scope scope = with_cancel(background());
  std::shared_ptr<int> resource = std::make_shared<int>(1);
  std::atomic<int> runs{0};
  std::optional<after_func_handle> handle;
  bool prevented = false;

  drop_against_run() {
    handle.emplace(after_func(scope, inline_executor(), [this, kept = resource] { ++runs; }));
  }
  void left() { scope.cancel(); }
  void right() {
    prevented = handle->stop();
    handle.reset();
  }
  void check() const {
    EXPECT_EQ(runs.load(), prevented ? 0 : 1);
    EXPECT_EQ(resource.use_count(), 1);
  }
};

TEST(AfterFunc, IsDestroyedOnceByWhoeverIsLast) {
  testing::hunt<drop_against_run>("stop() and the end of the handle while the function runs");
}

TEST(AfterFunc, RunsOrIsStoppedButNotBoth) {
  for (int i = 0; i != 2000; ++i) {
    auto scope = with_cancel(background());
    std::atomic<int> runs{0};
    auto handle = after_func(scope, inline_executor(), [&] { ++runs; });
    std::thread other([&] { scope.cancel(); });
    const bool prevented = handle.stop();
    other.join();
    EXPECT_EQ(runs.load(), prevented ? 0 : 1);
  }
}

}  // namespace
}  // namespace curfew
