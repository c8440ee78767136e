#include "base/live_feed.hpp"

#include <chrono>
#include <curfew/io/sync.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/sync/select.hpp>
#include <tuple>
#include <utility>

namespace curfew_dashboard {

namespace {

using namespace std::chrono_literals;

constexpr curfew::clock::duration least_distance = 100ms;
constexpr curfew::clock::duration tick = 1s;

}  // namespace

live_feed::live_feed(change_hub& hub, std::string name, std::function<live_view()> look)
    : hub_(hub),
      name_(std::move(name)),
      look_(std::move(look)) {}

std::shared_ptr<const live_feed::frame> live_feed::newest(curfew::clock::time_point now) {
  const std::lock_guard guard(mutex_);
  if (auto last = last_.lock()) {
    const auto age = now - last->at;
    const bool outdated = last->changes != hub_.count() || (last->moving && age >= tick);
    if (!outdated || age < least_distance) return last;
  }
  auto made = std::make_shared<frame>();
  made->at = now;
  made->changes = hub_.count();  // before the view is made: a change during that makes another frame
  live_view view = look_();
  made->moving = view.moving;
  made->event = curfew::http::event(view.json, name_);
  last_ = made;
  return made;
}

boost::asio::awaitable<void> live_feed::async_stream(curfew::context ctx, curfew::http::body_writer out) {
  change_hub::subscription changes(hub_);
  std::shared_ptr<const frame> shown;
  const auto go_on = [] {};
  while (!ctx.err()) {
    auto now = newest(ctx.now());
    if (now != shown) {
      shown = std::move(now);
      std::string text = shown->event;
      auto written = co_await out.async_write(ctx, std::move(text));
      if (!written) co_return;
      continue;  // writing may have taken long
    }
    const auto age = ctx.now() - shown->at;
    if (shown->changes != hub_.count()) {
      auto slept = co_await curfew::async_sleep_for(ctx, least_distance - age);
      if (!slept) co_return;
      continue;
    }
    curfew::case_list next;
    next.when(ctx.done(), go_on).when(changes.receiving(), go_on);
    if (shown->moving) next.when(curfew::after(ctx, tick - age), go_on);
    std::ignore = co_await curfew::async_select(next);
  }
}

}  // namespace curfew_dashboard
