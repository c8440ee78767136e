#include "sync/waiting.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/sync/channel.hpp>
#include <curfew/sync/drain.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <gtest/gtest.h>
#include <memory>
#include <ranges>
#include <string>
#include <thread>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::await;
using testing::receivers_at;

static_assert(std::ranges::input_range<drain<int>>);
static_assert(std::ranges::input_range<drain<std::unique_ptr<int>>>);

TEST(Drain, GivesTheItemsInOrderUntilTheChannelIsClosedAndDrained) {
  channel<int> c(1);
  std::jthread sender([&] {
    for (int i = 0; i != 100; ++i) ASSERT_TRUE(c.send(background(), i));
    c.close();
  });
  int next = 0;
  for (const int item : drain(background(), c)) EXPECT_EQ(item, next++);
  EXPECT_EQ(next, 100);
}

TEST(Drain, OfAChannelThatIsClosedAndEmptyGivesNothing) {
  channel<int> c;
  c.close();
  for (const int item : drain(background(), c)) ADD_FAILURE() << item;
}

TEST(Drain, UnderAContextThatHasEndedTakesNothing) {
  channel<int> c(1);
  ASSERT_TRUE(c.try_send(1));
  auto scope = with_cancel(background());
  scope.cancel();
  for (const int item : drain(scope, c)) ADD_FAILURE() << item;
  EXPECT_EQ(c.size(), 1U);
}

TEST(Drain, EndsWhenItsContextIsCanceledWhileItWaits) {
  channel<int> c;
  auto scope = with_cancel(background());
  std::vector<int> got;
  std::jthread receiver([&] {
    for (const int item : drain(scope, c)) got.push_back(item);
  });
  ASSERT_TRUE(c.send(background(), 1));
  await([&] { return receivers_at(c) == 1; });
  scope.cancel();
  receiver.join();
  EXPECT_EQ(got, std::vector{1});
  EXPECT_FALSE(c.closed());
  EXPECT_EQ(receivers_at(c), 0U);
}

TEST(Drain, EndsAtTheDeadlineOfItsContext) {
  testing::manual_clock clock;
  clock.autojump();
  channel<int> c(2);
  ASSERT_TRUE(c.try_send(1));
  ASSERT_TRUE(c.try_send(2));
  const auto scope = with_timeout(clock.background(), 5s);
  int sum = 0;
  for (const int item : drain(scope, c)) sum += item;
  EXPECT_EQ(sum, 3);
  EXPECT_EQ(scope.err(), errc::deadline_exceeded);
  EXPECT_EQ(clock.now(), clock::time_point(5s));
}

TEST(Drain, LeavesTheRestInTheChannelWhenItIsLeft) {
  channel<int> c(3);
  for (int i = 0; i != 3; ++i) ASSERT_TRUE(c.try_send(i));
  for (const int item : drain(background(), c)) {
    if (item == 1) break;
  }
  EXPECT_EQ(c.size(), 1U);
  EXPECT_EQ(c.try_receive(), 2);
}

TEST(Drain, GivesItemsThatCanOnlyBeMoved) {
  channel<std::unique_ptr<int>> c(3);
  for (int i = 0; i != 3; ++i) ASSERT_TRUE(c.try_send(std::make_unique<int>(i)));
  c.close();
  std::vector<std::unique_ptr<int>> kept;
  for (auto item : drain(background(), c)) kept.push_back(std::move(item));
  ASSERT_EQ(kept.size(), 3U);
  for (int i = 0; i != 3; ++i) EXPECT_EQ(*kept[static_cast<std::size_t>(i)], i);
}

TEST(Drain, MayBeSharedOutAmongThreads) {
  channel<int> c(4);
  std::atomic<int> sum{0};
  std::atomic<int> count{0};
  {
    std::vector<std::jthread> receivers;
    for (int r = 0; r != 3; ++r) {
      receivers.emplace_back([&] {
        for (const int item : drain(background(), c)) {
          sum += item;
          ++count;
        }
      });
    }
    for (int i = 1; i <= 1000; ++i) ASSERT_TRUE(c.send(background(), i));
    c.close();
  }
  EXPECT_EQ(count, 1000);
  EXPECT_EQ(sum, 1000 * 1001 / 2);
}

TEST(Drain, IsARangeForTheAlgorithmsOfTheStandard) {
  channel<std::string> c(3);
  for (const char* text : {"a", "bb", "ccc"}) ASSERT_TRUE(c.try_send(text));
  c.close();
  drain words(background(), c);
  EXPECT_EQ(std::ranges::count_if(words, [](const std::string& word) { return word.size() > 1; }), 2);
}

}  // namespace
}  // namespace curfew
