#include <curfew/sync/race.hpp>

#include "race.hpp"

#include <atomic>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/sync/sleep.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <functional>
#include <gtest/gtest.h>
#include <latch>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::manual_clock;

error refused() { return error(std::make_error_code(std::errc::connection_refused), "connecting"); }
error malformed() { return error(std::make_error_code(std::errc::invalid_argument), "parsing"); }
error unknown() { return error(std::make_error_code(std::errc::no_such_file_or_directory), "opening"); }

/// Waits for the end of its context, and says how it came.
struct obedient {
  std::atomic<bool>* started = nullptr;
  cause* seen = nullptr;

  result<int> operator()(const context& ctx) const {
    if (started != nullptr) {
      *started = true;
      started->notify_all();
    }
    ctx.done().wait();
    if (seen != nullptr) *seen = ctx.cause();
    return std::unexpected(error::ended(ctx, "waiting"));
  }
};

using task = std::function<result<int>(const context&)>;

// ---- all

TEST(All, ReturnsTheValuesInTheOrderOfTheFunctions) {
  const auto got = all(
      background(), [](const context&) -> result<int> { return 1; },
      [](const context&) -> result<std::string> { return "two"; });
  static_assert(std::is_same_v<decltype(got), const result<std::tuple<int, std::string>>>);
  EXPECT_EQ(got, std::tuple(1, "two"));
}

TEST(All, HasAPlaceForFunctionsWithoutAValue) {
  int runs = 0;
  const auto got = all(
      background(), [&](const context&) { ++runs; }, [](const context&) -> result<> { return {}; },
      [](const context&) { return std::error_code(); });
  static_assert(std::is_same_v<decltype(got),
                               const result<std::tuple<std::monostate, std::monostate, std::monostate>>>);
  EXPECT_TRUE(got);
  EXPECT_EQ(runs, 1);
}

TEST(All, HandsOnValuesThatCanOnlyBeMoved) {
  auto got = all(background(),
                 [](const context&) -> result<std::unique_ptr<int>> { return std::make_unique<int>(7); });
  ASSERT_TRUE(got);
  EXPECT_EQ(*std::get<0>(*got), 7);
}

TEST(All, CallsTheFunctionsThemselvesAndNoCopies) {
  struct counter {
    int calls = 0;
    counter() = default;
    counter(const counter&) = delete;
    counter& operator=(const counter&) = delete;
    void operator()(const context& /*ctx*/) { ++calls; }
  } named;
  EXPECT_TRUE(all(background(), named));
  EXPECT_EQ(named.calls, 1);
}

TEST(All, RunsThemAtTheSameTime) {
  std::latch all_here(3);
  const auto meet = [&](const context&) { all_here.arrive_and_wait(); };
  EXPECT_TRUE(all(background(), meet, meet, meet));
}

TEST(All, TheFirstErrorCancelsTheOthersAndIsReturned) {
  std::atomic<bool> started{false};
  cause seen;
  const auto got = all(
      background(),
      [&](const context&) -> result<std::string> {
        started.wait(false);
        return std::unexpected(refused());
      },
      obedient{&started, &seen});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message(), refused().message());
  EXPECT_EQ(seen, cause(std::make_error_code(std::errc::connection_refused), refused().message()));
}

TEST(All, AnErrorCodeIsAnError) {
  const auto got =
      all(background(), [](const context&) { return std::make_error_code(std::errc::io_error); });
  EXPECT_EQ(got.error(), std::errc::io_error);
}

TEST(All, DoesNotRunWhatHasNotBeenStartedBeforeTheError) {
  constexpr int many = 500;  // more than threads
  std::atomic<int> started{0};
  std::vector<task> tasks(many, [&](const context& ctx) {
    ++started;
    return obedient()(ctx);
  });
  tasks.front() = [](const context&) -> result<int> { return std::unexpected(refused()); };
  EXPECT_EQ(all(background(), tasks).error(), std::errc::connection_refused);
  EXPECT_LT(started, many - 1);
}

TEST(All, NothingOutlivesTheCall) {
  std::atomic<bool> started{false};
  std::atomic<bool> over{false};
  EXPECT_FALSE(all(
      background(),
      [&](const context&) -> result<> {
        started.wait(false);
        return std::unexpected(refused());
      },
      [&](const context& ctx) {
        std::ignore = obedient{&started}(ctx);
        for (int i = 0; i != 100; ++i) std::this_thread::yield();
        over = true;
      }));
  EXPECT_TRUE(over);
}

TEST(All, RethrowsWhatTheFirstToFailThrew) {
  std::atomic<bool> started{false};
  cause seen;
  EXPECT_THROW(std::ignore = all(
                   background(),
                   [&](const context&) {
                     started.wait(false);
                     throw std::runtime_error("bug");
                   },
                   obedient{&started, &seen}),
               std::runtime_error);
  EXPECT_EQ(seen.message(), "a task threw an exception");
}

TEST(All, WithAnEndedContextRunsNothing) {
  auto scope = with_cancel(background());
  scope.cancel("user left");
  int runs = 0;
  const auto count = [&](const context&) { ++runs; };
  EXPECT_EQ(all(scope, count, count).error().message(), "all: canceled (cause: user left)");
  EXPECT_EQ(all(scope, std::vector{std::function<void(const context&)>(count)}).error().message(),
            "all: canceled (cause: user left)");
  EXPECT_EQ(runs, 0);
}

TEST(All, EndsWithItsContext) {
  auto scope = with_cancel(background());
  std::latch started(2);
  std::jthread leaves([&] {
    started.wait();
    scope.cancel("user left");
  });
  const auto wait = [&](const context& ctx) {
    started.count_down();
    return obedient()(ctx);
  };
  EXPECT_EQ(all(scope, wait, wait).error().message(), "waiting: canceled (cause: user left)");
}

TEST(All, ReturnsTheValuesThoughTheContextHasEnded) {
  auto scope = with_cancel(background());
  std::latch both_run(2);
  const auto succeeds_at_the_end = [&](const context& ctx) -> result<bool> {
    both_run.arrive_and_wait();
    scope.cancel();
    ctx.done().wait();
    return true;
  };
  EXPECT_EQ(all(scope, succeeds_at_the_end, succeeds_at_the_end), std::tuple(true, true));
}

TEST(All, MayBeNested) {
  const auto inner = [](const context& ctx) -> result<int> {
    const auto got = all(
        ctx, [](const context&) -> result<int> { return 1; },
        [](const context&) -> result<int> { return 2; });
    if (!got) return std::unexpected(got.error());
    return std::get<0>(*got) + std::get<1>(*got);
  };
  EXPECT_EQ(all(background(), inner, inner, inner), std::tuple(3, 3, 3));
}

TEST(All, SleepsOnTheClockOfItsContext) {
  manual_clock clock;
  std::latch asleep(2);
  const auto sleeper = [&](clock::duration d) {
    return [&, d](const context& ctx) -> result<clock::duration> {
      const auto scope = with_timeout(ctx, d);
      asleep.count_down();
      scope.done().wait();
      return d;
    };
  };
  std::jthread moves([&] {
    asleep.wait();
    clock.advance(3h);
  });
  EXPECT_EQ(all(clock.background(), sleeper(1h), sleeper(3h)),
            std::tuple(clock::duration(1h), clock::duration(3h)));
}

// ---- all, of a range

TEST(AllOfARange, ReturnsTheValuesInTheOrderOfTheFunctions) {
  std::vector<task> tasks;
  for (int i = 0; i != 100; ++i) tasks.emplace_back([i](const context&) -> result<int> { return i; });
  const auto got = all(background(), tasks);
  static_assert(std::is_same_v<decltype(got), const result<std::vector<int>>>);
  ASSERT_TRUE(got);
  ASSERT_EQ(got->size(), 100U);
  for (int i = 0; i != 100; ++i) EXPECT_EQ((*got)[static_cast<std::size_t>(i)], i);
}

TEST(AllOfARange, MayMakeItsFunctionsAsItGoes) {
  const std::vector<std::string> words{"a", "bc", "def"};
  const auto got =
      all(background(), words | std::views::transform([](const std::string& word) {
                          return [&word](const context&) -> result<std::size_t> { return word.size(); };
                        }));
  EXPECT_EQ(got, (std::vector<std::size_t>{1, 2, 3}));
}

TEST(AllOfARange, OfNothingIsNothing) {
  EXPECT_EQ(all(background(), std::vector<task>()), std::vector<int>());
}

TEST(AllOfARange, WithoutValuesIsAResultWithoutAValue) {
  int runs = 0;
  std::vector<std::function<void(const context&)>> tasks;
  tasks.emplace_back([&](const context&) { ++runs; });
  const auto got = all(background(), tasks);
  static_assert(std::is_same_v<decltype(got), const result<>>);
  EXPECT_TRUE(got);
  EXPECT_EQ(runs, 1);
}

TEST(AllOfARange, OfBoolsIsSafe) {
  std::vector<std::function<result<bool>(const context&)>> tasks;
  for (int i = 0; i != 64; ++i)
    tasks.emplace_back([i](const context&) -> result<bool> { return i % 3 == 0; });
  const auto got = all(background(), tasks);
  ASSERT_TRUE(got);
  for (int i = 0; i != 64; ++i) EXPECT_EQ((*got)[static_cast<std::size_t>(i)], i % 3 == 0);
}

TEST(AllOfARange, TheFirstErrorCancelsTheOthersAndIsReturned) {
  std::atomic<bool> started{false};
  cause seen;
  std::vector<task> tasks;
  tasks.emplace_back([&](const context&) -> result<int> {
    started.wait(false);
    return std::unexpected(refused());
  });
  tasks.emplace_back(obedient{&started, &seen});
  EXPECT_EQ(all(background(), tasks).error().message(), refused().message());
  EXPECT_EQ(seen.message(), refused().message());
}

// ---- race

TEST(Race, TheFirstSuccessWinsAndCancelsTheOthers) {
  std::atomic<bool> started{false};
  cause seen;
  const auto got = race(background(), obedient{&started, &seen}, [&](const context&) -> result<int> {
    started.wait(false);
    return 2;
  });
  static_assert(std::is_same_v<decltype(got), const result<int>>);
  EXPECT_EQ(got, 2);
  EXPECT_EQ(seen, errc::canceled);
  EXPECT_EQ(seen.message(), "the race is decided");
}

TEST(Race, RunsThemAtTheSameTime) {
  std::latch all_here(3);
  const auto meet = [&](const context&) { all_here.arrive_and_wait(); };
  const result<> got = race(background(), meet, meet, meet);
  EXPECT_TRUE(got);
}

TEST(Race, AFailureDoesNotDecideIt) {
  EXPECT_EQ(race(
                background(), [](const context&) -> result<int> { return std::unexpected(malformed()); },
                [](const context&) -> result<int> { return std::unexpected(refused()); },
                [](const context&) -> result<int> { return 3; }),
            3);
}

TEST(Race, OfOneIsThatOne) {
  EXPECT_EQ(race(background(), [](const context&) -> result<int> { return 1; }), 1);
  const auto got =
      race(background(), [](const context&) { return std::make_error_code(std::errc::io_error); });
  static_assert(std::is_same_v<decltype(got), const result<>>);
  EXPECT_EQ(got.error(), std::errc::io_error);
}

TEST(Race, HandsOnAValueThatCanOnlyBeMoved) {
  auto got = race(background(),
                  [](const context&) -> result<std::unique_ptr<int>> { return std::make_unique<int>(7); });
  ASSERT_TRUE(got);
  EXPECT_EQ(**got, 7);
}

TEST(Race, NothingOutlivesTheCall) {
  std::atomic<bool> started{false};
  std::atomic<bool> over{false};
  EXPECT_TRUE(race(
      background(), [&](const context&) { started.wait(false); },
      [&](const context& ctx) -> result<> {
        std::ignore = obedient{&started}(ctx);
        for (int i = 0; i != 100; ++i) std::this_thread::yield();
        over = true;
        return std::unexpected(refused());
      }));
  EXPECT_TRUE(over);
}

/// Counts its latch down when the last of its copies is gone.
std::shared_ptr<void> signal_at_end(std::latch& over) {
  return {static_cast<void*>(nullptr), [&](void*) { over.count_down(); }};
}

TEST(Race, IfAllFailTheErrorIsThatOfTheFirstToFail) {
  // A function that the range makes is destroyed once its failure has been seen to.
  std::latch first_has_failed(1);
  const std::vector<bool> is_first{false, true, false};
  const auto got =
      race(background(), is_first | std::views::transform([&](bool first) {
                           return [&, first, token = first ? signal_at_end(first_has_failed) : nullptr](
                                      const context&) -> result<int> {
                             if (first) return std::unexpected(unknown());
                             first_has_failed.wait();
                             return std::unexpected(malformed());
                           };
                         }));
  EXPECT_EQ(got.error().message(), unknown().message());
}

TEST(Race, IfAllFailAnErrorThatIsTransientComesBeforeOneThatIsNot) {
  const auto fails = [](const error& how) {
    return [how](const context&) -> result<int> { return std::unexpected(how); };
  };
  for (int i = 0; i != 50; ++i) {
    const auto got = race(background(), fails(malformed()), fails(refused()), fails(unknown()));
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().message(), refused().message());
    EXPECT_TRUE(got.error().transient());
  }
}

TEST(Race, WhatAFunctionThrowsDecidesItToo) {
  std::atomic<bool> started{false};
  cause seen;
  EXPECT_THROW(std::ignore = race(background(), obedient{&started, &seen},
                                  [&](const context&) -> result<int> {
                                    started.wait(false);
                                    throw std::runtime_error("bug");
                                  }),
               std::runtime_error);
  EXPECT_EQ(seen.message(), "the race is decided");
}

TEST(Race, WhatALoserThrowsIsDropped) {
  std::atomic<bool> started{false};
  EXPECT_EQ(race(
                background(),
                [&](const context& ctx) -> result<int> {
                  std::ignore = obedient{&started}(ctx);
                  throw std::runtime_error("canceled");
                },
                [&](const context&) -> result<int> {
                  started.wait(false);
                  return 2;
                }),
            2);
}

/// Throws when it is moved once too often.
struct stubborn {
  int moves_left;
  explicit stubborn(int moves) : moves_left(moves) {}
  stubborn(stubborn&& other) : moves_left(other.moves_left - 1) {
    if (moves_left < 0) throw std::runtime_error("moved");
  }
  stubborn& operator=(stubborn&&) = delete;
  ~stubborn() = default;
};

TEST(Race, WhatAValueThrowsAsItIsMovedComesOut) {
  const auto can_be_moved = [](int times) {
    return [times](const context&) { return result<stubborn>(std::in_place, times); };
  };
  EXPECT_THROW(std::ignore = race(background(), can_be_moved(0)), std::runtime_error);
  EXPECT_THROW(std::ignore = race(background(), can_be_moved(1)), std::runtime_error);
  EXPECT_TRUE(race(background(), can_be_moved(2)));
}

TEST(Race, WithAnEndedContextRunsNothing) {
  auto scope = with_cancel(background());
  scope.cancel("user left");
  int runs = 0;
  const auto count = [&](const context&) { ++runs; };
  EXPECT_EQ(race(scope, count, count).error().message(), "race: canceled (cause: user left)");
  EXPECT_EQ(race(scope, std::vector{std::function<void(const context&)>(count)}).error().message(),
            "race: canceled (cause: user left)");
  EXPECT_EQ(runs, 0);
}

TEST(Race, SaysWhatWasBeingDoneWhenItsContextEnded) {
  auto scope = with_cancel(background());
  std::latch started(2);
  std::jthread leaves([&] {
    started.wait();
    scope.cancel("user left");
  });
  const auto wait = [&](const context& ctx) {
    started.count_down();
    return obedient()(ctx);
  };
  EXPECT_EQ(race(scope, wait, wait).error().message(), "waiting: canceled (cause: user left)");
}

TEST(Race, ThatItsContextHasEndedComesBeforeOtherErrors) {
  auto scope = with_cancel(background());
  const auto got = race(scope, [&](const context&) -> result<int> {
    scope.cancel("user left");
    return std::unexpected(refused());
  });
  EXPECT_EQ(got.error().message(), "race: canceled (cause: user left)");
}

TEST(Race, ASuccessAfterTheEndOfItsContextWins) {
  auto scope = with_cancel(background());
  EXPECT_EQ(race(scope,
                 [&](const context&) -> result<int> {
                   scope.cancel();
                   return 4;
                 }),
            4);
}

TEST(RaceOfARange, TheFirstSuccessWins) {
  std::atomic<bool> started{false};
  std::vector<task> tasks;
  tasks.emplace_back(obedient{&started});
  tasks.emplace_back([&](const context&) -> result<int> {
    started.wait(false);
    return 2;
  });
  EXPECT_EQ(race(background(), tasks), 2);
}

TEST(RaceOfARange, OfNothingIsRefused) {
  EXPECT_THROW(std::ignore = race(background(), std::vector<task>()), std::invalid_argument);
}

struct two_winners {
  std::latch both{2};
  result<int> got;

  two_winners() = default;
  void left() {
    const auto win = [&](int value) {
      return [&, value](const context&) -> result<int> {
        both.arrive_and_wait();
        return value;
      };
    };
    got = race(background(), win(1), win(2));
  }
  void right() {}
  void check() const { EXPECT_TRUE(got == 1 || got == 2); }
};

TEST(Race, OfTwoWhoSucceedAtTheSameTimeHasOneWinner) {
  testing::hunt<two_winners>("two functions succeed at the same time");
}

}  // namespace
}  // namespace curfew
