#include "inspect/hooks.hpp"

#include <algorithm>
#include <curfew/core/detail/unseen.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/trace.hpp>
#include <utility>

#include "inspect/detector.hpp"
#include "inspect/held_locks.hpp"

// Invariants: see record.hpp.
//
// Races
// - The context ends while the task is being closed: close removes the callback first, which waits for one that runs. So
//   the record is in the list of the told, or never will be. What looks at its context itself may have stopped, and be
//   closed, before its callback is called: then close tells it.
// - The detector makes a zombie of a task that is being closed: both move `told` from `told`, and the second one finds out.
// - A thread still works for a task that another thread closes: its switch finds another generation, and charges nobody. A
//   record that has been given to another task at that very moment may get the nanoseconds between two instructions.

namespace curfew::inspect {

namespace {

using detail::current_task;
using detail::is_valid;

constinit std::atomic<bool> records_now{false};
constinit std::atomic<const inspection_options::span_function*> span{nullptr};
constinit std::atomic<std::int64_t> told_now{0};

/// With nothing of a task in it yet, but for its number.
task_record* open_record(thread_block& t) noexcept {
  if (!records_now.load(std::memory_order_relaxed)) return nullptr;
  task_record* r = t.take();
  if (r == nullptr) {
    t.not_recorded.add(1);
    return nullptr;
  }
  r->told.store(told_state::not_told, std::memory_order_relaxed);
  r->has_begun.store(false, std::memory_order_relaxed);
  r->waits.store(nullptr, std::memory_order_relaxed);
  r->cpu.store(0, std::memory_order_relaxed);
  r->thread.store(nullptr, std::memory_order_relaxed);
  r->nested.store(nullptr, std::memory_order_relaxed);
  r->opened = ticks_now();
  return r;
}

task_ref publish(task_record& r) noexcept {
  const auto generation = r.generation.load(std::memory_order_relaxed) + 1;
  r.generation.store(generation, std::memory_order_release);
  return {&r, generation};
}

/// 0: it is over, or no task.
std::uint64_t id_of(task_ref t) noexcept {
  if (!is_valid(t)) return 0;
  // acquire, pairs with open(): the id of a later task comes with a later generation.
  const std::uint64_t id = t.record->id.load(std::memory_order_acquire);
  return is_valid(t) ? id : 0;
}

task_ref open(const context& ctx, const detail::task_opening& how) noexcept {
  if (ctx.value(detail::unseen_tasks) != nullptr) return {};
  thread_block& t = own_block();
  task_record* r = open_record(t);
  if (r == nullptr) return {};
  r->carries.store(false, std::memory_order_relaxed);
  r->id.store(t.new_id(), std::memory_order_release);  // pairs: id_of()
  std::uint64_t parent = id_of(how.parent);
  if (parent == 0) {
    if (const auto* from = ctx.value(trace)) parent = from->span;  // it may be another process's
  }
  r->parent = parent;
  r->kind = how.kind;
  r->where = how.where;
  r->name.assign(how.name);
  auto* ending = new (r->last) task_record::ending(ctx);
  t.opened.add(1);
  const task_ref ref = publish(*r);
  ending->enlist();
  return ref;
}

task_ref open_carrier() noexcept {
  task_record* r = open_record(own_block());
  if (r == nullptr) return {};
  r->carries.store(true, std::memory_order_relaxed);
  r->id.store(0, std::memory_order_release);  // pairs: id_of()
  return publish(*r);
}

void work_for(task_ref to) noexcept;

void close_carrier(thread_block& t, task_record& r) noexcept {
  {
    const brief_lock guard(r.lock);
    r.generation.fetch_add(1, std::memory_order_release);
  }
  t.recycle(&r);
}

void fill(past& p, const task_record& r, ticks now) noexcept {
  p.id = r.id.load(std::memory_order_relaxed);
  p.parent = r.parent;
  p.kind = r.kind;
  p.where = r.where;
  p.opened = r.opened;
  p.ended = now;
  p.told = 0;
  p.cpu = r.cpu.load(std::memory_order_relaxed);
  p.set_name(r.name.view());
}

trace_id trace_of(const context& ctx) noexcept {
  const auto* found = ctx.value(trace);
  return found == nullptr ? trace_id{} : trace_id{found->id_high, found->id_low};
}

void fill_told(past& p, const task_record& r, std::error_code err, const curfew::cause& why) noexcept {
  p.told = r.told_at.load(std::memory_order_relaxed);
  p.cpu_since = cpu_since_told(r, p.cpu);
  p.err = err;
  p.why = why;
}

void tell_span(thread_block& t, const past& over) noexcept {
  // seq_cst, as in tell_spans_to(): either it is seen that a thread tells, or this sees that there is nothing to tell.
  t.tells_span.store(true, std::memory_order_seq_cst);
  if (const auto* tell = span.load(std::memory_order_seq_cst); tell != nullptr) (*tell)(over.info());
  t.tells_span.store(false, std::memory_order_release);
}

ending how_ended(std::error_code err) noexcept {
  if (!err) return ending::living;
  return err == errc::deadline_exceeded ? ending::deadline_exceeded : ending::canceled;
}

void close(task_ref of) noexcept {
  if (!is_valid(of)) return;
  thread_block& t = own_block();
  task_record& r = *of.record;
  if (current_task == of) work_for({});
  if (r.is_carrier()) {
    close_carrier(t, r);
    return;
  }
  auto& ending = r.its_ending();
  ending.delist(true);
  if (ending.ctx().err() && r.told.load(std::memory_order_acquire) == told_state::not_told) ending.tell_now();
  const ticks now = ticks_now();
  const bool was_told = r.told.load(std::memory_order_acquire) != told_state::not_told;
  {
    const brief_lock guard(r.lock);
    r.generation.fetch_add(1, std::memory_order_release);
  }
  // No reader touches it from here on.
  const std::error_code err = ending.ctx().err();
  t.closed.add(1);
  t.age[static_cast<std::size_t>(how_ended(err))].add(as_nanoseconds(since(r.opened, now)));
  const curfew::cause why = was_told ? ending.ctx().cause() : curfew::cause();
  const trace_id belongs_to = trace_of(ending.ctx());
  const auto fill_in = [&](past& p) {
    fill(p, r, now);
    p.trace = belongs_to;
    if (was_told) fill_told(p, r, err, why);
  };
  if (was_told) {
    told_now.fetch_sub(1, std::memory_order_relaxed);
    t.told_to_over.add(as_nanoseconds(since(r.told_at.load(std::memory_order_relaxed), now)));
    t.cpu_for_nobody.add(cpu_since_told(r, r.cpu.load(std::memory_order_relaxed)));
  }
  if (span.load(std::memory_order_relaxed) != nullptr) {
    past p;
    fill_in(p);
    tell_span(t, p);
  }
  t.keep(r.opened, now, fill_in);
  if (was_told) {
    ending.~ending();
    new (r.last) epitaph{now, why, err, belongs_to};
    if (r.told.exchange(told_state::over, std::memory_order_acq_rel) == told_state::zombie) detector::over(r);
  } else {
    ending.~ending();
    r.name.clear();
    t.recycle(&r);
  }
}

void work_for(task_ref to) noexcept {
  const bool to_none = !is_valid(to) || to.record->is_carrier();
  if (to_none && !current_task) return;
  thread_block& t = own_block();
  const ticks now = ticks_now();
  t.charge(now);
  if (is_valid(current_task)) {
    auto& thread = current_task.record->thread;
    if (thread.load(std::memory_order_relaxed) == &t) thread.store(nullptr, std::memory_order_relaxed);
  }
  if (to_none) {
    current_task = {};
    t.works.store(false, std::memory_order_relaxed);
    t.on_loop = false;
    return;
  }
  current_task = to;
  task_record& r = *to.record;
  t.works.store(true, std::memory_order_relaxed);
  r.has_begun.store(true, std::memory_order_relaxed);
  r.waits.store(nullptr, std::memory_order_relaxed);
  r.thread.store(&t, std::memory_order_release);  // pairs: cpu_by_now()
}

task_ref innermost(task_ref outer) noexcept {
  task_ref found = outer;
  for (int depth = 0; depth != 64; ++depth) {
    if (!is_valid(found)) return depth == 0 ? task_ref{} : outer;
    const task_ref inner{found.record->nested.load(std::memory_order_relaxed),
                         found.record->nested_generation.load(std::memory_order_relaxed)};
    if (!is_valid(inner)) break;
    found = inner;
  }
  return found;
}

void nest(task_ref outer, task_ref inner) noexcept {
  if (!is_valid(outer)) return;
  outer.record->nested.store(inner.record, std::memory_order_relaxed);
  outer.record->nested_generation.store(inner.generation, std::memory_order_relaxed);
}

void wait(task_ref of, const char* what, std::uint64_t on, const void* lock) noexcept {
  if (!is_valid(of)) return;
  task_record& r = *of.record;
  r.waits_on.store(lock != nullptr ? held_locks::number_of(lock) : on, std::memory_order_relaxed);
  r.waits_on_lock.store(lock != nullptr, std::memory_order_relaxed);
  r.waits.store(what, std::memory_order_relaxed);
}

void block(const char* what, std::uint64_t on, const void* lock) noexcept {
  thread_block& t = own_block();
  t.charge(ticks_now());
  t.blocks.store(true, std::memory_order_relaxed);
  wait(current_task, what, on, lock);
}

void unblock() noexcept {
  thread_block& t = own_block();
  t.charge(ticks_now());
  t.blocks.store(false, std::memory_order_relaxed);
  if (is_valid(current_task)) current_task.record->waits.store(nullptr, std::memory_order_relaxed);
}

void hold(const void* lock) noexcept { held_locks::take(held_locks::number_of(lock), id_of(current_task)); }

void let_go(const void* lock) noexcept { held_locks::give_back(held_locks::number_of(lock)); }

std::uint64_t read_ticks() noexcept { return ticks_now(); }

void lag(std::uint64_t posted) noexcept {
  thread_block& t = own_block();
  t.on_loop = true;
  if (posted != 0) t.lag.add(as_nanoseconds(since(posted, ticks_now())));
}

constexpr detail::task_hooks all_hooks{open,  close,   open_carrier, work_for, innermost,  nest, wait,
                                       block, unblock, hold,         let_go,   read_ticks, lag,  id_of};

}  // namespace

void install_hooks() noexcept { detail::hooks.store(&all_hooks, std::memory_order_release); }

void record_from_now_on(bool on) noexcept { records_now.store(on, std::memory_order_relaxed); }

void tell_spans_to(const inspection_options::span_function* tell) noexcept {
  span.store(tell, std::memory_order_seq_cst);
  for (thread_block* t = first_block(); t != nullptr; t = t->next) {
    for (unsigned tries = 0; t->tells_span.load(std::memory_order_seq_cst); ++tries)
      detail::threads::relax(tries);
  }
}

past past_of_told(task_record& r) noexcept {
  const epitaph& last = r.its_epitaph();
  past p;
  fill(p, r, last.ended);
  p.trace = last.trace;
  fill_told(p, r, last.err, last.why);
  return p;
}

void release_record(task_record& r) noexcept {
  r.its_epitaph().~epitaph();
  r.name.clear();
  own_block().recycle(&r);
}

std::uint64_t told_count() noexcept {
  const auto now = told_now.load(std::memory_order_relaxed);
  return now > 0 ? static_cast<std::uint64_t>(now) : 0;
}

}  // namespace curfew::inspect

namespace curfew::detail {

void task_record::ending::tell(callback* self) noexcept {
  auto* bytes = reinterpret_cast<std::byte*>(static_cast<ending*>(self));
  auto& r = *reinterpret_cast<task_record*>(bytes - offsetof(task_record, last));
  r.cpu_when_told.store(inspect::cpu_by_now(r), std::memory_order_relaxed);
  r.told_at.store(inspect::ticks_now(), std::memory_order_relaxed);
  inspect::told_now.fetch_add(1, std::memory_order_relaxed);
  r.told.store(inspect::told_state::told, std::memory_order_release);
  inspect::detector::told(r);
}

}  // namespace curfew::detail
