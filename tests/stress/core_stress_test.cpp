// Many threads on one tree. Each test says which interleavings it hunts and prints its seed;
// CURFEW_SEED=<number> repeats the choices, though not the timing. Meant to be run under the sanitizers as
// well.

#include "core/tree.hpp"
#include "race.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <deque>
#include <functional>
#include <gtest/gtest.h>
#include <latch>
#include <memory>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::announce_seed;
using testing::dawdle;
using testing::hunt;
using testing::time_box;

constexpr key<std::uint64_t> origin{"origin"};

/// Waits for what the timer thread is still about to do. \return whether it came.
template <class Condition>
bool eventually(Condition condition) {
  for (const auto limit = clock::now() + 20s; clock::now() < limit;) {
    if (condition()) return true;
    std::this_thread::yield();
  }
  return false;
}

/// Counts the runs of a callback; afterwards says whether it ran exactly once or was prevented, never both.
struct run_record {
  std::atomic<int> runs{0};
  std::atomic<bool> gone{false};      // set after the destructor has returned
  std::atomic<bool> too_late{false};  // it ran although it was gone
  std::atomic<bool> alive{false};     // it ran although its context lived
  bool prevented = false;
};

/// A callback with its record, which outlives it.
class recorded_callback {
 public:
  recorded_callback(const context& ctx, std::shared_ptr<run_record> record)
      : record_(std::move(record)),
        callback_(ctx, [ctx, log = record_.get()] {
          ++log->runs;
          if (log->gone) log->too_late = true;
          if (!ctx.err()) log->alive = true;
        }) {}
  recorded_callback(const recorded_callback&) = delete;
  recorded_callback& operator=(const recorded_callback&) = delete;
  ~recorded_callback() {
    record_->prevented |= callback_.stop();
    // What follows shows that after stop() it does not run any more.
    record_->gone = true;
  }

 private:
  std::shared_ptr<run_record> record_;
  on_done<std::function<void()>> callback_;
};

/// One context of the tree, and what its end may be called.
struct place {
  std::optional<cancel_scope> scope;  // only its owner destroys it
  context ctx;
  const place* parent;
  std::string name;  // the text of the causes that begin here

  place(cancel_scope owned, const place* up, std::string id)
      : scope(std::move(owned)),
        ctx(*scope),
        parent(up),
        name(std::move(id)) {}
  place(context borrowed, const place* up, std::string id)
      : ctx(std::move(borrowed)),
        parent(up),
        name(std::move(id)) {}

  /// A cause that began at this very place.
  [[nodiscard]] bool is_mine(const cause& why) const {
    return why.message() == name || why == cause(errc::canceled) || why == cause(errc::deadline_exceeded);
  }
};

/// What one thread does to the shared tree, and all that it leaves for the check at the end.
class worker {
 public:
  worker(std::deque<place>& shared, std::vector<canceler>& cancelers, std::uint64_t seed, std::string name)
      : shared_(shared),
        cancelers_(cancelers),
        random_(seed),
        name_(std::move(name)) {}

  void run(int steps) {
    for (int i = 0; i != steps; ++i) step();
  }

  void finish() {
    callbacks_.clear();
    for (place& each : own_) each.scope.reset();
  }

  void check() const {
    for (const place& each : own_) check_place(each);
    for (const auto& record : records_) {
      EXPECT_EQ(record->runs + (record->prevented ? 1 : 0), 1);
      EXPECT_FALSE(record->too_late);
      EXPECT_FALSE(record->alive);
    }
    for (const std::stop_token& token : tokens_) {
      EXPECT_TRUE(eventually([&] { return token.stop_requested(); }));
    }
    EXPECT_TRUE(eventually([&] { return token_runs_ >= tokens_registered_; }));
    EXPECT_EQ(token_runs_, tokens_registered_);
  }

  static void check_place(const place& each) {
    if (each.parent == nullptr || !each.parent->ctx.err()) return;
    ASSERT_TRUE(eventually([&] { return !!each.ctx.err(); }))
        << each.name << " lives under " << each.parent->name;
    const cause why = each.ctx.cause();
    EXPECT_TRUE(why == each.parent->ctx.cause() || each.is_mine(why))
        << each.name << " ended with \"" << why << '"';
    if (why == each.parent->ctx.cause() && !each.is_mine(why)) {
      EXPECT_EQ(each.ctx.err(), each.parent->ctx.err());
    }
  }

 private:
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }

  /// Any place that this thread can see: a shared one or its own.
  const place& any() {
    if (own_.empty() || pick(2) == 0) return shared_[pick(shared_.size())];
    return own_[pick(own_.size())];
  }

  void step() {
    switch (pick(16)) {
      case 0:
      case 1:
        derive([](const context& ctx, const std::string&) { return with_cancel(ctx); });
        break;
      case 2:
      case 3:
        derive([this](const context& ctx, const std::string& id) {
          return with_timeout(ctx, std::chrono::microseconds(pick(4000)), cause(id));
        });
        break;
      case 4: {
        const place& up = any();
        own_.emplace_back(with_value(up.ctx, origin, random_()), &up, up.name);
        break;
      }
      case 5:
        if (!own_.empty()) own_[pick(own_.size())].scope.reset();
        break;
      case 6:
      case 7: {
        records_.push_back(std::make_shared<run_record>());
        callbacks_.push_back(std::make_unique<recorded_callback>(any().ctx, records_.back()));
        break;
      }
      case 8:
      case 9:
        if (!callbacks_.empty()) {
          std::swap(callbacks_[pick(callbacks_.size())], callbacks_.back());
          callbacks_.pop_back();
        }
        break;
      case 10:
        copy_around();
        break;
      case 11:
        look(any().ctx);
        break;
      case 12:
        if (pick(4) == 0) cancel_one();
        break;
      case 13:
        cancelers_.size() > 1 && pick(8) == 0 ? use_canceler() : look(any().ctx);
        break;
      case 14:
        take_token(any().ctx);
        break;
      case 15:
        std::ignore = any().ctx.done().wait_for(std::chrono::nanoseconds(pick(2) * 1000));
        break;
    }
  }

  template <class Derive>
  void derive(Derive make) {
    const place& up = any();
    std::string id = name_ + '.' + std::to_string(own_.size());
    cancel_scope scope = make(up.ctx, id);
    own_.emplace_back(std::move(scope), &up, std::move(id));
  }

  void cancel_one() {
    place& victim =
        pick(2) == 0 || own_.empty() ? shared_[1 + pick(shared_.size() - 1)] : own_[pick(own_.size())];
    if (victim.scope) victim.scope->cancel(cause(victim.name));
  }

  void use_canceler() {
    const std::size_t which = 1 + pick(cancelers_.size() - 1);
    const canceler copy = cancelers_[which];
    copy.cancel(cause(shared_[which].name));
  }

  void copy_around() {
    context one = any().ctx;
    context two = any().ctx;
    const context three = one;
    two = one;
    one = std::move(two);
    look(three);
  }

  static void look(const context& ctx) {
    const std::error_code err = ctx.err();
    const cause why = ctx.cause();
    if (err) {
      EXPECT_TRUE(why);
      EXPECT_FALSE(why.message().empty());
      EXPECT_EQ(ctx.err(), err);
      EXPECT_EQ(ctx.cause(), why);
      EXPECT_TRUE(with_cancel(ctx).err());
    }
    std::ignore = ctx.value(origin);
    std::ignore = ctx.remaining();
  }

  void take_token(const context& ctx) {
    tokens_.push_back(ctx.stop_token());
    if (!tokens_.back().stop_possible()) {
      tokens_.pop_back();
      return;
    }
    ++tokens_registered_;
    stop_callbacks_.emplace_back(tokens_.back(), [this] { ++token_runs_; });
  }

  std::deque<place>& shared_;
  std::vector<canceler>& cancelers_;
  std::mt19937_64 random_;
  const std::string name_;
  std::deque<place> own_;
  std::vector<std::shared_ptr<run_record>> records_;
  std::vector<std::unique_ptr<recorded_callback>> callbacks_;
  std::vector<std::stop_token> tokens_;
  int tokens_registered_ = 0;
  std::atomic<int> token_runs_{0};
  std::deque<std::stop_callback<std::function<void()>>> stop_callbacks_;
};

void stress_one_tree(const context& root, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::deque<place> shared;
  std::vector<canceler> cancelers;
  shared.emplace_back(with_cancel(root), nullptr, "root");
  for (int i = 1; i != 24; ++i) {
    const place& up = shared[random() % shared.size()];
    const std::string id = "shared " + std::to_string(i);
    if (random() % 3 == 0) {
      shared.emplace_back(with_timeout(up.ctx, std::chrono::microseconds(random() % 20'000), cause(id)), &up,
                          id);
    } else {
      shared.emplace_back(with_cancel(up.ctx), &up, id);
    }
  }
  for (const place& each : shared) cancelers.push_back(each.scope->canceler());

  const std::size_t threads = 2 + random() % 7;
  std::deque<worker> workers;
  for (std::size_t i = 0; i != threads; ++i) {
    workers.emplace_back(shared, cancelers, random(), std::string(1, static_cast<char>('a' + i)));
  }
  {
    std::latch start(static_cast<std::ptrdiff_t>(threads));
    std::vector<std::jthread> running;
    for (worker& each : workers) {
      running.emplace_back([&] {
        start.arrive_and_wait();
        each.run(300);
      });
    }
    if (random() % 2 == 0) cancelers.front().cancel("root");  // in the middle of it
  }
  for (const place& each : shared) worker::check_place(each);
  shared.front().scope->cancel("root");
  for (worker& each : workers) each.finish();
  for (const place& each : shared) {
    EXPECT_TRUE(eventually([&] { return !!each.ctx.err(); })) << each.name;
    worker::check_place(each);
  }
  for (place& each : shared) each.scope.reset();
  for (const worker& each : workers) each.check();
}

TEST(CoreStress, TreeKeepsItsInvariantsOnTheSystemsClock) {
  const std::uint64_t seed = announce_seed("everything against everything, and the timer thread");
  const time_box box(3s);
  for (std::uint64_t i = 0; box.open() && !::testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE("round " + std::to_string(i));
    stress_one_tree(background(), seed + i);
  }
}

// ---- single interleavings that the random tests meet too rarely

struct cancel_against_derive {
  cancel_scope parent = with_cancel(background());
  std::optional<cancel_scope> child;
  std::optional<cancel_scope> grandchild;

  void left() { parent.cancel("parent"); }
  void right() {
    child.emplace(with_cancel(parent));
    grandchild.emplace(with_timeout(*child, 1h));
  }
  void check() const {
    EXPECT_EQ(child->cause().message(), "parent");
    EXPECT_EQ(grandchild->cause().message(), "parent");
  }
};

TEST(CoreStress, CancelAgainstDerive) {
  hunt<cancel_against_derive>("the parent ends while a child is attached");
}

struct cancel_against_release {
  cancel_scope parent = with_cancel(background());
  std::optional<cancel_scope> first{with_cancel(parent)};
  std::optional<cancel_scope> second{with_timeout(parent, 1h)};
  std::optional<cancel_scope> below{with_cancel(*second)};

  void left() { parent.cancel("parent"); }
  void right() {
    first.reset();
    second.reset();
    below.reset();
  }
  void check() const { EXPECT_TRUE(parent.err()); }
};

TEST(CoreStress, CancelAgainstRelease) {
  hunt<cancel_against_release>("the parent takes its list while children leave it");
}

struct two_cancels {
  cancel_scope scope = with_cancel(background());
  cancel_scope child = with_cancel(scope);
  int runs = 0;
  on_done<std::function<void()>> once{scope, [this] { ++runs; }};

  void left() { scope.cancel("left"); }
  void right() { scope.cancel("right"); }
  void check() const {
    EXPECT_EQ(runs, 1);
    EXPECT_TRUE(scope.cause().message() == "left" || scope.cause().message() == "right");
    EXPECT_EQ(child.cause(), scope.cause());
  }
};

TEST(CoreStress, TwoCancels) { hunt<two_cancels>("two threads cancel one scope"); }

struct cancels_above_and_below {
  cancel_scope top = with_cancel(background());
  cancel_scope middle = with_cancel(top);
  cancel_scope bottom = with_timeout(middle, 1h);

  void left() { top.cancel("top"); }
  void right() { middle.cancel("middle"); }
  void check() const {
    EXPECT_TRUE(middle.cause().message() == "top" || middle.cause().message() == "middle");
    EXPECT_EQ(bottom.cause(), middle.cause());
  }
};

TEST(CoreStress, CancelsAboveAndBelow) {
  hunt<cancels_above_and_below>("a subtree is ended from two of its places");
}

struct timer_against_cancel {
  testing::manual_clock clock;
  std::optional<cancel_scope> scope{with_timeout(clock.background(), 1s, "deadline")};
  context ctx{*scope};
  int runs = 0;
  on_done<std::function<void()>> once{ctx, [this] { ++runs; }};

  void left() { clock.advance(1s); }
  void right() {
    scope->cancel("cancel");
    scope.reset();
  }
  void check() const {
    EXPECT_EQ(runs, 1);
    EXPECT_EQ(ctx.cause().message(), ctx.err() == errc::deadline_exceeded ? "deadline" : "cancel");
  }
};

TEST(CoreStress, TimerAgainstCancel) { hunt<timer_against_cancel>("the deadline against cancel()"); }

struct timer_against_the_parent {
  testing::manual_clock clock;
  cancel_scope parent = with_cancel(clock.background());
  std::optional<cancel_scope> scope{with_timeout(parent, 1s, "deadline")};
  context below{with_value(*scope, origin, 1)};

  void left() { clock.advance(1s); }
  void right() {
    parent.cancel("parent");
    scope.reset();
  }
  void check() const {
    EXPECT_EQ(below.cause().message(), below.err() == errc::deadline_exceeded ? "deadline" : "parent");
  }
};

TEST(CoreStress, TimerAgainstTheParent) {
  hunt<timer_against_the_parent>("the deadline against the parent's end");
}

struct arm_against_cancel {
  testing::manual_clock clock;
  cancel_scope parent = with_cancel(clock.background());
  std::vector<cancel_scope> scopes;

  void left() {
    for (int i = 0; i != 20; ++i) scopes.push_back(with_timeout(parent, 1s));
  }
  void right() { parent.cancel("parent"); }
  void check() const {
    for (const cancel_scope& each : scopes) {
      const auto* node = static_cast<const detail::deadline_node*>(detail::ender_of(each));
      EXPECT_EQ(each.cause().message(), "parent");
      EXPECT_FALSE(static_cast<const detail::list_hook<detail::timers>*>(node)->is_linked())
          << "a timer was left behind";
      EXPECT_EQ(node->refs, 1U);
    }
  }
};

TEST(CoreStress, ArmAgainstCancel) {
  hunt<arm_against_cancel>("the parent ends after the child is attached and before its timer is set");
}

struct last_release_against_callback {
  std::optional<cancel_scope> scope{with_cancel(background())};
  std::optional<context> ctx{with_value(*scope, origin, 7)};
  std::uint64_t seen = 0;
  std::optional<on_done<std::function<void()>>> look{std::in_place, *ctx,
                                                     [this, inner = *ctx] { seen = *inner.value(origin); }};

  void left() { scope.reset(); }
  void right() {
    ctx.reset();
    look.reset();
  }
  void check() const { EXPECT_TRUE(seen == 0 || seen == 7); }
};

TEST(CoreStress, LastReleaseAgainstCallback) {
  hunt<last_release_against_callback>("the callback's context goes while the callback runs");
}

struct copies_against_release {
  std::optional<context> ctx{with_value(with_value(background(), origin, 1), origin, 2)};
  context other{*ctx};

  void left() {
    for (int i = 0; i != 20; ++i) {
      const context copy = *ctx;
      const context another = copy;
    }
    ctx.reset();
  }
  void right() {
    for (int i = 0; i != 20; ++i) {
      const context copy = other;
      EXPECT_EQ(*copy.value(origin), 2U);
    }
    other = background();
  }
  void check() const { EXPECT_FALSE(ctx); }
};

TEST(CoreStress, CopiesAgainstRelease) {
  hunt<copies_against_release>("two threads drop the last references");
}

TEST(CoreStress, SystemDeadlinesAgainstTheirScopes) {
  std::mt19937_64 random(announce_seed("the timer thread pops a deadline while its scope cancels or goes"));
  std::atomic<int> runs{0};
  int made = 0;
  for (const time_box box(1s); box.open();) {
    auto scope = with_timeout(background(), std::chrono::nanoseconds(random() % 200'000));
    on_done<std::function<void()>> once(scope, [&] { ++runs; });
    ++made;
    for (auto n = random() % 16; n != 0; --n) dawdle(random);
    switch (random() % 4) {
      case 0:
        scope.cancel();
        break;
      case 1:
        made -= once.stop() ? 1 : 0;
        break;
      case 2:
        std::ignore = scope.done().wait();
        break;
      default: {
        const cancel_scope gone = std::move(scope);
      }
    }
    // A run in the timer's thread ends before `once` goes; one that has not begun is prevented then.
    made -= once.stop() ? 1 : 0;
  }
  EXPECT_EQ(runs, made);
}

TEST(CoreStress, ManualClockMovedWhileOthersDerive) {
  const std::uint64_t seed = announce_seed("advance() against with_timeout(), cancel() and the scopes' ends");
  testing::manual_clock clock;
  std::atomic<bool> stop{false};
  std::vector<std::jthread> threads;
  for (std::uint64_t t = 0; t != 3; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(seed + t);
      std::vector<cancel_scope> kept;
      for (const time_box box(500ms); box.open();) {
        kept.push_back(with_timeout(clock.background(), std::chrono::nanoseconds(random() % 1000)));
        if (random() % 4 == 0) kept.back().cancel();
        if (kept.size() > 64) kept.erase(kept.begin(), kept.begin() + 32);
      }
      const auto last = clock.now();
      for (const cancel_scope& each : kept) {
        if (*each.deadline() > last) continue;
        EXPECT_TRUE(eventually([&] { return !!each.err(); }));
      }
      stop = true;
    });
  }
  std::mt19937_64 random(seed);
  while (!stop) clock.advance(std::chrono::nanoseconds(random() % 50));
  threads.clear();
}

}  // namespace
}  // namespace curfew
