#pragma once

// The tree of contexts: what its nodes hold, and the rules that keep it right.
//
// Invariants
//  1. The end code of an ender_node changes once, from `live` to another code, under the node's lock. `why` and
//     owns_why are written in the same locked section, and never after it.
//  2. A node lives as long as it has references (`refs`): one for each context or scope that points to it, one
//     for each node whose `parent` it is (but see 3), one while it is in its parent's `children`, and one for
//     the call that runs its callbacks, which may destroy everything else. A link has one of its merged_node
//     in place of a scope's. A timer holds none: ending a node disarms its timer before the ending thread
//     drops its reference, and popping a timer takes a reference, under the shard's lock.
//  3. An ender_node is in the `children` of the ender above it, if that one can end, until its scope goes or
//     the ender above ends; a link, until it ends itself. A child in the list holds no reference of its parent
//     if the parent is the ender itself and the child is no link. Ending a node takes its whole list, and adds
//     these references first. If the scope goes while others still have the child, the scope adds the
//     reference. A thread that finds the ender above ended, or the list taken, leaves the child's hook alone:
//     it belongs to the thread that took the list.
//     If the children are spread, each list has a lock of its own, and is taken some time after the node has
//     ended. A child that is put into it meanwhile is taken with it.
//  4. Every ender_node but a root is ended before its last reference goes: its scope sees to that (for a link,
//     its merged_node). So a node that is destroyed is in no list and has no timer.
//  5. `why` of an ended node points to the record of the place where the end began. That is the node itself
//     (owns_why), an ancestor, which its `parent` chain keeps alive, or what a merged_node keeps alive.
//  6. When the callbacks of an end run, every node below the one that ended has ended, but for parts that
//     another thread ended first and is still at.
//  7. A child that nothing but its scope waits for is left to that scope: after the end from above has given
//     its lock back, the ending thread no longer touches it, and the list's reference is the scope's
//     (scope_has_two). The scope looks at the child after it has seen the end code, with the lock free, and
//     gives both references back at once.
//  8. A link is live as long as its merged_node is: ending either ends the other. So a thread that finds a
//     link live under its lock may take a reference of the merged_node: its scope still holds one.
//
// Locks. Each node has one (a byte_lock), as has each list of a spread node, each shard of a clock's timers, and
// each canceler_control. No thread holds two of them, and none holds one while it calls a destructor or a
// callback. So there is no order to keep, and no deadlock.
//
// No function here recurses over the tree: a chain of a million contexts is one loop.

#include <array>
#include <cstdint>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/cause.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/intrusive_list.hpp>
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

inline nanoseconds in_nanoseconds(clock::time_point t) noexcept {
  return std::chrono::nanoseconds(t.time_since_epoch()).count();
}

inline clock::time_point as_time_point(nanoseconds t) noexcept {
  return clock::time_point(std::chrono::duration_cast<clock::duration>(std::chrono::nanoseconds(t)));
}

inline nanoseconds saturated_sum(nanoseconds now, nanoseconds step) noexcept {
  nanoseconds sum = 0;
  if (!__builtin_add_overflow(now, step, &sum)) return sum;
  return step > 0 ? no_deadline : std::numeric_limits<nanoseconds>::min();
}

struct canceler_control;

struct cause_record {
  threads::atomic<std::uint32_t> refs{1};
  const std::error_code code;
  const std::string text;

  cause_record(std::error_code c, std::string_view t) : code(c), text(t) {}
};

void retain(const cause_record* record) noexcept;   // null is allowed
void release(const cause_record* record) noexcept;  // null is allowed

/// What few contexts need. Made on demand.
struct node_extras {
  std::stop_source stop{std::nostopstate};
  canceler_control* control = nullptr;  // counted
  int fd = -1;                          // an eventfd, owned

  node_extras() = default;
  node_extras(const node_extras&) = delete;
  node_extras& operator=(const node_extras&) = delete;
  ~node_extras();
};

/// What the cancelers of one context share.
struct canceler_control {
  threads::atomic<std::uint32_t> refs{1};
  threads::atomic<std::uint8_t> lock{0};
  threads::plain<struct ender_node*> target = nullptr;  // guarded by lock; null once the node has ended
};

void release(canceler_control* control) noexcept;  // null is allowed

struct timer_shard;

/// A point in the time of a clock, and where its timers are.
struct timeline {
  timer_shard* const shard;
  threads::plain<nanoseconds> deadline;  // constant, but for an idle_node's
};

/// What is in a list of children.
struct child_hook : list_hook<> {};

using child_list = intrusive_list<child_hook>;

/// The children of a node that many threads derive from, in several lists, so that threads seldom meet. Made
/// once they have met too often; stays as long as the node, whose own list it is the one element of.
struct child_lists : child_hook {
  struct alignas(64) list {
    threads::atomic<std::uint8_t> lock{0};
    threads::plain<bool> taken = false;  // by the thread that ends the node; guarded by lock, as is the next
    child_list children;
  };
  static constexpr unsigned count = threads::child_lists;
  static_assert(count - 1 <= state_bits::slot >> state_bits::slot_shift);
  std::array<list, count> slots;
};

/// A node that can end by itself, or a root. Its hook is guarded as the list it is in, or see invariant 3.
struct ender_node : node, child_hook {
  const timeline* const time;          // the nearest from here up
  child_list children;                 // ender_nodes or, if spread, one child_lists; guarded by the lock
  intrusive_list<callback> callbacks;  // guarded by the lock
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

/// The list that a timer is in.
struct timers;

/// A node with a timer, which is armed while it is linked. That hook is guarded by the lock of its shard.
struct deadline_node : ender_node, timeline, list_hook<timers> {
  deadline_node(node* up, timeline t, std::source_location made_at, rough_duration d) noexcept
      : deadline_node(node_kind::deadline, up, this, t, made_at, d) {}

 protected:
  deadline_node(node_kind k, node* up, const timeline* nearest, timeline t, std::source_location made_at,
                rough_duration d) noexcept
      : ender_node(k, up, nearest, made_at, d),
        timeline(t) {}
};

/// A node that ends once it has not been touched for a while. It is no timeline to those below: `deadline` is what
/// its timer is armed for, and changes only while the timer is not armed, in the thread that took it from the wheel.
struct idle_node : deadline_node {
  const nanoseconds timeout;
  threads::atomic<nanoseconds> touched;  // when; ~when once it has been idle and can no longer be touched

  idle_node(node* up, const timeline* above, timeline t, nanoseconds now, nanoseconds after,
            std::source_location made_at, rough_duration d) noexcept
      : deadline_node(node_kind::idle, up, above, t, made_at, d),
        timeout(after),
        touched(now) {}

  /// \return whether it was in time.
  bool touch() noexcept;
  /// When it ends if nothing touches it any more.
  [[nodiscard]] nanoseconds due() const noexcept;
  /// Arms the timer again, which is not armed, if the node has been touched meanwhile.
  /// \return whether it has; else the node has to end, and can no longer be touched.
  bool rearm() noexcept;
};

struct merged_node;

/// Stands for a merged_node among the children of one of those it is merged from.
struct link_node : ender_node {
  merged_node* const target;

  link_node(const context& above, merged_node* t) noexcept;
};

/// A child of several: of the first as every node is, of each other one by a link.
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

  /// Prepares for `arm`, which cannot fail. Throws std::system_error.
  virtual void prepare() {}
  /// Ends `n`, which is of a shard of this clock, at its deadline, unless it has ended by then.
  virtual void arm(deadline_node* n) noexcept = 0;

  /// Whether it counts what is busy, in order to move by itself; see curfew/core/detail/blocking.hpp.
  [[nodiscard]] virtual bool counts() const noexcept { return false; }
  virtual void begin_activity() noexcept {}
  virtual void end_activity() noexcept {}
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

struct scope_access {
  static cancel_scope adopt(node* n) noexcept { return cancel_scope(tree::adopt(n)); }
};

inline ender_node* ender_of(node* n) noexcept { return static_cast<ender_node*>(ender_at(n)); }
inline ender_node* ender_of(const context& ctx) noexcept { return ender_of(tree::of(ctx)); }

inline end_code code_in(std::uint8_t state) noexcept {
  return static_cast<end_code>((state & state_bits::code) >> state_bits::code_shift);
}
inline end_code code_of(const ender_node* n) noexcept { return static_cast<end_code>(end_code_at(n)); }

/// Ends `n`, of which the caller holds a reference, and all below it; runs the callbacks.
/// \param why  Adopted; null: as the err, or, for a deadline, the cause that was given with it.
/// \return how many references to `n` the caller has to give back.
std::uint32_t end(ender_node* n, end_code code, const cause_record* why) noexcept;

/// Gives back what `end` returned.
inline void drop(node* n, std::uint32_t owed) noexcept {
  if (owed != 0) release(n, owed);
}

/// What a timer does that fires: ends `n`, or arms the timer again if it is an idle_node that has been touched.
/// Takes over a reference of `n`. With no lock held.
/// \return whether the time of `n` had come.
bool expire(deadline_node* n) noexcept;

/// Moves the children of `n`, if it lives, to child_lists. Without memory for them it stays as it is.
void spread(ender_node* n) noexcept;

/// Runs the callbacks of `n`, which has ended, one after another.
void run_callbacks(ender_node* n) noexcept;

// Tell the observers; only if is_observed().
void tell_ended(ender_node* n) noexcept;
void tell_destroyed(const node* n) noexcept;

void remember_todo(std::source_location where) noexcept;

/// Makes an eventfd readable for good.
void make_readable(int fd) noexcept;

/// \param by_deadline  Asked for as a point in time.
[[nodiscard]] rough_duration rough(nanoseconds d, bool by_deadline) noexcept;

[[nodiscard]] std::string as_text(rough_duration d);

/// The record of a cause that was not given: the err itself. Never destroyed.
const cause_record* cause_of_end(std::uint8_t code) noexcept;

}  // namespace curfew::detail
