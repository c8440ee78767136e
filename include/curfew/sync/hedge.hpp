#pragma once

#include <atomic>
#include <concepts>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/cause.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/sync/detail/outcome.hpp>
#include <curfew/sync/race.hpp>
#include <curfew/sync/task_group.hpp>
#include <expected>
#include <new>
#include <source_location>
#include <tuple>

namespace curfew {

namespace detail {

/// Why the other try of a hedge is canceled once one has decided.
[[nodiscard]] const cause& hedge_is_decided();

}  // namespace detail

/// Calls `f(ctx)`, and once more if no result has come after `delay`: the faster one wins. For requests
/// where a few are much slower than most, and a second one costs little:
///
///     auto value = curfew::hedge(ctx, 20ms, [&](const curfew::context& ctx) { return lookup(ctx, id); });
///
/// The second try starts when `delay` has passed on ctx's clock, or at once when the first has failed with an
/// error that is transient(). The first success cancels the context of the other try, with a cause that says
/// so, and so does an error that is not transient: the other try would meet it too. The call returns when
/// both are over. So f should obey its context. There are two tries at most.
///
/// \param delay  Such as the time in which 95 of 100 come back. Zero or less: both tries start at once.
/// \param f      Returns result<T>; or result<> or std::error_code. May run in two threads at a time: this
///               one, and one of the shared pool, of which nothing is needed while the first try is faster
///               than `delay`.
/// Errors:         the first that is not transient; if both tries fail, that of the first to fail. The end of
///                 ctx, with its cause, if it has ended by then; had it ended before, f is not called.
/// Throws:         what f throws before the other try has decided; it cancels that one. As with_timeout; but
///                 where there is no memory for the second try after `delay`, it is left to an error of the
///                 first.
/// Cancellation:   f gets a context that ends with ctx and has to look at it; a try that succeeds all the
///                 same wins.
/// Thread safety:  any thread, tasks of groups included.
/// Cost:           two allocations and a timer; one more for the second try.
/// Source:         "The Tail at Scale", Dean and Barroso, 2013; gRPC's hedging policy.
template <class F>
  requires std::invocable<F&, const context&>
detail::outcome<F&> hedge(const context& ctx, clock::duration delay, F&& f) {
  if (ctx.err()) return std::unexpected(error::ended(ctx, "hedge"));
  const cause& why = detail::hedge_is_decided();
  detail::contest<detail::outcome<F&>> contest;
  std::atomic<bool> second_is_taken{false};  // relaxed: it only decides which thread starts it
  const auto take_second = [&] { return !second_is_taken.exchange(true, std::memory_order_relaxed); };
  task_group group(ctx, ctx.origin());
  const auto try_once = [&] { return contest.run(group, f, why, true); };

  const auto delayed = with_timeout(group.ctx(), delay, {}, ctx.origin());
  on_done start_second(delayed, [&]() noexcept {
    if (group.ctx().err() || !take_second()) return;
    try {
      group.spawn([&](const context& /*its*/) { try_once(); }, ctx.origin());
    } catch (const std::bad_alloc&) {
      second_is_taken.store(false, std::memory_order_relaxed);
    }
  });
  if (!try_once() && !group.ctx().err() && take_second()) try_once();
  start_second.stop();  // it may be about to spawn
  std::ignore = group.join();
  return contest.outcome(ctx, "hedge");
}

}  // namespace curfew
