// Every promise of the channel's header, one test each: long, since that is a long list.
#include <curfew/sync/channel.hpp>

#include "core/allocations.hpp"
#include "sync/waiting.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/testing.hpp>
#include <gtest/gtest.h>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::allocation_count;
using testing::await;
using testing::manual_clock;
using testing::receivers_at;
using testing::senders_at;

/// What a receive gave that has to have given an item.
template <class T>
T item_of(result<std::optional<T>> got) {
  if (!got) throw std::runtime_error("an error instead of an item: " + got.error().message());
  if (!*got) throw std::runtime_error("closed and drained, instead of an item");
  return std::move(**got);
}

/// What a receive or a send gave that has to have failed.
template <class T>
error error_of(const result<T>& got) {
  if (got) throw std::runtime_error("no error");
  return got.error();
}

template <class T>
bool is_drained(const result<std::optional<T>>& got) {
  return got.has_value() && !got->has_value();
}

/// An item that counts how many of its kind there are.
class counted {
 public:
  explicit counted(int number) noexcept : number_(number) { ++alive_; }
  // noinline: else g++ 12 finds, wrongly, that an empty optional is moved from
  [[gnu::noinline]] counted(counted&& other) noexcept : number_(other.number_) { ++alive_; }
  counted& operator=(counted&&) = delete;
  ~counted() { --alive_; }

  [[nodiscard]] int number() const noexcept { return number_; }
  [[nodiscard]] static int alive() noexcept { return alive_; }

 private:
  const int number_;
  static std::atomic<int> alive_;
};

std::atomic<int> counted::alive_{0};

// ---- what it is at first, and how much goes into it

TEST(Channel, IsOpenAndEmptyAtFirst) {
  channel<int> c;
  EXPECT_EQ(c.capacity(), 0U);
  EXPECT_EQ(c.size(), 0U);
  EXPECT_FALSE(c.closed());
}

TEST(Channel, TakesAsManyItemsAsItsCapacityWithoutAReceiver) {
  for (const std::size_t capacity : {0U, 1U, 2U, 7U, 1000U}) {
    channel<int> c(capacity);
    EXPECT_EQ(c.capacity(), capacity);
    for (std::size_t i = 0; i != capacity; ++i) {
      EXPECT_EQ(c.size(), i);
      EXPECT_TRUE(c.send(background(), static_cast<int>(i)));
    }
    EXPECT_EQ(c.size(), capacity);
    EXPECT_FALSE(c.try_send(-1));
    EXPECT_EQ(c.size(), capacity);
    for (std::size_t i = 0; i != capacity; ++i) {
      EXPECT_EQ(item_of(c.try_receive()), static_cast<int>(i));
      EXPECT_EQ(c.size(), capacity - i - 1);
    }
    EXPECT_FALSE(c.try_receive());
  }
}

TEST(Channel, OfACapacityBeyondAllMemoryThrows) {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  EXPECT_THROW(channel<int> c(most), std::bad_alloc);
}

TEST(Channel, AllocatesWhenItIsMadeAndNeverAfter) {
  const allocation_count all;
  channel<int> c(16);
  EXPECT_LE(all.made(), 1U);
  const allocation_count later;
  for (int i = 0; i != 16; ++i) EXPECT_TRUE(c.send(background(), i));
  for (int i = 0; i != 16; ++i) EXPECT_TRUE(c.receive(background()));
  c.close();
  EXPECT_EQ(later.made(), 0U);
}

TEST(Channel, AllocatesNothingForAWait) {
  channel<int> c;
  const auto scope = with_cancel(background());
  std::size_t made = 1;
  std::jthread receiver([&] {
    const allocation_count all;
    EXPECT_TRUE(c.receive(scope));
    made = all.made();
  });
  await([&] { return receivers_at(c) == 1; });
  EXPECT_TRUE(c.try_send(1));
  receiver.join();
  EXPECT_EQ(made, 0U);
}

TEST(Channel, GoesRoundItsMemoryInOrder) {
  channel<int> c(3);
  int next_in = 0;
  int next_out = 0;
  for (int round = 0; round != 10; ++round) {
    for (int i = 0; i != 1 + round % 3; ++i) EXPECT_TRUE(c.try_send(next_in++));
    while (c.size() != 0) EXPECT_EQ(item_of(c.try_receive()), next_out++);
  }
  EXPECT_EQ(next_in, next_out);
}

class ChannelOfCapacity : public ::testing::TestWithParam<std::size_t> {};

INSTANTIATE_TEST_SUITE_P(Capacities, ChannelOfCapacity, ::testing::Values(0, 1, 2, 3, 128),
                         ::testing::PrintToStringParamName());

TEST_P(ChannelOfCapacity, ReceivesInTheOrderOfSending) {
  constexpr int count = 2000;
  channel<int> c(GetParam());
  std::jthread sender([&] {
    for (int i = 0; i != count; ++i) ASSERT_TRUE(c.send(background(), i));
    c.close();
  });
  for (int i = 0; i != count; ++i) ASSERT_EQ(item_of(c.receive(background())), i);
  EXPECT_TRUE(is_drained(c.receive(background())));
}

TEST_P(ChannelOfCapacity, ShowsTheReceiverWhatWasDoneBeforeTheSend) {
  channel<int> c(GetParam());
  std::array<int, 50> plain{};
  std::jthread sender([&] {
    for (int i = 0; i != 50; ++i) {
      plain[static_cast<std::size_t>(i)] = i * i;
      ASSERT_TRUE(c.send(background(), i));
    }
  });
  for (int i = 0; i != 50; ++i) {
    const int item = item_of(c.receive(background()));
    EXPECT_EQ(plain[static_cast<std::size_t>(item)], i * i);
  }
}

TEST_P(ChannelOfCapacity, NeitherLosesNorDuplicatesWithManyOnBothSides) {
  constexpr int each = 500;
  channel<int> c(GetParam());
  std::array<std::atomic<int>, 3 * each> received{};
  std::vector<std::jthread> receivers;
  for (int r = 0; r != 3; ++r) {
    receivers.emplace_back([&] {
      while (auto item = c.receive(background()).value()) ++received[static_cast<std::size_t>(*item)];
    });
  }
  {
    std::vector<std::jthread> senders;
    for (int s = 0; s != 3; ++s) {
      senders.emplace_back([&, s] {
        for (int i = 0; i != each; ++i) ASSERT_TRUE(c.send(background(), s * each + i));
      });
    }
  }
  c.close();
  receivers.clear();
  for (const auto& times : received) EXPECT_EQ(times, 1);
}

TEST(Channel, OfCapacityZeroLetsTheSenderWaitForTheReceiver) {
  channel<int> c;
  std::atomic<bool> sent{false};
  std::jthread sender([&] {
    EXPECT_TRUE(c.send(background(), 7));
    sent = true;
  });
  await([&] { return senders_at(c) == 1; });
  EXPECT_FALSE(sent);
  EXPECT_EQ(c.size(), 0U);
  EXPECT_EQ(item_of(c.receive(background())), 7);
  sender.join();
  EXPECT_TRUE(sent);
}

TEST(Channel, OfCapacityZeroHandsAnItemToWhoWaitsForIt) {
  channel<int> c;
  int got = 0;
  std::jthread receiver([&] { got = item_of(c.receive(background())); });
  await([&] { return receivers_at(c) == 1; });
  EXPECT_TRUE(c.try_send(8));
  EXPECT_EQ(c.size(), 0U);
  receiver.join();
  EXPECT_EQ(got, 8);
  EXPECT_FALSE(c.try_send(9)) << "nothing waits for a second one";
}

TEST(Channel, WithABufferHandsAnItemToWhoWaitsForItPastTheBuffer) {
  channel<int> c(4);
  int got = 0;
  std::jthread receiver([&] { got = item_of(c.receive(background())); });
  await([&] { return receivers_at(c) == 1; });
  EXPECT_TRUE(c.try_send(8));
  EXPECT_EQ(c.size(), 0U);
  receiver.join();
  EXPECT_EQ(got, 8);
}

TEST(Channel, TakesTheItemOfAWaitingSenderIntoTheRoomThatAReceiveMakes) {
  channel<int> c(2);
  EXPECT_TRUE(c.try_send(1));
  EXPECT_TRUE(c.try_send(2));
  std::jthread sender([&] { EXPECT_TRUE(c.send(background(), 3)); });
  await([&] { return senders_at(c) == 1; });
  EXPECT_EQ(item_of(c.try_receive()), 1);
  EXPECT_EQ(c.size(), 2U);
  EXPECT_FALSE(c.try_send(4)) << "the room belongs to the sender that has waited for it";
  sender.join();
  EXPECT_EQ(item_of(c.try_receive()), 2);
  EXPECT_EQ(item_of(c.try_receive()), 3);
  EXPECT_EQ(c.size(), 0U);
}

TEST(Channel, ServesWaitingSendersInTheOrderOfTheirComing) {
  for (const std::size_t capacity : {0U, 1U, 3U}) {
    channel<int> c(capacity);
    const int buffered = static_cast<int>(capacity);
    for (int i = 0; i != buffered; ++i) EXPECT_TRUE(c.try_send(i));
    std::vector<std::jthread> senders;
    for (int i = 0; i != 5; ++i) {
      senders.emplace_back([&, i] { EXPECT_TRUE(c.send(background(), buffered + i)); });
      await([&] { return senders_at(c) == static_cast<std::size_t>(i) + 1; });
    }
    for (int i = 0; i != buffered + 5; ++i) EXPECT_EQ(item_of(c.try_receive()), i);
    EXPECT_FALSE(c.try_receive());
  }
}

TEST(Channel, ServesWaitingReceiversInTheOrderOfTheirComing) {
  for (const std::size_t capacity : {0U, 1U, 3U}) {
    channel<int> c(capacity);
    std::array<int, 5> got{};
    {
      std::vector<std::jthread> receivers;
      for (std::size_t i = 0; i != got.size(); ++i) {
        receivers.emplace_back([&, i] { got[i] = item_of(c.receive(background())); });
        await([&] { return receivers_at(c) == i + 1; });
      }
      for (int i = 0; i != 5; ++i) EXPECT_TRUE(c.try_send(i));
    }
    EXPECT_EQ(got, (std::array{0, 1, 2, 3, 4}));
    EXPECT_EQ(c.size(), 0U);
  }
}

// ---- what it carries

TEST(Channel, CarriesItemsThatCanOnlyBeMoved) {
  channel<std::unique_ptr<int>> c(1);
  auto item = std::make_unique<int>(5);
  const int* there = item.get();
  EXPECT_TRUE(c.send(background(), std::move(item)));
  EXPECT_EQ(item, nullptr);  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_TRUE(is_drained([&] {
    EXPECT_EQ(item_of(c.receive(background())).get(), there);
    c.close();
    return c.receive(background());
  }()));
}

TEST(Channel, SendsACopyOfWhatItMayNotMoveFrom) {
  channel<std::string> c(2);
  const std::string text(100, 'x');
  EXPECT_TRUE(c.send(background(), text));
  EXPECT_TRUE(c.try_send(text));
  EXPECT_EQ(text, std::string(100, 'x'));
  EXPECT_EQ(item_of(c.try_receive()), text);
  EXPECT_EQ(item_of(c.try_receive()), text);
}

/// No default constructor, no assignment, more aligned than usual.
struct alignas(128) awkward {
  explicit awkward(int n) noexcept : number(n) {}
  awkward(awkward&&) noexcept = default;
  awkward& operator=(awkward&&) = delete;
  const int number;
};

TEST(Channel, CarriesItemsThatCanOnlyBeMoveConstructed) {
  channel<awkward> c(2);
  EXPECT_TRUE(c.try_send(awkward(1)));
  EXPECT_TRUE(c.try_send(awkward(2)));
  for (int i = 1; i != 3; ++i) {
    auto got = c.receive(background());
    ASSERT_TRUE(got && *got);
    EXPECT_EQ((*got)->number, i);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&**got) % alignof(awkward), 0U);
  }
}

/// Gives away another address than its own, as a smart pointer of COM does.
class hides_its_address {
 public:
  explicit hides_its_address(int n) noexcept : number_(n) {}
  [[nodiscard]] int number() const noexcept { return number_; }
  hides_its_address* operator&() noexcept { return nullptr; }  // NOLINT(google-runtime-operator)

 private:
  int number_;
};

TEST(Channel, DoesNotAskAnItemForItsAddress) {
  channel<hides_its_address> c;
  std::jthread sender([&] { EXPECT_TRUE(c.send(background(), hides_its_address(3))); });
  await([&] { return senders_at(c) == 1; });
  EXPECT_EQ(item_of(c.try_receive()).number(), 3);
}

TEST(Channel, TellsAnEmptyOptionalFromItsOwnEnd) {
  channel<std::optional<int>> c(2);
  EXPECT_TRUE(c.try_send(std::nullopt));
  EXPECT_TRUE(c.try_send(std::optional(4)));
  c.close();
  EXPECT_EQ(item_of(c.receive(background())), std::nullopt);
  EXPECT_EQ(item_of(c.receive(background())), 4);
  EXPECT_TRUE(is_drained(c.receive(background())));
}

/// Its copy throws, its move does not.
struct copy_throws {
  copy_throws() = default;
  copy_throws(const copy_throws& /*other*/) { throw std::runtime_error("no copy today"); }
  copy_throws(copy_throws&&) noexcept = default;
  copy_throws& operator=(const copy_throws&) = delete;
  copy_throws& operator=(copy_throws&&) = delete;
  ~copy_throws() = default;
};

TEST(Channel, IsUnchangedWhereTheCopyOfAnItemThrows) {
  channel<copy_throws> c(1);
  const copy_throws item;
  EXPECT_THROW(std::ignore = c.send(background(), item), std::runtime_error);
  EXPECT_THROW(std::ignore = c.try_send(item), std::runtime_error);
  EXPECT_THROW(std::ignore = c.sending(item), std::runtime_error);
  EXPECT_EQ(c.size(), 0U);
  EXPECT_TRUE(c.try_send(copy_throws()));
}

TEST(Channel, DestroysTheItemsThatAreLeftInIt) {
  ASSERT_EQ(counted::alive(), 0);
  {
    channel<counted> c(4);
    for (int i = 0; i != 4; ++i) EXPECT_TRUE(c.try_send(counted(i)));
    for (int i = 0; i != 3; ++i) EXPECT_EQ(item_of(c.try_receive()).number(), i);
    for (int i = 4; i != 6; ++i) EXPECT_TRUE(c.try_send(counted(i)));  // round the end of the memory
    EXPECT_EQ(counted::alive(), 3);
  }
  EXPECT_EQ(counted::alive(), 0);
  {
    channel<counted> c(4);
    EXPECT_TRUE(c.try_send(counted(1)));
    c.close();
  }
  EXPECT_EQ(counted::alive(), 0);
}

TEST(Channel, KeepsNothingOfAnItemThatHasBeenReceived) {
  channel<std::shared_ptr<int>> c(2);
  auto item = std::make_shared<int>(1);
  const std::weak_ptr watched = item;
  EXPECT_TRUE(c.send(background(), std::move(item)));
  EXPECT_EQ(watched.use_count(), 1);
  std::ignore = c.receive(background());
  EXPECT_TRUE(watched.expired());
}

/// Looks at its channel when it is destroyed, unless it was moved from.
class looks_back {
 public:
  explicit looks_back(channel<looks_back>& at, int& looks) noexcept : at_(&at), looks_(&looks) {}
  looks_back(looks_back&& other) noexcept : at_(std::exchange(other.at_, nullptr)), looks_(other.looks_) {}
  looks_back& operator=(looks_back&&) = delete;
  ~looks_back() {
    if (at_ == nullptr) return;
    ++*looks_;
    std::ignore = at_->size();
  }

 private:
  channel<looks_back>* at_;
  int* looks_;
};

TEST(Channel, HoldsNoLockWhileAnItemIsDestroyed) {
  int looks = 0;
  channel<looks_back> c(1);
  EXPECT_TRUE(c.try_send(looks_back(c, looks)));
  EXPECT_FALSE(c.try_send(looks_back(c, looks)));
  EXPECT_EQ(looks, 1) << "what was not sent";
  std::ignore = c.try_receive();
  EXPECT_EQ(looks, 2) << "what was received";
  c.close();
  EXPECT_FALSE(c.send(background(), looks_back(c, looks)));
  EXPECT_EQ(looks, 3) << "what came too late";
}

// ---- the try_ forms and their errors

TEST(Channel, TrySendOfAFullChannelWouldBlockAndKeepsItsItem) {
  for (const std::size_t capacity : {0U, 1U}) {
    channel<std::unique_ptr<int>> c(capacity);
    if (capacity == 1) {
      EXPECT_TRUE(c.try_send(std::make_unique<int>(1)));
    }
    auto item = std::make_unique<int>(2);
    const auto sent = c.try_send(std::move(item));
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error(), errc::would_block);
    EXPECT_EQ(sent.error(), std::errc::operation_would_block);
    EXPECT_TRUE(sent.error().transient());
    EXPECT_FALSE(sent.error().cause());
    ASSERT_NE(item, nullptr);  // NOLINT(bugprone-use-after-move): that is what is tested
    EXPECT_EQ(*item, 2);
    EXPECT_EQ(senders_at(c), 0U);
  }
}

TEST(Channel, TryReceiveOfAnEmptyChannelWouldBlock) {
  channel<int> c(1);
  const auto got = c.try_receive();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::would_block);
  EXPECT_EQ(got.error(), std::errc::operation_would_block);
  EXPECT_TRUE(got.error().transient());
  EXPECT_FALSE(got.error().cause());
  EXPECT_EQ(receivers_at(c), 0U);
}

TEST(Channel, TryReceiveTakesTheItemOfASenderThatWaits) {
  channel<std::unique_ptr<int>> c;
  std::jthread sender([&] { EXPECT_TRUE(c.send(background(), std::make_unique<int>(3))); });
  await([&] { return senders_at(c) == 1; });
  EXPECT_EQ(*item_of(c.try_receive()), 3);
}

// ---- an end that closes

TEST(Channel, IsClosedOnceTheLastCopyOfAnEndIsGone) {
  channel<int> c(2);
  auto one = c.closing_end();
  auto other = one;
  EXPECT_TRUE(one->send(background(), 1));
  one.reset();
  EXPECT_FALSE(c.closed());
  EXPECT_TRUE(other->send(background(), 2));
  other.reset();
  EXPECT_TRUE(c.closed());
  EXPECT_EQ(item_of(c.receive(background())), 1);
  EXPECT_EQ(item_of(c.receive(background())), 2);
  EXPECT_FALSE(c.receive(background())->has_value());
}

TEST(Channel, TellsASenderThatWaitsOfTheEndOfItsReceivers) {
  channel<int> c;
  auto receivers = c.closing_end();
  std::jthread sender([&] { EXPECT_EQ(error_of(c.send(background(), 1)), errc::closed); });
  await([&] { return senders_at(c) == 1; });
  receivers.reset();
}

// ---- contexts

TEST(Channel, SendsNothingUnderAContextThatHasEnded) {
  for (const std::size_t capacity : {0U, 1U}) {
    channel<std::unique_ptr<int>> c(capacity);
    auto scope = with_cancel(background());
    scope.cancel("user left");
    auto item = std::make_unique<int>(1);
    const auto sent = c.send(scope, std::move(item));
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error(), errc::canceled);
    EXPECT_EQ(sent.error(), std::errc::operation_canceled);
    EXPECT_EQ(sent.error().cause().message(), "user left");
    EXPECT_FALSE(sent.error().transient());
    EXPECT_NE(item, nullptr);  // NOLINT(bugprone-use-after-move): that is what is tested
    EXPECT_EQ(c.size(), 0U);
    EXPECT_EQ(senders_at(c), 0U);
  }
}

TEST(Channel, ReceivesNothingUnderAContextThatHasEnded) {
  channel<int> c(1);
  EXPECT_TRUE(c.try_send(1));
  auto scope = with_cancel(background());
  scope.cancel("user left");
  const auto got = c.receive(scope);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::canceled);
  EXPECT_EQ(got.error().cause().message(), "user left");
  EXPECT_EQ(c.size(), 1U);
  EXPECT_EQ(receivers_at(c), 0U);
  EXPECT_EQ(item_of(c.receive(background())), 1);
}

TEST(Channel, NeitherGivesToNorTakesFromWhoWaitsUnderAContextThatHasEnded) {
  channel<int> c;
  auto scope = with_cancel(background());
  scope.cancel();
  {
    std::jthread receiver([&] { EXPECT_EQ(item_of(c.receive(background())), 2); });
    await([&] { return receivers_at(c) == 1; });
    EXPECT_FALSE(c.send(scope, 1));
    EXPECT_EQ(receivers_at(c), 1U);
    EXPECT_TRUE(c.try_send(2));
  }
  std::jthread sender([&] { EXPECT_TRUE(c.send(background(), 3)); });
  await([&] { return senders_at(c) == 1; });
  EXPECT_FALSE(c.receive(scope));
  EXPECT_EQ(senders_at(c), 1U);
  EXPECT_EQ(item_of(c.try_receive()), 3);
}

TEST(Channel, ReportsTheEndOfTheContextBeforeItsOwnClose) {
  channel<int> c(1);
  c.close();
  auto scope = with_cancel(background());
  scope.cancel();
  EXPECT_EQ(error_of(c.send(scope, 1)), errc::canceled);
  EXPECT_EQ(error_of(c.receive(scope)), errc::canceled);
}

TEST(Channel, SaysWhatItWasDoing) {
  channel<int> c;
  auto scope = with_cancel(background());
  scope.cancel("user left");
  EXPECT_EQ(error_of(c.send(scope, 1)).message(), "send: canceled (cause: user left)");
  EXPECT_EQ(error_of(c.receive(scope)).message(), "receive: canceled (cause: user left)");
  EXPECT_EQ(error_of(c.try_send(1)).message(), "send: would block");
  EXPECT_EQ(error_of(c.try_receive()).message(), "receive: would block");
  c.close();
  EXPECT_EQ(error_of(c.send(background(), 1)).message(), "send: closed");
  EXPECT_EQ(error_of(c.try_send(1)).message(), "send: closed");
}

TEST(Channel, ASendThatIsCanceledWhileItWaitsKeepsItsItemAndLeavesNoTrace) {
  for (const std::size_t capacity : {0U, 2U}) {
    channel<std::unique_ptr<int>> c(capacity);
    while (c.size() != capacity) EXPECT_TRUE(c.try_send(std::make_unique<int>(0)));
    auto scope = with_cancel(background());
    auto item = std::make_unique<int>(1);
    result<> sent;
    std::jthread sender([&] { sent = c.send(scope, std::move(item)); });
    await([&] { return senders_at(c) == 1; });
    scope.cancel("enough");
    sender.join();
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error(), errc::canceled);
    EXPECT_EQ(sent.error().cause().message(), "enough");
    ASSERT_NE(item, nullptr);  // NOLINT(bugprone-use-after-move): that is what is tested
    EXPECT_EQ(*item, 1);
    EXPECT_EQ(senders_at(c), 0U);
    while (c.size() != 0) EXPECT_EQ(*item_of(c.try_receive()), 0);
    EXPECT_FALSE(c.try_receive());
  }
}

TEST(Channel, AReceiveThatIsCanceledWhileItWaitsTakesNothingAndLeavesNoTrace) {
  for (const std::size_t capacity : {0U, 2U}) {
    channel<int> c(capacity);
    auto scope = with_cancel(background());
    std::optional<error> told;
    std::jthread receiver([&] { told = error_of(c.receive(scope)); });
    await([&] { return receivers_at(c) == 1; });
    scope.cancel("enough");
    receiver.join();
    ASSERT_TRUE(told);
    EXPECT_EQ(*told, errc::canceled);
    EXPECT_EQ(told->cause().message(), "enough");
    EXPECT_EQ(receivers_at(c), 0U);
    EXPECT_EQ(c.try_send(1).has_value(), capacity != 0);
    EXPECT_EQ(c.size(), capacity != 0 ? 1U : 0U) << "it does not go to a receiver that has left";
  }
}

TEST(Channel, PassesOverTheSenderThatWasCanceled) {
  channel<int> c;
  auto scope = with_cancel(background());
  std::vector<std::jthread> senders;
  senders.emplace_back([&] { EXPECT_TRUE(c.send(background(), 0)); });
  await([&] { return senders_at(c) == 1; });
  senders.emplace_back([&] { EXPECT_EQ(error_of(c.send(scope, 1)), errc::canceled); });
  await([&] { return senders_at(c) == 2; });
  senders.emplace_back([&] { EXPECT_TRUE(c.send(background(), 2)); });
  await([&] { return senders_at(c) == 3; });
  scope.cancel();
  await([&] { return senders_at(c) == 2; });
  EXPECT_EQ(item_of(c.receive(background())), 0);
  EXPECT_EQ(item_of(c.receive(background())), 2);
}

TEST(Channel, PassesOverTheReceiverThatWasCanceled) {
  channel<int> c;
  auto scope = with_cancel(background());
  std::array<int, 2> got{};
  {
    std::vector<std::jthread> receivers;
    receivers.emplace_back([&] { got[0] = item_of(c.receive(background())); });
    await([&] { return receivers_at(c) == 1; });
    receivers.emplace_back([&] { EXPECT_EQ(error_of(c.receive(scope)), errc::canceled); });
    await([&] { return receivers_at(c) == 2; });
    receivers.emplace_back([&] { got[1] = item_of(c.receive(background())); });
    await([&] { return receivers_at(c) == 3; });
    scope.cancel();
    await([&] { return receivers_at(c) == 2; });
    EXPECT_TRUE(c.send(background(), 1));
    EXPECT_TRUE(c.send(background(), 2));
  }
  EXPECT_EQ(got, (std::array{1, 2}));
}

TEST(Channel, AWaitEndsWithAnAncestorAndHasItsCause) {
  channel<int> c;
  auto request = with_cancel(background());
  const auto part = with_timeout(request, 1h);
  std::optional<error> told;
  std::jthread receiver([&] { told = error_of(c.receive(part)); });
  await([&] { return receivers_at(c) == 1; });
  request.cancel("client gone");
  receiver.join();
  EXPECT_EQ(told, errc::canceled);
  EXPECT_EQ(told->cause().message(), "client gone");
}

TEST(Channel, AReceiveEndsAtTheDeadlineOfItsContext) {
  manual_clock clock;
  clock.autojump();
  channel<int> c;
  const auto scope = with_timeout(clock.background(), 3s, "budget");
  const auto got = c.receive(scope);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::deadline_exceeded);
  EXPECT_EQ(got.error(), std::errc::timed_out);
  EXPECT_EQ(got.error().cause().message(), "budget");
  EXPECT_TRUE(got.error().transient());
  EXPECT_EQ(clock.now(), clock::time_point(3s));
  EXPECT_EQ(receivers_at(c), 0U);
}

TEST(Channel, ASendEndsAtTheDeadlineOfItsContextAndKeepsItsItem) {
  for (const std::size_t capacity : {0U, 1U}) {
    manual_clock clock;
    clock.autojump();
    channel<std::string> c(capacity);
    if (capacity == 1) {
      EXPECT_TRUE(c.try_send("first"));
    }
    const auto scope = with_timeout(clock.background(), 3s, "budget");
    std::string item = "second";
    const auto sent = c.send(scope, std::move(item));
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error(), errc::deadline_exceeded);
    EXPECT_EQ(sent.error().cause().message(), "budget");
    EXPECT_EQ(item, "second");  // NOLINT(bugprone-use-after-move): that is what is tested
    EXPECT_EQ(clock.now(), clock::time_point(3s));
    EXPECT_EQ(senders_at(c), 0U);
    EXPECT_EQ(c.size(), capacity);
  }
}

TEST(Channel, TellsACancelFromADeadline) {
  manual_clock clock;
  channel<int> c;
  auto canceled = with_timeout(clock.background(), 2s, "too slow");
  const auto late = with_timeout(clock.background(), 1s, "too slow");
  std::optional<error> told_canceled;
  std::optional<error> told_late;
  std::jthread one([&] { told_canceled = error_of(c.receive(canceled)); });
  std::jthread two([&] { told_late = error_of(c.receive(late)); });
  await([&] { return receivers_at(c) == 2; });
  clock.advance(1s);
  canceled.cancel("button");
  clock.advance(1s);
  one.join();
  two.join();
  EXPECT_EQ(told_canceled, errc::canceled);
  EXPECT_EQ(told_canceled->cause().message(), "button");
  EXPECT_EQ(told_late, errc::deadline_exceeded);
  EXPECT_EQ(told_late->cause().message(), "too slow");
}

/// Two threads of an autojump clock that meet at a channel: time passes only while neither can go on.
TEST(Channel, PassesNoTimeWhileItsPartiesWork) {
  manual_clock clock;
  clock.autojump();
  channel<int> c;
  const auto day = with_timeout(clock.background(), 24h);
  testing::thread sender(clock, [&] {
    for (int i = 0; i != 20; ++i) {
      EXPECT_FALSE(day.done().wait_for(1h));
      EXPECT_TRUE(c.send(day, i));
    }
    c.close();
    EXPECT_EQ(day.done().wait(), errc::deadline_exceeded);
  });
  for (int i = 0; i != 20; ++i) {
    EXPECT_EQ(item_of(c.receive(day)), i);
    EXPECT_EQ(clock.now(), clock::time_point((i + 1) * 1h));
  }
  EXPECT_TRUE(is_drained(c.receive(day)));
  EXPECT_EQ(day.done().wait(), errc::deadline_exceeded);
}

// ---- close

TEST(Channel, ThatIsClosedGivesWhatIsLeftAndThenNone) {
  channel<int> c(3);
  for (int i = 0; i != 3; ++i) EXPECT_TRUE(c.try_send(i));
  c.close();
  EXPECT_TRUE(c.closed());
  EXPECT_EQ(c.size(), 3U);
  EXPECT_EQ(item_of(c.receive(background())), 0);
  EXPECT_EQ(item_of(c.try_receive()), 1);
  EXPECT_EQ(item_of(c.receive(background())), 2);
  for (int i = 0; i != 3; ++i) {
    EXPECT_TRUE(is_drained(c.receive(background())));
    EXPECT_TRUE(is_drained(c.try_receive()));
  }
}

TEST(Channel, ThatIsClosedRefusesItemsAndLeavesThemAlone) {
  for (const std::size_t capacity : {0U, 1U, 2U}) {
    channel<std::unique_ptr<int>> c(capacity);
    if (capacity == 2) {
      EXPECT_TRUE(c.try_send(std::make_unique<int>(0)));
    }
    c.close();
    auto item = std::make_unique<int>(1);
    const auto sent = c.send(background(), std::move(item));
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error(), errc::closed);
    EXPECT_FALSE(sent.error().cause());
    ASSERT_NE(item, nullptr);  // NOLINT(bugprone-use-after-move): that is what is tested
    EXPECT_EQ(error_of(c.try_send(std::move(item))), errc::closed);
    EXPECT_NE(item, nullptr);  // NOLINT(bugprone-use-after-move): that is what is tested
    EXPECT_EQ(c.size(), capacity == 2 ? 1U : 0U);
  }
}

TEST(Channel, MayBeClosedAgain) {
  channel<int> c(1);
  EXPECT_TRUE(c.try_send(1));
  c.close();
  c.close();
  EXPECT_EQ(item_of(c.receive(background())), 1);
  c.close();
  EXPECT_TRUE(c.closed());
  EXPECT_TRUE(is_drained(c.receive(background())));
}

TEST(Channel, CloseTellsAllReceiversThatWait) {
  for (const std::size_t capacity : {0U, 2U}) {
    channel<int> c(capacity);
    std::atomic<int> told{0};
    {
      std::vector<std::jthread> receivers;
      for (int i = 0; i != 5; ++i) {
        receivers.emplace_back([&] { told += is_drained(c.receive(background())) ? 1 : 0; });
      }
      await([&] { return receivers_at(c) == 5; });
      c.close();
    }
    EXPECT_EQ(told, 5);
    EXPECT_EQ(receivers_at(c), 0U);
  }
}

TEST(Channel, CloseTellsAllSendersThatWaitAndTheyKeepTheirItems) {
  for (const std::size_t capacity : {0U, 2U}) {
    channel<std::unique_ptr<int>> c(capacity);
    while (c.size() != capacity) EXPECT_TRUE(c.try_send(std::make_unique<int>(0)));
    std::array<std::unique_ptr<int>, 5> items;
    for (auto& each : items) each = std::make_unique<int>(1);
    std::atomic<int> told{0};
    {
      std::vector<std::jthread> senders;
      for (auto& each : items) {
        senders.emplace_back(
            [&] { told += error_of(c.send(background(), std::move(each))) == errc::closed ? 1 : 0; });
      }
      await([&] { return senders_at(c) == 5; });
      c.close();
    }
    EXPECT_EQ(told, 5);
    EXPECT_TRUE(std::ranges::none_of(items, [](const auto& each) { return each == nullptr; }));
    EXPECT_EQ(senders_at(c), 0U);
    for (std::size_t i = 0; i != capacity; ++i) EXPECT_EQ(*item_of(c.receive(background())), 0);
    EXPECT_TRUE(is_drained(c.receive(background())));
  }
}

TEST(Channel, CloseReachesWhoWaitsUnderADeadlineBeforeIt) {
  manual_clock clock;
  channel<int> c;
  const auto scope = with_timeout(clock.background(), 1s);
  result<std::optional<int>> got = std::unexpected(error(errc::canceled));
  std::jthread receiver([&] { got = c.receive(scope); });
  await([&] { return receivers_at(c) == 1; });
  c.close();
  receiver.join();
  clock.advance(1s);
  EXPECT_TRUE(is_drained(got));
}

TEST(Channel, MayBeDestroyedAsSoonAsItsUsersAreDone) {
  for (int i = 0; i != 300; ++i) {
    auto c = std::make_unique<channel<int>>();
    std::jthread sender([&] { EXPECT_TRUE(c->send(background(), 1)); });
    EXPECT_EQ(item_of(c->receive(background())), 1);
    sender.join();
    c.reset();
  }
}

static_assert(!std::is_copy_constructible_v<channel<int>>);
static_assert(!std::is_move_constructible_v<channel<int>>, "those who wait point to it");

}  // namespace
}  // namespace curfew
