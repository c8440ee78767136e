#pragma once

#include <chrono>
#include <curfew/inspect/tasks.hpp>
#include <functional>
#include <memory>
#include <utility>

namespace curfew::inspect {

/// How an inspection is to be. Each function returns the object, so that they can be strung together.
class inspection_options {
 public:
  using alarm_function = std::function<void(const task_info&)>;
  using span_function = std::function<void(const ended_task&)>;

  /// A task is a zombie so long after its context has ended. Default: 250 ms.
  inspection_options& zombie_after(std::chrono::milliseconds limit) {
    zombie_after_ = limit;
    return *this;
  }
  /// Called once for each zombie, in a thread of its own, at most 100 ms after the limit. Default: a line on standard
  /// error. It must not throw.
  inspection_options& on_zombie(alarm_function tell) {
    on_zombie_ = std::move(tell);
    return *this;
  }
  /// Called with each task that is over, as a span for a tracer: `id` is its span id. One that was told to stop before is not
  /// thereby an error. In the thread that ended the task: it must neither throw nor block.
  inspection_options& on_span(span_function tell) {
    on_span_ = std::move(tell);
    return *this;
  }

  [[nodiscard]] std::chrono::milliseconds zombie_after() const noexcept { return zombie_after_; }
  [[nodiscard]] const alarm_function& on_zombie() const noexcept { return on_zombie_; }
  [[nodiscard]] const span_function& on_span() const noexcept { return on_span_; }

 private:
  std::chrono::milliseconds zombie_after_{250};
  alarm_function on_zombie_;
  span_function on_span_;
};

/// While one lives, the tasks of the process are recorded. Make it first thing in `main`: what began before is not
/// seen. One at a time has a say in how; others only keep the recording on.
///
/// Thread safety: any thread. Its functions run in one thread of its own, and do not after the destructor has returned; so it
/// must not be destroyed in one of them.
/// Cost: see docs/performance.md.
class inspection {
 public:
  /// Throws: std::bad_alloc, std::system_error where no thread can be started.
  [[nodiscard("an inspection that is not kept ends at once: name it")]] explicit inspection(
      const inspection_options& how = {});
  inspection(const inspection&) = delete;
  inspection& operator=(const inspection&) = delete;
  ~inspection();

 private:
  bool leads_;
};

}  // namespace curfew::inspect
