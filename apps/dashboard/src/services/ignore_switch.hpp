#pragma once

#include <cstdint>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/on_done.hpp>
#include <memory>
#include <mutex>
#include <optional>

namespace curfew_dashboard {

/// The switch "ignore the context". While it is on, the work of a new request does not end when its caller
/// leaves, as in most services of today. Turning it off ends the work that nobody waits for.
///
/// Thread safety: any thread. The switch outlives the lives.
class ignore_switch {
 public:
  class life;

  ignore_switch();

  [[nodiscard]] bool on() const;
  /// Affects requests that begin from now on. Turning it off also ends the work of those whose caller has
  /// left.
  void set(bool on);

  /// The context for the work of a request that begins now; its caller waits under `ctx`. It has the values of
  /// `ctx`.
  [[nodiscard]] std::unique_ptr<life> begin(const curfew::context& ctx);

 private:
  [[nodiscard]] bool is_over(std::uint64_t period) const;

  mutable std::mutex mutex_;
  bool on_ = false;           // guarded by mutex_
  std::uint64_t period_ = 0;  // guarded by mutex_; the next begins when the switch is turned off
  std::optional<curfew::cancel_scope> all_;  // guarded by mutex_; of this period: ends with it
};

/// How long the work of one request lives. Kept until the work has come home.
class ignore_switch::life {
 public:
  life(const life&) = delete;
  life& operator=(const life&) = delete;

  /// What the work runs under.
  [[nodiscard]] const curfew::context& ctx() const noexcept {
    return ignored_ ? ignored_->own.ctx() : asker_;
  }

 private:
  friend class ignore_switch;

  // Two things have to happen before the work ends: the caller's context ends, and the period does, because the
  // switch is turned off. Each callback looks for the other event, and the later one ends the work. None is
  // missed: the caller's callback reads the period under the switch's mutex. If that is before the switch is
  // turned off, turned_off sees the caller's end; if it is after, the period is over.
  struct asker_left {
    const ignore_switch* owner;
    std::uint64_t period;
    curfew::cancel_scope* own;
    curfew::context asker;
    void operator()() const noexcept;
  };
  struct turned_off {
    curfew::cancel_scope* own;
    curfew::context asker;
    void operator()() const noexcept;
  };
  struct ignoring {
    curfew::cancel_scope own;
    curfew::on_done<turned_off> off;
    curfew::on_done<asker_left> left;

    ignoring(const ignore_switch& owner, std::uint64_t period, const curfew::context& all,
             const curfew::context& asker);
  };

  explicit life(const curfew::context& asker) : asker_(asker) {}

  curfew::context asker_;
  std::optional<ignoring> ignored_;
};

}  // namespace curfew_dashboard
