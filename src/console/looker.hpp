#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/inspect/tasks.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "console/json.hpp"
#include "console/wake_descriptor.hpp"

namespace curfew::inspect {

/// The thread that looks: once a second at the totals, for the graphs; while there are viewers, at the urgent tasks for all
/// of them at once; and when it is signalled, at everything, for a dump.
///
/// Invariants: `samples_` and `newest_` change under `mutex_` in the looking thread alone, and are read under it by any.
/// Nothing is called under `mutex_`.
/// Thread safety: any thread.
class looker {
 public:
  struct frame {
    std::string event;
    std::uint64_t number = 0;
  };

  static constexpr std::chrono::milliseconds least_distance{100};  // of two frames
  static constexpr std::chrono::seconds sampling{1};
  static constexpr std::size_t samples = 600;
  static constexpr std::size_t tasks_shown = 200;

  /// \param dump_signal  A descriptor that is readable when a dump is wanted; -1: none. Outlives this.
  /// Throws: std::system_error.
  explicit looker(int dump_signal = -1);
  looker(const looker&) = delete;
  looker& operator=(const looker&) = delete;
  ~looker();

  /// Frames are made while one lives.
  class viewer {
   public:
    explicit viewer(looker& of) : of_(of) {
      if (of_.viewers_.fetch_add(1) == 0) of_.wake_.notify();
    }
    viewer(const viewer&) = delete;
    viewer& operator=(const viewer&) = delete;
    ~viewer() { of_.viewers_.fetch_sub(1); }

   private:
    looker& of_;
  };

  /// Null: there is none yet.
  [[nodiscard]] std::shared_ptr<const frame> newest() const;

  /// The samples, as an array.
  void write_history(json_writer& to) const;

 private:
  struct sample {
    clock::time_point at;
    totals all;
  };

  void run() noexcept;
  void take_sample();
  void make_frame();

  const int dump_signal_;
  wake_descriptor wake_;
  std::atomic<unsigned> viewers_{0};
  std::atomic<bool> stopping_{false};
  std::uint64_t frames_ = 0;  // of the looking thread

  mutable std::mutex mutex_;
  std::deque<sample> samples_;           // guarded by mutex_
  std::shared_ptr<const frame> newest_;  // guarded by mutex_

  std::thread thread_;  // last: it uses all of the above
};

/// The data of a frame: the totals, and the most urgent tasks. Throws: as each_task.
[[nodiscard]] std::string make_look();

}  // namespace curfew::inspect
