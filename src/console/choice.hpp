#pragma once

#include <charconv>
#include <chrono>
#include <cstddef>
#include <curfew/core/clock.hpp>
#include <curfew/inspect/tasks.hpp>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <vector>

namespace curfew::inspect {

/// Which tasks are asked for.
struct choice {
  std::string name;       // a part of it, lower case; empty: any
  std::string path;       // as name
  std::string kind;       // empty: any
  std::string trace;      // as kind
  unsigned states = ~0U;  // a bit for each
  std::chrono::nanoseconds min_age{0};
  std::optional<std::size_t> limit;
  bool above = false;

  static constexpr std::size_t max_limit = 10'000;

  using query = std::function<std::optional<std::string>(std::string_view)>;
  /// \return what is wrong, or the choice.
  static std::expected<choice, std::string> from(const query& value_of);

  [[nodiscard]] bool matches(const task_info& task, clock::time_point now) const;
  /// What does not need a task's texts: of a task_info or a task_brief.
  template <class Task>
  [[nodiscard]] bool may_match(const Task& task, clock::time_point now) const {
    return (states >> static_cast<unsigned>(task.state) & 1U) != 0 && now - task.opened >= min_age &&
           (kind.empty() || kind == task.kind);
  }
  [[nodiscard]] bool asks_for_text() const noexcept {
    return !name.empty() || !path.empty() || !trace.empty();
  }
};

/// The most urgent tasks first: by state, then the oldest. Compares a task_info or a task_brief with one.
inline constexpr auto more_urgent = [](const auto& a, const auto& b) noexcept {
  return std::tuple(b.state, a.opened, a.id) < std::tuple(a.state, b.opened, b.id);
};

struct chosen {
  std::vector<task_info> tasks;
  std::vector<task_info> above;
  std::size_t seen = 0;
  std::size_t matching = 0;
};

/// Those that match, the most urgent ones in their order. `which.limit` has to be there.
/// Throws: as each_task.
[[nodiscard]] chosen choose(const choice& which);

/// The word that stands for it in JSON and in queries.
[[nodiscard]] std::string_view word_of(state s) noexcept;

[[nodiscard]] std::string lower(std::string_view text);

/// None for what is not a number as a whole, or too large for T.
template <class T>
[[nodiscard]] std::optional<T> parse_number(std::string_view digits, int base = 10) noexcept {
  T n = 0;
  const auto [end, wrong] = std::from_chars(digits.data(), digits.data() + digits.size(), n, base);
  if (wrong != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return n;
}

/// A task's id as it stands in JSON; none for what is not one.
[[nodiscard]] std::optional<std::uint64_t> parse_id(std::string_view digits) noexcept;

}  // namespace curfew::inspect
