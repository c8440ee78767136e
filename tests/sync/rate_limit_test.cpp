#include <curfew/sync/rate_limit.hpp>

#include "core/allocations.hpp"
#include "race.hpp"
#include "sync/waiting.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/sync/channel.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <new>
#include <optional>
#include <ostream>
#include <random>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::manual_clock;

clock::time_point at(clock::duration since_epoch) { return clock::time_point(since_epoch); }

// ---- rate

TEST(Rate, IsSoManyInSoMuchTime) {
  constexpr rate r(100, 1s);
  EXPECT_EQ(r.events(), 100U);
  EXPECT_EQ(r.per(), 1s);
  EXPECT_EQ(rate::every(5ms).events(), 1U);
  EXPECT_EQ(rate::every(5ms).per(), 5ms);
}

TEST(Rate, OfNothingOrInNoTimeIsRefused) {
  EXPECT_THROW(rate(0, 1s), std::invalid_argument);
  EXPECT_THROW(rate(1, 0s), std::invalid_argument);
  EXPECT_THROW(rate::every(-1s), std::invalid_argument);
}

// ---- without a wait

struct RateLimit : ::testing::Test {
  manual_clock clock;
  const context& ctx = clock.background();
};

TEST_F(RateLimit, TellsItsRateAndItsBurst) {
  const rate_limit limit(rate(3, 2s), 7);
  EXPECT_EQ(limit.limit().events(), 3U);
  EXPECT_EQ(limit.limit().per(), 2s);
  EXPECT_EQ(limit.burst(), 7U);
}

TEST_F(RateLimit, WithoutABurstIsRefused) { EXPECT_THROW(rate_limit(rate(1, 1s), 0), std::invalid_argument); }

TEST_F(RateLimit, IsFullAtFirst) {
  clock.advance(3s);
  rate_limit limit(rate(1, 1s), 3);
  for (int i = 0; i != 3; ++i) EXPECT_TRUE(limit.acquire(ctx));
  EXPECT_FALSE(limit.try_acquire(ctx));
  EXPECT_EQ(clock.now(), at(3s));
}

TEST_F(RateLimit, FillsAtItsRateUpToItsBurst) {
  rate_limit limit(rate(2, 1s), 4);
  EXPECT_TRUE(limit.try_acquire(ctx, 4));
  clock.advance(499ms);
  EXPECT_FALSE(limit.try_acquire(ctx));
  clock.advance(1ms);
  EXPECT_TRUE(limit.try_acquire(ctx));
  EXPECT_FALSE(limit.try_acquire(ctx));
  clock.advance(1h);
  EXPECT_TRUE(limit.try_acquire(ctx, 4));
  EXPECT_FALSE(limit.try_acquire(ctx));
}

TEST_F(RateLimit, TakesAllOrNothing) {
  rate_limit limit(rate(1, 1s), 5);
  EXPECT_TRUE(limit.try_acquire(ctx, 3));
  EXPECT_FALSE(limit.try_acquire(ctx, 3));
  EXPECT_TRUE(limit.try_acquire(ctx, 2));
}

TEST_F(RateLimit, NoneAreAlwaysThere) {
  rate_limit limit(rate(1, 1s), 1);
  EXPECT_TRUE(limit.try_acquire(ctx));
  EXPECT_TRUE(limit.try_acquire(ctx, 0));
  EXPECT_TRUE(limit.acquire(ctx, 0));
  EXPECT_EQ(clock.now(), at(0s));
}

TEST_F(RateLimit, MoreThanItsBurstAreNeverThere) {
  clock.autojump();
  rate_limit limit(rate(1, 1s), 5);
  EXPECT_FALSE(limit.try_acquire(ctx, 6));
  const auto got = limit.acquire(ctx, 6);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), std::errc::invalid_argument);
  EXPECT_FALSE(got.error().transient());
  EXPECT_EQ(got.error().doing(), "rate limit: 6 tokens of at most 5");
  EXPECT_TRUE(limit.try_acquire(ctx, 5));
  EXPECT_EQ(clock.now(), at(0s));
}

TEST_F(RateLimit, AnEndedContextTakesNothing) {
  rate_limit limit(rate(1, 1s), 1);
  auto scope = with_cancel(ctx);
  scope.cancel("user left");
  EXPECT_FALSE(limit.try_acquire(scope));
  EXPECT_FALSE(limit.try_acquire(scope, 0));
  const auto got = limit.acquire(scope);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message(), "waiting for the rate limit: canceled (cause: user left)");
  EXPECT_TRUE(limit.try_acquire(ctx));
}

// ---- with a wait

TEST_F(RateLimit, WaitsForTokens) {
  clock.autojump();
  rate_limit limit(rate(1, 1s), 2);
  EXPECT_TRUE(limit.acquire(ctx, 2));
  EXPECT_TRUE(limit.acquire(ctx));
  EXPECT_EQ(clock.now(), at(1s));
  EXPECT_TRUE(limit.acquire(ctx, 2));
  EXPECT_EQ(clock.now(), at(3s));
}

TEST_F(RateLimit, IsExactWhereATokenTakesNoWholeNumberOfNanoseconds) {
  clock.autojump();
  rate_limit limit(rate(3, 1s), 1);
  EXPECT_TRUE(limit.acquire(ctx));
  EXPECT_TRUE(limit.acquire(ctx));
  EXPECT_EQ(clock.now(), at(333'333'334ns));  // never early
  for (int i = 0; i != 3'000; ++i) EXPECT_TRUE(limit.acquire(ctx));
  EXPECT_EQ(clock.now(), at(1000s + 333'333'334ns));
}

TEST_F(RateLimit, GoesFasterThanTheClock) {
  clock.autojump();
  rate_limit limit(rate(4'000'000'000U, 1s), 1'000'000'000U);
  for (int i = 0; i != 9; ++i) EXPECT_TRUE(limit.acquire(ctx, 1'000'000'000U));
  EXPECT_EQ(clock.now(), at(2s));
}

TEST_F(RateLimit, GoesSlowerThanAnyClock) {
  clock.autojump();
  rate_limit limit(rate::every(clock::duration::max()), 3);
  EXPECT_TRUE(limit.acquire(ctx, 3));
  EXPECT_FALSE(limit.try_acquire(ctx));
  const auto scope = with_timeout(ctx, 24h * 365);
  EXPECT_EQ(limit.acquire(scope, 3).error(), errc::deadline_exceeded);
  EXPECT_EQ(clock.now(), at(0s));
}

TEST_F(RateLimit, NeverGivesMoreInAnyTimeThanItsBurstAndWhatComesInIt) {
  const std::uint64_t seed = 42;
  std::mt19937_64 random(seed);
  rate_limit limit(rate(7, 3s), 5);
  struct taking {
    clock::time_point when;
    std::uint32_t tokens;
  };
  std::vector<taking> taken;
  for (int i = 0; i != 2'000; ++i) {
    clock.advance(std::chrono::milliseconds(random() % 800));
    const auto n = static_cast<std::uint32_t>(random() % 5 + 1);
    if (limit.try_acquire(ctx, n)) taken.push_back({clock.now(), n});
  }
  ASSERT_GT(taken.size(), 100U);
  for (std::size_t first = 0; first != taken.size(); ++first) {
    std::int64_t sum = 0;
    for (std::size_t last = first; last != taken.size(); ++last) {
      sum += taken[last].tokens;
      const auto time = (taken[last].when - taken[first].when).count();
      ASSERT_LE((sum - 5) * clock::duration(3s).count(), time * 7) << "from " << first << " to " << last;
    }
  }
}

TEST_F(RateLimit, FailsAtOnceIfTheTokensComeAfterTheDeadline) {
  clock.autojump();
  rate_limit limit(rate(1, 10s), 1);
  EXPECT_TRUE(limit.acquire(ctx));
  const auto scope = with_timeout(ctx, 5s);
  const auto got = limit.acquire(scope);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::deadline_exceeded);
  EXPECT_EQ(got.error().message(),
            "rate limit: the tokens do not come before the deadline: deadline exceeded");
  EXPECT_EQ(clock.now(), at(0s));
  EXPECT_FALSE(scope.err());
  EXPECT_TRUE(limit.acquire(ctx)) << "it took nothing";
  EXPECT_EQ(clock.now(), at(10s));
}

TEST_F(RateLimit, FailsAtOnceIfTheTokensComeAtTheDeadline) {
  clock.autojump();
  rate_limit limit(rate(1, 10s), 1);
  EXPECT_TRUE(limit.acquire(ctx));
  const auto same = with_timeout(ctx, 10s);
  EXPECT_EQ(limit.acquire(same).error(), errc::deadline_exceeded);
  EXPECT_EQ(clock.now(), at(0s));
  const auto later = with_timeout(ctx, 10s + 1ns);
  EXPECT_TRUE(limit.acquire(later));
  EXPECT_EQ(clock.now(), at(10s));
}

// ---- without limit, with none, and changed

TEST_F(RateLimit, WithoutLimitGivesAllThatIsAskedFor) {
  rate_limit limit(rate::unlimited(), 1);
  for (int i = 0; i != 100; ++i) EXPECT_TRUE(limit.acquire(ctx, 1'000'000));
  EXPECT_TRUE(limit.try_acquire(ctx, 1'000'000));
  EXPECT_EQ(clock.now(), at(0s));
}

TEST_F(RateLimit, OfNoneGivesItsBurstOnce) {
  rate_limit limit(rate::none(), 2);
  EXPECT_TRUE(limit.acquire(ctx, 2));
  clock.advance(24h * 365 * 100);
  EXPECT_FALSE(limit.try_acquire(ctx));
  const auto scope = with_timeout(ctx, 1h);
  EXPECT_EQ(limit.acquire(scope).error(), errc::deadline_exceeded);
}

TEST_F(RateLimit, KeepsItsTokensWhenItsRateChanges) {
  rate_limit limit(rate(1, 1s), 4);
  EXPECT_TRUE(limit.try_acquire(ctx, 4));
  clock.advance(2s);
  limit.set_rate(ctx, rate(10, 1s));
  EXPECT_EQ(limit.limit().events(), 10U);
  EXPECT_FALSE(limit.try_acquire(ctx, 3));
  EXPECT_TRUE(limit.try_acquire(ctx, 2));
  clock.advance(100ms);
  EXPECT_TRUE(limit.try_acquire(ctx));
  EXPECT_FALSE(limit.try_acquire(ctx));
  limit.set_rate(ctx, rate::none());
  clock.advance(1h);
  EXPECT_FALSE(limit.try_acquire(ctx));
  limit.set_rate(ctx, rate(1, 1s));
  EXPECT_FALSE(limit.try_acquire(ctx));
  clock.advance(1s);
  EXPECT_TRUE(limit.try_acquire(ctx));
  limit.set_rate(ctx, rate::unlimited());
  EXPECT_TRUE(limit.try_acquire(ctx, 100));
}

// ---- several waits

using detail::rate_access;

/// Several waits, each in a thread of its own, in the order in which they came. Once one has come, the clock
/// may be moved: it need not be asleep for that.
class crowd {
 public:
  explicit crowd(rate_limit& limit) : limit_(limit) {}

  /// \return its number, from 0, once it waits.
  int come(const context& ctx, std::uint32_t tokens) {
    const std::uint64_t before = rate_access::asked_for(limit_);
    const int number = static_cast<int>(threads_.size());
    threads_.emplace_back([this, ctx, tokens, number] {
      const auto got = limit_.acquire(ctx, tokens);
      std::ignore =
          told_.send(without_cancel(ctx), {number, got ? std::error_code() : got.error().code(), ctx.now()});
    });
    testing::await([&] { return rate_access::asked_for(limit_) == before + tokens; });
    return number;
  }

  struct news {
    int number;
    std::error_code err;
    clock::time_point when;

    friend bool operator==(const news&, const news&) = default;
    friend std::ostream& operator<<(std::ostream& out, const news& n) {
      return out << n.number << ": " << n.err.message() << " at " << n.when.time_since_epoch().count()
                 << " ns";
    }
  };

  /// The next one that has returned from its wait.
  news next() {
    auto got = told_.receive(background());
    return **std::move(got);
  }

 private:
  rate_limit& limit_;
  channel<news> told_{100};
  std::vector<std::jthread> threads_;
};

const std::error_code none;

TEST_F(RateLimit, ServesInTheOrderOfComing) {
  rate_limit limit(rate(1, 1s), 1);
  EXPECT_TRUE(limit.acquire(ctx));
  crowd waiting(limit);
  for (int i = 0; i != 3; ++i) waiting.come(ctx, 1);
  for (int i = 0; i != 3; ++i) {
    clock.advance(1s);
    EXPECT_EQ(waiting.next(), (crowd::news{i, none, at((i + 1) * 1s)}));
  }
}

TEST_F(RateLimit, WhoAsksForLessDoesNotOvertake) {
  rate_limit limit(rate(1, 1s), 5);
  EXPECT_TRUE(limit.acquire(ctx, 5));
  crowd waiting(limit);
  const int big = waiting.come(ctx, 5);
  const int small = waiting.come(ctx, 1);
  clock.advance(4s);
  EXPECT_FALSE(limit.try_acquire(ctx)) << "there are four, but they are for those that wait";
  clock.advance(1s);
  EXPECT_EQ(waiting.next(), (crowd::news{big, none, at(5s)}));
  clock.advance(1s);
  EXPECT_EQ(waiting.next(), (crowd::news{small, none, at(6s)}));
}

TEST_F(RateLimit, TheFirstThatIsCanceledLeavesItsTokensToThoseBehind) {
  rate_limit limit(rate(1, 1s), 5);
  EXPECT_TRUE(limit.acquire(ctx, 5));
  crowd waiting(limit);
  auto scope = with_cancel(ctx);
  const int big = waiting.come(scope, 5);
  const int small = waiting.come(ctx, 2);
  const int last = waiting.come(ctx, 1);
  clock.advance(2s);
  scope.cancel();
  const auto a = waiting.next();
  const auto b = waiting.next();  // at the same time, in any order
  EXPECT_EQ(a.number + b.number, big + small);
  EXPECT_EQ((a.number == big ? a : b), (crowd::news{big, make_error_code(errc::canceled), at(2s)}));
  EXPECT_EQ((a.number == big ? b : a), (crowd::news{small, none, at(2s)}));
  clock.advance(1s);
  EXPECT_EQ(waiting.next(), (crowd::news{last, none, at(3s)}));
}

TEST_F(RateLimit, WhoIsBehindACanceledOneMovesUp) {
  rate_limit limit(rate(1, 1s), 3);
  EXPECT_TRUE(limit.acquire(ctx, 3));
  crowd waiting(limit);
  auto scope = with_cancel(ctx);
  const int first = waiting.come(ctx, 1);
  const int canceled = waiting.come(scope, 3);
  const int last = waiting.come(ctx, 1);
  scope.cancel();
  EXPECT_EQ(waiting.next(), (crowd::news{canceled, make_error_code(errc::canceled), at(0s)}));
  clock.advance(1s);
  EXPECT_EQ(waiting.next(), (crowd::news{first, none, at(1s)}));
  clock.advance(1s);
  EXPECT_EQ(waiting.next(), (crowd::news{last, none, at(2s)}));
}

TEST_F(RateLimit, TheTokensOfTheLastThatIsCanceledGoToWhoComesLater) {
  rate_limit limit(rate(1, 1s), 3);
  EXPECT_TRUE(limit.acquire(ctx, 3));
  crowd waiting(limit);
  auto scope = with_cancel(ctx);
  waiting.come(scope, 3);
  clock.advance(2s);
  scope.cancel();
  EXPECT_EQ(waiting.next().err, errc::canceled);
  EXPECT_TRUE(limit.try_acquire(ctx, 2));
  EXPECT_FALSE(limit.try_acquire(ctx, 1));
}

TEST_F(RateLimit, CountsThoseBeforeWhenItComparesWithTheDeadline) {
  rate_limit limit(rate(1, 1s), 1);
  EXPECT_TRUE(limit.acquire(ctx));
  crowd waiting(limit);
  const int first = waiting.come(ctx, 1);
  const auto too_soon = with_timeout(ctx, 2s);
  EXPECT_EQ(limit.acquire(too_soon).error(), errc::deadline_exceeded);
  EXPECT_EQ(clock.now(), at(0s));
  const auto late_enough = with_timeout(ctx, 2s + 1ns);
  const int second = waiting.come(late_enough, 1);
  clock.advance(1s);
  EXPECT_EQ(waiting.next(), (crowd::news{first, none, at(1s)}));
  clock.advance(1s);
  EXPECT_EQ(waiting.next(), (crowd::news{second, none, at(2s)}));
}

TEST_F(RateLimit, ThreadsThatWakeLateGetWhatCameAtItsTime) {
  rate_limit limit(rate(1, 1s), 1);
  EXPECT_TRUE(limit.acquire(ctx));
  crowd waiting(limit);
  for (int i = 0; i != 3; ++i) waiting.come(ctx, 1);  // due at 1, 2 and 3 s
  clock.advance(3s + 500ms);                          // where all three find themselves
  std::vector<int> served;
  for (int i = 0; i != 3; ++i) served.push_back(waiting.next().number);
  EXPECT_THAT(served, ::testing::UnorderedElementsAre(0, 1, 2));
  EXPECT_FALSE(limit.try_acquire(ctx)) << "the last took its token at 3 s";
  clock.advance(500ms);
  EXPECT_TRUE(limit.try_acquire(ctx));
}

TEST_F(RateLimit, WithoutMemoryForTheTimerNothingIsTaken) {
  if (!testing::allocations_are_counted) GTEST_SKIP() << "this sanitizer has its own operator new";
  rate_limit limit(rate(1, 1s), 1);
  EXPECT_TRUE(limit.acquire(ctx));
  {
    const testing::failing_allocation none_left(1);
    EXPECT_THROW(std::ignore = limit.acquire(ctx), std::bad_alloc);
  }
  EXPECT_EQ(rate_access::asked_for(limit), 0U);
  clock.advance(1s);
  EXPECT_TRUE(limit.try_acquire(ctx));
}

TEST_F(RateLimit, TakesTokensThatAreThereWithoutAnAllocation) {
  if (!testing::allocations_are_counted) GTEST_SKIP() << "this sanitizer has its own operator new";
  rate_limit limit(rate(1, 1s), 10);
  const testing::allocation_count count;
  EXPECT_TRUE(limit.acquire(ctx));
  EXPECT_TRUE(limit.try_acquire(ctx));
  EXPECT_EQ(count.made(), 0U);
}

TEST_F(RateLimit, WorksOnTheSystemsClock) {
  rate_limit limit(rate(1'000, 1s), 1);
  const auto began = clock::now();
  for (int i = 0; i != 6; ++i) EXPECT_TRUE(limit.acquire(background()));
  EXPECT_GE(clock::now() - began, 5ms);
}

// ---- races

struct cancel_against_token {
  manual_clock clock;
  rate_limit limit{rate(1, 1s), 1};
  cancel_scope scope = with_cancel(clock.background());
  result<> got;

  cancel_against_token() { EXPECT_TRUE(limit.try_acquire(scope)); }
  void left() { got = limit.acquire(scope); }
  void right() {
    clock.advance(1s);
    scope.cancel();
  }
  void check() {
    EXPECT_EQ(rate_access::asked_for(limit), 0U);
    EXPECT_EQ(limit.try_acquire(clock.background()), !got);
  }
};

TEST(RateLimitRace, ACanceledWaitHasTakenNothingAndAnotherItsToken) {
  testing::hunt<cancel_against_token>("acquire() wakes by its token while its context is canceled");
}

struct cancel_of_the_first_against_the_second {
  manual_clock clock;
  rate_limit limit{rate(1, 1s), 2};
  cancel_scope scope = with_cancel(clock.background());
  std::optional<crowd> first;
  result<> got;

  cancel_of_the_first_against_the_second() {
    EXPECT_TRUE(limit.try_acquire(scope, 2));
    first.emplace(limit).come(scope, 2);
    clock.advance(1s);
  }
  void left() { got = limit.acquire(clock.background(), 1); }
  void right() { scope.cancel(); }
  void check() {
    EXPECT_TRUE(got);
    EXPECT_EQ(first->next().err, errc::canceled);
    EXPECT_EQ(clock.now(), at(1s));
    EXPECT_FALSE(limit.try_acquire(clock.background()));
  }
};

TEST(RateLimitRace, WhoComesWhileTheFirstLeavesIsNotForgotten) {
  testing::hunt<cancel_of_the_first_against_the_second>(
      "the first is canceled while the second, which its tokens are enough for, gets in line");
}

TEST(RateLimitRace, ManyWhoWaitAndGiveUpTakeNoMoreThanThereIs) {
  const std::uint64_t seed =
      testing::announce_seed("waits that end by their token, or by a cancel, in any order");
  manual_clock clock;
  rate_limit limit(rate(1, 1us), 4);
  std::atomic<std::uint64_t> taken{0};
  std::atomic<int> left{4};
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t != 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(seed + t);
      for (int i = 0; i != 300; ++i) {
        const auto n = static_cast<std::uint32_t>(random() % 4 + 1);
        const auto scope = with_timeout(clock.background(), std::chrono::nanoseconds(random() % 20'000));
        auto canceled = with_cancel(scope);
        const auto soon = with_timeout(clock.background(), std::chrono::nanoseconds(random() % 20'000));
        const on_done cancels(soon, [&] { canceled.cancel(); });
        if (limit.acquire(canceled, n)) taken += n;
      }
      --left;
    });
  }
  while (left != 0) clock.advance(100ns);
  threads.clear();
  EXPECT_EQ(rate_access::asked_for(limit), 0U);
  EXPECT_GT(taken, 0U);
  EXPECT_LE(taken, 4 + static_cast<std::uint64_t>(clock.now().time_since_epoch() / 1us));
}

}  // namespace
}  // namespace curfew
