#pragma once

// The tree of contexts: what its nodes hold, and the rules that keep it right.
//
// Invariants
//  1. `ended` of an ender_node goes once from 0 to its end_code, under the node's lock, and stays.
//     `why` and `owns_why` are written before that, under the lock, and not after.
//  2. A node lives as long as its `refs`: one for each context or scope that points to it, one for each
//     node whose `parent` it is, one while it is in its parent's `children`, one while its timer is armed,
//     and one for the call that runs its callbacks: these may destroy everything else.
//  3. A live ender_node whose ender above can end is in that ender's `children`. When an ender ends, its
//     whole list is taken by the one who ends it, together with the list's references; so who finds the
//     ender above ended leaves `next` and `prev` alone: they belong to the one who took the list.
//  4. Every ender_node but a root is ended before its last reference goes: its scope sees to that. So a
//     node that is destroyed is in no list and has no timer.
//  5. `why` of an ended node points to the record of the place where the end began, which is the node
//     itself (owns_why) or an ancestor, which its `parent` chain keeps alive.
//  6. When the callbacks of an end run, every node below the one that ended has its `ended` set, but for
//  parts that
//     another thread ended first and is still at.
//
// Locks. Each node has one (a byte_lock), each clock has one for its timers, each canceler_hub has one.
// No thread holds two of them, and none holds one while it calls a destructor
// or a callback. So there is no order to keep and no deadlock to fear.
//
// No function here recurses over the tree: a chain of a million contexts is one loop.

#include <atomic>
#include <cstdint>
#include <curfew/core/cause.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/node.hpp>
#include <curfew/core/on_done.hpp>
#include <limits>
#include <memory>
#include <stop_token>
#include <string>
#include <system_error>

namespace curfew::detail {

enum end_code : std::uint8_t { live = 0, canceled = 1, deadline_exceeded = 2 };

using nanoseconds = std::int64_t;  // since the epoch of the context's clock
inline constexpr nanoseconds no_deadline = std::numeric_limits<nanoseconds>::max();

struct canceler_hub;

struct cause_record {
  std::atomic<std::uint32_t> refs{1};
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
};

struct canceler_hub {
  std::atomic<std::uint32_t> refs{1};
  std::atomic<std::uint8_t> lock{0};
  struct ender_node* target = nullptr;  // guarded by lock; null once the node has ended
};

void release(canceler_hub* hub) noexcept;  // null is allowed

struct root_node;

/// A node that can end by itself.
struct ender_node : node {
  root_node* const root;
  ender_node* children = nullptr;  // guarded by lock; circular: the first's prev is the last
  ender_node* next = nullptr;      // guarded by the lock of the ender above, or see invariant 3
  ender_node* prev = nullptr;
  callback* callbacks = nullptr;      // guarded by lock; circular
  const cause_record* why = nullptr;  // null: as the err. Before the end: a deadline's own cause, owned
  node_extras* extras = nullptr;      // guarded by lock, owned
  const nanoseconds deadline;         // the nearest of this and all above

  ender_node(node_kind k, std::uint32_t initial_refs, node* up, root_node* r, nanoseconds d) noexcept
      : node(k, initial_refs, up, nullptr, up ? up->values : nullptr),
        root(r),
        deadline(d) {}
  ~ender_node();

  [[nodiscard]] bool can_end() const noexcept {
    return kind != node_kind::root && kind != node_kind::immortal_root;
  }
};

/// A node with a timer. `timer_*` and `tick` are guarded by the lock of its clock.
struct deadline_node : ender_node {
  deadline_node* timer_next = nullptr;
  deadline_node* timer_prev = nullptr;  // null: not armed
  std::uint64_t tick = 0;

  using ender_node::ender_node;
};

/// A clock and the timers that run by it.
class clock_source {
 public:
  clock_source() = default;
  clock_source(const clock_source&) = delete;
  clock_source& operator=(const clock_source&) = delete;
  virtual ~clock_source() = default;

  [[nodiscard]] virtual nanoseconds now() const noexcept = 0;
  /// Makes ready for `arm`, which cannot fail. Throws std::system_error.
  virtual void prepare() {}
  /// Ends `n` at its deadline, unless it has ended by then. If it is armed, the timer takes over one
  /// reference.
  /// \return whether it was armed; it was not if `n` had ended.
  virtual bool arm(deadline_node* n) noexcept = 0;
  /// \return whether it was armed and no longer is: the timer's reference is the caller's then.
  virtual bool disarm(deadline_node* n) noexcept = 0;
};

clock_source& system_clock_source() noexcept;

struct root_node : ender_node {
  clock_source* clock;
  const std::unique_ptr<clock_source> owned_clock;

  explicit root_node(clock_source& shared) noexcept
      : ender_node(node_kind::immortal_root, 1, nullptr, this, no_deadline),
        clock(&shared) {}
  explicit root_node(std::unique_ptr<clock_source> own) noexcept
      : ender_node(node_kind::root, 1, nullptr, this, no_deadline),
        clock(own.get()),
        owned_clock(std::move(own)) {}
};

inline ender_node* ender_of(const context& ctx) noexcept {
  return static_cast<ender_node*>(tree::of(ctx)->ender);
}

/// Ends `n`, of which the caller holds a reference, and all below it; runs the callbacks.
/// \param why  Adopted; null: as the err, or, for a deadline, the cause that was given with it.
/// \return the number of references to `n` that are now the caller's to release.
std::uint32_t end(ender_node* n, end_code code, const cause_record* why) noexcept;

/// Gives back what `end` said is owed.
inline void drop(node* n, std::uint32_t owed) noexcept {
  if (owed != 0) release(n, owed);
}

/// The list of callbacks of one node.
struct callback_list {
  static void run_all(ender_node* n) noexcept;
  static void link(ender_node* n, callback* c) noexcept;    // with n->lock held
  static void unlink(ender_node* n, callback* c) noexcept;  // with n->lock held
};

/// The record of a cause that nobody gave: the err itself. Never goes.
const cause_record* cause_of_end(std::uint8_t code) noexcept;

}  // namespace curfew::detail
