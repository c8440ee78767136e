#pragma once

// The manual clock's half that lives in core; users take testing::manual_clock and testing::run.

#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <functional>
#include <optional>
#include <string>

namespace curfew::detail {

/// A root whose clock stands still at the epoch.
[[nodiscard]] context make_manual_root();

/// Moves the clock of a root made above; runs what falls due.
void advance_manual_root(const context& root, clock::duration step) noexcept;

/// Moves it to the next deadline and runs what falls due then.
/// \return false if there is none.
bool advance_manual_root_to_next(const context& root) noexcept;

/// From now on moves it so whenever nothing is busy on it; or no longer.
void autojump_manual_root(const context& root, bool on) noexcept;

/// What a clock that should jump by itself is waiting for.
struct clock_state {
  std::uint64_t changes = 0;  // activities that have begun or been woken so far
  std::uint64_t busy = 0;     // activities now
  std::optional<clock::time_point> next;
};
[[nodiscard]] clock_state state_of_manual_root(const context& root) noexcept;
[[nodiscard]] std::string describe(const clock_state& state);

/// The loop of a thread that runs an io_context on a manual clock. It counts as busy, and moves the clock when
/// nothing else does.
class clock_driver {
 public:
  /// \param wake  Ends the sleep of the loop; called in any thread, after `alone` has said no, once.
  clock_driver(const context& root, std::function<void()> wake);
  clock_driver(const clock_driver&) = delete;
  clock_driver& operator=(const clock_driver&) = delete;
  ~clock_driver();

  /// \return a stamp if nothing but the loop is busy; else none, and the loop is woken once it is so.
  [[nodiscard]] std::optional<std::uint64_t> alone();
  /// Moves the clock to the next deadline, unless something has happened since the stamp.
  /// \return false if there is no deadline.
  bool jump(std::uint64_t stamp);

 private:
  const context root_;
  const std::function<void()> wake_;
  const activity counted_;
  const sleeping outer_;  // what else the thread is busy with
  const busy_frame here_;
};

}  // namespace curfew::detail
