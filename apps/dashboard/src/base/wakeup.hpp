#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/sync.hpp>
#include <curfew/sync/channel.hpp>
#include <utility>
#include <variant>

namespace curfew_dashboard {

namespace asio = boost::asio;

/// Wakes one coroutine from any thread. Calls while it does not wait are remembered as one.
class wakeup {
 public:
  /// Thread safety: any thread.
  void notify() {
    // Full: the last notification has not been taken yet.
    static_cast<void>(bell_.try_send(std::monostate()));
  }

  /// Completes when:  notified, before or after; or ctx ends, with its error.
  /// Thread safety:   one coroutine at a time.
  asio::awaitable<curfew::result<>> async_wait(curfew::context ctx) {
    auto rung = co_await curfew::async_receive(std::move(ctx), bell_);
    if (!rung) co_return std::unexpected(std::move(rung).error());
    co_return curfew::result<>();
  }
  /// The same as a case of a select.
  [[nodiscard]] auto receiving() noexcept { return bell_.receiving(); }

 private:
  curfew::channel<std::monostate> bell_{1};
};

}  // namespace curfew_dashboard
