#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <curfew/io/detail/remote_handler.hpp>
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

/// Starts an operation whose implementation is not a template: `start(erased_handler<T>)`.
template <class T, class Token, class Start>
auto initiate_erased(Token&& token, Start start) {
  return boost::asio::async_initiate<Token, void(T)>(
      [](auto handler, Start begin) {
        auto remote = remote_handler<decltype(handler)>::make(std::move(handler));
        begin(erased_handler<T>([remote = std::move(remote)](T value) {
          if (remote->claim()) remote->post(std::move(value));
        }));
      },
      token, std::move(start));
}

}  // namespace detail

}  // namespace curfew
