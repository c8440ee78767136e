#pragma once

// The asynchronous twins of the sync module: the same waits in the same queues, for coroutines and handlers.
// What is said there of what is canceled holds here: it did not happen.

#include <cstddef>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/completion.hpp>
#include <curfew/io/detail/async_wait.hpp>
#include <curfew/sync/channel.hpp>
#include <curfew/sync/mutex.hpp>
#include <curfew/sync/select.hpp>
#include <curfew/sync/semaphore.hpp>
#include <exception>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

namespace curfew {

/// Sends to a channel: `auto sent = co_await curfew::async_send(ctx, lines, "one");`
///
/// Completes when:  there is room, or a receiver takes the item; with result<>.
/// Errors:          the end of ctx, with its cause; errc::closed.
/// Cancellation:    by ctx, or Asio's per-operation cancellation (errc::canceled): the item is not sent, and
///                  is destroyed with the operation. Give a variable of your own to keep it: see below.
/// Lifetime:        the channel lives until completion.
/// Thread safety:   any thread may start it; the handler runs on its own executor, never inside this call.
template <class T, class Token = default_token>
auto async_send(context ctx, channel<T>& to, std::type_identity_t<T>&& item, Token&& token = {}) {
  return detail::initiate_wait<void(result<>)>(std::forward<Token>(token), std::move(ctx),
                                               detail::async_thing(to.sending(std::move(item)), "send"));
}
/// The same with a variable, which lives until completion and is moved from only if it was sent.
template <class T, class Token = default_token>
auto async_send(context ctx, channel<T>& to, std::type_identity_t<T>& item, Token&& token = {}) {
  return detail::initiate_wait<void(result<>)>(std::forward<Token>(token), std::move(ctx),
                                               detail::async_thing(to.sending_from(item), "send"));
}

/// Receives from a channel: `auto line = co_await curfew::async_receive(ctx, lines);`
///
/// Completes when:  an item comes, or the channel is closed and drained; with result<std::optional<T>>.
/// Errors:          the end of ctx, with its cause.
/// Cancellation:    by ctx, or Asio's per-operation cancellation (errc::canceled): no item is taken.
/// Lifetime:        the channel lives until completion.
/// Thread safety:   any thread may start it; the handler runs on its own executor, never inside this call.
template <class T, class Token = default_token>
auto async_receive(context ctx, channel<T>& from, Token&& token = {}) {
  return detail::initiate_wait<void(result<std::optional<T>>)>(
      std::forward<Token>(token), std::move(ctx), detail::async_thing(from.receiving(), "receive"));
}

/// Acquires units of a semaphore: `auto mine = co_await curfew::async_acquire(ctx, memory, 64);`
///
/// Completes when:  it is its turn, and there are as many units; with result<semaphore::permit>.
/// Errors:          those of `semaphore::acquire`; nothing is held then.
/// Cancellation:    by ctx, or Asio's per-operation cancellation (errc::canceled): nothing is held.
/// Lifetime:        the semaphore lives until completion. Units that come too late for a handler that was
///                  destroyed with its io_context are given back.
/// Thread safety:   any thread may start it; the handler runs on its own executor, never inside this call.
template <class Token = default_token>
auto async_acquire(context ctx, semaphore& from, std::size_t units = 1, Token&& token = {}) {
  auto wait = from.acquiring(units);
  // A request that is refused is told so, whether ctx has ended or not.
  if (wait.is_refused()) ctx = background();
  return detail::initiate_wait<void(result<semaphore::permit>)>(
      std::forward<Token>(token), std::move(ctx), detail::async_thing(std::move(wait), "acquire"));
}

/// Locks a mutex: `auto lock = co_await curfew::async_lock(ctx, mutex);`
///
/// Completes when:  it is its turn; with result<std::unique_lock<mutex>>. It may be held across a `co_await`.
/// Errors:          the end of ctx, with its cause; it is not held then.
/// Cancellation:    by ctx, or Asio's per-operation cancellation (errc::canceled): it is not held.
/// Lifetime:        the mutex lives until completion.
/// Thread safety:   any thread may start it; the handler runs on its own executor, never inside this call.
template <class Token = default_token>
auto async_lock(context ctx, mutex& m, Token&& token = {}) {
  return detail::initiate_wait<void(result<std::unique_lock<mutex>>)>(
      std::forward<Token>(token), std::move(ctx), detail::async_thing(m.locking(), "lock"));
}
template <class Token = default_token>
auto async_lock(context ctx, shared_mutex& m, Token&& token = {}) {
  return detail::initiate_wait<void(result<std::unique_lock<shared_mutex>>)>(
      std::forward<Token>(token), std::move(ctx), detail::async_thing(m.locking(), "lock"));
}

/// The same for a reader; with result<std::shared_lock<shared_mutex>>.
template <class Token = default_token>
auto async_lock_shared(context ctx, shared_mutex& m, Token&& token = {}) {
  return detail::initiate_wait<void(result<std::shared_lock<shared_mutex>>)>(
      std::forward<Token>(token), std::move(ctx), detail::async_thing(m.locking_shared(), "lock"));
}

namespace detail {

class async_cases {
 public:
  explicit async_cases(case_list& cases) : cases_(case_list_access::some(cases)) {}

  [[nodiscard]] bool has_ended() const noexcept { return any_has_ended(cases_); }
  bool try_now() {
    happened_ = select_now(cases_);
    return happened_ != no_case;
  }
  [[nodiscard]] static const char* what() noexcept { return "select"; }
  bool enlist(waiter& w) {
    happened_ = select_enlist(cases_, w);
    return happened_ == no_case;
  }
  void delist(const wait_entry* by) noexcept {
    if (by != nullptr) {
      happened_ = select_delist(cases_, by);
    } else {
      for (select_case* each : cases_) each->delist();
    }
  }
  std::tuple<std::exception_ptr, result<std::size_t>> outcome(const context& /*ctx*/, bool happened) {
    if (!happened) return {nullptr, std::unexpected(error(make_error_code(errc::canceled), "select"))};
    try {
      cases_[happened_]->run();
    } catch (...) {
      return {std::current_exception(), result<std::size_t>(happened_)};
    }
    return {nullptr, result<std::size_t>(happened_)};
  }

 private:
  std::span<select_case* const> cases_;
  std::size_t happened_ = no_case;
};

}  // namespace detail

/// Waits until one of several cases can happen, as `select` does:
///
///     curfew::case_list cases;
///     cases.when(ctx.done(), [&] { stop = true; }).when(lines.receiving(), [&](auto line) { … });
///     auto which = co_await curfew::async_select(cases);   // result<std::size_t>
///
/// Completes when:  a case has happened, and its handler has run, on the executor of the completion handler;
///                  with result<std::size_t>, its place in the list.
/// Errors:          none but Asio's per-operation cancellation (errc::canceled): then nothing has happened.
///                  The end of a context is a case. What a case's handler throws is rethrown to the one who
///                  awaits.
/// Throws:          std::bad_alloc, std::system_error, as `select`; std::invalid_argument for an empty list.
/// Lifetime:        the list, and what its cases name, live until completion; the list may be used again
///                  then.
/// Thread safety:   any thread may start it; one operation for a list at a time.
template <class Token = default_token>
auto async_select(case_list& cases, Token&& token = {}) {
  return detail::initiate_wait<void(std::exception_ptr, result<std::size_t>)>(
      std::forward<Token>(token), detail::clock_of_cases(detail::case_list_access::some(cases)),
      detail::async_cases(cases));
}

}  // namespace curfew
