#include "feed.hpp"

#include <algorithm>
#include <chrono>
#include <curfew/core/idle_scope.hpp>
#include <curfew/io/wait.hpp>
#include <string>
#include <tuple>
#include <utility>

#include "event_reader.hpp"
#include "task.hpp"

namespace curfew_program {

namespace {

using namespace std::chrono_literals;

constexpr unsigned tasks_of_a_look = 200;
constexpr auto longest_silence = 10s;
constexpr curfew::clock::duration shortest_pause = 250ms;
constexpr curfew::clock::duration longest_pause = 5s;

/// Follows one stream to its end. \return why it ended.
asio::awaitable<std::string> follow_once(curfew::context ctx, console& of, process_view& view,
                                         bell& changed) {
  auto idle = curfew::with_idle_timeout(ctx, longest_silence);
  auto said = co_await of.async_get(idle.ctx(), "/about");
  if (!said) co_return said.error().text;
  const auto who = read_about(*said);
  if (!who) co_return of.failed(who.error()).text;
  view.name = who->program + ' ' + std::to_string(who->pid);
  auto stream = co_await of.async_follow(idle.ctx(), tasks_of_a_look);
  if (!stream) co_return stream.error().text;
  event_reader events("look");
  for (;;) {
    auto bytes = co_await stream->async_read(idle.ctx());
    if (!bytes) co_return of.failed(bytes.error()).text;
    if (!*bytes) co_return of.failed("it has closed the connection").text;
    std::ignore = idle.touch();
    events.feed(**bytes);
    if (events.pending() > console::most_bytes) co_return of.failed("an event of more than 16 MiB").text;
    const auto last = events.take_last();
    if (!last) continue;
    auto now = read_look(*last);
    if (!now) co_return of.failed(now.error()).text;
    view.heard_of(*std::move(now), curfew::clock::now());
    changed.ring();
  }
}

}  // namespace

asio::awaitable<void> follow(curfew::context ctx, console& of, process_view& view, bell& changed) {
  auto pause = shortest_pause;
  while (!ctx.err()) {
    std::string why = co_await follow_once(ctx, of, view, changed);
    pause = view.here ? shortest_pause : std::min(2 * pause, longest_pause);
    view.gone(std::move(why));
    changed.ring();
    std::ignore = co_await curfew::async_sleep_for(ctx, pause);
  }
}

}  // namespace curfew_program
