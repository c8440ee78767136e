#pragma once

// The layout that the inline fast paths of context.hpp need: err(), value() and copying. Everything that
// changes a tree is in src/core.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <system_error>

namespace curfew::detail {

struct value_node;

enum class node_kind : std::uint8_t { root, immortal_root, cancel, deadline, value, detached };

/// One place in the tree. A context is a counted pointer to one.
struct node {
  std::atomic<std::uint32_t> refs;
  std::atomic<std::uint8_t> lock{0};   // a byte_lock; guards what src/core/tree.hpp says it guards
  std::atomic<std::uint8_t> ended{0};  // index into end_codes; only of a node that is its own `ender`
  const node_kind kind;
  bool owns_why = false;     // see ender_node::why in src/core/tree.hpp
  node* const parent;        // counted; null for roots
  node* const ender;         // the nearest node, from here up, that can end: where err() looks
  value_node* const values;  // the nearest value, from here up

  node(node_kind k, std::uint32_t initial_refs, node* up, node* end, value_node* vals) noexcept
      : refs(initial_refs),
        kind(k),
        parent(up),
        ender(end ? end : this),
        values(vals) {}
  node(const node&) = delete;
  node& operator=(const node&) = delete;
};

/// err() of a node whose `ended` is 0, 1 or 2. Filled when the first root is made, be it in a static
/// initializer that runs before this library's own: hence a union, which has no initializer to run.
union end_code_table {
  char empty;
  std::array<std::error_code, 3> code;

  constexpr end_code_table() noexcept : empty(0) {}
};
extern end_code_table end_codes;

/// Keys fall into classes by address; a value links to the next outer value of each class, so that a
/// lookup passes only every fourth value on average, and a miss passes no more of them than a hit.
inline constexpr std::size_t key_classes = 4;

inline std::size_t key_class(const void* key) noexcept {
  return (reinterpret_cast<std::uintptr_t>(key) * 0x9E3779B97F4A7C15ULL) >> 62;
}

struct value_node : node {
  const void* const key;
  void (*const destroy)(value_node*) noexcept;
  std::array<const value_node*, key_classes> outer;  // uncounted: `parent` keeps them alive

  /// The caller retains `up` once the whole object is made.
  value_node(node* up, const void* k, void (*d)(value_node*) noexcept) noexcept;
};

/// Destroys a node whose last reference is gone, and what it kept alive. Not recursive.
void destroy(node* n) noexcept;

inline void retain(node* n) noexcept {
  if (n->kind != node_kind::immortal_root) n->refs.fetch_add(1, std::memory_order_relaxed);
}

/// Gives back `count` references.
inline void release(node* n, std::uint32_t count = 1) noexcept {
  if (n->kind == node_kind::immortal_root) return;
  // Who holds all the references is alone with the node: no need to count down. Pairs with the
  // fetch_sub of those who were there before.
  if (n->refs.load(std::memory_order_acquire) == count ||
      n->refs.fetch_sub(count, std::memory_order_acq_rel) == count) {
    destroy(n);
  }
}

}  // namespace curfew::detail
