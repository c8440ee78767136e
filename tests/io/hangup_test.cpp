#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/io/hangup.hpp>
#include <curfew/io/wait.hpp>
#include <optional>
#include <system_error>
#include <utility>

#include "at_rest.hpp"
#include "sanitizers.hpp"

namespace {

using curfew::background;
using curfew::errc;

/// Two descriptors, which are closed at the end unless they have been before.
struct descriptors {
  std::array<int, 2> ends{-1, -1};

  descriptors(const descriptors&) = delete;
  descriptors& operator=(const descriptors&) = delete;
  ~descriptors() {
    close(0);
    close(1);
  }
  void close(std::size_t which) {
    if (const int fd = std::exchange(ends[which], -1); fd != -1) ::close(fd);
  }

 protected:
  descriptors() = default;
};
struct socket_pair : descriptors {
  socket_pair() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0); }
  [[nodiscard]] int ours() const { return ends[0]; }
  [[nodiscard]] int theirs() const { return ends[1]; }
  void hang_up() { close(1); }
};
struct pipe_pair : descriptors {
  pipe_pair() { EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0); }
  [[nodiscard]] int reading() const { return ends[0]; }
  [[nodiscard]] int writing() const { return ends[1]; }
};

/// Returns once the thread that watches has handled what had happened before.
void settle() {
  socket_pair other;
  const auto scope = curfew::with_hangup(background(), other.ours());
  other.hang_up();
  scope.done().wait();
}

TEST(WithHangup, EndsWhenThePeerCloses) {
  socket_pair sockets;
  const auto scope = curfew::with_hangup(background(), sockets.ours());
  EXPECT_FALSE(scope.err());
  sockets.hang_up();
  EXPECT_EQ(scope.done().wait(), errc::canceled);
  EXPECT_EQ(scope.cause(), std::errc::connection_reset);
  EXPECT_EQ(scope.cause().message(), "the other side has hung up");
}

TEST(WithHangup, EndsWhenThePeerWritesNoMore) {
  socket_pair sockets;
  const auto scope = curfew::with_hangup(background(), sockets.ours());
  ::shutdown(sockets.theirs(), SHUT_WR);
  EXPECT_EQ(scope.done().wait(), errc::canceled);
}

TEST(WithHangup, EndsIfThePeerHasClosedBefore) {
  socket_pair sockets;
  sockets.hang_up();
  const auto scope = curfew::with_hangup(background(), sockets.ours());
  EXPECT_EQ(scope.done().wait(), errc::canceled);
}

TEST(WithHangup, ReadsNothingAndEndsThoughBytesAreUnread) {
  socket_pair sockets;
  const auto scope = curfew::with_hangup(background(), sockets.ours());
  ASSERT_EQ(::write(sockets.theirs(), "hello", 5), 5);
  settle();
  EXPECT_FALSE(scope.err()) << "bytes are no hangup";
  sockets.hang_up();
  EXPECT_EQ(scope.done().wait(), errc::canceled);
  std::array<char, 16> got{};
  EXPECT_EQ(::read(sockets.ours(), got.data(), got.size()), 5);
}

TEST(WithHangup, EndsWhenTheOtherEndOfAPipeIsGone) {
  pipe_pair child_writes;
  const auto reading = curfew::with_hangup(background(), child_writes.reading());
  child_writes.close(1);
  EXPECT_EQ(reading.done().wait(), errc::canceled);
  pipe_pair child_reads;
  const auto writing = curfew::with_hangup(background(), child_reads.writing());
  child_reads.close(0);
  EXPECT_EQ(writing.done().wait(), errc::canceled);
}

TEST(WithHangup, EndsWithItsParentOrWhenCanceledAndTheFirstEndStays) {
  socket_pair sockets;
  auto parent = curfew::with_cancel(background());
  const auto child = curfew::with_hangup(parent, sockets.ours());
  auto canceled = curfew::with_hangup(background(), sockets.ours());
  parent.cancel("shutdown");
  canceled.cancel("enough");
  sockets.hang_up();
  settle();
  EXPECT_EQ(child.cause().message(), "shutdown");
  EXPECT_EQ(canceled.cause().message(), "enough");
}

TEST(WithHangup, WatchesADescriptorForSeveralScopes) {
  socket_pair sockets;
  const auto first = curfew::with_hangup(background(), sockets.ours());
  std::optional<curfew::hangup_scope> leaves(curfew::with_hangup(background(), sockets.ours()));
  leaves.reset();
  sockets.hang_up();
  EXPECT_EQ(first.done().wait(), errc::canceled);
  const auto late = curfew::with_hangup(background(), sockets.ours());
  EXPECT_EQ(late.done().wait(), errc::canceled) << "the event had been taken by the first";
}

TEST(WithHangup, LooksAtADescriptorNoMoreOnceTheScopeIsGone) {
  std::optional<socket_pair> before(std::in_place);
  const int number = before->ours();
  {
    const auto scope = curfew::with_hangup(background(), number);
  }
  before.reset();
  socket_pair after;  // has the same numbers
  ASSERT_EQ(after.ours(), number);
  const auto scope = curfew::with_hangup(background(), number);
  settle();
  EXPECT_FALSE(scope.err());
  after.hang_up();
  EXPECT_EQ(scope.done().wait(), errc::canceled);
}

TEST(WithHangup, MovesWithItsScope) {
  socket_pair one;
  socket_pair other;
  auto scope = curfew::with_hangup(background(), one.ours());
  const curfew::context first = scope;
  scope = curfew::with_hangup(background(), other.ours());
  EXPECT_TRUE(first.err()) << "what the scope owned before is canceled";
  auto moved = std::move(scope);
  other.hang_up();
  EXPECT_EQ(moved.done().wait(), errc::canceled);
}

TEST(WithHangup, RefusesWhatCannotHangUp) {
  const auto code_of = [](int fd) {
    try {
      const auto scope = curfew::with_hangup(background(), fd);
    } catch (const std::system_error& e) {
      return e.code();
    }
    return std::error_code();
  };
  EXPECT_EQ(code_of(-1), std::errc::bad_file_descriptor);
  const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(code_of(file), std::errc::operation_not_permitted);
  ::close(file);
}

TEST(WithHangup, EndsTheWaitOfAnOperation) {
  boost::asio::io_context io;
  socket_pair sockets;
  const auto scope = curfew::with_hangup(background(), sockets.ours());
  std::error_code seen;
  const auto handler = [&](std::error_code err) { seen = err; };
  curfew::async_wait(scope.done(), boost::asio::bind_executor(io, handler));
  sockets.hang_up();
  io.run();
  EXPECT_EQ(seen, errc::canceled);
}

TEST(WithHangup, InAForkedChildStartsAnewAndLeavesTheParentsAlone) {
  if (curfew::tests::under_thread_sanitizer)
    GTEST_SKIP() << "ThreadSanitizer does not let a forked child start threads";
  socket_pair sockets;
  std::optional<curfew::hangup_scope> scope(curfew::with_hangup(background(), sockets.ours()));
  curfew::tests::let_other_threads_fall_asleep();
  const pid_t child = ::fork();
  if (child == 0) {
    scope.reset();
    socket_pair own;
    const auto anew = curfew::with_hangup(background(), own.ours());
    own.hang_up();
    anew.done().wait();
    std::_Exit(7);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
  sockets.hang_up();
  EXPECT_EQ(scope->done().wait(), errc::canceled);
}

}  // namespace
