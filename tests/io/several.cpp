#include "io/several.hpp"

#include <cstdlib>
#include <curfew/io/wait.hpp>
#include <expected>
#include <system_error>
#include <unistd.h>

namespace curfew::testing {

namespace asio = boost::asio;
using namespace std::chrono_literals;

error refused() { return error(std::make_error_code(std::errc::connection_refused), "connecting"); }
error malformed() { return error(std::make_error_code(std::errc::invalid_argument), "parsing"); }
error unknown() { return error(std::make_error_code(std::errc::no_such_file_or_directory), "opening"); }

clock::time_point at(clock::duration since_epoch) { return clock::time_point(since_epoch); }

task after(clock::duration d, int what) {
  return [d, what](context ctx) -> coroutine<result<int>> {
    static_cast<void>(co_await async_sleep_for(without_cancel(ctx), d));
    co_return what;
  };
}
task fails_after(clock::duration d, error how) {
  return [d, how](context ctx) -> coroutine<result<int>> {
    static_cast<void>(co_await async_sleep_for(without_cancel(ctx), d));
    co_return how;
  };
}
task throws_after(clock::duration d) {
  return [d](context ctx) -> coroutine<result<int>> {
    static_cast<void>(co_await async_sleep_for(without_cancel(ctx), d));
    throw std::runtime_error("bug");
  };
}
task obedient(cause& seen, bool& cleaned) {
  return [&seen, &cleaned](context ctx) -> coroutine<result<int>> {
    static_cast<void>(co_await async_wait(ctx.done()));
    seen = ctx.cause();
    static_cast<void>(co_await async_sleep_for(without_cancel(ctx), 1h));
    cleaned = true;
    co_return error::ended(ctx, "waiting");
  };
}
task suspended(const std::shared_ptr<int>& guarded) {
  return [guarded](context its) -> coroutine<result<int>> {
    static_cast<void>(co_await async_wait(its.done()));
    *guarded = 1;
    co_return 1;
  };
}

void cancel_by_signal(const std::function<coroutine<result<>>(context ctx, const task& waits)>& make) {
  alarm(10);
  asio::cancellation_signal signal;
  auto scope = with_cancel(background());
  int running = 0;
  const task waits = [&](context its) -> coroutine<result<int>> {
    ++running;
    static_cast<void>(co_await async_wait(its.done()));
    --running;
    co_return error::ended(its, "waiting");
  };
  asio::io_context io;
  auto waited = start(io, make(scope.ctx(), waits), signal.slot());
  poll(io);
  if (running == 0) std::_Exit(2);
  signal.emit(asio::cancellation_type::terminal);
  poll(io);  // whether that ends it is not said
  scope.cancel();
  poll(io);
  std::_Exit(over(waited) && running == 0 ? 0 : 1);
}

void coroutines::finish() {
  io.restart();
  while (io.poll() != 0 || clock.advance_to_next()) io.restart();
}

}  // namespace curfew::testing
