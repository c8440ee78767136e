#pragma once

// The tree of contexts: what its nodes hold, and the rules that keep it right.
//
// Invariants
//  1. The end code of an ender_node goes once from `live` to another one, under the node's lock, and stays.
//     `why` and owns_why are written in the same locked section, and not after.
//  2. A node lives as long as its `refs`: one for each context or scope that points to it, one for each
//     node whose `parent` it is (but see 3), one while it is in its parent's `children`, and one for the call
//     that runs its callbacks: these may destroy everything else. A link has one of its merged_node instead
//     of a scope's. A timer has none: who ends a node disarms it before he gives back what he ends it by, and
//     who pops it takes one, under the shard's lock.
//  3. An ender_node whose ender above can end is in that ender's `children` until its scope goes or the ender
//     above ends; a link, until it ends itself. A child in the list, whose parent is the ender itself and
//     which is no link, has no reference of it: when the ender ends, its whole list is taken by the one who
//     ends it, who takes these references first; when the scope goes and others still have the child, the
//     scope does. Who finds the ender above ended, or the list taken, leaves `next` and `prev` alone: they
//     belong to the one who took the list.
//     If the children are spread, each list has a lock of its own, and is taken some time after the node has
//     ended. A child that is put into it meanwhile is taken with it.
//  4. Every ender_node but a root is ended before its last reference goes: its scope sees to that (a link's
//     merged_node does). So a node that is destroyed is in no list and has no timer.
//  5. `why` of an ended node points to the record of the place where the end began, which is the node
//     itself (owns_why), an ancestor, which its `parent` chain keeps alive, or what a merged_node keeps
//     alive.
//  6. When the callbacks of an end run, every node below the one that ended has ended, but for parts that
//     another thread ended first and is still at.
//  7. A child that nothing but its scope waits for is not touched any more by the one who ends it from above
//     once its lock is given back: the list's reference becomes the scope's (scope_has_two). Its scope looks
//     at it after it has seen the end code, with the lock free, and gives both back at once.
//  8. A link is live as long as its merged_node is: who ends either ends the other. So who finds a link live
//     under its lock may take a reference of the merged_node, whose scope still holds one.
//
// Locks. Each node has one (a byte_lock), each list of a spread node, each shard of a clock's timers, and
// each canceler_hub. No thread holds two of them, and none holds one while it calls a destructor or a
// callback. So there is no order to keep and no deadlock to fear.
//
// No function here recurses over the tree: a chain of a million contexts is one loop.

#include <array>
#include <cstdint>
#include <curfew/core/cause.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/node.hpp>
#include <curfew/core/on_done.hpp>
#include <limits>
#include <memory>
#include <source_location>
#include <stop_token>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace curfew::detail {

enum end_code : std::uint8_t { live = 0, canceled = 1, deadline_exceeded = 2 };

using nanoseconds = std::int64_t;  // since the epoch of the context's clock
inline constexpr nanoseconds no_deadline = std::numeric_limits<nanoseconds>::max();

struct canceler_hub;

struct cause_record {
  threads::atomic<std::uint32_t> refs{1};
  const std::error_code code;
  const std::string text;

  cause_record(std::error_code c, std::string_view t) : code(c), text(t) {}
};

void retain(const cause_record* record) noexcept;   // null is allowed
void release(const cause_record* record) noexcept;  // null is allowed

/// What few contexts need; made on demand.
struct node_extras {
  std::stop_source stop{std::nostopstate};
  canceler_hub* hub = nullptr;  // counted
  int fd = -1;                  // an eventfd, owned

  node_extras() = default;
  node_extras(const node_extras&) = delete;
  node_extras& operator=(const node_extras&) = delete;
  ~node_extras();
};

struct canceler_hub {
  threads::atomic<std::uint32_t> refs{1};
  threads::atomic<std::uint8_t> lock{0};
  threads::plain<struct ender_node*> target = nullptr;  // guarded by lock; null once the node has ended
};

void release(canceler_hub* hub) noexcept;  // null is allowed

struct timer_shard;

/// A point in the time of a clock, and where its timers are.
struct timeline {
  timer_shard* const shard;
  const nanoseconds deadline;
};

struct ender_node;

/// The first of a circular list: its `prev` is the last. May be null.
using child_list = threads::plain<void*>;

/// The children of a node that many threads derive from, in several lists, so that threads seldom meet. Made
/// once it turns out that they do; stays as long as the node.
struct child_lists {
  struct alignas(64) list {
    threads::atomic<std::uint8_t> lock{0};
    threads::plain<bool> taken = false;  // guarded by lock, as is the next: by the one who ends the node
    child_list children = nullptr;
  };
  static constexpr unsigned count = threads::child_lists;
  static_assert(count - 1 <= state_bits::slot >> state_bits::slot_shift);
  std::array<list, count> slots;
};

/// A node that can end by itself, or a root.
struct ender_node : node {
  const timeline* const time;                  // the nearest from here up
  child_list children = nullptr;               // a child_list, guarded by the lock; if spread, child_lists
  threads::plain<ender_node*> next = nullptr;  // guarded as the list it is in, or see invariant 3
  threads::plain<ender_node*> prev = nullptr;
  threads::plain<callback*> callbacks = nullptr;  // guarded by the lock; circular
  // Null: as the err. Before the end: a deadline's own, owned.
  threads::plain<const cause_record*> why = nullptr;
  threads::plain<node_extras*> extras = nullptr;  // guarded by the lock, owned

  ender_node(node_kind k, node* up, const timeline* t, std::source_location made_at,
             rough_duration d = {}) noexcept
      : node(k, 1, up, up ? up->values : nullptr, made_at, d),
        time(t) {}
  ~ender_node();

  [[nodiscard]] bool can_end() const noexcept {
    return kind != node_kind::root && kind != node_kind::immortal_root;
  }
};

/// A node with a timer. The links are guarded by the lock of its shard.
struct deadline_node : ender_node, timeline {
  threads::plain<deadline_node*> timer_next = nullptr;
  threads::plain<deadline_node*> timer_prev = nullptr;  // null: not armed

  deadline_node(node* up, timeline t, std::source_location made_at, rough_duration d) noexcept
      : ender_node(node_kind::deadline, up, this, made_at, d),
        timeline(t) {}
};

struct merged_node;

/// Stands for a merged_node among the children of one of those it is merged from.
struct link_node : ender_node {
  merged_node* const target;

  link_node(const context& above, merged_node* t) noexcept;
};

/// A child of several: of the first as every node is, of each other by a link, which is in `links`.
struct merged_node : ender_node {
  std::vector<context> others;    // what the links and the values belong to
  std::vector<link_node*> links;  // counted; one for each of the others that can end

  merged_node(node* up, const timeline* t, std::source_location made_at) noexcept
      : ender_node(node_kind::merged, up, t, made_at) {}
};

struct root_node;

/// A clock and the timers that run by it.
class clock_source {
 public:
  clock_source() = default;
  clock_source(const clock_source&) = delete;
  clock_source& operator=(const clock_source&) = delete;
  virtual ~clock_source() = default;

  [[nodiscard]] virtual nanoseconds now() const noexcept = 0;
  /// Where timers that this thread makes are kept.
  [[nodiscard]] virtual timer_shard& shard() noexcept = 0;
  /// A root whose contexts live on this clock.
  root_node* root = nullptr;

  /// Makes ready for `arm`, which cannot fail. Throws std::system_error.
  virtual void prepare() {}
  /// Ends `n`, which is of a shard of this clock, at its deadline, unless it has ended by then.
  virtual void arm(deadline_node* n) noexcept = 0;

  /// A thread waits for the end of a context of this clock, and then nothing else can wake it;
  virtual void block() noexcept {}
  /// it has been woken, which its waker tells before it can run.
  virtual void unblock() noexcept {}
};

clock_source& system_clock_source() noexcept;

struct root_node : ender_node, timeline {
  const std::unique_ptr<clock_source> owned_clock;

  explicit root_node(clock_source& shared) noexcept
      : ender_node(node_kind::immortal_root, nullptr, this, {}),
        timeline{&shared.shard(), no_deadline} {
    shared.root = this;
  }
  explicit root_node(std::unique_ptr<clock_source> own) noexcept
      : ender_node(node_kind::root, nullptr, this, {}),
        timeline{&own->shard(), no_deadline},
        owned_clock(std::move(own)) {
    owned_clock->root = this;
  }
};

inline ender_node* ender_of(node* n) noexcept { return static_cast<ender_node*>(ender_at(n)); }
inline ender_node* ender_of(const context& ctx) noexcept { return ender_of(tree::of(ctx)); }

inline end_code code_in(std::uint8_t state) noexcept {
  return static_cast<end_code>((state & state_bits::code) >> state_bits::code_shift);
}
inline end_code code_of(const ender_node* n) noexcept { return static_cast<end_code>(end_code_at(n)); }

/// Ends `n`, of which the caller holds a reference, and all below it; runs the callbacks.
/// \param why  Adopted; null: as the err, or, for a deadline, the cause that was given with it.
/// \return the number of references to `n` that are now the caller's to release.
std::uint32_t end(ender_node* n, end_code code, const cause_record* why) noexcept;

/// Gives back what `end` said is owed.
inline void drop(node* n, std::uint32_t owed) noexcept {
  if (owed != 0) release(n, owed);
}

/// Moves the children of `n`, if it lives, to child_lists. Without memory for them it stays as it is.
void spread(ender_node* n) noexcept;

/// The list of callbacks of one node.
struct callback_list {
  static void run_all(ender_node* n) noexcept;
  static void link(ender_node* n, callback* c) noexcept;    // with n->lock held
  static void unlink(ender_node* n, callback* c) noexcept;  // with n->lock held
};

// Tell the observer; only if is_observed().
void tell_ended(ender_node* n) noexcept;
void tell_destroyed(const node* n) noexcept;

void remember_todo(std::source_location where) noexcept;

/// Makes an eventfd readable for good.
void make_readable(int fd) noexcept;

/// \param by_deadline  Asked for as a point in time.
[[nodiscard]] rough_duration rough(nanoseconds d, bool by_deadline) noexcept;

/// The record of a cause that nobody gave: the err itself. Never goes.
const cause_record* cause_of_end(std::uint8_t code) noexcept;

}  // namespace curfew::detail
