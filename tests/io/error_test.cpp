#include <gtest/gtest.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/testing.hpp>
#include <string>
#include <system_error>

namespace {

namespace asio = boost::asio;
using asio::local::stream_protocol;
using namespace std::chrono_literals;

/// What a read under `ctx` ends with.
template <class End>
curfew::error read_that_ends(const curfew::context& ctx, End end) {
  asio::io_context io;
  stream_protocol::socket ours(io);
  stream_protocol::socket theirs(io);
  asio::local::connect_pair(ours, theirs);
  const auto read = [&]() -> asio::awaitable<curfew::result<std::size_t>> {
    std::string into(8, ' ');
    co_return co_await ours.async_read_some(asio::buffer(into), curfew::with(ctx));
  };
  auto got = asio::co_spawn(io, read(), asio::use_future);
  io.poll();
  end(theirs);
  io.run();
  return got.get().error();
}

TEST(Error, OfAReadIsAsiosOwn) {
  const auto e =
      read_that_ends(curfew::background(), [](stream_protocol::socket& theirs) { theirs.close(); });
  EXPECT_TRUE(e == asio::error::eof);
  EXPECT_TRUE(asio::error::eof == e);
  EXPECT_TRUE(e == boost::system::error_code(asio::error::eof));
  EXPECT_FALSE(e != asio::error::eof);
  EXPECT_FALSE(e == asio::error::connection_reset);
  EXPECT_FALSE(e == curfew::errc::canceled);
}

TEST(Error, OfACanceledReadIsTheContextsEnd) {
  auto scope = curfew::with_cancel(curfew::background());
  const auto e = read_that_ends(scope, [&](stream_protocol::socket&) { scope.cancel(); });
  EXPECT_TRUE(e == curfew::errc::canceled);
  EXPECT_TRUE(e == std::errc::operation_canceled);
  EXPECT_FALSE(e == curfew::errc::deadline_exceeded);
  EXPECT_FALSE(e == asio::error::eof);
}

TEST(Error, OfAReadThatIsLateIsTheDeadlines) {
  curfew::testing::manual_clock clock;
  auto scope = curfew::with_timeout(clock.background(), 5s);
  const auto e = read_that_ends(scope, [&](stream_protocol::socket&) { clock.advance(5s); });
  EXPECT_TRUE(e == curfew::errc::deadline_exceeded);
  EXPECT_TRUE(e == std::errc::timed_out);
  EXPECT_TRUE(e == std::make_error_condition(std::errc::timed_out));
  EXPECT_FALSE(e == std::errc::operation_canceled);
}

}  // namespace
