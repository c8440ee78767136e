#include <curfew/sync/hedge.hpp>

#include "core/allocations.hpp"
#include "race.hpp"

#include <atomic>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <gtest/gtest.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::manual_clock;

clock::time_point at(clock::duration since_epoch) { return clock::time_point(since_epoch); }

error refused() { return error(std::make_error_code(std::errc::connection_refused), "connecting"); }
error reset() { return error(std::make_error_code(std::errc::connection_reset), "reading"); }
error malformed() { return error(std::make_error_code(std::errc::invalid_argument), "parsing"); }

/// Something that happens once and that threads wait for.
class event {
 public:
  void happen() {
    happened_ = true;
    happened_.notify_all();
  }
  void wait() const { happened_.wait(false); }

 private:
  std::atomic<bool> happened_{false};
};

/// The first try runs in the thread of the test, so it can move the clock to where the second one starts, and
/// go on when it has.
struct Hedge : ::testing::Test {
  manual_clock clock;
  const context& ctx = clock.background();
  std::atomic<int> calls{0};

  result<int> until_end(const context& given, cause* seen = nullptr) {
    given.done().wait();
    if (seen != nullptr) *seen = given.cause();
    return std::unexpected(error::ended(given, "waiting"));
  }
};

TEST_F(Hedge, AFirstTryThatIsFastEnoughIsTheOnlyOne) {
  const auto me = std::this_thread::get_id();
  const auto got = hedge(ctx, 20ms, [&](const context&) -> result<int> {
    ++calls;
    EXPECT_EQ(std::this_thread::get_id(), me);
    clock.advance(20ms - 1ns);
    return 1;
  });
  static_assert(std::is_same_v<decltype(got), const result<int>>);
  EXPECT_EQ(got, 1);
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(clock.advance_to_next()) << "no timer is left behind";
}

TEST_F(Hedge, TriesASecondTimeAfterTheDelayAndTheFasterWins) {
  cause seen;
  const auto got = hedge(ctx, 20ms, [&](const context& given) -> result<int> {
    if (++calls == 2) return 2;
    clock.advance(20ms);
    return until_end(given, &seen);
  });
  EXPECT_EQ(got, 2);
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(seen, errc::canceled);
  EXPECT_EQ(seen.message(), "the other try has decided");
}

TEST_F(Hedge, TheFirstTryMayStillWinAndCancelsTheSecond) {
  event second_runs;
  cause seen;
  std::atomic<bool> over{false};
  const auto got = hedge(ctx, 20ms, [&](const context& given) -> result<int> {
    if (++calls == 2) {
      second_runs.happen();
      auto lost = until_end(given, &seen);
      for (int i = 0; i != 100; ++i) std::this_thread::yield();
      over = true;
      return lost;
    }
    clock.advance(20ms);
    second_runs.wait();
    return 1;
  });
  EXPECT_TRUE(over) << "both are over when it returns";
  EXPECT_EQ(got, 1);
  EXPECT_EQ(seen.message(), "the other try has decided");
}

TEST_F(Hedge, TriesASecondTimeAtOnceAfterATransientError) {
  const auto got = hedge(ctx, 20ms, [&](const context&) -> result<int> {
    if (++calls == 1) return std::unexpected(refused());
    return 2;
  });
  EXPECT_EQ(got, 2);
  EXPECT_EQ(clock.now(), at(0s));
  EXPECT_FALSE(clock.advance_to_next());
}

TEST_F(Hedge, AnErrorThatIsNotTransientIsNotTriedAgain) {
  const auto got = hedge(ctx, 20ms, [&](const context&) -> result<int> {
    ++calls;
    return std::unexpected(malformed());
  });
  EXPECT_EQ(got.error().message(), malformed().message());
  EXPECT_EQ(calls, 1);
}

TEST_F(Hedge, AnErrorThatIsNotTransientCancelsTheOtherTry) {
  cause seen;
  const auto got = hedge(ctx, 20ms, [&](const context& given) -> result<int> {
    if (++calls == 2) return std::unexpected(malformed());
    clock.advance(20ms);
    return until_end(given, &seen);
  });
  EXPECT_EQ(got.error().message(), malformed().message());
  EXPECT_EQ(seen.message(), "the other try has decided");
}

TEST_F(Hedge, ATransientErrorWhileTheOtherTryRunsDecidesNothing) {
  event first_fails;
  event second_runs;
  const auto got = hedge(ctx, 20ms, [&](const context&) -> result<int> {
    if (++calls == 2) {
      second_runs.happen();
      first_fails.wait();
      return 2;
    }
    clock.advance(20ms);
    second_runs.wait();
    first_fails.happen();
    return std::unexpected(refused());
  });
  EXPECT_EQ(got, 2);
  EXPECT_EQ(calls, 2);
}

TEST_F(Hedge, IfBothFailTheErrorIsThatOfTheFirstToFail) {
  const auto got = hedge(ctx, 20ms, [&](const context&) -> result<int> {
    if (++calls == 1) return std::unexpected(refused());
    clock.advance(1h);
    return std::unexpected(reset());
  });
  EXPECT_EQ(got.error().message(), refused().message());
  EXPECT_EQ(calls, 2) << "there are two tries at most";
}

TEST_F(Hedge, WithoutDelayStartsBothAtOnce) {
  for (const clock::duration delay : {0ms, -1ms}) {
    calls = 0;
    event both_run;
    const result<> got = hedge(ctx, delay, [&](const context&) -> result<> {
      if (++calls == 2) both_run.happen();
      both_run.wait();
      return {};
    });
    EXPECT_TRUE(got);
    EXPECT_EQ(calls, 2);
  }
}

TEST_F(Hedge, WithTheLongestDelayHasOneTry) {
  const auto got = hedge(ctx, clock::duration::max(), [&](const context&) -> result<int> {
    ++calls;
    clock.advance(24h * 365);
    return 1;
  });
  EXPECT_EQ(got, 1);
  EXPECT_EQ(calls, 1);
}

TEST_F(Hedge, TakesFunctionsThatReturnAnErrorCode) {
  const auto got =
      hedge(ctx, 20ms, [&](const context&) { return ++calls == 1 ? refused().code() : std::error_code(); });
  static_assert(std::is_same_v<decltype(got), const result<>>);
  EXPECT_TRUE(got);
}

TEST_F(Hedge, HandsOnAValueThatCanOnlyBeMoved) {
  auto got = hedge(ctx, 20ms,
                   [](const context&) -> result<std::unique_ptr<int>> { return std::make_unique<int>(7); });
  ASSERT_TRUE(got);
  EXPECT_EQ(**got, 7);
}

TEST_F(Hedge, GivesTheTriesTheValuesOfItsContext) {
  static constexpr key<int> answer{"answer"};
  const auto with_answer = with_value(ctx, answer, 42);
  EXPECT_EQ(
      hedge(with_answer, 20ms, [](const context& given) -> result<int> { return *given.value(answer); }), 42);
}

// ---- the end of ctx

TEST_F(Hedge, WithAnEndedContextDoesNotTry) {
  auto scope = with_cancel(ctx);
  scope.cancel("user left");
  const auto got = hedge(scope, 0s, [&](const context&) -> result<int> { return ++calls; });
  EXPECT_EQ(got.error().message(), "hedge: canceled (cause: user left)");
  EXPECT_EQ(calls, 0);
}

TEST_F(Hedge, EndsWithItsContextAndSaysWhatWasBeingDone) {
  auto scope = with_cancel(ctx);
  const auto got = hedge(scope, 20ms, [&](const context& given) -> result<int> {
    ++calls;
    scope.cancel("user left");
    clock.advance(1h);
    return until_end(given);
  });
  EXPECT_EQ(got.error().message(), "waiting: canceled (cause: user left)");
  EXPECT_EQ(calls, 1) << "after the end there is no second try";
}

TEST_F(Hedge, DoesNotTryAgainIfItsContextEndedInTheFirstTry) {
  auto scope = with_cancel(ctx);
  const auto got = hedge(scope, 20ms, [&](const context&) -> result<int> {
    ++calls;
    scope.cancel("user left");
    return std::unexpected(refused());
  });
  EXPECT_EQ(got.error().message(), "hedge: canceled (cause: user left)");
  EXPECT_EQ(calls, 1);
}

TEST_F(Hedge, ThatItsContextHasEndedComesBeforeAnErrorThatIsNotTransient) {
  auto scope = with_cancel(ctx);
  const auto got = hedge(scope, 20ms, [&](const context&) -> result<int> {
    scope.cancel("user left");
    return std::unexpected(malformed());
  });
  EXPECT_EQ(got.error().message(), "hedge: canceled (cause: user left)");
}

TEST_F(Hedge, ADeadlineBeforeTheDelayLeavesOneTry) {
  const auto scope = with_timeout(ctx, 10ms, "report budget");
  const auto got = hedge(scope, 20ms, [&](const context& given) -> result<int> {
    ++calls;
    clock.advance(1h);
    return until_end(given);
  });
  EXPECT_EQ(got.error().message(), "waiting: deadline exceeded (cause: report budget)");
  EXPECT_EQ(calls, 1);
}

TEST_F(Hedge, ASuccessAfterTheEndOfItsContextWins) {
  auto scope = with_cancel(ctx);
  EXPECT_EQ(hedge(scope, 20ms,
                  [&](const context&) -> result<int> {
                    scope.cancel();
                    return 4;
                  }),
            4);
}

// ---- what is thrown

TEST_F(Hedge, WhatTheFirstTryThrowsComesOutAndCancelsTheSecond) {
  event second_runs;
  cause seen;
  EXPECT_THROW(std::ignore = hedge(ctx, 20ms,
                                   [&](const context& given) -> result<int> {
                                     if (++calls == 2) {
                                       second_runs.happen();
                                       return until_end(given, &seen);
                                     }
                                     clock.advance(20ms);
                                     second_runs.wait();
                                     throw std::runtime_error("bug");
                                   }),
               std::runtime_error);
  EXPECT_EQ(seen.message(), "the other try has decided");
}

TEST_F(Hedge, WhatTheSecondTryThrowsComesOut) {
  EXPECT_THROW(std::ignore = hedge(ctx, 20ms,
                                   [&](const context& given) -> result<int> {
                                     if (++calls == 2) throw std::runtime_error("bug");
                                     clock.advance(20ms);
                                     return until_end(given);
                                   }),
               std::runtime_error);
}

TEST_F(Hedge, WhatTheLoserThrowsIsDropped) {
  EXPECT_EQ(hedge(ctx, 20ms,
                  [&](const context& given) -> result<int> {
                    if (++calls == 2) return 2;
                    clock.advance(20ms);
                    std::ignore = until_end(given);
                    throw std::runtime_error("canceled");
                  }),
            2);
}

TEST_F(Hedge, WithoutMemoryAfterTheDelayTheSecondTryWaitsForAnError) {
  if (!testing::allocations_are_counted) GTEST_SKIP() << "this sanitizer has its own operator new";
  const auto got = hedge(ctx, 20ms, [&](const context&) -> result<int> {
    if (++calls == 2) return 2;
    {
      const testing::failing_allocation none_left(1);
      clock.advance(20ms);
      EXPECT_TRUE(testing::failing_allocation::happened());
    }
    EXPECT_EQ(calls, 1);
    return std::unexpected(refused());
  });
  EXPECT_EQ(got, 2);
}

// ---- races

struct delay_against_failure {
  manual_clock clock;
  std::atomic<int> calls{0};
  std::atomic<bool> began{false};
  result<int> got;

  void left() {
    got = hedge(clock.background(), 20ms, [&](const context&) -> result<int> {
      began = true;
      if (++calls == 1) return std::unexpected(refused());
      return calls.load();
    });
  }
  void right() {
    while (!began) std::this_thread::yield();
    clock.advance(20ms);
  }
  void check() const { EXPECT_EQ(got, 2); }
};

TEST(HedgeRace, StartsTheSecondTryOnceAndWaitsForIt) {
  testing::hunt<delay_against_failure>("the delay passes while the first try fails");
}

struct delay_against_success {
  manual_clock clock;
  std::atomic<int> running{0};
  std::atomic<bool> began{false};
  result<int> got;

  void left() {
    got = hedge(clock.background(), 20ms, [&](const context&) -> result<int> {
      ++running;
      began = true;
      --running;
      return 1;
    });
    EXPECT_EQ(running, 0);
  }
  void right() {
    while (!began) std::this_thread::yield();
    clock.advance(20ms);
  }
  void check() const {
    EXPECT_EQ(running, 0);
    EXPECT_EQ(got, 1);
  }
};

TEST(HedgeRace, NothingStartsAfterItHasReturned) {
  testing::hunt<delay_against_success>("the delay passes while the first try succeeds");
}

}  // namespace
}  // namespace curfew
