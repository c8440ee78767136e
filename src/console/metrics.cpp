#include "console/metrics.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "console/describe.hpp"

namespace curfew::inspect {

namespace {

/// Seconds with nine decimals at most, exactly.
std::string seconds(std::chrono::nanoseconds d) {
  constexpr std::int64_t per_second = 1'000'000'000;
  const auto count = std::max<std::int64_t>(d.count(), 0);
  std::string made = std::to_string(count / per_second);
  std::string rest = std::to_string(count % per_second);
  rest.insert(0, 9 - rest.size(), '0');
  while (!rest.empty() && rest.back() == '0') rest.pop_back();
  return rest.empty() ? made : made + '.' + rest;
}

class text_format {
 public:
  void describe(std::string_view name, std::string_view type, std::string_view help) {
    line({"# HELP ", name, " ", help});
    line({"# TYPE ", name, " ", type});
  }
  void value(std::string_view name, std::string_view labels, std::string_view what) {
    line({name, labels.empty() ? "" : "{", labels, labels.empty() ? "" : "}", " ", what});
  }
  void one(std::string_view name, std::string_view type, std::string_view help, std::string_view what) {
    describe(name, type, help);
    value(name, {}, what);
  }
  /// \param labels  Those of each line, without braces.
  void buckets(const std::string& name, std::string_view labels, const histogram& h) {
    const std::string front = labels.empty() ? std::string() : std::string(labels) + ',';
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < h.count.size(); ++i) {
      sum += h.count[i];
      const auto limit = i < histogram::limits.size() ? seconds(histogram::limits[i]) : std::string("+Inf");
      std::string all_labels = front;
      all_labels.append("le=\"").append(limit).append("\"");
      value(name + "_bucket", all_labels, std::to_string(sum));
    }
    value(name + "_sum", labels, seconds(h.sum));
    value(name + "_count", labels, std::to_string(sum));
  }

  std::string made;

 private:
  void line(std::initializer_list<std::string_view> parts) {
    for (const auto part : parts) made += part;
    made += '\n';
  }
};

}  // namespace

std::string metrics(const totals& all) {
  text_format to;
  const auto counter = [&](std::string_view name, std::string_view help, std::string_view what) {
    to.one(name, "counter", help, what);
  };
  const auto gauge = [&](std::string_view name, std::string_view help, std::string_view what) {
    to.one(name, "gauge", help, what);
  };
  counter("curfew_tasks_opened_total", "Tasks that were opened.", std::to_string(all.opened));
  gauge("curfew_tasks_open", "Tasks that are open.", std::to_string(all.open));
  gauge("curfew_tasks_told", "Open tasks that were told to stop.", std::to_string(all.told));
  gauge("curfew_zombies", "Open tasks that were told to stop longer than the limit ago.",
        std::to_string(all.zombies));
  counter("curfew_zombies_total", "Tasks that did not stop within the limit.",
          std::to_string(all.zombies_ever));
  counter("curfew_tasks_not_recorded_total", "Tasks that there was no memory for.",
          std::to_string(all.not_recorded));
  counter("curfew_cpu_seconds_total", "CPU time of all tasks.", seconds(all.cpu));
  counter("curfew_cpu_for_nobody_seconds_total", "CPU time of tasks after they were told to stop.",
          seconds(all.cpu_for_nobody));
  counter("curfew_cpu_of_process_seconds_total", "CPU time of the process.", seconds(all.cpu_of_process));
  gauge("curfew_cpu_unattributed_seconds", "CPU time of the process that is no task's.",
        seconds(all.cpu_of_process - all.cpu));

  to.describe("curfew_task_age_seconds", "histogram", "How long tasks took, by how their context ended.");
  for (std::size_t i = 0; i < ending_names.size(); ++i) {
    to.buckets("curfew_task_age_seconds", std::string("ending=\"") + ending_names[i] + '"', all.age[i]);
  }
  to.describe("curfew_told_to_over_seconds", "histogram",
              "How long tasks went on after they were told to stop.");
  to.buckets("curfew_told_to_over_seconds", {}, all.told_to_over);
  to.describe("curfew_loop_lag_seconds", "histogram", "From when a coroutine could go on until it did.");
  to.buckets("curfew_loop_lag_seconds", {}, all.loop_lag);
  return std::move(to.made);
}

}  // namespace curfew::inspect
