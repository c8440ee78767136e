#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace curfew::remote {

/// The way into a loop for threads that may come when it is gone.
class loop_door {
 public:
  explicit loop_door(boost::asio::io_context& to) noexcept : to_(&to) {}

  template <class F>
  void post(F f) {
    const std::lock_guard lock(mutex_);
    if (to_ != nullptr) boost::asio::post(*to_, std::move(f));
  }
  void close() noexcept {
    const std::lock_guard lock(mutex_);
    to_ = nullptr;
  }

 private:
  std::mutex mutex_;
  boost::asio::io_context* to_;  // null: it is gone
};

/// The event loop of a hub, its thread, and what runs there until the hub goes.
class hub_loop {
 public:
  hub_loop()
      : door_(std::make_shared<loop_door>(io_)),
        guard_(io_.get_executor()),
        thread_([this] { io_.run(); }) {}
  hub_loop(const hub_loop&) = delete;
  hub_loop& operator=(const hub_loop&) = delete;
  ~hub_loop() { stop(); }

  [[nodiscard]] boost::asio::io_context& io() noexcept { return io_; }
  /// For after_func.
  [[nodiscard]] const std::shared_ptr<loop_door>& door() const noexcept { return door_; }
  /// Ends when the hub goes.
  [[nodiscard]] const context& ctx() const noexcept { return scope_.ctx(); }

  /// Starts a coroutine that is over soon after the end of ctx(). In the loop's thread.
  void spawn(boost::asio::awaitable<void> work) {
    ++running_;
    boost::asio::co_spawn(io_, std::move(work), [this](const std::exception_ptr& thrown) {
      if (thrown) std::rethrow_exception(thrown);  // no memory: ends the process, as in any thread
      --running_;
      leave();
    });
  }
  /// Ends ctx(), and the loop when everything in it is over. In the loop's thread.
  void end() {
    is_ending_ = true;
    scope_.cancel();
    leave();
  }
  /// Waits for the end of the loop.
  void join() { thread_.join(); }

 private:
  void leave() {
    if (is_ending_ && running_ == 0) io_.stop();
  }
  void stop() noexcept {
    door_->close();
    if (thread_.joinable()) {
      io_.stop();
      thread_.join();
    }
  }

  boost::asio::io_context io_{1};
  cancel_scope scope_ = with_cancel(background());
  std::shared_ptr<loop_door> door_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  std::size_t running_ = 0;  // what is spawned; both of the thread's alone
  bool is_ending_ = false;
  std::thread thread_;
};

/// Something to wait for until a time, or until it rings. One coroutine at a time; in the loop's thread.
class alarm {
 public:
  explicit alarm(boost::asio::io_context& io) : timer_(io) {}

  /// Completes at that time, when it rings, or has rung since, or when ctx ends.
  boost::asio::awaitable<void> wait_until(context ctx, clock::time_point when);
  void ring() {
    has_rung_ = true;
    timer_.cancel();
  }

 private:
  boost::asio::steady_timer timer_;
  bool has_rung_ = false;
};

}  // namespace curfew::remote
