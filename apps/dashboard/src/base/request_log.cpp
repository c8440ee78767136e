#include "base/request_log.hpp"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <chrono>
#include <cstdio>
#include <curfew/http/errc.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.hpp"
#include "base/text.hpp"

// A task that is being closed may be seen neither open nor over for a moment. Nothing is counted twice: a task counts as
// living only while it has an element of `open_`, which take() turns into one of `recent_`.
//
// Lock order: mutex_, then nothing. No task is opened, closed or looked at under it.

namespace curfew_dashboard {

namespace {

namespace inspect = curfew::inspect;
using std::chrono::nanoseconds;

constexpr std::size_t recent_kept = 512;

/// A caller leaves at its own deadline, which is the one that came with the request: its leaving so shortly
/// before that is the deadline, seen a moment earlier.
constexpr std::chrono::milliseconds leaving_at_the_deadline{20};

enum class end_kind { none, answered, by_client, by_deadline, by_shutdown };

std::string_view name_of(end_kind kind) {
  switch (kind) {
    case end_kind::none:
      return "running";
    case end_kind::answered:
      return "answered";
    case end_kind::by_client:
      return "ended by client";
    case end_kind::by_deadline:
      return "ended by deadline";
    case end_kind::by_shutdown:
      return "ended by shutdown";
  }
  return {};
}

/// Why a task was told to stop. A server ends a request's context after the answer, too.
end_kind kind_of_end(const inspect::told_to_stop& told,
                     const std::optional<curfew::clock::time_point>& deadline) {
  if (told.err == curfew::errc::deadline_exceeded) return end_kind::by_deadline;
  if (told.cause == curfew::http::errc::shutdown) return end_kind::by_shutdown;
  if (told.cause == curfew::http::errc::handler_done) return end_kind::answered;
  return deadline && *deadline - told.at <= leaving_at_the_deadline ? end_kind::by_deadline
                                                                    : end_kind::by_client;
}

std::uint64_t& counter_of(request_counters& counters, end_kind kind) {
  switch (kind) {
    case end_kind::by_client:
      return counters.ended_by_client;
    case end_kind::by_deadline:
      return counters.ended_by_deadline;
    case end_kind::by_shutdown:
      return counters.ended_by_shutdown;
    default:
      return counters.answered;
  }
}

double in_ms(nanoseconds d) { return std::chrono::duration<double, std::milli>(d).count(); }
double in_s(nanoseconds d) { return std::chrono::duration<double>(d).count(); }

std::int64_t whole_ms(curfew::clock::duration d) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}

std::int64_t whole_ns(curfew::clock::time_point t) { return nanoseconds(t.time_since_epoch()).count(); }

std::string hex(std::uint64_t id) {
  std::array<char, 17> digits{};
  std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(id));
  return digits.data();
}

json::value text_or_null(std::string_view text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

}  // namespace

/// What is open, and what was over when it was looked at.
struct request_log::look {
  struct living {
    inspect::task_info task;
    open_request facts;
    end_kind end = end_kind::none;

    [[nodiscard]] bool unwanted() const noexcept { return end != end_kind::none; }
    [[nodiscard]] nanoseconds cpu_unwanted() const noexcept {
      return unwanted() ? task.told->cpu : nanoseconds();
    }
    [[nodiscard]] json::object row(curfew::clock::time_point now) const;
  };

  curfew::clock::time_point now;
  std::vector<living> open;  // oldest first
  request_counters counters;
};

json::object request_log::look::living::row(curfew::clock::time_point now) const {
  json::object made;
  made["id"] = hex(task.id);
  made["parent"] = text_or_null(facts.parent);
  set_text(made, "target", task.name);
  json::object where;
  set_text(where, "file", task.where.file_name());
  where["line"] = task.where.line();
  made["where"] = std::move(where);
  made["age_ms"] = whole_ms(now - task.opened);
  // Rounded up: what the caller gave, less the microseconds of the way here.
  made["budget_ms"] = facts.budget
                          ? json::value(std::chrono::ceil<std::chrono::milliseconds>(*facts.budget).count())
                          : json::value(nullptr);
  made["remaining_ms"] = facts.deadline ? json::value(whole_ms(*facts.deadline - now)) : json::value(nullptr);
  made["unwanted_ms"] = unwanted() ? json::value(whole_ms(now - task.told->at)) : json::value(nullptr);
  made["started_ns"] = whole_ns(task.opened);
  made["ended_ns"] = unwanted() ? json::value(whole_ns(task.told->at)) : json::value(nullptr);
  made["state"] = name_of(end);
  made["ignored"] = unwanted();
  made["cpu_ms"] = in_ms(task.cpu);
  made["cpu_ms_unwanted"] = in_ms(cpu_unwanted());
  return made;
}

request_log::request_log(std::string service, const curfew::task_kind& kind)
    : service_(std::move(service)),
      kind_(kind),
      on_(inspect::inspection_options()
              .on_span([this](const inspect::ended_task& over) {
                if (is_request(over.kind)) take(over);
              })
              .on_zombie([this](const inspect::task_info& zombie) {
                // Not those above it, which wait for it.
                if (is_request(zombie.kind)) tell(zombie);
              })) {}

bool request_log::is_request(const char* kind) const noexcept { return kind == kind_.name; }

void request_log::tell(const inspect::task_info& zombie) const {
  log_line(service_ + ": " + inspect::one_line(zombie));
}

void request_log::take(const inspect::ended_task& over) {
  {
    const std::lock_guard guard(mutex_);
    const auto found = open_.find(over.id);
    if (found == open_.end()) return;
    const open_request facts = std::move(found->second);
    open_.erase(found);
    const end_kind kind = over.told ? kind_of_end(*over.told, facts.deadline) : end_kind::answered;
    ++counter_of(past_, kind);
    if (kind == end_kind::answered && !facts.succeeded) ++past_.failed;
    past_.cpu_s += in_s(over.cpu);
    const bool unwanted = kind != end_kind::answered;
    if (unwanted) past_.cpu_s_unwanted += in_s(over.told->cpu);
    json::object row;
    row["id"] = hex(over.id);
    row["service"] = service_;
    row["parent"] = text_or_null(facts.parent);
    row["state"] = name_of(kind);
    row["started_ns"] = whole_ns(over.opened);
    row["ended_ns"] = whole_ns(unwanted ? over.told->at : over.ended);
    row["home_ns"] = whole_ns(over.ended);
    row["cpu_ms"] = in_ms(over.cpu);
    row["cpu_ms_unwanted"] = in_ms(unwanted ? over.told->cpu : nanoseconds());
    if (recent_.size() == recent_kept) recent_.pop_front();
    recent_.push_back(std::move(row));
  }
  changes_.notify();
}

request_log::look request_log::look_at_all() const {
  std::vector<inspect::task_info> tasks;
  inspect::each_task([&](inspect::task_info&& task) {
    if (is_request(task.kind)) tasks.push_back(std::move(task));
    return true;
  });
  std::ranges::sort(tasks, {}, &inspect::task_info::opened);
  look made;
  const std::lock_guard guard(mutex_);
  made.now = curfew::clock::now();
  made.counters = past_;
  for (inspect::task_info& task : tasks) {
    const auto facts = open_.find(task.id);
    if (facts == open_.end()) continue;
    const end_kind end = task.told ? kind_of_end(*task.told, facts->second.deadline) : end_kind::none;
    made.counters.cpu_s += in_s(task.cpu);
    if (end == end_kind::answered) continue;  // on its way home
    const auto& own = made.open.emplace_back(std::move(task), facts->second, end);
    made.counters.cpu_s_unwanted += in_s(own.cpu_unwanted());
    ++made.counters.living;
    if (!own.unwanted()) continue;
    ++made.counters.ignored;
    ++counter_of(made.counters, end);
  }
  return made;
}

request_counters request_log::counters() const { return look_at_all().counters; }

json::object request_log::snapshot(std::size_t recent) const {
  const look seen = look_at_all();
  json::array requests;
  for (const look::living& each : seen.open) {
    json::object row = each.row(seen.now);
    row["service"] = service_;
    requests.push_back(std::move(row));
  }
  json::array past;
  {
    const std::lock_guard guard(mutex_);
    const auto listed = static_cast<std::ptrdiff_t>(std::min(recent, recent_.size()));
    past.insert(past.end(), recent_.end() - listed, recent_.end());
  }
  json::object all;
  all["service"] = service_;
  all["now_ns"] = whole_ns(seen.now);
  all["counters"] = to_json(seen.counters);
  all["requests"] = std::move(requests);
  all["recent"] = std::move(past);
  return all;
}

request_log::entry::entry(request_log& log, const curfew::context& ctx, const request_facts& facts,
                          std::source_location where)
    : log_(log),
      shown_(std::in_place, ctx, log.kind_, facts.target, where),
      id_(inspect::current_task_id()) {
  open_request own;
  own.parent = facts.parent;
  own.budget = ctx.remaining();
  if (own.budget) own.deadline = curfew::clock::now() + *own.budget;
  {
    const std::lock_guard guard(log_.mutex_);
    log_.open_.emplace(id_, std::move(own));
    ++log_.past_.started;
  }
  ending_.emplace(ctx, told{&log_.changes_});
  log_.changes_.notify();
}

request_log::entry::~entry() {
  ending_.reset();
  shown_.reset();  // tells the log
  // Without memory for a task there was none, and nothing is told.
  const std::lock_guard guard(log_.mutex_);
  log_.open_.erase(id_);
}

std::string request_log::entry::id() const { return hex(id_); }

void request_log::entry::succeeded() noexcept {
  const std::lock_guard guard(log_.mutex_);
  if (const auto own = log_.open_.find(id_); own != log_.open_.end()) own->second.succeeded = true;
}

json::object to_json(const request_counters& counters) {
  json::object made;
  made["started"] = counters.started;
  made["answered"] = counters.answered;
  made["failed"] = counters.failed;
  made["ended_by_client"] = counters.ended_by_client;
  made["ended_by_deadline"] = counters.ended_by_deadline;
  made["ended_by_shutdown"] = counters.ended_by_shutdown;
  made["living"] = counters.living;
  made["ignored"] = counters.ignored;
  made["cpu_s"] = counters.cpu_s;
  made["cpu_s_unwanted"] = counters.cpu_s_unwanted;
  return made;
}

}  // namespace curfew_dashboard
