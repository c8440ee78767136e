#pragma once

#include <cstddef>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <memory>
#include <optional>

namespace curfew {

/// Where the time of a `driven_clock` comes from: a simulation, the frames of a game, a clock that can be
/// paused. Its functions are called from any thread that uses the clock's contexts, with no lock of the
/// library held. It lives until the clock and the last context of it are gone.
class time_source {
 public:
  time_source() = default;
  time_source(const time_source&) = delete;
  time_source& operator=(const time_source&) = delete;
  virtual ~time_source() = default;

  /// The present. It must not go back; a time before the epoch of `curfew::clock` counts as the epoch.
  [[nodiscard]] virtual clock::time_point now() const noexcept = 0;

  /// A deadline has been made that comes before the last one that `next_deadline` told: a thread that sleeps until
  /// that one has to look again.
  virtual void on_earlier_deadline(clock::time_point next) noexcept;
};

/// A clock whose time is yours, and a root for the contexts that live on it. It has no thread: deadlines come
/// when you call `run_due`, in your loop:
///
///     curfew::driven_clock clock(game_time);
///     auto turn = curfew::with_timeout(clock.background(), 30s);
///     for (;;) {
///       game_time->next_frame();
///       clock.run_due();     // ends what is due by game_time->now()
///       …
///     }
///
/// Or in a thread that sleeps until `next_deadline`, and looks again at once when it is told of an earlier
/// one. Contexts may outlive the clock: their deadlines never come then.
/// Thread safety: any thread, any function, at the same time.
class driven_clock {
 public:
  /// Throws: std::invalid_argument if `time` is null; std::bad_alloc.
  explicit driven_clock(std::shared_ptr<time_source> time);
  driven_clock(const driven_clock&) = delete;
  driven_clock& operator=(const driven_clock&) = delete;
  ~driven_clock() = default;

  /// The root of the contexts that live on this clock. Never ends.
  [[nodiscard]] const context& background() const noexcept { return root_; }

  [[nodiscard]] clock::time_point now() const noexcept { return root_.now(); }

  /// Ends, in this thread and in the order of their deadlines, the contexts whose time has come.
  /// \return how many.
  std::size_t run_due() noexcept;

  /// When `run_due` will next have something to do; none if there is no deadline pending.
  /// Cost: it looks at the pending deadlines that are nearest, up to all if all are far away.
  [[nodiscard]] std::optional<clock::time_point> next_deadline() const noexcept;

 private:
  context root_ = curfew::background();
};

}  // namespace curfew
