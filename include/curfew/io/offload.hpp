#pragma once

#include <boost/asio/async_result.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/completion.hpp>
#include <curfew/io/detail/remote_handler.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

namespace curfew {

namespace detail {

inline constexpr task_kind offloaded{"offloaded work"};

/// A piece of work, and what is called instead if its context ends while it is in the queue.
struct offload_job {
  open_task shown;  // by inspection
  std::move_only_function<void()> run;
  std::move_only_function<void()> give_up;
};

void enqueue(thread_pool& pool, context ctx, offload_job job);

template <class F>
using offload_result = std::remove_cvref_t<std::invoke_result_t<F&, const context&>>;

/// What `run` and `give_up` share: the work, and the handler that waits for it. Only one of them is called.
template <class F, class Handler>
struct offload_state {
  using value = offload_result<F>;

  context ctx;
  std::optional<F> f;
  std::shared_ptr<remote_handler<Handler>> handler;

  offload_state(context c, F work, Handler h)
      : ctx(std::move(c)),
        f(std::move(work)),
        handler(remote_handler<Handler>::make(std::move(h), ctx)) {}

  void run() {
    // Claimed before f runs: f may refer to the coroutine that waits, which is destroyed with its io_context.
    if (!handler->claim()) return;
    const busy_frame here(handler->clock());
    std::exception_ptr thrown;
    result<value> got = std::unexpected(error(make_error_code(errc::canceled)));
    try {
      if constexpr (std::is_void_v<value>) {
        std::invoke(*f, std::as_const(ctx));
        got = {};
      } else {
        got = std::invoke(*f, std::as_const(ctx));
      }
    } catch (...) {
      thrown = std::current_exception();
    }
    resume(std::move(thrown), std::move(got));
  }

  void give_up() {
    if (handler->claim()) resume(nullptr, std::unexpected(error::ended(ctx, "waiting for a thread")));
  }

  void resume(std::exception_ptr thrown, result<value> got) {
    f.reset();  // in the thread that it ran in, before the handler is called
    handler->post(std::move(thrown), std::move(got));
  }
};

template <class F>
class offload_initiation {
 public:
  explicit offload_initiation(thread_pool& pool) noexcept : pool_(&pool) {}

  template <class Handler>
  void operator()(Handler handler, context ctx, F f, std::source_location where) const {
    auto shared = std::make_shared<offload_state<F, Handler>>(ctx, std::move(f), std::move(handler));
    offload_job job;
    job.shown = open_task(ctx, offloaded, {}, where);
    about_to_wait("offloaded work", id_of(job.shown));
    job.run = [shared] { shared->run(); };
    job.give_up = [shared] { shared->give_up(); };
    enqueue(*pool_, std::move(ctx), std::move(job));
  }

 private:
  thread_pool* pool_;
};

}  // namespace detail

/// Runs `f(ctx)` on a thread of the pool: `auto sum = co_await curfew::async_offload(ctx, work);`
///
/// Completes when:  `f` has returned, with `result<R>`; or ctx ends while `f` is still in the queue: its
///                  place is given up.
/// Errors:          the end of ctx, if `f` was never started. What `f` throws is rethrown by the `co_await`.
/// Cancellation:    `f` gets ctx and has to look at it. Once started it is waited for, and what it returns
///                  is delivered.
/// Lifetime:        `f` is moved; what it refers to must live until completion. Name a lambda on a line of
///                  its own: g++ 12 destroys one written inside a co_await expression twice. An io_context that
///                  is destroyed before waits for an `f` that runs, so end its ctx first. An `f` in the queue
///                  is not run then.
/// Thread safety:   any thread; the handler runs on its own executor.
template <class F, class Token = default_token>
  requires std::invocable<F&, const context&>
auto async_offload(thread_pool& pool, context ctx, F f, Token&& token = {},
                   std::source_location where = std::source_location::current()) {
  using value = detail::offload_result<F>;
  return boost::asio::async_initiate<Token, void(std::exception_ptr, result<value>)>(
      detail::offload_initiation<F>(pool), token, std::move(ctx), std::move(f), where);
}

template <class F, class Token = default_token>
  requires std::invocable<F&, const context&>
auto async_offload(context ctx, F f, Token&& token = {},
                   std::source_location where = std::source_location::current()) {
  return async_offload(thread_pool::shared(), std::move(ctx), std::move(f), std::forward<Token>(token),
                       where);
}

}  // namespace curfew
