#include <chrono>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/sync/detail/waiter.hpp>

namespace curfew::detail {

namespace {

/// How long a thread looks before it sleeps. It looks between yields in the end, and where other processes want the
/// cores each yield may take a whole time slice of each of them: then a test of 3 ms takes seconds. So the time of the
/// yields is limited, and a thread that has met that does without them for a while.
class lookout {
 public:
  [[nodiscard]] bool goes_on() noexcept {
    if (++looks_ <= without_yield) return true;
    if (waits_without_yields != 0) {
      --waits_without_yields;
      return false;
    }
    const auto now = std::chrono::steady_clock::now();
    if (looks_ == without_yield + 1) first_yield_ = now;
    if (now - first_yield_ < most) return true;
    waits_without_yields = 32;
    return false;
  }

 private:
  static constexpr unsigned without_yield = 64;  // threads::relax() only pauses until then
  static constexpr std::chrono::microseconds most{100};
  constinit inline static thread_local unsigned waits_without_yields = 0;

  unsigned looks_ = 0;
  std::chrono::steady_clock::time_point first_yield_;
};

}  // namespace

const wait_entry* thread_waiter::wait(const context& sleeps_under) noexcept {
  // First without sleep: the answer may be under way on another core, and then takes less time than falling
  // asleep would. The context is asked instead of registered with.
  const auto is_over = [this] {
    if (is_finished()) return true;
    if (ctx_.err() && claim()) finish(nullptr);
    return is_finished();
  };
  lookout look;
  if (threads::spin_until([&] { return is_over() || !look.goes_on(); }) && is_finished()) return ended_by();

  const waiting_for told(what_, 0, lock_);
  const sleeping sleep(sleeps_under);
  sleeping_ = &sleep;
  const on_done ending(ctx_, [this]() noexcept {
    if (claim()) finish(nullptr);
  });
  if (!arm()) return ended_by();
  sleep.begin();
  for (std::uint32_t seen = state_.load(std::memory_order_acquire); (seen & finished) == 0;
       seen = state_.load(std::memory_order_acquire)) {  // pairs: publish()
    threads::sleep_while(state_, seen);
  }
  return ended_by();
}

void thread_waiter::wake(waiter& self) noexcept {
  auto& mine = static_cast<thread_waiter&>(self);
  auto* word = &mine.state_;
  mine.sleeping_->end();
  mine.publish();
  threads::wake(word);  // the waiter may be gone: it may have looked before it was woken
}

}  // namespace curfew::detail
