#pragma once

#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/sync/detail/spin_lock.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <optional>

namespace curfew {

/// Blocks for `d` on the clock of `ctx`: the system's, or the manual clock that a test moves.
///
///     if (auto slept = curfew::sleep_for(ctx, 100ms); !slept) return slept.error();
///
/// Completes when:  `d` has passed (zero or less: at once), or ctx ends.
/// Errors:          the end of ctx, with its cause. A deadline of ctx that comes before, or at the same
///                  moment: deadline_exceeded, once it has come.
/// Throws:          as with_timeout.
/// Thread safety:   any thread.
/// Cost:            a timer.
/// Source:          Go's time.Sleep, which nothing can cut short.
[[nodiscard]] result<> sleep_for(const context& ctx, clock::duration d);

/// As `sleep_for`, until a point in time of ctx's clock.
[[nodiscard]] result<> sleep_until(const context& ctx, clock::time_point t);

namespace detail {
class ticking;
}  // namespace detail

/// Ticks at fixed points in time, one period apart, the first of them a period after it was made:
///
///     curfew::ticker every(ctx, 10s);
///     while (every.next(ctx)) report();     // until ctx ends
///
/// Work that takes long does not shift what comes later. Of the ticks that were missed in the meantime, one
/// is given at once; the others are dropped.
///
/// It has no thread and no timer of its own: nothing happens while nothing waits.
/// Lifetime:       keeps the clock of ctx, and nothing else of it.
/// Thread safety:  one thread at a time.
/// Source:         Go's time.Ticker.
class ticker {
 public:
  /// \param period  On the clock of ctx, on which all contexts have to live that are waited with.
  /// Throws: std::invalid_argument if the period is zero or less.
  ticker(const context& ctx, clock::duration period);
  ticker(const ticker&) = delete;
  ticker& operator=(const ticker&) = delete;
  ~ticker() = default;

  /// Waits for the next tick.
  ///
  /// Completes when:  a tick comes, at once if one has come since the last, or ctx ends.
  /// Errors:          the end of ctx, with its cause; its deadline as in sleep_for. If it has ended already,
  ///                  no tick is taken.
  /// Cancellation:    takes no tick.
  /// Throws:          as with_timeout; no tick is taken then.
  [[nodiscard]] result<> next(const context& ctx);

  /// A case for `select`: a tick comes. The handler gets nothing. The ticker stays where it is until the
  /// select has returned.
  [[nodiscard]] detail::ticking ticking() noexcept;

 private:
  friend class detail::ticking;

  bool take_missed() noexcept;
  void take_awaited() noexcept;

  context root_;  // of the clock
  clock::duration period_;
  clock::time_point next_;
};

namespace detail {

/// A tick, as a waitable.
class ticking {
 public:
  explicit ticking(ticker& of) noexcept : ticker_(&of) {}
  ticking(ticking&& other) noexcept : ticker_(other.ticker_) {}

  [[nodiscard]] bool try_now() noexcept {
    // Kept for enlist: by then another case with the same ticker may be at it, in the thread of its timer.
    at_ = ticker_->next_;
    return ticker_->take_missed();
  }
  [[nodiscard]] spin_lock* lock() const noexcept { return nullptr; }
  [[nodiscard]] bool try_locked(finish_list& /*after*/) noexcept { return try_now(); }
  void enlist(waiter& w) {
    entry_.owner = &w;
    scope_.emplace(with_deadline(ticker_->root_, at_));
    registered_.emplace(*scope_, fire{this});
  }
  void delist() noexcept {
    registered_.reset();
    scope_.reset();
  }
  [[nodiscard]] const wait_entry* entry() const noexcept { return &entry_; }
  [[nodiscard]] const context* ctx() const noexcept { return scope_ ? &scope_->ctx() : &ticker_->root_; }
  void outcome() const noexcept {}

 private:
  struct fire {
    ticking* self;
    void operator()() const noexcept {
      waiter* owner = self->entry_.owner;
      if (owner->has_ended() || !owner->claim()) return;
      self->ticker_->take_awaited();
      owner->finish(&self->entry_);
    }
  };
  struct plain_entry final : wait_entry {};

  ticker* ticker_;
  clock::time_point at_;
  plain_entry entry_;
  std::optional<cancel_scope> scope_;
  std::optional<on_done<fire>> registered_;
};

}  // namespace detail

inline detail::ticking ticker::ticking() noexcept { return detail::ticking(*this); }

}  // namespace curfew
