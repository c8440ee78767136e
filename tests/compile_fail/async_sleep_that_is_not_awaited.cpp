// An operation without a token starts when it is awaited.
// expect: error: ignoring return value|error: ignoring returned value
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <curfew/io/wait.hpp>

using namespace std::chrono_literals;

boost::asio::awaitable<void> pause(curfew::context ctx) {
#ifdef CURFEW_MUST_FAIL
  curfew::async_sleep_for(ctx, 1s);
#else
  [[maybe_unused]] auto slept = co_await curfew::async_sleep_for(ctx, 1s);
#endif
  co_return;
}
