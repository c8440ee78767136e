#pragma once

#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>

namespace curfew::testing {

/// A clock that stands still until it is moved, for tests without sleeps:
///
///     curfew::testing::manual_clock clock;
///     auto scope = curfew::with_timeout(clock.background(), 5s);
///     clock.advance(5s);   // scope.err() is now errc::deadline_exceeded
///
/// It starts at the epoch of `curfew::clock`. Contexts made from it may outlive it: their deadlines
/// never come then.
/// Thread safety: any thread; concurrent calls of `advance` take turns.
class manual_clock {
 public:
  manual_clock();
  manual_clock(const manual_clock&) = delete;
  manual_clock& operator=(const manual_clock&) = delete;
  ~manual_clock();

  /// The root of the contexts that live on this clock. Never ends.
  [[nodiscard]] const context& background() const noexcept { return root_; }

  [[nodiscard]] clock::time_point now() const noexcept { return root_.now(); }

  /// Moves the time on by `step` and ends, in this thread and in the order of their deadlines, what
  /// falls due; each sees the time of its own deadline. A negative step does nothing.
  void advance(clock::duration step) noexcept;

  /// Moves the time on to the next deadline that is pending, and ends what falls due then.
  /// \return false if there is none; the time stays then.
  bool advance_to_next() noexcept;

  /// From now on, whenever `threads` threads wait at the same time under contexts of this clock, in
  /// `done().wait()` or in a wait of the sync module, and so nothing can happen before the next deadline, moves
  /// the time on to it, in the last of them: a test of timeouts takes no time, and each thread still sees every
  /// deadline at its own time. 0 ends this. Give the number of all threads that take part, those included
  /// that `all`, `race` and `hedge` take from the pool: with less, the time may pass while one of them works.
  /// Not counted: a select none of whose cases is a context or a point in time of this clock; other waits (a
  /// std::mutex, a socket, `done().fd()`).
  ///
  /// An io_context needs no counting; all of its coroutines wait when it has nothing to do:
  ///
  ///     while (io.poll() != 0 || clock.advance_to_next()) io.restart();
  ///
  void autojump(int threads) noexcept;

 private:
  context root_;
};

}  // namespace curfew::testing
