#pragma once

#include <boost/asio/async_result.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/done.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/completion.hpp>
#include <curfew/io/detail/async_wait.hpp>
#include <curfew/sync/select.hpp>
#include <system_error>
#include <tuple>
#include <utility>

namespace curfew {

namespace detail {

/// The wait for the end of a context, or for a point in time, which is one, too.
template <class Thing, class Outcome>
class async_end {
 public:
  explicit async_end(Thing thing) noexcept : thing_(std::move(thing)) {}

  [[nodiscard]] bool try_now() const noexcept { return thing_.try_now(); }
  bool enlist(waiter& w) {
    thing_.enlist(w);
    return true;
  }
  void delist(const wait_entry* /*by*/) noexcept { thing_.delist(); }
  std::tuple<Outcome> outcome(const context& ctx, bool happened) const {
    const std::error_code canceled = make_error_code(errc::canceled);  // by Asio's slot, unless ctx says more
    if constexpr (std::is_same_v<Outcome, std::error_code>) {
      return happened ? thing_.outcome() : canceled;
    } else {
      if (happened) return Outcome();
      return Outcome(
          std::unexpected(ctx.err() ? error::ended(ctx, "sleeping") : error(canceled, "sleeping")));
    }
  }

 private:
  Thing thing_;
};

}  // namespace detail

/// Waits for the end of a context: `auto err = co_await curfew::async_wait(ctx.done());`
///
/// Completes when:  the context ends; with its err. Never for one that cannot end.
/// Cancellation:    none but that, and Asio's per-operation cancellation: errc::canceled.
/// Lifetime:        keeps the context alive.
/// Thread safety:   any thread may start it; the handler runs on its own executor.
template <class Token = default_token>
auto async_wait(done_signal done, Token&& token = {}) {
  using end = detail::async_end<detail::ending, std::error_code>;
  return detail::initiate_wait<void(std::error_code)>(std::forward<Token>(token), background(),
                                                      end(detail::ending(std::move(done).ctx())));
}

/// Sleeps for `d` on the clock of `ctx`: the system's, or the manual clock that a test moves.
///
/// Completes when:  `d` has passed (zero or less: at once), or ctx ends.
/// Errors:          the end of ctx, with its cause. A deadline of ctx that comes before: deadline_exceeded.
/// Cancellation:    by ctx, or Asio's per-operation cancellation: errc::canceled.
/// Lifetime:        keeps the context alive.
/// Thread safety:   any thread may start it; the handler runs on its own executor.
template <class Token = default_token>
auto async_sleep_for(context ctx, clock::duration d, Token&& token = {}) {
  using end = detail::async_end<detail::instant, result<>>;
  auto until = end(after(ctx, d));
  return detail::initiate_wait<void(result<>)>(std::forward<Token>(token), std::move(ctx), std::move(until));
}

}  // namespace curfew
