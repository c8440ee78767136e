#pragma once

#include <boost/asio/async_result.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/completion.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace curfew {

namespace detail {

/// A piece of work, and what to do if it was not run because its context ended in the queue.
struct offload_job {
  std::move_only_function<void()> run;
  std::move_only_function<void()> give_up;
};

void enqueue(thread_pool& pool, context ctx, offload_job job);

template <class F>
using offload_result = std::remove_cvref_t<std::invoke_result_t<F&, const context&>>;

/// What `run` and `give_up` share, since only one of them is called: the work and the handler that waits for
/// it.
template <class F, class Handler, class Executor>
struct offload_state {
  using value = offload_result<F>;

  context ctx;
  std::optional<F> f;
  Handler handler;
  Executor executor;

  offload_state(context c, F work, Handler h, Executor ex)
      : ctx(std::move(c)),
        f(std::move(work)),
        handler(std::move(h)),
        executor(std::move(ex)) {}

  void run() {
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

  void give_up() { resume(nullptr, std::unexpected(error::ended(ctx, "waiting for a thread"))); }

  void resume(std::exception_ptr thrown, result<value> got) {
    f.reset();  // here, in the thread it ran in, before the one who waits for it goes on
    auto call = [h = std::move(handler), thrown = std::move(thrown), got = std::move(got)]() mutable {
      std::move(h)(std::move(thrown), std::move(got));
    };
    boost::asio::post(executor, std::move(call));
  }
};

template <class F>
class offload_initiation {
 public:
  explicit offload_initiation(thread_pool& pool) noexcept : pool_(&pool) {}

  template <class Handler>
  void operator()(Handler handler, context ctx, F f) const {
    auto executor = boost::asio::prefer(boost::asio::get_associated_executor(handler),
                                        boost::asio::execution::outstanding_work.tracked);
    using state = offload_state<F, Handler, decltype(executor)>;
    auto shared = std::make_shared<state>(ctx, std::move(f), std::move(handler), std::move(executor));
    offload_job job;
    job.run = [shared] { shared->run(); };
    job.give_up = [shared] { shared->give_up(); };
    enqueue(*pool_, std::move(ctx), std::move(job));
  }

 private:
  thread_pool* pool_;
};

}  // namespace detail

/// Runs `f(ctx)` on a thread of the pool: `auto sum = co_await curfew::offload(ctx, work);`
///
/// Completes when:  `f` has returned, with `result<R>`; or ctx ends while `f` is still in the queue: its
///                  place is given up.
/// Errors:          the end of ctx, if `f` was never started. What `f` throws is rethrown to the one who
///                  awaits.
/// Cancellation:    `f` gets ctx and has to look at it; once started it is waited for, and what it returns
///                  is delivered.
/// Lifetime:        `f` is moved; what it refers to must live until completion. Name a lambda on a line of
///                  its own: g++ 12 destroys one written inside a co_await expression twice.
/// Thread safety:   any thread; the handler runs on its own executor.
template <class F, class Token = default_token>
  requires std::invocable<F&, const context&>
auto offload(thread_pool& pool, context ctx, F f, Token&& token = {}) {
  using value = detail::offload_result<F>;
  return boost::asio::async_initiate<Token, void(std::exception_ptr, result<value>)>(
      detail::offload_initiation<F>(pool), token, std::move(ctx), std::move(f));
}

template <class F, class Token = default_token>
  requires std::invocable<F&, const context&>
auto offload(context ctx, F f, Token&& token = {}) {
  return offload(thread_pool::shared(), std::move(ctx), std::move(f), std::forward<Token>(token));
}

}  // namespace curfew
