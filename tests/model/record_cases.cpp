// The records of tasks (src/inspect/record.hpp), compiled against the model checker, on top of the tree of src/core: each
// case is a race of 2 or 3 threads through the hooks, a look and the detector's hand, run in every schedule within its
// bounds. After each execution every record has to be free, once.
//
// Options: see tests/model/run_cases.hpp.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <functional>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inspect/detector.hpp"
#include "inspect/hooks.hpp"
#include "inspect/look.hpp"
#include "inspect/place_table.hpp"
#include "inspect/record.hpp"
#include "inspect/told_tasks.hpp"
#include "model/engine.hpp"
#include "model/run_cases.hpp"

namespace {

using namespace curfew::inspect;
using curfew::background;
using curfew::context;
using curfew::task_kind;
using curfew::detail::task_ref;
using curfew::model::check;
using curfew::model::parallel;

std::array<thread_block, curfew::model::detail::max_threads> blocks;
told_tasks* the_told = nullptr;

constexpr task_kind a_kind{"a"};
constexpr task_kind b_kind{"b"};
constexpr std::string_view a_name = "the first of two tasks, with a name on the heap";
constexpr std::string_view b_name = "the second of two tasks, with a name on the heap";
const std::source_location somewhere = std::source_location::current();

const curfew::detail::task_hooks& hooks() { return *curfew::detail::task_listener(); }
task_ref open_a(const context& ctx, task_ref parent = {}) {
  return hooks().open(ctx, {&a_kind, a_name, parent, somewhere});
}
task_ref open_b(const context& ctx) { return hooks().open(ctx, {&b_kind, b_name, {}, somewhere}); }
void close(task_ref task) { hooks().close(task); }

void check_is(const task_info& seen, const task_kind& kind, std::string_view name) {
  check(std::string_view(seen.kind) == kind.name, "the kind");
  check(seen.name == name, "the name");
  check(seen.id != 0, "the id");
}
/// Of a task that was opened as `a`: it is that, or over.
void look_at_a(task_ref task) {
  if (const auto seen = look_at(task)) check_is(*seen, a_kind, a_name);
}

void glance_at_a(task_ref task) {
  if (const auto seen = glance_at(task)) check(std::string_view(seen->kind) == a_kind.name, "the kind");
}

/// What the detector's thread does; the limit has passed for all that were told.
void detect(told_tasks& told) { told.look(~ticks{0}, 0, look_at_a); }

/// Every record is free, once; and the next execution begins with the same.
void count_free() {
  for (auto& b : blocks) {
    records::give_back(std::exchange(b.free, nullptr));
    b.free_count = 0;
    for (; b.pasts != 0; --b.pasts) b.last[b.pasts - 1] = {};
    b.slow_from = ~ticks{0};  // what is kept as slow depends on the time
  }
  const std::size_t slabs = records::slab_count();
  const std::size_t all = slabs * records::in_a_slab;
  std::vector<task_record*> taken;
  while (taken.size() != all) {
    taken.push_back(records::take_some());  // here one at a time
    check(taken.back() != nullptr && records::slab_count() == slabs, "no record is lost");
    check(taken.back()->next == nullptr && !curfew::detail::is_open(taken.back()->generation.load()),
          "what is free is not open");
  }
  std::ranges::sort(taken);  // each execution begins with the same
  for (task_record* r : taken) records::give_back(r);
}

/// The case, and then: all that was told is over, and all records are free.
template <void (*body)(told_tasks&)>
void over() {
  told_tasks told;
  the_told = &told;
  body(told);
  detect(told);
  check(told.zombie_count() == 0, "none is left");
  count_free();
}

/// All that may happen to a task, in one thread.
void once(told_tasks& told) {
  auto scope = curfew::with_cancel(background());
  const task_ref task = open_a(scope);
  close(open_a(background()));
  scope.cancel();
  detect(told);
  close(task);
}

// ---- reading ----

void look_against_close(told_tasks& /*told*/) {
  const task_ref task = open_a(background());
  parallel({[&] { close(task); }, [&] { look_at_a(task); }, [&] { glance_at_a(task); }});
  check(!look_at(task), "it is over");
}

// The record is given to the next task at once: the name of the first must not name that.
void look_against_reuse(told_tasks& /*told*/) {
  const task_ref task = open_a(background());
  task_ref next;
  parallel({[&] {
              close(task);
              next = open_b(background());
            },
            [&] { look_at_a(task); }});
  check(!look_at(task), "it is over");
  const auto seen = look_at(next);
  check(seen.has_value(), "the next is open");
  check_is(*seen, b_kind, b_name);
  close(next);
}

// A name that is made up, and may come true: then it is all there.
void look_ahead(told_tasks& /*told*/) {
  const task_ref task = open_a(background());
  task_ref next;
  parallel({[&] {
              close(task);
              next = open_b(background());
            },
            [&] {
              if (const auto seen = look_at({task.record, task.generation + 2}))
                check_is(*seen, b_kind, b_name);
            }});
  close(next);
}

void walk_against_open(told_tasks& /*told*/) {
  parallel({[&] { close(open_a(background())); },
            [&] {
              records::each([](task_record& r) {
                const auto generation = r.generation.load(std::memory_order_acquire);
                if (curfew::detail::is_open(generation)) look_at_a({&r, generation});
                return true;
              });
            }});
}

void close_against_close_of_another(told_tasks& /*told*/) {
  parallel({[&] { close(open_a(background())); },
            [&] {
              const task_ref one = open_a(background());
              const task_ref other = open_a(background());
              check(one != other, "two");
              close(one);
              close(other);
            }});
}

// A parent that is closed, and its record given to another, while a child is opened: the child has it for a parent, or none.
void open_below_what_is_closed(told_tasks& /*told*/) {
  const task_ref parent = open_a(background());
  const std::uint64_t id = hooks().id(parent);
  task_ref other;
  task_ref child;
  parallel({[&] {
              close(parent);
              other = open_b(background());
            },
            [&] { child = open_a(background(), parent); }});
  const auto seen = look_at(child);
  check(seen.has_value(), "the child is open");
  check(seen->parent == id || seen->parent == 0, "no other is its parent");
  close(child);
  close(other);
}

void id_against_reuse(told_tasks& /*told*/) {
  const task_ref task = open_a(background());
  const std::uint64_t id = hooks().id(task);
  task_ref other;
  parallel({[&] {
              close(task);
              other = open_b(background());
            },
            [&] {
              const auto seen = hooks().id(task);
              check(seen == id || seen == 0, "its own id, or none");
            }});
  close(other);
}

// What nests in a carrier is closed, and its record given to another.
void innermost_against_reuse(told_tasks& /*told*/) {
  const task_ref lane = hooks().open_carrier();
  const task_ref task = open_a(background());
  hooks().nest(lane, task);
  task_ref other;
  parallel({[&] {
              close(task);
              other = open_b(background());
            },
            [&] {
              const task_ref found = hooks().innermost(lane);
              check(found == lane || found == task, "the task, or the carrier");
            }});
  close(other);
  close(lane);
}

// ---- told to stop ----

void end_against_close(told_tasks& /*told*/) {
  auto scope = curfew::with_cancel(background());
  const task_ref task = open_a(scope);
  parallel({[&] { scope.cancel(); }, [&] { close(task); }});
}

void end_against_open(told_tasks& told) {
  auto scope = curfew::with_cancel(background());
  task_ref task;
  parallel({[&] { scope.cancel(); }, [&] { task = open_a(scope); }});
  check(look_at(task)->told.has_value(), "it is told");
  detect(told);
  check(told.zombie_count() == 1, "it has not stopped");
  close(task);
}

void end_against_look(told_tasks& /*told*/) {
  auto scope = curfew::with_cancel(background());
  const task_ref task = open_a(scope);
  parallel({[&] { scope.cancel(); }, [&] { look_at_a(task); }, [&] { glance_at_a(task); }});
  close(task);
}

void two_told_at_once(told_tasks& told) {
  auto one = curfew::with_cancel(background());
  auto other = curfew::with_cancel(background());
  const task_ref first = open_a(one);
  const task_ref second = open_a(other);
  parallel({[&] { one.cancel(); }, [&] { other.cancel(); }, [&] { detect(told); }});
  detect(told);
  check(told.zombie_count() == 2, "both are found");
  close(first);
  close(second);
}

void detector_against_close(told_tasks& told) {
  auto scope = curfew::with_cancel(background());
  const task_ref task = open_a(scope);
  scope.cancel();
  parallel({[&] { detect(told); }, [&] { close(task); }});
}

// The record goes from hand to hand: closed, buried, and given to the next task.
void detector_against_close_and_open(told_tasks& told) {
  auto scope = curfew::with_cancel(background());
  const task_ref task = open_a(scope);
  scope.cancel();
  task_ref next;
  parallel({[&] {
              detect(told);
              next = open_b(background());
            },
            [&] { close(task); }, [&] { look_at_a(task); }});
  const auto seen = look_at(next);
  check(seen.has_value(), "the next is open");
  check_is(*seen, b_kind, b_name);
  close(next);
}

void end_close_and_detector(told_tasks& told) {
  auto scope = curfew::with_cancel(background());
  const task_ref task = open_a(scope);
  parallel({[&] { scope.cancel(); }, [&] { close(task); }, [&] { detect(told); }});
}

void zombie_against_close_and_look(told_tasks& told) {
  auto scope = curfew::with_cancel(background());
  const task_ref task = open_a(scope);
  scope.cancel();
  detect(told);
  check(told.zombie_count() == 1, "it has not stopped");
  parallel({[&] { close(task); },
            [&] {
              for (const task_ref zombie : told.zombies()) look_at_a(zombie);
            },
            [&] { detect(told); }});
}

constexpr curfew::model::model_case cases[] = {
    {"look_against_close", over<look_against_close>, 3, 1},
    {"look_against_reuse", over<look_against_reuse>, 4, 1},
    {"look_ahead", over<look_ahead>, 4, 1},
    {"walk_against_open", over<walk_against_open>, 4, 1},
    {"close_against_close_of_another", over<close_against_close_of_another>, 4, 1},
    {"open_below_what_is_closed", over<open_below_what_is_closed>, 4, 1},
    {"id_against_reuse", over<id_against_reuse>, 5, 2},
    {"innermost_against_reuse", over<innermost_against_reuse>, 4, 1},
    {"end_against_close", over<end_against_close>, 4, 1},
    {"end_against_open", over<end_against_open>, 4, 1},
    {"end_against_look", over<end_against_look>, 2, 1},
    {"two_told_at_once", over<two_told_at_once>, 2, 1},
    {"detector_against_close", over<detector_against_close>, 4, 1},
    {"detector_against_close_and_open", over<detector_against_close_and_open>, 2, 1},
    {"end_close_and_detector", over<end_close_and_detector>, 2, 1},
    {"zombie_against_close_and_look", over<zombie_against_close_and_look>, 3, 1},
};

}  // namespace

namespace curfew::inspect {

// What is not of the records: whose block a thread has, and the detector's thread, which here is the case; the ranking of
// places has a lock of its own.
thread_block& own_block() noexcept { return blocks[model::this_thread()]; }
thread_block* first_block() noexcept { return nullptr; }
void detector::told(task_record& r) noexcept { the_told->told(r); }
void detector::over(task_record& r) noexcept { the_told->over(r); }
void place_table::stopped(const past& /*over*/, bool /*was_zombie*/) noexcept {}
void place_table::held(task_ref /*by*/, std::chrono::nanoseconds /*duration*/) noexcept {}

}  // namespace curfew::inspect

int main(int argc, char** argv) {
  install_hooks();
  record_from_now_on(true);
  // What is made once for the process.
  calibrate();
  over<once>();
  return curfew::model::run_cases("curfew_model_record", argc, argv, cases);
}
