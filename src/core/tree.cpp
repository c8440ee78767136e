#include "core/tree.hpp"

#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/errc.hpp>
#include <new>
#include <utility>

#include "core/byte_lock.hpp"

namespace curfew::detail {

constinit end_code_table end_codes;

namespace {

/// Ends `n` as a part of the end of a node at or above which `why` is kept alive. With n->lock held.
/// \return a cause that `n` owned and no longer needs.
[[nodiscard]] const cause_record* mark(ender_node* n, std::uint8_t code, const cause_record* why,
                                       bool own) noexcept {
  const cause_record* old = n->owns_why ? n->why : nullptr;
  n->why = why;
  n->owns_why = own;
  n->ended.store(code, std::memory_order_release);  // pairs: context::err
  return old;
}

/// Puts `n`, which nobody else knows yet, under `above`, or ends it as `above` has ended.
void attach(ender_node* n, ender_node* above) noexcept {
  if (!above->can_end()) return;
  const cause_record* unused = nullptr;
  {
    const byte_lock guard(above->lock);
    if (const std::uint8_t code = above->ended.load(std::memory_order_relaxed); code != live) {
      unused = mark(n, code, above->why, false);
    } else {
      n->refs.store(2, std::memory_order_relaxed);  // the list's
      if (ender_node* first = above->children; first == nullptr) {
        above->children = n->next = n->prev = n;
      } else {
        n->next = first;
        n->prev = std::exchange(first->prev, n);
        n->prev->next = n;
      }
    }
  }
  release(unused);
}

/// Takes `n`, which has ended, out of the list above it.
/// \return whether it was there; the list's reference is the caller's then.
bool detach(ender_node* n) noexcept {
  auto* above = static_cast<ender_node*>(n->parent->ender);
  if (!above->can_end()) return false;
  const byte_lock guard(above->lock);
  if (above->ended.load(std::memory_order_relaxed) != live) return false;  // invariant 3
  if (n->next == n) {
    above->children = nullptr;
  } else {
    if (above->children == n) above->children = n->next;
    n->next->prev = n->prev;
    n->prev->next = n->next;
  }
  return true;
}

bool disarm(ender_node* n) noexcept {
  return n->kind == node_kind::deadline && n->root->clock->disarm(static_cast<deadline_node*>(n));
}

/// A list linked by `next`, to which the one who ends a tree adds what it took.
class node_list {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

  ender_node* pop() noexcept {
    ender_node* n = std::exchange(first_, first_->next);
    if (first_ == nullptr) last_ = nullptr;
    return n;
  }

  void push_back(ender_node* n) noexcept {
    n->next = nullptr;
    (last_ ? last_->next : first_) = n;
    last_ = n;
  }

  /// Adds the members of a circular list, which may be null, in front.
  void prepend(ender_node* circle) noexcept {
    if (circle == nullptr) return;
    ender_node* end = circle->prev;
    end->next = first_;
    if (first_ == nullptr) last_ = end;
    first_ = circle;
  }

 private:
  ender_node* first_ = nullptr;
  ender_node* last_ = nullptr;
};

/// Runs the callbacks of `n`, which has ended, and everything else that waits for its end.
void tell(ender_node* n) noexcept {
  callback_list::run_all(n);
  std::stop_source stop(std::nostopstate);
  canceler_hub* hub = nullptr;
  {
    const byte_lock guard(n->lock);
    if (n->extras == nullptr) return;
    stop = n->extras->stop;
    hub = n->extras->hub;
  }
  if (hub != nullptr) {
    const byte_lock guard(hub->lock);
    hub->target = nullptr;
  }
  stop.request_stop();
}

}  // namespace

std::uint32_t end(ender_node* n, end_code code, const cause_record* why) noexcept {
  const cause_record* unused = why;
  ender_node* children = nullptr;
  bool watched = false;
  {
    const byte_lock guard(n->lock);
    if (n->ended.load(std::memory_order_relaxed) == live) {
      if (code == deadline_exceeded) {
        n->ended.store(code, std::memory_order_release);  // with its own cause; pairs: context::err
      } else {
        unused = mark(n, code, why, why != nullptr);
      }
      children = std::exchange(n->children, nullptr);
      watched = n->callbacks != nullptr || n->extras != nullptr;
      why = n->why;
    } else {
      n = nullptr;
    }
  }
  release(unused);
  if (n == nullptr) return 0;

  std::uint32_t owed = static_cast<std::uint32_t>(detach(n)) + static_cast<std::uint32_t>(disarm(n));
  if (watched) {
    retain(n);  // a callback may destroy the scope whose reference the caller relies on
    ++owed;
  }

  // First everything below ends, then those who wait are told (invariant 6). Each node in `open` and in
  // `told` is there with the reference of the list it was taken from.
  node_list open;
  node_list told;
  open.prepend(children);
  while (!open.empty()) {
    ender_node* c = open.pop();
    bool keep = false;
    unused = nullptr;
    children = nullptr;
    bool by_us = false;
    {
      const byte_lock guard(c->lock);
      if (c->ended.load(std::memory_order_relaxed) == live) {
        by_us = true;
        unused = mark(c, code, why, false);
        children = std::exchange(c->children, nullptr);
        keep = c->callbacks != nullptr || c->extras != nullptr;
      }
    }
    release(unused);
    open.prepend(children);
    if (by_us && disarm(c)) release(c);
    if (keep) {
      told.push_back(c);
    } else {
      release(c);
    }
  }

  if (watched) tell(n);
  while (!told.empty()) {
    ender_node* c = told.pop();
    tell(c);
    release(c);
  }
  return owed;
}

ender_node::~ender_node() {
  if (owns_why) release(why);
  if (extras != nullptr) {
    release(extras->hub);
    delete extras;
  }
}

void release(canceler_hub* hub) noexcept {
  if (hub != nullptr && hub->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) delete hub;
}

void destroy(node* n) noexcept {
  for (;;) {
    node* up = n->parent;
    switch (n->kind) {
      case node_kind::immortal_root:
        return;
      case node_kind::root:
        delete static_cast<root_node*>(n);
        return;
      case node_kind::cancel:
        delete static_cast<ender_node*>(n);
        break;
      case node_kind::deadline:
        delete static_cast<deadline_node*>(n);
        break;
      case node_kind::value: {
        auto* v = static_cast<value_node*>(n);
        v->destroy(v);
        break;
      }
      case node_kind::detached:
        delete n;
        break;
    }
    if (up->kind == node_kind::immortal_root || up->refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    n = up;
  }
}

value_node::value_node(node* up, const void* k, void (*d)(value_node*) noexcept) noexcept
    : node(node_kind::value, 1, up, up->ender, this),
      key(k),
      destroy(d),
      outer{} {
  if (up->values == nullptr) return;
  outer = up->values->outer;
  outer[key_class(up->values->key)] = up->values;
}

struct scope_access {
  static cancel_scope adopt(node* n) noexcept { return cancel_scope(tree::adopt(n)); }
};

namespace {

nanoseconds in_nanoseconds(clock::time_point t) noexcept {
  return std::chrono::nanoseconds(t.time_since_epoch()).count();
}

clock::time_point as_time_point(nanoseconds t) noexcept {
  return clock::time_point(std::chrono::duration_cast<clock::duration>(std::chrono::nanoseconds(t)));
}

nanoseconds saturated_sum(nanoseconds now, nanoseconds step) noexcept {
  nanoseconds sum = 0;
  if (!__builtin_add_overflow(now, step, &sum)) return sum;
  return step > 0 ? no_deadline : std::numeric_limits<nanoseconds>::min();
}

cancel_scope derive(const context& parent) {
  node* up = tree::of(parent);
  auto* above = static_cast<ender_node*>(up->ender);
  auto* n = new ender_node(node_kind::cancel, 1, up, above->root, above->deadline);
  retain(up);
  attach(n, above);
  return scope_access::adopt(n);
}

cancel_scope derive(const context& parent, nanoseconds deadline, nanoseconds now, curfew::cause why) {
  node* up = tree::of(parent);
  auto* above = static_cast<ender_node*>(up->ender);
  if (deadline >= above->deadline) return derive(parent);  // the parent's comes first
  clock_source& clock = *above->root->clock;
  clock.prepare();
  auto* n = new deadline_node(node_kind::deadline, 1, up, above->root, deadline);
  n->why = tree::take(why);
  n->owns_why = n->why != nullptr;
  retain(up);
  attach(n, above);
  cancel_scope scope = scope_access::adopt(n);
  if (deadline > now) {
    clock.arm(n);
  } else {
    drop(n, end(n, deadline_exceeded, nullptr));
  }
  return scope;
}

}  // namespace

}  // namespace curfew::detail

namespace curfew {

using detail::ender_node;
using detail::ender_of;

namespace {

/// Two places that never end; made at the first call of either, never destroyed.
struct immortal_roots {
  alignas(detail::root_node) std::byte storage[2][sizeof(detail::root_node)];
  context background;
  context todo;

  immortal_roots() noexcept
      : background(detail::tree::adopt(new(storage[0]) detail::root_node(detail::system_clock_source()))),
        todo(detail::tree::adopt(new(storage[1]) detail::root_node(detail::system_clock_source()))) {
    new (&detail::end_codes.code) std::array<std::error_code, 3>{
        std::error_code(), make_error_code(errc::canceled), make_error_code(errc::deadline_exceeded)};
  }

  static const immortal_roots& get() noexcept {
    alignas(immortal_roots) static std::byte place[sizeof(immortal_roots)];
    static const auto* made = new (place) immortal_roots();
    return *made;
  }
};

}  // namespace

const context& background() noexcept { return immortal_roots::get().background; }

const context& todo() noexcept { return immortal_roots::get().todo; }

cause context::cause() const noexcept {
  const ender_node* n = ender_of(*this);
  const std::uint8_t code = n->ended.load(std::memory_order_acquire);  // pairs: mark
  if (code == detail::live) return {};
  const detail::cause_record* why = n->why ? n->why : detail::cause_of_end(code);
  detail::retain(why);
  return detail::tree::adopt(why);
}

std::optional<clock::time_point> context::deadline() const noexcept {
  const ender_node* n = ender_of(*this);
  if (n->deadline == detail::no_deadline) return std::nullopt;
  return detail::as_time_point(n->deadline);
}

std::optional<clock::duration> context::remaining() const noexcept {
  const auto at = deadline();
  if (!at) return std::nullopt;
  const auto from = now();
  return *at > from ? *at - from : clock::duration::zero();  // compared first: the difference may not fit
}

clock::time_point context::now() const noexcept {
  return detail::as_time_point(ender_of(*this)->root->clock->now());
}

std::stop_token context::stop_token() const {
  ender_node* n = ender_of(*this);
  if (!n->can_end()) return {};
  std::stop_source source;
  auto spare = std::make_unique<detail::node_extras>();
  {
    const detail::byte_lock guard(n->lock);
    if (n->extras == nullptr) n->extras = spare.release();
    if (n->extras->stop.stop_possible()) {
      source = n->extras->stop;
    } else {
      n->extras->stop = source;
    }
    if (n->ended.load(std::memory_order_relaxed) == detail::live) return source.get_token();
  }
  source.request_stop();  // whoever ended it may not have come to that yet, or not have seen the source
  return source.get_token();
}

context without_cancel(const context& ctx) {
  detail::node* up = detail::tree::of(ctx);
  auto* n = new detail::node(detail::node_kind::detached, 1, up, ender_of(ctx)->root, up->values);
  detail::retain(up);
  return detail::tree::adopt(n);
}

cancel_scope with_cancel(const context& parent) { return detail::derive(parent); }

cancel_scope with_timeout(const context& parent, clock::duration timeout, cause why) {
  const detail::nanoseconds now = ender_of(parent)->root->clock->now();
  const detail::nanoseconds step = std::chrono::nanoseconds(timeout).count();
  return detail::derive(parent, detail::saturated_sum(now, step), now, std::move(why));
}

cancel_scope with_deadline(const context& parent, clock::time_point deadline, cause why) {
  const detail::nanoseconds now = ender_of(parent)->root->clock->now();
  return detail::derive(parent, detail::in_nanoseconds(deadline), now, std::move(why));
}

cancel_scope::~cancel_scope() {
  auto* n = static_cast<ender_node*>(detail::tree::of(node_));
  if (n->can_end()) detail::drop(n, detail::end(n, detail::canceled, nullptr));
}

void cancel_scope::cancel() noexcept { cancel(curfew::cause()); }

void cancel_scope::cancel(curfew::cause why) noexcept {
  auto* n = static_cast<ender_node*>(detail::tree::of(node_));
  if (!n->can_end()) return;  // a moved-from scope
  detail::drop(n, detail::end(n, detail::canceled, detail::tree::take(why)));
}

}  // namespace curfew
