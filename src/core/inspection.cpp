#include <algorithm>
#include <curfew/core/detail/inspection.hpp>
#include <iterator>
#include <utility>
#include <vector>

#include "core/tree.hpp"

namespace curfew::detail {

bool end_by_hand(const context& ctx, cause why) noexcept {
  ender_node* n = ender_of(ctx);
  if (!n->can_end() || code_of(n) != live) return false;
  retain(n);
  release(n, 1 + end(n, canceled, tree::take(why)));
  return true;
}

std::vector<shown_value> shown_values(const context& ctx) {
  std::vector<const key_base*> seen;
  std::vector<shown_value> shown;
  std::vector<const node*> to_do{tree::of(ctx)};  // a merged one has several above it
  while (!to_do.empty()) {
    const node* n = to_do.back();
    to_do.pop_back();
    if (n->parent != nullptr) to_do.push_back(n->parent);
    if (n->kind == node_kind::merged) {
      const auto& others = static_cast<const merged_node*>(n)->others;
      std::ranges::transform(others, std::inserter(to_do, to_do.begin()),
                             [](const context& c) { return tree::of(c); });
    }
    if (n->kind != node_kind::value) continue;
    const auto* v = static_cast<const value_node*>(n);
    if (v->key->print == nullptr || std::ranges::find(seen, v->key) != seen.end()) continue;
    seen.push_back(v->key);
    shown.push_back({v->key->name, v->key->print(v->object)});
  }
  return shown;
}

}  // namespace curfew::detail
