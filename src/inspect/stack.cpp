#include <curfew/inspect/stack.hpp>

#include <algorithm>
#include <array>
#include <mutex>
#include <unordered_set>
#include <utility>

#include "inspect/ask_thread.hpp"
#include "inspect/symbols.hpp"
#include "inspect/thread_block.hpp"

namespace curfew::inspect {

namespace {

struct at_work {
  task_ref task;
  thread_stack told;
};

struct seen_task {
  std::uint64_t id;
  std::uint64_t parent;
};

/// Those that a thread is at; `all` gets every task.
std::vector<at_work> look_at_threads(std::vector<seen_task>& all) {
  std::vector<at_work> found;
  records::each([&](task_record& r) {
    const auto generation = r.generation.load(std::memory_order_acquire);
    if (!detail::is_open(generation)) return true;
    std::array<char, task_name::most> name{};
    std::size_t name_size = 0;
    at_work one;
    {
      const brief_lock guard(r.lock);
      if (!r.is(generation) || r.is_carrier()) return true;
      one.task = {&r, generation};
      one.told.task = r.id.load(std::memory_order_relaxed);
      all.push_back({one.told.task, r.parent});
      const thread_block* t = r.thread.load(std::memory_order_acquire);
      if (t == nullptr) return true;
      one.told.thread = t->thread.load(std::memory_order_relaxed);
      one.told.kind = r.kind->name;
      name_size = r.name.view().copy(name.data(), name.size());
    }
    one.told.name.assign(name.data(), name_size);
    found.push_back(std::move(one));
    return true;
  });
  return found;
}

}  // namespace

std::optional<std::vector<thread_stack>> stacks_of(std::uint64_t task) {
  static std::mutex one_at_a_time;
  const std::lock_guard guard(one_at_a_time);
  std::vector<seen_task> all;
  std::vector<at_work> busy = look_at_threads(all);
  std::ranges::sort(all, {}, &seen_task::id);
  const auto parent_of = [&](std::uint64_t id) -> std::optional<std::uint64_t> {
    const auto found = std::ranges::lower_bound(all, id, {}, &seen_task::id);
    if (found == all.end() || found->id != id) return {};
    return found->parent;
  };
  if (task == 0 || !parent_of(task)) return {};
  const auto is_below = [&](std::uint64_t id) {
    std::unordered_set<std::uint64_t> climbed;  // what came with a request may lead in a circle
    while (id != task) {
      const auto parent = parent_of(id);
      if (!parent || !climbed.insert(id).second) return false;
      id = *parent;
    }
    return true;
  };
  std::vector<thread_stack> told;
  for (at_work& one : busy) {
    if (!is_below(one.told.task)) continue;
    if (auto addresses = ask_thread(one.told.thread, one.task)) {
      for (const auto address : *addresses) describe_address(address, one.told.frames);
    } else {
      one.told.error = std::move(addresses).error();
    }
    told.push_back(std::move(one.told));
  }
  return told;
}

}  // namespace curfew::inspect
