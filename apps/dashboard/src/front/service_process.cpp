#include "front/service_process.hpp"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/io/wait.hpp>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/log.hpp"
#include "base/text.hpp"

namespace curfew_dashboard {

namespace {

using namespace std::chrono_literals;

constexpr curfew::clock::duration first_pause = 250ms;
constexpr curfew::clock::duration longest_pause = 10s;
// A service that has run so long can start: the pauses begin anew.
constexpr curfew::clock::duration long_enough = 10s;
constexpr curfew::clock::duration time_to_stop = 3s;
constexpr std::string_view announcement = "listening on ";

}  // namespace

service_process::service_process(std::string name, std::vector<std::string> arguments, std::string token)
    : name_(std::move(name)),
      arguments_(std::move(arguments)),
      token_(std::move(token)),
      where_(std::unexpected("The " + name_ + " service is starting.")) {}

void service_process::set_where(address now) {
  {
    const std::lock_guard guard(mutex_);
    where_ = std::move(now);
    starting_ = false;
  }
  changed_.notify();
}

service_process::address service_process::where() const {
  const std::lock_guard guard(mutex_);
  return where_;
}

asio::awaitable<service_process::address> service_process::async_where(curfew::context ctx) {
  change_hub::subscription changes(changed_);
  for (;;) {
    {
      const std::lock_guard guard(mutex_);
      if (!starting_) co_return where_;
    }
    auto changed = co_await changes.async_wait(ctx);
    if (!changed) break;
  }
  const std::lock_guard guard(mutex_);
  co_return where_;
}

asio::awaitable<void> service_process::async_run(curfew::context ctx) {
  curfew::clock::duration pause = first_pause;
  for (;;) {
    const auto began = curfew::clock::now();
    const std::string how = co_await run_once(ctx);
    if (ctx.err()) co_return;
    if (curfew::clock::now() - began > long_enough) pause = first_pause;
    const std::string message =
        "The " + name_ + " service stopped (" + how + "); it starts again in " + human_duration(pause) + ".";
    log_line(message);
    set_where(std::unexpected(message));
    auto slept = co_await curfew::async_sleep_for(ctx, pause);
    if (!slept) co_return;
    pause = std::min(2 * pause, longest_pause);
  }
}

/// \return how it ended; what it says when ctx has ended does not matter.
asio::awaitable<std::string> service_process::run_once(curfew::context ctx) {
  auto executor = co_await asio::this_coro::executor;
  auto started = child_process::start(executor, arguments_, token_);
  if (!started) co_return started.error().message();
  child_process child = *std::move(started);
  auto line = co_await child.async_first_line(ctx);
  if (line && line->starts_with(announcement)) {
    set_where(line->substr(announcement.size()));
  } else if (!ctx.err()) {
    // It has ended without a word, or says something else: then it is not what was meant to start.
    child.ask_to_stop();
  }
  auto exit = co_await child.async_exit(ctx);
  if (exit) co_return *std::move(exit);
  co_await stop(child);
  co_return "stopped";
}

asio::awaitable<void> service_process::stop(child_process& child) {
  child.ask_to_stop();
  auto patience = curfew::with_timeout(curfew::background(), time_to_stop);
  const curfew::context& waiting = patience;
  auto exit = co_await child.async_exit(waiting);
  if (exit) co_return;
  log_line("The " + name_ + " service does not stop; it is killed.");
  child.kill();
  std::ignore = co_await child.async_exit(curfew::background());
}

}  // namespace curfew_dashboard
