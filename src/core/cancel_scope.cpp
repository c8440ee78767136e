#include <curfew/core/cancel_scope.hpp>

#include "core/children.hpp"
#include "core/tree.hpp"

namespace curfew {

namespace detail {

namespace {

/// Ends `n`, whose scope is being destroyed, takes it out of the tree, and gives back the references of both.
void leave(ender_node* n) noexcept {
  std::uint32_t count = 1;
  if (code_of(n) == live) count += end(n, canceled, nullptr);
  // acquire: the thread that ended it is done with it, if it left its reference to the scope (invariant 7)
  if ((n->state.load(std::memory_order_acquire) & state_bits::scope_has_two) != 0) {
    release(n, count + 1);
    return;
  }
  ender_node* above = ender_of(n->parent);
  if (above->can_end()) {
    in_list_above(n, above, [&](child_list& list) {
      list.remove(*n);
      ++count;
      if (n->parent != above) return;
      // acquire: pairs with the fetch_sub of the references that are gone
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

}  // namespace detail

using detail::ender_node;

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
