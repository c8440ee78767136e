#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/wakeup.hpp"

namespace curfew_dashboard {

/// Runs all of them at once, on the caller's executor, and waits for all.
/// Throws: what the first of them threw, after all have come home.
template <class T>
asio::awaitable<std::vector<T>> gather(std::vector<asio::awaitable<T>> parts) {
  struct state {
    explicit state(const asio::any_io_executor& executor, std::size_t count)
        : over(executor),
          results(count),
          left(count) {}
    wakeup over;
    std::vector<std::optional<T>> results;
    std::size_t left;
    std::exception_ptr thrown;
  };
  auto executor = co_await asio::this_coro::executor;
  auto all = std::make_shared<state>(executor, parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    asio::co_spawn(executor, std::move(parts[i]), [all, i](const std::exception_ptr& thrown, T result) {
      if (thrown && !all->thrown) all->thrown = thrown;
      if (!thrown) all->results[i] = std::move(result);
      if (--all->left == 0) all->over.notify();
    });
  }
  if (all->left > 0) co_await all->over.async_wait(curfew::background());
  if (all->thrown) std::rethrow_exception(all->thrown);
  std::vector<T> results;
  for (auto& result : all->results) results.push_back(*std::move(result));
  co_return results;
}

}  // namespace curfew_dashboard
