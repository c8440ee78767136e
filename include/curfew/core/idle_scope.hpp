#pragma once

#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/cause.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <optional>
#include <source_location>

namespace curfew {

/// A cancel_scope whose context also ends once nothing has happened for a while: for a proxy, a stream or a
/// session that may last for hours as long as something moves. Made by `with_idle_timeout`:
///
///     auto idle = curfew::with_idle_timeout(ctx, 30s);
///     while (copy_some(idle.ctx())) idle.touch();
///
/// Thread safety: `touch`, `deadline` and `remaining` from any thread; else as cancel_scope.
class idle_scope : public cancel_scope {
 public:
  /// Something has happened: the context lives for the whole timeout from now on, if nothing else ends it.
  /// \return false if it comes too late, since the context has ended, or is ending because it was idle.
  /// Cost: reads the clock and writes down the time. No lock, no timer: the timer that was armed finds the time when
  ///       it fires, and is armed again for what is left.
  bool touch() noexcept;

  /// When the context ends if nothing touches it from now on: the last touch plus the timeout, or the parent's
  /// deadline if that is nearer. As soon as it is returned another thread may have pushed it back.
  /// None if both are too far away to be told.
  ///
  /// The contexts themselves, `ctx()` and all below it, know the parent's deadline only. A deadline that can be
  /// pushed back is no promise to what they call: it is neither sent to other machines nor does it shorten a
  /// `with_timeout` below.
  [[nodiscard]] std::optional<clock::time_point> deadline() const noexcept;

  /// The time left until `deadline()`, never negative.
  [[nodiscard]] std::optional<clock::duration> remaining() const noexcept;

 private:
  friend idle_scope with_idle_timeout(const context& parent, clock::duration timeout, curfew::cause why,
                                      std::source_location where);
  explicit idle_scope(cancel_scope made) noexcept : cancel_scope(std::move(made)) {}
};

/// Derives a child of `parent` that ends when its scope has not been touched for `timeout`.
///
/// \param parent   Copied; need not outlive the call.
/// \param timeout  On the context's clock; it runs from this call on, and again from each touch. Zero or less:
///                 already ended on return. Saturates.
/// \param why      The cause if it is idleness that ends the child; default: "idle for 30s".
/// \return the scope that owns the child; destroying it cancels the child.
/// Ends with:      errc::deadline_exceeded when it was idle, errc::canceled on cancel(), else the parent's. The first
///                 stays. It is exact: a touch that returned true is never followed by an end before the timeout has
///                 passed again.
/// Throws:         std::bad_alloc; std::system_error as `with_timeout`.
/// Thread safety:  any thread.     Cost: two allocations, one timer.
[[nodiscard]] idle_scope with_idle_timeout(const context& parent, clock::duration timeout, cause why = {},
                                           std::source_location where = std::source_location::current());

}  // namespace curfew
