#pragma once

// What a manual clock that jumps by itself has to know: whether anything can still happen before the next deadline.
// It counts the activities that can go on by themselves, and moves when none is left. An activity is a thread, a task
// from when it is spawned until it is over, or a handler from when it is posted until it has returned.
//
// Rules
//  1. An activity counts from its beginning, be it queued.
//  2. A thread that sleeps in a wait of curfew takes everything out that it is busy with; see `sleeping`.
//  3. What wakes or starts another activity is counted itself while it does so. So the count is 0 only when nothing
//     of curfew can happen, and the clock moves then.
//
// Other clocks count nothing. Where no manual clock exists, that is one look at `counting_clocks`.

#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/threads.hpp>
#include <system_error>
#include <utility>

namespace curfew::detail {

/// Blocks until `ctx` ends, as done_signal::wait. \param what  See task_hooks.hpp.
std::error_code wait_for_end(const context& ctx, const char* what) noexcept;

/// A context on the clock of `ctx` that never ends.
[[nodiscard]] context root_of(const context& ctx) noexcept;

/// The manual clocks that there are. A thread that has a context of one sees that one counted.
inline constinit threads::atomic<std::uint32_t> counting_clocks{0};

[[nodiscard]] inline bool any_clock_counts() noexcept {
  return threads::has_own_variables && counting_clocks.load(std::memory_order_relaxed) != 0;
}

/// Whether ctx lives on a manual clock.
[[nodiscard]] bool is_counted(const context& ctx) noexcept;

/// The manual clock that counts an activity; none for an activity that no clock counts. Keeps the clock.
class counting_clock {
 public:
  counting_clock() noexcept = default;
  /// The clock of `ctx`, if it is a manual one, else the one that counts what this thread is busy with.
  explicit counting_clock(const context& ctx) noexcept {
    if (any_clock_counts()) look_up(ctx);
  }
  counting_clock(const counting_clock& other) noexcept : root_(other.root_) {
    if (root_ != nullptr) retain(root_);
  }
  counting_clock(counting_clock&& other) noexcept : root_(std::exchange(other.root_, nullptr)) {}
  counting_clock& operator=(counting_clock other) noexcept {
    std::swap(root_, other.root_);
    return *this;
  }
  ~counting_clock() {
    if (root_ != nullptr) release(root_);
  }

  [[nodiscard]] explicit operator bool() const noexcept { return root_ != nullptr; }

  /// One more activity.
  void begin() const noexcept {
    if (root_ != nullptr) begin_counted();
  }
  /// One less; if that was the last, moves the clock, and runs what falls due. No lock is held.
  void end() const noexcept {
    if (root_ != nullptr) end_counted();
  }

 private:
  friend class sleeping;
  friend class busy_frame;

  void look_up(const context& ctx) noexcept;
  void begin_counted() const noexcept;
  void end_counted() const noexcept;

  node* root_ = nullptr;  // counted; of a manual clock
};

/// Counts as long as it lives.
class activity {
 public:
  activity() noexcept = default;
  explicit activity(counting_clock clock) noexcept : clock_(std::move(clock)) { clock_.begin(); }
  struct begun {};
  /// One that has been counted already, and ends with this.
  activity(counting_clock clock, begun /*tag*/) noexcept : clock_(std::move(clock)) {}
  activity(activity&& other) noexcept = default;
  activity& operator=(activity&&) = delete;
  ~activity() { clock_.end(); }

  [[nodiscard]] const counting_clock& clock() const noexcept { return clock_; }

 private:
  counting_clock clock_;
};

/// What this thread does while it lives: a part of an activity that is counted elsewhere, or of none. What the thread
/// counts for, by having waited, ends with it if it came after it.
class busy_frame {
 public:
  busy_frame() noexcept { push(); }
  explicit busy_frame(counting_clock clock) noexcept : frame_(std::move(clock)) { push(); }
  busy_frame(const busy_frame&) = delete;
  busy_frame& operator=(const busy_frame&) = delete;
  ~busy_frame() {
    if constexpr (threads::has_own_variables) {
      if (innermost != &frame_) drop_down_to(&frame_);
      innermost = frame_.below;
    }
  }

  /// From now on the thread itself counts, until the frame below ends, or the thread. At most once for each clock.
  static void enrol(const counting_clock& clock) noexcept;
  /// The opposite.
  static void strike(const counting_clock& clock) noexcept;

 private:
  friend class counting_clock;
  friend class sleeping;

  struct frame {
    explicit frame(counting_clock c = {}) noexcept : clock(std::move(c)) {}

    counting_clock clock;
    frame* below = nullptr;
    bool is_of_thread = false;  // enrolled: the list owns it
  };

  void push() noexcept {
    if constexpr (threads::has_own_variables) frame_.below = std::exchange(innermost, &frame_);
  }
  static void drop_down_to(const frame* below) noexcept;

  constinit inline static thread_local frame* innermost = nullptr;

  frame frame_;
};

/// A thread that goes to sleep until another one wakes it. Lives in the frame of the sleeping function.
class sleeping {
 public:
  /// Before another thread can call `end`.
  /// \param ctx  What the wait is under: the thread counts for its clock from now on, if that is a manual one. A
  ///             deadline on another clock may wake it by itself: then it stays counted while it sleeps.
  explicit sleeping(const context& ctx) noexcept {
    if (any_clock_counts()) take_out(ctx);
  }
  sleeping(const sleeping&) = delete;
  sleeping& operator=(const sleeping&) = delete;
  ~sleeping() {
    if (taken_ != nullptr) busy_frame::innermost = taken_;
  }

  /// Nothing but another activity, or a deadline, can wake it from now on.
  void begin() const noexcept;
  /// It is about to be woken: called by its waker, before it can run.
  void end() const noexcept;

 private:
  void take_out(const context& ctx) noexcept;

  busy_frame::frame* taken_ = nullptr;  // what the thread was busy with
};

}  // namespace curfew::detail
