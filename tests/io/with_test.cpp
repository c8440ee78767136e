#include <gtest/gtest.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/testing.hpp>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace asio = boost::asio;
using asio::local::stream_protocol;
using namespace std::chrono_literals;

/// Two sockets connected to each other, on one loop.
struct pair_of_sockets {
  explicit pair_of_sockets(asio::io_context& io) : ours(io), theirs(io) {
    asio::local::connect_pair(ours, theirs);
  }

  stream_protocol::socket ours;
  stream_protocol::socket theirs;
};

template <class T>
T run_to_end(asio::io_context& io, asio::awaitable<T> work) {
  auto outcome = asio::co_spawn(io, std::move(work), asio::use_future);
  io.run();
  return outcome.get();
}

asio::awaitable<curfew::result<std::size_t>> read_some(stream_protocol::socket& socket, curfew::context ctx,
                                                       std::array<char, 64>& into) {
  co_return co_await socket.async_read_some(asio::buffer(into), curfew::with(ctx));
}

TEST(With, DeliversTheResultOfAnOperationThatCompletes) {
  asio::io_context io;
  pair_of_sockets sockets(io);
  asio::write(sockets.theirs, asio::buffer("hello", 5));
  std::array<char, 64> into{};
  auto scope = curfew::with_cancel(curfew::background());
  const auto got = run_to_end(io, read_some(sockets.ours, scope, into));
  ASSERT_TRUE(got) << got.error();
  EXPECT_EQ(*got, 5U);
}

TEST(With, DoesNotStartAnOperationUnderAContextThatHasEnded) {
  asio::io_context io;
  pair_of_sockets sockets(io);
  asio::write(sockets.theirs, asio::buffer("hello", 5));
  std::array<char, 64> into{};
  auto scope = curfew::with_cancel(curfew::background());
  scope.cancel("not wanted any more");
  const auto got = run_to_end(io, read_some(sockets.ours, scope, into));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), curfew::errc::canceled);
  EXPECT_EQ(got.error().cause().message(), "not wanted any more");
  EXPECT_EQ(sockets.ours.available(), 5U);
}

TEST(With, CancelsAnOperationThatWaits) {
  asio::io_context io;
  pair_of_sockets sockets(io);
  std::array<char, 64> into{};
  auto scope = curfew::with_cancel(curfew::background());
  asio::post(io, [&] { scope.cancel("enough"); });
  const auto got = run_to_end(io, read_some(sockets.ours, scope, into));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), curfew::errc::canceled);
  EXPECT_EQ(got.error().cause().message(), "enough");
}

TEST(With, TellsADeadlineFromACancel) {
  asio::io_context io;
  pair_of_sockets sockets(io);
  std::array<char, 64> into{};
  curfew::testing::manual_clock clock;
  auto scope = curfew::with_timeout(clock.background(), 3s, "the budget of the test");
  asio::post(io, [&] { clock.advance(3s); });
  const auto got = run_to_end(io, read_some(sockets.ours, scope, into));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), curfew::errc::deadline_exceeded);
  EXPECT_EQ(got.error(), std::errc::timed_out);
  EXPECT_EQ(got.error().message(), "deadline exceeded (cause: the budget of the test)");
}

TEST(With, ObeysAnEndInAnotherThread) {
  asio::io_context io;
  pair_of_sockets sockets(io);
  std::array<char, 64> into{};
  auto scope = curfew::with_cancel(curfew::background());
  std::thread other([canceler = scope.canceler()] { canceler.cancel(); });
  const auto got = run_to_end(io, read_some(sockets.ours, scope, into));
  other.join();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), curfew::errc::canceled);
}

TEST(With, ReportsAnErrorThatIsNotTheContextsAsItIs) {
  asio::io_context io;
  pair_of_sockets sockets(io);
  sockets.theirs.close();
  std::array<char, 64> into{};
  auto scope = curfew::with_cancel(curfew::background());
  const auto got = run_to_end(io, read_some(sockets.ours, scope, into));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), std::error_code(boost::system::error_code(asio::error::eof)));
  EXPECT_FALSE(got.error().cause());
}

TEST(With, LeavesACancelThatIsNotTheContextsAsItIs) {
  asio::io_context io;
  pair_of_sockets sockets(io);
  std::array<char, 64> into{};
  auto scope = curfew::with_cancel(curfew::background());
  auto outcome = asio::co_spawn(io, read_some(sockets.ours, scope, into), asio::use_future);
  io.poll();
  sockets.ours.cancel();
  io.run();
  const auto got = outcome.get();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), std::error_code(boost::system::error_code(asio::error::operation_aborted)));
}

TEST(With, EndsAComposedOperationInTheMiddle) {
  asio::io_context io;
  pair_of_sockets sockets(io);
  const std::string much(16 << 20, 'x');
  auto scope = curfew::with_cancel(curfew::background());
  auto write = [&](curfew::context ctx) -> asio::awaitable<curfew::result<std::size_t>> {
    co_return co_await asio::async_write(sockets.ours, asio::buffer(much), curfew::with(ctx));
  };
  asio::post(io, [&] { scope.cancel(); });
  const auto got = run_to_end(io, write(scope));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), curfew::errc::canceled);
}

TEST(With, TakesAnyCompletionToken) {
  asio::io_context io;
  pair_of_sockets sockets(io);
  std::array<char, 64> into{};
  auto scope = curfew::with_cancel(curfew::background());
  std::error_code seen;
  sockets.ours.async_read_some(
      asio::buffer(into), curfew::with(scope, [&](boost::system::error_code ec, std::size_t) { seen = ec; }));
  asio::steady_timer timer(io, 1h);
  auto waited = timer.async_wait(curfew::with(scope, asio::use_future));
  scope.cancel();
  io.run();
  EXPECT_EQ(seen, curfew::errc::canceled);
  try {
    waited.get();
    FAIL() << "the wait should have been canceled";
  } catch (const boost::system::system_error& e) {
    EXPECT_EQ(std::error_code(e.code()), curfew::errc::canceled);
  }
}

TEST(With, GivesTheOperationsOwnArgumentsToATuple) {
  asio::io_context io;
  pair_of_sockets sockets(io);
  std::array<char, 64> into{};
  auto scope = curfew::with_cancel(curfew::background());
  scope.cancel();
  auto read = [&](curfew::context ctx) -> asio::awaitable<std::error_code> {
    const auto [ec, n] = co_await sockets.ours.async_read_some(
        asio::buffer(into), curfew::with(ctx, asio::as_tuple(asio::use_awaitable)));
    EXPECT_EQ(n, 0U);
    co_return ec;
  };
  EXPECT_EQ(run_to_end(io, read(scope)), curfew::errc::canceled);
}

TEST(With, StillObeysTheCancellationSlotOfItsCoroutine) {
  using namespace asio::experimental::awaitable_operators;
  asio::io_context io;
  pair_of_sockets sockets(io);
  std::array<char, 64> into{};
  auto scope = curfew::with_cancel(curfew::background());
  auto at_once = []() -> asio::awaitable<void> { co_return; };
  auto either = [&](curfew::context ctx) -> asio::awaitable<std::size_t> {
    auto first = co_await (read_some(sockets.ours, ctx, into) || at_once());
    co_return first.index();
  };
  EXPECT_EQ(run_to_end(io, either(scope)), 1U);
}

TEST(With, ConnectsAndAccepts) {
  asio::io_context io;
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  auto scope = curfew::with_cancel(curfew::background());
  auto meet = [&](curfew::context ctx) -> asio::awaitable<bool> {
    asio::ip::tcp::socket client(io);
    const auto connected = co_await client.async_connect(acceptor.local_endpoint(), curfew::with(ctx));
    auto accepted = co_await acceptor.async_accept(curfew::with(ctx));
    co_return connected.has_value() && accepted.has_value() && accepted->is_open();
  };
  EXPECT_TRUE(run_to_end(io, meet(scope)));
}

}  // namespace
