#include "ledger/ledger.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <chrono>
#include <curfew/core/clock.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/http/errc.hpp>
#include <deque>
#include <list>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.hpp"
#include "ledger/cpu_clock.hpp"

// Invariants:
// 1. `books::mutex` guards every record and all other members of `books`, except `changes`, which is notified
//    after the mutex is released.
// 2. A record leaves `end_kind::none` once. The first of these does it: the answer, the context's callback, or
//    the destructor of the entry. That step moves exactly one of the counters answered, ended_by_….
// 3. A record is in `living` from open() to the destructor of its entry. Meters hold the entry, so `running`
//    is empty then, and the clocks of `running` belong to threads that live.
// 4. Lock order: books::mutex, then nothing. No context is ended, and no on_done destroyed, under it.

namespace curfew_dashboard {

namespace {

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

end_kind kind_of_end(const curfew::context& ctx) noexcept {
  if (ctx.err() == curfew::errc::deadline_exceeded) return end_kind::by_deadline;
  const auto why = ctx.cause();
  if (why == curfew::http::errc::shutdown) return end_kind::by_shutdown;
  if (why == curfew::http::errc::handler_done) return end_kind::answered;
  const auto left = ctx.remaining();
  return left && *left <= leaving_at_the_deadline ? end_kind::by_deadline : end_kind::by_client;
}

double in_ms(nanoseconds d) { return std::chrono::duration<double, std::milli>(d).count(); }
double in_s(nanoseconds d) { return std::chrono::duration<double>(d).count(); }

std::int64_t whole_ms(curfew::clock::duration d) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}

std::int64_t whole_ns(curfew::clock::time_point t) { return nanoseconds(t.time_since_epoch()).count(); }

json::value text_or_null(std::string_view text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

}  // namespace

struct ledger::record {
  struct running_meter {
    std::uint64_t number;
    cpu_clock clock;
    nanoseconds began;
  };

  std::string id;
  request_facts facts;
  curfew::clock::time_point started;
  std::optional<curfew::clock::duration> budget;
  std::optional<curfew::clock::time_point> deadline;

  end_kind end = end_kind::none;
  curfew::clock::time_point ended;
  nanoseconds cpu_spent{};  // by meters that are over
  nanoseconds cpu_at_the_end{};
  std::vector<running_meter> running;

  [[nodiscard]] bool unwanted() const noexcept { return end != end_kind::none && end != end_kind::answered; }

  [[nodiscard]] nanoseconds cpu() const {
    nanoseconds sum = cpu_spent;
    for (const auto& meter : running) sum += std::max(nanoseconds{}, meter.clock.now() - meter.began);
    return sum;
  }
  [[nodiscard]] static nanoseconds unwanted_part(const record& r, nanoseconds of) {
    return r.unwanted() ? std::max(nanoseconds{}, of - r.cpu_at_the_end) : nanoseconds{};
  }
};

struct ledger::books {
  struct past {
    std::string id;
    std::string parent;
    end_kind end;
    curfew::clock::time_point started;
    curfew::clock::time_point ended;
    curfew::clock::time_point home;
    nanoseconds cpu;
    nanoseconds cpu_unwanted;
  };

  explicit books(std::string name) : service(std::move(name)) {}

  /// Under the mutex. \return whether it was this call that ended it.
  bool finish(record& r, end_kind kind, bool as_failure = false) noexcept {
    if (r.end != end_kind::none) return false;
    r.end = kind;
    r.ended = curfew::clock::now();
    r.cpu_at_the_end = r.cpu();
    switch (kind) {
      case end_kind::answered:
        ++totals.answered;
        break;
      case end_kind::by_client:
        ++totals.ended_by_client;
        break;
      case end_kind::by_deadline:
        ++totals.ended_by_deadline;
        break;
      case end_kind::by_shutdown:
        ++totals.ended_by_shutdown;
        break;
      case end_kind::none:
        break;
    }
    if (as_failure) ++totals.failed;
    return true;
  }

  /// Under the mutex: the totals of what is over, and of what lives as far as it has come.
  [[nodiscard]] ledger_counters count() const {
    ledger_counters now = totals;
    nanoseconds cpu = cpu_of_past;
    nanoseconds unwanted = unwanted_of_past;
    for (const auto& r : living) {
      const nanoseconds spent = r->cpu();
      cpu += spent;
      unwanted += record::unwanted_part(*r, spent);
      if (r->unwanted()) ++now.ignored;
      if (r->end != end_kind::answered) ++now.living;
    }
    now.cpu_s = in_s(cpu);
    now.cpu_s_unwanted = in_s(unwanted);
    return now;
  }

  const std::string service;
  change_hub changes;

  std::mutex mutex;
  std::uint64_t last_number = 0;
  std::uint64_t last_meter = 0;
  ledger_counters totals;  // of these, living, ignored and the CPU times are not used
  nanoseconds cpu_of_past{};
  nanoseconds unwanted_of_past{};
  std::list<std::shared_ptr<record>> living;  // oldest first
  std::deque<past> recent;
};

/// Enters the end of the context.
struct ledger::entry::watch {
  struct note {
    books* all;
    record* own;
    curfew::context ctx;

    void operator()() const noexcept {
      const end_kind kind = kind_of_end(ctx);
      bool changed = false;
      {
        const std::lock_guard guard(all->mutex);
        changed = all->finish(*own, kind);
      }
      if (changed) all->changes.notify();
    }
  };

  curfew::on_done<note> ending;

  watch(const curfew::context& ctx, books* all, record* own) : ending(ctx, note{all, own, ctx}) {}
};

ledger::ledger(std::string service) : books_(std::make_shared<books>(std::move(service))) {}
ledger::~ledger() = default;

std::shared_ptr<ledger::entry> ledger::open(const curfew::context& ctx, request_facts facts) {
  auto own = std::make_shared<record>();
  own->facts = std::move(facts);
  own->started = curfew::clock::now();
  own->budget = ctx.remaining();
  if (own->budget) own->deadline = own->started + *own->budget;
  {
    const std::lock_guard guard(books_->mutex);
    own->id = books_->service + '-' + std::to_string(++books_->last_number);
    books_->living.push_back(own);
    ++books_->totals.started;
  }
  auto made = std::make_shared<entry>(books_, std::move(own), ctx);
  books_->changes.notify();
  return made;
}

ledger_counters ledger::counters() const {
  const std::lock_guard guard(books_->mutex);
  return books_->count();
}

change_hub& ledger::changes() const noexcept { return books_->changes; }

json::object ledger::snapshot(std::size_t recent) const {
  const std::lock_guard guard(books_->mutex);
  const auto now = curfew::clock::now();
  json::array requests;
  for (const auto& r : books_->living) {
    if (r->end == end_kind::answered) continue;  // on its way home
    const nanoseconds cpu = r->cpu();
    json::object row;
    row["id"] = r->id;
    row["service"] = books_->service;
    row["parent"] = text_or_null(r->facts.parent);
    row["method"] = r->facts.method;
    set_text(row, "target", r->facts.target);
    row["age_ms"] = whole_ms(now - r->started);
    // Rounded up: what the caller gave, less the microseconds of the way here.
    row["budget_ms"] = r->budget
                           ? json::value(std::chrono::ceil<std::chrono::milliseconds>(*r->budget).count())
                           : json::value(nullptr);
    row["remaining_ms"] = r->deadline ? json::value(whole_ms(*r->deadline - now)) : json::value(nullptr);
    row["unwanted_ms"] = r->unwanted() ? json::value(whole_ms(now - r->ended)) : json::value(nullptr);
    row["started_ns"] = whole_ns(r->started);
    row["ended_ns"] = r->end != end_kind::none ? json::value(whole_ns(r->ended)) : json::value(nullptr);
    row["state"] = name_of(r->end);
    row["ignored"] = r->unwanted();
    row["cpu_ms"] = in_ms(cpu);
    row["cpu_ms_unwanted"] = in_ms(record::unwanted_part(*r, cpu));
    requests.push_back(std::move(row));
  }
  json::array past;
  const std::size_t listed = std::min(recent, books_->recent.size());
  for (auto p = books_->recent.end() - static_cast<std::ptrdiff_t>(listed); p != books_->recent.end(); ++p) {
    json::object row;
    row["id"] = p->id;
    row["parent"] = text_or_null(p->parent);
    row["state"] = name_of(p->end);
    row["started_ns"] = whole_ns(p->started);
    row["ended_ns"] = whole_ns(p->ended);
    row["home_ns"] = whole_ns(p->home);
    row["cpu_ms"] = in_ms(p->cpu);
    row["cpu_ms_unwanted"] = in_ms(p->cpu_unwanted);
    past.push_back(std::move(row));
  }
  json::object all;
  all["service"] = books_->service;
  all["now_ns"] = whole_ns(now);
  all["counters"] = to_json(books_->count());
  all["requests"] = std::move(requests);
  all["recent"] = std::move(past);
  return all;
}

ledger::entry::entry(std::shared_ptr<books> all, std::shared_ptr<record> own, const curfew::context& ctx)
    : books_(std::move(all)),
      record_(std::move(own)),
      watch_(std::make_unique<watch>(ctx, books_.get(), record_.get())) {}

ledger::entry::~entry() {
  watch_.reset();
  {
    const std::lock_guard guard(books_->mutex);
    // Neither answered nor ended: the handler threw, and the server answers with an error.
    books_->finish(*record_, end_kind::answered, true);
    const nanoseconds cpu = record_->cpu();
    const nanoseconds unwanted = record::unwanted_part(*record_, cpu);
    books_->cpu_of_past += cpu;
    books_->unwanted_of_past += unwanted;
    std::erase(books_->living, record_);
    if (books_->recent.size() == recent_kept) books_->recent.pop_front();
    books_->recent.push_back({record_->id, record_->facts.parent, record_->end, record_->started,
                              record_->ended, curfew::clock::now(), cpu, unwanted});
  }
  books_->changes.notify();
}

const std::string& ledger::entry::id() const noexcept { return record_->id; }

void ledger::entry::answered() noexcept { answer(false); }
void ledger::entry::failed() noexcept { answer(true); }

void ledger::entry::answer(bool as_failure) noexcept {
  bool changed = false;
  {
    const std::lock_guard guard(books_->mutex);
    changed = books_->finish(*record_, end_kind::answered, as_failure);
  }
  if (changed) books_->changes.notify();
}

ledger::work_meter::work_meter(std::shared_ptr<entry> whose) : entry_(std::move(whose)) {
  const cpu_clock clock;
  const std::lock_guard guard(entry_->books_->mutex);
  number_ = ++entry_->books_->last_meter;
  entry_->record_->running.push_back({number_, clock, clock.now()});
}

ledger::work_meter::~work_meter() {
  const std::lock_guard guard(entry_->books_->mutex);
  auto& running = entry_->record_->running;
  const auto own = std::find_if(running.begin(), running.end(),
                                [&](const auto& meter) { return meter.number == number_; });
  entry_->record_->cpu_spent += own->clock.now() - own->began;
  running.erase(own);
}

json::object to_json(const ledger_counters& counters) {
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
