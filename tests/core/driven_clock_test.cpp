#include <curfew/core/driven_clock.hpp>

#include "race.hpp"

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <curfew/core.hpp>
#include <gtest/gtest.h>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;

/// Time that a test sets.
class set_time final : public time_source {
 public:
  [[nodiscard]] clock::time_point now() const noexcept override { return clock::time_point(now_.load()); }
  void on_earlier_deadline(clock::time_point next) noexcept override { told.push_back(next); }

  void set(clock::duration since_epoch) { now_ = since_epoch; }

  std::vector<clock::time_point> told;

 private:
  std::atomic<clock::duration> now_{clock::duration()};
};

struct DrivenClock : ::testing::Test {
  std::shared_ptr<set_time> time = std::make_shared<set_time>();
  driven_clock clock{time};

  static curfew::clock::time_point at(curfew::clock::duration d) { return curfew::clock::time_point(d); }
};

TEST_F(DrivenClock, ShowsTheTimeOfItsSource) {
  EXPECT_EQ(clock.now(), at(0s));
  time->set(5s);
  EXPECT_EQ(clock.now(), at(5s));
  EXPECT_EQ(clock.background().now(), at(5s));
  const auto scope = with_timeout(clock.background(), 2s);
  EXPECT_EQ(scope.deadline(), at(7s));
  time->set(6s);
  EXPECT_EQ(scope.remaining(), 1s);
}

TEST_F(DrivenClock, EndsWhatIsDueWhenItIsDriven) {
  const auto first = with_timeout(clock.background(), 1s);
  const auto second = with_timeout(clock.background(), 2s);
  const auto third = with_timeout(clock.background(), 3s);
  time->set(2s);
  EXPECT_FALSE(first.err());
  EXPECT_EQ(clock.run_due(), 2U);
  EXPECT_EQ(first.err(), errc::deadline_exceeded);
  EXPECT_EQ(second.err(), errc::deadline_exceeded);
  EXPECT_FALSE(third.err());
  EXPECT_EQ(clock.run_due(), 0U);
}

TEST_F(DrivenClock, EndsInTheOrderOfTheDeadlines) {
  std::vector<int> order;
  const auto late = with_timeout(clock.background(), 1h);
  const auto early = with_timeout(clock.background(), 3ns);
  const auto middle = with_timeout(clock.background(), 4ns);
  const on_done a(late, [&] { order.push_back(3); });
  const on_done b(early, [&] { order.push_back(1); });
  const on_done c(middle, [&] { order.push_back(2); });
  time->set(2h);
  EXPECT_EQ(clock.run_due(), 3U);
  EXPECT_EQ(order, (std::vector{1, 2, 3}));
}

TEST_F(DrivenClock, RunsWhatACallbackMadeDue) {
  const auto first = with_timeout(clock.background(), 1s);
  const auto second = with_timeout(clock.background(), 2s);
  const on_done jump(first, [&] { time->set(2s); });
  time->set(1s);
  EXPECT_EQ(clock.run_due(), 2U);
  EXPECT_TRUE(second.err());
}

TEST_F(DrivenClock, TellsTheNextDeadlineExactly) {
  EXPECT_EQ(clock.next_deadline(), std::nullopt);
  auto far = with_timeout(clock.background(), 24h + 7ns);
  auto farther = with_timeout(clock.background(), 24h + 9ns);
  EXPECT_EQ(clock.next_deadline(), at(24h + 7ns));
  far.cancel();
  EXPECT_EQ(clock.next_deadline(), at(24h + 9ns));
  farther.cancel();
  EXPECT_EQ(clock.next_deadline(), std::nullopt);
}

TEST_F(DrivenClock, TellsOfDeadlinesThatComeBeforeTheOneItTold) {
  const auto first = with_timeout(clock.background(), 10s);
  EXPECT_EQ(time->told, (std::vector{at(10s)}));
  EXPECT_EQ(clock.next_deadline(), at(10s));
  const auto later = with_timeout(clock.background(), 11s);
  EXPECT_EQ(time->told.size(), 1U);
  const auto earlier = with_timeout(clock.background(), 9s);
  EXPECT_EQ(time->told, (std::vector{at(10s), at(9s)}));
  time->set(10s);
  EXPECT_EQ(clock.run_due(), 2U);
  EXPECT_EQ(clock.next_deadline(), at(11s));
  const auto before_that = with_timeout(clock.background(), 500ms);
  EXPECT_EQ(time->told.back(), at(10500ms));
}

TEST_F(DrivenClock, ATimeBeforeTheEpochCountsAsTheEpoch) {
  time->set(-5s);
  EXPECT_EQ(clock.now(), at(0s));
  const auto past = with_timeout(clock.background(), -1s);
  EXPECT_EQ(past.err(), errc::deadline_exceeded);
  const auto scope = with_timeout(clock.background(), 1s);
  EXPECT_EQ(scope.deadline(), at(1s));
  EXPECT_EQ(clock.run_due(), 0U);
  time->set(1s);
  EXPECT_EQ(clock.run_due(), 1U);
}

TEST_F(DrivenClock, ATimeThatGoesBackEndsNothing) {
  time->set(10s);
  EXPECT_EQ(clock.run_due(), 0U);
  time->set(5s);
  const auto scope = with_timeout(clock.background(), 1s);  // at 6 s, which has been
  EXPECT_FALSE(scope.err());
  clock.run_due();
  EXPECT_TRUE(scope.err());
  const auto later = with_timeout(clock.background(), 10s);
  EXPECT_EQ(clock.run_due(), 0U);
  EXPECT_FALSE(later.err());
}

TEST_F(DrivenClock, TheEndOfTimeIsNeverReached) {
  time->set(curfew::clock::duration::max());
  EXPECT_EQ(clock.now(), curfew::clock::time_point::max() - 1ns);
  const auto forever = with_timeout(clock.background(), 1h);
  EXPECT_EQ(forever.deadline(), std::nullopt);
  EXPECT_EQ(clock.run_due(), 0U);
}

TEST(DrivenClockAlone, NeedsATimeSource) { EXPECT_THROW(driven_clock(nullptr), std::invalid_argument); }

TEST(DrivenClockAlone, ItsContextsMayOutliveIt) {
  std::weak_ptr<time_source> seen;
  {
    auto time = std::make_shared<set_time>();
    seen = time;
    auto clock = std::make_unique<driven_clock>(time);
    time.reset();
    auto scope = with_timeout(clock->background(), 1s);
    clock.reset();
    EXPECT_FALSE(seen.expired());
    EXPECT_EQ(scope.ctx().now(), clock::time_point());
    scope.cancel();
  }
  EXPECT_TRUE(seen.expired());
}

/// The system's clock, but paused for as long as a test likes, driven by a thread that sleeps in between.
class pausable final : public time_source {
 public:
  [[nodiscard]] clock::time_point now() const noexcept override {
    const std::lock_guard guard(mutex_);
    return paused_at_.value_or(clock::now()) - lost_;
  }

  void on_earlier_deadline(clock::time_point /*next*/) noexcept override { wake(); }

  void pause() {
    const std::lock_guard guard(mutex_);
    paused_at_ = clock::now();
  }
  void go_on() {
    {
      const std::lock_guard guard(mutex_);
      lost_ += clock::now() - *paused_at_;
      paused_at_.reset();
    }
    wake();
  }
  void stop() {
    {
      const std::lock_guard guard(mutex_);
      stopping_ = true;
    }
    wake();
  }

  void drive(driven_clock& driven) {
    for (;;) {
      driven.run_due();
      const auto next = driven.next_deadline();
      std::unique_lock lock(mutex_);
      const auto told = [&] { return woken_ || stopping_; };
      if (next && !paused_at_) {
        changed_.wait_until(lock, *next + lost_, told);
      } else {
        changed_.wait(lock, told);
      }
      if (stopping_) return;
      woken_ = false;
    }
  }

 private:
  void wake() {
    {
      const std::lock_guard guard(mutex_);
      woken_ = true;
    }
    changed_.notify_one();
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<clock::time_point> paused_at_;
  clock::duration lost_{};
  bool woken_ = false;
  bool stopping_ = false;
};

TEST(DrivenClockAlone, MayHaveAThreadThatSleepsUntilTheNextDeadline) {
  const auto time = std::make_shared<pausable>();
  driven_clock clock(time);
  std::jthread driver([&] { time->drive(clock); });
  const auto far = with_timeout(clock.background(), 1h);
  {
    const auto soon = with_timeout(clock.background(), 2ms);
    EXPECT_EQ(soon.done().wait(), errc::deadline_exceeded);
    EXPECT_GE(clock.now(), *soon.deadline());
  }
  time->pause();
  const auto later = with_timeout(clock.background(), 5ms);
  std::this_thread::sleep_for(20ms);
  EXPECT_FALSE(later.err()) << "the clock is paused";
  time->go_on();
  EXPECT_EQ(later.done().wait(), errc::deadline_exceeded);
  EXPECT_FALSE(far.err());
  time->stop();
}

TEST(DrivenClockAlone, DerivesAndEndsInAnyThread) {
  const auto time = std::make_shared<set_time>();
  driven_clock clock(time);
  const auto keep = with_timeout(clock.background(), 1ns);  // what comes later is not told
  EXPECT_TRUE(clock.next_deadline());
  std::atomic<std::size_t> by_deadline{0};
  std::atomic<bool> over{false};
  std::jthread driver([&] {
    for (int i = 1; !over; ++i) {
      time->set(i * 1us);
      clock.run_due();
    }
  });
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t != 2; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i != 5'000; ++i) {
          auto scope = with_timeout(clock.background(), (i % 7) * 1us + 1ns);
          if ((i + t) % 2 == 0) scope.cancel();
          if (scope.done().wait() == errc::deadline_exceeded) ++by_deadline;
        }
      });
    }
  }
  over = true;
  EXPECT_GE(by_deadline, 5'000U);
}

}  // namespace
}  // namespace curfew
