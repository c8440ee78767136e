#include "task.hpp"

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <cmath>

#include "text.hpp"

namespace curfew_program {

namespace {

constexpr std::array<std::string_view, 5> words{"queued", "waiting", "running", "told", "zombie"};

/// An object whose fields may be absent, or of another type.
class reader {
 public:
  explicit reader(const json::value* of) : object_(of != nullptr ? of->if_object() : nullptr) {}
  explicit reader(const json::value& of) : reader(&of) {}

  explicit operator bool() const { return object_ != nullptr; }
  [[nodiscard]] const json::value* find(std::string_view name) const {
    return object_ != nullptr ? object_->if_contains(name) : nullptr;
  }
  [[nodiscard]] reader object(std::string_view name) const { return reader(find(name)); }
  [[nodiscard]] const json::array* array(std::string_view name) const {
    const auto* found = find(name);
    return found != nullptr ? found->if_array() : nullptr;
  }
  [[nodiscard]] std::string text(std::string_view name) const {
    const auto* found = find(name);
    const auto* string = found != nullptr ? found->if_string() : nullptr;
    return string != nullptr ? printable(std::string_view(*string)) : std::string();
  }
  [[nodiscard]] std::optional<double> number(std::string_view name) const {
    const auto* found = find(name);
    if (found == nullptr || !found->is_number()) return std::nullopt;
    const auto value = found->to_number<double>();
    return std::isfinite(value) ? std::optional(value) : std::nullopt;
  }
  [[nodiscard]] double number_or_0(std::string_view name) const { return number(name).value_or(0); }
  [[nodiscard]] std::int64_t integer(std::string_view name) const {
    const auto* found = find(name);
    if (found == nullptr || !found->is_number()) return 0;
    boost::system::error_code inexact;
    const auto value = found->to_number<std::int64_t>(inexact);
    return inexact ? 0 : value;
  }
  [[nodiscard]] std::uint64_t size(std::string_view name) const {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(integer(name), 0));
  }
  [[nodiscard]] bool boolean(std::string_view name) const {
    const auto* found = find(name);
    return found != nullptr && found->is_bool() && found->get_bool();
  }

 private:
  const json::object* object_;
};

double ms_between(std::int64_t from_ns, std::int64_t to_ns) {
  return (static_cast<double>(to_ns) - static_cast<double>(from_ns)) / 1e6;
}

task task_from(const reader& of, std::int64_t now_ns) {
  task made;
  made.id = of.text("id");
  made.parent = of.text("parent");
  made.kind = of.text("kind");
  made.name = of.text("name");
  const reader where = of.object("where");
  made.file = where.text("file");
  made.line = where.size("line");
  made.function = where.text("function");
  made.path = of.text("path");
  made.age_ms = ms_between(of.integer("opened_ns"), now_ns);
  made.remaining_ms = of.number("remaining_ms");
  made.state = state_of(of.text("state")).value_or(state::waiting);
  made.detached = of.boolean("detached");
  if (const reader waits = of.object("waits")) made.waits = task::wait{waits.text("what"), waits.text("on")};
  if (const reader told = of.object("told")) {
    made.told = {told.text("err"), told.text("cause"), ms_between(told.integer("at_ns"), now_ns),
                 told.number_or_0("cpu_ms")};
  }
  made.cpu_ms = of.number_or_0("cpu_ms");
  made.thread = of.integer("thread");
  if (const auto* values = of.array("values")) {
    for (const auto& each : *values) {
      const reader value(each);
      made.values.emplace_back(value.text("key"), value.text("text"));
    }
  }
  made.trace = of.text("trace");
  return made;
}

/// Those of them that are objects with an id.
std::vector<task> tasks_from(const json::array* list, std::int64_t now_ns) {
  std::vector<task> made;
  if (list == nullptr) return made;
  for (const auto& each : *list) {
    auto one = task_from(reader(each), now_ns);
    if (!one.id.empty()) made.push_back(std::move(one));
  }
  return made;
}

totals totals_from(const reader& of) {
  return {.open = of.size("open"),
          .told = of.size("told"),
          .zombies = of.size("zombies"),
          .zombies_ever = of.size("zombies_ever"),
          .cpu_for_nobody_ms = of.number_or_0("cpu_for_nobody_ms"),
          .cpu_of_process_ms = of.number_or_0("cpu_of_process_ms")};
}

/// Parses, and hands the object on to `make`.
template <class T, class Make>
std::expected<T, std::string> read(std::string_view text, std::string_view needs, Make make) {
  boost::system::error_code failed;
  const json::value parsed = json::parse(text, failed);
  if (failed) return std::unexpected("what it answers is no JSON (" + failed.message() + ')');
  const reader whole(parsed);
  if (whole.find(needs) == nullptr) {
    return std::unexpected("it answers like no console of curfew: there is no \"" + std::string(needs) + '"');
  }
  return make(whole, whole.integer("now_ns"));
}

std::string frame_from(const reader& of) {
  std::string function = of.text("function");
  const std::string file = of.text("file");
  if (function.empty()) function = of.text("address");
  if (!file.empty()) return function + "  " + file + ':' + std::to_string(of.size("line"));
  const std::string module = of.text("module");
  return module.empty() ? function : function + "  in " + module;
}

}  // namespace

std::string_view word_of(state s) noexcept { return words[static_cast<std::size_t>(s)]; }

std::optional<state> state_of(std::string_view word) noexcept {
  const auto* found = std::ranges::find(words, word);
  if (found == words.end()) return std::nullopt;
  return static_cast<state>(found - words.begin());
}

std::expected<task_list, std::string> read_tasks(std::string_view text) {
  return read<task_list>(text, "tasks", [](const reader& of, std::int64_t now_ns) {
    return task_list{tasks_from(of.array("tasks"), now_ns), of.size("matching"), of.size("seen")};
  });
}

std::expected<look, std::string> read_look(std::string_view text) {
  return read<look>(text, "tasks", [](const reader& of, std::int64_t now_ns) {
    return look{now_ns, totals_from(of.object("totals")), tasks_from(of.array("tasks"), now_ns),
                of.size("others")};
  });
}

std::expected<one_task, std::string> read_one(std::string_view text) {
  return read<one_task>(text, "task", [](const reader& of, std::int64_t now_ns) {
    return one_task{task_from(of.object("task"), now_ns), tasks_from(of.array("above"), now_ns),
                    tasks_from(of.array("below"), now_ns), of.size("below_count")};
  });
}

std::expected<about, std::string> read_about(std::string_view text) {
  return read<about>(text, "pid", [](const reader& of, std::int64_t /*now_ns*/) {
    return about{of.integer("pid"), of.text("program")};
  });
}

std::expected<std::vector<ended_task>, std::string> read_ended(std::string_view text) {
  return read<std::vector<ended_task>>(text, "ended", [](const reader& of, std::int64_t /*now_ns*/) {
    std::vector<ended_task> made;
    const auto* list = of.array("ended");
    if (list == nullptr) return made;
    for (const auto& each : *list) {
      const reader one(each);
      const reader where = one.object("where");
      const auto over = one.integer("ended_ns");
      auto& task = made.emplace_back();
      task.id = one.text("id");
      task.kind = one.text("kind");
      task.name = one.text("name");
      task.file = where.text("file");
      task.line = where.size("line");
      task.took_ms = ms_between(one.integer("opened_ns"), over);
      task.cpu_ms = one.number_or_0("cpu_ms");
      if (const reader told = one.object("told"))
        task.told = {told.text("err"), told.text("cause"), ms_between(told.integer("at_ns"), over)};
    }
    return made;
  });
}

std::expected<std::vector<stack>, std::string> read_stacks(std::string_view text) {
  return read<std::vector<stack>>(text, "threads", [](const reader& of, std::int64_t /*now_ns*/) {
    std::vector<stack> made;
    const auto* list = of.array("threads");
    if (list == nullptr) return made;
    for (const auto& each : *list) {
      const reader one(each);
      auto& thread = made.emplace_back();
      thread.task = one.text("task");
      thread.kind = one.text("kind");
      thread.name = one.text("name");
      thread.thread = one.integer("thread");
      thread.error = one.text("error");
      if (const auto* frames = one.array("frames")) {
        for (const auto& frame : *frames) thread.frames.push_back(frame_from(reader(frame)));
      }
    }
    return made;
  });
}

std::string read_refusal(std::string_view text) {
  boost::system::error_code failed;
  const json::value parsed = json::parse(text, failed);
  return failed ? std::string() : reader(parsed).text("error");
}

const std::string& title_of(const task& of) noexcept { return of.name.empty() ? of.kind : of.name; }

std::string label_of(std::string_view kind, std::string_view name) {
  std::string made(kind);
  if (!name.empty()) (made += made.empty() ? "" : " ") += name;
  return made;
}

std::string why(std::string_view err, std::string_view cause) {
  if (cause.empty() || cause == err) return std::string(err);
  return std::string(err) + ": " + std::string(cause);
}

std::string budget_of(const task& of, double since_look_ms) {
  if (of.told) return ticking(of.told->ago_ms + since_look_ms) + " past its end";
  if (of.remaining_ms) return ticking(*of.remaining_ms - since_look_ms) + " left";
  return of.detached ? "cannot end" : "no deadline";
}

}  // namespace curfew_program
