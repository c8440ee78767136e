#pragma once

#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <functional>
#include <memory>
#include <utility>

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

  /// From now on the time moves to the next deadline by itself whenever nothing can happen before it: a test of
  /// timeouts takes no time, and everything sees each deadline at its own time.
  ///
  ///     curfew::testing::manual_clock clock;
  ///     clock.autojump();
  ///     auto scope = curfew::with_timeout(clock.background(), 1h);
  ///     scope.done().wait();   // at once; an hour has passed
  ///
  /// The clock counts what can go on by itself:
  ///  - the thread that calls this;
  ///  - tasks of groups, coroutines that a group spawns, offloaded work, jobs of a thread_pool and asynchronous HTTP
  ///    calls, each from when it is queued until it is over, if it was begun under a context of this clock or by
  ///    something that is counted;
  ///  - a `testing::thread`; a thread of another kind from its first sleep in a wait of curfew until it ends.
  /// A wait through curfew takes out the thread or coroutine that waits: `done().wait()`, channels, `select`,
  /// locks, sleeps, `join`. What wakes it puts it back before it can run. When nothing is left the time moves,
  /// in the thread that was the last to wait.
  ///
  /// Not known to it are other waits (a std::thread::join, a future, a latch): while a counted thread is in one,
  /// the time stands still; see `outside`. So it does while a counted thread waits for a deadline on another clock.
  /// An io_context takes `testing::run`. Where nothing moves for five seconds of real time, a line on standard
  /// error says what the clock waits for.
  void autojump();

  /// Ends this. This thread is not counted any more.
  void stand_still() noexcept;

  /// Calls `f` for a wait that is not curfew's, in which this thread counts as one that waits:
  ///
  ///     std::thread worker([] { … });
  ///     clock.outside([&] { worker.join(); });
  ///
  /// The thread is put back when `f` returns, not before the thing that ends the wait goes on; so the time may have
  /// moved to the next deadline by then.
  template <class F>
  decltype(auto) outside(F&& f) {
    const absence away(root_);
    return std::invoke(std::forward<F>(f));
  }

 private:
  class absence {
   public:
    explicit absence(const context& root) noexcept : sleep_(root) { sleep_.begin(); }
    absence(const absence&) = delete;
    absence& operator=(const absence&) = delete;
    ~absence() { sleep_.end(); }

   private:
    const detail::sleeping sleep_;
  };
  class stall_watch;

  context root_;
  std::shared_ptr<stall_watch> watch_;
};

}  // namespace curfew::testing
