#include <utility>

#include "core/children.hpp"
#include "core/tree.hpp"

namespace curfew::detail {

ender_node::~ender_node() {
  if (!children.empty()) delete &lists_of(this);  // an ended node has no others
  if ((state.load(std::memory_order_relaxed) & state_bits::owns_why) != 0) release(why);
  node_extras* own = extras;
  if (own != nullptr) {
    release(own->control);
    delete own;
  }
}

void release(canceler_control* control) noexcept {
  if (control != nullptr && control->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) delete control;
}

namespace {

/// Nodes whose last reference is gone, linked by what a dying node no longer needs.
class graveyard {
 public:
  node* pop() noexcept {
    if (passive_ != nullptr) {
      passive_node* n = passive_;
      passive_ = static_cast<passive_node*>(n->ender);
      return n;
    }
    return static_cast<ender_node*>(enders_.pop_front());
  }

  void drop(node* n) noexcept {
    if (!drop_refs(n, 1)) return;
    if (n->kind >= node_kind::value) {
      auto* p = static_cast<passive_node*>(n);
      p->ender = std::exchange(passive_, p);
    } else {
      enders_.push_back(*static_cast<ender_node*>(n));
    }
  }

 private:
  passive_node* passive_ = nullptr;
  child_list enders_;
};

}  // namespace

void destroy(node* n, bool has_parent_ref) noexcept {
  graveyard dying;
  for (; n != nullptr; n = dying.pop()) {
    node* up = std::exchange(has_parent_ref, true) ? n->parent : nullptr;
    if (is_observed()) [[unlikely]]
      tell_destroyed(n);
    switch (n->kind) {
      case node_kind::immortal_root:
        break;
      case node_kind::root:
        delete static_cast<root_node*>(n);
        break;
      case node_kind::cancel:
        delete static_cast<ender_node*>(n);
        break;
      case node_kind::deadline:
        delete static_cast<deadline_node*>(n);
        break;
      case node_kind::idle:
        delete static_cast<idle_node*>(n);
        break;
      case node_kind::merged: {
        auto* m = static_cast<merged_node*>(n);
        for (link_node* l : m->links) dying.drop(l);
        for (context& other : m->others) dying.drop(tree::give_up(other));
        delete m;
        break;
      }
      case node_kind::link:
        delete static_cast<link_node*>(n);
        break;
      case node_kind::value: {
        auto* v = static_cast<value_node*>(n);
        v->destroy(v);
        break;
      }
      case node_kind::detached:
        delete static_cast<passive_node*>(n);
        break;
    }
    if (up != nullptr) dying.drop(up);
  }
}

}  // namespace curfew::detail
