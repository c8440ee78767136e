#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace curfew_program {

namespace json = boost::json;

/// In the order of urgency, least urgent first.
enum class state : std::uint8_t { queued, waiting, running, told, zombie };
[[nodiscard]] std::string_view word_of(state s) noexcept;
[[nodiscard]] std::optional<state> state_of(std::string_view word) noexcept;

/// A task as a console tells of it; all text is printable. docs/guide/inspect.md says what the fields mean.
struct task {
  std::string id;
  std::string parent;  // empty: none
  std::string kind;
  std::string name;
  std::string file;
  std::uint64_t line = 0;
  std::string function;
  std::string path;
  double age_ms = 0;  // when it was looked at
  std::optional<double> remaining_ms;
  curfew_program::state state = state::waiting;
  bool detached = false;
  struct wait {
    std::string what;
    std::string on;
  };
  std::optional<wait> waits;
  struct told {
    std::string err;
    std::string cause;
    double ago_ms = 0;
    double cpu_ms = 0;
  };
  std::optional<struct told> told;
  double cpu_ms = 0;
  std::int64_t thread = 0;
  std::vector<std::pair<std::string, std::string>> values;
  std::string trace;  // empty: none
};

struct totals {
  std::uint64_t open = 0;
  std::uint64_t told = 0;
  std::uint64_t zombies = 0;
  std::uint64_t zombies_ever = 0;
  double cpu_for_nobody_ms = 0;
  double cpu_of_process_ms = 0;
};

/// The answer to /tasks.
struct task_list {
  std::vector<task> tasks;
  std::uint64_t matching = 0;
  std::uint64_t seen = 0;
};

/// An event of /events.
struct look {
  std::int64_t now_ns = 0;
  curfew_program::totals totals;
  std::vector<task> tasks;
  std::uint64_t others = 0;
};

/// The answer to /tasks/{id}.
struct one_task {
  curfew_program::task task;
  std::vector<curfew_program::task> above;  // nearest first
  std::vector<curfew_program::task> below;
  std::uint64_t below_count = 0;
};

/// The answer to /about.
struct about {
  std::int64_t pid = 0;
  std::string program;
};

/// A task that is over, of the answer to /ended.
struct ended_task {
  std::string id;
  std::string kind;
  std::string name;
  std::string file;
  std::uint64_t line = 0;
  double took_ms = 0;
  double cpu_ms = 0;
  struct told {
    std::string err;
    std::string cause;
    double went_on_ms = 0;
  };
  std::optional<struct told> told;
};

/// One of the answer to /tasks/{id}/stack.
struct stack {
  std::string task;
  std::string kind;
  std::string name;
  std::int64_t thread = 0;
  std::vector<std::string> frames;  // innermost first, each in a line
  std::string error;                // empty: none
};

/// Each reads a console's answer.
/// Errors: one line that says what is wrong with it. What is absent or of another type is as if it were not there, but
///         for the parts without which the answer has no meaning.
[[nodiscard]] std::expected<task_list, std::string> read_tasks(std::string_view text);
[[nodiscard]] std::expected<look, std::string> read_look(std::string_view text);
[[nodiscard]] std::expected<one_task, std::string> read_one(std::string_view text);
[[nodiscard]] std::expected<about, std::string> read_about(std::string_view text);
[[nodiscard]] std::expected<std::vector<ended_task>, std::string> read_ended(std::string_view text);
[[nodiscard]] std::expected<std::vector<stack>, std::string> read_stacks(std::string_view text);
/// The text of a refusal, {"error": "…"}; empty for anything else.
[[nodiscard]] std::string read_refusal(std::string_view text);

/// Its name, or its kind where it has none.
[[nodiscard]] const std::string& title_of(const task& of) noexcept;
/// "request GET /report"
[[nodiscard]] std::string label_of(std::string_view kind, std::string_view name);
/// The err, and the cause where that says something else.
[[nodiscard]] std::string why(std::string_view err, std::string_view cause);
/// What remains of the budget: "1.2 s left", "no deadline", "cannot end", "0.3 s past its end".
[[nodiscard]] std::string budget_of(const task& of, double since_look_ms);

}  // namespace curfew_program
