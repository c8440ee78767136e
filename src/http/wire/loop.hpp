#pragma once

#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <cstddef>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

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

/// Watches descriptors for an execution context of Asio: they are in an epoll set of the loop's own, edge-triggered,
/// and entered once; Asio watches the set as it would watch a socket. See docs/design/0011 for why.
///
///     paused ──start()──► waiting ──events──► dispatching ──► waiting …
///        ▲───────────────────┴──────pause()────────┘
///
/// Thread: one at a time of those that run the context, called the loop's. What says "any thread" may be called from
/// others meanwhile.
/// Invariant: what watches stays until the events that may name it have been handled; retire() sees to that.
class loop {
 public:
  /// \param tick  How far apart the ticks are.
  /// Throws: std::system_error if the system gives no descriptor.
  loop(boost::asio::execution_context& context, clock::duration tick);
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;
  /// To be called when no thread runs the context, or the loop is paused.
  ~loop();

  // Any thread.

  /// Handles events and ticks from now on. The context has work until pause().
  void start();
  /// Handles no more of them, beyond the round that is under way.
  void pause() noexcept;

  /// Enters a descriptor into the set.
  /// \return false, with errno, if the system refuses.
  bool watch(int descriptor, std::uint32_t events, watched& by) noexcept;
  void change(int descriptor, std::uint32_t events, watched& by) noexcept;
  /// Events under way may still name what watched it: see retire().
  void unwatch(int descriptor) noexcept;
  /// Takes what watches nothing any more, and lets go of it when no event can name it.
  void retire(std::shared_ptr<watched> one) noexcept;

  // The loop's thread.

  /// Calls `f` at each tick, until it returns false.
  void each_tick(std::function<bool(clock::time_point)> f);
  /// The time when this round of events began.
  [[nodiscard]] clock::time_point now() const noexcept { return now_; }
  /// Where all that is received is read to: what is there is of use until the next read.
  [[nodiscard]] std::span<char> scratch() noexcept { return {scratch_.get(), scratch_size}; }

 private:
  static constexpr std::size_t scratch_size = 64 * 1024;

  /// The tick, a timer in the epoll set: so it is never handled beside an event.
  class ticker final : public watched {
   public:
    explicit ticker(loop& of) : of_(of) {}
    void on_event(std::uint32_t /*events*/) override { of_.tick(); }

   private:
    loop& of_;
  };

  void wait_for_events();  // under mutex_
  void poll();
  void set_timer(clock::duration every) noexcept;
  void tick();
  void bury() noexcept;

  boost::asio::posix::basic_stream_descriptor<inline_executor> epoll_;
  boost::asio::posix::basic_stream_descriptor<inline_executor> timer_;
  ticker ticker_{*this};
  const clock::duration tick_time_;
  bool ticking_ = false;
  clock::time_point now_;
  std::unique_ptr<char[]> scratch_;
  std::vector<std::function<bool(clock::time_point)>> at_tick_;

  std::mutex mutex_;  // for what is below, and for asking epoll_ to wait
  bool started_ = false;
  enum class at { rest, waiting, work } state_ = at::rest;
  std::shared_ptr<watched> retired_;
};

}  // namespace curfew::http
