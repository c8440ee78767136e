#include <curfew/inspect/tasks.hpp>

#include <algorithm>
#include <ctime>
#include <curfew/core/detail/inspection.hpp>
#include <utility>

#include "inspect/detector.hpp"
#include "inspect/hooks.hpp"
#include "inspect/look.hpp"
#include "inspect/place_table.hpp"
#include "inspect/thread_block.hpp"

namespace curfew::inspect {

namespace {

/// The open one that has this id.
task_ref find(std::uint64_t id) noexcept {
  task_ref found;
  if (id == 0) return found;
  records::each([&](task_record& r) {
    const auto generation = r.generation.load(std::memory_order_acquire);
    if (!detail::is_open(generation) || r.id.load(std::memory_order_relaxed) != id) return true;
    found = {&r, generation};
    return false;
  });
  return found;
}

/// Of all threads, those that `better` puts first. What is told is compared, not the ticks it was made from: those are
/// measured anew meanwhile.
template <class Of, class Better>
std::vector<ended_task> best(std::size_t most, Of of, Better better) {
  std::vector<past> found;
  for (thread_block* t = first_block(); t != nullptr; t = t->next) {
    const brief_lock guard(t->lock);
    for (const past& p : of(*t)) {
      if (p.id != 0) found.push_back(p);
    }
  }
  std::vector<ended_task> told;
  told.reserve(found.size());
  for (const past& p : found) told.push_back(p.info());
  std::ranges::sort(told, better);
  if (told.size() > most) told.resize(most);
  return told;
}

}  // namespace

const char* name_of(state s) noexcept {
  switch (s) {
    case state::queued:
      return "queued";
    case state::waiting:
      return "waiting";
    case state::running:
      return "running";
    case state::told:
      return "told to stop";
    case state::zombie:
      return "zombie";
  }
  return "";
}

std::uint64_t current_task_id() noexcept {
  const auto* listener = detail::task_listener();
  return listener != nullptr ? listener->id(detail::current_task) : 0;
}

void each_task(const std::function<bool(task_info&&)>& see) {
  records::each([&](task_record& r) {
    const auto generation = r.generation.load(std::memory_order_acquire);
    if (!detail::is_open(generation)) return true;
    auto info = look_at({&r, generation});
    return !info || see(std::move(*info));
  });
}

void each_task(const std::function<bool(const task_brief&)>& wants,
               const std::function<bool(task_info&&)>& see) {
  records::each([&](task_record& r) {
    const auto generation = r.generation.load(std::memory_order_acquire);
    if (!detail::is_open(generation)) return true;
    const auto brief = glance_at({&r, generation});
    if (!brief || !wants(*brief)) return true;
    auto info = look_at({&r, generation});
    return !info || see(std::move(*info));
  });
}

std::optional<task_info> find_task(std::uint64_t id) { return look_at(find(id)); }

std::vector<task_info> zombies() {
  std::vector<task_info> found;
  for (const task_ref z : detector::zombies()) {
    if (auto info = look_at(z); info && info->told) found.push_back(std::move(*info));
  }
  std::ranges::sort(found, {}, [](const task_info& t) { return t.told->at; });
  return found;
}

std::vector<ended_task> last_ended(std::size_t most) {
  return best(
      most, [](thread_block& t) -> auto& { return t.last; },
      [](const ended_task& a, const ended_task& b) { return a.ended > b.ended; });
}

std::vector<ended_task> slowest(std::size_t most) {
  return best(
      most, [](thread_block& t) -> auto& { return t.slow; },
      [](const ended_task& a, const ended_task& b) { return a.ended - a.opened > b.ended - b.opened; });
}

std::vector<ended_task> longest_dying(std::size_t most) {
  std::vector<ended_task> told;
  for (const past& p : detector::longest_dying()) {
    if (told.size() == most) break;
    told.push_back(p.info());
  }
  return told;
}

std::vector<place_info> places() {
  auto found = place_table::all();
  for (const task_info& z : zombies()) {
    const auto same = [&](const place_info& p) {
      return p.where.line() == z.where.line() && std::string_view(p.kind) == z.kind &&
             std::string_view(p.where.file_name()) == z.where.file_name();
    };
    auto at = std::ranges::find_if(found, same);
    if (at == found.end()) {
      at = found.emplace(found.end());
      at->where = z.where;
      at->kind = z.kind;
    }
    ++at->zombies;
    at->longest = std::max(at->longest, std::chrono::nanoseconds(clock::now() - z.told->at));
    at->cpu_for_nobody += z.told->cpu;
  }
  std::ranges::sort(found, [](const place_info& a, const place_info& b) { return a.longest > b.longest; });
  return found;
}

totals count() {
  totals sum;
  std::uint64_t closed = 0;
  for (thread_block* t = first_block(); t != nullptr; t = t->next) {
    closed += t->closed.get();
    sum.not_recorded += t->not_recorded.get();
    for (std::size_t i = 0; i != sum.age.size(); ++i) t->age[i].add_to(sum.age[i]);
    t->told_to_over.add_to(sum.told_to_over);
    t->lag.add_to(sum.loop_lag);
    sum.cpu += std::chrono::nanoseconds(t->cpu.get());
    sum.cpu_for_nobody += std::chrono::nanoseconds(t->cpu_for_nobody.get());
  }
  // After the closed ones: what is opened and closed meanwhile is not missing here.
  for (thread_block* t = first_block(); t != nullptr; t = t->next) sum.opened += t->opened.get();
  sum.open = sum.opened - std::min(closed, sum.opened);
  sum.told = told_count();
  sum.zombies = detector::zombie_count();
  sum.zombies_ever = detector::zombies_ever();
  for (const task_ref z : detector::zombies()) {
    const std::int64_t more = cpu_since_told(*z.record, cpu_by_now(*z.record));
    if (detail::is_valid(z)) sum.cpu_for_nobody += std::chrono::nanoseconds(more);
  }
  timespec process{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &process);
  sum.cpu_of_process = std::chrono::seconds(process.tv_sec) + std::chrono::nanoseconds(process.tv_nsec);
  return sum;
}

bool cancel(std::uint64_t id, std::string_view reason) {
  const task_ref which = find(id);
  if (!which) return false;
  std::optional<context> ctx;
  {
    const brief_lock guard(which.record->lock);
    if (!which.record->is(which.generation) || which.record->is_carrier()) return false;
    ctx.emplace(which.record->its_ending().ctx());
  }
  return detail::end_by_hand(*ctx, cause("operator: " + std::string(reason)));
}

}  // namespace curfew::inspect
