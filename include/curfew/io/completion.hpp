#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <utility>

namespace curfew {

/// What an `async_` function of curfew uses where no completion token is given: `co_await` it. A coroutine that
/// finds what it would wait for (an item, room, a free lock, a context that has ended) goes on at once; so that
/// others of its io_context run, it is posted after 128 of these. Any other token's handler is always posted.
using default_token = boost::asio::use_awaitable_t<>;

namespace detail {

/// A completion handler for a T that can be called once, from any thread; it runs on its own executor.
template <class T>
using erased_handler = std::move_only_function<void(T)>;

/// Starts an operation whose implementation is not a template: `start(erased_handler<T>)`. The executor of
/// the handler has outstanding work until the operation is complete.
template <class T, class Token, class Start>
auto initiate_erased(Token&& token, Start start) {
  return boost::asio::async_initiate<Token, void(T)>(
      [](auto handler, Start begin) {
        auto executor = boost::asio::prefer(boost::asio::get_associated_executor(handler),
                                            boost::asio::execution::outstanding_work.tracked);
        begin(erased_handler<T>(
            [handler = std::move(handler), executor = std::move(executor)](T value) mutable {
              auto resume = [handler = std::move(handler), value = std::move(value)]() mutable {
                std::move(handler)(std::move(value));
              };
              boost::asio::post(executor, std::move(resume));
            }));
      },
      token, std::move(start));
}

}  // namespace detail

}  // namespace curfew
