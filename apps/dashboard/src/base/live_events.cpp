#include "base/live_events.hpp"

#include <chrono>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/io/wait.hpp>
#include <utility>

namespace curfew_dashboard {

namespace {

using namespace std::chrono_literals;

constexpr auto least_distance = 100ms;
constexpr auto tick = 1s;

}  // namespace

boost::asio::awaitable<void> stream_live(curfew::context ctx, curfew::http::body_writer out, change_hub& hub,
                                         std::string name, std::function<live_view()> look) {
  change_hub::subscription changes(hub);
  for (;;) {
    const live_view now = look();
    auto written = co_await out.async_write(ctx, curfew::http::event(now.json, name));
    if (!written) co_return;
    auto slept = co_await curfew::async_sleep_for(ctx, least_distance);
    if (!slept) co_return;
    if (now.moving) {
      auto until_the_tick = curfew::with_timeout(ctx, tick - least_distance);
      const curfew::context& waiting = until_the_tick;
      co_await changes.async_wait(waiting);
    } else {
      co_await changes.async_wait(ctx);
    }
    if (ctx.err()) co_return;
  }
}

}  // namespace curfew_dashboard
