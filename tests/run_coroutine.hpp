#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <optional>
#include <utility>

namespace curfew::tests {

/// Runs a coroutine to its end, on an event loop of its own.
template <class T>
T run_coroutine(boost::asio::awaitable<T> what) {
  boost::asio::io_context loop(1);
  std::optional<T> made;
  boost::asio::co_spawn(loop, std::move(what), [&](const std::exception_ptr& thrown, T value) {
    if (thrown) std::rethrow_exception(thrown);
    made.emplace(std::move(value));
  });
  loop.run();
  return *std::move(made);
}
inline void run_coroutine(boost::asio::awaitable<void> what) {
  boost::asio::io_context loop(1);
  boost::asio::co_spawn(loop, std::move(what), [](const std::exception_ptr& thrown) {
    if (thrown) std::rethrow_exception(thrown);
  });
  loop.run();
}

}  // namespace curfew::tests
