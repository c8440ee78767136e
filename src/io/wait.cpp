#include <curfew/core/on_done.hpp>
#include <curfew/io/wait.hpp>
#include <memory>
#include <optional>

namespace curfew::detail {

namespace {

/// Waits for the end of `watched`, then completes. Owns itself until its callback has run and another thread,
/// the handler's, has let go of it: the callback cannot destroy the on_done that it runs in, but the posted
/// completion can.
template <class T>
struct waiter {
  struct fire {
    std::shared_ptr<waiter> self;

    void operator()() noexcept {
      auto keep = std::move(self);
      keep->complete(keep->outcome());
    }
  };

  std::move_only_function<T()> outcome;
  erased_handler<T> complete;
  std::optional<cancel_scope> scope;
  std::optional<on_done<fire>> ending;
};

}  // namespace

void start_wait(context ctx, erased_handler<std::error_code> complete) {
  auto w = std::make_shared<waiter<std::error_code>>();
  w->complete = std::move(complete);
  w->outcome = [ctx] { return ctx.err(); };
  w->ending.emplace(ctx, waiter<std::error_code>::fire{w});
}

void start_sleep(context ctx, clock::duration d, erased_handler<result<>> complete) {
  auto w = std::make_shared<waiter<result<>>>();
  w->complete = std::move(complete);
  w->outcome = [ctx]() -> result<> {
    if (ctx.err()) return std::unexpected(error::ended(ctx, "sleeping"));
    return {};
  };
  w->scope.emplace(with_timeout(ctx, d));
  w->ending.emplace(*w->scope, waiter<result<>>::fire{w});
}

}  // namespace curfew::detail
