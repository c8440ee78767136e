#include <curfew/core/cancel_scope.hpp>
#include <memory>

#include "core/byte_lock.hpp"
#include "core/tree.hpp"

namespace curfew {

canceler cancel_scope::canceler() const {
  auto* n = static_cast<detail::ender_node*>(detail::tree::of(node_));
  auto extras = std::make_unique<detail::node_extras>();
  auto control = std::make_unique<detail::canceler_control>();
  const detail::byte_lock guard(n->state);
  if (!n->can_end() || detail::code_in(guard.bits) != detail::live) return {};
  if (n->extras == nullptr) n->extras = extras.release();
  detail::node_extras* its = n->extras;
  if (its->control == nullptr) {
    its->control = control.release();
    its->control->target = n;
  }
  its->control->refs.fetch_add(1, std::memory_order_relaxed);
  return curfew::canceler(its->control);
}

canceler::canceler(const canceler& other) noexcept : control_(other.control_) {
  if (control_ != nullptr) control_->refs.fetch_add(1, std::memory_order_relaxed);
}

canceler::~canceler() { detail::release(control_); }

void canceler::cancel() const noexcept { cancel(cause()); }

void canceler::cancel(cause why) const noexcept {
  if (control_ == nullptr) return;
  detail::ender_node* n = nullptr;
  {
    const detail::byte_lock guard(control_->lock);
    n = control_->target;
    if (n == nullptr) return;
    detail::retain(n);  // alive: its end clears `target` before the reference is given back
  }
  detail::release(n, 1 + detail::end(n, detail::canceled, detail::tree::take(why)));
}

}  // namespace curfew
