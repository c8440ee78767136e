#include "core/tree.hpp"

#include <array>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/errc.hpp>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "core/byte_lock.hpp"
#include "core/timer_wheel.hpp"

namespace curfew::detail {

constinit end_code_table end_codes;
constinit node* background_node = nullptr;

namespace {

/// Ends the node of this state, whose lock is held.
void mark(std::uint8_t& bits, end_code code, bool owns_why) noexcept {
  bits = static_cast<std::uint8_t>((bits & state_bits::slot) | (code << state_bits::code_shift) |
                                   (owns_why ? state_bits::owns_why : 0));
}

/// Ends `n` as a part of the end of a node at or above which `why` is kept alive. With its lock held.
/// \param bits  Its state, to be stored as the lock is given back.
/// \return a cause that `n` owned and no longer needs.
[[nodiscard]] const cause_record* mark(std::uint8_t& bits, ender_node* n, end_code code,
                                       const cause_record* why, bool own) noexcept {
  const cause_record* old = (bits & state_bits::owns_why) != 0 ? n->why : nullptr;
  n->why = why;
  mark(bits, code, own);
  return old;
}

ender_node* first_of(const child_list& list) noexcept {
  void* first = list;
  return static_cast<ender_node*>(first);
}

/// Adds `n` to a list whose lock is held; the list takes over a reference.
void append(child_list& list, ender_node* n) noexcept {
  ender_node* first = first_of(list);
  if (first == nullptr) {
    n->next = n;
    n->prev = n;
    list = n;
  } else {
    ender_node* last = first->prev;
    n->next = first;
    n->prev = last;
    first->prev = n;
    last->next = n;
  }
}

/// Takes `n` out of a list whose lock is held.
void remove(child_list& list, ender_node* n) noexcept {
  ender_node* next = n->next;
  ender_node* prev = n->prev;
  if (next == n) {
    list = nullptr;
  } else {
    if (list == n) list = next;
    next->prev = prev;
    prev->next = next;
  }
}

bool is_spread(std::uint8_t state) noexcept {
  return code_in(state) == live && (state & state_bits::spread) != 0;
}

child_lists& lists_of(ender_node* n) noexcept {  // which is, or was, spread
  return *static_cast<child_lists*>(static_cast<void*>(n->children));
}

child_lists::list& list_above(const ender_node* n, ender_node* above) noexcept {
  return lists_of(above).slots[n->state.load(std::memory_order_relaxed) >> state_bits::slot_shift];
}

/// What `in_list_above` found.
enum class met { nothing, list, contended_list };

/// Calls `f` with the list of `above` where `n` is or is to be, with its lock held, unless it has been taken.
template <class F>
met in_list_above(const ender_node* n, ender_node* above, F f) noexcept {
  // acquire: pairs with the unlock of who spread it
  std::uint8_t state = above->state.load(std::memory_order_acquire);
  while (code_in(state) == live) {
    if (is_spread(state)) {
      child_lists::list& list = list_above(n, above);
      const byte_lock guard(list.lock);
      if (list.taken) break;
      f(list.children);
      return met::list;
    }
    const byte_lock guard(above->state);
    state = guard.bits;
    if (code_in(state) == live && !is_spread(state)) {
      f(above->children);
      return guard.waited ? met::contended_list : met::list;
    }
  }
  return met::nothing;
}

/// Chooses the list of `above` where `n`, which nobody else knows yet, is to be.
void choose_list(ender_node* n, const ender_node* above) noexcept {
  if (!is_spread(above->state.load(std::memory_order_relaxed))) return;  // the first
  const unsigned slot = threads::core() % child_lists::count << state_bits::slot_shift;
  n->state.store(static_cast<std::uint8_t>(n->state.load(std::memory_order_relaxed) | slot),
                 std::memory_order_relaxed);
}

/// Puts `n`, which nobody else knows yet, under its parent, or ends it as the ender there has ended.
void attach(ender_node* n, ender_node* above) noexcept {
  if (!above->can_end() || n->parent != above) retain(n->parent);
  if (!above->can_end()) return;
  choose_list(n, above);
  const met found = in_list_above(n, above, [n](child_list& list) {
    n->refs.store(2, std::memory_order_relaxed);  // the scope's and the list's
    append(list, n);
  });
  if (found == met::nothing) {
    if (n->parent == above) retain(above);
    std::uint8_t bits = n->state.load(std::memory_order_relaxed);
    const cause_record* unused = mark(bits, n, code_of(above), above->why, false);
    n->state.store(bits, std::memory_order_release);  // pairs: context::err, of whom it is handed to
    release(unused);
  } else if (found == met::contended_list && threads::meets_too_often()) {
    spread(above);
  }
}

/// Puts the link `l` of a merged_node, which may be ending, under its parent, or ends the merged_node as the
/// parent has ended. Who ends the merged_node marks `l` before he looks for it in the list; so either we see
/// the mark here, or he finds `l`.
void attach(link_node* l) noexcept {
  ender_node* above = ender_of(l->parent);
  const met found = in_list_above(l, above, [l](child_list& list) {
    if (code_of(l) != live) return;
    l->refs.fetch_add(1, std::memory_order_relaxed);
    append(list, l);
  });
  if (found != met::nothing) return;
  const cause_record* why = above->why;
  retain(why);
  drop(l->target, end(l->target, code_of(above), why));
}

/// Takes `l`, which has ended, out of the list above it.
/// \return whether it was there; the list's reference is the caller's then.
bool detach(link_node* l) noexcept {
  bool was_there = false;
  in_list_above(l, ender_of(l->parent), [&](child_list& list) {
    was_there = l->next != nullptr;  // else it is not in the list yet
    if (was_there) remove(list, l);
  });
  return was_there;
}

void disarm(ender_node* n) noexcept {
  if (n->kind == node_kind::deadline) detail::disarm(static_cast<deadline_node*>(n));
}

/// A list linked by `next`, to which the one who ends a tree adds what it took.
class node_list {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

  ender_node* pop() noexcept {
    ender_node* n = first_;
    first_ = n->next;
    if (first_ == nullptr) last_ = nullptr;
    return n;
  }

  void push_back(ender_node* n) noexcept {
    n->next = nullptr;
    if (last_ != nullptr) {
      last_->next = n;
    } else {
      first_ = n;
    }
    last_ = n;
  }

  /// Adds the members of a circular list, which may be null.
  void append(ender_node* circle) noexcept {
    if (circle == nullptr) return;
    ender_node* end = circle->prev;
    end->next = nullptr;
    if (last_ != nullptr) {
      last_->next = circle;
    } else {
      first_ = circle;
    }
    last_ = end;
  }

 private:
  ender_node* first_ = nullptr;
  ender_node* last_ = nullptr;
};

/// More references than the children of one node can have.
constexpr std::uint32_t many = std::uint32_t{1} << 30;

/// The children of a node that ends: a list, or the node itself if they are spread.
struct taken_children {
  ender_node* list = nullptr;
  ender_node* spread = nullptr;
};

/// Takes the children of `n`, which ends, with its lock held, before it is marked. From now on they have
/// references of `n`, of which it gets too many until they are counted.
taken_children take_children(ender_node* n, std::uint8_t state) noexcept {
  if (n->children == nullptr) return {};
  n->refs.fetch_add(many, std::memory_order_relaxed);
  if (is_spread(state)) return {.spread = n};
  ender_node* list = first_of(n->children);
  n->children = nullptr;
  return {.list = list};
}

/// Adds what take_children has taken, without the lock.
void append(node_list& open, taken_children taken) noexcept {
  open.append(taken.list);
  if (taken.spread == nullptr) return;
  bool none = true;
  for (child_lists::list& each : lists_of(taken.spread).slots) {
    const byte_lock guard(each.lock);
    each.taken = true;
    ender_node* list = first_of(each.children);
    each.children = nullptr;
    none = none && list == nullptr;
    open.append(list);
  }
  if (none) release(taken.spread, many);  // there is nothing to count
}

/// Counts those children of one node that have a reference of it (invariant 3), as they come one after
/// another.
class child_counter {
 public:
  child_counter() = default;
  child_counter(const child_counter&) = delete;
  child_counter& operator=(const child_counter&) = delete;
  ~child_counter() { settle(); }

  void count(const ender_node* child) noexcept {
    ender_node* above = ender_of(child->parent);
    if (above != of_) {
      settle();
      of_ = above;
      counted_ = 0;
    }
    if (child->parent == above && child->kind != node_kind::link) ++counted_;
  }

  /// After the last.
  void settle() noexcept {
    if (of_ != nullptr) release(std::exchange(of_, nullptr), many - counted_);
  }

 private:
  ender_node* of_ = nullptr;
  std::uint32_t counted_ = 0;
};

/// Runs the callbacks of `n`, which has ended, and everything else that waits for its end.
void tell(ender_node* n) noexcept {
  if (is_observed()) [[unlikely]]
    tell_ended(n);
  callback_list::run_all(n);
  std::stop_source stop(std::nostopstate);
  canceler_hub* hub = nullptr;
  int fd = -1;
  {
    const byte_lock guard(n->state);
    node_extras* extras = n->extras;
    if (extras == nullptr) return;
    stop = extras->stop;
    hub = extras->hub;
    fd = extras->fd;
  }
  if (hub != nullptr) {
    const byte_lock guard(hub->lock);
    hub->target = nullptr;
  }
  if (fd != -1) make_readable(fd);
  stop.request_stop();
}

bool is_watched(ender_node* n) noexcept {  // with its lock held
  return n->callbacks != nullptr || n->extras != nullptr || is_observed();
}

/// Ends the links of `n`, which has ended: nothing above `n` points to it any more.
void cut_links(merged_node* n) noexcept {
  for (link_node* l : n->links) {
    bool by_us = false;
    {
      byte_lock guard(l->state);
      by_us = code_in(guard.bits) == live;
      if (by_us) std::ignore = mark(guard.bits, l, canceled, nullptr, false);
    }
    if (by_us && detach(l)) release(l);
  }
}

}  // namespace

std::uint32_t end(ender_node* n, end_code code, const cause_record* why) noexcept {
  const cause_record* unused = why;
  taken_children children;
  bool watched = false;
  {
    byte_lock guard(n->state);
    if (code_in(guard.bits) == live) {
      children = take_children(n, guard.bits);
      if (code == deadline_exceeded && why == nullptr) {  // with its own cause
        mark(guard.bits, code, (guard.bits & state_bits::owns_why) != 0);
      } else {
        unused = mark(guard.bits, n, code, why, why != nullptr);
      }
      watched = is_watched(n);
      why = n->why;
    } else {
      n = nullptr;
    }
  }
  release(unused);
  if (n == nullptr) return 0;

  std::uint32_t owed = 0;
  disarm(n);
  if (n->kind == node_kind::merged) cut_links(static_cast<merged_node*>(n));
  if (watched) {
    retain(n);  // a callback may destroy the scope whose reference the caller relies on
    ++owed;
  }

  // First everything below ends, then those who wait are told (invariant 6). Each node in `open` and in
  // `told` is there with a reference: that of the list it was taken from, or one that was made for it.
  node_list open;
  node_list told;
  child_counter counter;
  append(open, children);
  while (!open.empty()) {
    ender_node* c = open.pop();
    counter.count(c);
    enum { leave, give_back, cut, keep } then = give_back;
    merged_node* merged = nullptr;
    unused = nullptr;
    children = {};
    {
      byte_lock guard(c->state);
      if (code_in(guard.bits) == live) {
        children = take_children(c, guard.bits);
        unused = mark(guard.bits, c, code, why, false);
        if (c->kind == node_kind::link) {
          merged = static_cast<link_node*>(c)->target;
          retain(merged);  // invariant 8
        } else {
          if (is_watched(c)) {
            then = keep;
          } else if (c->kind == node_kind::cancel) {
            guard.bits |= state_bits::scope_has_two;  // invariant 7: c is no longer ours
            then = leave;
          } else {
            then = cut;
          }
        }
      }
    }
    release(unused);
    append(open, children);
    if (merged != nullptr) {
      bool by_us = false;
      unused = nullptr;
      {
        byte_lock guard(merged->state);
        by_us = code_in(guard.bits) == live;
        if (by_us) {
          children = take_children(merged, guard.bits);
          unused = mark(guard.bits, merged, code, why, false);
          if (is_watched(merged)) then = keep;
        }
      }
      release(unused);
      if (by_us) {
        append(open, children);
        cut_links(merged);
      }
      if (then == keep) {
        told.push_back(c);  // the link in its place: who ends its first parent may have merged->next in use
      } else {
        release(merged);
        release(c);
      }
      continue;
    }
    if (then == leave) continue;
    if (then == keep || then == cut) {
      disarm(c);
      if (c->kind == node_kind::merged) cut_links(static_cast<merged_node*>(c));
    }
    if (then == keep) {
      told.push_back(c);
    } else {
      release(c);
    }
  }

  counter.settle();

  if (watched) tell(n);
  while (!told.empty()) {
    ender_node* c = told.pop();
    if (c->kind == node_kind::link) {
      ender_node* merged = static_cast<link_node*>(c)->target;
      tell(merged);
      release(merged);
    } else {
      tell(c);
    }
    release(c);
  }
  return owed;
}

void spread(ender_node* n) noexcept {
  auto* lists = new (std::nothrow) child_lists;
  if (lists == nullptr) return;
  {
    byte_lock guard(n->state);
    if (code_in(guard.bits) == live && !is_spread(guard.bits)) {
      lists->slots.front().children = static_cast<void*>(n->children);
      n->children = std::exchange(lists, nullptr);
      guard.bits |= state_bits::spread;
    }
  }
  delete lists;
}

ender_node::~ender_node() {
  if (children != nullptr) delete &lists_of(this);  // an ended node has no others
  if ((state.load(std::memory_order_relaxed) & state_bits::owns_why) != 0) release(why);
  node_extras* own = extras;
  if (own != nullptr) {
    release(own->hub);
    delete own;
  }
}

link_node::link_node(const context& above, merged_node* t) noexcept
    : ender_node(node_kind::link, tree::of(above), ender_of(above)->time, {}),
      target(t) {}

void release(canceler_hub* hub) noexcept {
  if (hub != nullptr && hub->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) delete hub;
}

namespace {

/// Nodes whose last reference is gone, linked by what a dying node no longer needs.
class graveyard {
 public:
  void push(node* n) noexcept {
    if (n->kind >= node_kind::value) {
      static_cast<passive_node*>(n)->ender = first_;
    } else {
      static_cast<ender_node*>(n)->next = static_cast<ender_node*>(first_);
    }
    first_ = n;
  }

  node* pop() noexcept {
    node* n = first_;
    if (n == nullptr) return nullptr;
    if (n->kind >= node_kind::value) {
      first_ = static_cast<passive_node*>(n)->ender;
    } else {
      first_ = static_cast<ender_node*>(n)->next;
    }
    return n;
  }

  void drop(node* n) noexcept {
    if (drop_refs(n, 1)) push(n);
  }

 private:
  node* first_ = nullptr;
};

}  // namespace

void destroy(node* n, bool has_parent_ref) noexcept {
  graveyard dying;
  for (; n != nullptr; n = dying.pop()) {
    node* up = std::exchange(has_parent_ref, true) ? n->parent : nullptr;
    if (is_observed()) [[unlikely]]
      tell_destroyed(n);
    switch (n->kind) {
      case node_kind::immortal_root:
        break;
      case node_kind::root:
        delete static_cast<root_node*>(n);
        break;
      case node_kind::cancel:
        delete static_cast<ender_node*>(n);
        break;
      case node_kind::deadline:
        delete static_cast<deadline_node*>(n);
        break;
      case node_kind::merged: {
        auto* m = static_cast<merged_node*>(n);
        for (link_node* l : m->links) dying.drop(l);
        for (context& other : m->others) dying.drop(tree::give_up(other));
        delete m;
        break;
      }
      case node_kind::link:
        delete static_cast<link_node*>(n);
        break;
      case node_kind::value: {
        auto* v = static_cast<value_node*>(n);
        v->destroy(v);
        break;
      }
      case node_kind::detached:
        delete static_cast<passive_node*>(n);
        break;
    }
    if (up != nullptr) dying.drop(up);
  }
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
    if (deadline <= now) {  // it has come, but the parent has not been told yet
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
    n->state.store(state_bits::owns_why, std::memory_order_relaxed);  // nobody else has it yet
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

/// A value of another chain, as one of this one.
struct borrowed_value final : value_node {
  borrowed_value(node* up, const value_node* from)
      : value_node(
            up, from->key, from->object,
            [](value_node* n) noexcept { delete static_cast<borrowed_value*>(n); }, from->where) {}
};

const value_node* find_value(const node* n, const key_base* key) noexcept {
  const std::size_t which = key_class(key);
  const value_node* v = n->values;
  while (v != nullptr && v->key != key) v = v->outer[which];
  return v;
}

/// \return a context below `first` that has the values of `other` too, as far as `first` has none for the
///         key.
context with_values_of(context first, const context& other) {
  const value_node* v = tree::of(other)->values;
  if (v == nullptr || v == tree::of(first)->values) return first;
  std::array<const value_node*, key_classes> chains = v->outer;
  chains[key_class(v->key)] = v;
  for (std::size_t which = 0; which != key_classes; ++which) {
    for (v = chains[which]; v != nullptr; v = v->outer[which]) {
      if (find_value(tree::of(first), v->key) != nullptr) continue;
      node* up = tree::of(first);
      auto* made = new borrowed_value(up, v);
      retain(up);
      first = tree::adopt(made);
    }
  }
  return first;
}

/// Ends `n`, which is of a scope that goes; takes it out of the tree, and gives back the references that
/// stood for both.
void leave(ender_node* n) noexcept {
  std::uint32_t count = 1;
  // acquire: who ended it is done with it, if it left its reference to the scope (invariant 7)
  if (code_of(n) == live) count += end(n, canceled, nullptr);
  if ((n->state.load(std::memory_order_acquire) & state_bits::scope_has_two) != 0) {
    release(n, count + 1);
    return;
  }
  ender_node* above = ender_of(n->parent);
  if (above->can_end()) {
    in_list_above(n, above, [&](child_list& list) {
      remove(list, n);
      ++count;
      if (n->parent != above) return;
      // acquire: pairs with the fetch_sub of those who were there before
      if (n->refs.load(std::memory_order_acquire) == count) {
        count = 0;
      } else {
        retain(above);
      }
    });
  }
  if (count == 0) {
    destroy(n, false);
  } else {
    release(n, count);
  }
}

}  // namespace

bool can_end(const context& ctx) noexcept { return ender_of(ctx)->can_end(); }

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
    detail::background_node = detail::tree::of(background);
  }

  static const immortal_roots& get() noexcept {
    alignas(immortal_roots) static std::byte place[sizeof(immortal_roots)];
    static const auto* made = new (place) immortal_roots();
    return *made;
  }
};

}  // namespace

const context& background() noexcept { return immortal_roots::get().background; }

const context& todo(std::source_location where) noexcept {
  detail::remember_todo(where);
  return immortal_roots::get().todo;
}

cause context::cause() const noexcept {
  const ender_node* n = ender_of(*this);
  const detail::end_code code = detail::code_of(n);
  if (code == detail::live) return {};
  const detail::cause_record* why = n->why;
  if (why == nullptr) why = detail::cause_of_end(code);
  detail::retain(why);
  return detail::tree::adopt(why);
}

std::optional<clock::time_point> context::deadline() const noexcept {
  const detail::nanoseconds at = ender_of(*this)->time->deadline;
  if (at == detail::no_deadline) return std::nullopt;
  return detail::as_time_point(at);
}

std::optional<clock::duration> context::remaining() const noexcept {
  const auto at = deadline();
  if (!at) return std::nullopt;
  const auto from = now();
  return *at > from ? *at - from : clock::duration::zero();  // compared first: the difference may not fit
}

clock::time_point context::now() const noexcept {
  return detail::as_time_point(detail::clock_of(ender_of(*this)).now());
}

std::stop_token context::stop_token() const {
  ender_node* n = ender_of(*this);
  if (!n->can_end()) return {};
  std::stop_source source;
  auto spare = std::make_unique<detail::node_extras>();
  {
    const detail::byte_lock guard(n->state);
    if (n->extras == nullptr) n->extras = spare.release();
    detail::node_extras* extras = n->extras;
    if (extras->stop.stop_possible()) {
      source = extras->stop;
    } else {
      extras->stop = source;
    }
    if (detail::code_in(guard.bits) == detail::live) return source.get_token();
  }
  source.request_stop();  // whoever ended it may not have come to that yet, or not have seen the source
  return source.get_token();
}

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

cancel_scope merge(std::span<const context> all, std::source_location where) {
  if (all.empty())
    throw std::invalid_argument("curfew::merge: nothing to merge; give it at least one context");
  context above = all.front();
  const detail::timeline* time = ender_of(above)->time;
  for (const context& other : all.subspan(1)) {
    above = detail::with_values_of(std::move(above), other);
    const detail::timeline* its = ender_of(other)->time;
    if (its->deadline < time->deadline &&
        &detail::clock_of(ender_of(other)) == &detail::clock_of(ender_of(above)))
      time = its;
  }
  detail::node* up = detail::tree::of(above);
  auto n = std::make_unique<detail::merged_node>(up, time, where);
  n->others.assign(all.begin() + 1, all.end());
  n->links.reserve(n->others.size());
  std::vector<std::unique_ptr<detail::link_node>> links;
  for (const context& other : n->others) {
    if (detail::can_end(other)) links.push_back(std::make_unique<detail::link_node>(other, n.get()));
  }
  // Nothing can throw from here on.
  for (auto& each : links) {
    detail::retain(each->parent);
    n->links.push_back(each.release());
  }
  detail::merged_node* made = n.release();
  detail::attach(made, ender_of(up));
  cancel_scope scope = detail::scope_access::adopt(made);
  for (detail::link_node* each : made->links) {
    if (detail::code_of(made) != detail::live) break;
    detail::attach(each);
  }
  detail::observe_derived(scope);
  return scope;
}

cancel_scope::~cancel_scope() {
  auto* n = static_cast<ender_node*>(detail::tree::give_up(node_));
  if (n->can_end()) detail::leave(n);  // else a moved-from scope
}

void cancel_scope::cancel() noexcept {
  auto* n = static_cast<ender_node*>(detail::tree::of(node_));
  if (n->can_end()) detail::drop(n, detail::end(n, detail::canceled, nullptr));  // else a moved-from scope
}

void cancel_scope::cancel(curfew::cause why) noexcept {
  auto* n = static_cast<ender_node*>(detail::tree::of(node_));
  if (n->can_end()) detail::drop(n, detail::end(n, detail::canceled, detail::tree::take(why)));
}

}  // namespace curfew
