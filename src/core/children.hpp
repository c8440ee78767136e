#pragma once

// The lists of children: how a node gets into the list above it and out again, while that list may be spread, or
// taken by the end of the node above.

#include <cstdint>

#include "core/byte_lock.hpp"
#include "core/tree.hpp"

namespace curfew::detail {

inline bool is_spread(std::uint8_t state) noexcept {
  return code_in(state) == live && (state & state_bits::spread) != 0;
}

/// \param n  Is, or was, spread.
inline child_lists& lists_of(ender_node* n) noexcept {
  return *static_cast<child_lists*>(n->children.front());
}

/// The list of the spread node `above` that `n` is in.
inline child_lists::list& list_above(const ender_node* n, ender_node* above) noexcept {
  return lists_of(above).slots[n->state.load(std::memory_order_relaxed) >> state_bits::slot_shift];
}

/// What `in_list_above` found.
enum class met { nothing, list, contended_list };

/// Calls `f` with the list of `above` that `n` is in or belongs in, with its lock held, unless the list has been
/// taken.
template <class F>
met in_list_above(const ender_node* n, ender_node* above, F f) noexcept {
  // acquire: pairs with the unlock of the thread that spread it
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

/// Writes the end into the state of a node whose lock is held.
inline void mark(std::uint8_t& bits, end_code code, bool owns_why) noexcept {
  bits = static_cast<std::uint8_t>((bits & state_bits::slot) | (code << state_bits::code_shift) |
                                   (owns_why ? state_bits::owns_why : 0));
}

/// Ends `n`, whose lock is held, as a part of the end of a node at or above which `why` is kept alive.
/// \param bits  The state of `n`; to be stored as the lock is given back.
/// \return a cause that `n` owned and no longer needs.
[[nodiscard]] inline const cause_record* mark(std::uint8_t& bits, ender_node* n, end_code code,
                                              const cause_record* why, bool own) noexcept {
  const cause_record* old = (bits & state_bits::owns_why) != 0 ? n->why : nullptr;
  n->why = why;
  mark(bits, code, own);
  return old;
}

/// Puts `n`, which no other thread knows yet, under its parent, or ends it as the ender above has ended.
void attach(ender_node* n, ender_node* above) noexcept;

}  // namespace curfew::detail
