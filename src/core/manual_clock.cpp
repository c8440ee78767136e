// The manual clock: time that moves when it is told to, or when nothing else can happen.
//
// Invariants
//  1. The count busy_ goes up before what it counts can run, and down after that has done its last. A thread that
//     takes it to 0 keeps its own place in it while it moves the clock, so one thread jumps at a time, and what it
//     wakes is counted before it goes.
//  2. changes_ goes up with every begin. A jump that finds no deadline is the last only if it has not changed since:
//     else what began meanwhile may have set a deadline, and gone without a jump of its own.
//  3. A loop (clock_driver) counts as one. While nothing else does, the loop moves the clock, for it alone knows
//     whether its io_context has something ready. At 0 the loop's thread is blocked inside of a handler, and can run
//     nothing: then the last to block moves the clock, as without a loop.
//
// Locks. mutex_ is never held while a context ends. advancing_ is held then: callbacks may move the clock on.

#include <cstdint>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/core/detail/manual_time.hpp>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/clocks.hpp"
#include "core/timer_wheel.hpp"
#include "core/tree.hpp"

namespace curfew::detail {

namespace {

/// A tick is a nanosecond, so deadlines come in their order.
class manual_source final : public clock_source {
 public:
  manual_source() noexcept { counting_clocks.fetch_add(1, std::memory_order_relaxed); }
  manual_source(const manual_source&) = delete;
  manual_source& operator=(const manual_source&) = delete;
  ~manual_source() override { counting_clocks.fetch_sub(1, std::memory_order_relaxed); }

  [[nodiscard]] nanoseconds now() const noexcept override { return now_.load(std::memory_order_acquire); }

  [[nodiscard]] timer_shard& shard() noexcept override { return shard_; }

  void arm(deadline_node* n) noexcept override {
    bool earlier = false;
    const nanoseconds deadline = n->deadline;
    const bool armed = detail::arm(n, earlier);
    // The clock may have passed the deadline since the caller looked at it: then no `advance` pops it.
    if (armed && deadline <= now() && detail::disarm(n)) {
      retain(n);
      expire(n);
    }
  }

  void advance(nanoseconds step) noexcept {
    if (step <= 0) return;
    const std::lock_guard one_at_a_time(advancing_);
    nanoseconds target = 0;
    if (__builtin_add_overflow(now(), step, &target) || target == no_deadline) target = no_deadline - 1;
    while (deadline_node* n = pop(target)) expire(n);
  }

  /// \return false if there is no deadline to go to.
  bool advance_to_next() noexcept {
    const std::lock_guard one_at_a_time(advancing_);
    deadline_node* first = pop(no_deadline - 1, false);
    if (first == nullptr) return false;
    const nanoseconds reached = first->deadline;
    expire(first);
    while (deadline_node* n = pop(reached, false)) expire(n);
    return true;
  }

  [[nodiscard]] bool counts() const noexcept override { return threads::has_own_variables; }

  void begin_activity() noexcept override {
    const std::lock_guard guard(mutex_);
    ++busy_;
    ++changes_;
  }

  void end_activity() noexcept override {
    std::uint64_t seen = 0;
    {
      const std::lock_guard guard(mutex_);
      if (busy_ != 1 || !jumps()) return leave();
      seen = changes_;
    }
    jump_while_idle(seen);
  }

  void autojump(bool on) noexcept {
    const std::lock_guard guard(mutex_);
    autojump_ = on;
  }

  [[nodiscard]] clock_state state() noexcept {
    clock_state told;
    {
      const std::lock_guard guard(mutex_);
      told.changes = changes_;
      told.busy = busy_;
    }
    const byte_lock guard(shard_.lock);
    if (const std::uint64_t next = shard_.wheel.earliest(); next != timer_wheel::never)
      told.next = clock::time_point(std::chrono::nanoseconds(static_cast<nanoseconds>(next)));
    return told;
  }

  /// \param wake  Null: there is no loop any more.
  void set_loop(const std::function<void()>* wake) {
    const std::lock_guard guard(mutex_);
    if (wake != nullptr && loop_ != nullptr)
      throw std::logic_error("curfew::testing::run: another one is at work on the same clock");
    loop_ = wake;
    loop_sleeps_ = false;
  }

  std::optional<std::uint64_t> alone() noexcept {
    const std::lock_guard guard(mutex_);
    loop_sleeps_ = busy_ != 1;
    if (loop_sleeps_) return std::nullopt;
    return changes_;
  }

  bool jump_if_unchanged(std::uint64_t stamp) noexcept {
    {
      const std::lock_guard guard(mutex_);
      if (busy_ != 1 || changes_ != stamp) return true;
    }
    return advance_to_next();
  }

 private:
  [[nodiscard]] bool jumps() const noexcept { return autojump_ || loop_ != nullptr; }  // with mutex_ held

  /// With mutex_ held.
  void leave() noexcept {
    --busy_;
    if (busy_ == 1 && std::exchange(loop_sleeps_, false)) (*loop_)();
  }

  /// By the last that is busy, which leaves.
  void jump_while_idle(std::uint64_t seen) noexcept {
    retain(root);
    const busy_frame moving{counting_clock(tree::adopt(root))};
    for (;;) {
      const bool moved = advance_to_next();
      const std::lock_guard guard(mutex_);
      if (busy_ != 1 || (!moved && seen == changes_) || !jumps()) return leave();
      seen = changes_;
    }
  }

  /// \param all_the_way  Go to `target` if nothing is due up to it.
  deadline_node* pop(nanoseconds target, bool all_the_way = true) noexcept {
    const byte_lock guard(shard_.lock);
    timer_wheel& wheel = shard_.wheel;
    if (!all_the_way && wheel.next() == timer_wheel::never) return nullptr;
    deadline_node* n = pop_due(wheel, static_cast<std::uint64_t>(target));
    if (n == nullptr && !all_the_way) return nullptr;
    // Under the lock, for `arm`; never back: a callback may have moved the clock beyond `target`.
    nanoseconds reached = target;
    if (n != nullptr) reached = n->deadline;
    if (reached > now()) now_.store(reached, std::memory_order_release);  // pairs: now()
    return n;
  }

  timer_shard shard_{*this, 0};
  std::recursive_mutex advancing_;  // a callback may move the clock on
  threads::atomic<nanoseconds> now_{0};

  std::mutex mutex_;  // guards the rest
  std::uint64_t busy_ = 0;
  std::uint64_t changes_ = 0;
  bool autojump_ = false;
  const std::function<void()>* loop_ = nullptr;
  bool loop_sleeps_ = false;
};

manual_source& manual(const context& root) noexcept {
  return static_cast<manual_source&>(clock_of(ender_of(root)));
}

/// While the clock is moved by hand, what it wakes does not move it by itself.
class moving_by_hand {
 public:
  explicit moving_by_hand(const context& root) noexcept
      : counted_(counting_clock(root)),
        here_(counted_.clock()) {}

 private:
  const activity counted_;
  const busy_frame here_;
};

}  // namespace

context make_manual_root() { return make_root<manual_source>(); }

void advance_manual_root(const context& root, clock::duration step) noexcept {
  const moving_by_hand counted(root);
  manual(root).advance(std::chrono::nanoseconds(step).count());
}

bool advance_manual_root_to_next(const context& root) noexcept {
  const moving_by_hand counted(root);
  return manual(root).advance_to_next();
}

void autojump_manual_root(const context& root, bool on) noexcept {
  const counting_clock mine(root);
  if (on) {
    busy_frame::enrol(mine);
    manual(root).autojump(true);
  } else {
    manual(root).autojump(false);
    busy_frame::strike(mine);
  }
}

clock_state state_of_manual_root(const context& root) noexcept { return manual(root).state(); }

std::string describe(const clock_state& state) {
  if (state.busy != 0) {
    return std::to_string(state.busy) +
           " at work or in a wait that is not curfew's (a std::thread::join, a future, a socket)";
  }
  if (!state.next) return "all wait, and no deadline is pending";
  return "all wait for a deadline that was set by a thread that the clock does not count";
}

clock_driver::clock_driver(const context& root, std::function<void()> wake)
    : root_(root),
      wake_(std::move(wake)),
      counted_(counting_clock(root)),
      outer_(root),
      here_(counted_.clock()) {
  manual(root_).set_loop(&wake_);
  outer_.begin();
}

clock_driver::~clock_driver() {
  manual(root_).set_loop(nullptr);
  outer_.end();
}

std::optional<std::uint64_t> clock_driver::alone() { return manual(root_).alone(); }

bool clock_driver::jump(std::uint64_t stamp) { return manual(root_).jump_if_unchanged(stamp); }

// ---- what threads are busy with

bool is_counted(const context& ctx) noexcept {
  return any_clock_counts() && clock_of(ender_of(ctx)).counts();
}

void counting_clock::look_up(const context& ctx) noexcept {
  if (clock_source& clock = clock_of(ender_of(ctx)); clock.counts()) {
    root_ = clock.root;
  } else {
    for (const auto* f = busy_frame::innermost; f != nullptr && root_ == nullptr; f = f->below)
      root_ = f->clock.root_;
  }
  if (root_ != nullptr) retain(root_);
}

void counting_clock::begin_counted() const noexcept { clock_of(ender_of(root_)).begin_activity(); }
void counting_clock::end_counted() const noexcept { clock_of(ender_of(root_)).end_activity(); }

/// What was enrolled above a frame ends with it.
void busy_frame::drop_down_to(const frame* below) noexcept {
  while (innermost != below) {
    const std::unique_ptr<frame> top(std::exchange(innermost, innermost->below));
    top->clock.end();
  }
}

void busy_frame::enrol(const counting_clock& clock) noexcept {
  if constexpr (threads::has_own_variables) {
    struct at_exit {
      ~at_exit() {
        while (innermost != nullptr && innermost->is_of_thread) drop_down_to(innermost->below);
      }
    };
    static thread_local at_exit of_this_thread;
    static_cast<void>(&of_this_thread);
    for (const frame* f = innermost; f != nullptr; f = f->below) {
      if (f->clock.root_ == clock.root_) return;
    }
    clock.begin();
    // The list owns it. A test without memory for it terminates.
    auto* const enrolled = new frame(clock);  // NOLINT(bugprone-unhandled-exception-at-new)
    enrolled->is_of_thread = true;
    enrolled->below = std::exchange(innermost, enrolled);
  }
}

void busy_frame::strike(const counting_clock& clock) noexcept {
  for (frame** at = &innermost; *at != nullptr; at = &(*at)->below) {
    if (!(*at)->is_of_thread || (*at)->clock.root_ != clock.root_) continue;
    const std::unique_ptr<frame> struck(*at);
    *at = struck->below;
    return clock.end();
  }
}

void sleeping::take_out(const context& ctx) noexcept {
  if (is_counted(ctx)) {
    busy_frame::enrol(counting_clock(ctx));
  } else if (busy_frame::innermost == nullptr || ctx.deadline()) {
    return;
  }
  taken_ = std::exchange(busy_frame::innermost, nullptr);
}

void sleeping::begin() const noexcept {
  for (const auto* f = taken_; f != nullptr;) {
    const auto* const next = f->below;
    f->clock.end();
    f = next;
  }
}

void sleeping::end() const noexcept {
  for (const auto* f = taken_; f != nullptr; f = f->below) f->clock.begin();
}

context root_of(const context& ctx) noexcept {
  node* root = clock_of(ender_of(ctx)).root;
  retain(root);
  return tree::adopt(root);
}

}  // namespace curfew::detail
