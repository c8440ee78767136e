// Random scripts, done by channels and by a reference that is too plain to be wrong; after each step both have
// to agree. A failure prints its seed and its script; CURFEW_SEED=<seed> repeats it.

#include "race.hpp"
#include "sync/waiting.hpp"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/sync/channel.hpp>
#include <curfew/sync/select.hpp>
#include <deque>
#include <gtest/gtest.h>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using testing::announce_seed;
using testing::receivers_at;
using testing::senders_at;

enum class said : unsigned char { yes, closed, would_block };

std::ostream& operator<<(std::ostream& out, said s) {
  return out << (s == said::yes ? "yes" : s == said::closed ? "closed" : "would block");
}

// ---- one thread: what does not wait

/// A channel with a buffer, for one thread.
class plain_queue {
 public:
  explicit plain_queue(std::size_t capacity) : capacity_(capacity) {}

  said send(int item) {
    if (closed_) return said::closed;
    if (items_.size() == capacity_) return said::would_block;
    items_.push_back(item);
    return said::yes;
  }
  std::pair<said, int> receive() {
    if (items_.empty()) return {closed_ ? said::closed : said::would_block, 0};
    const int item = items_.front();
    items_.pop_front();
    return {said::yes, item};
  }
  void close() { closed_ = true; }
  [[nodiscard]] bool closed() const { return closed_; }
  [[nodiscard]] std::size_t size() const { return items_.size(); }

 private:
  const std::size_t capacity_;
  std::deque<int> items_;
  bool closed_ = false;
};

said what(const result<>& sent) {
  if (sent) return said::yes;
  return sent.error() == errc::closed ? said::closed : said::would_block;
}

std::pair<said, int> what(const result<std::optional<int>>& got) {
  if (!got) return {said::would_block, 0};
  return *got ? std::pair(said::yes, **got) : std::pair(said::closed, 0);
}

/// Sends in one of the ways that do not wait; `can` says that the plain form would not wait either.
said send(channel<int>& c, int item, std::uint64_t way, bool can) {
  said told = said::would_block;
  const auto tell = [&](const result<>& sent) { told = what(sent); };
  switch (way % 4) {
    case 0:
      select(when(c.sending(item), tell), otherwise([] {}));
      break;
    case 1: {
      case_list cases;
      cases.when(c.sending(item), tell);
      std::ignore = try_select(cases);
      break;
    }
    case 2:
      if (can) {
        told = what(c.send(background(), item));
        break;
      }
      [[fallthrough]];
    default:
      told = what(c.try_send(item));
  }
  return told;
}

std::pair<said, int> receive(channel<int>& c, std::uint64_t way, bool can) {
  std::pair told(said::would_block, 0);
  const auto tell = [&](std::optional<int> item) { told = what(result<std::optional<int>>(item)); };
  switch (way % 4) {
    case 0:
      select(when(c.receiving(), tell), otherwise([] {}));
      break;
    case 1: {
      case_list cases;
      cases.when(c.receiving(), tell);
      std::ignore = try_select(cases);
      break;
    }
    case 2:
      if (can) {
        told = what(c.receive(background()));
        break;
      }
      [[fallthrough]];
    default:
      told = what(c.try_receive());
  }
  return told;
}

TEST(ChannelDifferential, AgreesWithAPlainQueueInOneThread) {
  const std::uint64_t seed = announce_seed("random scripts of one channel in one thread");
  for (std::uint64_t script = 0; script != 300; ++script) {
    std::mt19937_64 random(seed + script);
    const std::size_t capacity = random() % 6;
    channel<int> c(capacity);
    plain_queue expected(capacity);
    std::ostringstream log;
    log << "seed " << seed << ", script " << script << ", capacity " << capacity << ':';
    for (int step = 0; step != 150; ++step) {
      const std::uint64_t way = random();
      switch (const auto roll = random() % 100; roll) {
        case 0:
          log << " close";
          c.close();
          expected.close();
          break;
        default:
          if (roll < 50) {
            log << " send " << step;
            const bool can = expected.closed() || expected.size() != capacity;
            ASSERT_EQ(send(c, step, way, can), expected.send(step)) << log.str();
          } else {
            log << " receive";
            const bool can = expected.closed() || expected.size() != 0;
            ASSERT_EQ(receive(c, way, can), expected.receive()) << log.str();
          }
      }
      ASSERT_EQ(c.size(), expected.size()) << log.str();
      ASSERT_EQ(c.closed(), expected.closed()) << log.str();
      ASSERT_EQ(receivers_at(c) + senders_at(c), 0U) << log.str();
    }
  }
}

// ---- one thread: parties that wait

constexpr std::size_t channel_count = 3;

/// What a party waits for, or what has happened to it.
struct offer {
  std::size_t channel;
  bool sends;
  int item;
};
struct outcome {
  std::size_t which;
  said told;
  int item;

  friend bool operator==(const outcome&, const outcome&) = default;
  friend std::ostream& operator<<(std::ostream& out, const outcome& o) {
    return out << "case " << o.which << ": " << o.told << ' ' << o.item;
  }
};

/// Channels with parties that wait, as Go defines them; the parties are numbers.
class reference {
 public:
  struct party {
    int number;
    std::vector<offer> offers;
    std::optional<outcome> happened{};
  };

  explicit reference(std::array<std::size_t, channel_count> capacities) : capacities_(capacities) {}

  /// What the offer would give at once; not done.
  [[nodiscard]] said look(const offer& o) const {
    const place& at = places_[o.channel];
    if (o.sends) {
      if (at.closed) return said::closed;
      return waiting(o.channel, false) != nullptr || at.items.size() < capacities_[o.channel]
                 ? said::yes
                 : said::would_block;
    }
    if (!at.items.empty() || waiting(o.channel, true) != nullptr) return said::yes;
    return at.closed ? said::closed : said::would_block;
  }

  /// Does what look() promised. \return the item that was received.
  int act(const offer& o) {
    place& at = places_[o.channel];
    const said now = look(o);
    if (now != said::yes) return 0;
    const waiter_at* other = waiting(o.channel, !o.sends);
    if (o.sends) {
      other != nullptr ? finish(*other, said::yes, o.item) : at.items.push_back(o.item);
      return 0;
    }
    if (other != nullptr) {  // its item comes last
      at.items.push_back(parties_.at(other->party).offers[other->which].item);
      finish(*other, said::yes, 0);
    }
    const int item = at.items.front();
    at.items.pop_front();
    return item;
  }

  void wait(party p) {
    for (std::size_t i = 0; i != p.offers.size(); ++i) {
      places_[p.offers[i].channel].line.push_back({p.number, i, p.offers[i].sends});
    }
    parties_.emplace(p.number, std::move(p));
  }

  void close(std::size_t c) {
    places_[c].closed = true;
    for (const bool sends : {false, true}) {
      while (const waiter_at* w = waiting(c, sends)) finish(*w, said::closed, 0);
    }
  }

  void forget(int number) {
    parties_.erase(number);
    for (place& at : places_) std::erase_if(at.line, [&](const waiter_at& w) { return w.party == number; });
  }

  [[nodiscard]] const std::map<int, party>& parties() const { return parties_; }
  [[nodiscard]] std::size_t size(std::size_t c) const { return places_[c].items.size(); }
  [[nodiscard]] std::size_t in_line(std::size_t c, bool sends) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(places_[c].line, [&](const waiter_at& w) { return w.sends == sends; }));
  }

 private:
  struct waiter_at {
    int party;
    std::size_t which;
    bool sends;
  };
  struct place {
    std::deque<int> items;
    std::deque<waiter_at> line;
    bool closed = false;
  };

  [[nodiscard]] const waiter_at* waiting(std::size_t c, bool sends) const {
    for (const waiter_at& w : places_[c].line) {
      if (w.sends == sends && !parties_.at(w.party).happened) return &w;
    }
    return nullptr;
  }
  void finish(const waiter_at& w, said told, int item) {
    parties_.at(w.party).happened = outcome{w.which, told, item};
  }

  std::array<std::size_t, channel_count> capacities_;
  std::array<place, channel_count> places_;
  std::map<int, party> parties_;
};

/// A waiter without a thread: it is looked at.
class watched_waiter final : public detail::waiter {
 public:
  watched_waiter() noexcept : waiter([](waiter&) noexcept {}, [](const waiter&) noexcept { return false; }) {}
  [[nodiscard]] const detail::wait_entry* over() const noexcept {
    return is_finished() ? ended_by() : nullptr;
  }
};

/// A select that has come as far as to wait.
struct pending {
  std::vector<int> items;  // of the cases that send; they stay where they are
  case_list cases;
  std::optional<outcome> happened;
  cancel_scope scope = with_cancel(background());
  watched_waiter waiter;
};

constexpr int was_canceled = -1;

class script {
 public:
  explicit script(std::uint64_t seed) : random_(seed) {
    log_ << "seed " << seed << ", capacities";
    for (std::size_t i = 0; i != channel_count; ++i) {
      channels_.emplace_back(capacities_[i]);
      log_ << ' ' << capacities_[i];
    }
    log_ << ':';
  }

  void run(int steps) {
    for (int i = 0; i != steps && !::testing::Test::HasFatalFailure(); ++i) step();
    while (!pending_.empty() && !::testing::Test::HasFatalFailure()) cancel(pending_.begin()->first);
  }

 private:
  void step() {
    switch (const auto roll = random_() % 64; roll) {
      case 0:
        close(random_() % channel_count);
        break;
      default:
        if (roll < 40) {
          come();
        } else if (roll < 48 && !pending_.empty()) {
          cancel(
              std::next(pending_.begin(), static_cast<std::ptrdiff_t>(random_() % pending_.size()))->first);
        } else {
          try_one();
        }
    }
    compare();
  }

  offer any_offer() { return {random_() % channel_count, random_() % 2 == 0, next_++}; }

  void try_one() {
    const offer o = any_offer();
    channel<int>& c = channels_[o.channel];
    const said expected = expected_.look(o);
    const int item = expected_.act(o);
    log_ << (o.sends ? " try_send " : " try_receive ") << o.channel;
    if (o.sends) {
      ASSERT_EQ(what(c.try_send(o.item)), expected) << log_.str();
    } else {
      ASSERT_EQ(what(c.try_receive()), std::pair(expected, item)) << log_.str();
    }
  }

  /// A select of up to four cases: it happens at once, or waits.
  void come() {
    reference::party p{next_++, {}};
    for (auto n = 1 + random_() % 4; n != 0; --n) p.offers.push_back(any_offer());
    log_ << " select#" << p.number << '(';
    auto& mine = pending_[p.number];
    mine = std::make_unique<pending>();
    for (const offer& o : p.offers) mine->items.push_back(o.item);
    for (std::size_t i = 0; i != p.offers.size(); ++i) {
      const offer& o = p.offers[i];
      log_ << (o.sends ? " send " : " receive ") << o.channel;
      pending& m = *mine;
      if (o.sends) {
        mine->cases.when(channels_[o.channel].sending_from(mine->items[i]),
                         [&m, i](const result<>& sent) { m.happened = outcome{i, what(sent), 0}; });
      } else {
        mine->cases.when(channels_[o.channel].receiving(), [&m, i](std::optional<int> item) {
          const auto [told, got] = what(result<std::optional<int>>(item));
          m.happened = outcome{i, told, got};
        });
      }
    }
    mine->cases.when(mine->scope.done(),
                     [&m = *mine] { m.happened = outcome{m.cases.size() - 1, said::yes, was_canceled}; });
    log_ << ')';
    const auto all = detail::case_list_access::all(mine->cases);
    const std::size_t which = detail::select_enlist(all, mine->waiter);
    if (which == detail::no_case) {
      for (const offer& o : p.offers) ASSERT_EQ(expected_.look(o), said::would_block) << log_.str();
      expected_.wait(std::move(p));
      return;
    }
    log_ << '=' << which;
    ASSERT_LT(which, p.offers.size()) << log_.str();
    const said told = expected_.look(p.offers[which]);
    ASSERT_NE(told, said::would_block) << log_.str();
    const int item = expected_.act(p.offers[which]);
    all[which]->run();
    ASSERT_EQ(mine->happened, (outcome{which, told, item})) << log_.str();
    pending_.erase(p.number);
  }

  void cancel(int number) {
    log_ << " cancel#" << number;
    pending& m = *pending_.at(number);
    m.scope.cancel();
    leave(number, {m.cases.size() - 1, said::yes, was_canceled});
  }

  void close(std::size_t c) {
    log_ << " close " << c;
    channels_[c].close();
    expected_.close(c);
  }

  void leave(int number, const outcome& expected) {
    pending& m = *pending_.at(number);
    ASSERT_NE(m.waiter.over(), nullptr) << '#' << number << " still waits: " << log_.str();
    const auto all = detail::case_list_access::all(m.cases);
    all[detail::select_delist(all, m.waiter.over())]->run();
    ASSERT_EQ(m.happened, expected) << '#' << number << ": " << log_.str();
    expected_.forget(number);
    pending_.erase(number);
  }

  void compare() {
    std::vector<std::pair<int, outcome>> over;
    for (const auto& [number, party] : expected_.parties()) {
      if (party.happened) {
        over.emplace_back(number, *party.happened);
      } else {
        ASSERT_EQ(pending_.at(number)->waiter.over(), nullptr) << '#' << number << ": " << log_.str();
      }
    }
    for (const auto& [number, happened] : over) ASSERT_NO_FATAL_FAILURE(leave(number, happened));
    for (std::size_t c = 0; c != channel_count; ++c) {
      ASSERT_EQ(channels_[c].size(), expected_.size(c)) << log_.str();
      ASSERT_EQ(senders_at(channels_[c]), expected_.in_line(c, true)) << log_.str();
      ASSERT_EQ(receivers_at(channels_[c]), expected_.in_line(c, false)) << log_.str();
    }
  }

  std::mt19937_64 random_;
  std::ostringstream log_;
  std::array<std::size_t, channel_count> capacities_{0, 1, 1 + random_() % 3};
  std::deque<channel<int>> channels_;
  reference expected_{capacities_};
  std::map<int, std::unique_ptr<pending>> pending_;
  int next_ = 1;
};

TEST(ChannelDifferential, AgreesWithAReferenceOnPartiesThatWait) {
  const std::uint64_t seed = announce_seed("random scripts of selects that wait, in one thread");
  for (std::uint64_t i = 0; i != 300; ++i) {
    script(seed + i).run(60);
    if (HasFatalFailure()) return;
  }
}

// ---- threads

/// The same between threads, with one mutex and no thought of speed.
class locked_queue {
 public:
  explicit locked_queue(std::size_t capacity) : capacity_(capacity) {}

  result<> send(const context& /*ctx*/, int item) {
    std::unique_lock guard(mutex_);
    changed_.wait(guard, [&] { return closed_ || items_.size() < capacity_; });
    if (closed_) return std::unexpected(error(errc::closed));
    items_.push_back(item);
    changed_.notify_all();
    return {};
  }
  result<std::optional<int>> receive(const context& /*ctx*/) {
    std::unique_lock guard(mutex_);
    changed_.wait(guard, [&] { return closed_ || !items_.empty(); });
    if (items_.empty()) return std::nullopt;
    const int item = items_.front();
    items_.pop_front();
    changed_.notify_all();
    return item;
  }
  void close() {
    const std::lock_guard guard(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  const std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<int> items_;
  bool closed_ = false;
};

/// What three receivers get of what three senders send, each item once.
template <class Queue>
std::vector<int> all_received(Queue& queue) {
  constexpr int senders = 3;
  constexpr int each = 1500;
  std::array<std::vector<int>, 3> received;
  {
    std::vector<std::jthread> receivers;
    for (auto& mine : received) {
      receivers.emplace_back([&] {
        while (auto item = queue.receive(background()).value()) mine.push_back(*item);
      });
    }
    std::vector<std::jthread> sending;
    for (int s = 0; s != senders; ++s) {
      sending.emplace_back([&, s] {
        for (int i = 0; i != each; ++i) ASSERT_TRUE(queue.send(background(), s * each + i));
      });
    }
    sending.clear();
    queue.close();
  }
  std::vector<int> all;
  for (const auto& mine : received) {
    std::array<int, senders> last{-1, -1, -1};
    for (const int item : mine) {
      int& before = last[static_cast<std::size_t>(item / each)];
      EXPECT_LT(before, item);
      before = item;
    }
    all.insert(all.end(), mine.begin(), mine.end());
  }
  std::ranges::sort(all);
  return all;
}

TEST(ChannelDifferential, GivesThreadsTheSameItemsAsALockedQueue) {
  for (const std::size_t capacity : {1U, 2U, 50U}) {
    locked_queue plain(capacity);
    channel<int> c(capacity);
    EXPECT_EQ(all_received(c), all_received(plain));
  }
}

}  // namespace
}  // namespace curfew
