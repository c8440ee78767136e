#include "http/worker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <curfew/core.hpp>
#include <curfew/http/server.hpp>
#include <string>

#include "http/connection.hpp"
#include "http/server_state.hpp"
#include "http/waiting.hpp"

namespace curfew::http {
namespace {

using tests::event;
using tests::eventually;

/// A worker that runs.
struct running_worker {
  server_state state{router(), server_options()};
  worker on{state};

  running_worker() { on.start(); }
  ~running_worker() {
    on.stop();
    on.join();
  }
};

/// Counts what its descriptor reports.
class counter final : public watched {
 public:
  void on_event(std::uint32_t events) override {
    last = events;
    ++count;
  }
  std::atomic<int> count{0};
  std::atomic<std::uint32_t> last{0};
};

TEST(Worker, TellsWhatHappensToADescriptorOnce) {
  const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  ASSERT_GE(fd, 0);
  counter events;
  {
    running_worker w;
    boost::asio::post(w.on.io(), [&] { EXPECT_TRUE(w.on.watch(fd, EPOLLIN | EPOLLET, events)); });
    eventfd_write(fd, 1);
    ASSERT_TRUE(eventually([&] { return events.count == 1; }));
    EXPECT_EQ(events.last, static_cast<std::uint32_t>(EPOLLIN));
    eventfd_write(fd, 1);
    ASSERT_TRUE(eventually([&] { return events.count == 2; }));
    event unwatched;
    boost::asio::post(w.on.io(), [&] {
      w.on.unwatch(fd);
      unwatched.set();
    });
    ASSERT_TRUE(unwatched.wait());
    eventfd_write(fd, 1);
  }
  EXPECT_EQ(events.count, 2);
  ::close(fd);
}

TEST(Worker, TicksWhileThereIsWorkForIt) {
  running_worker w;
  event over;
  int ticks = 0;
  boost::asio::post(w.on.io(), [&] {
    w.on.each_tick([&](clock::time_point) {
      if (++ticks < 3) return true;
      over.set();
      return false;
    });
  });
  EXPECT_TRUE(over.wait());
  EXPECT_EQ(ticks, 3);
}

TEST(Worker, GivesASignWhenItsLoopIsFree) {
  running_worker w;
  event busy;
  event go;
  boost::asio::post(w.on.io(), [&] {
    busy.set();
    go.wait();
  });
  ASSERT_TRUE(busy.wait());
  const auto asked = clock::now();
  w.on.ask();
  EXPECT_LT(w.on.answered(), asked);
  go.set();
  EXPECT_TRUE(eventually([&] { return w.on.answered() >= asked; }));
  EXPECT_FALSE(w.on.has_requests());
  EXPECT_EQ(w.on.holder(), "");
}

TEST(Worker, WritesTheDateOfNow) {
  server_state state{router(), server_options()};
  worker w(state);
  EXPECT_THAT(std::string(w.date()),
              ::testing::MatchesRegex(
                  "Date: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9][0-9] [A-Z][a-z][a-z] [0-9]+ [0-9:]+ GMT\r\n"));
}

}  // namespace
}  // namespace curfew::http
