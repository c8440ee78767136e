#include "lines.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "text.hpp"

namespace curfew_program {

namespace {

constexpr std::size_t widest_column = 100;

/// Puts cells below each other; a column that is empty in all lines, but for the head, is left out.
class table {
 public:
  struct column {
    std::string_view head;
    bool right = false;
  };

  explicit table(std::vector<column> columns) : columns_(std::move(columns)) {}
  void add(std::vector<std::string> cells) { lines_.push_back(std::move(cells)); }

  [[nodiscard]] std::vector<std::string> lines() const {
    std::vector<std::size_t> widths(columns_.size(), 0);
    for (const auto& cells : lines_) {
      for (std::size_t c = 0; c < cells.size(); ++c) widths[c] = std::max(widths[c], width_of(cells[c]));
    }
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      if (widths[c] != 0) widths[c] = std::min(std::max(widths[c], columns_[c].head.size()), widest_column);
    }
    std::vector<std::string> head;
    head.reserve(columns_.size());
    for (const auto& each : columns_) head.emplace_back(each.head);
    std::vector<std::string> made{line(head, widths)};
    for (const auto& cells : lines_) made.push_back(line(cells, widths));
    return made;
  }

 private:
  [[nodiscard]] std::string line(const std::vector<std::string>& cells,
                                 const std::vector<std::size_t>& widths) const {
    std::string made;
    for (std::size_t c = 0; c < cells.size(); ++c) {
      if (widths[c] == 0) continue;
      if (!made.empty()) made += "  ";
      made += columns_[c].right ? right(cells[c], widths[c]) : left(cells[c], widths[c]);
    }
    while (made.ends_with(' ')) made.pop_back();
    return made;
  }

  std::vector<column> columns_;
  std::vector<std::vector<std::string>> lines_;
};

std::string name_of(std::size_t process, std::span<const std::string> processes) {
  return process < processes.size() ? processes[process] : std::string();
}

/// "channel receive on 0000000a00000003"
std::string text_of(const task::wait& waits) {
  return waits.on.empty() ? waits.what : waits.what + " on " + waits.on;
}

void add_fact(std::vector<std::string>& to, std::string_view name, std::string_view value) {
  if (!value.empty()) to.push_back("  " + left(name, 15) + ' ' + std::string(value));
}

}  // namespace

std::vector<std::string> ls_lines(std::span<const row> rows, std::span<const std::string> processes) {
  table made({{"ID"},
              {"STATE"},
              {"AGE", true},
              {"LEFT", true},
              {"CPU", true},
              {"FOR NOBODY", true},
              {"PROCESS"},
              {"TASK"},
              {"WAITS FOR"},
              {"OPENED AT"}});
  for (const auto& each : rows) {
    const auto& task = *each.of.task;
    made.add({task.id, std::string(word_of(task.state)), duration(each.of.age_ms()), left_of(each.of),
              duration(task.cpu_ms), for_nobody_of(each.of),
              processes.size() > 1 ? name_of(each.of.process, processes) : std::string(),
              each.branch + label_of(task.kind, task.name), task.waits ? task.waits->what : std::string(),
              short_place(task.file, task.line)});
  }
  return made.lines();
}

std::vector<std::string> show_lines(const placed_task& of, std::span<const row> around,
                                    std::span<const std::string> processes) {
  const auto& task = *of.task;
  std::vector<std::string> made{title_of(task) + "  (" + std::string(word_of(task.state)) + ')'};
  add_fact(made, "Process", name_of(of.process, processes));
  add_fact(made, "Kind", task.kind);
  add_fact(made, "Age", ticking(of.age_ms()));
  add_fact(made, "Budget", budget_of(task, of.since_look_ms));
  if (task.told) {
    add_fact(made, "Told to stop", why(task.told->err, task.told->cause));
    add_fact(made, "CPU for nobody", duration(task.told->cpu_ms));
  }
  add_fact(made, "CPU", duration(task.cpu_ms));
  if (task.waits) add_fact(made, "Waits for", text_of(*task.waits));
  if (task.thread != 0) add_fact(made, "Thread", std::to_string(task.thread));
  add_fact(made, "Opened at", task.file + ':' + std::to_string(task.line));
  add_fact(made, "In", task.function);
  add_fact(made, "Path", task.path);
  for (const auto& [key, text] : task.values) add_fact(made, key, text);
  add_fact(made, "Trace", task.trace);
  add_fact(made, "Id", task.id);
  if (around.size() < 2) return made;
  made.emplace_back();
  made.emplace_back("Around it");
  table tree({{"TASK"}, {"STATE"}, {"AGE", true}, {"CPU", true}, {"PROCESS"}, {"WAITS FOR"}, {"ID"}});
  for (const auto& each : around) {
    const auto& other = *each.of.task;
    const bool itself = other.id == task.id;
    tree.add({(itself ? "> " : "  ") + each.branch + label_of(other.kind, other.name),
              std::string(word_of(other.state)), duration(each.of.age_ms()), duration(other.cpu_ms),
              processes.size() > 1 ? name_of(each.of.process, processes) : std::string(),
              other.waits ? other.waits->what : std::string(), other.id});
  }
  for (auto& line : tree.lines()) made.push_back(std::move(line));
  return made;
}

std::vector<std::string> ended_lines(const ended_task& of) {
  std::vector<std::string> made{(of.name.empty() ? of.kind : of.name) + "  (over)"};
  add_fact(made, "Kind", of.kind);
  add_fact(made, "Took", duration(of.took_ms));
  if (of.told) {
    add_fact(made, "Told to stop", why(of.told->err, of.told->cause));
    add_fact(made, "Went on for", duration(of.told->went_on_ms));
  }
  add_fact(made, "CPU", duration(of.cpu_ms));
  add_fact(made, "Opened at", of.file + ':' + std::to_string(of.line));
  add_fact(made, "Id", of.id);
  return made;
}

std::vector<std::string> stack_lines(std::span<const stack> stacks) {
  if (stacks.empty()) return {"No thread works for it at this moment."};
  std::vector<std::string> made;
  for (const auto& each : stacks) {
    if (!made.empty()) made.emplace_back();
    made.push_back("Thread " + std::to_string(each.thread) + ", at " + label_of(each.kind, each.name));
    if (!each.error.empty()) made.push_back("  " + each.error);
    for (std::size_t i = 0; i < each.frames.size(); ++i) {
      made.push_back(right('#' + std::to_string(i), 4) + "  " + each.frames[i]);
    }
  }
  return made;
}

std::string story_of(const placed_task& of) {
  const auto& task = *of.task;
  std::string made;
  const auto add = [&made](const std::string& part) { (made += made.empty() ? "" : " · ") += part; };
  if (task.told) {
    add("told " + ticking(task.told->ago_ms + of.since_look_ms) +
        " ago: " + why(task.told->err, task.told->cause));
  }
  if (task.waits) add("waits for " + task.waits->what);
  if (task.thread != 0) add("thread " + std::to_string(task.thread));
  add(short_place(task.file, task.line));
  return made;
}

std::string left_of(const placed_task& of) {
  const auto& task = *of.task;
  if (task.told) return '-' + ticking(task.told->ago_ms + of.since_look_ms);
  return task.remaining_ms ? ticking(*task.remaining_ms - of.since_look_ms) : std::string();
}

std::string for_nobody_of(const placed_task& of) {
  return of.task->told ? duration(of.task->told->cpu_ms) : std::string();
}

}  // namespace curfew_program
