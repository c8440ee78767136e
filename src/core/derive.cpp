#include <curfew/core/cancel_scope.hpp>
#include <limits>
#include <new>
#include <utility>

#include "core/byte_lock.hpp"
#include "core/children.hpp"
#include "core/timer_wheel.hpp"
#include "core/tree.hpp"

namespace curfew {

namespace detail {

namespace {

/// Chooses the list of `above` for `n`, which no other thread knows yet.
void choose_list(ender_node* n, const ender_node* above) noexcept {
  if (!is_spread(above->state.load(std::memory_order_relaxed))) return;  // the first
  const unsigned slot = threads::core() % child_lists::count << state_bits::slot_shift;
  n->state.store(static_cast<std::uint8_t>(n->state.load(std::memory_order_relaxed) | slot),
                 std::memory_order_relaxed);
}

}  // namespace

void attach(ender_node* n, ender_node* above) noexcept {
  if (!above->can_end() || n->parent != above) retain(n->parent);
  if (!above->can_end()) return;
  choose_list(n, above);
  const met found = in_list_above(n, above, [n](child_list& list) {
    n->refs.store(2, std::memory_order_relaxed);  // the scope's and the list's
    list.push_back(*n);
  });
  if (found == met::nothing) {
    if (n->parent == above) retain(above);
    std::uint8_t bits = n->state.load(std::memory_order_relaxed);
    const cause_record* unused = mark(bits, n, code_of(above), above->why, false);
    n->state.store(bits, std::memory_order_release);  // pairs: err() of the threads that get a copy
    release(unused);
  } else if (found == met::contended_list && threads::meets_too_often()) {
    spread(above);
  }
}

void spread(ender_node* n) noexcept {
  auto* lists = new (std::nothrow) child_lists;
  if (lists == nullptr) return;
  {
    byte_lock guard(n->state);
    if (code_in(guard.bits) == live && !is_spread(guard.bits)) {
      lists->slots.front().children.splice_back(n->children);
      n->children.push_back(*std::exchange(lists, nullptr));
      guard.bits |= state_bits::spread;
    }
  }
  delete lists;
}

value_node::value_node(node* up, const key_base* k, const void* o, void (*d)(value_node*) noexcept,
                       std::source_location made_at) noexcept
    : passive_node(node_kind::value, up, ender_at(up), this, made_at),
      key(k),
      object(o),
      destroy(d) {
  if (up->values == nullptr) return;
  outer = up->values->outer;
  outer[key_class(up->values->key)] = up->values;
}

namespace {

cancel_scope finish(node* n) noexcept {
  cancel_scope scope = scope_access::adopt(n);
  observe_derived(scope);
  return scope;
}

cancel_scope derive(const context& parent, std::source_location where, rough_duration asked = {}) {
  node* up = tree::of(parent);
  ender_node* above = ender_of(up);
  auto* n = new ender_node(node_kind::cancel, up, above->time, where, asked);
  attach(n, above);
  return finish(n);
}

cancel_scope derive(const context& parent, nanoseconds deadline, nanoseconds now, curfew::cause why,
                    std::source_location where, rough_duration asked) {
  node* up = tree::of(parent);
  ender_node* above = ender_of(up);
  if (deadline >= above->time->deadline) {  // the parent's comes first
    cancel_scope scope = derive(parent, where, asked);
    if (deadline <= now) {  // it has come, but has not ended the parent yet
      auto* n = static_cast<ender_node*>(tree::of(scope.ctx()));
      drop(n, end(n, deadline_exceeded, nullptr));
    }
    return scope;
  }
  clock_source& clock = clock_of(above);
  clock.prepare();
  auto* n = new deadline_node(up, {&clock.shard(), deadline}, where, asked);
  if (const cause_record* own = tree::take(why); own != nullptr) {
    n->why = own;
    n->state.store(state_bits::owns_why, std::memory_order_relaxed);  // no other thread has it yet
  }
  attach(n, above);
  cancel_scope scope = finish(n);
  if (deadline > now) {
    clock.arm(n);
  } else {
    drop(n, end(n, deadline_exceeded, nullptr));
  }
  return scope;
}

}  // namespace

bool can_end(const context& ctx) noexcept { return ender_of(ctx)->can_end(); }

}  // namespace detail

using detail::ender_of;

context without_cancel(const context& ctx, std::source_location where) {
  detail::node* up = detail::tree::of(ctx);
  // Its ender never ends: the root that its clock belongs to.
  auto* n = new detail::passive_node(detail::node_kind::detached, up, detail::clock_of(ender_of(up)).root,
                                     up->values, where);
  detail::retain(up);
  context made = detail::tree::adopt(n);
  detail::observe_derived(made);
  return made;
}

cancel_scope with_cancel(const context& parent, std::source_location where) {
  return detail::derive(parent, where);
}

cancel_scope with_timeout(const context& parent, clock::duration timeout, cause why,
                          std::source_location where) {
  const detail::nanoseconds now = detail::clock_of(ender_of(parent)).now();
  const detail::nanoseconds step = std::chrono::nanoseconds(timeout).count();
  return detail::derive(parent, detail::saturated_sum(now, step), now, std::move(why), where,
                        detail::rough(step, false));
}

cancel_scope with_deadline(const context& parent, clock::time_point deadline, cause why,
                           std::source_location where) {
  const detail::nanoseconds now = detail::clock_of(ender_of(parent)).now();
  const detail::nanoseconds at = detail::in_nanoseconds(deadline);
  detail::nanoseconds step = 0;
  if (__builtin_sub_overflow(at, now, &step)) step = detail::no_deadline;
  return detail::derive(parent, at, now, std::move(why), where, detail::rough(step, true));
}

}  // namespace curfew
