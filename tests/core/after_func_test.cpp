#include <curfew/core.hpp>

#include <atomic>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
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
