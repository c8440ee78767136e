#pragma once

#include <boost/asio/use_awaitable.hpp>

namespace curfew {

/// What an `async_` function of curfew uses where no completion token is given: `co_await` it. A coroutine that
/// finds what it would wait for (an item, room, a free lock, a context that has ended) goes on at once. So that
/// others of its io_context run, it is posted after 128 of these. Any other token's handler is always posted.
using default_token = boost::asio::use_awaitable_t<>;

}  // namespace curfew
