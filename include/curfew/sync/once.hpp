#pragma once

#include <concepts>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/threads.hpp>
#include <curfew/core/error.hpp>
#include <curfew/sync/detail/outcome.hpp>
#include <curfew/sync/detail/unit_queue.hpp>
#include <type_traits>

namespace curfew {

namespace detail {
struct once_access;
}  // namespace detail

/// Has something done once, by the first caller that needs it:
///
///     curfew::once connected_;
///     auto ready = connected_.call(ctx, [&](const curfew::context& ctx) { return connect(ctx); });
///     if (!ready) return ready.error();
///
/// The first caller does it, with its own context; the others wait, each no longer than its own context
/// lives. If it fails, by an error, an exception, or because that caller's context ended, the next caller
/// tries, in the order of coming. Once it has succeeded it is never done again.
///
/// Lifetime:       it outlives all calls.
/// Thread safety:  any thread; one at a time runs a function. A function that calls `call` of the same `once`
///                 waits for itself, until its context ends.
/// Memory order:   what the function that succeeded did happens before the return of every call that reports
///                 it.
/// Source:         Go's sync.Once and std::call_once, whose callers wait whatever happens to their contexts.
class once {
 public:
  constexpr once() noexcept = default;
  once(const once&) = delete;
  once& operator=(const once&) = delete;
  ~once() = default;

  /// Returns at once if it has succeeded, even if ctx has ended. Else waits for its turn, and runs `f(ctx)`
  /// unless another caller has succeeded in the meantime.
  /// \param f      Returns void, result<> or std::error_code.
  /// Errors:       the end of ctx before its turn came, with its cause: f was not run. What f returned.
  /// Throws:       what f throws.
  /// Cost:         one atomic load after the success.
  template <class F>
    requires std::invocable<F&, const context&>
  [[nodiscard]] result<> call(const context& ctx, F&& f) {
    static_assert(std::is_same_v<detail::outcome<F&>, result<>>,
                  "curfew::once: the function returns void, curfew::result<> or std::error_code; what it "
                  "makes it keeps by itself, for all callers");
    if (succeeded()) return {};
    if (!turns_.take(ctx, 1, "once")) {
      if (succeeded()) return {};
      return detail::ended_wait(ctx, "once");
    }
    if (succeeded()) return {};
    turn mine{*this};
    result<> outcome = detail::call_with(f, ctx);
    mine.success = outcome.has_value();
    return outcome;
  }

  /// Has it been done?
  [[nodiscard]] bool succeeded() const noexcept {
    return succeeded_.load(std::memory_order_acquire);  // pairs: turn
  }

 private:
  friend struct detail::once_access;

  struct turn {
    once& of;
    bool success = false;

    explicit turn(once& o) noexcept : of(o) {}
    turn(const turn&) = delete;
    turn& operator=(const turn&) = delete;
    ~turn() {
      if (success) of.succeeded_.store(true, std::memory_order_release);  // pairs: succeeded()
      of.turns_.put_back(success ? detail::unit_queue::max() : 1);
    }
  };

  detail::threads::atomic<bool> succeeded_{false};
  // All units but one are held from the beginning; a turn is one. Success puts back all of them, so that all
  // callers go on at the same time.
  detail::unit_queue turns_{detail::unit_queue::max(), 1, 1};
};

namespace detail {

struct once_access {
  using turn = once::turn;
  static unit_queue& turns(once& of) noexcept { return of.turns_; }
};

}  // namespace detail

}  // namespace curfew
