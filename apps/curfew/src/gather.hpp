#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstddef>
#include <curfew/core/context.hpp>
#include <curfew/io/task_group.hpp>
#include <functional>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "console.hpp"

namespace curfew_program {

using consoles = std::vector<std::unique_ptr<console>>;

[[nodiscard]] inline consoles open_consoles(std::vector<source> sources) {
  consoles made;
  for (auto& each : sources) made.push_back(std::make_unique<console>(std::move(each)));
  return made;
}

/// Asks all consoles at once. \return their answers, in their order.
template <class T>
asio::awaitable<std::vector<T>> ask_all(curfew::context ctx, const consoles& all,
                                        std::function<asio::awaitable<T>(curfew::context, console&)> ask) {
  std::vector<T> answers(all.size());
  const auto executor = co_await asio::this_coro::executor;
  auto body = [&](curfew::task_group& group) -> asio::awaitable<void> {
    for (std::size_t i = 0; i < all.size(); ++i) {
      auto one = [&, i](curfew::context its) -> asio::awaitable<void> {
        answers[i] = co_await ask(std::move(its), *all[i]);
      };
      curfew::spawn(group, executor, one);
    }
    co_return;
  };
  std::ignore = co_await curfew::async_task_group(std::move(ctx), body);
  co_return answers;
}

/// Of all the same path.
inline asio::awaitable<std::vector<answer<std::string>>> get_from_all(curfew::context ctx,
                                                                      const consoles& all, std::string path) {
  std::function<asio::awaitable<answer<std::string>>(curfew::context, console&)> ask =
      [path = std::move(path)](curfew::context its, console& from) {
        return from.async_get(std::move(its), path);
      };
  co_return co_await ask_all(std::move(ctx), all, std::move(ask));
}

}  // namespace curfew_program
