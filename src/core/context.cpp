#include <curfew/core/context.hpp>
#include <memory>
#include <utility>

#include "core/byte_lock.hpp"
#include "core/timer_wheel.hpp"
#include "core/tree.hpp"

namespace curfew {

using detail::ender_node;
using detail::ender_of;

cause context::cause() const noexcept {
  const ender_node* n = ender_of(*this);
  const detail::end_code code = detail::code_of(n);
  if (code == detail::live) return {};
  const detail::cause_record* why = n->why;
  if (why == nullptr) why = detail::cause_of_end(code);
  detail::retain(why);
  return detail::tree::adopt(why);
}

std::optional<clock::time_point> context::deadline() const noexcept {
  const detail::nanoseconds at = ender_of(*this)->time->deadline;
  if (at == detail::no_deadline) return std::nullopt;
  return detail::as_time_point(at);
}

std::optional<clock::duration> context::remaining() const noexcept {
  const auto at = deadline();
  if (!at) return std::nullopt;
  const auto from = now();
  return *at > from ? *at - from : clock::duration::zero();  // compared first: the difference may not fit
}

clock::time_point context::now() const noexcept {
  return detail::as_time_point(detail::clock_of(ender_of(*this)).now());
}

std::stop_token context::stop_token() const {
  ender_node* n = ender_of(*this);
  if (!n->can_end()) return {};
  std::stop_source source;
  auto spare = std::make_unique<detail::node_extras>();
  {
    const detail::byte_lock guard(n->state);
    if (n->extras == nullptr) n->extras = spare.release();
    detail::node_extras* extras = n->extras;
    if (extras->stop.stop_possible()) {
      source = extras->stop;
    } else {
      extras->stop = source;
    }
    if (detail::code_in(guard.bits) == detail::live) return source.get_token();
  }
  source.request_stop();  // the ending thread may not have come to that yet, or not have seen the source
  return source.get_token();
}

}  // namespace curfew
