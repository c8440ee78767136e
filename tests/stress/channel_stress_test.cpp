// Many threads at a few channels. Each test says which interleavings it hunts and prints its seed;
// CURFEW_SEED=<number> repeats the choices, though not the timing. Meant to be run under the sanitizers as
// well.

#include "race.hpp"
#include "sync/waiting.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/sync/channel.hpp>
#include <curfew/sync/select.hpp>
#include <deque>
#include <gtest/gtest.h>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::announce_seed;
using testing::await;
using testing::dawdle;
using testing::hunt;
using testing::parties_at;
using testing::receivers_at;
using testing::senders_at;
using testing::time_box;

constexpr auto nothing = [] {};

/// Which sender it is of, and its place among that sender's.
struct message {
  std::size_t sender;
  std::uint64_t number;

  friend auto operator<=>(const message&, const message&) = default;
};

/// Behind a pointer, so that it shows whether it was moved from.
using parcel = std::unique_ptr<message>;

/// Contexts of short lives: one ends by its deadline, one is canceled by a thread of its own, one stays.
class short_lives {
 public:
  short_lives(std::size_t parties, std::uint64_t seed)
      : slots_(parties),
        ends_([this, seed] { run(seed); }) {}
  short_lives(const short_lives&) = delete;
  short_lives& operator=(const short_lives&) = delete;
  ~short_lives() { stop_ = true; }

  /// Calls `f` with such a context.
  template <class F>
  auto live(std::size_t party, std::mt19937_64& random, F f) {
    switch (random() % 4) {
      case 0:
        return f(background());
      case 1: {
        const auto scope = with_timeout(background(), std::chrono::nanoseconds(random() % 40'000));
        return f(scope.ctx());
      }
      default: {
        auto scope = with_cancel(background());
        const publish seen(slots_[party], scope);
        return f(scope.ctx());
      }
    }
  }

 private:
  struct slot {
    std::mutex mutex;
    cancel_scope* scope = nullptr;
  };
  struct publish {
    slot& in;
    publish(slot& s, cancel_scope& scope) : in(s) { set(&scope); }
    publish(const publish&) = delete;
    publish& operator=(const publish&) = delete;
    ~publish() { set(nullptr); }
    void set(cancel_scope* scope) {
      const std::lock_guard guard(in.mutex);
      in.scope = scope;
    }
  };

  void run(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    while (!stop_) {
      {
        slot& victim = slots_[random() % slots_.size()];
        const std::lock_guard guard(victim.mutex);
        if (victim.scope != nullptr) victim.scope->cancel();
      }
      dawdle(random);
      std::this_thread::yield();
    }
  }

  std::deque<slot> slots_;
  std::atomic<bool> stop_{false};
  std::jthread ends_;
};

void expect_each_once(std::vector<message> sent, std::vector<message> received) {
  std::ranges::sort(sent);
  std::ranges::sort(received);
  EXPECT_EQ(sent.size(), received.size());
  EXPECT_TRUE(sent == received) << "an item was lost, or came twice";
  EXPECT_TRUE(std::ranges::adjacent_find(received) == received.end()) << "an item came twice";
}

void expect_order_of_each_sender(const std::vector<message>& received, std::size_t senders) {
  std::vector<std::optional<std::uint64_t>> last(senders);
  for (const message& each : received) {
    EXPECT_TRUE(!last[each.sender] || *last[each.sender] < each.number)
        << each.number << " of sender " << each.sender << " came after " << *last[each.sender];
    last[each.sender] = each.number;
  }
}

/// One run of several senders and receivers, with cancels all the time and a close in the end.
class crowd {
 public:
  crowd(std::size_t capacity, std::uint64_t seed) : channel_(capacity), lives_(2 * each_side, seed) {
    std::vector<std::jthread> parties;
    for (std::size_t i = 0; i != each_side; ++i) {
      parties.emplace_back([this, i, seed] { send_all(i, seed + i + 1); });
      parties.emplace_back([this, i, seed] { receive_all(i, seed + each_side + i + 1); });
    }
    const time_box box(100ms);
    await([&] { return !box.open(); });
    channel_.close();
  }

  void check() const {
    std::vector<message> sent;
    std::vector<message> received;
    for (const auto& each : sent_) sent.insert(sent.end(), each.begin(), each.end());
    for (const auto& each : received_) {
      expect_order_of_each_sender(each, each_side);
      received.insert(received.end(), each.begin(), each.end());
    }
    EXPECT_FALSE(sent.empty());
    expect_each_once(std::move(sent), std::move(received));
  }

 private:
  static constexpr std::size_t each_side = 3;

  void send_all(std::size_t me, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (std::uint64_t n = 0;; ++n) {
      const message content{me, n};
      auto item = std::make_unique<message>(content);
      const result<> sent = random() % 8 == 0 ? channel_.try_send(std::move(item))
                                              : lives_.live(me, random, [&](const context& ctx) {
                                                  return channel_.send(ctx, std::move(item));
                                                });
      if (sent) {
        EXPECT_EQ(item, nullptr);
        sent_[me].push_back(content);
      } else {
        ASSERT_NE(item, nullptr) << "moved from, and yet not sent: " << sent.error();
        EXPECT_EQ(*item, content);
        if (sent.error() == errc::closed) return;
        EXPECT_TRUE(is_expected(sent.error())) << sent.error();
      }
      if (random() % 4 == 0) dawdle(random);
    }
  }

  void receive_all(std::size_t me, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (;;) {
      auto got = random() % 8 == 0 ? channel_.try_receive()
                                   : lives_.live(each_side + me, random,
                                                 [&](const context& ctx) { return channel_.receive(ctx); });
      if (!got) {
        EXPECT_TRUE(is_expected(got.error())) << got.error();
      } else if (*got) {
        received_[me].push_back(***got);
      } else {
        return;
      }
      if (random() % 4 == 0) dawdle(random);
    }
  }

  static bool is_expected(const error& e) {
    return e == errc::canceled || e == errc::deadline_exceeded || e == errc::would_block;
  }

  channel<parcel> channel_;
  std::array<std::vector<message>, each_side> sent_;
  std::array<std::vector<message>, each_side> received_;
  short_lives lives_;
};

TEST(ChannelStress, EveryItemIsReceivedOnceOrReportedUnsent) {
  const std::uint64_t seed =
      announce_seed("cancels and deadlines against the completion of sends and receives, then a close");
  for (const std::size_t capacity : {0U, 1U, 8U}) {
    SCOPED_TRACE("capacity " + std::to_string(capacity));
    crowd(capacity, seed).check();
  }
}

/// Eight parties go on until each sender and each receiver has had its share. The number of operations is
/// limited by far more than it takes to let every thread have a processor several times.
TEST(ChannelStress, EachOfManyGetsThrough) {
  constexpr std::size_t each_side = 4;
  constexpr int share = 500;
  constexpr int most = 10'000'000;
  for (const std::size_t capacity : {0U, 1U}) {
    SCOPED_TRACE("capacity " + std::to_string(capacity));
    channel<int> c(capacity);
    std::array<std::atomic<int>, each_side> sent{};
    std::array<std::atomic<int>, each_side> received{};
    std::atomic<int> total{0};
    const auto all_served = [&] {
      const auto has_share = [](const std::atomic<int>& n) { return n >= share; };
      return std::ranges::all_of(sent, has_share) && std::ranges::all_of(received, has_share);
    };
    std::vector<std::jthread> receivers;
    for (auto& mine : received) {
      receivers.emplace_back([&] {
        while (c.receive(background()).value()) ++mine;
      });
    }
    std::vector<std::jthread> senders;
    for (auto& mine : sent) {
      senders.emplace_back([&] {
        while (!all_served() && ++total <= most) {
          ASSERT_TRUE(c.send(background(), 1));
          ++mine;
        }
      });
    }
    senders.clear();
    c.close();
    receivers.clear();
    EXPECT_LE(total, most) << "a party has starved";
    int sum_sent = 0;
    int sum_received = 0;
    for (std::size_t i = 0; i != each_side; ++i) {
      EXPECT_GE(sent[i], share);
      EXPECT_GE(received[i], share);
      sum_sent += sent[i];
      sum_received += received[i];
    }
    EXPECT_EQ(sum_sent, sum_received);
  }
}

/// A thread that sends and receives at several channels in every way there is.
class all_rounder {
 public:
  all_rounder(std::deque<channel<parcel>>& channels, std::size_t me, short_lives& lives, std::uint64_t seed)
      : channels_(channels),
        me_(me),
        lives_(lives),
        random_(seed) {}

  void run(const time_box& box) {
    while (box.open()) step();
  }

  std::vector<message> sent;
  std::vector<message> received;

 private:
  channel<parcel>& any() { return channels_[random_() % channels_.size()]; }
  parcel next() { return std::make_unique<message>(message{me_, number_++}); }
  void keep(std::optional<parcel> item) {
    ASSERT_TRUE(item && *item);
    received.push_back(**item);
  }
  /// A context that is sure to end, since all might want to send at the same time.
  cancel_scope short_life() {
    return with_timeout(background(), std::chrono::nanoseconds(random_() % 100'000));
  }

  void step() {
    switch (random_() % 6) {
      case 0: {
        const auto scope = short_life();
        parcel item = next();
        const message content = *item;
        if (any().send(scope, std::move(item))) {
          sent.push_back(content);
        } else {
          EXPECT_NE(item, nullptr);
        }
        break;
      }
      case 1: {
        const auto scope = short_life();
        if (auto item = any().receive(scope)) keep(std::move(*item));
        break;
      }
      case 2:
        if (auto item = any().try_receive()) keep(std::move(*item));
        break;
      default:
        select_some();
    }
  }

  void select_some() {
    const std::size_t count = 1 + random_() % 5;
    std::vector<parcel> items(count);  // those of the cases that send
    std::vector<std::optional<message>> contents(count);
    std::size_t calls = 0;
    std::optional<std::size_t> sent_by;
    case_list cases;
    for (std::size_t i = 0; i != count; ++i) {
      if (random_() % 2 == 0) {
        cases.when(any().receiving(), [&](std::optional<parcel> item) {
          ++calls;
          keep(std::move(item));
        });
      } else {
        items[i] = next();
        contents[i] = *items[i];
        cases.when(any().sending_from(items[i]), [&, i](const result<>& did) {
          ++calls;
          EXPECT_TRUE(did);
          sent_by = i;
          sent.push_back(*contents[i]);
        });
      }
    }
    switch (random_() % 4) {
      case 0:
        if (!try_select(cases)) ++calls;
        break;
      case 1:
        cases.when(after(std::chrono::nanoseconds(random_() % 60'000)), [&] { ++calls; });
        select(cases);
        break;
      default: {
        const auto limit = short_life();
        lives_.live(me_, random_, [&](const context& ctx) {
          cases.when(ctx.done(), [&] { ++calls; }).when(limit.done(), [&] { ++calls; });
          return select(cases);
        });
      }
    }
    EXPECT_EQ(calls, 1U);
    for (std::size_t i = 0; i != count; ++i) {
      EXPECT_EQ(items[i] != nullptr, contents[i].has_value() && sent_by != i);
    }
  }

  std::deque<channel<parcel>>& channels_;
  const std::size_t me_;
  short_lives& lives_;
  std::mt19937_64 random_;
  std::uint64_t number_ = 0;
};

TEST(SelectStress, LosesAndDuplicatesNothingAmongPlainSendsAndReceives) {
  const std::uint64_t seed =
      announce_seed("selects of any cases against each other, against plain parties, ends and deadlines");
  constexpr std::size_t threads = 5;
  std::deque<channel<parcel>> channels;
  for (const std::size_t capacity : {0U, 0U, 1U, 4U}) channels.emplace_back(capacity);
  std::deque<all_rounder> parties;
  {
    short_lives lives(threads, seed);
    for (std::size_t i = 0; i != threads; ++i) parties.emplace_back(channels, i, lives, seed + i + 1);
    const time_box box(300ms);
    std::vector<std::jthread> running;
    for (auto& each : parties) running.emplace_back([&] { each.run(box); });
  }
  std::vector<message> sent;
  std::vector<message> received;
  for (const auto& each : parties) {
    sent.insert(sent.end(), each.sent.begin(), each.sent.end());
    received.insert(received.end(), each.received.begin(), each.received.end());
  }
  for (auto& each : channels) {
    EXPECT_EQ(parties_at(each), 0U);
    while (auto item = each.try_receive()) received.push_back(***item);
  }
  EXPECT_FALSE(sent.empty());
  expect_each_once(std::move(sent), std::move(received));
}

/// Sums of what was sent and received, and how often.
struct tally {
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> received{0};
  std::atomic<std::uint64_t> sends{0};
  std::atomic<std::uint64_t> receives{0};

  void send(std::uint64_t item) {
    sent += item;
    ++sends;
  }
  void receive(std::optional<std::uint64_t> item) {
    received += item.value();
    ++receives;
  }
  void check() const {
    EXPECT_EQ(sends, receives);
    EXPECT_EQ(sent, received);
  }
};

TEST(SelectStress, SelectsOfOppositeSidesMeetAtTwoChannels) {
  announce_seed("two selects, each half registered, that would have to win at both channels");
  constexpr std::uint64_t rounds = 4000;
  channel<std::uint64_t> a;
  channel<std::uint64_t> b;
  tally all;
  {
    std::vector<std::jthread> parties;
    for (std::uint64_t me = 1; me != 3; ++me) {
      parties.emplace_back([&, me] {
        for (std::uint64_t i = 0; i != rounds; ++i) {
          const std::uint64_t item = me * rounds + i;
          select(when(a.sending(item), [&] { all.send(item); }),
                 when(b.receiving(), [&](std::optional<std::uint64_t> got) { all.receive(got); }));
        }
      });
      parties.emplace_back([&, me] {
        for (std::uint64_t i = 0; i != rounds; ++i) {
          const std::uint64_t item = (me + 2) * rounds + i;
          select(when(b.sending(item), [&] { all.send(item); }),
                 when(a.receiving(), [&](std::optional<std::uint64_t> got) { all.receive(got); }));
        }
      });
    }
  }
  EXPECT_EQ(all.sends, 2 * rounds) << "each meeting is one send and one receive of two parties";
  all.check();
  EXPECT_EQ(parties_at(a) + parties_at(b), 0U);
}

TEST(SelectStress, SelectsOfBothSidesOfTwoChannelsMeet) {
  announce_seed("selects that can meet at either of two channels in either direction, several at once");
  channel<std::uint64_t> a;
  channel<std::uint64_t> b;
  tally all;
  auto stop = with_cancel(background());
  {
    std::vector<std::jthread> parties;
    for (std::uint64_t me = 0; me != 4; ++me) {
      parties.emplace_back([&, me] {
        const auto receive = [&](std::optional<std::uint64_t> got) { all.receive(got); };
        for (std::uint64_t i = 1; !stop.err(); ++i) {
          const std::uint64_t item = (me << 32) + i;
          const auto send = [&] { all.send(item); };
          if (me % 2 == 0) {
            select(when(a.sending(item), send), when(a.receiving(), receive), when(b.sending(item), send),
                   when(b.receiving(), receive), when(stop.done(), nothing));
          } else {
            select(when(stop.done(), nothing), when(b.receiving(), receive), when(b.sending(item), send),
                   when(a.receiving(), receive), when(a.sending(item), send));
          }
        }
      });
    }
    await([&] { return all.sends > 5000; });
    stop.cancel();
  }
  all.check();
  EXPECT_EQ(parties_at(a) + parties_at(b), 0U);
}

// ---- hunts

/// How many rounds of this kind there have been: they take turns with their variants.
template <class Round>
std::size_t turn() {
  static std::size_t turns = 0;
  return turns++;
}

struct cancel_against_a_received_item {
  const std::size_t variant = turn<cancel_against_a_received_item>();
  channel<int> c{variant % 2};
  cancel_scope scope = with_cancel(background());
  bool sent = false;
  result<std::optional<int>> got;
  std::jthread receiver{[this] { got = variant % 4 < 2 ? c.receive(scope) : selected(); }};

  cancel_against_a_received_item() {
    if (variant % 8 < 4) await([this] { return receivers_at(c) == 1; });
  }
  result<std::optional<int>> selected() {
    result<std::optional<int>> out;
    select(when(scope.done(), [&](std::error_code err) { out = std::unexpected(error(err)); }),
           when(c.receiving(), [&](std::optional<int> item) { out = item; }));
    return out;
  }
  void left() { scope.cancel(); }
  void right() { sent = c.try_send(1).has_value(); }
  void check() {
    receiver.join();
    EXPECT_EQ(receivers_at(c), 0U);
    if (got) {
      EXPECT_EQ(*got, 1);
      EXPECT_TRUE(sent);
      EXPECT_EQ(c.size(), 0U);
    } else {
      EXPECT_EQ(got.error(), errc::canceled);
      EXPECT_EQ(c.size(), sent ? 1U : 0U) << "an item was taken by a receive that was canceled";
      if (c.capacity() == 0) {
        EXPECT_FALSE(sent);
      }
    }
  }
};

TEST(ChannelHunt, AReceiveIsCanceledOrHasTheItem) {
  hunt<cancel_against_a_received_item>(
      "cancel() claims the waiting receiver while try_send() fills it, before or while it falls asleep");
}

struct cancel_against_a_sent_item {
  const std::size_t variant = turn<cancel_against_a_sent_item>();
  channel<std::unique_ptr<int>> c{variant % 2};
  cancel_scope scope = with_cancel(background());
  std::unique_ptr<int> item = std::make_unique<int>(2);
  result<std::optional<std::unique_ptr<int>>> got;
  bool sent = false;
  std::jthread sender;

  cancel_against_a_sent_item() {
    if (c.capacity() == 1) {
      EXPECT_TRUE(c.try_send(std::make_unique<int>(1)));
    }
    sender = std::jthread(
        [this] { sent = variant % 4 < 2 ? c.send(scope, std::move(item)).has_value() : selected(); });
    if (variant % 8 < 4) await([this] { return senders_at(c) == 1; });
  }
  bool selected() { return select(when(scope.done(), nothing), when(c.sending_from(item), nothing)) == 1; }
  void left() { scope.cancel(); }
  void right() { got = c.try_receive(); }
  void check() {
    sender.join();
    EXPECT_EQ(senders_at(c), 0U);
    EXPECT_EQ(sent, item == nullptr) << "reported and moved do not agree";
    if (c.capacity() == 0) {
      EXPECT_EQ(got.has_value(), sent);
      if (got) {
        EXPECT_EQ(***got, 2);
      }
    } else {
      ASSERT_TRUE(got);
      EXPECT_EQ(***got, 1);
      EXPECT_EQ(c.size(), sent ? 1U : 0U);
      if (sent) {
        EXPECT_EQ(***c.try_receive(), 2);
      }
    }
  }
};

TEST(ChannelHunt, ASendIsCanceledOrItsItemReceived) {
  hunt<cancel_against_a_sent_item>(
      "cancel() claims the waiting sender while try_receive() moves from its item");
}

struct close_against_send {
  channel<std::unique_ptr<int>> c{turn<close_against_send>() % 3};
  std::unique_ptr<int> item = std::make_unique<int>(2);
  result<> sent;

  close_against_send() {
    if (c.capacity() == 1) {
      EXPECT_TRUE(c.try_send(std::make_unique<int>(1)));  // full: the next one has to wait
    }
  }
  void left() { c.close(); }
  void right() { sent = c.send(background(), std::move(item)); }
  void check() {
    EXPECT_EQ(senders_at(c), 0U);
    EXPECT_EQ(sent.has_value(), item == nullptr);
    if (c.capacity() == 1) {
      EXPECT_EQ(***c.try_receive(), 1);
    }
    if (c.capacity() != 2) {
      EXPECT_FALSE(sent);
    }
    if (sent) {
      EXPECT_EQ(***c.receive(background()), 2);
    } else {
      EXPECT_EQ(sent.error(), errc::closed);
    }
    EXPECT_FALSE(*c.receive(background()));
  }
};

TEST(ChannelHunt, ASendIsRefusedByCloseOrItsItemIsStillReceived) {
  hunt<close_against_send>("close() passes by while send() tries, enlists or falls asleep");
}

struct close_against_receive {
  channel<int> c{turn<close_against_receive>() % 2};
  bool sent = false;
  std::optional<int> got;
  std::optional<int> then;

  void left() {
    sent = c.try_send(1).has_value();
    c.close();
  }
  void right() {
    got = c.receive(background()).value();
    then = c.receive(background()).value();
  }
  void check() const {
    EXPECT_EQ(got.has_value(), sent);
    EXPECT_FALSE(then);
    if (c.capacity() == 1) {
      EXPECT_TRUE(sent);
    }
  }
};

TEST(ChannelHunt, AReceiveGetsTheLastItemBeforeTheClose) {
  hunt<close_against_receive>("try_send() and close() follow each other while receive() comes to wait");
}

struct select_against_select {
  const std::size_t variant = turn<select_against_select>();
  channel<int> a;
  channel<int> b;
  int sent_left = 0;
  int sent_right = 0;
  std::optional<int> got_left;
  std::optional<int> got_right;

  void left() {
    const auto sent = [&] { sent_left = 1; };
    const auto got = [&](std::optional<int> item) { got_left = item; };
    if (variant % 2 == 0) {
      select(when(a.sending(1), sent), when(b.receiving(), got));
    } else {
      select(when(a.sending(1), sent), when(a.receiving(), got), when(b.sending(1), sent),
             when(b.receiving(), got));
    }
  }
  void right() {
    const auto sent = [&] { sent_right = 2; };
    const auto got = [&](std::optional<int> item) { got_right = item; };
    if (variant % 4 < 2) {
      select(when(a.receiving(), got), when(b.sending(2), sent));
    } else {
      select(when(b.sending(2), sent), when(a.receiving(), got));
    }
  }
  void check() {
    EXPECT_EQ(parties_at(a) + parties_at(b), 0U);
    if (sent_left != 0) {
      EXPECT_EQ(got_right, 1);
      EXPECT_EQ(sent_right, 0);
      EXPECT_FALSE(got_left);
    } else {
      EXPECT_EQ(sent_right, 2);
      EXPECT_EQ(got_left, 2);
      EXPECT_FALSE(got_right);
    }
  }
};

TEST(SelectHunt, TwoSelectsMeetAtOneOfTwoChannels) {
  hunt<select_against_select>("two selects look, find nothing, and enlist at two channels at the same time");
}

struct send_against_a_select_that_leaves {
  channel<int> a;
  channel<int> b;
  std::optional<int> got;
  int sends = 0;

  void left() {
    const auto take = [&](std::optional<int> item) { got = item; };
    select(when(a.receiving(), take), when(b.receiving(), take));
  }
  void right() {
    while (sends == 0) {
      sends += a.try_send(1) ? 1 : 0;
      sends += b.try_send(2) ? 1 : 0;
    }
    sends += a.try_send(3) ? 1 : 0;
  }
  void check() {
    EXPECT_EQ(sends, 1) << "an item went to a select that had another one already";
    EXPECT_TRUE(got == 1 || got == 2);
    EXPECT_EQ(parties_at(a) + parties_at(b), 0U);
  }
};

TEST(SelectHunt, ASelectThatHasAnItemTakesNoSecondOne) {
  hunt<send_against_a_select_that_leaves>(
      "try_send() finds the entry of a select that another channel has served");
}

struct end_against_a_select_that_registers {
  const std::size_t variant = turn<end_against_a_select_that_registers>();
  channel<int> c;
  cancel_scope scope = with_cancel(background());
  bool sent = false;
  bool got = false;
  bool ended = false;

  void left() {
    select(when(c.receiving(), [&] { got = true; }), when(scope.done(), [&] { ended = true; }));
  }
  void right() {
    if (variant % 2 == 0) {
      sent = c.try_send(1).has_value();
      scope.cancel();
    } else {
      scope.cancel();
      sent = c.try_send(1).has_value();
    }
  }
  void check() {
    EXPECT_NE(got, ended);
    EXPECT_EQ(got, sent);
    EXPECT_EQ(parties_at(c), 0U);
  }
};

TEST(SelectHunt, ASelectEndsWithItsContextOrHasTheItem) {
  hunt<end_against_a_select_that_registers>(
      "a select stands in the list of its channel, but has not yet registered with its context");
}

}  // namespace
}  // namespace curfew
