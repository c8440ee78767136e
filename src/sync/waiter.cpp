#include <curfew/core/on_done.hpp>
#include <curfew/sync/detail/waiter.hpp>

namespace curfew::detail {

const wait_entry* thread_waiter::wait() noexcept {
  // First without sleep: the answer may be under way on another core, and then takes less time than falling
  // asleep would. The context is asked instead of registered with.
  const auto is_over = [this] {
    if (is_finished()) return true;
    if (ctx_.err() && claim()) finish(nullptr);
    return is_finished();
  };
  if (threads::spin_until(is_over)) return ended_by();

  const on_done ending(ctx_, [this]() noexcept {
    if (claim()) finish(nullptr);
  });
  if (!arm()) return ended_by();
  tell_blocked(ctx_);
  for (std::uint32_t seen = state_.load(std::memory_order_acquire); (seen & finished) == 0;
       seen = state_.load(std::memory_order_acquire)) {  // pairs: publish()
    threads::sleep_while(state_, seen);
  }
  return ended_by();
}

void thread_waiter::wake(waiter& self) noexcept {
  auto& mine = static_cast<thread_waiter&>(self);
  auto* word = &mine.state_;
  tell_unblocked(mine.ctx_);
  mine.publish();
  threads::wake(word);  // the waiter may be gone: it may have looked before it was woken
}

}  // namespace curfew::detail
