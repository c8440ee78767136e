#pragma once

#include <boost/asio/async_result.hpp>
#include <curfew/io/completion.hpp>
#include <curfew/io/detail/remote_handler.hpp>
#include <functional>
#include <utility>

/// What a module needs to make asynchronous operations of its own, over a library with threads or an event loop of its
/// own: `http` uses nothing else of io's inside. An operation is a template of a few lines, which takes any completion
/// token, over a function in a source file, which knows nothing of Boost.Asio:
///
///     template <class Token = curfew::default_token>
///     auto async_find(curfew::context ctx, database& in, int id, Token&& token = {}) {
///       using found = curfew::result<entry>;
///       return curfew::extend::initiate<found>(
///           std::forward<Token>(token), [=, &in](curfew::extend::handler<found> complete) {
///             in.start_find(ctx, id, std::move(complete));
///           });
///     }
///
/// The function obeys the context in three steps:
///
/// 1. `ctx.err()` first: if ctx has ended, it starts nothing and completes with `error::ended(ctx, "find")`.
/// 2. It keeps a `curfew::on_done(ctx, stop)` beside `complete` while the work goes on. `stop` runs in the thread that
///    ends ctx, so it only asks the library to give up, or takes the request out of a queue.
/// 3. The work or its end completes the operation, whichever comes first: one of them wins an atomic flag, or does so in
///    the library's one thread. What is reported as canceled has not happened. The on_done is destroyed before the
///    state that `stop` uses, and not under a lock that `stop` takes, since its destructor waits for a `stop` that runs.
///
/// The rest is done here:
///
/// - The handler runs on its own executor, never inside the call that starts the operation nor inside `complete`. Its
///   io_context has work until then.
/// - An io_context that is destroyed before takes the handler along, with the coroutine in it; `complete` does nothing
///   then. So the work refers to nothing that the coroutine owns, or is over before its frame is.
/// - Asio's per-operation cancellation is not connected: the context is what cancels.
namespace curfew::extend {

/// Completes an operation with a T. To be called once, from any thread; one that is destroyed uncalled destroys the
/// handler, and the coroutine that waits, on the spot.
template <class T>
using handler = std::move_only_function<void(T)>;

/// Starts an operation: calls `start(handler<T>)`, inside this call or, for use_awaitable, when it is awaited.
/// \param token  Any completion token for void(T).
/// \param start  Copied or moved. What it throws comes out of the initiation.
/// Throws: std::bad_alloc.
template <class T, class Token, class Start>
auto initiate(Token&& token, Start start) {
  return boost::asio::async_initiate<Token, void(T)>(
      [](auto given, Start begin) {
        auto remote = detail::remote_handler<decltype(given)>::make(std::move(given));
        begin(handler<T>([remote = std::move(remote)](T value) {
          if (remote->claim()) remote->post(std::move(value));
        }));
      },
      token, std::move(start));
}

}  // namespace curfew::extend
