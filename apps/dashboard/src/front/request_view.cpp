#include "front/request_view.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <curfew/io/wait.hpp>
#include <tuple>
#include <utility>

#include "base/event_parser.hpp"
#include "base/gather.hpp"
#include "base/text.hpp"
#include "front/service_call.hpp"

// Invariants:
// 1. `following_` holds a scope exactly while `viewers_` > 0; it is ended outside the mutex, since that runs
//    callbacks.
// 2. `latest_` has one element per service.

namespace curfew_dashboard {

namespace {

using namespace std::chrono_literals;

constexpr auto pause_after_failure = 300ms;
constexpr auto time_to_answer = 3s;
constexpr std::size_t recent_in_events = 16;
constexpr std::size_t recent_in_answers = 512;
constexpr std::size_t largest_event = 4 * 1024 * 1024;

}  // namespace

request_view::request_view(asio::any_io_executor executor, observed what)
    : executor_(std::move(executor)),
      what_(std::move(what)) {}

void request_view::arrive() {
  curfew::context ctx = curfew::background();
  {
    const std::lock_guard guard(mutex_);
    if (++viewers_ > 1) return;
    following_.emplace(curfew::with_cancel(curfew::background()));
    ctx = following_->ctx();
    latest_.clear();
    for (const auto& service : what_.services) {
      latest_.emplace_back(std::unexpected("The " + service->name() + " service has not answered yet."));
    }
    if (what_.workers) what_.workers->begin();
  }
  for (std::size_t i = 0; i < what_.services.size(); ++i) {
    asio::co_spawn(executor_, follow(shared_from_this(), ctx, i), asio::detached);
  }
  if (what_.workers)
    asio::co_spawn(executor_, worker_watch::async_follow(what_.workers, ctx), asio::detached);
}

void request_view::leave() noexcept {
  std::optional<curfew::cancel_scope> over;
  {
    const std::lock_guard guard(mutex_);
    if (--viewers_ == 0) over = std::exchange(following_, std::nullopt);
  }
}

void request_view::keep(const curfew::context& ctx, std::size_t service, latest now) {
  {
    const std::lock_guard guard(mutex_);
    if (ctx.err()) return;
    latest_[service] = std::move(now);
  }
  changes().notify();
}

asio::awaitable<void> request_view::follow(std::shared_ptr<request_view> self, curfew::context ctx,
                                           std::size_t service) {
  while (!ctx.err()) {
    std::string why = co_await self->follow_once(ctx, service);
    self->keep(ctx, service, std::unexpected(to_utf8(why).text));
    std::ignore = co_await curfew::async_sleep_for(ctx, pause_after_failure);
  }
}

/// \return why it cannot be followed any more.
asio::awaitable<std::string> request_view::follow_once(curfew::context ctx, std::size_t service) {
  auto request = co_await make_call(ctx, what_.services[service], "GET", "/requests/events");
  if (!request) co_return std::move(request).error();
  auto opened = co_await what_.client->async_open(ctx, *std::move(request));
  if (!opened) co_return opened.error().message();
  http::download from = *std::move(opened);
  if (from.head().status() != http::status::ok)
    co_return "It answered with " + from.head().status_line() + ".";
  event_parser events;
  for (;;) {
    auto piece = co_await from.async_read(ctx);
    if (!piece) co_return piece.error().message();
    if (!*piece) co_return "The " + what_.services[service]->name() + " service ended its events.";
    events.feed(**piece);
    while (auto event = events.next()) {
      if (auto snapshot = parse_object(event->data); snapshot && event->name == "requests") {
        keep(ctx, service, *std::move(snapshot));
      }
    }
    if (events.pending() > largest_event) co_return "It sent more than it should.";
  }
}

live_view request_view::look() const {
  std::vector<service_view> services;
  {
    const std::lock_guard guard(mutex_);
    for (std::size_t i = 0; i < latest_.size(); ++i)
      services.push_back({what_.services[i]->name(), latest_[i]});
  }
  const auto workers = what_.workers ? what_.workers->look() : std::vector<service_view>();
  services.insert(services.end(), workers.begin(), workers.end());
  json::object front = what_.front->snapshot(recent_in_events);
  front["ignoring"] = false;
  live_view made;
  // The services send an event each second while something of theirs lives; for the rest the front's own ages
  // count.
  // A worker that has gone silent is gone after a while.
  made.moving = !front.at("requests").as_array().empty() || !workers.empty();
  made.json = json::serialize(merge_requests(std::move(front), services));
  return made;
}

asio::awaitable<service_view> request_view::ask_one(curfew::context ctx, std::size_t service) {
  auto answer = co_await async_call(ctx, what_.client, what_.services[service], "GET", "/requests", "");
  service_view made{what_.services[service]->name(), std::move(answer)};
  co_return made;
}

asio::awaitable<json::object> request_view::async_ask(curfew::context ctx) {
  auto scope = curfew::with_timeout(ctx, time_to_answer);
  std::vector<service_view> workers;
  if (what_.workers) {
    const viewer listening(shared_from_this());
    co_await what_.workers->async_wait_for_all(scope.ctx());
    workers = what_.workers->look();
  }
  std::vector<asio::awaitable<service_view>> parts;
  parts.reserve(what_.services.size());
  for (std::size_t i = 0; i < what_.services.size(); ++i) parts.push_back(ask_one(scope.ctx(), i));
  auto services = co_await gather(scope.ctx(), std::move(parts));
  services.insert(services.end(), workers.begin(), workers.end());
  json::object front = what_.front->snapshot(recent_in_answers);
  front["ignoring"] = false;
  co_return merge_requests(std::move(front), services);
}

}  // namespace curfew_dashboard
