#pragma once

// What tests of coroutines share. Boost.Asio's co_spawn is compiled once, in coroutines.cpp: each type that it is
// instantiated with costs most of a second.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <exception>
#include <functional>
#include <future>
#include <string>
#include <type_traits>
#include <utility>

namespace curfew::testing {

/// Where a coroutine runs.
class place {
 public:
  place(boost::asio::io_context& io);                                  // NOLINT(google-explicit-constructor)
  place(boost::asio::thread_pool& pool);                               // NOLINT(google-explicit-constructor)
  place(boost::asio::any_io_executor on) : executor(std::move(on)) {}  // NOLINT(google-explicit-constructor)

  boost::asio::any_io_executor executor;
};

/// Starts a coroutine; what it throws is dropped.
void spawn(const place& on, boost::asio::awaitable<void> what, boost::asio::cancellation_slot slot = {});

template <class T>
boost::asio::awaitable<void> keep(boost::asio::awaitable<T> what, std::promise<T> outcome) {
  try {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(what);
      outcome.set_value();
    } else {
      outcome.set_value(co_await std::move(what));
    }
  } catch (...) {
    outcome.set_exception(std::current_exception());
  }
}

/// Starts a coroutine. \return what will come of it; a broken promise if it goes with its io_context.
template <class T>
std::future<T> start(const place& on, boost::asio::awaitable<T> what,
                     boost::asio::cancellation_slot slot = {}) {
  std::promise<T> promise;
  auto outcome = promise.get_future();
  spawn(on, keep(std::move(what), std::move(promise)), slot);
  return outcome;
}

/// Whether it is there, of what an io_context that has been run as far as it goes should have made.
template <class T>
bool over(const std::future<T>& f) {
  return f.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

/// "no error", or the error that came of it, in one line.
std::string told(std::future<result<>>& f);

/// Runs what is ready, though the io_context had nothing to do before.
void poll(boost::asio::io_context& io);

}  // namespace curfew::testing
