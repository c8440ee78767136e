// Every promise of the semaphore, its permits and its cases of select: long, since that is a long list.
#include <curfew/sync/semaphore.hpp>

#include "sync/waiting_at.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/sync/select.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <deque>
#include <gtest/gtest.h>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::await;
using testing::manual_clock;
using testing::waiting_at;

using testing::take;

using pending = testing::pending<detail::units_wait>;

/// Keeps what a select acquires, to be released by hand.
constexpr auto keep = [](result<semaphore::permit> got) { got->forget(); };

constexpr std::size_t nobody = 0;

/// The error of what has to have failed.
error error_of(const result<>& got) {
  if (got) throw std::runtime_error("no error");
  return got.error();
}

// ---- taking and giving back

TEST(Semaphore, HasAllItsUnitsAtFirst) {
  const semaphore s(3);
  EXPECT_EQ(s.capacity(), 3U);
  EXPECT_EQ(s.available(), 3U);
}

TEST(Semaphore, GivesUnitsUntilNoneAreLeft) {
  semaphore s(3);
  EXPECT_TRUE(take(background(), s, 2));
  EXPECT_EQ(s.available(), 1U);
  EXPECT_TRUE(take(background(), s));
  EXPECT_EQ(s.available(), 0U);
  EXPECT_FALSE(take(s));
  s.release(3);
  EXPECT_EQ(s.available(), 3U);
  EXPECT_TRUE(take(background(), s, 3));
}

TEST(Semaphore, TakesNothingInATryThatFails) {
  semaphore s(3);
  EXPECT_TRUE(take(s, 2));
  EXPECT_FALSE(take(s, 2));
  EXPECT_EQ(s.available(), 1U);
  EXPECT_TRUE(take(s));
}

TEST(Semaphore, CanHaveAsManyUnitsAsMax) {
  semaphore s(semaphore::max());
  EXPECT_EQ(s.available(), semaphore::max());
  EXPECT_TRUE(take(background(), s, semaphore::max()));
  EXPECT_EQ(s.available(), 0U);
  EXPECT_FALSE(take(s));
  s.release(semaphore::max());
  EXPECT_EQ(s.available(), semaphore::max());
}

TEST(Semaphore, LetsAnotherThreadReleaseWhatWasAcquired) {
  semaphore s(1);
  ASSERT_TRUE(take(background(), s));
  std::jthread([&] { s.release(); }).join();
  EXPECT_TRUE(take(s));
}

TEST(Semaphore, GivesNoUnitsToWhoAsksForNone) {
  semaphore s(1);
  EXPECT_TRUE(take(background(), s, 0));
  EXPECT_TRUE(take(s, 0));
  s.release(0);
  EXPECT_EQ(s.available(), 1U);
}

constinit semaphore from_the_beginning(2);

TEST(Semaphore, IsReadyBeforeAnyCodeRuns) { EXPECT_EQ(from_the_beginning.available(), 2U); }

static_assert(!std::is_copy_constructible_v<semaphore>);
static_assert(!std::is_move_constructible_v<semaphore>, "those who wait point to it");
static_assert(!std::is_convertible_v<std::size_t, semaphore>);

// ---- more than there is in all

TEST(Semaphore, RefusesAtOnceMoreThanThereIsInAll) {
  semaphore s(3);
  const error refused = error_of(take(background(), s, 4));
  EXPECT_EQ(refused.code(), std::errc::invalid_argument);
  EXPECT_EQ(refused.message(), "acquire 4 of 3 units: Invalid argument");
  EXPECT_FALSE(refused.transient());
  EXPECT_EQ(s.available(), 3U);
  EXPECT_FALSE(take(background(), s, std::numeric_limits<std::size_t>::max()));
  EXPECT_FALSE(take(s, std::numeric_limits<std::size_t>::max()));
  EXPECT_FALSE(take(s, 4));
}

TEST(Semaphore, RefusesMoreThanThereIsInAllWhateverElseIsWrong) {
  semaphore s(3);
  ASSERT_TRUE(take(s, 3));
  const pending first(s.acquiring());
  auto scope = with_cancel(background());
  scope.cancel();
  EXPECT_EQ(error_of(take(scope, s, 4)).code(), std::errc::invalid_argument);
  EXPECT_EQ(waiting_at(s), 1U);
}

TEST(Semaphore, WithoutUnitsRefusesAll) {
  semaphore s(0);
  EXPECT_EQ(error_of(take(background(), s)).code(), std::errc::invalid_argument);
  EXPECT_TRUE(take(background(), s, 0));
}

TEST(Semaphore, InASelectRefusesMoreThanThereIsInAll) {
  semaphore s(3);
  std::error_code told;
  EXPECT_EQ(
      select(when(s.acquiring(4), [&](const result<semaphore::permit>& got) { told = got.error().code(); })),
      0U);
  EXPECT_EQ(told, std::errc::invalid_argument);
  EXPECT_EQ(s.available(), 3U);
}

// ---- permits

TEST(SemaphorePermit, ReleasesItsUnitsWhenItGoes) {
  semaphore s(3);
  {
    const auto mine = s.acquire(background(), 2);
    ASSERT_TRUE(mine);
    EXPECT_EQ(mine->units(), 2U);
    EXPECT_EQ(s.available(), 1U);
    EXPECT_FALSE(s.try_acquire(2));
  }
  EXPECT_EQ(s.available(), 3U);
}

TEST(SemaphorePermit, ReleasesEarlyAndOnce) {
  semaphore s(3);
  auto mine = s.try_acquire(2);
  ASSERT_TRUE(mine);
  mine->release();
  EXPECT_EQ(mine->units(), 0U);
  EXPECT_EQ(s.available(), 3U);
  mine->release();
  mine.reset();
  EXPECT_EQ(s.available(), 3U);
}

TEST(SemaphorePermit, ForgetsUnitsThatAreReleasedByHand) {
  semaphore s(3);
  s.try_acquire(2)->forget();
  EXPECT_EQ(s.available(), 1U);
  s.release(2);
  EXPECT_EQ(s.available(), 3U);
}

TEST(SemaphorePermit, MovesItsUnits) {
  semaphore s(3);
  semaphore::permit held;
  EXPECT_EQ(held.units(), 0U);
  held = *s.try_acquire(2);
  EXPECT_EQ(s.available(), 1U);
  held = *s.try_acquire(1);
  EXPECT_EQ(s.available(), 2U) << "what it held before is released";
  const semaphore::permit moved(std::move(held));
  EXPECT_EQ(moved.units(), 1U);
  EXPECT_EQ(s.available(), 2U);
}

TEST(SemaphorePermit, IsGivenToTheHandlerOfASelect) {
  semaphore s(3);
  semaphore::permit held;
  select(when(s.acquiring(2), [&](result<semaphore::permit> got) { held = *std::move(got); }));
  EXPECT_EQ(held.units(), 2U);
  EXPECT_EQ(s.available(), 1U);
}

TEST(Semaphore, BeginsWithFewerUnitsThanItsCapacity) {
  semaphore s(5, 2);
  EXPECT_EQ(s.capacity(), 5U);
  EXPECT_EQ(s.available(), 2U);
  EXPECT_FALSE(s.try_acquire(3));
  s.release(3);
  EXPECT_TRUE(s.try_acquire(5));
}

static_assert(!std::is_copy_constructible_v<semaphore::permit>);

// ---- the end of the context

TEST(Semaphore, GivesNothingToAContextThatHasEnded) {
  semaphore s(1);
  auto scope = with_cancel(background());
  scope.cancel("gone home");
  const error ended = error_of(take(scope, s));
  EXPECT_EQ(ended.code(), errc::canceled);
  EXPECT_EQ(ended.cause().message(), "gone home");
  EXPECT_EQ(ended.message(), "acquire: canceled (cause: gone home)");
  EXPECT_FALSE(take(scope, s, 0));
  EXPECT_EQ(s.available(), 1U);
}

TEST(Semaphore, ReportsTheDeadlineThatEndsAWait) {
  manual_clock clock;
  clock.autojump();
  semaphore s(1);
  ASSERT_TRUE(take(s));
  const auto scope = with_timeout(clock.background(), 1h, cause("report budget"));
  const error ended = error_of(take(scope, s));
  EXPECT_EQ(ended.code(), errc::deadline_exceeded);
  EXPECT_EQ(ended.cause().message(), "report budget");
  EXPECT_EQ(clock.now(), clock::time_point(1h));
  EXPECT_EQ(waiting_at(s), nobody);
}

TEST(Semaphore, ReportsTheCancelThatEndsAWait) {
  semaphore s(1);
  ASSERT_TRUE(take(s));
  auto scope = with_cancel(background());
  result<> got;
  std::jthread waiter([&] { got = take(scope, s); });
  await([&] { return waiting_at(s) == 1; });
  scope.cancel("enough");
  waiter.join();
  EXPECT_EQ(error_of(got).code(), errc::canceled);
  EXPECT_EQ(error_of(got).cause().message(), "enough");
  EXPECT_EQ(waiting_at(s), nobody);
}

TEST(Semaphore, IsUsableAfterAWaitThatWasGivenUp) {
  manual_clock clock;
  clock.autojump();
  semaphore s(2);
  ASSERT_TRUE(take(s));
  const auto scope = with_timeout(clock.background(), 1s);
  ASSERT_FALSE(take(scope, s, 2));
  EXPECT_EQ(s.available(), 1U);
  EXPECT_TRUE(take(s));
  s.release(2);
  EXPECT_TRUE(take(s, 2));
}

TEST(Semaphore, LetsThoseWhoFitGoOnWhenTheFirstGivesUp) {
  semaphore s(3);
  ASSERT_TRUE(take(s));
  pending big(s.acquiring(3));
  const pending small(s.acquiring());
  const pending medium(s.acquiring(2));
  EXPECT_FALSE(small.happened());
  EXPECT_TRUE(big.give_up());
  EXPECT_TRUE(small.happened());
  EXPECT_FALSE(medium.happened());
  EXPECT_EQ(s.available(), 1U);
  s.release();
  EXPECT_TRUE(medium.happened());
}

TEST(Semaphore, KeepsTheOrderWhenOneInTheMiddleGivesUp) {
  semaphore s(2);
  ASSERT_TRUE(take(s, 2));
  const pending first(s.acquiring(2));
  pending second(s.acquiring());
  const pending third(s.acquiring(2));
  EXPECT_TRUE(second.give_up());
  EXPECT_FALSE(first.happened());
  s.release(2);
  EXPECT_TRUE(first.happened());
  EXPECT_FALSE(third.happened());
  s.release(2);
  EXPECT_TRUE(third.happened());
}

TEST(Semaphore, PassesOverWhoseContextHasJustEnded) {
  semaphore s(1);
  ASSERT_TRUE(take(s));
  pending ended(s.acquiring());
  const pending next(s.acquiring());
  EXPECT_TRUE(ended.end());  // it is still in the list
  s.release();
  EXPECT_TRUE(next.happened());
  EXPECT_FALSE(ended.outcome());
  EXPECT_EQ(waiting_at(s), nobody);
}

TEST(Semaphore, GivesNothingToAWaitWhoseContextEndedBeforeTheRelease) {
  semaphore s(2);
  ASSERT_TRUE(take(s, 2));
  auto scope = with_cancel(background());
  pending canceled(s.acquiring(2), scope);
  const pending next(s.acquiring());
  scope.cancel();
  s.release(2);
  EXPECT_FALSE(canceled.happened());
  EXPECT_TRUE(next.happened());
  EXPECT_FALSE(canceled.outcome());
  EXPECT_EQ(s.available(), 1U);
}

TEST(Semaphore, GivesNothingToAThreadWhoseContextEndedBeforeTheRelease) {
  for (int round = 0; round != 100; ++round) {
    semaphore s(2);
    ASSERT_TRUE(take(s, 2));
    auto scope = with_cancel(background());
    std::error_code code;
    std::jthread waiter([&] { code = error_of(take(scope, s, 2)).code(); });
    await([&] { return waiting_at(s) == 1; });
    scope.cancel();
    s.release(2);
    waiter.join();
    ASSERT_EQ(code, errc::canceled) << round;
    ASSERT_EQ(s.available(), 2U);
  }
}

TEST(Semaphore, InASelectGivesNothingOnceAContextHasEnded) {
  auto scope = with_cancel(background());
  scope.cancel();
  for (int round = 0; round != 100; ++round) {
    semaphore s(1);
    ASSERT_EQ(select(when(s.acquiring(), keep), when(scope.done(), [] {})), 1U);
    ASSERT_EQ(s.available(), 1U);
  }
}

TEST(Semaphore, InASelectThatWaitsGivesNothingOnceAContextHasEnded) {
  for (int round = 0; round != 100; ++round) {
    semaphore s(1);
    ASSERT_TRUE(take(s));
    auto scope = with_cancel(background());
    std::size_t which = 0;
    std::jthread waiter([&] { which = select(when(s.acquiring(), keep), when(scope.done(), [] {})); });
    await([&] { return waiting_at(s) == 1; });
    scope.cancel();
    s.release();
    waiter.join();
    ASSERT_EQ(which, 1U) << round;
    ASSERT_EQ(s.available(), 1U);
  }
}

TEST(Semaphore, LetsWhoWasGrantedKeepItThoughItsContextEndsThen) {
  semaphore s(1);
  ASSERT_TRUE(take(s));
  pending granted(s.acquiring());
  s.release();
  EXPECT_FALSE(granted.end());
  EXPECT_TRUE(granted.happened());
  EXPECT_EQ(s.available(), 0U);
}

TEST(Semaphore, HasUnitsAgainThatWereReleasedForOneWhoLeaves) {
  semaphore s(1);
  ASSERT_TRUE(take(s));
  pending ended(s.acquiring());
  EXPECT_TRUE(ended.end());
  s.release();
  EXPECT_EQ(s.available(), 1U);
  EXPECT_TRUE(take(s));
  EXPECT_FALSE(ended.outcome());
}

// ---- the order

TEST(Semaphore, ServesInTheOrderOfComing) {
  semaphore s(1);
  ASSERT_TRUE(take(s));
  std::vector<int> served;
  std::vector<std::jthread> threads;
  for (int i = 0; i != 4; ++i) {
    threads.emplace_back([&, i] {
      if (!take(background(), s)) return;
      served.push_back(i);
      s.release();
    });
    await([&] { return waiting_at(s) == static_cast<std::size_t>(i) + 1; });
  }
  s.release();
  threads.clear();
  EXPECT_EQ(served, (std::vector{0, 1, 2, 3}));
}

TEST(Semaphore, LetsNobodyOvertakeABigRequest) {
  semaphore s(4);
  ASSERT_TRUE(take(s, 2));
  const pending big(s.acquiring(4));
  const pending small(s.acquiring(1));
  EXPECT_EQ(s.available(), 2U);
  EXPECT_FALSE(small.happened());
  EXPECT_FALSE(take(s));
  EXPECT_FALSE(take(s, 0));
  s.release();
  EXPECT_FALSE(big.happened());
  s.release();
  EXPECT_TRUE(big.happened());
  EXPECT_FALSE(small.happened());
  s.release(4);
  EXPECT_TRUE(small.happened());
  EXPECT_TRUE(take(s, 3));
}

TEST(Semaphore, IsNotTakenAgainByWhoReleasesItWhileAnotherWaits) {
  semaphore s(1);
  ASSERT_TRUE(take(s));
  const pending other(s.acquiring());
  s.release();
  EXPECT_FALSE(take(s));
  EXPECT_TRUE(other.happened());
}

TEST(Semaphore, GrantsAllThatFitInOneRelease) {
  semaphore s(6);
  ASSERT_TRUE(take(s, 6));
  const pending one(s.acquiring(1));
  const pending two(s.acquiring(2));
  const pending three(s.acquiring(3));
  const pending four(s.acquiring(4));
  s.release(6);
  EXPECT_TRUE(one.happened());
  EXPECT_TRUE(two.happened());
  EXPECT_TRUE(three.happened());
  EXPECT_FALSE(four.happened());
  EXPECT_EQ(s.available(), 0U);
}

TEST(Semaphore, GivesWhoAsksForNoneItsTurn) {
  semaphore s(1);
  ASSERT_TRUE(take(s));
  const pending first(s.acquiring());
  const pending none(s.acquiring(0));
  EXPECT_FALSE(none.at_once());
  s.release();
  EXPECT_TRUE(first.happened());
  EXPECT_TRUE(none.happened());
  EXPECT_EQ(s.available(), 0U);
}

TEST(Semaphore, FindsWhatIsReleasedWhileItIsAboutToWait) {
  semaphore s(1);
  ASSERT_TRUE(take(s));
  detail::thread_waiter w(background(), "test");
  detail::units_wait thing = s.acquiring();
  {
    detail::finish_list after;
    const std::lock_guard guard(*thing.lock());
    ASSERT_FALSE(thing.try_locked(after));
    s.release();
    thing.enlist(w);
  }
  EXPECT_EQ(w.wait(), thing.entry());
  EXPECT_EQ(s.available(), 0U);
  EXPECT_EQ(waiting_at(s), nobody);
  s.release();
  EXPECT_TRUE(take(s));
}

TEST(Semaphore, ShowsTheNextHolderWhatWasDoneBeforeTheRelease) {
  semaphore s(1);
  ASSERT_TRUE(take(s));
  int plain = 0;
  std::jthread other([&] {
    plain = 42;
    s.release();
  });
  ASSERT_TRUE(take(background(), s));
  EXPECT_EQ(plain, 42);
}

TEST(Semaphore, MayBeDestroyedByTheNextHolder) {
  auto s = std::make_unique<semaphore>(1);
  ASSERT_TRUE(take(*s));
  std::jthread next([&] {
    if (take(background(), *s)) s.reset();
  });
  await([&] { return waiting_at(*s) == 1; });
  s->release();
  next.join();
  EXPECT_EQ(s, nullptr);
}

// ---- against a model that is too plain to be wrong

/// What a semaphore does, by one thread at a time.
class model {
 public:
  explicit model(std::size_t units) : available_(units) {}

  /// \return whether it has them at once.
  bool acquire(int who, std::size_t units) {
    if (try_acquire(units)) return true;
    waiting_.emplace_back(who, units);
    return false;
  }
  bool try_acquire(std::size_t units) {
    if (!waiting_.empty() || units > available_) return false;
    available_ -= units;
    return true;
  }
  /// \return the waits that go on.
  std::vector<int> release(std::size_t units) {
    available_ += units;
    return grant();
  }
  std::vector<int> leave(int who) {
    std::erase_if(waiting_, [&](const auto& each) { return each.first == who; });
    return grant();
  }

  [[nodiscard]] std::size_t available() const { return available_; }
  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }

 private:
  std::vector<int> grant() {
    std::vector<int> granted;
    for (; !waiting_.empty() && waiting_.front().second <= available_; waiting_.pop_front()) {
      available_ -= waiting_.front().second;
      granted.push_back(waiting_.front().first);
    }
    return granted;
  }

  std::size_t available_;
  std::deque<std::pair<int, std::size_t>> waiting_;
};

/// A semaphore and its model, which do the same.
class pair_of_both {
 public:
  explicit pair_of_both(std::uint64_t seed)
      : random_(seed),
        units_(1 + random_() % 8),
        real_(units_),
        model_(units_) {}

  void step(int number) {
    switch (random_() % 4) {
      case 0:
        acquire(number);
        break;
      case 1: {
        const std::size_t units = random_() % (units_ + 1);
        const bool expected = model_.try_acquire(units);
        EXPECT_EQ(take(real_, units), expected);
        if (expected) held_ += units;
        break;
      }
      case 2: {
        const std::size_t units = random_() % (held_ + 1);
        held_ -= units;
        real_.release(units);
        note(model_.release(units));
        break;
      }
      case 3:
        if (!waits_.empty()) leave();
        break;
    }
    compare();
  }

 private:
  struct wait {
    int who;
    std::size_t units;
    std::unique_ptr<pending> real;
  };

  void acquire(int who) {
    const std::size_t units = random_() % (units_ + 1);
    const bool at_once = model_.acquire(who, units);
    auto real = std::make_unique<pending>(real_.acquiring(units));
    EXPECT_EQ(real->at_once(), at_once);
    if (at_once) {
      held_ += units;
    } else {
      waits_.push_back({who, units, std::move(real)});
    }
  }

  void leave() {
    const auto at = waits_.begin() + static_cast<std::ptrdiff_t>(random_() % waits_.size());
    const int who = at->who;
    EXPECT_TRUE(at->real->give_up());
    waits_.erase(at);
    note(model_.leave(who));
  }

  void note(const std::vector<int>& granted) {
    for (const int who : granted) {
      const auto at = std::ranges::find(waits_, who, &wait::who);
      ASSERT_NE(at, waits_.end());
      EXPECT_TRUE(at->real->happened());
      held_ += at->units;
      waits_.erase(at);
    }
  }

  void compare() {
    EXPECT_EQ(real_.available(), model_.available());
    EXPECT_EQ(real_.available() + held_, units_);
    EXPECT_EQ(waiting_at(real_), model_.waiting());
    for (const wait& each : waits_) EXPECT_FALSE(each.real->happened());
  }

  std::mt19937_64 random_;
  const std::size_t units_;
  semaphore real_;
  model model_;
  std::size_t held_ = 0;
  std::vector<wait> waits_;
};

TEST(Semaphore, DoesInEachOfManyHistoriesWhatItsModelDoes) {
  for (std::uint64_t seed = 0; seed != 300 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    pair_of_both both(seed);
    for (int i = 0; i != 200 && !::testing::Test::HasFailure(); ++i) both.step(i);
  }
}

// ---- select

TEST(Semaphore, IsACaseOfSelect) {
  semaphore s(3);
  int held = 0;
  EXPECT_EQ(select(when(s.acquiring(2),
                        [&](auto mine) {
                          held = static_cast<int>(mine->units());
                          mine->forget();
                        })),
            0U);
  EXPECT_EQ(held, 2);
  EXPECT_EQ(s.available(), 1U);
}

TEST(Semaphore, IsWaitedForInASelect) {
  semaphore s(2);
  ASSERT_TRUE(take(s));
  std::atomic<bool> held{false};
  std::jthread waiter([&] {
    select(when(s.acquiring(2), [&](auto mine) {
      held = true;
      mine->forget();
    }));
  });
  await([&] { return waiting_at(s) == 1; });
  EXPECT_FALSE(held);
  s.release();
  waiter.join();
  EXPECT_TRUE(held);
  EXPECT_EQ(s.available(), 0U);
}

TEST(Semaphore, IsNotHeldIfAnotherCaseHappens) {
  manual_clock clock;
  clock.autojump();
  semaphore s(2);
  ASSERT_TRUE(take(s));
  const auto scope = with_timeout(clock.background(), 1s);
  const std::size_t which = select(when(s.acquiring(2), keep), when(scope.done(), [] {}));
  EXPECT_EQ(which, 1U);
  EXPECT_EQ(s.available(), 1U);
  EXPECT_EQ(waiting_at(s), nobody);
  EXPECT_TRUE(take(s));
}

TEST(Semaphore, IsTheOnlyOneOfTwoThatIsHeldAfterASelect) {
  semaphore a(1);
  semaphore b(1);
  ASSERT_TRUE(take(a));
  ASSERT_TRUE(take(b));
  std::size_t which = 2;
  std::jthread waiter([&] { which = select(when(a.acquiring(), keep), when(b.acquiring(), keep)); });
  await([&] { return waiting_at(a) == 1 && waiting_at(b) == 1; });
  b.release();
  waiter.join();
  EXPECT_EQ(which, 1U);
  EXPECT_EQ(waiting_at(a) + waiting_at(b), nobody);
  a.release();
  EXPECT_TRUE(take(a));
  EXPECT_FALSE(take(b));
}

TEST(Semaphore, MayStandInTwoCasesOfOneSelect) {
  semaphore s(3);
  ASSERT_TRUE(take(s, 3));
  std::size_t which = 2;
  std::jthread waiter([&] { which = select(when(s.acquiring(3), keep), when(s.acquiring(1), keep)); });
  await([&] { return waiting_at(s) == 2; });
  s.release();
  EXPECT_EQ(waiting_at(s), 2U);  // the big one is before the small one
  s.release(2);
  waiter.join();
  EXPECT_EQ(which, 0U);
  EXPECT_EQ(s.available(), 0U);
  EXPECT_EQ(waiting_at(s), nobody);
}

TEST(Semaphore, LetsThoseBehindASelectGoOnThatTookAnotherCase) {
  semaphore s(2);
  ASSERT_TRUE(take(s));
  auto scope = with_cancel(background());
  std::jthread selecting([&] { select(when(s.acquiring(2), keep), when(scope.done(), [] {})); });
  await([&] { return waiting_at(s) == 1; });
  const pending behind(s.acquiring());
  EXPECT_FALSE(behind.happened());
  scope.cancel();
  selecting.join();
  EXPECT_TRUE(behind.happened());
}

TEST(Semaphore, MayBeSelectedAgainAndAgain) {
  semaphore s(1);
  case_list cases;
  cases.when(s.acquiring(), keep);
  for (int i = 0; i != 3; ++i) {
    EXPECT_EQ(select(cases), 0U);
    EXPECT_EQ(try_select(cases), std::nullopt);
    std::jthread waiter([&] { select(cases); });
    await([&] { return waiting_at(s) == 1; });
    s.release();
    waiter.join();
    s.release();
  }
}

TEST(Semaphore, IsLeftAloneByASelectThatDoesNotWait) {
  semaphore s(1);
  ASSERT_TRUE(take(s));
  EXPECT_EQ(select(when(s.acquiring(), keep), otherwise([] {})), 1U);
  EXPECT_EQ(waiting_at(s), nobody);
}

// ---- broken contracts

class SemaphoreDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(SemaphoreDeathTest, TerminatesWhenMoreIsReleasedThanWasAcquired) {
  EXPECT_DEATH(
      {
        semaphore s(2);
        s.release();
      },
      "curfew: broken contract: semaphore: more was released than acquired");
  EXPECT_DEATH(
      {
        semaphore s(2);
        static_cast<void>(take(s));
        s.release(std::numeric_limits<std::size_t>::max());
      },
      "more was released than acquired");
}

TEST_F(SemaphoreDeathTest, TerminatesWhenMoreIsReleasedThanWasAcquiredWhileSomebodyWaits) {
  EXPECT_DEATH(
      {
        semaphore s(2);
        static_cast<void>(take(s));
        const pending waits(s.acquiring(2));
        s.release(2);
      },
      "more was released than acquired");
}

TEST_F(SemaphoreDeathTest, TerminatesWhenItIsMadeWithMoreThanMax) {
  EXPECT_DEATH(const semaphore s(semaphore::max() + 1), "more units than max");
  EXPECT_DEATH(const semaphore s(1, 2), "more units are available than there are");
}

TEST_F(SemaphoreDeathTest, TerminatesWhenItIsDestroyedWhileSomebodyWaits) {
  EXPECT_DEATH(
      {
        auto s = std::make_unique<semaphore>(1);
        static_cast<void>(take(*s));
        const pending waits(s->acquiring());
        s.reset();
      },
      "destroyed while it is waited for");
}

}  // namespace
}  // namespace curfew
