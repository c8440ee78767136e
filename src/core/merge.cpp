#include <array>
#include <curfew/core/cancel_scope.hpp>
#include <memory>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core/children.hpp"
#include "core/timer_wheel.hpp"
#include "core/tree.hpp"

namespace curfew {

namespace detail {

link_node::link_node(const context& above, merged_node* t) noexcept
    : ender_node(node_kind::link, tree::of(above), ender_of(above)->time, {}),
      target(t) {}

namespace {

/// Puts the link `l` of a merged_node, which may be ending, under its parent, or ends the merged_node as the
/// parent has ended. The end of a merged_node marks `l` before it looks for it in the list: so either the mark
/// is seen here, or `l` is found there.
void attach_link(link_node* l) noexcept {
  ender_node* above = ender_of(l->parent);
  const met found = in_list_above(l, above, [l](child_list& list) {
    if (code_of(l) != live) return;
    l->refs.fetch_add(1, std::memory_order_relaxed);
    list.push_back(*l);
  });
  if (found != met::nothing) return;
  const cause_record* why = above->why;
  retain(why);
  drop(l->target, end(l->target, code_of(above), why));
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

}  // namespace

}  // namespace detail

using detail::ender_of;

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
    detail::attach_link(each);
  }
  detail::observe_derived(scope);
  return scope;
}

}  // namespace curfew
