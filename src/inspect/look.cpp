#include "inspect/look.hpp"

#include <array>
#include <cstdio>
#include <curfew/core/detail/inspection.hpp>
#include <curfew/core/trace.hpp>
#include <utility>

#include "inspect/held_locks.hpp"
#include "inspect/thread_block.hpp"

namespace curfew::inspect {

namespace {

/// What is copied while a task cannot end.
struct copy {
  context ctx;
  task_info info;
  std::array<char, task_name::most> name;
  std::size_t name_size;
  told_state told;
  ticks told_at;
  std::int64_t cpu_since_told;
};

std::string hex(std::uint64_t id) {
  std::array<char, 17> digits{};
  std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(id));
  return digits.data();
}

/// The holder of a lock is looked up now: it may be another one than when the wait began.
waiting_for waits_of(const task_record& r, const char* what) noexcept {
  const std::uint64_t on = r.waits_on.load(std::memory_order_relaxed);
  return {what, r.waits_on_lock.load(std::memory_order_relaxed) ? held_locks::holder_of(on) : on};
}

bool is_computing(const thread_block* at_it) noexcept {
  return at_it != nullptr && !at_it->blocks.load(std::memory_order_relaxed);
}

/// As long as its context has not ended.
state state_while_wanted(const task_record& r, const thread_block* at_it) noexcept {
  if (is_computing(at_it)) return state::running;
  const bool has_begun =
      r.waits.load(std::memory_order_relaxed) != nullptr || r.has_begun.load(std::memory_order_relaxed);
  return has_begun ? state::waiting : state::queued;
}

std::optional<copy> copy_of(task_ref which) {
  if (!which) return {};
  task_record& r = *which.record;
  const brief_lock guard(r.lock);
  if (!r.is(which.generation) || r.is_carrier()) return {};
  copy c{r.its_ending().ctx(), {}, {}, 0, r.told.load(std::memory_order_acquire), 0, 0};
  c.info.id = r.id.load(std::memory_order_relaxed);
  c.info.parent = r.parent;
  c.info.kind = r.kind->name;
  c.info.where = r.where;
  c.info.opened = as_time_point(r.opened);
  const auto name = r.name.view();
  std::memcpy(c.name.data(), name.data(), name.size());
  c.name_size = name.size();
  c.info.cpu = std::chrono::nanoseconds(cpu_by_now(r));
  c.told_at = r.told_at.load(std::memory_order_relaxed);
  c.cpu_since_told = cpu_since_told(r, c.info.cpu.count());
  const thread_block* t = r.thread.load(std::memory_order_acquire);
  if (t != nullptr) c.info.thread = t->thread.load(std::memory_order_relaxed);
  if (!is_computing(t)) {
    if (const auto* what = r.waits.load(std::memory_order_relaxed); what != nullptr) {
      c.info.waits = waits_of(r, what);
    }
  }
  c.info.state = state_while_wanted(r, t);
  return c;
}

}  // namespace

std::optional<task_info> look_at(task_ref which) {
  auto c = copy_of(which);
  if (!c) return {};
  task_info info = std::move(c->info);
  info.name.assign(c->name.data(), c->name_size);
  info.path = c->ctx.path();
  info.remaining = c->ctx.remaining();
  info.detached = !detail::can_end(c->ctx);
  if (const auto* part_of = c->ctx.value(trace)) info.trace = part_of->id();
  for (auto& v : detail::shown_values(c->ctx)) info.values.push_back({v.key, std::move(v.value)});
  if (const auto err = c->ctx.err(); err) {
    const bool known = c->told != told_state::not_told;
    info.state = c->told == told_state::zombie ? state::zombie : state::told;
    info.told = told_to_stop{err, c->ctx.cause(), known ? as_time_point(c->told_at) : clock::now(),
                             std::chrono::nanoseconds(known ? c->cpu_since_told : 0)};
  }
  return info;
}

std::optional<task_brief> glance_at(task_ref which) {
  task_record& r = *which.record;
  const brief_lock guard(r.lock);
  if (!r.is(which.generation) || r.is_carrier()) return {};
  task_brief seen;
  seen.id = r.id.load(std::memory_order_relaxed);
  seen.kind = r.kind->name;
  seen.opened = as_time_point(r.opened);
  switch (r.told.load(std::memory_order_acquire)) {
    case told_state::not_told:
      seen.state = state_while_wanted(r, r.thread.load(std::memory_order_acquire));
      break;
    case told_state::zombie:
      seen.state = state::zombie;
      break;
    case told_state::told:
    case told_state::over:
      seen.state = state::told;
      break;
  }
  return seen;
}

std::string one_line(const task_info& zombie) {
  std::string line = zombie.kind;
  if (!zombie.name.empty()) line += " \"" + zombie.name + '"';
  line += " (" + hex(zombie.id) + ')';
  if (zombie.told) {
    const auto ago =
        std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - zombie.told->at).count();
    line += " was told to stop " + std::to_string(ago) + " ms ago (" + zombie.told->cause.message() +
            ") and goes on";
  }
  if (zombie.waits) {
    line += std::string(", waiting for ") + zombie.waits->what;
    if (zombie.waits->on != 0) line += " on " + hex(zombie.waits->on);
  }
  line += "; opened at ";
  line += zombie.where.file_name();
  line += ':' + std::to_string(zombie.where.line());
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      c = '?';  // what a client chose does not steer a terminal
  }
  return line;
}

}  // namespace curfew::inspect
