#include "forest.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "text.hpp"

namespace curfew_program {

namespace {

constexpr std::array<std::string_view, 5> words{"urgency", "age", "CPU", "CPU for nobody", "time left"};

constexpr std::size_t deepest_drawn = 40;

/// Most first: a comes before b if its key is greater.
using key = std::tuple<int, double, double>;

key key_of(const placed_task& of, order by) {
  const auto& task = *of.task;
  const double nobody = task.told ? task.told->cpu_ms : -1;
  switch (by) {
    case order::urgency:
      // Of zombies the one that was told first.
      return {static_cast<int>(task.state), task.told ? task.told->ago_ms + of.since_look_ms : 0,
              of.age_ms()};
    case order::age:
      return {0, of.age_ms(), 0};
    case order::cpu:
      return {0, task.cpu_ms, of.age_ms()};
    case order::for_nobody:
      return {0, nobody, of.age_ms()};
    case order::left:
      if (task.told) return {2, task.told->ago_ms + of.since_look_ms, 0};
      if (task.remaining_ms) return {1, of.since_look_ms - *task.remaining_ms, 0};
      return {0, of.age_ms(), 0};
  }
  return {};
}

bool contains(std::string_view text, std::string_view part) { return lower(text).contains(part); }

bool matches(const placed_task& of, std::string_view part, std::span<const std::string> processes) {
  const auto& task = *of.task;
  return part.empty() || contains(label_of(task.kind, task.name), part) ||
         contains(short_place(task.file, task.line), part) || word_of(task.state).contains(part) ||
         contains(task.path, part) || task.id.contains(part) || task.trace.contains(part) ||
         (of.process < processes.size() && contains(processes[of.process], part));
}

/// Which task is below which; by their numbers.
struct links {
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  std::vector<std::size_t> parent;
  std::vector<std::vector<std::size_t>> children;
  std::vector<std::size_t> roots;
  std::unordered_map<std::string_view, std::size_t> by_id;

  explicit links(std::span<const placed_task> tasks) : parent(tasks.size(), none), children(tasks.size()) {
    for (std::size_t i = 0; i < tasks.size(); ++i) by_id.emplace(tasks[i].task->id, i);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      const auto above = by_id.find(tasks[i].task->parent);
      if (above != by_id.end() && above->second != i) parent[i] = above->second;
    }
    cut_circles();
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      (parent[i] == none ? roots : children[parent[i]]).push_back(i);
    }
  }

 private:
  void cut_circles() {
    enum class mark : std::uint8_t { unseen, at_hand, fine };
    std::vector<mark> marks(parent.size(), mark::unseen);
    std::vector<std::size_t> way;
    for (std::size_t i = 0; i < parent.size(); ++i) {
      std::size_t at = i;
      while (at != none && marks[at] == mark::unseen) {
        marks[at] = mark::at_hand;
        way.push_back(at);
        at = parent[at];
      }
      if (at != none && marks[at] == mark::at_hand) parent[at] = none;
      for (const std::size_t each : way) marks[each] = mark::fine;
      way.clear();
    }
  }
};

/// The numbers of a tree, parents first, without recursion: a console may send a chain of any length.
class walk {
 public:
  struct step {
    std::size_t at;
    std::size_t depth;
    bool last;
  };

  explicit walk(const links& of) : of_(of) {}

  void from(std::span<const std::size_t> roots, std::size_t depth,
            const std::function<void(const step&)>& see) {
    std::vector<step> todo;
    push(todo, roots, depth);
    while (!todo.empty()) {
      const step now = todo.back();
      todo.pop_back();
      see(now);
      push(todo, of_.children[now.at], now.depth + 1);
    }
  }

 private:
  static void push(std::vector<step>& todo, std::span<const std::size_t> list, std::size_t depth) {
    for (std::size_t i = list.size(); i-- > 0;) todo.push_back({list[i], depth, i + 1 == list.size()});
  }
  const links& of_;
};

/// Draws the lines that lead to a row: `open[d]` says whether a sibling follows at that depth.
class branches {
 public:
  std::string draw(std::size_t depth, bool last) {
    open_.resize(depth);
    std::string made;
    const std::size_t from = depth > deepest_drawn ? depth - deepest_drawn : 0;
    for (std::size_t d = from; d + 1 < depth; ++d) made += open_[d + 1] ? "│ " : "  ";
    if (depth > 0) made += last ? "└─" : "├─";
    open_.push_back(!last);
    return made;
  }

 private:
  std::vector<bool> open_;  // by depth
};

}  // namespace

std::string_view word_of(order by) noexcept { return words[static_cast<std::size_t>(by)]; }

order next(order by) noexcept {
  return static_cast<order>((static_cast<std::size_t>(by) + 1) % words.size());
}

std::vector<row> arrange(std::span<const placed_task> tasks, const arrangement& how,
                         std::span<const std::string> processes) {
  std::vector<key> keys;
  std::vector<bool> chosen;
  for (const auto& each : tasks) {
    keys.push_back(key_of(each, how.by));
    chosen.push_back(matches(each, how.filter, processes));
  }
  // The id last, so that what is equal does not change its place.
  const auto before = [&](std::size_t a, std::size_t b) {
    return std::tie(keys[b], tasks[a].task->id) < std::tie(keys[a], tasks[b].task->id);
  };
  std::vector<row> rows;
  if (!how.tree) {
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      if (chosen[i]) all.push_back(i);
    }
    std::ranges::sort(all, before);
    for (const std::size_t i : all) rows.push_back({tasks[i], 0, {}, true});
    return rows;
  }
  links linked(tasks);
  // From the leaves up: what is below decides where a tree stands, and whether it is shown.
  std::vector<std::size_t> down;
  walk(linked).from(linked.roots, 0, [&](const walk::step& at) { down.push_back(at.at); });
  const std::vector<bool> itself = chosen;
  for (std::size_t i = down.size(); i-- > 0;) {
    const std::size_t above = linked.parent[down[i]];
    if (above == links::none || !chosen[down[i]]) continue;
    chosen[above] = true;
    keys[above] = std::max(keys[above], keys[down[i]]);
  }
  const auto put_in_order = [&](std::vector<std::size_t>& list) {
    std::erase_if(list, [&](std::size_t i) { return !chosen[i]; });
    std::ranges::sort(list, before);
  };
  put_in_order(linked.roots);
  for (auto& list : linked.children) put_in_order(list);
  branches drawn;
  walk(linked).from(linked.roots, 0, [&](const walk::step& at) {
    rows.push_back({tasks[at.at], at.depth, drawn.draw(at.depth, at.last), itself[at.at]});
  });
  return rows;
}

std::vector<row> family(std::span<const placed_task> tasks, std::string_view id) {
  const links linked(tasks);
  std::vector<row> rows;
  const auto found = linked.by_id.find(id);
  if (found == linked.by_id.end()) return rows;
  std::vector<std::size_t> way;
  for (std::size_t at = linked.parent[found->second]; at != links::none; at = linked.parent[at])
    way.push_back(at);
  branches drawn;
  for (std::size_t i = way.size(); i-- > 0;) {
    const std::size_t depth = rows.size();
    rows.push_back({tasks[way[i]], depth, drawn.draw(depth, true), false});
  }
  const std::array root{found->second};
  walk(linked).from(root, rows.size(), [&](const walk::step& at) {
    rows.push_back({tasks[at.at], at.depth, drawn.draw(at.depth, at.last), at.at == found->second});
  });
  return rows;
}

}  // namespace curfew_program
