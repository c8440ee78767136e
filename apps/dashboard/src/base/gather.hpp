#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstddef>
#include <curfew/core/context.hpp>
#include <curfew/io/task_group.hpp>
#include <optional>
#include <utility>
#include <vector>

namespace curfew_dashboard {

namespace asio = boost::asio;

/// Runs all parts at once, on the caller's executor, and waits for all. The parts have ctx already, and end
/// with it by themselves.
/// Throws: the first exception that a part threw, after all parts have ended.
template <class T>
asio::awaitable<std::vector<T>> gather(curfew::context ctx, std::vector<asio::awaitable<T>> parts) {
  const auto executor = co_await asio::this_coro::executor;
  std::vector<std::optional<T>> results(parts.size());
  auto all = [&](curfew::task_group& group) -> asio::awaitable<void> {
    for (std::size_t i = 0; i != parts.size(); ++i) {
      auto part = [&results, &parts, i](curfew::context /*ctx*/) -> asio::awaitable<void> {
        results[i] = co_await std::move(parts[i]);
      };
      curfew::spawn(group, executor, part);
    }
    co_return;
  };
  auto joined = co_await curfew::async_task_group(std::move(ctx), all);
  static_cast<void>(joined);  // they report by what they return
  std::vector<T> got;
  got.reserve(results.size());
  for (auto& result : results) got.push_back(*std::move(result));
  co_return got;
}

}  // namespace curfew_dashboard
