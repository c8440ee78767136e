#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <csignal>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <stdexcept>
#include <thread>
#include <utility>

#include "sanitizers.hpp"

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
  for (;;) ::pause();  // NOLINT(curfew-endless-loop, curfew-blocking-call): the second signal ends it
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
  if (curfew::tests::under_thread_sanitizer)
    GTEST_SKIP() << "ThreadSanitizer reports the thread that is not joined";
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

/// Sends the signal to the process, as a terminal or `kill` does; `raise` sends it to the calling thread.
void signal_process(int number) { ::kill(::getpid(), number); }

/// 42 if the signal ends the context while this thread is blocked in `call`, which nothing interrupts.
template <class Call>
int blocked_in(Call call) {
  return curfew::run([&](const curfew::context& ctx) {
    int ends[2];
    if (::pipe(ends) != 0) return 1;
    std::jthread other([&] {
      signal_process(SIGTERM);
      ctx.done().wait();
      if (::write(ends[1], "x", 1) != 1) ::_exit(2);
    });
    const bool uninterrupted = call(ends[0]);
    return uninterrupted && ctx.cause().message() == "SIGTERM" ? 42 : 3;
  });
}

bool reads(int from) {
  char c = 0;
  return ::read(from, &c, 1) == 1;
}
bool polls(int from) {
  pollfd ready{.fd = from, .events = POLLIN, .revents = 0};
  return ::poll(&ready, 1, -1) == 1;
}

TEST_F(Run, ASignalDoesNotInterruptSystemCallsOfAPlainMain) {
  EXPECT_EXIT(::_exit(blocked_in(reads)), testing::ExitedWithCode(42), "");
  EXPECT_EXIT(::_exit(blocked_in(polls)), testing::ExitedWithCode(42), "");
}

TEST_F(Run, AChildProcessOfAPlainMainCanBeTerminated) {
  const auto main = [](const curfew::context&) {
    int started[2];
    if (::pipe2(started, O_CLOEXEC) != 0) return 1;
    const pid_t child = ::fork();
    if (child == 0) ::execlp("sleep", "sleep", "1000", nullptr);
    ::close(started[1]);
    char none = 0;
    if (::read(started[0], &none, 1) != 0) return 2;  // its end: the child is another program now
    ::kill(child, SIGTERM);
    int status = 0;
    if (::waitpid(child, &status, 0) != child) return 3;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM ? 42 : 4;
  };
  EXPECT_EXIT(exit_with(main), testing::ExitedWithCode(42), "");
}

TEST_F(Run, ASignalOfAForkedChildIsNotTheParents) {
  if (curfew::tests::under_thread_sanitizer)
    GTEST_SKIP() << "ThreadSanitizer runs the handler of a forked child late";
  const auto main = [](const curfew::context& ctx) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::raise(SIGTERM);
      ::_exit(0);
    }
    int status = 0;
    if (::waitpid(child, &status, 0) != child) return 1;  // NOLINT(curfew-blocking-call): it ends at once
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM && !ctx.err() ? 42 : 2;
  };
  EXPECT_EXIT(exit_with(main), testing::ExitedWithCode(42), "");
}

extern "C" void counts_as_handled(int /*number*/) { ::_exit(42); }

TEST_F(Run, LeavesTheSignalsAsTheyWere) {
  const auto program = [] {
    struct sigaction before{};
    before.sa_handler = counts_as_handled;
    ::sigaction(SIGINT, &before, nullptr);
    curfew::run([](const curfew::context&) {});
    curfew::run(nothing);
    ::raise(SIGINT);
    ::_exit(1);
  };
  EXPECT_EXIT(program(), testing::ExitedWithCode(42), "");
}

TEST_F(Run, ThrowsWhatMainThrows) {
  const auto plain = [](const curfew::context&) -> int { throw std::runtime_error("no"); };
  EXPECT_THROW(curfew::run(plain), std::runtime_error);

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
