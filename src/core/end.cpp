#include <tuple>
#include <utility>

#include "core/byte_lock.hpp"
#include "core/children.hpp"
#include "core/timer_wheel.hpp"
#include "core/tree.hpp"

// The end of a node and of everything below it, in two phases: first all are marked, then their callbacks run
// (invariant 6).

namespace curfew::detail {

namespace {

/// More references than the children of one node can have.
constexpr std::uint32_t many = std::uint32_t{1} << 30;

/// With the lock of `n` held. Nothing is added once it has ended.
bool is_awaited(const ender_node* n) noexcept { return !n->callbacks.empty() || n->extras != nullptr; }

/// Runs the callbacks of `n`, which has ended, and everything else that waits for its end.
void tell(ender_node* n, bool awaited = true) noexcept {
  if (is_observed()) [[unlikely]]
    tell_ended(n);
  if (!awaited) return;
  run_callbacks(n);
  std::stop_source stop(std::nostopstate);
  canceler_control* control = nullptr;
  int fd = -1;
  {
    const byte_lock guard(n->state);
    node_extras* extras = n->extras;
    if (extras == nullptr) return;
    stop = extras->stop;
    control = extras->control;
    fd = extras->fd;
  }
  if (control != nullptr) {
    const byte_lock guard(control->lock);
    control->target = nullptr;
  }
  if (fd != -1) make_readable(fd);
  stop.request_stop();
}

/// Takes `l`, which has ended, out of the list above it.
/// \return whether it was there: then the list's reference is the caller's.
bool detach(link_node* l) noexcept {
  bool was_there = false;
  in_list_above(l, ender_of(l->parent), [&](child_list& list) { was_there = list.remove(*l); });
  return was_there;
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

/// Takes `n`, which has ended, out of what could end it a second time.
void withdraw(ender_node* n) noexcept {
  if (n->kind == node_kind::deadline || n->kind == node_kind::idle) disarm(static_cast<deadline_node*>(n));
  if (n->kind == node_kind::merged) cut_links(static_cast<merged_node*>(n));
}

/// The children of a node that ends: a list, or the node itself if they are spread.
struct taken_children {
  child_list list;
  ender_node* spread = nullptr;

  [[nodiscard]] bool none() const noexcept { return list.empty() && spread == nullptr; }

  /// Takes the children of `n`, with its lock held, before it is marked. From now on they have references of
  /// `n`, which gets too many of them until the children are counted.
  void take_from(ender_node* n, std::uint8_t state) noexcept {
    if (n->children.empty()) return;
    n->refs.fetch_add(many, std::memory_order_relaxed);
    if (is_spread(state)) {
      spread = n;
    } else {
      list.splice_back(n->children);
    }
  }
};

/// Counts those children of one node that have a reference of it (invariant 3). They come one after another.
class child_counter {
 public:
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

/// What one end does below the node where it began.
///
/// A node in `open_` or in `told_` is there with a reference: that of the list it was taken from, or one that was
/// made for it.
class end_below {
 public:
  /// \param why  Kept alive by the node where the end began.
  end_below(end_code code, const cause_record* why) noexcept : code_(code), why_(why) {}

  /// Adds what was taken from a node whose lock has been given back.
  void add(taken_children& taken) noexcept {
    open_.splice_back(taken.list);
    if (taken.spread == nullptr) return;
    bool none = true;
    for (child_lists::list& each : lists_of(taken.spread).slots) {
      const byte_lock guard(each.lock);
      each.taken = true;
      none = none && each.children.empty();
      open_.splice_back(each.children);
    }
    if (none) release(taken.spread, many);  // there is nothing to count
  }

  /// The first phase: every node below ends.
  void mark_all() noexcept {
    while (auto* c = static_cast<ender_node*>(open_.pop_front())) {
      counter_.count(c);
      if (c->kind == node_kind::link) {
        visit(static_cast<link_node*>(c));
      } else {
        visit(c);
      }
    }
    counter_.settle();
  }

  /// The second phase: the callbacks of those that are watched run.
  void tell_all() noexcept {
    while (auto* c = static_cast<ender_node*>(told_.pop_front())) {
      if (c->kind == node_kind::link) {
        merged_node* merged = static_cast<link_node*>(c)->target;
        tell(merged);
        release(merged);
      } else {
        tell(c);
      }
      release(c);
    }
  }

 private:
  struct outcome {
    bool marked = false;  // it was live
    bool watched = false;
    bool left_to_scope = false;  // invariant 7: it must not be touched any more
  };

  /// Ends `n`, unless it has ended, and opens its children.
  [[gnu::always_inline]] outcome mark_one(ender_node* n) noexcept {
    outcome is;
    taken_children children;
    const cause_record* unused = nullptr;
    {
      byte_lock guard(n->state);
      if (code_in(guard.bits) != live) return is;
      is.marked = true;
      children.take_from(n, guard.bits);
      unused = mark(guard.bits, n, code_, why_, false);
      is.watched = is_awaited(n) || is_observed();
      is.left_to_scope = !is.watched && n->kind == node_kind::cancel;
      if (is.left_to_scope) guard.bits |= state_bits::scope_has_two;
    }
    if (unused != nullptr) release(unused);
    add(children);
    return is;
  }

  void visit(ender_node* c) noexcept {
    const outcome is = mark_one(c);
    if (is.left_to_scope) return;
    if (is.marked) withdraw(c);
    if (is.watched) {
      told_.push_back(*c);
    } else {
      release(c);
    }
  }

  void visit(link_node* l) noexcept {
    merged_node* merged = nullptr;
    {
      byte_lock guard(l->state);
      if (code_in(guard.bits) == live) {
        std::ignore = mark(guard.bits, l, code_, why_, false);
        merged = l->target;
        retain(merged);  // invariant 8
      }
    }
    if (merged == nullptr) {
      release(l);
      return;
    }
    const outcome is = mark_one(merged);
    if (is.marked) withdraw(merged);
    if (is.watched) {
      // The link in its place: the end of its first parent may have the hook of `merged` in use.
      told_.push_back(*l);
    } else {
      release(merged);
      release(l);
    }
  }

  const end_code code_;
  const cause_record* const why_;
  child_list open_;  // still to be marked
  child_list told_;  // marked, with callbacks to run
  child_counter counter_;
};

}  // namespace

std::uint32_t end(ender_node* n, end_code code, const cause_record* why) noexcept {
  const cause_record* unused = why;
  taken_children children;
  bool awaited = false;
  {
    byte_lock guard(n->state);
    if (code_in(guard.bits) == live) {
      children.take_from(n, guard.bits);
      if (code == deadline_exceeded && why == nullptr) {  // with its own cause
        mark(guard.bits, code, (guard.bits & state_bits::owns_why) != 0);
      } else {
        unused = mark(guard.bits, n, code, why, why != nullptr);
      }
      awaited = is_awaited(n);
      why = n->why;
    } else {
      n = nullptr;
    }
  }
  release(unused);
  if (n == nullptr) return 0;

  const bool watched = awaited || is_observed();
  std::uint32_t owed = 0;
  withdraw(n);
  if (watched) {
    retain(n);  // a callback may destroy the scope whose reference the caller relies on
    ++owed;
  }
  if (children.none()) {
    if (watched) tell(n, awaited);
    return owed;
  }
  end_below below(code, why);
  below.add(children);
  below.mark_all();
  if (watched) tell(n, awaited);
  below.tell_all();
  return owed;
}

bool expire(deadline_node* n) noexcept {
  if (n->kind == node_kind::idle && static_cast<idle_node*>(n)->rearm()) {
    release(n);
    return false;
  }
  release(n, 1 + end(n, deadline_exceeded, nullptr));
  return true;
}

}  // namespace curfew::detail
