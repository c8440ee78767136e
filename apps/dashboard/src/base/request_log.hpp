#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstddef>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/core/task.hpp>
#include <curfew/inspect/inspection.hpp>
#include <curfew/inspect/tasks.hpp>
#include <deque>
#include <mutex>
#include <optional>
#include <source_location>
#include <string>
#include <unordered_map>

#include "base/change_hub.hpp"

namespace curfew_dashboard {

namespace json = boost::json;

/// What inspection cannot know of a request.
struct request_facts {
  std::string parent;  ///< The caller's id; empty if it gave none.
  std::string target;
};

/// How many requests there were, and what became of them. Each that does not run any more is in exactly one of `answered`
/// and `ended_…`, also where its work still goes on; `failed` counts those of the answered whose answer was an error.
struct request_counters {
  std::uint64_t started = 0;
  std::uint64_t answered = 0;
  std::uint64_t failed = 0;
  std::uint64_t ended_by_client = 0;
  std::uint64_t ended_by_deadline = 0;
  std::uint64_t ended_by_shutdown = 0;
  std::uint64_t living = 0;   ///< Their work still goes on.
  std::uint64_t ignored = 0;  ///< Those of the living that nobody waits for.
  double cpu_s = 0;
  double cpu_s_unwanted = 0;  ///< Spent on requests after nobody waited for them any more.
};

/// The requests of this process as inspection sees them: the tasks of one kind. It names each that goes on after its
/// end in the log.
///
/// Made first thing: what began before is not seen. One at a time in a process.
/// Thread safety: any thread.
/// Lifetime:      outlives its entries.
class request_log {
 public:
  class entry;

  /// \param service  Named in snapshots.
  /// \param kind     Of the tasks that are requests. A constant at namespace scope.
  request_log(std::string service, const curfew::task_kind& kind);
  request_log(const request_log&) = delete;
  request_log& operator=(const request_log&) = delete;
  ~request_log() = default;

  [[nodiscard]] request_counters counters() const;

  /// The snapshot of API.md, without "ignoring".
  /// \param recent  How many of the last ended requests to list, at most 512.
  [[nodiscard]] json::object snapshot(std::size_t recent) const;

  /// Notified when a request begins, is told to stop, and is over.
  [[nodiscard]] change_hub& changes() noexcept { return changes_; }

 private:
  using task_id = std::uint64_t;

  struct open_request {
    std::string parent;
    std::optional<curfew::clock::duration> budget;
    bool succeeded = false;
  };

  [[nodiscard]] bool is_request(const char* kind) const noexcept;
  void take(const curfew::inspect::ended_task& over);
  /// Appends a row for each that is open, oldest first.
  request_counters look(json::array& requests, curfew::clock::time_point now) const;

  const std::string service_;
  const curfew::task_kind& kind_;
  change_hub changes_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::unordered_map<task_id, open_request> open_;
  std::deque<json::object> recent_;  // newest last
  request_counters past_;            // without what lives

  const curfew::inspect::inspection on_;  // last: until it is destroyed it may tell of a task
};

/// One request: a task that is open as long as this lives. Made and destroyed as a `curfew::task`.
class [[nodiscard]] request_log::entry {
 public:
  /// \param ctx  The caller's, also where the work runs under another.
  entry(request_log& log, const curfew::context& ctx, const request_facts& facts,
        std::source_location where = std::source_location::current());
  entry(const entry&) = delete;
  entry& operator=(const entry&) = delete;
  ~entry();

  /// 16 hex digits.
  [[nodiscard]] std::string id() const;
  /// There is an answer, and it is no error.
  void succeeded() noexcept;

 private:
  struct told {
    change_hub* changes;
    void operator()() const noexcept { changes->notify(); }
  };

  request_log& log_;
  std::optional<curfew::task> shown_;
  const task_id id_;
  std::optional<curfew::on_done<told>> ending_;
};

}  // namespace curfew_dashboard
