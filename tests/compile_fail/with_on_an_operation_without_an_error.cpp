// The end of a context would have nowhere to arrive.
// expect: curfew::with\(ctx\) needs an operation that reports an error
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <curfew/io/with.hpp>

boost::asio::awaitable<void> give_way(curfew::context ctx, boost::asio::io_context& io) {
#ifdef CURFEW_MUST_FAIL
  co_await boost::asio::post(io, curfew::with(ctx));
#else
  co_await boost::asio::post(io, curfew::with(ctx, boost::asio::use_awaitable));
#endif
}
