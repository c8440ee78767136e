#pragma once

// Coroutines that run beside each other, or again, for the tests of async_all, async_race, async_hedge and async_retry.

#include "io/coroutines.hpp"

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <curfew/core.hpp>
#include <curfew/testing.hpp>
#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <utility>

namespace curfew::testing {

template <class T>
using coroutine = boost::asio::awaitable<T>;

/// A coroutine without its type: each type of an argument is another async_all to compile.
using task = std::function<coroutine<result<int>>(context)>;

error refused();
error malformed();
error unknown();

clock::time_point at(clock::duration since_epoch);

/// Take `d`, and then do as they are called, whatever their context.
task after(clock::duration d, int what);
task fails_after(clock::duration d, error how);
task throws_after(clock::duration d);

/// Waits for the end of its context, takes an hour to clean up, and returns the end.
task obedient(cause& seen, bool& cleaned);

/// Waits for the end of its context, which does not come, and notes when it is destroyed.
task suspended(const std::shared_ptr<int>& guarded);

/// Emits a signal to what waits for coroutines of the same thread, which end with their context. For a process of its
/// own, which an alarm ends if the thread hangs.
/// \param make  What waits, made of a context and a coroutine.
[[noreturn]] void cancel_by_signal(
    const std::function<coroutine<result<>>(context ctx, const task& waits)>& make);

struct coroutines : ::testing::Test {
  manual_clock clock;
  const context& ctx = clock.background();
  cancel_scope scope = with_cancel(ctx);
  boost::asio::cancellation_signal signal;
  cause seen;
  bool cleaned = false;
  boost::asio::io_context io;

  template <class T>
  std::future<T> start(coroutine<T> what) {
    auto f = testing::start(io, std::move(what));
    poll(io);
    return f;
  }
  /// Runs it, and moves the clock whenever all wait.
  template <class T>
  T run(coroutine<T> what) {
    auto f = start(std::move(what));
    return finish(f);
  }
  template <class T>
  T finish(std::future<T>& f) {
    finish();
    if (!over(f)) throw std::logic_error("it never comes to an end");
    return f.get();
  }
  void finish();
  void pass(clock::duration d) {
    clock.advance(d);
    poll(io);
  }
};

}  // namespace curfew::testing
