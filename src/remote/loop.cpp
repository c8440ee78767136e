#include "remote/loop.hpp"

#include <curfew/io/with.hpp>
#include <tuple>

namespace curfew::remote {

boost::asio::awaitable<void> alarm::wait_until(context ctx, clock::time_point when) {
  if (!has_rung_) {
    timer_.expires_at(when);
    std::ignore = co_await timer_.async_wait(with(std::move(ctx)));
  }
  has_rung_ = false;
}

}  // namespace curfew::remote
