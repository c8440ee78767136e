#include "http/wire/loop.hpp"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <functional>
#include <memory>

#include "http/waiting.hpp"

namespace curfew::http {
namespace {

using namespace std::chrono_literals;
using tests::event;
using tests::eventually;

/// An eventfd that calls `f` when it is given something.
class signal final : public watched {
 public:
  explicit signal(std::function<void()> f = {})
      : f_(std::move(f)),
        fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  signal(const signal&) = delete;
  signal& operator=(const signal&) = delete;
  ~signal() override { ::close(fd_); }

  void on_event(std::uint32_t events) override {
    last = events;
    ++count;
    if (f_) f_();
  }
  void give() const { eventfd_write(fd_, 1); }
  bool enter(loop& l) { return l.watch(fd_, EPOLLIN | EPOLLET, *this); }
  void leave(loop& l) const { l.unwatch(fd_); }

  std::atomic<int> count{0};
  std::atomic<std::uint32_t> last{0};

 private:
  std::function<void()> f_;
  int fd_;
};

TEST(Loop, TellsWhatHappensToADescriptorOnce) {
  boost::asio::thread_pool threads(2);
  loop l(threads, 10ms);
  signal s;
  ASSERT_TRUE(s.enter(l));
  l.start();
  s.give();
  ASSERT_TRUE(eventually([&] { return s.count == 1; }));
  EXPECT_EQ(s.last, static_cast<std::uint32_t>(EPOLLIN));
  s.give();
  ASSERT_TRUE(eventually([&] { return s.count == 2; }));
  s.leave(l);
  s.give();
  signal other;
  ASSERT_TRUE(other.enter(l));
  other.give();
  ASSERT_TRUE(eventually([&] { return other.count == 1; }));
  EXPECT_EQ(s.count, 2);
  l.pause();
  threads.join();
}

TEST(Loop, IsWorkForItsContextUntilItPauses) {
  boost::asio::io_context io;
  loop l(io, 10ms);
  int paused = 0;
  signal s([&] {
    ++paused;
    l.pause();
  });
  ASSERT_TRUE(s.enter(l));
  EXPECT_EQ(io.run(), 0U);
  for (int round = 1; round <= 3; ++round) {
    l.start();
    s.give();
    io.restart();
    io.run();
    EXPECT_EQ(paused, round);
  }
  l.start();
  l.pause();  // before anything has come
  io.restart();
  io.run();
  s.give();
  l.start();
  l.pause();
  l.start();
  io.restart();
  io.run();
  EXPECT_EQ(paused, 4);
}

TEST(Loop, TicksWhileThereIsWorkForIt) {
  boost::asio::io_context io;
  loop l(io, 1ms);
  int ticks = 0;
  l.each_tick([&](clock::time_point) {
    if (++ticks < 3) return true;
    l.pause();
    return false;
  });
  l.start();
  io.run();
  EXPECT_EQ(ticks, 3);
}

TEST(Loop, WhatRetiresStaysUntilItsEventsHaveBeenHandled) {
  boost::asio::io_context io;
  loop l(io, 10ms);
  std::shared_ptr<signal> first;
  std::shared_ptr<signal> second;
  int heard = 0;
  const auto end_both = [&] {
    ++heard;  // of the two, one is heard first and takes the other away
    for (auto* each : {&first, &second}) {
      if (!*each) continue;
      (*each)->leave(l);
      l.retire(std::move(*each));
      each->reset();
    }
    l.pause();
  };
  first = std::make_shared<signal>(end_both);
  second = std::make_shared<signal>(end_both);
  const std::weak_ptr<signal> watch_first = first;
  const std::weak_ptr<signal> watch_second = second;
  ASSERT_TRUE(first->enter(l) && second->enter(l));
  first->give();
  second->give();
  l.start();
  io.run();
  EXPECT_EQ(heard, 2);  // both were in one batch
  EXPECT_TRUE(watch_first.expired());
  EXPECT_TRUE(watch_second.expired());
}

TEST(Loop, OfAContextThatIsDestroyedDoesNothing) {
  auto io = std::make_unique<boost::asio::io_context>();
  auto l = std::make_unique<loop>(*io, 10ms);
  signal s;
  ASSERT_TRUE(s.enter(*l));
  l->start();
  s.give();
  l.reset();
  io.reset();
  EXPECT_EQ(s.count, 0);
}

}  // namespace
}  // namespace curfew::http
