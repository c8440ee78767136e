#pragma once

#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/core/done.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

namespace curfew::testing {

/// A thread that a manual clock counts from here until `f` has returned, for tests of code that starts its own:
///
///     curfew::testing::manual_clock clock;
///     clock.autojump();
///     auto found = curfew::with_timeout(clock.background(), 1h);
///     curfew::testing::thread search(clock, [&] { found.cancel(); });
///     found.done().wait();   // canceled: no time has passed
///     search.join();
///
/// A std::thread is counted from its first wait through curfew, and the time may move before that.
/// \tparam F  Called without arguments; must not throw (std::terminate).
/// Lifetime: the destructor joins. The clock outlives it.
class thread {
 public:
  template <class F>
  thread(const manual_clock& clock, F f)
      : over_(with_cancel(clock.background())),
        thread_([this, f = std::move(f),
                 counted = detail::activity(detail::counting_clock(over_.ctx()))]() mutable {
          const detail::busy_frame here(counted.clock());
          std::invoke(f);
          over_.cancel();
        }) {}
  thread(const thread&) = delete;
  thread& operator=(const thread&) = delete;
  ~thread() { join(); }

  /// Waits until `f` has returned, as a wait through curfew. Further calls do nothing.
  void join() {
    if (!thread_.joinable()) return;
    over_.done().wait();
    thread_.join();
  }

 private:
  cancel_scope over_;
  std::thread thread_;
};

}  // namespace curfew::testing
