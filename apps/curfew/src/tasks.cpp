#include "tasks.hpp"

#include <algorithm>

namespace curfew_program {

namespace {

constexpr std::size_t most_parents = 50;  // asked for at once
constexpr int most_hops = 5;              // from process to process

constexpr unsigned not_found = 404;

asio::awaitable<void> add_trace(curfew::context ctx, const consoles& all, found_task& to) {
  auto bodies = co_await get_from_all(std::move(ctx), all, "/tasks?limit=1000&trace=" + to.itself.task.trace);
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    if (!bodies[i]) continue;
    if (auto list = read_tasks(*bodies[i])) to.around.add(std::move(list->tasks), i);
  }
}

}  // namespace

void task_pool::add(task one, std::size_t process) {
  if (known_.insert(one.id).second) tasks_.emplace_back(std::move(one), process);
}

void task_pool::add(std::vector<task> list, std::size_t process) {
  for (auto& each : list) add(std::move(each), process);
}

std::vector<placed_task> task_pool::placed() const {
  std::vector<placed_task> made;
  made.reserve(tasks_.size());
  for (const auto& [task, process] : tasks_) made.push_back({&task, process, 0});
  return made;
}

std::optional<placed_task> task_pool::find(std::string_view id) const {
  for (const auto& [task, process] : tasks_) {
    if (task.id == id) return placed_task{&task, process, 0};
  }
  return std::nullopt;
}

std::vector<std::string> task_pool::missing() const {
  std::unordered_set<std::string> seen;
  std::vector<std::string> made;
  for (const auto& [task, process] : tasks_) {
    const bool asked =
        task.parent.empty() || known_.contains(task.parent) || !seen.insert(task.parent).second;
    if (!asked && made.size() < most_parents) made.push_back(task.parent);
  }
  return made;
}

asio::awaitable<void> add_parents(curfew::context ctx, const consoles& all, task_pool& to) {
  if (all.size() < 2) co_return;
  std::unordered_set<std::string> nowhere;
  for (int hop = 0; hop < most_hops; ++hop) {
    bool found_some = false;
    for (const auto& id : to.missing()) {
      if (ctx.err() || nowhere.contains(id)) continue;
      auto bodies = co_await get_from_all(ctx, all, "/tasks/" + id);
      bool found = false;
      for (std::size_t i = 0; i < bodies.size(); ++i) {
        if (!bodies[i]) continue;
        auto one = read_one(*bodies[i]);
        if (!one || one->task.id != id) continue;
        found = true;
        to.add(std::move(one->task), i);
        to.add(std::move(one->above), i);
      }
      found_some = found_some || found;
      if (!found) nowhere.insert(id);
    }
    if (!found_some) co_return;
  }
}

asio::awaitable<std::vector<std::string>> async_names(curfew::context ctx, const consoles& all) {
  auto bodies = co_await get_from_all(std::move(ctx), all, "/about");
  std::vector<std::string> names;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto said = bodies[i] ? read_about(*bodies[i]) : std::unexpected(std::string());
    names.push_back(said ? said->program + ' ' + std::to_string(said->pid) : all[i]->at().shown);
  }
  co_return names;
}

asio::awaitable<answer<found_task>> async_find(curfew::context ctx, const consoles& all, std::string id) {
  auto bodies = co_await get_from_all(ctx, all, "/tasks/" + id);
  std::optional<failure> why;
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    if (!bodies[i]) {
      // That a console is away says more than that another one does not have it.
      if (!why || why->status == not_found) why = bodies[i].error();
      continue;
    }
    auto one = read_one(*bodies[i]);
    if (!one) {
      why = all[i]->failed(one.error());
      continue;
    }
    found_task found;
    found.process = i;
    found.json = *std::move(bodies[i]);
    found.itself = *std::move(one);
    found.around.add(found.itself.task, i);
    found.around.add(found.itself.above, i);
    found.around.add(found.itself.below, i);
    if (all.size() > 1 && !found.itself.task.trace.empty()) co_await add_trace(ctx, all, found);
    co_await add_parents(ctx, all, found.around);
    co_return found;
  }
  co_return std::unexpected(why.value_or(failure{not_found, "there is no such task, or no more"}));
}

}  // namespace curfew_program
