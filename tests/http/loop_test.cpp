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
#include <stdexcept>
#include <string>
#include <thread>

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
  l.hold();
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
  l.release();
  threads.join();
}

TEST(Loop, IsWorkForItsContextWhileSomethingHoldsIt) {
  boost::asio::io_context io;
  loop l(io, 10ms);
  int released = 0;
  signal s([&] {
    ++released;
    l.release();
  });
  ASSERT_TRUE(s.enter(l));
  EXPECT_EQ(io.run(), 0U);
  for (int round = 1; round <= 3; ++round) {
    l.hold();
    s.give();
    io.restart();
    io.run();
    EXPECT_EQ(released, round);
  }
  l.hold();
  l.release();  // before anything has come
  io.restart();
  io.run();
  s.give();
  l.hold();
  l.release();
  l.hold();
  io.restart();
  io.run();
  EXPECT_EQ(released, 4);
}

TEST(Loop, TicksWhileThereIsWorkForIt) {
  boost::asio::io_context io;
  loop l(io, 1ms);
  int ticks = 0;
  l.each_tick([&](clock::time_point) {
    if (++ticks < 3) return true;
    l.release();
    return false;
  });
  l.hold();
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
    if (heard == 1) l.release();
  };
  first = std::make_shared<signal>(end_both);
  second = std::make_shared<signal>(end_both);
  const std::weak_ptr<signal> watch_first = first;
  const std::weak_ptr<signal> watch_second = second;
  ASSERT_TRUE(first->enter(l) && second->enter(l));
  first->give();
  second->give();
  l.hold();
  io.run();
  EXPECT_EQ(heard, 2);  // both were in one batch
  EXPECT_TRUE(watch_first.expired());
  EXPECT_TRUE(watch_second.expired());
}

/// Runs `f`.
class task final : public job {
 public:
  explicit task(std::function<void()> f) : f_(std::move(f)) {}
  void run() override { f_(); }

 private:
  std::function<void()> f_;
};

TEST(Loop, RunsJobsInTheirOrderAfterTheEvents) {
  boost::asio::io_context io;
  loop l(io, 10ms);
  std::string order;
  const auto first = std::make_shared<task>([&] {
    order += "1";
    l.later(std::make_shared<task>([&] {
      order += "3";
      l.release();
    }));
  });
  const auto second = std::make_shared<task>([&] { order += "2"; });
  signal s([&] {
    order += "e";
    l.later(first);
    l.later(first);  // is in the queue
    l.later(second);
    l.later(first);
  });
  ASSERT_TRUE(s.enter(l));
  l.hold();
  s.give();
  io.run();
  EXPECT_EQ(order, "e123");
  EXPECT_FALSE(l.is_shared());
}

TEST(Loop, RunsTheOtherJobsWhereOneThrows) {
  boost::asio::io_context io;
  loop l(io, 10ms);
  l.hold();
  l.later(std::make_shared<task>([] { throw std::runtime_error("a job"); }));
  l.later(std::make_shared<task>([&] { l.release(); }));
  EXPECT_THROW(io.run(), std::runtime_error);
  EXPECT_EQ(io.run(), 1U);
}

TEST(Loop, OfAThreadWithoutAContextRunsRoundByRound) {
  loop l;
  int jobs = 0;
  signal s([&] { l.later(std::make_shared<task>([&] { ++jobs; })); });
  ASSERT_TRUE(s.enter(l));
  s.give();
  l.run_once();
  EXPECT_EQ(jobs, 1);
  std::thread other([&] { l.later(std::make_shared<task>([&] { ++jobs; })); });
  while (jobs != 2) l.run_once();
  other.join();
  l.wake();
  l.run_once();
  EXPECT_EQ(jobs, 2);
}

TEST(Loop, LetsGoOfItsJobsWithItsContext) {
  const auto left = std::make_shared<task>([] { FAIL() << "its context has gone"; });
  std::shared_ptr<loop> l;
  {
    boost::asio::io_context io;
    l = loop::of(io);
    EXPECT_EQ(loop::of(io), l);
    l->hold();
    l->later(left);
  }
  EXPECT_EQ(left.use_count(), 1);
  l->later(left);
  EXPECT_EQ(left.use_count(), 1);
}

TEST(Loop, LetsGoOfJobsThatNothingHoldsItFor) {
  const auto l = std::make_shared<loop>();
  auto left = std::make_shared<task>([l] { ADD_FAILURE() << "it ran"; });
  const std::weak_ptr<task> still_there = left;
  l->hold();
  l->later(std::move(left));
  l->hold();
  l->release();
  EXPECT_FALSE(still_there.expired()) << "something holds the loop yet";
  l->release();
  EXPECT_TRUE(still_there.expired());
  EXPECT_EQ(l.use_count(), 1) << "a job that is left keeps its loop for ever";
}

TEST(Loop, OfAContextThatIsDestroyedDoesNothing) {
  auto io = std::make_unique<boost::asio::io_context>();
  auto l = std::make_unique<loop>(*io, 10ms);
  signal s;
  ASSERT_TRUE(s.enter(*l));
  l->hold();
  s.give();
  l.reset();
  io.reset();
  EXPECT_EQ(s.count, 0);
}

}  // namespace
}  // namespace curfew::http
