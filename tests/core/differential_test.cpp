// Random scripts, done by the library and by a reference that is too plain to be wrong; after each step both
// have to say the same of every context. A failure prints its seed and its script; CURFEW_SEED=<seed> repeats
// it.

#include "core/allocations.hpp"
#include "race.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <functional>
#include <gtest/gtest.h>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <random>
#include <span>
#include <stop_token>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using std::chrono::nanoseconds;
using testing::manual_clock;

// More keys than the library has classes of them, so that some share one.
constexpr std::array<key<int>, 6> keys{key<int>{"a"}, key<int>{"b"}, key<int>{"c"},
                                       key<int>{"d"}, key<int>{"e"}, key<int>{"f"}};
constexpr std::size_t clock_count = 2;

using ticks = std::int64_t;  // nanoseconds since the epoch of a clock
constexpr ticks never = std::numeric_limits<ticks>::max();

/// A cause as plain data; empty for none.
struct reason {
  std::error_code code;
  std::string text;

  friend bool operator==(const reason&, const reason&) = default;
  friend std::ostream& operator<<(std::ostream& out, const reason& r) {
    return out << r.code << " \"" << r.text << '"';
  }
};

reason reason_of(const cause& why) { return {why.code(), why.message()}; }

/// A run of a callback: which one, and when by the clock of its context.
struct firing {
  int callback;
  ticks at;

  friend auto operator<=>(const firing&, const firing&) = default;
  friend std::ostream& operator<<(std::ostream& out, const firing& f) {
    return out << 'f' << f.callback << '@' << f.at;
  }
};

/// What contexts are, without a thought of speed, memory or threads: places are numbers and never go.
class reference {
 public:
  struct place {
    std::size_t clock;
    ticks deadline = never;  // the nearest from here up
    bool timed = false;      // it is its own, and still to come
    reason by_deadline{};    // the cause if it ends so
    std::array<int, keys.size()> values{};
    std::vector<int> below{};  // what ends with it
    bool can_end = false;
    std::error_code err = background().err();
    reason why{};
    struct waiting {
      int callback;
      int cancels;  // the place that it cancels; -1: none
    };
    std::vector<waiting> callbacks{};
  };

  int root(std::size_t clock) { return add({.clock = clock}); }

  int child(int above, ticks deadline = never, reason by_deadline = {}) {
    place made = heir(above);
    made.timed = deadline < made.deadline;
    if (made.timed) made.deadline = deadline;
    made.by_deadline = std::move(by_deadline);
    made.can_end = true;
    const int n = add(std::move(made));
    follow(n, above);
    if (at(n).timed && deadline <= now[at(n).clock]) end(n, errc::deadline_exceeded, at(n).by_deadline);
    return n;
  }

  int with_value(int above, std::size_t key, int value) {
    place made = heir(above);
    made.values[key] = value;
    made.can_end = at(above).can_end;
    const int n = add(std::move(made));
    follow(n, above);
    return n;
  }

  int without_cancel(int above) { return add({.clock = at(above).clock, .values = at(above).values}); }

  int merge(const std::vector<int>& all) {
    place made = heir(all.front());
    made.can_end = true;
    for (const int other : all) {
      if (at(other).clock == made.clock) made.deadline = std::min(made.deadline, at(other).deadline);
      for (std::size_t k = 0; k != keys.size(); ++k) {
        if (made.values[k] == 0) made.values[k] = at(other).values[k];
      }
    }
    const int n = add(std::move(made));
    for (const int other : all) follow(n, other);
    return n;
  }

  void end(int n, std::error_code err, reason why) {
    if (!at(n).can_end || at(n).err) return;
    if (why == reason()) why = {err, err.message()};
    std::vector<int> ended{n};  // all below first
    at(n).err = err;
    for (std::size_t i = 0; i != ended.size(); ++i) {
      at(ended[i]).why = why;
      for (const int b : at(ended[i]).below) {
        if (!at(b).err) ended.push_back(b);
        at(b).err = at(b).err ? at(b).err : err;
      }
    }
    for (const int e : ended) {
      for (const auto& each : std::exchange(at(e).callbacks, {})) run(e, each);
    }
  }

  void on_done(int n, int callback, int cancels) {
    if (at(n).err) return run(n, {callback, cancels});
    at(n).callbacks.push_back({callback, cancels});
  }

  /// \return whether it prevented the run.
  bool remove(int n, int callback) {
    return std::erase_if(at(n).callbacks, [&](const auto& each) { return each.callback == callback; }) != 0;
  }

  /// The next place to end by itself, the older first; -1 for none.
  [[nodiscard]] int next(std::size_t clock) const {
    int first = -1;
    for (std::size_t n = 0; n != places_.size(); ++n) {
      const place& p = places_[n];
      if (p.clock == clock && p.timed && !p.err && (first == -1 || p.deadline < at(first).deadline))
        first = static_cast<int>(n);
    }
    return first;
  }

  void advance_to(std::size_t clock, ticks target) {
    for (int n = next(clock); n != -1 && at(n).deadline <= target; n = next(clock)) {
      now[clock] = at(n).deadline;
      end(n, errc::deadline_exceeded, at(n).by_deadline);
    }
    now[clock] = std::max(now[clock], target);
  }

  place& at(int n) { return places_[static_cast<std::size_t>(n)]; }
  [[nodiscard]] const place& at(int n) const { return places_[static_cast<std::size_t>(n)]; }

  std::array<ticks, clock_count> now{};
  std::vector<firing> fired;

 private:
  int add(place made) {
    places_.push_back(std::move(made));
    return static_cast<int>(places_.size()) - 1;
  }

  [[nodiscard]] place heir(int above) const {
    return {.clock = at(above).clock, .deadline = at(above).deadline, .values = at(above).values};
  }

  void follow(int n, int above) {
    if (at(above).err) return end(n, at(above).err, at(above).why);
    at(above).below.push_back(n);
  }

  void run(int n, place::waiting each) {
    fired.push_back({each.callback, now[at(n).clock]});
    if (each.cancels != -1) end(each.cancels, errc::canceled, {});
  }

  std::vector<place> places_;
};

ticks saturated_sum(ticks a, ticks b) {
  ticks sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return b > 0 ? never : std::numeric_limits<ticks>::min();
  return sum;
}

/// One random script.
class script {
 public:
  script(std::uint64_t seed, std::size_t most, std::ostream* log) : random_(seed), most_(most), log_(log) {
    for (std::size_t c = 0; c != clock_count; ++c) {
      contexts_.push_back({clocks_[c].emplace().background(), reference_.root(c)});
    }
  }

  /// Does `steps` steps and then drops everything, piece by piece. Ends at the first difference.
  /// \return how much it did.
  int run(int steps, int at_most = std::numeric_limits<int>::max()) {
    const bool failed_before = ::testing::Test::HasFailure();
    for (int done = 0; done != at_most; ++done) {
      if (done < steps) {
        step();
      } else {
        finishing_ = true;
        if (!drop_anything()) return done;
      }
      compare();
      if (!failed_before && ::testing::Test::HasFailure()) return done + 1;
    }
    return at_most;
  }

 private:
  struct held {
    context ctx;
    int place;
  };
  struct owned {
    cancel_scope scope;
    int place;
  };
  struct listening {
    std::unique_ptr<on_done<std::function<void()>>> callback;
    int place;
    int id;
  };
  struct far_hand {
    canceler stop;
    int place;
  };
  struct watching {
    std::stop_token token;
    int place;
  };

  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
  bool one_in(std::size_t n) { return below(n) == 0; }

  template <class... Parts>
  void log(const Parts&... parts) {
    if (log_ == nullptr) return;
    ((*log_ << parts), ...);
    *log_ << std::endl;  // now: what follows may crash
  }

  held any() {
    const std::size_t i = below(contexts_.size() + scopes_.size());
    if (i < contexts_.size()) return contexts_[i];
    const owned& one = scopes_[i - contexts_.size()];
    return {one.scope, one.place};
  }

  /// A number of ticks: most are few, so that many meet; now and then one from the limits of the type.
  ticks some_ticks() {
    if (one_in(200)) return never - static_cast<ticks>(below(3));
    if (one_in(200)) return std::numeric_limits<ticks>::min() + static_cast<ticks>(below(3));
    if (one_in(10)) return static_cast<ticks>(random_() >> (1 + below(62)));
    return static_cast<ticks>(below(40)) - 2;
  }

  reason some_reason() {
    switch (below(4)) {
      case 0:
        return {};
      case 1:
        return {make_error_code(std::errc::io_error), make_error_code(std::errc::io_error).message()};
      case 2:
        return {make_error_code(std::errc::broken_pipe), "reason " + std::to_string(++made_)};
      default:
        return {{}, "reason " + std::to_string(++made_) + ", in words that need memory of their own"};
    }
  }

  static cause as_cause(const reason& r) {
    if (r == reason()) return {};
    return {r.code, r.code && r.text == r.code.message() ? std::string() : r.text};
  }

  void keep(cancel_scope scope, int place) {
    log("  is ", place);
    scopes_.push_back({std::move(scope), place});
  }
  void keep(context ctx, int place) {
    log("  is ", place);
    contexts_.push_back({std::move(ctx), place});
  }

  void step() {
    if (contexts_.size() + scopes_.size() + callbacks_.size() > most_) {
      drop_anything();
      return;
    }
    switch (below(20)) {
      case 0:
      case 1:
        return derive_plain();
      case 2:
      case 3:
        return derive_timed(false);
      case 4:
        return derive_timed(true);
      case 5:
      case 6:
        return derive_value();
      case 7:
        return derive_detached();
      case 8:
      case 9:
        return derive_merged();
      case 10:
      case 11:
        return cancel();
      case 12:
      case 13:
      case 14:
        return listen();
      case 15:
        return copy();
      case 16:
        return advance();
      case 17:
        return watch();
      default:
        drop_anything();
    }
  }

  void derive_plain() {
    const held above = any();
    log("with_cancel ", above.place);
    keep(with_cancel(above.ctx), reference_.child(above.place));
  }

  void derive_timed(bool by_deadline) {
    const held above = any();
    const ticks now = reference_.now[reference_.at(above.place).clock];
    const ticks step = some_ticks();
    const ticks at = saturated_sum(now, step);
    const reason why = some_reason();
    log(by_deadline ? "with_deadline " : "with_timeout ", above.place, ' ', step, ' ', why);
    keep(by_deadline ? with_deadline(above.ctx, clock::time_point(nanoseconds(at)), as_cause(why))
                     : with_timeout(above.ctx, nanoseconds(step), as_cause(why)),
         reference_.child(above.place, at, why));
  }

  void derive_value() {
    const held above = any();
    const std::size_t key = below(keys.size());
    const int value = ++made_;
    log("with_value ", above.place, ' ', keys[key].name(), ' ', value);
    keep(with_value(above.ctx, keys[key], value), reference_.with_value(above.place, key, value));
  }

  void derive_detached() {
    const held above = any();
    log("without_cancel ", above.place);
    keep(without_cancel(above.ctx), reference_.without_cancel(above.place));
  }

  void derive_merged() {
    std::vector<context> all;
    std::vector<int> places;
    for (std::size_t left = 2 + below(3); left != 0; --left) {
      const held one = any();
      all.push_back(one.ctx);
      places.push_back(one.place);
      log("merge ", one.place);
    }
    keep(merge(std::span<const context>(all)), reference_.merge(places));
  }

  void cancel() {
    if (scopes_.empty()) return;
    owned& one = scopes_[below(scopes_.size())];
    const reason why = some_reason();
    log("cancel ", one.place, ' ', why);
    if (one_in(4)) {
      hands_.push_back({one.scope.canceler(), one.place});  // for later
    }
    if (!hands_.empty() && one_in(4)) {
      const far_hand hand = hands_[below(hands_.size())];
      log("  by the canceler of ", hand.place);
      reference_.end(hand.place, errc::canceled, why);
      hand.stop.cancel(as_cause(why));
    } else if (why == reason()) {
      reference_.end(one.place, errc::canceled, why);
      one.scope.cancel();
    } else {
      reference_.end(one.place, errc::canceled, why);
      one.scope.cancel(as_cause(why));
    }
  }

  /// Registers a callback. Some cancel another context, without a cause: so the order in which the callbacks
  /// of different contexts run, which is not promised, makes no difference.
  void listen() {
    const held to = any();
    const int id = ++made_;
    canceler stop;
    int cancels = -1;
    if (!scopes_.empty() && one_in(3)) {
      const owned& victim = scopes_[below(scopes_.size())];
      stop = victim.scope.canceler();
      cancels = victim.place;
    }
    log("on_done ", to.place, " f", id, " cancels ", cancels);
    auto run = [this, id, to, stop] {
      fired_.push_back({id, to.ctx.now().time_since_epoch().count()});
      order_.emplace_back(to.place, id);
      stop.cancel();
    };
    callbacks_.push_back(
        {std::make_unique<on_done<std::function<void()>>>(to.ctx, std::move(run)), to.place, id});
    reference_.on_done(to.place, id, cancels);
  }

  void copy() {
    const held one = any();
    log("copy ", one.place);
    if (!contexts_.empty() && one_in(2)) {
      contexts_[below(contexts_.size())] = one;
    } else {
      contexts_.push_back(one);
    }
  }

  void advance() {
    const std::size_t c = below(clock_count);
    if (one_in(3)) {
      log("advance_to_next ", c);
      const int next = reference_.next(c);
      if (next != -1) reference_.advance_to(c, reference_.at(next).deadline);
      EXPECT_EQ(clocks_[c]->advance_to_next(), next != -1);
      return;
    }
    const ticks step = some_ticks();
    log("advance ", c, ' ', step);
    if (step > 0) reference_.advance_to(c, std::min(saturated_sum(reference_.now[c], step), never - 1));
    clocks_[c]->advance(nanoseconds(step));
  }

  void watch() {
    const held one = any();
    log("stop_token ", one.place);
    tokens_.push_back({one.ctx.stop_token(), one.place});
  }

  /// Drops one thing of any kind. \return false if there is nothing left.
  bool drop_anything() {
    const std::size_t kinds[] = {contexts_.size(), scopes_.size(), callbacks_.size(), hands_.size(),
                                 tokens_.size()};
    std::size_t left = 0;
    for (const std::size_t each : kinds) left += each;
    if (left == 0) return false;
    std::size_t i = below(left);
    std::size_t kind = 0;
    while (i >= kinds[kind]) i -= kinds[kind++];
    switch (kind) {
      case 0:
        if (contexts_.size() == 1 && !finishing_) break;  // there has to be something to derive from
        log("drop a context of ", contexts_[i].place);
        remove(contexts_, i);
        break;
      case 1:
        log("leave ", scopes_[i].place);
        reference_.end(scopes_[i].place, errc::canceled, {});
        remove(scopes_, i);
        break;
      case 2:
        drop_callback(i);
        break;
      case 3:
        remove(hands_, i);
        break;
      default:
        remove(tokens_, i);
        break;
    }
    return true;
  }

  void drop_callback(std::size_t i) {
    log("remove f", callbacks_[i].id);
    const bool prevented = reference_.remove(callbacks_[i].place, callbacks_[i].id);
    if (one_in(2)) {
      EXPECT_EQ(callbacks_[i].callback->stop(), prevented);
    }
    remove(callbacks_, i);
  }

  /// By move assignment or, the last one, by its destructor.
  template <class T>
  void remove(std::vector<T>& all, std::size_t i) {
    if (i + 1 != all.size()) all[i] = std::move(all.back());
    all.pop_back();
  }

  void compare() {
    for (const held& each : contexts_) compare(each.ctx, each.place);
    for (const owned& each : scopes_) compare(each.scope, each.place);
    for (const watching& each : tokens_) {
      EXPECT_EQ(each.token.stop_requested(), bool(reference_.at(each.place).err)) << each.place;
      EXPECT_EQ(each.token.stop_possible(), reference_.at(each.place).can_end) << each.place;
    }
    for (std::size_t c = 0; c != clock_count; ++c) {
      EXPECT_EQ(clocks_[c]->now().time_since_epoch().count(), reference_.now[c]);
    }
    if (fired_.empty() && reference_.fired.empty()) return;
    std::ranges::sort(fired_);
    std::ranges::sort(reference_.fired);
    EXPECT_EQ(fired_, reference_.fired);
    std::map<int, int> latest;  // by place
    for (const auto& [place, callback] : order_) {
      EXPECT_LT(std::exchange(latest[place], callback), callback) << "not in the order of registration";
    }
    fired_.clear();
    reference_.fired.clear();
    order_.clear();
  }

  void compare(const context& ctx, int place) {
    const reference::place& expected = reference_.at(place);
    EXPECT_EQ(ctx.err(), expected.err) << place;
    EXPECT_EQ(reason_of(ctx.cause()), expected.why) << place;
    const auto deadline = ctx.deadline();
    EXPECT_EQ(deadline ? deadline->time_since_epoch().count() : never, expected.deadline) << place;
    const ticks now = reference_.now[expected.clock];
    EXPECT_EQ(ctx.now().time_since_epoch().count(), now) << place;
    if (deadline) {
      ticks left = std::numeric_limits<ticks>::min();
      if (expected.deadline > now) left = expected.deadline - now;
      EXPECT_EQ(ctx.remaining()->count(), std::max<ticks>(left, 0)) << place;
    }
    for (std::size_t k = 0; k != keys.size(); ++k) {
      const int* value = ctx.value(keys[k]);
      EXPECT_EQ(value != nullptr ? *value : 0, expected.values[k]) << place << ' ' << keys[k].name();
    }
  }

  std::mt19937_64 random_;
  std::size_t most_;
  std::ostream* log_;
  int made_ = 0;
  bool finishing_ = false;
  std::array<std::optional<manual_clock>, clock_count> clocks_;
  reference reference_;
  std::vector<held> contexts_;
  std::vector<owned> scopes_;
  std::vector<far_hand> hands_;
  std::vector<watching> tokens_;
  std::vector<listening> callbacks_;
  std::vector<firing> fired_;
  std::vector<std::pair<int, int>> order_;  // place and callback, as they ran
};

struct extent {
  int steps;
  std::size_t most;  // how much is kept at a time
};

void run_scripts(std::uint64_t seed, int count, extent size) {
  script(0, size.most, nullptr).run(size.steps);  // what is allocated once and stays
  for (; count != 0 && !::testing::Test::HasFailure(); --count, ++seed) {
    const testing::allocation_count memory;
    const int done = script(seed, size.most, nullptr).run(size.steps);
    if (::testing::Test::HasFailure()) {
      std::cout << "CURFEW_SEED=" << seed << " repeats this script, whose last step failed:" << std::endl;
      script(seed, size.most, &std::cout).run(size.steps, done);
    } else {
      EXPECT_EQ(memory.held(), 0) << "memory was not given back; CURFEW_SEED=" << seed;
    }
  }
}

TEST(RandomScripts, OfFewStepsDoWhatTheReferenceSays) {
  run_scripts(testing::announce_seed("short scripts against the reference"), 10'000,
              {.steps = 40, .most = 20});
}

TEST(RandomScripts, OfManyStepsDoWhatTheReferenceSays) {
  run_scripts(testing::announce_seed("long scripts against the reference"), 20, {.steps = 1500, .most = 60});
}

}  // namespace
}  // namespace curfew
