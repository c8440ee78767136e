#include "console/describe.hpp"

#include <numeric>

#include "console/choice.hpp"

namespace curfew::inspect {

namespace {

void write(json_writer& to, const std::source_location& where) {
  to.begin_object();
  to.key("file").text(where.file_name());
  to.key("line").number(where.line());
  to.key("function").text(where.function_name());
  to.end_object();
}

void write(json_writer& to, const std::optional<waiting_for>& waits) {
  if (!waits) {
    to.null();
    return;
  }
  to.begin_object();
  to.key("what").text(waits->what);
  to.key("on").id(waits->on);
  to.end_object();
}

void write(json_writer& to, const std::optional<told_to_stop>& told) {
  if (!told) {
    to.null();
    return;
  }
  to.begin_object();
  to.key("err").text(told->err.message());
  to.key("cause").text(told->cause.message());
  to.key("at_ns").point(told->at);
  to.key("cpu_ms").milliseconds(told->cpu);
  to.end_object();
}

void write_known(json_writer& to, std::string_view key, std::string_view text) {
  to.key(key);
  if (text.empty()) {
    to.null();
  } else {
    to.text(text);
  }
}

void write(json_writer& to, const stack_frame& frame) {
  to.begin_object();
  write_known(to, "function", frame.function);
  to.key("offset").number(frame.offset);
  write_known(to, "file", frame.file);
  to.key("line").number(frame.line);
  write_known(to, "module", frame.module);
  to.key("address").text("0x" + hex_id(frame.address));
  to.end_object();
}

void write(json_writer& to, const histogram& h) {
  to.begin_object();
  to.key("limits_ms").begin_array();
  for (const auto limit : histogram::limits) to.milliseconds(limit);
  to.end_array();
  to.key("count").begin_array();
  for (const auto n : h.count) to.number(n);
  to.end_array();
  to.key("sum_ms").milliseconds(h.sum);
  to.end_object();
}

void write_counts(json_writer& to, const totals& all) {
  to.key("opened").number(all.opened);
  to.key("open").number(all.open);
  to.key("told").number(all.told);
  to.key("zombies").number(all.zombies);
  to.key("zombies_ever").number(all.zombies_ever);
}

void write_cpu(json_writer& to, const totals& all) {
  to.key("cpu_ms").milliseconds(all.cpu);
  to.key("cpu_for_nobody_ms").milliseconds(all.cpu_for_nobody);
  to.key("cpu_of_process_ms").milliseconds(all.cpu_of_process);
}

}  // namespace

void write(json_writer& to, const task_info& task) {
  to.begin_object();
  to.key("id").id(task.id);
  to.key("parent").id(task.parent);
  to.key("kind").text(task.kind);
  to.key("name").text(task.name);
  write(to.key("where"), task.where);
  to.key("path").text(task.path);
  write_known(to, "trace", task.trace);
  to.key("opened_ns").point(task.opened);
  to.key("remaining_ms");
  if (task.remaining) {
    to.milliseconds(*task.remaining);
  } else {
    to.null();
  }
  to.key("state").text(word_of(task.state));
  to.key("detached").boolean(task.detached);
  write(to.key("waits"), task.waits);
  write(to.key("told"), task.told);
  to.key("cpu_ms").milliseconds(task.cpu);
  to.key("thread").signed_number(task.thread);
  to.key("values").begin_array();
  for (const auto& [key, text] : task.values) {
    to.begin_object();
    to.key("key").text(key);
    to.key("text").text(text);
    to.end_object();
  }
  to.end_array();
  to.end_object();
}

void write(json_writer& to, const ended_task& task) {
  to.begin_object();
  to.key("id").id(task.id);
  to.key("parent").id(task.parent);
  to.key("kind").text(task.kind);
  to.key("name").text(task.name);
  write(to.key("where"), task.where);
  write_known(to, "trace", task.trace);
  to.key("opened_ns").point(task.opened);
  to.key("ended_ns").point(task.ended);
  write(to.key("told"), task.told);
  to.key("cpu_ms").milliseconds(task.cpu);
  to.end_object();
}

void write(json_writer& to, const place_info& place) {
  to.begin_object();
  write(to.key("where"), place.where);
  to.key("kind").text(place.kind);
  to.key("told").number(place.told);
  to.key("zombies").number(place.zombies);
  to.key("longest_ms").milliseconds(place.longest);
  to.key("total_ms").milliseconds(place.total);
  to.key("cpu_for_nobody_ms").milliseconds(place.cpu_for_nobody);
  to.key("longest_hold_ms").milliseconds(place.longest_hold);
  to.end_object();
}

void write(json_writer& to, const thread_stack& stack) {
  to.begin_object();
  to.key("task").id(stack.task);
  to.key("kind").text(stack.kind);
  to.key("name").text(stack.name);
  to.key("thread").signed_number(stack.thread);
  to.key("frames").begin_array();
  for (const auto& frame : stack.frames) write(to, frame);
  to.end_array();
  write_known(to, "error", stack.error);
  to.end_object();
}

void write(json_writer& to, const totals& all) {
  to.begin_object();
  write_counts(to, all);
  to.key("not_recorded").number(all.not_recorded);
  to.key("age").begin_object();
  for (std::size_t i = 0; i < ending_names.size(); ++i) write(to.key(ending_names[i]), all.age[i]);
  to.end_object();
  write(to.key("told_to_over"), all.told_to_over);
  write(to.key("loop_lag"), all.loop_lag);
  write_cpu(to, all);
  to.end_object();
}

void write_brief(json_writer& to, const totals& all) {
  write_counts(to, all);
  to.key("ended").begin_object();
  for (std::size_t i = 0; i < ending_names.size(); ++i) to.key(ending_names[i]).number(sum_of(all.age[i]));
  to.end_object();
  write_cpu(to, all);
}

std::uint64_t sum_of(const histogram& h) noexcept {
  return std::accumulate(h.count.begin(), h.count.end(), std::uint64_t{0});
}

}  // namespace curfew::inspect
