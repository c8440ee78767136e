#include "console/choice.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <ranges>
#include <unordered_set>
#include <utility>

namespace curfew::inspect {

namespace {

constexpr std::array<std::string_view, 5> state_words{"queued", "waiting", "running", "told", "zombie"};

constexpr unsigned bit(std::size_t state) noexcept { return 1U << state; }

std::expected<unsigned, std::string> parse_states(std::string_view list) {
  unsigned states = 0;
  for (const auto part : std::views::split(list, ',')) {
    const std::string_view name(part.begin(), part.end());
    const auto found = std::ranges::find(state_words, name);
    if (found == state_words.end()) {
      return std::unexpected("state is a list of queued, waiting, running, told, zombie");
    }
    states |= bit(static_cast<std::size_t>(found - state_words.begin()));
  }
  return states;
}

bool contains_lower(std::string_view text, std::string_view part) {
  return part.empty() || lower(text).find(part) != std::string::npos;
}

/// Adds those above the chosen ones that are not chosen themselves.
void add_above(chosen& all) {
  std::unordered_set<std::uint64_t> known;
  for (const auto& task : all.tasks) known.insert(task.id);
  const auto climb = [&](std::uint64_t parent) {
    while (parent != 0 && known.insert(parent).second) {
      auto found = find_task(parent);
      if (!found) return;
      parent = found->parent;
      all.above.push_back(*std::move(found));
    }
  };
  for (const auto& task : all.tasks) climb(task.parent);
}

}  // namespace

std::string_view word_of(state s) noexcept { return state_words[static_cast<std::size_t>(s)]; }

std::string lower(std::string_view text) {
  std::string made(text);
  for (char& c : made) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return made;
}

std::optional<std::uint64_t> parse_id(std::string_view digits) noexcept {
  return digits.size() == 16 ? parse_number<std::uint64_t>(digits, 16) : std::nullopt;
}

std::expected<choice, std::string> choice::from(const query& value_of) {
  choice made;
  made.name = lower(value_of("name").value_or(""));
  made.path = lower(value_of("path").value_or(""));
  made.kind = value_of("kind").value_or("");
  made.trace = lower(value_of("trace").value_or(""));
  if (const auto list = value_of("state"); list && !list->empty()) {
    auto states = parse_states(*list);
    if (!states) return std::unexpected(std::move(states).error());
    made.states = *states;
  }
  if (const auto age = value_of("min_age_ms"); age && !age->empty()) {
    const auto ms = parse_number<std::uint32_t>(*age);
    if (!ms) return std::unexpected("min_age_ms is a whole number");
    made.min_age = std::chrono::milliseconds(*ms);
  }
  if (const auto limit = value_of("limit"); limit && !limit->empty()) {
    const auto n = parse_number<std::uint32_t>(*limit);
    if (!n || *n > max_limit) return std::unexpected("limit is a number up to " + std::to_string(max_limit));
    made.limit = *n;
  }
  made.above = value_of("above").value_or("") == "1";
  return made;
}

bool choice::matches(const task_info& task, clock::time_point now) const {
  return may_match(task, now) && (trace.empty() || trace == task.trace) && contains_lower(task.name, name) &&
         contains_lower(task.path, path);
}

chosen choose(const choice& which) {
  chosen all;
  const auto most = which.limit.value_or(choice::max_limit);
  const auto now = clock::now();
  // A heap with the least urgent of the chosen ones at its front, where the next one is compared. So few tasks have to be
  // looked at as a whole, unless their texts decide.
  const auto wants = [&](const task_brief& task) {
    ++all.seen;
    if (!which.may_match(task, now)) return false;
    if (which.asks_for_text()) return true;
    ++all.matching;
    return all.tasks.size() < most || (most != 0 && more_urgent(task, all.tasks.front()));
  };
  const auto see = [&](task_info&& task) {
    if (which.asks_for_text()) {
      if (!which.matches(task, now)) return true;
      ++all.matching;
    }
    if (most == 0) return true;
    if (all.tasks.size() == most) {
      if (!more_urgent(task, all.tasks.front())) return true;
      std::ranges::pop_heap(all.tasks, more_urgent);
      all.tasks.back() = std::move(task);
    } else {
      all.tasks.push_back(std::move(task));
    }
    std::ranges::push_heap(all.tasks, more_urgent);
    return true;
  };
  each_task(wants, see);
  std::ranges::sort_heap(all.tasks, more_urgent);
  if (which.above) add_above(all);
  return all;
}

}  // namespace curfew::inspect
