#pragma once

// What the sources of time share.

#include <curfew/core/context.hpp>
#include <memory>
#include <tuple>
#include <utility>

#include "core/timer_wheel.hpp"
#include "core/tree.hpp"

namespace curfew::detail {

/// \return the next timer that is due up to `tick`, with a reference, or null.
inline deadline_node* pop_due(timer_wheel& wheel,
                              std::uint64_t tick) noexcept {  // with the shard's lock held
  deadline_node* n = wheel.pop(tick);
  if (n != nullptr) retain(n);
  return n;
}

/// A root with a clock of its own.
template <class Source, class... Arguments>
context make_root(Arguments&&... arguments) {
  std::ignore = background();  // fills end_codes and background_node
  return tree::adopt(new root_node(std::make_unique<Source>(std::forward<Arguments>(arguments)...)));
}

}  // namespace curfew::detail
