#include <gtest/gtest.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/testing.hpp>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
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

// ---- operations that report an exception, such as co_spawn ----

asio::awaitable<int> seven_at_once() { co_return 7; }

asio::awaitable<void> an_hour() {
  asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
  co_await timer.async_wait(asio::use_awaitable);
}

/// The code of the boost::system::system_error that this is; none if it is none.
std::error_code code_in(const std::exception_ptr& thrown) {
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const boost::system::system_error& e) {
    return e.code();
  }
  return {};
}

TEST(With, DoesNotStartACoroutineUnderAContextThatHasEnded) {
  asio::io_context io;
  auto scope = curfew::with_cancel(curfew::background());
  scope.cancel();
  bool started = false;
  std::error_code valued;
  int value = -1;
  std::error_code unvalued;
  auto of_value = [&]() -> asio::awaitable<int> {
    started = true;
    co_return 7;
  };
  auto of_nothing = [&]() -> asio::awaitable<void> {
    started = true;
    co_return;
  };
  asio::co_spawn(io, of_value, curfew::with(scope, [&](const std::exception_ptr& thrown, int got) {
                   valued = code_in(thrown);
                   value = got;
                 }));
  asio::co_spawn(io, of_nothing,
                 curfew::with(scope, [&](const std::exception_ptr& thrown) { unvalued = code_in(thrown); }));
  EXPECT_FALSE(valued) << "inside the call that starts it";
  io.run();
  EXPECT_FALSE(started);
  EXPECT_EQ(valued, curfew::errc::canceled);
  EXPECT_EQ(value, 0);
  EXPECT_EQ(unvalued, curfew::errc::canceled);
}

TEST(With, TellsACoroutinesEndByItsContextWithTheContextsCode) {
  asio::io_context io;
  curfew::testing::manual_clock clock;
  auto scope = curfew::with_timeout(clock.background(), 3s);
  std::error_code seen;
  asio::co_spawn(io, an_hour,
                 curfew::with(scope, [&](const std::exception_ptr& thrown) { seen = code_in(thrown); }));
  io.poll();
  clock.advance(3s);
  io.run();
  EXPECT_EQ(seen, curfew::errc::deadline_exceeded);
}

TEST(With, LeavesACoroutinesOwnExceptionsAndAnotherCancelAsTheyAre) {
  asio::io_context io;
  auto scope = curfew::with_cancel(curfew::background());
  auto fails = []() -> asio::awaitable<void> {
    throw std::runtime_error("disk on fire");
    co_return;
  };
  auto failed = asio::co_spawn(io, fails, curfew::with(scope, asio::use_future));
  asio::cancellation_signal signal;
  std::error_code seen;
  auto note = [&](const std::exception_ptr& thrown) { seen = code_in(thrown); };
  asio::co_spawn(io, an_hour, curfew::with(scope, asio::bind_cancellation_slot(signal.slot(), note)));
  io.poll();
  signal.emit(asio::cancellation_type::terminal);
  io.run();
  EXPECT_THROW(failed.get(), std::runtime_error);
  EXPECT_EQ(seen, std::error_code(boost::system::error_code(asio::error::operation_aborted)));
}

template <class T>
std::string told(const curfew::result<T>& got) {
  return got ? "no error" : got.error().message();
}

TEST(With, MakesAResultOfACoroutine) {
  asio::io_context io;
  auto living = curfew::with_cancel(curfew::background());
  auto ended = curfew::with_cancel(curfew::background());
  auto look = [&](curfew::context ctx) -> asio::awaitable<void> {
    curfew::result<int> seven = co_await asio::co_spawn(io, seven_at_once, curfew::with(ctx));
    EXPECT_EQ(seven, 7);
    asio::post(io, [&] { ended.cancel("enough"); });
    curfew::result<> canceled = co_await asio::co_spawn(io, an_hour, curfew::with(ended));
    EXPECT_EQ(told(canceled), "canceled (cause: enough)");
    seven = co_await asio::co_spawn(io, seven_at_once, curfew::with(ended));
    EXPECT_EQ(told(seven), "canceled (cause: enough)");
  };
  run_to_end(io, look(living));
}

TEST(With, MakesOneResultOfACoroutineThatReturnsAResult) {
  asio::io_context io;
  auto scope = curfew::with_cancel(curfew::background());
  auto fails = []() -> asio::awaitable<curfew::result<int>> {
    co_return std::unexpected(curfew::error(std::make_error_code(std::errc::io_error), "reading"));
  };
  auto succeeds = []() -> asio::awaitable<curfew::result<int>> { co_return 7; };
  auto look = [&](curfew::context ctx) -> asio::awaitable<void> {
    curfew::result<int> got = co_await asio::co_spawn(io, succeeds, curfew::with(ctx));
    EXPECT_EQ(got, 7);
    got = co_await asio::co_spawn(io, fails, curfew::with(ctx));
    EXPECT_EQ(told(got), "reading: Input/output error");
    scope.cancel("enough");
    got = co_await asio::co_spawn(io, succeeds, curfew::with(ctx));
    EXPECT_EQ(told(got), "canceled (cause: enough)");
  };
  run_to_end(io, look(scope));
}

TEST(With, RethrowsOtherExceptionsOfACoroutineToTheOneThatAwaits) {
  asio::io_context io;
  auto fails = []() -> asio::awaitable<int> {
    throw std::runtime_error("disk on fire");
    co_return 0;
  };
  auto look = [&](curfew::context ctx) -> asio::awaitable<bool> {
    try {
      static_cast<void>(co_await asio::co_spawn(io, fails, curfew::with(ctx)));
    } catch (const std::runtime_error& e) {
      co_return e.what() == std::string("disk on fire");
    }
    co_return false;
  };
  EXPECT_TRUE(run_to_end(io, look(curfew::background())));
}

/// What has no argument for an error cannot say that it was not started.
TEST(With, StartsWhatCannotReportAnErrorThoughItsContextHasEnded) {
  asio::io_context io;
  auto scope = curfew::with_cancel(curfew::background());
  scope.cancel();
  bool ran = false;
  asio::post(io, curfew::with(scope, [&] { ran = true; }));
  io.run();
  EXPECT_TRUE(ran);
}

}  // namespace
