#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/completion.hpp>
#include <curfew/io/detail/async_wait.hpp>
#include <curfew/io/detail/await_with.hpp>
#include <curfew/io/detail/task_executor.hpp>
#include <curfew/sync/task_group.hpp>
#include <exception>
#include <memory>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

namespace curfew {

namespace detail {

/// A coroutine's place in a group: from when it is spawned until its frame is gone, even if its executor never runs
/// it.
class group_member {
 public:
  explicit group_member(task_group& group) noexcept : group_(&group) { group_access::enter(group); }
  group_member(group_member&& other) noexcept : group_(std::exchange(other.group_, nullptr)) {}
  group_member& operator=(group_member&&) = delete;
  ~group_member() {
    if (group_ != nullptr) {
      leave(
          std::unexpected(error(make_error_code(errc::canceled), "a coroutine that was not run to its end")));
    }
  }

  void leave(result<> outcome, std::exception_ptr thrown = nullptr) noexcept {
    group_access::leave(*std::exchange(group_, nullptr), std::move(outcome), std::move(thrown));
  }

 private:
  task_group* group_;
};

/// Posts the handler to its executor; `counted` counts until it has returned.
struct counted_post {
  template <class Handler>
  void operator()(Handler handler, activity counted) const {
    const auto executor = boost::asio::get_associated_executor(handler);
    boost::asio::post(executor, [handler = std::move(handler), counted = std::move(counted)]() mutable {
      const busy_frame here(counted.clock());
      std::move(handler)();
    });
  }
};

inline constexpr task_kind coroutine_of_group{"coroutine"};

/// \param shown  By inspection, as long as it runs.
/// \param begun  Counts until the coroutine waits for the first time.
template <class F>
boost::asio::awaitable<void> run_member(group_member member, open_task shown, activity begun, context ctx,
                                        F f) {
  static_assert(std::is_same_v<awaited_outcome<F>, result<>>,
                "curfew::spawn: a coroutine of a group returns asio::awaitable of void, curfew::result<> or "
                "std::error_code; it hands its values on by itself");
  result<> outcome;
  std::exception_ptr thrown;
  if (begun.clock()) {
    default_token token;
    auto turn = boost::asio::async_initiate<default_token, void()>(counted_post(), token, std::move(begun));
    co_await std::move(turn);
  }
  try {
    if constexpr (std::is_void_v<awaited<F>>) {
      co_await f(std::move(ctx));
    } else {
      outcome = as_outcome(co_await f(std::move(ctx)));
    }
  } catch (...) {
    thrown = std::current_exception();
  }
  shown.close();
  member.leave(std::move(outcome), std::move(thrown));
}

/// The group of a coroutine that awaits the group's end. If the frame is destroyed before, with its io_context, the
/// coroutines of the group go the same way and are not waited for.
class awaited_group {
 public:
  explicit awaited_group(std::unique_ptr<task_group> group) noexcept : group_(std::move(group)) {}
  awaited_group(const awaited_group&) = delete;
  awaited_group& operator=(const awaited_group&) = delete;
  ~awaited_group() {
    if (group_ != nullptr) group_access::abandon(std::move(group_));
  }

  [[nodiscard]] task_group& get() const noexcept { return *group_; }
  void joined() noexcept { group_.reset(); }

 private:
  std::unique_ptr<task_group> group_;
};

/// The wait for all tasks of a group, and what its join() says then.
class async_joining : public async_thing<group_joining> {
 public:
  explicit async_joining(task_group& group) noexcept
      : async_thing(group_joining(group), "join"),
        group_(&group) {}

  std::tuple<std::exception_ptr, result<>> outcome(const context& /*ctx*/, bool happened) {
    if (!happened) return {nullptr, error(make_error_code(errc::canceled), "join")};
    try {
      return {nullptr, group_->join()};  // at once: they are over
    } catch (...) {
      return {std::current_exception(), result<>()};
    }
  }

 private:
  task_group* group_;
};

}  // namespace detail

/// Runs a coroutine as a task of a group, on `executor`: `f(ctx)` returns an asio::awaitable of void,
/// result<> or std::error_code. The group's limit counts threads, not coroutines. A coroutine that is
/// destroyed before its end, with its executor, counts as an error.
///
/// Lifetime:       `f` is moved, and lives until the coroutine is over; a lambda with captures is fine here.
///                 Name it on a line of its own: g++ 12 destroys one inside a co_await expression twice.
/// Throws:         std::bad_alloc; the coroutine does not run then.
/// Thread safety:  any thread.
template <class Executor, class F>
  requires detail::coroutine_of_context<F>
void spawn(task_group& group, const Executor& executor, F f,
           std::source_location where = std::source_location::current()) {
  detail::open_task shown(group.ctx(), detail::coroutine_of_group, {}, where);
  auto on = detail::working_for_on(shown.ref(), executor);
  boost::asio::co_spawn(
      std::move(on),
      detail::run_member<F>(detail::group_member(group), std::move(shown),
                            detail::activity(detail::group_access::clock(group)), group.ctx(), std::move(f)),
      boost::asio::detached);
}

/// Waits until all tasks of a group are over: `auto joined = co_await curfew::async_join(group);`
///
/// Completes when:  all are over; with what `task_group::join` returns, and throws what it throws.
/// Cancellation:    Asio's per-operation cancellation gives up the wait (errc::canceled); the tasks go on.
/// Lifetime:        the group lives until completion.
/// Thread safety:   one join of a group at a time; the handler runs on its own executor.
template <class Token = default_token>
auto async_join(task_group& group, Token&& token = {}) {
  return detail::initiate_wait<void(std::exception_ptr, result<>)>(
      std::forward<Token>(token), detail::root_of(group.ctx()), detail::async_joining(group));
}

/// Runs a task group for coroutines and awaits its end, as the end of a block joins a task_group:
///
///     auto body = [&](curfew::task_group& group) -> asio::awaitable<void> {
///       curfew::spawn(group, co_await asio::this_coro::executor, reader);
///       curfew::spawn(group, co_await asio::this_coro::executor, writer);
///       co_return;
///     };
///     auto done = co_await curfew::async_task_group(ctx, body);
///
/// Awaits `body`, then what it has spawned. If `body` throws, the group is canceled, its tasks are
/// waited for, and the exception comes out.
///
/// \return the first error, or none.
/// Cancellation:   by ctx, or Asio's per-operation cancellation of the caller: the tasks' context ends, and they are
///                 waited for all the same.
/// Lifetime:       the tasks may use what `body` refers to. Do not destroy the io_context before they are
///                 over.
template <class Body>
  requires std::invocable<Body&, task_group&>
boost::asio::awaitable<result<>> async_task_group(
    context ctx, Body body, std::source_location where = std::source_location::current()) {
  detail::awaited_group group(std::make_unique<task_group>(ctx, where));
  std::exception_ptr thrown;
  try {
    co_await body(group.get());
  } catch (...) {
    thrown = std::current_exception();
    group.get().cancel("the body of the group threw an exception");
  }
  // Asio's per-operation cancellation is for the tasks, which are waited for all the same.
  const bool throws_if_canceled = co_await boost::asio::this_coro::throw_if_cancelled();
  co_await boost::asio::this_coro::throw_if_cancelled(false);
  const boost::asio::cancellation_state canceled = co_await boost::asio::this_coro::cancellation_state;
  auto slot = canceled.slot();
  if (slot.is_connected()) {
    slot.assign(
        [&group](boost::asio::cancellation_type /*type*/) { group.get().cancel("canceled by Asio"); });
  }
  if (canceled.cancelled() != boost::asio::cancellation_type::none) group.get().cancel("canceled by Asio");
  auto token = boost::asio::bind_cancellation_slot(boost::asio::cancellation_slot(), default_token());
  auto joined = co_await async_join(group.get(), std::move(token));
  if (slot.is_connected()) slot.clear();
  co_await boost::asio::this_coro::throw_if_cancelled(throws_if_canceled);
  group.joined();
  if (thrown) std::rethrow_exception(thrown);
  co_return joined;
}

}  // namespace curfew
