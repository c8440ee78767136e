#include <algorithm>
#include <atomic>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/sync/grace.hpp>
#include <exception>
#include <limits>

// Invariants
//  1. `timer_` and `run_out_` are touched by begin(), and by stop() after begin() has returned or can no
//     longer come; or inside of it, in the same thread, where a callback destroys the grace.
//  2. `until_` is written by begin() alone. Nothing else is read by it, so it is relaxed.
//
// The state outlives the grace that a callback of hard() destroys, until begin() or the end of the time is
// done with it.

namespace curfew {

namespace {

constexpr clock::rep not_begun = std::numeric_limits<clock::rep>::min();

clock::time_point later(clock::time_point t, clock::duration d) noexcept {
  return d < clock::time_point::max() - t ? t + d : clock::time_point::max();
}

cancel_scope derive_hard(const context& ctx, clock::duration d, std::source_location where) {
  const context values = without_cancel(ctx, where);
  // One that has ended already may have had a deadline long ago; the time begins now.
  const std::error_code err = ctx.err();
  if (err == errc::deadline_exceeded) return with_deadline(values, later(ctx.now(), d), ctx.cause(), where);
  const auto deadline = ctx.deadline();
  if (err || !deadline) return with_cancel(values, where);
  return with_deadline(values, later(*deadline, d), {}, where);
}

}  // namespace

class grace::state : public std::enable_shared_from_this<state> {
 public:
  struct at_end {
    state* self;
    void operator()() const noexcept { self->begin(); }
  };
  struct at_run_out {
    state* self;
    void operator()() const noexcept {
      const auto keep = self->shared_from_this();
      keep->run_out();
    }
  };

  state(const context& ctx, clock::duration d, std::source_location where)
      : soft_(ctx),
        length_(std::max(d, clock::duration::zero())),
        where_(where),
        hard_(derive_hard(ctx, length_, where)) {}

  void begin() noexcept {
    const auto keep = shared_from_this();
    const auto now = soft_.now();
    const auto until = later(now, length_);
    if (const auto own = hard_.deadline(); own && *own <= until) {  // it ends by itself
      until_.store(own->time_since_epoch().count(), std::memory_order_relaxed);
      return;
    }
    until_.store(until.time_since_epoch().count(), std::memory_order_relaxed);
    if (until > now) {
      try {
        timer_.emplace(with_deadline(detail::root_of(soft_), until, {}, where_));
        run_out_.emplace(*timer_, at_run_out{this});
        return;
      } catch (const std::exception&) {  // no memory, or no timer thread
        until_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
      }
    }
    run_out();
  }

  void run_out() noexcept { hard_.cancel(soft_.cause()); }

  void stop() noexcept {
    begin_.reset();
    run_out_.reset();
    timer_.reset();
    hard_.cancel();
  }

 private:
  friend class grace;

  const context soft_;
  const clock::duration length_;
  const std::source_location where_;
  cancel_scope hard_;
  std::atomic<clock::rep> until_{not_begun};
  std::optional<cancel_scope> timer_;
  std::optional<on_done<at_run_out>> run_out_;
  std::optional<on_done<at_end>> begin_;
};

grace::grace(const context& ctx, clock::duration d, std::source_location where)
    : state_(std::make_shared<state>(ctx, d, where)) {
  state_->begin_.emplace(ctx, state::at_end{state_.get()});
}

grace::~grace() { state_->stop(); }

const context& grace::soft() const noexcept { return state_->soft_; }

const context& grace::hard() const noexcept { return state_->hard_.ctx(); }

std::optional<clock::duration> grace::remaining() const noexcept {
  const clock::rep until = state_->until_.load(std::memory_order_relaxed);
  if (until == not_begun) {
    if (!state_->soft_.err()) return std::nullopt;
    return state_->length_;  // it has ended, and is about to call begin()
  }
  const auto now = state_->soft_.now();
  return std::max(clock::time_point(clock::duration(until)) - now, clock::duration::zero());
}

}  // namespace curfew
