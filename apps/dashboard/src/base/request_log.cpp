#include "base/request_log.hpp"

#include <algorithm>
#include <array>
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

/// What became of a request.
struct ending {
  const char* name;
  std::uint64_t request_counters::* counter;
};
constexpr ending answered{"answered", &request_counters::answered};
constexpr ending by_client{"ended by client", &request_counters::ended_by_client};
constexpr ending by_deadline{"ended by deadline", &request_counters::ended_by_deadline};
constexpr ending by_shutdown{"ended by shutdown", &request_counters::ended_by_shutdown};

/// Why a task was told to stop; null: it was not. A server ends a request's context after the answer, too.
template <class Task>
const ending* ending_of(const Task& task, const std::optional<curfew::clock::duration>& budget) {
  if (!task.told) return nullptr;
  if (task.told->err == curfew::errc::deadline_exceeded) return &by_deadline;
  if (task.told->cause == curfew::http::errc::shutdown) return &by_shutdown;
  if (task.told->cause == curfew::http::errc::handler_done) return &answered;
  const bool late = budget && task.opened + *budget - task.told->at <= leaving_at_the_deadline;
  return late ? &by_deadline : &by_client;
}

bool is_unwanted(const ending* end) { return end != nullptr && end != &answered; }

/// What was spent for nobody.
template <class Task>
nanoseconds unwanted_cpu(const Task& task, const ending* end) {
  return is_unwanted(end) ? task.told->cpu : nanoseconds();
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

/// What is told of a request, whether its task is open or over.
template <class Task>
json::object row_of(const Task& task, const ending* end, const std::string& service,
                    const std::string& parent) {
  json::object made;
  made["id"] = hex(task.id);
  made["service"] = service;
  made["parent"] = parent.empty() ? json::value(nullptr) : json::value(parent);
  made["state"] = end != nullptr ? end->name : "running";
  made["started_ns"] = whole_ns(task.opened);
  made["ended_ns"] = is_unwanted(end) ? json::value(whole_ns(task.told->at)) : json::value(nullptr);
  made["cpu_ms"] = in_ms(task.cpu);
  made["cpu_ms_unwanted"] = in_ms(unwanted_cpu(task, end));
  return made;
}

}  // namespace

request_log::request_log(std::string service, const curfew::task_kind& kind)
    : service_(std::move(service)),
      kind_(kind),
      on_(inspect::inspection_options()
              .on_span([this](const inspect::ended_task& over) {
                if (is_request(over.kind)) take(over);
              })
              .on_zombie([this](const inspect::task_info& zombie) {
                // Not those above it, which wait for it.
                if (is_request(zombie.kind)) log_line(service_ + ": " + inspect::one_line(zombie));
              })) {}

bool request_log::is_request(const char* kind) const noexcept { return kind == kind_.name; }

void request_log::take(const inspect::ended_task& over) {
  {
    const std::lock_guard guard(mutex_);
    const auto found = open_.extract(over.id);
    if (!found) return;
    const open_request& facts = found.mapped();
    const ending* told = ending_of(over, facts.budget);
    const ending* end = told != nullptr ? told : &answered;
    ++(past_.*end->counter);
    if (end == &answered && !facts.succeeded) ++past_.failed;
    past_.cpu_s += in_s(over.cpu);
    past_.cpu_s_unwanted += in_s(unwanted_cpu(over, end));
    json::object row = row_of(over, end, service_, facts.parent);
    row["home_ns"] = whole_ns(over.ended);
    if (end == &answered) row["ended_ns"] = row["home_ns"];
    if (recent_.size() == recent_kept) recent_.pop_front();
    recent_.push_back(std::move(row));
  }
  changes_.notify();
}

request_counters request_log::look(json::array& requests, curfew::clock::time_point now) const {
  std::vector<inspect::task_info> tasks;
  inspect::each_task([this](const inspect::task_brief& task) { return is_request(task.kind); },
                     [&](inspect::task_info&& task) {
                       tasks.push_back(std::move(task));
                       return true;
                     });
  std::ranges::sort(tasks, {}, &inspect::task_info::opened);
  const std::lock_guard guard(mutex_);
  request_counters counters = past_;
  for (const inspect::task_info& task : tasks) {
    const auto found = open_.find(task.id);
    if (found == open_.end()) continue;
    const auto& [parent, budget, succeeded] = found->second;
    const ending* end = ending_of(task, budget);
    counters.cpu_s += in_s(task.cpu);
    if (end == &answered) continue;  // on its way home
    ++counters.living;
    counters.cpu_s_unwanted += in_s(unwanted_cpu(task, end));
    json::object row = row_of(task, end, service_, parent);
    set_text(row, "target", task.name);
    json::object where;
    set_text(where, "file", task.where.file_name());
    where["line"] = task.where.line();
    row["where"] = std::move(where);
    row["age_ms"] = whole_ms(now - task.opened);
    for (const char* time : {"budget_ms", "remaining_ms", "unwanted_ms"}) row[time] = nullptr;
    if (budget) {
      // Rounded up: what the caller gave, less the microseconds of the way here.
      row["budget_ms"] = std::chrono::ceil<std::chrono::milliseconds>(*budget).count();
      row["remaining_ms"] = whole_ms(task.opened + *budget - now);
    }
    row["ignored"] = is_unwanted(end);
    if (is_unwanted(end)) {
      ++counters.ignored;
      ++(counters.*end->counter);
      row["unwanted_ms"] = whole_ms(now - task.told->at);
    }
    requests.push_back(std::move(row));
  }
  return counters;
}

request_counters request_log::counters() const {
  json::array requests;
  return look(requests, curfew::clock::now());
}

json::object request_log::snapshot(std::size_t recent) const {
  const auto now = curfew::clock::now();
  json::array requests;
  const request_counters counters = look(requests, now);
  json::array past;
  {
    const std::lock_guard guard(mutex_);
    const auto listed = static_cast<std::ptrdiff_t>(std::min(recent, recent_.size()));
    past.insert(past.end(), recent_.end() - listed, recent_.end());
  }
  json::object all;
  all["service"] = service_;
  all["now_ns"] = whole_ns(now);
  all["counters"] = to_json(counters);
  all["requests"] = std::move(requests);
  all["recent"] = std::move(past);
  return all;
}

request_log::entry::entry(request_log& log, const curfew::context& ctx, const request_facts& facts,
                          std::source_location where)
    : log_(log),
      shown_(std::in_place, ctx, log.kind_, facts.target, where),
      id_(inspect::current_task_id()) {
  {
    const std::lock_guard guard(log_.mutex_);
    log_.open_.emplace(id_, open_request{facts.parent, ctx.remaining()});
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

}  // namespace curfew_dashboard
