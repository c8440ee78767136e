#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/manual_time.hpp>
#include <curfew/core/error.hpp>
#include <curfew/sync/detail/outcome.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace curfew {

namespace detail {

/// What runs an io_context on a manual clock.
class clock_loop {
 public:
  /// Throws: std::logic_error if there is another one on this clock.
  clock_loop(const context& root, boost::asio::io_context& io);
  /// Runs the io_context, and moves the clock, until `is_over`.
  void run(const bool& is_over);

 private:
  boost::asio::io_context& io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  const context root_;
  clock_driver driver_;
};

/// What a coroutine has returned or thrown.
template <class T>
struct returned_by {
  bool is_over = false;
  std::exception_ptr thrown;
  std::optional<value_of<result<T>>> value;
};

}  // namespace detail

namespace testing {

/// Runs a coroutine to its end on a manual clock, which moves to the next deadline whenever nothing can happen before
/// it:
///
///     curfew::testing::manual_clock clock;
///     auto sleeps = curfew::async_sleep_for(clock.background(), 1h);
///     auto slept = curfew::testing::run(clock, std::move(sleeps));   // at once; it is one o'clock
///
/// The io_context is run in this thread. While one of its handlers is ready, or something else that the clock counts is
/// busy (see manual_clock::autojump: tasks of groups, offloaded work, a testing::thread), the time stands still. When
/// `what` is complete, this returns at once: the time has not moved further, and what else is in the io_context waits.
///
/// Operations of Asio itself (sockets, its timers) are not counted: one that is not ready by then is taken for one that
/// nothing but a deadline ends. Within one machine that holds for sockets whose other side is in the same io_context, or
/// is counted. Where it is another process or server, move the time by hand: `clock.advance(5s)`, with a plain
/// `io.run()`.
///
/// \param io    Its coroutines, if it has any already, run too. Without one: `what` has an io_context of its own, which
///              is destroyed before this returns.
/// \return what `what` returns. Throws: what it throws; std::logic_error if another `run` is at work on this clock.
/// Where nothing moves for five seconds of real time, a line on standard error says what is waited for.
template <class T>
T run(const manual_clock& clock, boost::asio::io_context& io, boost::asio::awaitable<T> what) {
  curfew::detail::clock_loop loop(clock.background(), io);
  const auto got = std::make_shared<curfew::detail::returned_by<T>>();
  boost::asio::co_spawn(io, std::move(what), [got](std::exception_ptr thrown, auto... value) {
    if (!thrown) got->value.emplace(std::move(value)...);
    got->thrown = std::move(thrown);
    got->is_over = true;
  });
  loop.run(got->is_over);
  if (got->thrown) std::rethrow_exception(got->thrown);
  if constexpr (!std::is_void_v<T>) return *std::move(got->value);
}

template <class T>
T run(const manual_clock& clock, boost::asio::awaitable<T> what) {
  boost::asio::io_context io(1);
  return run(clock, io, std::move(what));
}

}  // namespace testing

}  // namespace curfew
