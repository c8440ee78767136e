#include "inspect/thread_block.hpp"

#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <curfew/core/detail/random.hpp>
#include <curfew/core/trace.hpp>
#include <utility>

#include "inspect/place_table.hpp"

namespace curfew::inspect {

namespace {

constexpr std::chrono::microseconds long_stretch{100};
constexpr std::chrono::milliseconds clock_is_fresh{10};
constexpr std::size_t most_free = 256;

std::int64_t in_nanoseconds(const timespec& t) noexcept {
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

std::int64_t own_clock() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return in_nanoseconds(t);
}

}  // namespace

void duration_counts::add(std::chrono::nanoseconds duration) noexcept {
  const auto at = std::ranges::lower_bound(histogram::limits, duration) - histogram::limits.begin();
  count_[static_cast<std::size_t>(at)].add(1);
  sum_.add(duration.count());
}

void duration_counts::add_to(histogram& sum) const noexcept {
  for (std::size_t i = 0; i != count_.size(); ++i) sum.count[i] += count_[i].get();
  sum.sum += std::chrono::nanoseconds(sum_.get());
}

void past::set_name(std::string_view text) noexcept {
  name_size = static_cast<std::uint8_t>(std::min(text.size(), most));
  std::memcpy(name.data(), text.data(), name_size);
}

ended_task past::info() const {
  ended_task t;
  t.id = id;
  t.parent = parent;
  t.kind = kind->name;
  t.name.assign(name.data(), name_size);
  t.where = where;
  if (trace.high != 0 || trace.low != 0) {
    trace_context part_of;
    part_of.id_high = trace.high;
    part_of.id_low = trace.low;
    t.trace = part_of.id();
  }
  t.opened = as_time_point(opened);
  t.ended = as_time_point(ended);
  if (told != 0) t.told = told_to_stop{err, why, as_time_point(told), std::chrono::nanoseconds(cpu_since)};
  t.cpu = std::chrono::nanoseconds(cpu);
  return t;
}

void thread_block::enter() noexcept {
  thread.store(static_cast<int>(::gettid()), std::memory_order_relaxed);
  since.store(ticks_now(), std::memory_order_relaxed);
  clock_then.store(own_clock(), std::memory_order_relaxed);
  clock_read = ticks_now();
}

void thread_block::leave() noexcept {
  charge(ticks_now());
  works.store(false, std::memory_order_relaxed);
  records::give_back(std::exchange(free, nullptr));
  free_count = 0;
}

task_record* thread_block::take() noexcept {
  if (free == nullptr) {
    free = records::take_some();
    if (free == nullptr) return nullptr;
    free_count = 0;
    for (const task_record* r = free; r != nullptr; r = r->next) ++free_count;
  }
  --free_count;
  return std::exchange(free, free->next);
}

void thread_block::recycle(task_record* r) noexcept {
  r->next = free;
  free = r;
  if (++free_count <= most_free) return;
  task_record* last_kept = free;
  for (std::size_t i = 1; i != most_free / 2; ++i) last_kept = last_kept->next;
  records::give_back(std::exchange(last_kept->next, nullptr));
  free_count = most_free / 2;
}

/// No two ids are equal, and none tells how many came before.
std::uint64_t thread_block::new_id() noexcept {
  constexpr std::uint64_t in_a_block = 1024;
  static std::atomic<std::uint64_t> next_block{detail::random_number()};
  for (;;) {
    if (ids_left == 0) {
      next_id = next_block.fetch_add(in_a_block, std::memory_order_relaxed);
      ids_left = in_a_block;
    }
    --ids_left;
    if (const std::uint64_t id = detail::mixed(next_id++); id != 0) return id;
  }
}

void thread_block::charge(ticks now) noexcept {
  const ticks then = since.load(std::memory_order_relaxed);
  const ticks stretch = curfew::inspect::since(then, now);
  const auto duration = as_nanoseconds(stretch);
  const bool at_work = works.load(std::memory_order_relaxed) && !blocks.load(std::memory_order_relaxed);
  std::int64_t cost = at_work ? duration.count() : 0;
  std::int64_t clock = clock_then.load(std::memory_order_relaxed) + cost;
  if (duration > long_stretch || as_nanoseconds(curfew::inspect::since(clock_read, now)) > clock_is_fresh) {
    const std::int64_t truth = own_clock();
    if (duration > long_stretch) {
      cost = std::clamp<std::int64_t>(cost - (clock - truth), 0, cost);
    }
    clock = truth;
    clock_read = now;
  }
  clock_then.store(clock, std::memory_order_relaxed);
  since.store(now, std::memory_order_relaxed);
  if (!at_work) return;
  cpu.add(cost);
  const task_ref to = detail::current_task;
  if (!detail::is_valid(to)) return;
  to.record->cpu.fetch_add(cost, std::memory_order_relaxed);
  if (on_loop && duration > place_table::long_hold) place_table::held(to, duration);
}

void thread_block::keep_as_slow(const past& over) noexcept {
  const auto took = [](const past& p) { return curfew::inspect::since(p.opened, p.ended); };
  *std::ranges::min_element(slow, {}, took) = over;
  slow_from = took(*std::ranges::min_element(slow, {}, took));
}

std::int64_t cpu_by_now(const task_record& r) noexcept {
  const std::int64_t charged = r.cpu.load(std::memory_order_relaxed);
  const thread_block* t = r.thread.load(std::memory_order_acquire);
  if (t == nullptr || t->blocks.load(std::memory_order_relaxed)) return charged;
  const auto duration = as_nanoseconds(since(t->since.load(std::memory_order_relaxed), ticks_now()));
  std::int64_t cost = duration.count();
  if (duration > long_stretch) {
    // As the kernel numbers the CPU clocks of threads.
    const auto id = static_cast<clockid_t>(
        (~static_cast<unsigned>(t->thread.load(std::memory_order_relaxed))) << 3U | 6U);
    timespec now{};
    if (::clock_gettime(id, &now) == 0) {
      cost = std::clamp<std::int64_t>(in_nanoseconds(now) - t->clock_then.load(std::memory_order_relaxed), 0,
                                      cost);
    }
  }
  // It may have gone on to another task meanwhile.
  return r.thread.load(std::memory_order_relaxed) == t ? charged + cost
                                                       : r.cpu.load(std::memory_order_relaxed);
}

std::int64_t cpu_since_told(const task_record& r, std::int64_t cpu) noexcept {
  return std::max<std::int64_t>(cpu - r.cpu_when_told.load(std::memory_order_relaxed), 0);
}

}  // namespace curfew::inspect
