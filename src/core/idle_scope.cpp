#include <curfew/core/idle_scope.hpp>

#include <algorithm>
#include <memory>
#include <utility>

#include "core/children.hpp"
#include "core/timer_wheel.hpp"
#include "core/tree.hpp"

// The time of the last touch is an atomic of the node. A touch moves it on; the timer that fires closes it, by a
// compare-and-exchange with the time that it looked at. So of a touch and an end that meet, one comes first: the
// touch finds the time closed and says so, or the timer finds a new time and is armed again.

namespace curfew {

namespace detail {

bool idle_node::touch() noexcept {
  const nanoseconds now = clock_of(this).now();
  nanoseconds seen = touched.load(std::memory_order_relaxed);
  do {
    if (seen < 0) return false;
    if (seen >= now) break;  // by another thread
  } while (!touched.compare_exchange_weak(seen, now, std::memory_order_relaxed));
  return code_of(this) == live;
}

nanoseconds idle_node::due() const noexcept {
  const nanoseconds seen = touched.load(std::memory_order_relaxed);
  return saturated_sum(seen < 0 ? ~seen : seen, timeout);
}

bool idle_node::rearm() noexcept {
  nanoseconds seen = touched.load(std::memory_order_relaxed);
  do {
    if (const nanoseconds next = saturated_sum(seen, timeout); next > clock_of(this).now()) {
      deadline = next;
      if (next != no_deadline) shard->source->arm(this);
      return true;
    }
  } while (!touched.compare_exchange_weak(seen, ~seen, std::memory_order_relaxed));
  return false;
}

namespace {

cancel_scope derive_idle(const context& parent, nanoseconds timeout, curfew::cause why,
                         std::source_location where) {
  node* up = tree::of(parent);
  ender_node* above = ender_of(up);
  clock_source& clock = clock_of(above);
  clock.prepare();
  const rough_duration asked = rough(timeout, false);
  if (!why) why = curfew::cause("idle for " + as_text(asked));
  const nanoseconds now = clock.now();
  const nanoseconds due = saturated_sum(now, timeout);
  auto* n = new idle_node(up, above->time, {&clock.shard(), due}, now, timeout, where, asked);
  n->why = tree::take(why);
  n->state.store(state_bits::owns_why, std::memory_order_relaxed);  // no other thread has it yet
  attach(n, above);
  cancel_scope scope = scope_access::adopt(n);
  observe_derived(scope);
  if (timeout <= 0) {
    drop(n, end(n, deadline_exceeded, nullptr));
  } else if (due != no_deadline) {
    clock.arm(n);
  }
  return scope;
}

/// Null: what the scope had was moved away, or another scope was moved into it.
idle_node* idle_of(const cancel_scope& scope) noexcept {
  node* n = tree::of(scope.ctx());
  return n->kind == node_kind::idle ? static_cast<idle_node*>(n) : nullptr;
}

}  // namespace

}  // namespace detail

bool idle_scope::touch() noexcept {
  detail::idle_node* n = detail::idle_of(*this);
  return n != nullptr && n->touch();
}

std::optional<clock::time_point> idle_scope::deadline() const noexcept {
  const detail::idle_node* n = detail::idle_of(*this);
  if (n == nullptr) return ctx().deadline();
  const detail::nanoseconds fixed = n->time->deadline;
  const detail::nanoseconds at = std::min(n->due(), fixed);
  if (at == detail::no_deadline) return std::nullopt;
  return detail::as_time_point(at);
}

std::optional<clock::duration> idle_scope::remaining() const noexcept {
  const auto at = deadline();
  if (!at) return std::nullopt;
  const auto from = ctx().now();
  return *at > from ? *at - from : clock::duration::zero();
}

idle_scope with_idle_timeout(const context& parent, clock::duration timeout, cause why,
                             std::source_location where) {
  return idle_scope(
      detail::derive_idle(parent, std::chrono::nanoseconds(timeout).count(), std::move(why), where));
}

}  // namespace curfew
