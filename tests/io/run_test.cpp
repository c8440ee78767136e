#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <csignal>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <stdexcept>
#include <utility>

namespace {

namespace asio = boost::asio;

asio::awaitable<int> seven(curfew::context /*ctx*/) { co_return 7; }

asio::awaitable<void> nothing(curfew::context /*ctx*/) { co_return; }

asio::awaitable<int> until_signal(curfew::context ctx, int signal) {
  ::raise(signal);
  co_await curfew::async_wait(ctx.done());
  co_return ctx.cause().message() == (signal == SIGINT ? "SIGINT" : "SIGTERM") ? 42 : 1;
}

asio::awaitable<void> wait_in_a_thread(curfew::context ctx) {
  auto wait = [](const curfew::context& own) { own.done().wait(); };
  static_cast<void>(co_await curfew::async_offload(ctx, wait));
}

asio::awaitable<int> deaf(curfew::context ctx) {
  ::raise(SIGTERM);
  co_await curfew::async_wait(ctx.done());
  ::raise(SIGTERM);
  for (;;) ::pause();
}

/// Each program is a process of its own, because run() owns the signals of its process.
class Run : public testing::Test {
 protected:
  Run() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

template <class Main>
[[noreturn]] void exit_with(Main main) {
  ::_exit(curfew::run(std::move(main)));
}

TEST_F(Run, ReturnsWhatMainReturns) {
  EXPECT_EXIT(exit_with(seven), testing::ExitedWithCode(7), "");
  EXPECT_EXIT(exit_with(nothing), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(exit_with([](const curfew::context&) { return 5; }), testing::ExitedWithCode(5), "");
  EXPECT_EXIT(exit_with([](const curfew::context&) {}), testing::ExitedWithCode(0), "");
}

TEST_F(Run, EndsTheContextOfACoroutineWithACauseThatNamesTheSignal) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const auto main = [signal](curfew::context ctx) { return until_signal(ctx, signal); };
    EXPECT_EXIT(exit_with(main), testing::ExitedWithCode(42), "");
  }
}

TEST_F(Run, EndsTheContextOfAPlainMainToo) {
  const auto main = [](const curfew::context& ctx) {
    ::raise(SIGINT);
    return ctx.done().wait() == curfew::errc::canceled && ctx.cause().message() == "SIGINT" ? 42 : 1;
  };
  EXPECT_EXIT(exit_with(main), testing::ExitedWithCode(42), "");
}

TEST_F(Run, ExitsAtTheSecondSignalEvenIfMainDoesNotStop) {
  EXPECT_EXIT(exit_with(deaf), testing::ExitedWithCode(128 + SIGTERM), "");
}

TEST_F(Run, ExitsAtTheSecondSignalEvenIfACallbackDoesNotReturn) {
  const auto main = [](const curfew::context& ctx) {
    const curfew::on_done stuck(ctx, [] {
      ::raise(SIGINT);
      for (;;) ::pause();
    });
    ::raise(SIGINT);
    for (;;) ::pause();
  };
  EXPECT_EXIT(exit_with(main), testing::ExitedWithCode(128 + SIGINT), "");
}

/// The signal is on its way through the watch while the watch is taken down.
TEST_F(Run, ReturnsThoughASignalComesAtItsEnd) {
  const auto program = [] {
    for (int i = 0; i != 2'000; ++i) curfew::run([](const curfew::context&) { ::raise(SIGTERM); });
    ::_exit(3);
  };
  EXPECT_EXIT(program(), testing::ExitedWithCode(3), "");
}

TEST_F(Run, ThrowsWhatMainThrows) {
  const auto main = [](curfew::context) -> asio::awaitable<int> {
    throw std::runtime_error("no");
    co_return 0;
  };
  EXPECT_THROW(curfew::run(main), std::runtime_error);
}

TEST_F(Run, ComesHomeAlthoughWorkIsStillOffloaded) {
  const auto main = [](curfew::context ctx) -> asio::awaitable<int> {
    auto executor = co_await asio::this_coro::executor;
    asio::co_spawn(executor, wait_in_a_thread(ctx), asio::detached);
    co_await asio::post(executor, asio::use_awaitable);
    co_return 9;
  };
  EXPECT_EXIT(exit_with(main), testing::ExitedWithCode(9), "");
}

}  // namespace
