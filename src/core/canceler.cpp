#include <curfew/core/cancel_scope.hpp>
#include <memory>

#include "core/byte_lock.hpp"
#include "core/tree.hpp"

namespace curfew {

canceler cancel_scope::canceler() const {
  auto* n = static_cast<detail::ender_node*>(detail::tree::of(node_));
  auto extras = std::make_unique<detail::node_extras>();
  auto hub = std::make_unique<detail::canceler_hub>();
  const detail::byte_lock guard(n->state);
  if (!n->can_end() || detail::code_in(guard.bits) != detail::live) return {};
  if (n->extras == nullptr) n->extras = extras.release();
  detail::node_extras* its = n->extras;
  if (its->hub == nullptr) {
    its->hub = hub.release();
    its->hub->target = n;
  }
  its->hub->refs.fetch_add(1, std::memory_order_relaxed);
  return curfew::canceler(its->hub);
}

canceler::canceler(const canceler& other) noexcept : hub_(other.hub_) {
  if (hub_ != nullptr) hub_->refs.fetch_add(1, std::memory_order_relaxed);
}

canceler::~canceler() { detail::release(hub_); }

void canceler::cancel() const noexcept { cancel(cause()); }

void canceler::cancel(cause why) const noexcept {
  if (hub_ == nullptr) return;
  detail::ender_node* n = nullptr;
  {
    const detail::byte_lock guard(hub_->lock);
    n = hub_->target;
    if (n == nullptr) return;
    detail::retain(n);  // alive: who ends it clears `target` before giving back its reference
  }
  detail::release(n, 1 + detail::end(n, detail::canceled, detail::tree::take(why)));
}

}  // namespace curfew
