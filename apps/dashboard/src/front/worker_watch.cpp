#include "front/worker_watch.hpp"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <chrono>
#include <cstdint>
#include <curfew/io/wait.hpp>
#include <optional>
#include <tuple>
#include <utility>

#include "base/text.hpp"
#include "front/service_call.hpp"
#include "workers/disk_workers.hpp"

namespace curfew_dashboard {

namespace {

using namespace std::chrono_literals;

constexpr curfew::clock::duration gone_after = 3s;
constexpr curfew::clock::duration dropped_after = 10s;
constexpr auto pause_after_failure = 300ms;
// They speak each second.
constexpr curfew::clock::duration all_have_spoken = 1200ms;
constexpr std::size_t most_workers = 64;
constexpr std::size_t longest_name = 300;
constexpr std::size_t largest_snapshot = 4 * 1024 * 1024;

std::int64_t whole_ns(curfew::clock::time_point t) {
  return std::chrono::nanoseconds(t.time_since_epoch()).count();
}

/// None if it is not a number, or one that no clock shows.
std::optional<std::int64_t> nanoseconds_of(const json::value* field) {
  if (field == nullptr || !field->is_int64() || field->get_int64() < 0) return std::nullopt;
  return field->get_int64();
}

void shift(json::object& row, const char* time, std::int64_t by) {
  json::value* field = row.if_contains(time);
  if (const auto at = nanoseconds_of(field)) *field = *at + by;
}

/// Of another machine's clock to this one's. What came was made now, but for the way here.
void shift_times(json::object& snapshot, curfew::clock::time_point now) {
  const auto theirs = nanoseconds_of(snapshot.if_contains("now_ns"));
  if (!theirs) return;
  const std::int64_t by = whole_ns(now) - *theirs;
  shift(snapshot, "now_ns", by);
  for (const char* list : {"requests", "recent"}) {
    json::value* rows = snapshot.if_contains(list);
    if (rows == nullptr || !rows->is_array()) continue;
    for (json::value& row : rows->get_array()) {
      if (!row.is_object()) continue;
      for (const char* time : {"started_ns", "ended_ns", "home_ns"}) shift(row.get_object(), time, by);
    }
  }
}

}  // namespace

void heard_workers::take(std::string_view text, time_point now) {
  if (text.size() > largest_snapshot) return;
  auto snapshot = parse_object(text);
  if (!snapshot) return;
  const json::value* service = snapshot->if_contains("service");
  if (service == nullptr || !service->is_string()) return;
  const std::string name(service->get_string());
  if (!name.starts_with(worker_prefix) || name.size() > longest_name) return;
  std::erase_if(workers_, [&](const auto& each) { return now - each.second.at >= dropped_after; });
  if (workers_.size() >= most_workers && !workers_.contains(name)) return;
  const json::value* boot = snapshot->if_contains("boot_id");
  if (boot == nullptr || *boot != json::value(boot_id_)) shift_times(*snapshot, now);
  workers_[name] = {*std::move(snapshot), now};
}

std::vector<service_view> heard_workers::look(time_point now) const {
  std::vector<service_view> views;
  for (const auto& [name, last] : workers_) {
    const auto silence = now - last.at;
    if (silence >= dropped_after) continue;
    if (silence < gone_after) {
      views.push_back({name, last.snapshot});
    } else {
      views.push_back(
          {name, std::unexpected("The " + name + " is gone: it has said nothing for " +
                                 human_duration(std::chrono::floor<std::chrono::seconds>(silence)) + ".")});
    }
  }
  return views;
}

worker_watch::worker_watch(const std::string& redis, change_hub& changes)
    : client_(redis, curfew::redis::client_options().max_answer(2 * largest_snapshot)),
      changes_(changes),
      heard_(boot_id()) {}

void worker_watch::begin() {
  const std::lock_guard guard(mutex_);
  heard_ = heard_workers(boot_id());
  away_.clear();
  begun_ = curfew::clock::now();
}

asio::awaitable<void> worker_watch::async_follow(std::shared_ptr<worker_watch> self, curfew::context ctx) {
  while (!ctx.err()) {
    std::string why = co_await self->follow_once(ctx);
    if (ctx.err()) co_return;
    {
      const std::lock_guard guard(self->mutex_);
      self->away_ = to_utf8(why).text;
    }
    self->changes_.notify();
    std::ignore = co_await curfew::async_sleep_for(ctx, pause_after_failure);
  }
}

/// \return why it cannot be heard any more.
asio::awaitable<std::string> worker_watch::follow_once(curfew::context ctx) {
  std::vector<std::string> channels{workers_channel};
  auto made = co_await client_.async_subscribe(ctx, std::move(channels));
  if (!made) co_return made.error().message();
  curfew::redis::subscription news = std::move(*made);
  for (;;) {
    auto got = co_await news.async_next(ctx);
    if (!got) co_return got.error().message();
    {
      const std::lock_guard guard(mutex_);
      if (ctx.err()) co_return "";
      heard_.take(got->payload, curfew::clock::now());
      away_.clear();
    }
    changes_.notify();
  }
}

std::vector<service_view> worker_watch::look() const {
  const std::lock_guard guard(mutex_);
  auto views = heard_.look(curfew::clock::now());
  if (!away_.empty())
    views.push_back({"workers", std::unexpected("The workers cannot be heard: " + away_ + ".")});
  return views;
}

asio::awaitable<void> worker_watch::async_wait_for_all(curfew::context ctx) const {
  curfew::clock::time_point until;
  {
    const std::lock_guard guard(mutex_);
    until = begun_ + all_have_spoken;
  }
  std::ignore = co_await curfew::async_sleep_until(ctx, until);
}

}  // namespace curfew_dashboard
