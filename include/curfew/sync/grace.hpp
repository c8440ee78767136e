#pragma once

#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <memory>
#include <optional>
#include <source_location>

namespace curfew {

/// A time in which work may be brought to an end in good order once its context has ended: two contexts, of
/// which one ends with `ctx`, and the other some time later.
///
///     curfew::grace grace(ctx, 5s);
///     while (auto item = queue.receive(grace.soft())) {           // no new work once ctx has ended,
///       if (!*item || !store(grace.hard(), **item)) break;        // but what was begun has 5 s to finish
///     }
///     flush(grace.hard());                                        // and this has what is left of them
///
/// The time is one for all that is done with `hard()`, and runs from the end of ctx.
///
/// Lifetime:       the destructor cancels `hard()`.
/// Thread safety:  any thread; destroying as for any object. From callbacks of the two contexts, too.
/// Cost:           three allocations; two more at the end of ctx, in the thread that ends it. If there is no
///                 memory for those, `hard()` ends at once.
class [[nodiscard("a grace that is not kept cancels its hard() at once: name it")]] grace {
 public:
  /// \param ctx  If it has ended already, the time begins now.
  /// \param d    From the clock of ctx. Zero or less: `hard()` ends with ctx. Saturates.
  /// Throws:     as with_deadline.
  [[nodiscard("a grace that is not kept cancels its hard() at once: name it")]] grace(
      const context& ctx, clock::duration d, std::source_location where = std::source_location::current());
  grace(const grace&) = delete;
  grace& operator=(const grace&) = delete;
  ~grace();

  /// Ends with ctx: for what should not be begun any more. It is ctx.
  [[nodiscard]] const context& soft() const noexcept;

  /// Has the values of ctx and ends `d` after it: for what should be finished. Its deadline is that of ctx
  /// and `d`. It does not come nearer when ctx is canceled before: ask `remaining`.
  /// Ends with:  the err and the cause that ctx ended with; where a deadline of ctx came in the life of the
  ///             grace, the cause is the err. errc::canceled when the grace is destroyed. The first stays.
  [[nodiscard]] const context& hard() const noexcept;

  /// What is left of the time; none before ctx has ended; zero once `hard()` has ended because of it.
  [[nodiscard]] std::optional<clock::duration> remaining() const noexcept;

 private:
  class state;
  std::shared_ptr<state> state_;
};

}  // namespace curfew
