#include "inspect/told_tasks.hpp"

#include <algorithm>

#include "inspect/hooks.hpp"
#include "inspect/place_table.hpp"

namespace curfew::inspect {

namespace {

constexpr std::size_t most_dying = 64;

/// What named the task of `r`, which may have been closed, and is the detector's (invariant 3).
task_ref opened_as(task_record& r) noexcept {
  const auto now = r.generation.load(std::memory_order_acquire);
  return {&r, detail::is_open(now) ? now : now - 1};
}

}  // namespace

std::vector<task_ref> told_tasks::zombies() {
  const std::lock_guard guard(mutex_);
  return {zombies_.begin(), zombies_.end()};
}

std::vector<past> told_tasks::longest_dying() {
  const std::lock_guard guard(mutex_);
  return dying_;
}

void told_tasks::look(ticks now, ticks limit, const std::function<void(task_ref)>& on_zombie) {
  for (task_record* r = told_.take(); r != nullptr;) {
    task_record* after = r->next;
    pending_.push_back(r);
    r = after;
  }
  while (!pending_.empty() &&
         since(pending_.front()->told_at.load(std::memory_order_relaxed), now) >= limit) {
    task_record& r = *pending_.front();
    pending_.pop_front();
    if (const task_ref zombie = judge(r)) on_zombie(zombie);
  }
  for (task_record* r = over_.take(); r != nullptr;) {
    task_record* after = r->next;
    bury(*r, true);
    r = after;
  }
}

/// The limit of `r` has passed. \return the zombie that it is, which may be closed at any time: then it is among the over. None:
/// it is over already, and buried.
task_ref told_tasks::judge(task_record& r) {
  const task_ref ref = opened_as(r);
  auto seen = told_state::told;
  if (!r.told.compare_exchange_strong(seen, told_state::zombie, std::memory_order_acq_rel)) {
    bury(r, false);
    return {};
  }
  {
    const std::lock_guard guard(mutex_);
    zombies_.insert(ref);
    living_.store(zombies_.size(), std::memory_order_relaxed);
  }
  ever_.fetch_add(1, std::memory_order_relaxed);
  return ref;
}

/// `r` is over, and was told.
void told_tasks::bury(task_record& r, bool was_zombie) noexcept {
  if (was_zombie) {
    const task_ref ref = opened_as(r);
    const std::lock_guard guard(mutex_);
    zombies_.erase(ref);
    living_.store(zombies_.size(), std::memory_order_relaxed);
  }
  past p = past_of_told(r);
  place_table::stopped(p, was_zombie);
  keep(std::move(p));
  release_record(r);
}

void told_tasks::keep(past&& p) noexcept {
  const auto took = [](const past& of) { return since(of.told, of.ended); };
  const std::lock_guard guard(mutex_);
  if (dying_.size() == most_dying && took(p) <= took(dying_.back())) return;
  const auto at = std::ranges::upper_bound(dying_, took(p), std::greater<>(), took);
  dying_.insert(at, std::move(p));
  if (dying_.size() > most_dying) dying_.pop_back();
}

}  // namespace curfew::inspect
