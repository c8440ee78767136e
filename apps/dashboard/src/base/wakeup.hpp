#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <boost/system/error_code.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/with.hpp>
#include <utility>

namespace curfew_dashboard {

namespace asio = boost::asio;

/// Wakes one coroutine from any thread. Calls while nobody waits are remembered as one.
class wakeup {
 public:
  /// \param executor  Of the coroutine that waits.
  explicit wakeup(const asio::any_io_executor& executor) : bell_(executor, 1) {}

  /// Thread safety: any thread.
  void notify() { bell_.try_send(boost::system::error_code()); }

  /// Completes when:  notified, before or after; or ctx ends, with its error.
  /// Thread safety:   one coroutine at a time.
  asio::awaitable<curfew::result<>> async_wait(curfew::context ctx) {
    co_return co_await bell_.async_receive(curfew::with(std::move(ctx)));
  }

 private:
  asio::experimental::concurrent_channel<void(boost::system::error_code)> bell_;
};

}  // namespace curfew_dashboard
