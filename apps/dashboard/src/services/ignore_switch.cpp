#include "services/ignore_switch.hpp"

#include <utility>

namespace curfew_dashboard {

ignore_switch::ignore_switch() : all_(curfew::with_cancel(curfew::background())) {}

bool ignore_switch::on() const {
  const std::lock_guard guard(mutex_);
  return on_;
}

void ignore_switch::set(bool on) {
  curfew::cancel_scope before = curfew::with_cancel(curfew::background());
  {
    const std::lock_guard guard(mutex_);
    if (std::exchange(on_, on) == on || on) return;
    ++period_;
    std::swap(before, *all_);
  }
  before.cancel("the context is obeyed again");  // runs callbacks: not under the mutex
}

bool ignore_switch::is_over(std::uint64_t period) const {
  const std::lock_guard guard(mutex_);
  return period != period_;
}

std::unique_ptr<ignore_switch::life> ignore_switch::begin(const curfew::context& ctx) {
  std::unique_ptr<life> made(new life(ctx));
  curfew::context all = curfew::background();
  std::uint64_t period = 0;
  {
    const std::lock_guard guard(mutex_);
    if (!on_) return made;
    all = all_->ctx();
    period = period_;
  }
  made->ignored_.emplace(*this, period, all, ctx);
  return made;
}

ignore_switch::life::ignoring::ignoring(const ignore_switch& owner, std::uint64_t period,
                                        const curfew::context& all, const curfew::context& asker)
    : own(curfew::with_cancel(curfew::without_cancel(asker))),
      off(all, turned_off{&own, asker}),
      left(asker, asker_left{&owner, period, &own, asker}) {}

void ignore_switch::life::asker_left::operator()() const noexcept {
  if (owner->is_over(period)) own->cancel(asker.cause());
}

void ignore_switch::life::turned_off::operator()() const noexcept {
  if (asker.err()) own->cancel("the context is obeyed again");
}

}  // namespace curfew_dashboard
