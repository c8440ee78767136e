#include "base/live_events.hpp"

#include <chrono>
#include <curfew/io/sync.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/sync/select.hpp>
#include <tuple>
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
  const auto go_on = [] {};
  for (;;) {
    const live_view now = look();
    auto written = co_await out.async_write(ctx, curfew::http::event(now.json, name));
    if (!written) co_return;
    auto slept = co_await curfew::async_sleep_for(ctx, least_distance);
    if (!slept) co_return;
    curfew::case_list next;
    next.when(ctx.done(), go_on).when(changes.receiving(), go_on);
    if (now.moving) next.when(curfew::after(ctx, tick - least_distance), go_on);
    std::ignore = co_await curfew::async_select(next);
    if (ctx.err()) co_return;
  }
}

}  // namespace curfew_dashboard
