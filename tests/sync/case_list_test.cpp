#include "core/allocations.hpp"
#include "sync/waiting.hpp"

#include <chrono>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/sync/channel.hpp>
#include <curfew/sync/select.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <deque>
#include <gtest/gtest.h>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::await;
using testing::manual_clock;
using testing::parties_at;
using testing::receivers_at;
using testing::senders_at;

constexpr auto nothing = [] {};
constexpr auto must_not_run = [] { ADD_FAILURE() << "the handler of a case that did not happen"; };

TEST(CaseList, SelectsAmongMoreCasesThanFitOnTheStack) {
  constexpr std::size_t count = 300;
  std::deque<channel<int>> channels;
  case_list cases;
  std::vector<int> got(count);
  for (std::size_t i = 0; i != count; ++i) {
    auto& c = channels.emplace_back(1);
    cases.when(c.receiving(), [&got, i](std::optional<int> item) { got[i] += *item; });
  }
  EXPECT_EQ(cases.size(), count);
  for (std::size_t i = 0; i != count; ++i) {
    ASSERT_TRUE(channels[i].try_send(7));
    EXPECT_EQ(select(cases), i);
  }
  EXPECT_EQ(got, std::vector<int>(count, 7));
}

TEST(CaseList, WaitsForMoreCasesThanFitOnTheStackAndLeavesNone) {
  constexpr std::size_t count = 100;
  std::deque<channel<int>> channels;
  case_list cases;
  std::optional<int> got;
  for (std::size_t i = 0; i != count; ++i) {
    cases.when(channels.emplace_back().receiving(), [&](std::optional<int> item) { got = item; });
  }
  for (const std::size_t chosen : {0U, 57U, 64U, 99U}) {
    std::jthread selecting([&] { EXPECT_EQ(select(cases), chosen); });
    await([&] { return receivers_at(channels[chosen]) == 1; });
    EXPECT_TRUE(channels[chosen].try_send(static_cast<int>(chosen)));
    selecting.join();
    EXPECT_EQ(got, static_cast<int>(chosen));
    for (auto& each : channels) EXPECT_EQ(parties_at(each), 0U);
  }
}

TEST(CaseList, MayNameOneChannelOften) {
  channel<int> c;
  case_list cases;
  int calls = 0;
  for (int i = 0; i != 80; ++i) cases.when(c.receiving(), [&] { ++calls; });
  for (int round = 1; round != 5; ++round) {
    std::jthread selecting([&] { select(cases); });
    EXPECT_TRUE(c.send(background(), 1));
    selecting.join();
    EXPECT_EQ(calls, round);
    EXPECT_EQ(receivers_at(c), 0U);
  }
}

TEST(CaseList, IsSelectedFromAgainAndAgainUntilEveryChannelIsClosed) {
  std::deque<channel<int>> channels;
  case_list cases;
  std::vector<int> got;
  int ends = 0;
  for (int i = 0; i != 3; ++i) {
    cases.when(channels.emplace_back().receiving(),
               [&](std::optional<int> item) { item ? got.push_back(*item) : static_cast<void>(++ends); });
  }
  std::jthread sender([&] {
    for (int i = 0; i != 100; ++i) {
      ASSERT_TRUE(channels[static_cast<std::size_t>(i) % 3].send(background(), i));
    }
    for (auto& each : channels) each.close();
  });
  while (ends == 0) select(cases);
  ASSERT_EQ(got.size(), 100U);
  for (int i = 0; i != 100; ++i) EXPECT_EQ(got[static_cast<std::size_t>(i)], i);
}

TEST(CaseList, TakesCasesOfAllKinds) {
  manual_clock clock;
  clock.autojump();
  channel<std::string> text(1);
  channel<int> number;
  const auto scope = with_timeout(clock.background(), 2h);
  const int item = 1;
  case_list cases;
  std::vector<std::string> told;
  cases.when(number.sending(item), must_not_run)
      .when(text.receiving(), [&](std::optional<std::string> line) { told.push_back(*line); })
      .when(scope.done(), [&](std::error_code err) { told.push_back(err.message()); })
      .when(after(scope, 1h), [&] { told.emplace_back("an hour"); });
  ASSERT_TRUE(text.try_send("text"));
  EXPECT_EQ(select(cases), 1U);
  EXPECT_EQ(select(cases), 3U);
  EXPECT_EQ(select(cases), 3U) << "a point in time stays in the past";
  EXPECT_EQ(told, (std::vector<std::string>{"text", "an hour", "an hour"}));
}

TEST(CaseList, ThatIsEmptyIsRefused) {
  case_list none;
  EXPECT_EQ(none.size(), 0U);
  EXPECT_THROW(select(none), std::invalid_argument);
  EXPECT_EQ(try_select(none), std::nullopt);
}

TEST(CaseList, TriesWithoutWaiting) {
  channel<int> c;
  const int mine = 1;
  case_list cases;
  int got = 0;
  cases.when(c.sending(mine), must_not_run).when(c.receiving(), [&](std::optional<int> item) {
    got = *item;
  });
  EXPECT_EQ(try_select(cases), std::nullopt);
  EXPECT_EQ(parties_at(c), 0U);
  std::jthread sender([&] { EXPECT_TRUE(c.send(background(), 8)); });
  await([&] { return senders_at(c) == 1; });
  EXPECT_EQ(try_select(cases), 1U);
  EXPECT_EQ(got, 8);
}

TEST(CaseList, MayBeMoved) {
  channel<int> c(1);
  const int five = 5;
  case_list first;
  first.when(c.sending(five), nothing);
  case_list second = std::move(first);
  EXPECT_EQ(second.size(), 1U);
  EXPECT_EQ(select(second), 0U);
  EXPECT_EQ(c.try_receive(), 5);
}

TEST(CaseList, SendsWhatItsItemIsAtThatTime) {
  channel<std::string> c(3);
  std::string next = "one";
  case_list cases;
  cases.when(c.sending_from(next), nothing);
  select(cases);
  next = "two";  // NOLINT(bugprone-use-after-move): the case moved from it, so it may be filled again
  select(cases);
  EXPECT_EQ(c.try_receive(), "one");
  EXPECT_EQ(c.try_receive(), "two");
}

TEST(CaseList, OwnsAnItemThatIsGivenToIt) {
  channel<std::unique_ptr<std::string>> c(1);
  case_list cases;
  cases.when(c.sending(std::make_unique<std::string>(100, 'x')), nothing);
  EXPECT_EQ(try_select(cases), 0U);
  EXPECT_EQ(***c.try_receive(), std::string(100, 'x'));
}

TEST(CaseList, SendsAnItemThatItOwnsOnce) {
  channel<std::string> c(2);
  int sent = 0;
  case_list cases;
  cases.when(c.sending("only one"), [&] { ++sent; });
  EXPECT_EQ(select(cases), 0U);
  EXPECT_EQ(try_select(cases), std::nullopt);
  EXPECT_EQ(c.size(), 1U);
  cases.when(c.receiving(), nothing);
  EXPECT_EQ(select(cases), 1U);
  std::jthread sender([&] {
    await([&] { return receivers_at(c) == 1; });
    EXPECT_TRUE(c.send(background(), "of another"));
  });
  EXPECT_EQ(select(cases), 1U) << "it waits for the other case alone";
  c.close();
  EXPECT_EQ(try_select(cases), 1U) << "also where a send would be told that the channel is closed";
  EXPECT_EQ(sent, 1);
}

TEST(CaseList, SendsAnItemThatItOwnsToOneWhoWaitsOnce) {
  channel<std::string> c;
  case_list cases;
  cases.when(c.sending("only one"), nothing);
  std::string got;
  std::jthread receiver([&] { got = c.receive(background())->value(); });
  EXPECT_EQ(select(cases), 0U);
  receiver.join();
  EXPECT_EQ(got, "only one");
  receiver = std::jthread([&] { EXPECT_EQ(c.receive(background())->value(), "of another"); });
  await([&] { return receivers_at(c) == 1; });
  EXPECT_EQ(try_select(cases), std::nullopt);
  EXPECT_TRUE(c.send(background(), "of another"));
}

TEST(CaseList, MaySendAnItemThatItOwnsLater) {
  channel<std::shared_ptr<int>> c(1);
  ASSERT_TRUE(c.try_send(nullptr));
  auto item = std::make_shared<int>(1);
  const std::weak_ptr watched = item;
  {
    case_list cases;
    cases.when(c.sending(std::move(item)), nothing);
    EXPECT_EQ(try_select(cases), std::nullopt);
    EXPECT_FALSE(watched.expired());
    std::ignore = c.try_receive();
    EXPECT_EQ(try_select(cases), 0U);
    EXPECT_EQ(watched.use_count(), 1);
    std::ignore = c.try_receive();
    EXPECT_TRUE(watched.expired());
    cases.when(c.sending(std::make_shared<int>(2)), must_not_run);
  }
  EXPECT_EQ(c.size(), 0U);
}

TEST(CaseList, KeepsNoItemThatItsHandlerDidNotTake) {
  channel<std::shared_ptr<int>> c(1);
  case_list cases;
  cases.when(c.receiving(), nothing);
  auto item = std::make_shared<int>(1);
  const std::weak_ptr watched = item;
  ASSERT_TRUE(c.try_send(std::move(item)));
  select(cases);
  EXPECT_TRUE(watched.expired()) << "else it is destroyed by the next receive, under the lock of the channel";
}

TEST(CaseList, TellsTheCloseThatCameBetweenTwoSends) {
  channel<std::string> c(1);
  std::string item = "kept";
  std::vector<std::error_code> told;
  case_list cases;
  cases.when(c.sending_from(item),
             [&](const result<>& sent) { told.push_back(sent ? std::error_code() : sent.error().code()); });
  select(cases);
  c.close();
  item = "again";  // NOLINT(bugprone-use-after-move): the case moved from it, so it may be filled again
  select(cases);
  EXPECT_EQ(told, (std::vector<std::error_code>{{}, errc::closed}));
  EXPECT_EQ(item, "again");
  EXPECT_EQ(c.size(), 1U);
}

TEST(CaseList, ThatFindsNoMemoryForACaseKeepsTheOthers) {
  if (!testing::allocations_are_counted) GTEST_SKIP() << "this build keeps its own operator new";
  channel<int> c(1);
  for (std::size_t nth = 1; nth != 3; ++nth) {
    case_list cases;
    cases.when(c.receiving(), nothing);
    {
      const testing::failing_allocation fails(nth);
      EXPECT_THROW(cases.when(c.receiving(), must_not_run), std::bad_alloc);
    }
    EXPECT_EQ(cases.size(), 1U);
    ASSERT_TRUE(c.try_send(1));
    EXPECT_EQ(select(cases), 0U);
  }
}

TEST(CaseList, GrowsWithoutCopyingItselfForEachCase) {
  channel<int> c;
  case_list cases;
  for (int i = 0; i != 10; ++i) cases.when(c.receiving(), nothing);
  const testing::allocation_count all;
  for (int i = 0; i != 1000; ++i) cases.when(c.receiving(), nothing);
  EXPECT_LT(all.made(), 1100U) << "more than one allocation a case";
}

}  // namespace
}  // namespace curfew
