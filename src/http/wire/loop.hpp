#pragma once

#include <atomic>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <cstddef>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "http/wire/descriptor.hpp"

namespace curfew::http {

/// Something in a loop's epoll set.
class watched {
 public:
  virtual ~watched() = default;
  virtual void on_event(std::uint32_t events) = 0;

 private:
  friend class loop;
  std::shared_ptr<watched> next_retired_;
};

/// Runs what it is given at once: Asio calls a loop's completions in a thread that runs the context, and there they
/// belong.
class inline_executor {
 public:
  explicit inline_executor(boost::asio::execution_context& of) noexcept : of_(&of) {}

  boost::asio::execution_context& query(boost::asio::execution::context_t /*what*/) const noexcept {
    return *of_;
  }
  template <class F>
  void execute(F&& f) const {
    std::forward<F>(f)();
  }
  friend bool operator==(const inline_executor&, const inline_executor&) noexcept = default;

 private:
  boost::asio::execution_context* of_;
};

/// Something that a loop's thread is to run.
class job {
 public:
  virtual ~job() = default;
  virtual void run() = 0;

 private:
  friend class loop;
  std::shared_ptr<job> next_job_;
};

/// Watches descriptors: they are in an epoll set of the loop's own, edge-triggered, and entered once. An execution
/// context of Asio watches the set as it would watch a socket (docs/design/0011 says why), or a thread without one
/// calls run_once().
///
///     at rest ──hold()──► waiting ──events──► handling, then running jobs ──► waiting …
///        ▲──────────────────┴─────release()────────────┘
///
/// Thread: events, ticks and jobs are handled by one thread at a time, called the loop's. What says "any thread" may be
/// called from others meanwhile.
/// Invariants:
/// 1. What watches stays until the events that may name it have been handled: retire() sees to that.
/// 2. Jobs run when the events of the round have been handled; nothing else of a loop calls a user's code.
class loop {
 public:
  /// \param tick  How far apart the ticks are.
  /// Throws: std::system_error if the system gives no descriptor.
  loop(boost::asio::execution_context& context, clock::duration tick);
  /// One that a thread runs with run_once(). Without ticks.
  loop();
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;
  /// To be called when no thread runs the context, or nothing holds the loop.
  ~loop();

  /// The loop of the clients whose calls are completed on that context; made at the first use, gone with it.
  /// Throws: std::system_error if the system gives no descriptor.
  static std::shared_ptr<loop> of(boost::asio::execution_context& context);

  // Any thread.

  /// As long as something holds it, it handles events, and its context has work. With the last hold go the jobs that
  /// have not run: one may be asked for again while it runs, and be over then.
  void hold();
  void release() noexcept;

  /// Enters a descriptor into the set.
  /// \return false, with errno, if the system refuses.
  bool watch(int descriptor, std::uint32_t events, watched& by) noexcept;
  void change(int descriptor, std::uint32_t events, watched& by) noexcept;
  /// Events under way may still name what watched it: see retire().
  void unwatch(int descriptor) noexcept;
  /// Takes what watches nothing any more, and lets go of it when no event can name it.
  void retire(std::shared_ptr<watched> one) noexcept;

  /// Has `what` run by the loop's thread, in the order of these calls. Its caller holds the loop until then. A job
  /// that is in the queue already stays where it is. Once the context is gone, nothing runs: the job is let go.
  void later(std::shared_ptr<job> what) noexcept;
  /// Ends a run_once() that waits, or the next.
  void wake() noexcept;

  // The loop's thread.

  /// Waits for events and handles them, and then what there is to run.
  void run_once();
  /// Has more than one thread been seen to run it? Then a job had better post what may take long.
  [[nodiscard]] bool is_shared() const noexcept { return shared_; }
  /// Any thread: is it the loop's, handling events or running jobs?
  [[nodiscard]] bool is_here() const noexcept;

  /// Calls `f` at each tick, until it returns false.
  void each_tick(std::function<bool(clock::time_point)> f);
  /// The time when this round of events began.
  [[nodiscard]] clock::time_point now() const noexcept { return now_; }
  /// Where all that is received is read to: what is there is of use until the next read.
  [[nodiscard]] std::span<char> scratch() noexcept { return {scratch_.get(), scratch_size}; }

 private:
  class service;
  static constexpr std::size_t scratch_size = 64 * 1024;

  /// The tick, a timer in the epoll set: so it is never handled beside an event.
  class ticker final : public watched {
   public:
    explicit ticker(loop& of) : of_(of) {}
    void on_event(std::uint32_t /*events*/) override { of_.tick(); }

   private:
    loop& of_;
  };
  /// Has the loop look for jobs: an event is all that it is for.
  class bell final : public watched {
   public:
    void on_event(std::uint32_t /*events*/) override {}
  };

  explicit loop(clock::duration tick);

  void close() noexcept;
  void wait_for_events();  // under mutex_
  void handle();
  void poll(int wait_ms);
  void run_jobs();
  static void let_go_of(std::shared_ptr<job> first) noexcept;
  void set_timer(clock::duration every) const noexcept;
  void tick();
  void bury() noexcept;

  const descriptor set_;
  const descriptor timer_;
  const descriptor bell_fd_;
  // Asks the context to watch set_; not for a loop without one. Under mutex_.
  std::optional<boost::asio::posix::basic_stream_descriptor<inline_executor>> asio_;
  ticker ticker_{*this};
  bell bell_;
  const clock::duration tick_time_;
  bool ticking_ = false;
  clock::time_point now_;
  std::unique_ptr<char[]> scratch_;
  std::vector<std::function<bool(clock::time_point)>> at_tick_;
  std::thread::id thread_;
  std::atomic<bool> shared_{false};

  std::mutex mutex_;  // for what is below
  std::size_t holds_ = 0;
  enum class at {
    rest,
    waiting,
    sleep,
    work
  } state_ = at::rest;  // sleep: in run_once(), events may have been fetched
  bool closed_ = false;
  std::shared_ptr<watched> retired_;
  std::shared_ptr<job> first_job_;
  job* last_job_ = nullptr;
};

}  // namespace curfew::http
