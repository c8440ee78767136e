// The tree of src/core, compiled against the model checker: each case is a race of 2 or 3 threads through the
// public interface, run in every schedule within its bounds.
// Options: see tests/model/run_cases.hpp.
// Long, since it is a list: each case stands for itself.

#include <poll.h>

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/core/detail/manual_time.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "core/tree.hpp"
#include "model/engine.hpp"
#include "model/run_cases.hpp"

namespace {

using namespace std::chrono_literals;
using curfew::cancel_scope;
using curfew::cause;
using curfew::context;
using curfew::errc;
using curfew::on_done;
using curfew::model::check;
using curfew::model::parallel;
using curfew::model::plain;

const std::error_code canceled = errc::canceled;
const std::error_code late = errc::deadline_exceeded;

void check_end(const context& ctx, std::error_code err, std::string_view why) {
  check(ctx.err() == err, "the err");
  check(ctx.cause().message() == why, "the cause");
}

/// Counts runs. Not synchronized: the count is read only after what makes it visible, and the checker sees to that.
struct counter {
  plain<int> runs = 0;

  void operator()() noexcept { runs = runs + 1; }
};

struct manual_clock {
  context root = curfew::detail::make_manual_root();
  void advance(curfew::clock::duration step) const { curfew::detail::advance_manual_root(root, step); }
};

// ---- deriving ----

constexpr curfew::key<int> number("number");

void cancel_against_derive() {
  auto parent = curfew::with_cancel(curfew::background());
  std::optional<cancel_scope> child;
  std::optional<cancel_scope> grandchild;
  parallel({[&] { parent.cancel("stop"); },
            [&] {
              child = curfew::with_cancel(parent);
              grandchild = curfew::with_cancel(*child);
            }});
  check_end(*child, canceled, "stop");
  check_end(*grandchild, canceled, "stop");
}

void cancel_against_derive_and_drop() {
  auto parent = curfew::with_cancel(curfew::background());
  auto sibling = curfew::with_cancel(parent);
  parallel({[&] { parent.cancel(); },
            [&] {
              const auto child = curfew::with_cancel(parent);
              [[maybe_unused]] const auto grandchild = curfew::with_cancel(child);
            }});
  check_end(sibling, canceled, "canceled");
}

void cancel_against_drop() {
  auto parent = curfew::with_cancel(curfew::background());
  std::optional<cancel_scope> first(curfew::with_cancel(parent));
  std::optional<cancel_scope> second(curfew::with_cancel(parent));
  std::optional<cancel_scope> below(curfew::with_cancel(*second));
  parallel({[&] { parent.cancel(); },
            [&] {
              first.reset();
              second.reset();
            },
            [&] { below.reset(); }});
}

void drop_of_parent_against_drop_of_child() {
  std::optional<cancel_scope> parent(curfew::with_cancel(curfew::background()));
  std::optional<cancel_scope> child(curfew::with_cancel(*parent, {}));
  parallel({[&] { parent.reset(); }, [&] { child.reset(); }});
}

// The list of the parent is what holds a child that has ended by itself.
void drop_of_parent_against_drop_of_canceled_child() {
  std::optional<cancel_scope> parent(curfew::with_cancel(curfew::background()));
  std::optional<cancel_scope> child(curfew::with_cancel(*parent));
  parallel({[&] { parent.reset(); },
            [&] {
              child->cancel("enough");
              child.reset();
            }});
}

// A copy needs the parent, which it reads, though neither scope is left.
void copy_that_outlives_its_scope() {
  std::optional<cancel_scope> parent(curfew::with_cancel(curfew::background()));
  std::optional<cancel_scope> child(curfew::with_cancel(*parent));
  context kept = child->ctx();
  parallel({[&] { parent.reset(); }, [&] { child.reset(); }});
  check(kept.err() == canceled, "the copy has ended");
  check(!kept.deadline() && !kept.path().empty(), "and can be asked");
}

void copies_dropped_against_their_scope() {
  auto parent = curfew::with_cancel(curfew::background());
  std::optional<cancel_scope> child(curfew::with_cancel(parent));
  std::optional<context> one(child->ctx());
  std::optional<context> below(curfew::with_value(*one, number, 1));
  parallel({[&] { child.reset(); },
            [&] {
              check(one->value(number) == nullptr, "no value of one below");
              one.reset();
            },
            [&] {
              check(*below->value(number) == 1, "its own value");
              below.reset();
            }});
}

// Of the children of one list, those below a value have a reference of the value instead.
void drop_of_parent_against_drops_below_a_value() {
  std::optional<cancel_scope> parent(curfew::with_cancel(curfew::background()));
  std::optional<context> valued(curfew::with_value(*parent, number, 1));
  std::optional<cancel_scope> direct(curfew::with_cancel(*parent));
  std::optional<cancel_scope> below(curfew::with_cancel(*valued));
  valued.reset();
  parallel({[&] { parent.reset(); }, [&] { below.reset(); }, [&] { direct.reset(); }});
}

// ---- children in several lists ----

void spread(const context& ctx) { curfew::detail::spread(curfew::detail::ender_of(ctx)); }

void cancel_against_derive_from_spread() {
  auto parent = curfew::with_cancel(curfew::background());
  spread(parent);
  std::optional<cancel_scope> child;
  std::optional<cancel_scope> grandchild;
  parallel({[&] { parent.cancel("stop"); },
            [&] {
              child = curfew::with_cancel(parent);
              grandchild = curfew::with_cancel(*child);
            }});
  check_end(*child, canceled, "stop");
  check_end(*grandchild, canceled, "stop");
}

// A thread that has seen the end derives an ended context, though the lists have not been taken yet.
void derive_from_spread_after_the_end_is_seen() {
  auto parent = curfew::with_cancel(curfew::background());
  spread(parent);
  parallel({[&] { parent.cancel("stop"); },
            [&] {
              if (!parent.err()) return;
              const auto child = curfew::with_cancel(parent);
              check_end(child, canceled, "stop");
            }});
}

void derives_from_spread_against_drop_of_parent() {
  std::optional<cancel_scope> parent(curfew::with_cancel(curfew::background()));
  const context other = parent->ctx();
  spread(other);
  parallel({[&] { parent.reset(); }, [&] { [[maybe_unused]] const auto child = curfew::with_cancel(other); },
            [&] { [[maybe_unused]] const auto child = curfew::with_cancel(other); }});
}

void drop_of_spread_parent_against_drops() {
  std::optional<cancel_scope> parent(curfew::with_cancel(curfew::background()));
  std::optional<cancel_scope> before(curfew::with_cancel(*parent));
  spread(*parent);
  std::optional<cancel_scope> after(curfew::with_cancel(*parent));
  parallel({[&] { parent.reset(); }, [&] { before.reset(); }, [&] { after.reset(); }});
}

void drop_of_spread_parent_without_children() {
  std::optional<cancel_scope> parent(curfew::with_cancel(curfew::background()));
  spread(*parent);
  std::optional<cancel_scope> below(curfew::with_cancel(*parent));
  spread(*below);
  parallel({[&] { parent.reset(); }, [&] { below.reset(); }});
}

void copy_that_outlives_its_scope_below_spread() {
  std::optional<cancel_scope> parent(curfew::with_cancel(curfew::background()));
  spread(*parent);
  std::optional<cancel_scope> child(curfew::with_cancel(*parent));
  context kept = child->ctx();
  parallel({[&] { parent.reset(); }, [&] { child.reset(); }});
  check(kept.err() == canceled, "the copy has ended");
  check(!kept.deadline() && !kept.path().empty(), "and can be asked");
}

void spread_against_derive_and_drop() {
  auto parent = curfew::with_cancel(curfew::background());
  std::optional<cancel_scope> sibling(curfew::with_cancel(parent));
  std::optional<cancel_scope> child;
  parallel({[&] { spread(parent); }, [&] { child = curfew::with_cancel(parent); }, [&] { sibling.reset(); }});
  parent.cancel("stop");
  check_end(*child, canceled, "stop");
}

void spread_against_cancel() {
  auto parent = curfew::with_cancel(curfew::background());
  auto child = curfew::with_cancel(parent);
  std::optional<cancel_scope> late_child;
  parallel({[&] { spread(parent); }, [&] { parent.cancel("stop"); },
            [&] { late_child = curfew::with_cancel(parent); }});
  check_end(child, canceled, "stop");
  check_end(*late_child, canceled, "stop");
}

void two_spreads() {
  std::optional<cancel_scope> parent(curfew::with_cancel(curfew::background()));
  std::optional<cancel_scope> child(curfew::with_cancel(*parent));
  parallel({[&] { spread(*parent); }, [&] { spread(*parent); }, [&] { child.reset(); }});
  parent.reset();
}

void deadline_of_spread_against_derive() {
  const manual_clock clock;
  auto parent = curfew::with_timeout(clock.root, 5s, "late");
  spread(parent);
  std::optional<cancel_scope> child;
  parallel({[&] { clock.advance(5s); }, [&] { child = curfew::with_cancel(parent); }});
  check_end(*child, late, "late");
}

void merge_of_spread() {
  auto one = curfew::with_cancel(curfew::background());
  auto two = curfew::with_cancel(curfew::background());
  spread(one);
  spread(two);
  std::optional<cancel_scope> both;
  parallel({[&] { both = curfew::merge(one, two); }, [&] { two.cancel("stop"); }});
  check_end(*both, canceled, "stop");
  parallel({[&] { one.cancel(); }, [&] { both.reset(); }});
}

// ---- two ends ----

void two_cancels() {
  auto scope = curfew::with_cancel(curfew::background());
  auto child = curfew::with_cancel(scope);
  parallel({[&] { scope.cancel("one"); }, [&] { scope.cancel("two"); },
            [&] {
              if (!child.err()) return;
              const cause seen = child.cause();
              check(seen == scope.cause(), "parent and child have one cause");
              check(child.err() == canceled, "the err stays");
            }});
  const std::string why = scope.cause().message();
  check(why == "one" || why == "two", "a cause that was given");
  check_end(scope, canceled, why);
  check_end(child, canceled, why);
}

void cancel_of_parent_against_cancel_of_child() {
  auto parent = curfew::with_cancel(curfew::background());
  auto child = curfew::with_cancel(parent);
  auto grandchild = curfew::with_cancel(child);
  counter count;
  const on_done callback(grandchild, std::ref(count));
  parallel({[&] { parent.cancel("from above"); }, [&] { child.cancel("from below"); }});
  check_end(parent, canceled, "from above");
  const std::string why = child.cause().message();
  check(why == "from above" || why == "from below", "a cause that was given");
  check_end(grandchild, canceled, why);
  check(count.runs == 1, "the callback runs once");
}

void cause_outlives_its_scope() {
  std::optional<cancel_scope> parent(curfew::with_cancel(curfew::background()));
  std::optional<cancel_scope> child(curfew::with_cancel(*parent));
  const context kept = child->ctx();
  parallel({[&] {
              parent->cancel("stop");
              parent.reset();
            },
            [&] { child.reset(); }, [&] { std::ignore = kept.cause().message(); }});
  const std::string why = kept.cause().message();
  check(why == "stop" || why == "canceled", "one of the two causes");
}

// ---- callbacks ----

void cancel_against_deregistration() {
  auto scope = curfew::with_cancel(curfew::background());
  counter count;
  std::optional<on_done<std::reference_wrapper<counter>>> callback(std::in_place, scope, std::ref(count));
  int seen = 0;
  parallel({[&] { scope.cancel(); },
            [&] {
              callback.reset();
              seen = count.runs;  // a race, if it could still run
              check(seen <= 1, "at most once");
            }});
  check(count.runs == seen, "not after the destructor");
}

void cancel_against_registration() {
  auto scope = curfew::with_cancel(curfew::background());
  counter count;
  counter other;
  parallel({[&] { scope.cancel(); },
            [&] {
              on_done callback(scope, std::ref(count));
              const on_done second(scope, std::ref(other));
              if (callback.stop()) check(count.runs == 0, "prevented");
            }});
  check(count.runs <= 1 && other.runs <= 1, "at most once");
}

void registration_that_stays() {
  auto scope = curfew::with_cancel(curfew::background());
  counter count;
  std::optional<on_done<std::reference_wrapper<counter>>> callback;
  parallel({[&] { scope.cancel(); }, [&] { callback.emplace(scope, std::ref(count)); }});
  check(count.runs == 1, "once, in whichever thread");
}

void deregistration_from_inside() {
  auto scope = curfew::with_cancel(curfew::background());
  struct destroys_itself {
    std::optional<on_done<std::reference_wrapper<destroys_itself>>>& callback;
    void operator()() noexcept { callback.reset(); }
  };
  std::optional<on_done<std::reference_wrapper<destroys_itself>>> callback;
  destroys_itself f{callback};
  counter count;
  const on_done other(scope, std::ref(count));
  callback.emplace(scope, std::ref(f));
  parallel({[&] { scope.cancel("one"); }, [&] { scope.cancel("two"); }});
  check(!callback, "it ran");
  check(count.runs == 1, "the other one, too");
}

void cancel_against_stop_of_after_func() {
  struct inline_executor {
    void execute(const std::function<void()>& f) const { f(); }
  };
  auto scope = curfew::with_cancel(curfew::background());
  plain<int> runs = 0;
  bool prevented = false;
  {
    auto handle =
        curfew::after_func(scope, inline_executor(), std::function<void()>([&] { runs = runs + 1; }));
    parallel({[&] { scope.cancel(); }, [&] { prevented = handle.stop(); }});
  }
  check(runs == (prevented ? 0 : 1), "it is prevented, or it runs");
}

void cancel_against_dropped_handle_of_after_func() {
  struct inline_executor {
    void execute(const std::function<void()>& f) const { f(); }
  };
  auto scope = curfew::with_cancel(curfew::background());
  plain<int> runs = 0;
  std::optional<curfew::after_func_handle> handle(
      curfew::after_func(scope, inline_executor(), std::function<void()>([&] { runs = runs + 1; })));
  parallel({[&] { scope.cancel(); }, [&] { handle.reset(); }});
  check(runs == 1, "it runs although the handle is gone");
}

void callbacks_down_a_chain() {
  auto top = curfew::with_cancel(curfew::background());
  std::optional<cancel_scope> middle(curfew::with_cancel(top));
  auto bottom = curfew::with_cancel(*middle);
  const context below = bottom;
  counter counts[2];
  const auto after_all_below = [&]() noexcept {
    counts[0]();
    check(below.err() == canceled, "all below has ended, or is ending");
  };
  const on_done of_top(top, after_all_below);
  std::optional<on_done<std::reference_wrapper<counter>>> of_bottom(std::in_place, bottom,
                                                                    std::ref(counts[1]));
  parallel({[&] { top.cancel(); }, [&] { of_bottom.reset(); }});
  check(counts[0].runs == 1 && counts[1].runs <= 1, "once each");
}

void chain_cut_in_the_middle() {
  auto top = curfew::with_cancel(curfew::background());
  std::optional<cancel_scope> middle(curfew::with_cancel(top));
  auto bottom = curfew::with_cancel(*middle);
  counter count;
  const on_done callback(bottom, std::ref(count));
  parallel({[&] { top.cancel("top"); }, [&] { middle.reset(); }});
  check(count.runs == 1, "the callback runs once");
  const std::string why = bottom.cause().message();
  check(why == "top" || why == "canceled", "one of the causes");
}

void two_deregistrations_against_cancel() {
  auto scope = curfew::with_cancel(curfew::background());
  using kept = std::optional<on_done<std::reference_wrapper<counter>>>;
  counter counts[3];
  kept first(std::in_place, scope, std::ref(counts[0]));
  kept second(std::in_place, scope, std::ref(counts[1]));
  kept third(std::in_place, scope, std::ref(counts[2]));
  const auto remove = [](kept& callback, counter& count) {
    callback.reset();
    check(count.runs <= 1, "at most once");
  };
  parallel({[&] { scope.cancel(); }, [&] { remove(first, counts[0]); }, [&] { remove(second, counts[1]); }});
  check(counts[2].runs == 1, "the one that stays runs once");
}

// ---- last references ----

void drops_of_values() {
  std::optional<cancel_scope> scope(curfew::with_cancel(curfew::background()));
  std::optional<context> one(curfew::with_value(*scope, number, 1));
  std::optional<context> two(curfew::with_value(*one, number, 2));
  std::optional<context> copy(two);
  parallel({[&] { scope.reset(); },
            [&] {
              check(*two->value(number) == 2, "the value");
              two.reset();
            },
            [&] {
              one.reset();
              check(*copy->value(number) == 2, "the value");
              copy.reset();
            }});
}

void last_release_against_callback() {
  std::optional<cancel_scope> scope(curfew::with_cancel(curfew::background()));
  std::optional<context> copy(scope->ctx());
  std::optional<context> value(std::in_place, curfew::without_cancel(*scope));
  counter count;
  std::optional<on_done<std::reference_wrapper<counter>>> callback(std::in_place, *scope, std::ref(count));
  parallel({[&] { scope.reset(); },
            [&] {
              copy.reset();
              callback.reset();
              value.reset();
            }});
  check(count.runs <= 1, "at most once");
}

/// Destroys a scope, and itself in it.
struct destroys_all {
  std::optional<cancel_scope>* scope;
  std::optional<on_done<destroys_all>>* callback;

  void operator()() const noexcept {
    const destroys_all kept = *this;
    kept.scope->reset();
    kept.callback->reset();
  }
};

void callback_that_destroys_the_scope() {
  std::optional<cancel_scope> scope(curfew::with_cancel(curfew::background()));
  std::optional<context> copy(scope->ctx());
  std::optional<on_done<destroys_all>> callback;
  callback.emplace(*scope, destroys_all{&scope, &callback});
  parallel({[&] { scope->cancel("done"); }, [&] { copy.reset(); }});
  check(!scope, "it ran");
}

void callback_that_destroys_the_scope_of_a_canceler() {
  std::optional<cancel_scope> scope(curfew::with_cancel(curfew::background()));
  std::optional<context> copy(scope->ctx());
  const curfew::canceler handle = scope->canceler();
  std::optional<on_done<destroys_all>> callback;
  callback.emplace(*scope, destroys_all{&scope, &callback});
  parallel({[&] { handle.cancel("one"); }, [&] { handle.cancel("two"); }, [&] { copy.reset(); }});
  check(!scope, "it ran");
}

void two_copies_of_a_cause() {
  std::optional<cause> one("text");
  std::optional<cause> two(one);
  parallel({[&] { one.reset(); }, [&] { two.reset(); }});
}

// ---- time ----

void timer_against_cancel() {
  const manual_clock clock;
  auto scope = curfew::with_timeout(clock.root, 5s, "late");
  counter count;
  const on_done callback(scope, std::ref(count));
  parallel({[&] { clock.advance(5s); }, [&] { scope.cancel("stop"); }});
  if (scope.err() == late) {
    check_end(scope, late, "late");
  } else {
    check_end(scope, canceled, "stop");
  }
  check(count.runs == 1, "the callback runs once");
}

void timer_against_drop() {
  const manual_clock clock;
  std::optional<cancel_scope> scope(curfew::with_timeout(clock.root, 5s, "late"));
  std::optional<cancel_scope> child(curfew::with_cancel(*scope));
  parallel({[&] { clock.advance(5s); }, [&] { scope.reset(); }, [&] { child.reset(); }});
}

void timer_against_derive() {
  const manual_clock clock;
  std::optional<cancel_scope> scope;
  parallel({[&] { clock.advance(5s); }, [&] { scope = curfew::with_timeout(clock.root, 3s); }});
  check(scope->err() == late || scope->remaining() > 0s, "ended, if the deadline has passed");
  clock.advance(3s);
  check_end(*scope, late, "deadline exceeded");
}

void timer_against_cancel_of_parent() {
  const manual_clock clock;
  auto parent = curfew::with_cancel(clock.root);
  auto scope = curfew::with_timeout(parent, 5s, "late");
  auto child = curfew::with_cancel(scope);
  parallel({[&] { clock.advance(5s); }, [&] { parent.cancel("stop"); }});
  if (scope.err() == late) {
    check_end(child, late, "late");
  } else {
    check_end(child, canceled, "stop");
  }
  check_end(parent, canceled, "stop");
}

void derive_with_timer_against_cancel() {
  const manual_clock clock;
  auto parent = curfew::with_cancel(clock.root);
  parallel({[&] { parent.cancel("stop"); },
            [&] {
              const auto scope = curfew::with_timeout(parent, 5s, "late");
              std::ignore = scope.err();
            }});
  clock.advance(5s);  // no timer is left behind
}

void timer_whose_callback_destroys_the_scope() {
  const manual_clock clock;
  std::optional<cancel_scope> scope(curfew::with_timeout(clock.root, 5s));
  std::optional<context> copy(scope->ctx());
  std::optional<on_done<destroys_all>> callback;
  callback.emplace(*scope, destroys_all{&scope, &callback});
  parallel({[&] { clock.advance(5s); }, [&] { copy.reset(); }});
  check(!scope, "it ran");
}

void past_deadline_against_cancel() {
  const manual_clock clock;
  auto parent = curfew::with_cancel(clock.root);
  std::optional<cancel_scope> scope;
  parallel({[&] { parent.cancel("stop"); }, [&] { scope = curfew::with_timeout(parent, 0s, "late"); }});
  if (scope->err() == late) {
    check_end(*scope, late, "late");
  } else {
    check_end(*scope, canceled, "stop");
  }
}

// ---- merging ----

void merge_of_two_ends() {
  auto a = curfew::with_cancel(curfew::background());
  auto b = curfew::with_cancel(curfew::background());
  auto merged = curfew::merge(a, b);
  auto child = curfew::with_cancel(merged);
  counter count;
  const on_done callback(child, std::ref(count));
  parallel({[&] { a.cancel("a"); }, [&] { b.cancel("b"); }});
  const std::string why = merged.cause().message();
  check(why == "a" || why == "b", "one of the two");
  check_end(merged, canceled, why);
  check_end(child, canceled, why);
  check(count.runs == 1, "the callback runs once");
}

void merge_that_is_waited_for() {
  auto a = curfew::with_cancel(curfew::background());
  auto b = curfew::with_cancel(curfew::background());
  auto merged = curfew::merge(a, b);
  auto sibling = curfew::with_cancel(a);
  counter count;
  const on_done callback(merged, std::ref(count));
  parallel({[&] { a.cancel("a"); }, [&] { b.cancel("b"); }});
  const std::string why = merged.cause().message();
  check(why == "a" || why == "b", "one of the two");
  check(count.runs == 1, "the callback runs once");
  check_end(sibling, canceled, "a");
}

void merge_against_its_destruction() {
  auto a = curfew::with_cancel(curfew::background());
  auto b = curfew::with_cancel(curfew::background());
  std::optional<cancel_scope> merged(curfew::merge(a, b));
  parallel({[&] { a.cancel("a"); }, [&] { b.cancel("b"); }, [&] { merged.reset(); }});
}

void merge_against_drop_of_all() {
  std::optional<cancel_scope> a(curfew::with_cancel(curfew::background()));
  std::optional<cancel_scope> b(curfew::with_cancel(curfew::background()));
  std::optional<cancel_scope> merged(curfew::merge(*a, *b));
  const context kept = *merged;
  parallel({[&] { a.reset(); },
            [&] {
              b->cancel("b");
              b.reset();
            },
            [&] { merged.reset(); }});
  check(kept.err() == canceled, "the err");
  const std::string why = kept.cause().message();
  check(why == "b" || why == "canceled", "one of the causes");
}

void merge_while_one_ends() {
  auto a = curfew::with_cancel(curfew::background());
  auto b = curfew::with_cancel(curfew::background());
  std::optional<cancel_scope> merged;
  parallel({[&] { b.cancel("b"); }, [&] { merged = curfew::merge(a, b); }});
  check_end(*merged, canceled, "b");
  check(!a.err(), "the other one lives");
}

void merge_while_the_first_ends() {
  auto a = curfew::with_cancel(curfew::background());
  auto b = curfew::with_cancel(curfew::background());
  const std::size_t before = curfew::model::blocks_alive();
  std::optional<cancel_scope> merged;
  parallel({[&] { a.cancel(); }, [&] { merged = curfew::merge(a, b); }});
  check_end(*merged, canceled, "canceled");
  merged.reset();
  check(curfew::model::blocks_alive() == before, "nothing stays below the one that lives");
}

void merge_of_one_twice() {
  auto a = curfew::with_cancel(curfew::background());
  std::optional<cancel_scope> merged(curfew::merge(a, a));
  parallel({[&] { a.cancel("a"); }, [&] { merged->cancel("own"); }});
  const std::string why = merged->cause().message();
  check(why == "a" || why == "own", "one of the causes");
}

void merge_of_a_merge() {
  auto a = curfew::with_cancel(curfew::background());
  auto b = curfew::with_cancel(curfew::background());
  auto c = curfew::with_cancel(curfew::background());
  std::optional<cancel_scope> inner(curfew::merge(a, b));
  std::optional<cancel_scope> outer(curfew::merge(c, *inner));
  counter count;
  const on_done callback(*outer, std::ref(count));
  parallel({[&] { b.cancel("b"); },
            [&] {
              c.cancel("c");
              inner.reset();
            }});
  const std::string why = outer->cause().message();
  check(why == "b" || why == "c", "one of the causes");
  check(count.runs == 1, "the callback runs once");
}

void merge_within_one_family() {
  auto parent = curfew::with_cancel(curfew::background());
  auto child = curfew::with_cancel(parent);
  std::optional<cancel_scope> merged(curfew::merge(child, parent));
  const context kept = *merged;
  parallel({[&] { parent.cancel("parent"); }, [&] { child.cancel("child"); }, [&] { merged.reset(); }});
  check(kept.err() == canceled, "the err");
}

void merge_with_a_timer() {
  const manual_clock clock;
  auto a = curfew::with_timeout(clock.root, 5s, "late");
  auto b = curfew::with_cancel(clock.root);
  auto merged = curfew::merge(b, a);
  parallel({[&] { clock.advance(5s); }, [&] { b.cancel("b"); }});
  if (merged.err() == late) {
    check_end(merged, late, "late");
  } else {
    check_end(merged, canceled, "b");
  }
}

// ---- handles and waiting ----

void canceler_against_destruction() {
  std::optional<cancel_scope> scope(curfew::with_cancel(curfew::background()));
  const context kept = *scope;
  std::optional<curfew::canceler> handle(scope->canceler());
  parallel({[&] {
              handle->cancel("remote");
              handle.reset();
            },
            [&] { scope.reset(); }});
  const std::string why = kept.cause().message();
  check(why == "remote" || why == "canceled", "one of the causes");
  check_end(kept, canceled, why);
}

void canceler_of_a_child_against_parent() {
  auto parent = curfew::with_cancel(curfew::background());
  std::optional<cancel_scope> scope(curfew::with_cancel(parent));
  curfew::canceler handle = scope->canceler();
  parallel({[&] { parent.cancel("parent"); }, [&] { handle.cancel("remote"); }, [&] { scope.reset(); }});
}

void canceler_made_against_cancel() {
  auto scope = curfew::with_cancel(curfew::background());
  parallel({[&] { scope.cancel("own"); },
            [&] {
              const curfew::canceler handle = scope.canceler();
              handle.cancel("remote");
            }});
  check(scope.err() == canceled, "the err");
}

void wait_against_cancel() {
  auto scope = curfew::with_cancel(curfew::background());
  parallel({[&] { check(scope.done().wait() == canceled, "what wait returns"); }, [&] { scope.cancel(); }});
}

void descriptor_against_cancel() {
  auto scope = curfew::with_cancel(curfew::background());
  pollfd waiting{.fd = -1, .events = POLLIN, .revents = 0};
  parallel({[&] { scope.cancel(); }, [&] { waiting.fd = scope.done().fd(); }});
  check(poll(&waiting, 1, 0) == 1, "the descriptor is readable");
}

void observer_sees_each_once() {
  struct counting final : curfew::observer {
    curfew::model::atomic<int> made{0};
    curfew::model::atomic<int> made_ended{0};
    curfew::model::atomic<int> over{0};
    curfew::model::atomic<int> gone{0};

    void derived(const context& which) noexcept override {
      made.fetch_add(1);
      if (which.err()) made_ended.fetch_add(1);
    }
    void ended(const context& which) noexcept override {
      check(which.err() == canceled, "its err is set");
      over.fetch_add(1);
    }
    void destroyed(const void* /*id*/) noexcept override { gone.fetch_add(1); }
  };
  counting seen;
  {
    const curfew::observation watch(seen);
    auto parent = curfew::with_cancel(curfew::background());
    parallel(
        {[&] { parent.cancel(); }, [&] { [[maybe_unused]] const auto child = curfew::with_cancel(parent); }});
  }
  check(seen.made.load() == 2 && seen.gone.load() == 2, "two came and went");
  check(seen.over.load() <= 2 && seen.over.load() + seen.made_ended.load() >= 2,
        "and it was told of their end");
}

// A touch that was in time is followed by the whole timeout.
void touch_against_the_timer() {
  const manual_clock clock;
  auto idle = curfew::with_idle_timeout(clock.root, 10s);
  clock.advance(9s);
  bool in_time = false;
  parallel({[&] { in_time = idle.touch(); }, [&] { clock.advance(1s); }});
  check(!idle.err() == in_time, "it lives if it was touched in time");
  clock.advance(8s);
  check(!idle.err() == in_time, "and it lives on");
  clock.advance(2s);
  check(idle.err() == late, "until it has been idle");
}

void two_touches_against_the_timer() {
  const manual_clock clock;
  auto idle = curfew::with_idle_timeout(clock.root, 10s);
  clock.advance(9s);
  bool first = false;
  bool second = false;
  parallel({[&] { first = idle.touch(); }, [&] { clock.advance(1s); }, [&] { second = idle.touch(); }});
  check(!idle.err() == (first || second), "it lives if either was in time");
}

void touch_against_drop_and_timer() {
  const manual_clock clock;
  std::optional<cancel_scope> parent(curfew::with_cancel(clock.root));
  std::optional<curfew::idle_scope> idle(curfew::with_idle_timeout(*parent, 10s));
  clock.advance(9s);
  idle->touch();
  parallel({[&] { clock.advance(1s); }, [&] { parent.reset(); }, [&] { idle.reset(); }});
}

// An observer is gone after its observation, whatever other threads do.
void observation_that_ends_against_derive() {
  struct mortal final : curfew::observer {
    plain<bool> alive = true;

    void derived(const context& /*made*/) noexcept override { check(alive, "the observer lives"); }
    void destroyed(const void* /*id*/) noexcept override { check(alive, "the observer lives"); }
  };
  mortal seen;
  std::optional<curfew::observation> watch(std::in_place, seen);
  parallel({[&] {
              watch.reset();
              seen.alive = false;
            },
            [&] { const auto scope = curfew::with_cancel(curfew::background()); }});
}

void two_observations() {
  struct counting final : curfew::observer {
    curfew::model::atomic<int> made{0};

    void derived(const context& /*made*/) noexcept override { made.fetch_add(1); }
  };
  counting first;
  counting second;
  const auto watch = [](counting& seen) {
    const curfew::observation each(seen);
    const auto scope = curfew::with_cancel(curfew::background());
  };
  parallel({[&] { watch(first); }, [&] { watch(second); }});
  check(first.made.load() >= 1 && second.made.load() >= 1, "each sees what its own thread derives");
}

void timed_wait_against_both_ends() {
  const manual_clock clock;
  auto scope = curfew::with_cancel(clock.root);
  parallel({[&] { std::ignore = scope.done().wait_until(curfew::clock::time_point(5s)); },
            [&] { clock.advance(5s); }, [&] { scope.cancel(); }});
  check(scope.err() == canceled, "the err");
}

void stop_token_against_cancel() {
  auto scope = curfew::with_cancel(curfew::background());
  std::stop_token token;
  parallel({[&] { scope.cancel(); }, [&] { token = scope.stop_token(); }});
  check(token.stop_requested(), "the token is stopped");
}

#define CASE(name, preemptions, stale_reads) {#name, name, preemptions, stale_reads}
constexpr curfew::model::model_case cases[] = {
    CASE(cancel_against_derive, 4, 1),
    CASE(cancel_against_derive_and_drop, 3, 1),
    CASE(cancel_against_drop, 2, 1),
    CASE(drop_of_parent_against_drop_of_child, 4, 1),
    CASE(drop_of_parent_against_drop_of_canceled_child, 3, 1),
    CASE(copy_that_outlives_its_scope, 3, 1),
    CASE(copies_dropped_against_their_scope, 2, 1),
    CASE(drop_of_parent_against_drops_below_a_value, 2, 1),
    CASE(cancel_against_derive_from_spread, 3, 1),
    CASE(derive_from_spread_after_the_end_is_seen, 3, 1),
    CASE(derives_from_spread_against_drop_of_parent, 2, 1),
    CASE(drop_of_spread_parent_against_drops, 2, 1),
    CASE(drop_of_spread_parent_without_children, 3, 1),
    CASE(copy_that_outlives_its_scope_below_spread, 3, 1),
    CASE(spread_against_derive_and_drop, 2, 1),
    CASE(spread_against_cancel, 2, 1),
    CASE(two_spreads, 2, 1),
    CASE(deadline_of_spread_against_derive, 3, 1),
    CASE(merge_of_spread, 2, 1),
    CASE(two_cancels, 3, 1),
    CASE(cancel_of_parent_against_cancel_of_child, 3, 1),
    CASE(cause_outlives_its_scope, 3, 1),
    CASE(cancel_against_deregistration, 4, 1),
    CASE(cancel_against_registration, 3, 1),
    CASE(registration_that_stays, 4, 1),
    CASE(deregistration_from_inside, 3, 1),
    CASE(cancel_against_stop_of_after_func, 4, 1),
    CASE(cancel_against_dropped_handle_of_after_func, 3, 1),
    CASE(callbacks_down_a_chain, 3, 1),
    CASE(chain_cut_in_the_middle, 3, 1),
    CASE(two_deregistrations_against_cancel, 2, 1),
    CASE(last_release_against_callback, 3, 1),
    CASE(drops_of_values, 3, 1),
    CASE(callback_that_destroys_the_scope, 3, 1),
    CASE(callback_that_destroys_the_scope_of_a_canceler, 2, 1),
    CASE(two_copies_of_a_cause, 3, 1),
    CASE(timer_against_cancel, 3, 1),
    CASE(timer_against_drop, 2, 1),
    CASE(timer_against_derive, 4, 1),
    CASE(timer_against_cancel_of_parent, 3, 1),
    CASE(derive_with_timer_against_cancel, 3, 1),
    CASE(timer_whose_callback_destroys_the_scope, 3, 1),
    CASE(past_deadline_against_cancel, 3, 1),
    CASE(merge_of_two_ends, 3, 1),
    CASE(merge_that_is_waited_for, 3, 1),
    CASE(merge_against_its_destruction, 2, 1),
    CASE(merge_against_drop_of_all, 2, 1),
    CASE(merge_while_one_ends, 3, 1),
    CASE(merge_while_the_first_ends, 3, 1),
    CASE(merge_of_one_twice, 3, 1),
    CASE(merge_of_a_merge, 2, 1),
    CASE(merge_within_one_family, 2, 1),
    CASE(merge_with_a_timer, 3, 1),
    CASE(canceler_against_destruction, 4, 1),
    CASE(canceler_of_a_child_against_parent, 2, 1),
    CASE(canceler_made_against_cancel, 4, 1),
    CASE(wait_against_cancel, 4, 1),
    CASE(timed_wait_against_both_ends, 1, 1),
    CASE(stop_token_against_cancel, 4, 1),
    CASE(descriptor_against_cancel, 4, 1),
    CASE(touch_against_the_timer, 3, 1),
    CASE(two_touches_against_the_timer, 2, 1),
    CASE(touch_against_drop_and_timer, 2, 1),
    CASE(observer_sees_each_once, 2, 1),
    CASE(observation_that_ends_against_derive, 3, 1),
    CASE(two_observations, 2, 1),
};
#undef CASE

/// What the library makes once for the process.
void make_singletons() {
  const manual_clock clock;
  auto scope = curfew::with_timeout(clock.root, 0s);
  std::ignore = scope.cause();
  auto other = curfew::with_cancel(curfew::background());
  other.cancel();
  std::ignore = other.cause();
  curfew::observer nothing;
  const curfew::observation first(nothing);
  const curfew::observation second(nothing);
}

}  // namespace

int main(int argc, char** argv) {
  make_singletons();
  return curfew::model::run_cases("curfew_model_tree", argc, argv, cases);
}
