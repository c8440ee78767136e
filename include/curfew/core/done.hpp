#pragma once

#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <system_error>
#include <utility>

namespace curfew {

/// The end of a context as something to wait for. A cheap value; keeps its context alive.
class done_signal {
 public:
  explicit done_signal(context ctx) noexcept : ctx_(std::move(ctx)) {}

  /// Blocks until the context ends; returns its err. Never returns for one that cannot end.
  std::error_code wait() const noexcept;

  /// Blocks until the context ends or `timeout` has passed on its clock; returns its err, false if it still
  /// lives.
  /// Throws: as with_timeout.
  [[nodiscard]] std::error_code wait_for(clock::duration timeout) const;

  /// As `wait_for`, until a point in time of the context's clock.
  [[nodiscard]] std::error_code wait_until(clock::time_point deadline) const;

  /// A file descriptor that becomes readable when the context ends and stays so: for poll, epoll and select
  /// together with others. It belongs to the context: do not read or close it; valid while any copy of
  /// the context, or one derived from it, lives. Of a context that cannot end: one that never becomes
  /// readable.
  /// Throws: std::system_error if the process has no descriptor left, std::bad_alloc.
  /// Cost: an eventfd, at the first call on each context.
  [[nodiscard]] int fd() const;

  /// The context whose end this is.
  [[nodiscard]] const context& ctx() const& noexcept { return ctx_; }
  [[nodiscard]] context ctx() && noexcept { return std::move(ctx_); }

 private:
  context ctx_;
};

inline done_signal context::done() const noexcept { return done_signal(*this); }

}  // namespace curfew
