#pragma once

// The layout that the inline fast paths of context.hpp need: err(), value() and copying. Everything that
// changes a tree is in src/core.

#include <array>
#include <cstddef>
#include <cstdint>
#include <curfew/core/detail/threads.hpp>
#include <curfew/core/key.hpp>
#include <source_location>
#include <system_error>

namespace curfew::detail {

struct value_node;

/// From `value` on: nodes that cannot end by themselves and are no roots.
enum class node_kind : std::uint8_t {
  root,
  immortal_root,
  cancel,
  deadline,
  idle,
  merged,
  link,
  value,
  detached
};

/// The bits of node::state. Only the thread that holds the lock changes them.
///
///   bit    7..5      4          3 (live)    3 (ended)      2..1        0
///          slot   owns_why    spread    scope_has_two    end_code   locked
namespace state_bits {
inline constexpr std::uint8_t locked = 1;
inline constexpr unsigned code_shift = 1;
inline constexpr std::uint8_t code = 3U << code_shift;
inline constexpr std::uint8_t spread = 8;         // see ender_node::children in src/core/tree.hpp
inline constexpr std::uint8_t scope_has_two = 8;  // the scope gives back the reference of the list, too
inline constexpr std::uint8_t owns_why = 16;      // see ender_node::why in src/core/tree.hpp
inline constexpr unsigned slot_shift = 5;         // in which list of a spread parent it is
inline constexpr std::uint8_t slot = 7U << slot_shift;
}  // namespace state_bits

/// A duration in 16 bits, to three digits: enough for a path in a log.
struct rough_duration {
  std::uint16_t bits = 0;
};

/// One place in the tree. A context is a counted pointer to one.
struct node {
  threads::atomic<std::uint32_t> refs;
  threads::atomic<std::uint8_t> state{0};
  const node_kind kind;
  const rough_duration asked{};  // by with_timeout and with_deadline
  node* const parent;            // counted; null for roots
  value_node* const values;      // the nearest value, from here up
  const std::source_location where;

  constexpr node(node_kind k, std::uint32_t initial_refs, node* up, value_node* vals,
                 std::source_location made_at, rough_duration d = {}) noexcept
      : refs(initial_refs),
        kind(k),
        asked(d),
        parent(up),
        values(vals),
        where(made_at) {}
  node(const node&) = delete;
  node& operator=(const node&) = delete;
};

/// What a context points to that has given up its reference.
inline constinit node nowhere{node_kind::immortal_root, 1, nullptr, nullptr, std::source_location()};

/// A node that ends with another one: a value, or what without_cancel makes.
struct passive_node : node {
  node* ender;  // the nearest node above that can end, or a root; of a dying node: the next one to go

  passive_node(node_kind k, node* up, node* end, value_node* vals, std::source_location made_at) noexcept
      : node(k, 1, up, vals, made_at),
        ender(end) {}
};

/// The nearest node, from `n` up, that can end, or the root: where err() looks.
inline node* ender_at(node* n) noexcept {
  return n->kind >= node_kind::value ? static_cast<passive_node*>(n)->ender : n;
}

/// err() by end code. Filled when the first root is made, be it in a static initializer that runs before
/// this library's own: hence a union, which has no initializer to run.
union end_code_table {
  char empty;
  std::array<std::error_code, 3> code;

  constexpr end_code_table() noexcept : empty(0) {}
};
extern end_code_table end_codes;

/// That of background(). Set, as end_codes, before there is any context.
extern node* background_node;

inline std::uint8_t end_code_at(const node* ender) noexcept {
  // acquire: pairs with the unlock of the thread that ended it
  return static_cast<std::uint8_t>((ender->state.load(std::memory_order_acquire) & state_bits::code) >>
                                   state_bits::code_shift);
}

/// Keys fall into classes by address; a value links to the next outer value of each class, so that a
/// lookup passes only every fourth value on average, and a miss passes no more of them than a hit.
inline constexpr std::size_t key_classes = 4;

inline std::size_t key_class(const void* key) noexcept {
  return (reinterpret_cast<std::uintptr_t>(key) * 0x9E3779B97F4A7C15ULL) >> 62;
}

struct value_node : passive_node {
  const key_base* const key;
  const void* const object;
  void (*const destroy)(value_node*) noexcept;
  std::array<const value_node*, key_classes> outer{};  // uncounted: `parent` keeps them alive

  /// The caller retains `up` once the whole object is made.
  value_node(node* up, const key_base* k, const void* o, void (*d)(value_node*) noexcept,
             std::source_location made_at) noexcept;
};

/// Destroys a node whose last reference is gone, and what it kept alive. Not recursive.
/// \param has_parent_ref  Whether it has a reference of its parent.
void destroy(node* n, bool has_parent_ref = true) noexcept;

inline void retain(node* n) noexcept {
  if (n->kind != node_kind::immortal_root) n->refs.fetch_add(1, std::memory_order_relaxed);
}

/// Gives back `count` references.
/// \return whether they were the last.
inline bool drop_refs(node* n, std::uint32_t count) noexcept {
  if (n->kind == node_kind::immortal_root) return false;
  // A thread that holds all references is alone with the node, and need not count down. Pairs with the fetch_sub of
  // the references that are gone.
  return n->refs.load(std::memory_order_acquire) == count ||
         n->refs.fetch_sub(count, std::memory_order_acq_rel) == count;
}

inline void release(node* n, std::uint32_t count = 1) noexcept {
  if (drop_refs(n, count)) destroy(n);
}

}  // namespace curfew::detail
