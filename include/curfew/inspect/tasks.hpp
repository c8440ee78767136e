#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core/cause.hpp>
#include <curfew/core/clock.hpp>
#include <functional>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

/// What the process is working on: its tasks, those that were told to stop and have not, and what they cost.
///
/// A task is a piece of work under a context. The library opens one wherever work starts, and the user's code with
/// `curfew::task`. They are recorded as long as an `inspection` lives.
namespace curfew::inspect {

/// In the order of urgency, least urgent first.
enum class state : std::uint8_t {
  queued,   ///< It has not begun.
  waiting,  ///< No thread is at it.
  running,  ///< A thread is at it.
  told,     ///< Its context has ended, and it has not.
  zombie,   ///< The same, for longer than the limit.
};

[[nodiscard]] const char* name_of(state s) noexcept;

struct waiting_for {
  const char* what;  // "channel receive"; static
  std::uint64_t on;  // the id of a task, such as the one that holds the lock, or a number, by `what`; 0: none
};

/// When a context ended, why, and what was burnt for nobody since.
struct told_to_stop {
  std::error_code err;
  curfew::cause cause;
  clock::time_point at;
  std::chrono::nanoseconds cpu;
};

/// One task that was open when it was looked at. What it was at may have changed by now.
struct task_info {
  std::uint64_t id = 0;      // never given to another task
  std::uint64_t parent = 0;  // 0: none; it may be a task of another process, see `trace`
  const char* kind = "";     // static
  std::string name;
  std::source_location where;  // the line that opened it
  std::string path;            // of its context, see context::path
  std::string trace;  // the id of the trace that its context belongs to, see curfew::trace; empty: none
  clock::time_point opened;                  // on the system's clock, as all times here
  std::optional<clock::duration> remaining;  // until its context's deadline, on the context's clock
  inspect::state state = state::waiting;
  bool detached = false;  // its context cannot end
  std::optional<waiting_for> waits;
  std::optional<told_to_stop> told;
  std::chrono::nanoseconds cpu{0};
  int thread = 0;  // the kernel's id of a thread that is at it; 0: none
  struct value {
    std::string key;
    std::string text;
  };
  std::vector<value> values;  // those whose keys allow it
};

/// A task that is over.
struct ended_task {
  std::uint64_t id = 0;
  std::uint64_t parent = 0;
  const char* kind = "";
  std::string name;  // may be cut
  std::source_location where;
  std::string trace;
  clock::time_point opened;
  clock::time_point ended;
  std::optional<told_to_stop>
      told;  // it was told to stop before; without the cause's text where that is not kept
  std::chrono::nanoseconds cpu{0};
};

/// A line of code that opens tasks, and how fast those stop that are told to.
struct place_info {
  std::source_location where;
  const char* kind = "";
  std::uint64_t told = 0;               // were told to stop before they were over, and are over
  std::uint64_t zombies = 0;            // of those and of the living: took longer than the limit
  std::chrono::nanoseconds longest{0};  // from told to over; of the living: so far
  std::chrono::nanoseconds total{0};
  std::chrono::nanoseconds cpu_for_nobody{0};
  std::chrono::nanoseconds longest_hold{0};  // of a thread, without a wait
};

/// Numbers of tasks by duration: `count[i]` took up to `limits[i]`, the last one longer.
struct histogram {
  static constexpr std::array<std::chrono::nanoseconds, 14> limits{
      std::chrono::microseconds(100), std::chrono::microseconds(300), std::chrono::milliseconds(1),
      std::chrono::milliseconds(3),   std::chrono::milliseconds(10),  std::chrono::milliseconds(30),
      std::chrono::milliseconds(100), std::chrono::milliseconds(300), std::chrono::seconds(1),
      std::chrono::seconds(3),        std::chrono::seconds(10),       std::chrono::seconds(30),
      std::chrono::seconds(100),      std::chrono::seconds(300)};
  std::array<std::uint64_t, limits.size() + 1> count{};
  std::chrono::nanoseconds sum{0};
};

/// How a task's context stood when the task was over.
enum class ending : std::uint8_t { living, canceled, deadline_exceeded };

/// Of the whole time since the first `inspection` of the process.
struct totals {
  std::uint64_t opened = 0;
  std::uint64_t open = 0;     // now
  std::uint64_t told = 0;     // now: told to stop, and open
  std::uint64_t zombies = 0;  // now
  std::uint64_t zombies_ever = 0;
  std::uint64_t not_recorded = 0;  // there was no memory
  std::array<histogram, 3> age{};  // at the end, by `ending`
  histogram told_to_over;
  histogram loop_lag;               // from when a coroutine could go on until it did
  std::chrono::nanoseconds cpu{0};  // of all tasks, those that are over included
  std::chrono::nanoseconds cpu_for_nobody{0};
  std::chrono::nanoseconds cpu_of_process{0};  // the difference to `cpu` could not be attributed
};

/// `request "GET /x" (b408fe1d61973705) was told to stop 263 ms ago (client gone) and goes on; opened at main.cpp:12`: what
/// `inspection` writes of a zombie. Characters that steer a terminal are replaced.
[[nodiscard]] std::string one_line(const task_info& zombie);

/// The id of the task that this thread, or the coroutine it runs, is at: for a line of a log. 0: none, or nothing is
/// recorded.
[[nodiscard]] std::uint64_t current_task_id() noexcept;

/// Looks at each open task, in no order, one after another: no thread is held up, and little memory is needed.
/// \param see  Returns false to stop. It is called without a lock.
/// Throws: what `see` throws, and what printing a value throws; std::bad_alloc.
/// Thread safety: any thread, as are all functions here.
void each_task(const std::function<bool(task_info&&)>& see);

/// What is known of an open task at the cost of some nanoseconds.
struct task_brief {
  std::uint64_t id = 0;
  const char* kind = "";
  inspect::state state = state::waiting;
  clock::time_point opened;
};

/// As above, of those tasks alone that `wants` says yes to.
/// \param wants  Called without a lock, as `see`. What is known may have changed when `see` gets the task.
void each_task(const std::function<bool(const task_brief&)>& wants,
               const std::function<bool(task_info&&)>& see);

[[nodiscard]] std::optional<task_info> find_task(std::uint64_t id);

/// Those that were told to stop longer than the limit ago, longest first. Does not look at the others.
[[nodiscard]] std::vector<task_info> zombies();

/// The last ones that are over, latest first.
[[nodiscard]] std::vector<ended_task> last_ended(std::size_t most);
/// Those over that were told to stop, and went on longest after that, first the longest.
[[nodiscard]] std::vector<ended_task> longest_dying(std::size_t most);
/// Those over that took longest, first the longest.
[[nodiscard]] std::vector<ended_task> slowest(std::size_t most);

/// The places, slowest to stop first; those seen least are forgotten where they become too many.
[[nodiscard]] std::vector<place_info> places();

[[nodiscard]] totals count();

/// Ends the context of a task, with all below it. Its cause is "operator: <reason>".
/// \return false: there is no such task, or its context cannot end, or has ended.
bool cancel(std::uint64_t id, std::string_view reason);

}  // namespace curfew::inspect
