// Every kind of case of select, alone and beside the others: long, since that is a long list.
#include <curfew/sync/select.hpp>

#include "core/allocations.hpp"
#include "sync/waiting.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/sync/channel.hpp>
#include <curfew/testing.hpp>
#include <gtest/gtest.h>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::allocation_count;
using testing::await;
using testing::failing_allocation;
using testing::manual_clock;
using testing::parties_at;
using testing::receivers_at;
using testing::senders_at;

constexpr auto nothing = [] {};
constexpr auto must_not_run = [] { ADD_FAILURE() << "the handler of a case that did not happen"; };

// ---- one case happens, and its handler is told

TEST(Select, ReceivesAnItemThatIsThere) {
  channel<std::string> c(2);
  ASSERT_TRUE(c.try_send("one"));
  ASSERT_TRUE(c.try_send("two"));
  std::optional<std::string> got;
  EXPECT_EQ(select(when(c.receiving(), [&](std::optional<std::string> item) { got = std::move(item); })), 0U);
  EXPECT_EQ(got, "one");
  EXPECT_EQ(c.size(), 1U);
}

TEST(Select, SendsWhereThereIsRoom) {
  channel<std::unique_ptr<int>> c(1);
  auto item = std::make_unique<int>(3);
  bool told = false;
  EXPECT_EQ(select(when(c.sending_from(item), [&](const result<>& sent) { told = sent.has_value(); })), 0U);
  EXPECT_TRUE(told);
  EXPECT_EQ(item, nullptr);  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(***c.try_receive(), 3);
}

TEST(Select, SendsACopyOfAVariable) {
  channel<std::string> c(1);
  std::string text(100, 'x');
  auto sending = when(c.sending(text), nothing);
  text = "changed later";
  select(sending);
  EXPECT_EQ(c.try_receive(), std::string(100, 'x'));
}

TEST(Select, TellsTheEndOfAContext) {
  auto scope = with_cancel(background());
  scope.cancel();
  std::error_code told;
  EXPECT_EQ(select(when(scope.done(), [&](std::error_code err) { told = err; })), 0U);
  EXPECT_EQ(told, errc::canceled);
}

TEST(Select, CallsAHandlerThatTakesNothing) {
  channel<int> c(1);
  auto scope = with_cancel(background());
  scope.cancel();
  int calls = 0;
  const auto count = [&] { ++calls; };
  select(when(c.sending(1), count));
  select(when(c.receiving(), count));
  select(when(scope.done(), count));
  select(when(after(0s), count));
  EXPECT_EQ(calls, 4);
}

TEST(Select, TakesHandlersOfAnyFormThatFits) {
  channel<int> c(8);
  for (int i = 0; i != 5; ++i) ASSERT_TRUE(c.try_send(i));
  int sum = 0;
  select(when(c.receiving(), [&](auto item) { sum += *item; }));
  select(when(c.receiving(), [&](std::optional<int>&& item) { sum += *item; }));
  select(when(c.receiving(), [&](const std::optional<int>& item) { sum += *item; }));
  select(when(c.receiving(), [&](std::optional<long> item) { sum += static_cast<int>(*item); }));
  select(when(c.receiving(), [&, only_moved = std::make_unique<int>(10)](std::optional<int> item) mutable {
    sum += *item * *only_moved;
    only_moved.reset();
  }));
  EXPECT_EQ(sum, 0 + 1 + 2 + 3 + 4 * 10);
}

TEST(Select, HandsOverAnItemThatCanOnlyBeMoved) {
  channel<std::unique_ptr<int>> c(1);
  ASSERT_TRUE(c.try_send(std::make_unique<int>(4)));
  std::unique_ptr<int> kept;
  select(when(c.receiving(), [&](std::optional<std::unique_ptr<int>> item) { kept = std::move(*item); }));
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(*kept, 4);
}

TEST(Select, ReturnsThePlaceOfTheCaseThatHappened) {
  channel<int> never;
  for (std::size_t place = 0; place != 3; ++place) {
    std::array<channel<int>, 3> c{channel<int>(1), channel<int>(1), channel<int>(1)};
    ASSERT_TRUE(c[place].try_send(1));
    EXPECT_EQ(select(when(c[0].receiving(), nothing), when(c[1].receiving(), nothing),
                     when(c[2].receiving(), nothing), when(never.receiving(), must_not_run)),
              place);
  }
}

TEST(Select, WaitsForAReceiver) {
  channel<std::unique_ptr<int>> c;
  int got = 0;
  std::jthread receiver([&] { got = ***c.receive(background()); });
  auto item = std::make_unique<int>(5);
  EXPECT_EQ(select(when(c.sending_from(item), [](const result<>& sent) { EXPECT_TRUE(sent); })), 0U);
  receiver.join();
  EXPECT_EQ(got, 5);
}

TEST(Select, WaitsForASender) {
  channel<int> a;
  channel<int> b;
  std::optional<int> got;
  std::jthread selecting([&] {
    EXPECT_EQ(select(when(a.receiving(), must_not_run),
                     when(b.receiving(), [&](std::optional<int> item) { got = item; })),
              1U);
  });
  await([&] { return receivers_at(a) == 1 && receivers_at(b) == 1; });
  EXPECT_TRUE(b.try_send(6));
  selecting.join();
  EXPECT_EQ(got, 6);
}

TEST(Select, WaitsForTheEndOfAContext) {
  channel<int> c;
  auto scope = with_cancel(background());
  std::error_code told;
  std::jthread selecting([&] {
    EXPECT_EQ(select(when(c.receiving(), must_not_run), when(c.sending(1), must_not_run),
                     when(scope.done(), [&](std::error_code err) { told = err; })),
              2U);
  });
  await([&] { return receivers_at(c) == 1; });
  scope.cancel();
  selecting.join();
  EXPECT_EQ(told, errc::canceled);
  EXPECT_EQ(parties_at(c), 0U);
}

TEST(Select, RunsTheHandlerInTheThreadThatSelects) {
  channel<int> c;
  std::thread::id ran_in;
  std::jthread selecting([&] { select(when(c.receiving(), [&] { ran_in = std::this_thread::get_id(); })); });
  const auto expected = selecting.get_id();
  await([&] { return receivers_at(c) == 1; });
  EXPECT_TRUE(c.try_send(1));
  selecting.join();
  EXPECT_EQ(ran_in, expected);
}

TEST(Select, ShowsTheReceiverWhatWasDoneBeforeTheSend) {
  channel<int> c;
  int plain = 0;
  std::jthread sender([&] {
    plain = 42;
    select(when(c.sending(1), nothing));
  });
  select(when(c.receiving(), [&] { EXPECT_EQ(plain, 42); }));
}

TEST(Select, MayBeMadeOfCasesThatAreKept) {
  channel<int> a(4);
  channel<int> b;
  std::vector<int> got;
  auto receiving = when(a.receiving(), [&](std::optional<int> item) { got.push_back(*item); });
  auto other = when(b.receiving(), must_not_run);
  for (int i = 0; i != 3; ++i) ASSERT_TRUE(a.try_send(i));
  for (int i = 0; i != 3; ++i) EXPECT_EQ(select(other, receiving), 1U);
  EXPECT_EQ(got, (std::vector{0, 1, 2}));
}

// ---- the others leave no trace

TEST(Select, TakesFromOneOfSeveralThatAreReady) {
  for (int round = 0; round != 100; ++round) {
    channel<int> a(1);
    channel<int> b(1);
    channel<int> c(1);
    ASSERT_TRUE(a.try_send(1));
    ASSERT_TRUE(b.try_send(1));
    int calls = 0;
    const auto count = [&] { ++calls; };
    const std::size_t which =
        select(when(a.receiving(), count), when(b.receiving(), count), when(c.sending(1), count));
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(a.size(), which == 0 ? 0U : 1U);
    EXPECT_EQ(b.size(), which == 1 ? 0U : 1U);
    EXPECT_EQ(c.size(), which == 2 ? 1U : 0U);
    EXPECT_EQ(parties_at(a) + parties_at(b) + parties_at(c), 0U);
  }
}

TEST(Select, MovesFromTheItemOfTheCaseThatHappenedAlone) {
  channel<std::unique_ptr<int>> a(1);
  channel<std::unique_ptr<int>> b(1);
  auto for_a = std::make_unique<int>(1);
  auto for_b = std::make_unique<int>(2);
  const std::size_t which =
      select(when(a.sending_from(for_a), nothing), when(b.sending_from(for_b), nothing));
  EXPECT_EQ(for_a == nullptr, which == 0);  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(for_b == nullptr, which == 1);  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(a.size(), which == 0 ? 1U : 0U);
  EXPECT_EQ(b.size(), which == 1 ? 1U : 0U);
}

TEST(Select, LeavesNoPartyBehindInTheOtherChannels) {
  channel<int> in;
  channel<int> other_in;
  channel<int> full(1);
  channel<std::unique_ptr<int>> handed_over;
  ASSERT_TRUE(full.try_send(0));
  auto kept = std::make_unique<int>(1);
  auto scope = with_cancel(background());
  std::jthread selecting([&] {
    EXPECT_EQ(select(when(other_in.receiving(), must_not_run), when(in.receiving(), nothing),
                     when(full.sending(1), must_not_run), when(handed_over.sending_from(kept), must_not_run),
                     when(scope.done(), must_not_run), when(after(scope, 1h), must_not_run)),
              1U);
  });
  await([&] { return senders_at(handed_over) == 1; });
  EXPECT_EQ(receivers_at(other_in), 1U);
  EXPECT_EQ(senders_at(full), 1U);
  ASSERT_TRUE(in.try_send(1));
  selecting.join();
  EXPECT_EQ(parties_at(in) + parties_at(other_in) + parties_at(full) + parties_at(handed_over), 0U);
  ASSERT_NE(kept, nullptr);  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_FALSE(other_in.try_send(1)) << "nothing waits there any more";
  EXPECT_FALSE(in.try_send(1));
  EXPECT_FALSE(handed_over.try_receive());
  EXPECT_EQ(full.try_receive(), 0);
  EXPECT_FALSE(full.try_receive());
}

TEST(Select, ThatHasReturnedIsNotGivenALaterItem) {
  channel<int> a;
  channel<int> b;
  for (int round = 0; round != 200; ++round) {
    std::jthread sender([&] { EXPECT_TRUE(a.send(background(), 1)); });
    select(when(a.receiving(), nothing), when(b.receiving(), must_not_run));
    EXPECT_FALSE(b.try_send(2));
    EXPECT_FALSE(a.try_send(3));
  }
}

TEST(Select, KeepsNothingOfItsContextsAndItems) {
  constexpr key<std::shared_ptr<int>> token{"token"};
  auto alive = std::make_shared<int>(1);
  const std::weak_ptr watched = alive;
  channel<std::shared_ptr<int>> c(1);
  select(when(with_value(background(), token, std::exchange(alive, nullptr)).done(), must_not_run),
         when(after(0s), nothing));
  EXPECT_TRUE(watched.expired());
  alive = std::make_shared<int>(2);
  const std::weak_ptr watched_too = alive;
  select(when(c.sending_from(alive), nothing));
  select(when(c.receiving(), nothing));
  EXPECT_TRUE(watched_too.expired());
}

TEST(Select, ServesPlainPartiesAndSelectsInTheOrderOfTheirComing) {
  channel<int> c;
  channel<int> other;
  std::array<int, 3> got{};
  {
    std::vector<std::jthread> receivers;
    receivers.emplace_back([&] { got[0] = **c.receive(background()); });
    await([&] { return receivers_at(c) == 1; });
    receivers.emplace_back([&] {
      select(when(other.receiving(), must_not_run),
             when(c.receiving(), [&](std::optional<int> item) { got[1] = *item; }));
    });
    await([&] { return receivers_at(c) == 2; });
    receivers.emplace_back([&] { got[2] = **c.receive(background()); });
    await([&] { return receivers_at(c) == 3; });
    for (int i = 1; i != 4; ++i) EXPECT_TRUE(c.try_send(i));
  }
  EXPECT_EQ(got, (std::array{1, 2, 3}));
}

// ---- the choice among those that can happen

/// The bounds are eight standard deviations wide: a fair choice misses them once in 10^15 runs.
void expect_about(int times, int rounds, int of) {
  const double expected = static_cast<double>(rounds) / of;
  const double deviation = std::sqrt(expected * (of - 1) / of);
  EXPECT_NEAR(times, expected, 8 * deviation);
}

TEST(SelectChoice, IsFairAmongTwoThatAreReady) {
  constexpr int rounds = 4000;
  channel<int> a(1);
  channel<int> b(1);
  std::array<int, 2> times{};
  for (int i = 0; i != rounds; ++i) {
    std::ignore = a.try_send(1);
    std::ignore = b.try_send(1);
    ++times[select(when(a.receiving(), nothing), when(b.receiving(), nothing))];
  }
  for (const int each : times) expect_about(each, rounds, 2);
}

TEST(SelectChoice, IsFairAmongCasesOfAllKinds) {
  constexpr int rounds = 12'000;
  channel<int> full(1);
  channel<int> empty(1);
  channel<int> closed;
  closed.close();
  channel<int> never;
  auto ended = with_cancel(background());
  ended.cancel();
  std::array<int, 8> times{};
  for (int i = 0; i != rounds; ++i) {
    std::ignore = full.try_send(1);
    std::ignore = empty.try_receive();
    ++times[select(when(full.receiving(), nothing), when(never.receiving(), must_not_run),
                   when(empty.sending(1), nothing), when(closed.receiving(), nothing),
                   when(closed.sending(1), nothing), when(ended.done(), nothing), when(after(0s), nothing),
                   when(never.sending(1), must_not_run))];
  }
  EXPECT_EQ(times[1] + times[7], 0);
  for (const std::size_t ready : {0U, 2U, 3U, 4U, 5U, 6U}) expect_about(times[ready], rounds, 6);
}

TEST(SelectChoice, IsFairBeforeOtherwiseAndInACaseList) {
  constexpr int rounds = 6000;
  std::array<channel<int>, 3> c{channel<int>(1), channel<int>(1), channel<int>(1)};
  std::array<int, 4> in_select{};
  std::array<int, 3> in_list{};
  std::array<int, 3> in_try{};
  case_list cases;
  for (auto& each : c) cases.when(each.receiving(), nothing);
  const auto fill = [&] {
    for (auto& each : c) std::ignore = each.try_send(1);
  };
  for (int i = 0; i != rounds; ++i) {
    fill();
    ++in_select[select(when(c[0].receiving(), nothing), when(c[1].receiving(), nothing),
                       when(c[2].receiving(), nothing), otherwise(must_not_run))];
    fill();
    ++in_list[select(cases)];
    fill();
    ++in_try[try_select(cases).value()];
  }
  for (std::size_t i = 0; i != 3; ++i) {
    expect_about(in_select[i], rounds, 3);
    expect_about(in_list[i], rounds, 3);
    expect_about(in_try[i], rounds, 3);
  }
}

TEST(SelectChoice, DoesNotStarveTheEndOfAContextBesideABusyChannel) {
  channel<int> c(1);
  auto scope = with_cancel(background());
  scope.cancel();
  int items = 0;
  bool stop = false;
  while (!stop) {
    std::ignore = c.try_send(1);
    select(when(c.receiving(), [&] { ++items; }), when(scope.done(), [&] { stop = true; }));
    ASSERT_LT(items, 1000);
  }
}

// ---- one channel in several cases

TEST(SelectOneChannel, InSeveralReceivingCasesGivesOneItemToOne) {
  channel<int> c(2);
  ASSERT_TRUE(c.try_send(1));
  ASSERT_TRUE(c.try_send(2));
  int calls = 0;
  const auto count = [&](std::optional<int> item) {
    ++calls;
    EXPECT_EQ(item, 1);
  };
  select(when(c.receiving(), count), when(c.receiving(), count), when(c.receiving(), count));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(c.size(), 1U);
}

TEST(SelectOneChannel, InSeveralCasesThatWaitLeavesNone) {
  channel<int> c;
  int calls = 0;
  const auto count = [&] { ++calls; };
  std::jthread selecting(
      [&] { select(when(c.receiving(), count), when(c.receiving(), count), when(c.receiving(), count)); });
  await([&] { return receivers_at(c) == 3; });
  EXPECT_TRUE(c.try_send(1));
  EXPECT_FALSE(c.try_send(2)) << "three cases, but one receiver";
  selecting.join();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(receivers_at(c), 0U);
}

TEST(SelectOneChannel, InSeveralSendingCasesSendsOneItem) {
  channel<int> c;
  std::jthread selecting([&] {
    const std::size_t which = select(when(c.sending(0), nothing), when(c.sending(1), nothing));
    EXPECT_EQ(which, 0U) << "the first that came is served first";
  });
  await([&] { return senders_at(c) == 2; });
  EXPECT_EQ(c.try_receive(), 0);
  EXPECT_FALSE(c.try_receive());
  selecting.join();
  EXPECT_EQ(senders_at(c), 0U);
}

TEST(SelectOneChannel, DoesNotReceiveFromItself) {
  channel<int> c;
  EXPECT_EQ(select(when(c.sending(1), must_not_run), when(c.receiving(), must_not_run), otherwise(nothing)),
            2U);
  manual_clock clock;
  clock.autojump();
  const auto scope = with_timeout(clock.background(), 1h);
  EXPECT_EQ(select(when(c.sending(1), must_not_run), when(c.receiving(), must_not_run),
                   when(scope.done(), nothing)),
            2U);
  EXPECT_EQ(parties_at(c), 0U);
}

TEST(SelectOneChannel, OnBothSidesMeetsAReceiver) {
  channel<int> c;
  std::jthread selecting(
      [&] { EXPECT_EQ(select(when(c.receiving(), must_not_run), when(c.sending(1), nothing)), 1U); });
  EXPECT_EQ(c.receive(background()), 1);
  selecting.join();
  EXPECT_EQ(parties_at(c), 0U);
}

TEST(SelectOneChannel, OnBothSidesMeetsASender) {
  channel<int> c;
  std::jthread selecting([&] {
    EXPECT_EQ(select(when(c.sending(1), must_not_run),
                     when(c.receiving(), [](std::optional<int> item) { EXPECT_EQ(item, 2); })),
              1U);
  });
  EXPECT_TRUE(c.send(background(), 2));
  selecting.join();
  EXPECT_EQ(parties_at(c), 0U);
}

TEST(SelectOneChannel, OnBothSidesOfABufferDoesEitherAsItCan) {
  channel<int> c(1);
  EXPECT_EQ(select(when(c.receiving(), must_not_run), when(c.sending(1), nothing)), 1U);
  EXPECT_EQ(select(when(c.receiving(), nothing), when(c.sending(1), must_not_run)), 0U);
  EXPECT_EQ(c.size(), 0U);
}

TEST(SelectOneChannel, TwoSelectsWithBothSidesMeet) {
  for (int round = 0; round != 200; ++round) {
    channel<int> c;
    std::atomic<int> sent{0};
    std::atomic<int> received{0};
    const auto either = [&](int mine) {
      select(when(c.sending(int(mine)), [&] { sent += mine; }),
             when(c.receiving(), [&](std::optional<int> item) { received += *item; }));
    };
    std::jthread other([&] { either(1); });
    either(2);
    other.join();
    EXPECT_EQ(sent, received);
    EXPECT_TRUE(sent == 1 || sent == 2);
  }
}

// ---- otherwise

TEST(SelectOtherwise, HappensWhereNothingElseCan) {
  channel<int> c;
  const auto scope = with_cancel(background());
  bool happened = false;
  EXPECT_EQ(select(when(c.receiving(), must_not_run), when(c.sending(1), must_not_run),
                   when(scope.done(), must_not_run), when(after(1h), must_not_run),
                   otherwise([&] { happened = true; })),
            4U);
  EXPECT_TRUE(happened);
  EXPECT_EQ(parties_at(c), 0U);
}

TEST(SelectOtherwise, DoesNotHappenWhereSomethingElseCan) {
  channel<int> c(1);
  auto scope = with_cancel(background());
  EXPECT_EQ(select(when(c.receiving(), must_not_run), when(c.sending(1), nothing), otherwise(must_not_run)),
            1U);
  EXPECT_EQ(select(when(c.receiving(), nothing), when(c.sending(1), must_not_run), otherwise(must_not_run)),
            0U);
  scope.cancel();
  EXPECT_EQ(select(when(scope.done(), nothing), otherwise(must_not_run)), 0U);
  EXPECT_EQ(select(when(after(0s), nothing), otherwise(must_not_run)), 0U);
  EXPECT_EQ(select(when(after(-1h), nothing), otherwise(must_not_run)), 0U);
}

TEST(SelectOtherwise, TakesFromAPartyThatWaits) {
  channel<int> c;
  {
    std::jthread sender([&] { EXPECT_TRUE(c.send(background(), 1)); });
    await([&] { return senders_at(c) == 1; });
    EXPECT_EQ(select(when(c.receiving(), nothing), otherwise(must_not_run)), 0U);
  }
  std::jthread receiver([&] { EXPECT_EQ(c.receive(background()), 2); });
  await([&] { return receivers_at(c) == 1; });
  EXPECT_EQ(select(when(c.sending(2), nothing), otherwise(must_not_run)), 0U);
}

TEST(SelectOtherwise, MayStandAlone) {
  bool happened = false;
  EXPECT_EQ(select(otherwise([&] { happened = true; })), 0U);
  EXPECT_TRUE(happened);
}

TEST(SelectOtherwise, KeepsTheItemThatWasNotSent) {
  channel<std::unique_ptr<int>> c;
  auto item = std::make_unique<int>(1);
  EXPECT_EQ(select(when(c.sending_from(item), must_not_run), otherwise(nothing)), 1U);
  EXPECT_NE(item, nullptr);  // NOLINT(bugprone-use-after-move): that is what is tested
}

// ---- time and contexts

TEST(SelectAfter, HappensWhenItsTimeHasCome) {
  manual_clock clock;
  clock.autojump();
  channel<int> c;
  EXPECT_EQ(select(when(c.receiving(), must_not_run), when(after(clock.background(), 3s), nothing),
                   when(after(clock.background(), 1h), must_not_run)),
            1U);
  EXPECT_EQ(clock.now(), clock::time_point(3s));
  EXPECT_FALSE(clock.advance_to_next()) << "no timer is left";
  EXPECT_EQ(parties_at(c), 0U);
}

TEST(SelectAfter, CountsFromItsOwnCall) {
  manual_clock clock;
  auto timeout = after(clock.background(), 3s);
  clock.advance(3s - 1ns);
  auto late = when(std::move(timeout), nothing);
  EXPECT_EQ(select(late, otherwise(nothing)), 1U);
  clock.advance(1ns);
  EXPECT_EQ(select(late, otherwise(must_not_run)), 0U);
  EXPECT_EQ(select(late), 0U) << "it stays so";
}

TEST(SelectAfter, IsOnTheClockOfItsContextAndDoesNotEndWithIt) {
  manual_clock clock;
  clock.autojump();
  auto scope = with_cancel(clock.background());
  auto timeout = after(scope, 3s);
  scope.cancel();
  EXPECT_EQ(select(when(std::move(timeout), nothing)), 0U);
  EXPECT_EQ(clock.now(), clock::time_point(3s));
}

TEST(SelectAfter, OfTheLongestTimeDoesNotOverflow) {
  manual_clock clock;
  clock.advance(1h);
  channel<int> c(1);
  ASSERT_TRUE(c.try_send(1));
  EXPECT_EQ(select(when(after(clock.background(), clock::duration::max()), must_not_run),
                   when(after(clock::duration::max()), must_not_run), when(c.receiving(), nothing)),
            2U);
  EXPECT_EQ(select(when(after(clock.background(), clock::duration::min()), nothing)), 0U);
  EXPECT_EQ(select(when(after(clock::duration::min()), nothing)), 0U);
}

TEST(SelectAfter, OfTheLongestTimeMayBeWaitedFor) {
  channel<int> c;
  std::jthread selecting([&] {
    EXPECT_EQ(select(when(after(clock::duration::max()), must_not_run), when(c.receiving(), nothing)), 1U);
  });
  await([&] { return receivers_at(c) == 1; });
  EXPECT_TRUE(c.try_send(1));
}

TEST(SelectAfter, IsOnTheSystemsClockWithoutAContext) {
  const auto began = clock::now();
  channel<int> c;
  EXPECT_EQ(select(when(c.receiving(), must_not_run), when(after(2ms), nothing)), 1U);
  EXPECT_GE(clock::now() - began, 2ms);
}

TEST(SelectAfter, PassesNoTimeWhileAnotherPartyCanGoOn) {
  manual_clock clock;
  clock.autojump();
  channel<int> c;
  testing::thread sender(clock, [&] {
    for (int i = 0; i != 20; ++i) EXPECT_EQ(select(when(c.sending(1), nothing)), 0U);
    EXPECT_EQ(select(when(after(clock.background(), 1s), nothing)), 0U);
    EXPECT_EQ(with_timeout(clock.background(), 1h).done().wait(), errc::deadline_exceeded);
  });
  for (int i = 0; i != 20; ++i) {
    EXPECT_EQ(select(when(c.receiving(), nothing), when(after(clock.background(), 1min), must_not_run)), 0U);
    EXPECT_EQ(clock.now(), clock::time_point());
  }
  EXPECT_EQ(select(when(c.receiving(), must_not_run), when(after(clock.background(), 1min), nothing)), 1U);
  EXPECT_EQ(clock.now(), clock::time_point(1min));
}

TEST(SelectDone, TellsWhichOfSeveralContextsEndedAndHow) {
  manual_clock clock;
  clock.autojump();
  const auto slow = with_timeout(clock.background(), 2s);
  const auto fast = with_timeout(clock.background(), 1s, "budget");
  std::error_code told;
  EXPECT_EQ(
      select(when(slow.done(), must_not_run), when(fast.done(), [&](std::error_code err) { told = err; }),
             when(clock.background().done(), must_not_run)),
      1U);
  EXPECT_EQ(told, errc::deadline_exceeded);
  EXPECT_FALSE(slow.err());
}

TEST(SelectDone, OfParentAndChildEndsWithEither) {
  auto parent = with_cancel(background());
  auto child = with_cancel(parent);
  child.cancel();
  EXPECT_EQ(select(when(parent.done(), must_not_run), when(child.done(), nothing)), 1U);
  parent.cancel();
  std::array<int, 2> times{};
  for (int i = 0; i != 200; ++i) ++times[select(when(parent.done(), nothing), when(child.done(), nothing))];
  EXPECT_GT(times[0], 0);
  EXPECT_GT(times[1], 0);
}

TEST(SelectDone, OfOneContextInSeveralCasesHappensOnce) {
  auto scope = with_cancel(background());
  channel<int> c;
  int calls = 0;
  const auto count = [&] { ++calls; };
  std::jthread selecting([&] {
    select(when(scope.done(), count), when(scope.done(), count), when(c.receiving(), must_not_run));
  });
  await([&] { return receivers_at(c) == 1; });
  scope.cancel();
  selecting.join();
  EXPECT_EQ(calls, 1);
}

TEST(SelectDone, KeepsTheContextForAsLongAsItWaits) {
  manual_clock clock;
  clock.autojump();
  auto scope = std::make_unique<cancel_scope>(with_timeout(clock.background(), 1h));
  auto ended = when(scope->done(), [](std::error_code err) { EXPECT_EQ(err, errc::canceled); });
  scope.reset();
  EXPECT_EQ(select(ended), 0U);
}

TEST(SelectDone, IsRunByADeadlineWhileOthersWaitToo) {
  manual_clock clock;
  channel<int> c;
  const auto scope = with_timeout(clock.background(), 1s);
  std::atomic<int> ended{0};
  {
    std::vector<std::jthread> selecting;
    for (int i = 0; i != 4; ++i) {
      selecting.emplace_back([&] {
        select(when(c.receiving(), must_not_run), when(scope.done(), [&](std::error_code err) {
                 ended += err == errc::deadline_exceeded ? 1 : 0;
               }));
      });
    }
    await([&] { return receivers_at(c) == 4; });
    clock.advance(1s);
  }
  EXPECT_EQ(ended, 4);
  EXPECT_EQ(receivers_at(c), 0U);
}

// ---- handlers

TEST(SelectHandler, MayThrowAndTheItemHasBeenTaken) {
  channel<int> a(1);
  channel<int> b;
  ASSERT_TRUE(a.try_send(1));
  EXPECT_THROW(
      select(when(a.receiving(), [] { throw std::runtime_error("no"); }), when(b.receiving(), must_not_run)),
      std::runtime_error);
  EXPECT_EQ(a.size(), 0U);
  std::jthread sender([&] { EXPECT_TRUE(a.send(background(), 2)); });
  sender.join();
  std::jthread waited([&] {
    EXPECT_THROW(select(when(b.receiving(), [](std::optional<int>) { throw std::runtime_error("no"); })),
                 std::runtime_error);
  });
  EXPECT_TRUE(b.send(background(), 3));
  waited.join();
  EXPECT_EQ(parties_at(a) + parties_at(b), 0U);
}

TEST(SelectHandler, OfOtherwiseMayThrow) {
  channel<int> c;
  EXPECT_THROW(select(when(c.receiving(), must_not_run), otherwise([] { throw std::runtime_error("no"); })),
               std::runtime_error);
  EXPECT_EQ(parties_at(c), 0U);
}

TEST(SelectHandler, MaySelectAgainFromTheSameChannels) {
  channel<int> a(3);
  channel<int> b(3);
  for (int i = 1; i != 4; ++i) ASSERT_TRUE(a.try_send(i));
  std::vector<int> got;
  select(when(b.receiving(), must_not_run), when(a.receiving(), [&](std::optional<int> outer) {
           select(when(a.receiving(), [&](std::optional<int> inner) {
             select(when(b.sending(*outer * 10 + *inner), nothing));
             select(when(b.receiving(), [&](std::optional<int> item) { got.push_back(*item); }));
           }));
         }));
  EXPECT_EQ(got, std::vector{12});
  EXPECT_EQ(a.size(), 1U);
}

TEST(SelectHandler, MaySelectAgainFromTheListThatItIsIn) {
  channel<int> c(5);
  for (int i = 0; i != 5; ++i) ASSERT_TRUE(c.try_send(i));
  case_list cases;
  std::vector<int> got;
  cases.when(c.receiving(), [&](std::optional<int> item) {
    got.push_back(*item);
    if (c.size() != 0) select(cases);
  });
  select(cases);
  EXPECT_EQ(got, (std::vector{0, 1, 2, 3, 4}));
}

TEST(SelectHandler, MayUseAndCloseTheChannel) {
  channel<int> c(1);
  select(when(c.sending(1), [&](const result<>& sent) {
    EXPECT_TRUE(sent);
    EXPECT_EQ(c.size(), 1U);
    EXPECT_EQ(c.try_receive(), 1);
    c.close();
  }));
  EXPECT_TRUE(c.closed());
}

TEST(SelectHandler, MayDestroyTheChannels) {
  auto a = std::make_unique<channel<int>>(1);
  auto b = std::make_unique<channel<int>>();
  std::jthread sender([&a = *a] { EXPECT_TRUE(a.send(background(), 1)); });
  sender.join();
  select(when(b->receiving(), must_not_run), when(a->receiving(), [&](std::optional<int> item) {
           a.reset();
           b.reset();
           EXPECT_EQ(item, 1);
         }));
  EXPECT_EQ(a, nullptr);
}

TEST(SelectHandler, MayCancelTheContextsOfTheOtherCases) {
  channel<int> c(1);
  ASSERT_TRUE(c.try_send(1));
  auto scope = with_cancel(background());
  select(when(scope.done(), must_not_run), when(c.receiving(), [&] { scope.cancel(); }));
  EXPECT_EQ(scope.err(), errc::canceled);
}

// ---- closed channels

TEST(SelectClosed, ReceivesWhatIsLeftAndThenNone) {
  channel<int> c(1);
  ASSERT_TRUE(c.try_send(1));
  c.close();
  std::vector<std::optional<int>> got;
  const auto keep = [&](std::optional<int> item) { got.push_back(item); };
  select(when(c.receiving(), keep));
  select(when(c.receiving(), keep));
  EXPECT_EQ(got, (std::vector<std::optional<int>>{1, std::nullopt}));
}

TEST(SelectClosed, TellsTheHandlerOfASend) {
  channel<std::unique_ptr<int>> c(1);
  c.close();
  auto item = std::make_unique<int>(1);
  result<> told;
  EXPECT_EQ(select(when(c.sending_from(item), [&](result<> sent) { told = std::move(sent); })), 0U);
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error(), errc::closed);
  EXPECT_NE(item, nullptr);  // NOLINT(bugprone-use-after-move): that is what is tested
  bool called = false;
  EXPECT_EQ(select(when(c.sending_from(item), [&] { called = true; }), otherwise(must_not_run)), 0U);
  EXPECT_TRUE(called) << "it happens for a handler that takes nothing as well";
  EXPECT_NE(item, nullptr);  // NOLINT(bugprone-use-after-move): that is what is tested
}

TEST(SelectClosed, TellsASelectThatWaitsToReceive) {
  channel<int> c;
  channel<int> other;
  std::jthread selecting([&] {
    EXPECT_EQ(select(when(other.receiving(), must_not_run),
                     when(c.receiving(), [](std::optional<int> item) { EXPECT_FALSE(item); })),
              1U);
  });
  await([&] { return receivers_at(c) == 1; });
  c.close();
  selecting.join();
  EXPECT_EQ(parties_at(other) + parties_at(c), 0U);
}

TEST(SelectClosed, TellsASelectThatWaitsToSendWhichKeepsItsItem) {
  channel<std::unique_ptr<int>> c;
  channel<int> other;
  auto item = std::make_unique<int>(1);
  std::jthread selecting([&] {
    EXPECT_EQ(select(when(other.receiving(), must_not_run), when(c.sending_from(item),
                                                                 [](const result<>& sent) {
                                                                   ASSERT_FALSE(sent);
                                                                   EXPECT_EQ(sent.error(), errc::closed);
                                                                 })),
              1U);
  });
  await([&] { return senders_at(c) == 1; });
  c.close();
  selecting.join();
  EXPECT_NE(item, nullptr);  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(parties_at(other) + parties_at(c), 0U);
}

TEST(SelectClosed, TellsASelectOnBothSidesOnce) {
  channel<int> c;
  int calls = 0;
  const auto count = [&] { ++calls; };
  std::jthread selecting([&] { select(when(c.receiving(), count), when(c.sending(1), count)); });
  await([&] { return parties_at(c) == 2; });
  c.close();
  selecting.join();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(parties_at(c), 0U);
}

// ---- memory

template <std::size_t... I>
void select_of_all(std::array<channel<int>, sizeof...(I)>& c, std::index_sequence<I...> /*all*/) {
  select(when(c[I].receiving(), nothing)...);
}

TEST(SelectMemory, OfUpTo64CasesIsOnTheStack) {
  std::array<channel<int>, 64> c;
  std::size_t made = 1;
  std::jthread selecting([&] {
    const allocation_count all;
    select_of_all(c, std::make_index_sequence<64>());
    made = all.made();
  });
  await([&] { return receivers_at(c[63]) == 1; });
  EXPECT_TRUE(c[63].try_send(1));
  selecting.join();
  EXPECT_EQ(made, 0U);
}

TEST(SelectMemory, WhereThereIsNoneForATimerNothingHasHappened) {
  if (!testing::allocations_are_counted) GTEST_SKIP() << "this build keeps its own operator new";
  manual_clock clock;
  channel<int> a;
  channel<int> b;
  const auto scope = with_cancel(clock.background());
  for (std::size_t nth = 1; nth != 3; ++nth) {
    auto first = when(after(clock.background(), 1h), must_not_run);
    auto second = when(after(clock.background(), 2h), must_not_run);
    {
      const failing_allocation fails(nth);
      EXPECT_THROW(select(when(a.receiving(), must_not_run), first, when(b.sending(1), must_not_run),
                          when(scope.done(), must_not_run), second),
                   std::bad_alloc);
    }
    EXPECT_EQ(parties_at(a) + parties_at(b), 0U);
    EXPECT_FALSE(clock.advance_to_next()) << "a timer is left";
  }
}

}  // namespace
}  // namespace curfew
