// Replays what Go's context package did, step by step, and compares everything that was recorded of it.
// go-context.jsonl holds one script a line; README.md beside it says what the fields mean.

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <exception>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace curfew {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

constexpr std::size_t recorded_scripts = 600;

const std::map<std::string, const key<std::string>*, std::less<>>& keys() {
  static constexpr key<std::string> trace_id{"trace_id"};
  static constexpr key<std::string> user{"user"};
  static constexpr key<std::string> tenant{"tenant"};
  static constexpr key<std::string> locale{"locale"};
  static const std::map<std::string, const key<std::string>*, std::less<>> all{
      {"trace_id", &trace_id}, {"user", &user}, {"tenant", &tenant}, {"locale", &locale}};
  return all;
}

/// Go's word for an err; empty while there is none.
std::string err_text(const std::error_code& err) {
  if (!err) return {};
  if (err == errc::canceled) return "canceled";
  if (err == errc::deadline_exceeded) return "deadline_exceeded";
  return "neither of the two errs: " + err.message();
}

/// The text of a cause, or the err's where the cause is the err.
std::string cause_text(const cause& why) {
  return why == cause(errc::canceled) || why == cause(errc::deadline_exceeded) ? err_text(why.code())
                                                                               : why.message();
}

/// What a step takes; everything else in it was observed.
bool is_input(std::string_view field) {
  for (const std::string_view input : {"op", "id", "parent", "ms", "key", "value", "cause", "func"}) {
    if (field == input) return true;
  }
  return false;
}

json::object observed_by_go(const json::object& step) {
  json::object observed;
  for (const auto& [field, value] : step) {
    if (!is_input(field)) observed[field] = value;
  }
  return observed;
}

/// One script's contexts, and what is known of them.
class replay {
 public:
  /// Does what the step says. \return what is to be observed, in the form of the recording.
  json::object step(const json::object& step) {
    json::object observed;
    const std::string_view op = step.at("op").as_string();
    if (op == "advance") {
      clock_.advance(milliseconds(step.at("ms").as_int64()));
    } else if (op == "cancel") {
      cancel(step);
    } else if (op == "after_func") {
      const std::int64_t func = step.at("func").as_int64();
      functions_.try_emplace(func, parent_of(step), [this, func] { ran_.push_back(func); });
    } else if (op == "stop") {
      observed["stopped"] = functions_.at(step.at("func").as_int64()).stop();
    } else {
      const context& born = derive(op, step);
      observed["born"] = json::object{{"deadline_ms", deadline_of(born)}, {"values", values_of(born)}};
    }
    if (json::array changed = take_changes(); !changed.empty()) observed["changed"] = std::move(changed);
    if (!ran_.empty()) observed["ran"] = take_ran();
    return observed;
  }

 private:
  struct place {
    context ctx;
    json::object end;  // as seen last: err and cause; empty while it lives
  };

  const context& parent_of(const json::object& step) { return places_.at(step.at("parent").as_int64()).ctx; }

  void cancel(const json::object& step) {
    cancel_scope& scope = scopes_.at(step.at("id").as_int64());
    if (const json::value* why = step.if_contains("cause")) {
      scope.cancel(std::string_view(why->as_string()));
    } else {
      scope.cancel();
    }
  }

  const context& derive(std::string_view op, const json::object& step) {
    const std::int64_t id = step.at("id").as_int64();
    const auto keep = [&](const context& ctx) -> const context& {
      return places_.try_emplace(id, ctx, json::object()).first->second.ctx;
    };
    const auto keep_scope = [&](cancel_scope scope) -> const context& {
      return keep(scopes_.emplace(id, std::move(scope)).first->second);
    };
    if (op == "background") return keep(clock_.background());
    const context& parent = parent_of(step);
    if (op == "with_value") {
      const std::string text(step.at("value").as_string());
      return keep(with_value(parent, *keys().at(std::string(step.at("key").as_string())), text));
    }
    if (op == "without_cancel") return keep(without_cancel(parent));
    if (op == "with_cancel" || op == "with_cancel_cause") return keep_scope(with_cancel(parent));
    const milliseconds time(step.at("ms").as_int64());
    cause why;
    if (const json::value* text = step.if_contains("cause")) why = std::string_view(text->as_string());
    if (op == "with_timeout" || op == "with_timeout_cause")
      return keep_scope(with_timeout(parent, time, why));
    if (op == "with_deadline") return keep_scope(with_deadline(parent, clock::time_point(time), why));
    throw std::runtime_error("unknown op " + std::string(op));
  }

  static json::value deadline_of(const context& ctx) {
    const auto deadline = ctx.deadline();
    if (!deadline) return nullptr;
    const auto since_start = deadline->time_since_epoch();
    if (since_start % milliseconds(1) != clock::duration::zero()) return "not a whole millisecond";
    return since_start / milliseconds(1);
  }

  static json::object values_of(const context& ctx) {
    json::object values;
    for (const auto& [name, key] : keys()) {
      if (const std::string* value = ctx.value(*key)) values[name] = *value;
    }
    return values;
  }

  /// Looks at every context there is.
  json::array take_changes() {
    json::array changed;
    for (auto& [id, known] : places_) {
      json::object now;
      if (const std::error_code err = known.ctx.err()) {
        now = {{"err", err_text(err)}, {"cause", cause_text(known.ctx.cause())}};
      } else if (known.ctx.cause()) {
        now = {{"err", nullptr}, {"cause", cause_text(known.ctx.cause())}};
      }
      if (now == known.end) continue;
      known.end = now;
      now["id"] = id;
      changed.push_back(std::move(now));
    }
    return changed;
  }

  json::array take_ran() {
    std::ranges::sort(ran_);  // Go starts a goroutine for each: there is no order
    json::array ran(ran_.begin(), ran_.end());
    ran_.clear();
    return ran;
  }

  testing::manual_clock clock_;
  std::map<std::int64_t, cancel_scope> scopes_;
  std::map<std::int64_t, place> places_;
  std::vector<std::int64_t> ran_;
  std::map<std::int64_t, on_done<std::function<void()>>> functions_;  // last: gone before the scopes cancel
};

/// \return whether every step did what Go did; the first that did not is reported.
bool agrees(const json::object& script) {
  replay here;
  std::size_t number = 0;
  for (const json::value& each : script.at("steps").as_array()) {
    const json::object& step = each.as_object();
    const json::object expected = observed_by_go(step);
    json::object observed;
    try {
      observed = here.step(step);
    } catch (const std::exception& e) {
      observed = {{"exception", e.what()}};
    }
    if (observed != expected) {
      ADD_FAILURE() << "script \"" << script.at("name").as_string().c_str() << "\", step " << number
                    << "\n  step: " << each << "\n    Go: " << expected << "\n  here: " << observed;
      return false;
    }
    ++number;
  }
  return true;
}

std::vector<json::object> read_scripts() {
  std::ifstream file("tests/conformance/go-context.jsonl");  // run in the project's root
  if (!file) throw std::runtime_error("no tests/conformance/go-context.jsonl below the current directory");
  std::vector<json::object> scripts;
  for (std::string line; std::getline(file, line);) scripts.push_back(json::parse(line).as_object());
  return scripts;
}

TEST(GoContext, AgreesOnEveryStepOfEveryScript) {
  const std::vector<json::object> scripts = read_scripts();
  ASSERT_EQ(scripts.size(), recorded_scripts);
  std::size_t disagreeing = 0;
  for (const json::object& script : scripts) {
    if (!agrees(script) && ++disagreeing == 5) FAIL() << "and perhaps more";
  }
}

TEST(GoContext, RecordingCoversEveryOperationAndOutcome) {
  std::map<std::string, int, std::less<>> seen;
  for (const json::object& script : read_scripts()) {
    for (const json::value& step : script.at("steps").as_array()) {
      ++seen[std::string(step.at("op").as_string())];
      for (const auto& [field, value] : step.as_object()) {
        if (!is_input(field)) ++seen[field];
      }
    }
  }
  for (const char* what : {"background", "with_cancel", "with_cancel_cause", "with_timeout",
                           "with_timeout_cause", "with_deadline", "with_value", "without_cancel",
                           "after_func", "stop", "cancel", "advance", "born", "changed", "ran", "stopped"}) {
    EXPECT_GE(seen[what], 500) << what;
  }
}

}  // namespace
}  // namespace curfew
