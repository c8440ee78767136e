#include <algorithm>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <curfew/core/after_func.hpp>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/pool.hpp>
#include <curfew/io/sync.hpp>
#include <curfew/sync/semaphore.hpp>
#include <memory>
#include <mutex>
#include <utility>

namespace curfew::detail {
namespace {

constexpr auto doing = "pool";

/// In the thread that ends the context: what expires is destroyed there.
struct at_once {
  template <class F>
  void execute(F f) const {
    f();
  }
};

class counted_wait {
 public:
  explicit counted_wait(std::atomic<std::size_t>& waits) noexcept : waits_(waits) { ++waits_; }
  counted_wait(const counted_wait&) = delete;
  counted_wait& operator=(const counted_wait&) = delete;
  ~counted_wait() { --waits_; }

 private:
  std::atomic<std::size_t>& waits_;
};

}  // namespace

pool_base::pool_base(pool_options options, const context& ctx)
    : options_(options),
      clock_(without_cancel(ctx)),
      closing_(with_cancel(clock_)),
      places_(options.capacity() != 0 ? std::min(options.capacity(), semaphore::max()) : semaphore::max()) {}

error pool_base::closed() { return error(make_error_code(errc::closed), doing); }

error pool_base::refusal(const context& ctx, const error& otherwise) const {
  if (ctx.err()) return error::ended(ctx, doing);
  return closing_.err() ? closed() : otherwise;
}

result<semaphore::permit> pool_base::enter(const context& ctx) {
  if (ctx.err()) return error::ended(ctx, doing);
  if (auto place = places_.try_acquire()) return std::move(*place);
  const counted_wait counted(waiting_);
  const auto either = merge(ctx, closing_.ctx());
  auto place = places_.acquire(either);
  if (!place) return refusal(ctx, place.error());
  return place;
}

boost::asio::awaitable<result<semaphore::permit>> pool_base::async_enter(context ctx) {
  if (ctx.err()) co_return error::ended(ctx, doing);
  if (auto place = places_.try_acquire()) co_return std::move(*place);
  const counted_wait counted(waiting_);
  const auto either = merge(ctx, closing_.ctx());
  auto place = co_await async_acquire(either.ctx(), places_);
  if (!place) co_return refusal(ctx, place.error());
  co_return place;
}

pool_base::alarm::alarm(const context& ctx, clock::time_point at, std::weak_ptr<pool_base> of)
    : scope(with_deadline(ctx, at)),
      rings(after_func(scope.ctx(), at_once(), [of = std::move(of)] {
        const auto pool = of.lock();
        if (!pool) return;
        {
          const std::lock_guard guard(pool->mutex_);
          pool->alarm_at_.reset();
        }
        pool->expire();
      })) {}

void pool_base::arm(clock::time_point not_before) noexcept {
  clock::time_point at;
  unsigned number = 0;
  {
    const std::lock_guard guard(mutex_);
    const auto expiry = next_expiry();
    if (!expiry) return;
    at = std::max(*expiry, not_before);
    if (alarm_at_ && *alarm_at_ <= at) return;
    alarm_at_ = at;
    number = ++alarm_number_;
  }
  try {
    auto made = std::make_unique<alarm>(clock_, at, weak_from_this());
    const std::lock_guard guard(mutex_);  // released before `made` is destroyed
    if (number == alarm_number_) alarm_.swap(made);
  } catch (...) {
    const std::lock_guard guard(mutex_);
    if (number == alarm_number_) alarm_at_.reset();
  }
}

void pool_base::end_waits() noexcept {
  std::unique_ptr<alarm> off;
  {
    const std::lock_guard guard(mutex_);
    ++alarm_number_;
    off = std::move(alarm_);
  }
  closing_.cancel();
}

}  // namespace curfew::detail
