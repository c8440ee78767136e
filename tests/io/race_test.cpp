// Coroutines that run beside each other, or again: all of them, the first of them, two tries, many tries.

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/sync.hpp>
#include <curfew/testing.hpp>
#include <exception>
#include <functional>
#include <future>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <unistd.h>
#include <utility>
#include <variant>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::cause;
using curfew::context;
using curfew::errc;
using curfew::error;
using curfew::result;
using curfew::retry_policy;
using curfew::testing::manual_clock;

template <class T>
using coroutine = asio::awaitable<T>;

error refused() { return error(std::make_error_code(std::errc::connection_refused), "connecting"); }
error malformed() { return error(std::make_error_code(std::errc::invalid_argument), "parsing"); }
error unknown() { return error(std::make_error_code(std::errc::no_such_file_or_directory), "opening"); }

curfew::clock::time_point at(curfew::clock::duration since_epoch) {
  return curfew::clock::time_point(since_epoch);
}

/// Whether it is there, of what an io_context that has been run as far as it goes should have made.
template <class T>
bool over(const std::future<T>& f) {
  return f.wait_for(0s) == std::future_status::ready;
}

/// Runs what is ready, though the io_context had nothing to do before.
void poll(asio::io_context& io) {
  io.restart();
  io.poll();
}

/// A coroutine that takes `d`, and then returns `what`, whatever its context.
template <class T>
auto after(curfew::clock::duration d, T what) {
  return [d, what](context ctx) -> coroutine<result<T>> {
    static_cast<void>(co_await curfew::async_sleep_for(curfew::without_cancel(ctx), d));
    co_return what;
  };
}
auto fails_after(curfew::clock::duration d, error how) {
  return [d, how](context ctx) -> coroutine<result<int>> {
    static_cast<void>(co_await curfew::async_sleep_for(curfew::without_cancel(ctx), d));
    co_return std::unexpected(how);
  };
}
auto throws_after(curfew::clock::duration d) {
  return [d](context ctx) -> coroutine<result<int>> {
    static_cast<void>(co_await curfew::async_sleep_for(curfew::without_cancel(ctx), d));
    throw std::runtime_error("bug");
  };
}

/// A coroutine that waits for the end of its context, takes an hour to clean up, and returns the end.
auto obedient(cause& seen, bool& cleaned) {
  return [&seen, &cleaned](context ctx) -> coroutine<result<int>> {
    static_cast<void>(co_await curfew::async_wait(ctx.done()));
    seen = ctx.cause();
    static_cast<void>(co_await curfew::async_sleep_for(curfew::without_cancel(ctx), 1h));
    cleaned = true;
    co_return std::unexpected(error::ended(ctx, "waiting"));
  };
}

/// What each of a range is.
using task = std::function<coroutine<result<int>>(context)>;

struct Coroutines : ::testing::Test {
  manual_clock clock;
  const context& ctx = clock.background();
  curfew::cancel_scope scope = curfew::with_cancel(ctx);
  asio::cancellation_signal signal;
  cause seen;
  bool cleaned = false;
  asio::io_context io;

  template <class T>
  std::future<T> start(coroutine<T> what) {
    auto f = asio::co_spawn(io, std::move(what), asio::use_future);
    poll(io);
    return f;
  }
  /// Runs it, and moves the clock whenever all wait.
  template <class T>
  T run(coroutine<T> what) {
    auto f = start(std::move(what));
    return finish(f);
  }
  template <class T>
  T finish(std::future<T>& f) {
    io.restart();
    while (io.poll() != 0 || clock.advance_to_next()) io.restart();
    if (!over(f)) throw std::logic_error("it never comes to an end");
    return f.get();
  }
  void pass(curfew::clock::duration d) {
    clock.advance(d);
    poll(io);
  }
};

// ---- all

using AsyncAll = Coroutines;

TEST_F(AsyncAll, ReturnsTheValuesInTheOrderOfTheCoroutinesWhichRunAtTheSameTime) {
  auto got = run(curfew::async_all(ctx, after(2h, 1), after(1h, std::string("two"))));
  static_assert(std::is_same_v<decltype(got), result<std::tuple<int, std::string>>>);
  EXPECT_EQ(got, std::tuple(1, "two"));
  EXPECT_EQ(clock.now(), at(2h));
}

TEST_F(AsyncAll, HasAPlaceForCoroutinesWithoutAValue) {
  int runs = 0;
  auto nothing = [&](context) -> coroutine<void> {
    ++runs;
    co_return;
  };
  auto code = [](context) -> coroutine<std::error_code> { co_return std::error_code(); };
  auto none = [](context) -> coroutine<result<>> { co_return result<>(); };
  auto got = run(curfew::async_all(ctx, nothing, code, none));
  static_assert(
      std::is_same_v<decltype(got), result<std::tuple<std::monostate, std::monostate, std::monostate>>>);
  EXPECT_TRUE(got);
  EXPECT_EQ(runs, 1);
  auto bad_code = [](context) -> coroutine<std::error_code> {
    co_return std::make_error_code(std::errc::io_error);
  };
  EXPECT_EQ(run(curfew::async_all(ctx, nothing, bad_code)).error(), std::errc::io_error);
}

TEST_F(AsyncAll, HandsOnCoroutinesAndValuesThatCanOnlyBeMoved) {
  auto owner =
      [only = std::make_unique<int>(7)](context its) mutable -> coroutine<result<std::unique_ptr<int>>> {
    static_cast<void>(co_await curfew::async_sleep_for(its, 1s));
    co_return std::move(only);
  };
  auto got = run(curfew::async_all(ctx, std::move(owner)));
  ASSERT_TRUE(got);
  EXPECT_EQ(*std::get<0>(*got), 7);
}

TEST_F(AsyncAll, TheFirstErrorInTimeCancelsTheOthersWhichItWaitsFor) {
  auto got = run(curfew::async_all(ctx, fails_after(2h, unknown()), fails_after(1h, refused()),
                                   obedient(seen, cleaned), after(3h, 4)));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message(), refused().message());
  EXPECT_EQ(seen, cause(refused().code(), refused().message()));
  EXPECT_TRUE(cleaned);
  EXPECT_EQ(clock.now(), at(3h)) << "it did not wait for all";
}

TEST_F(AsyncAll, RethrowsWhatTheFirstToFailThrewOnceTheOthersAreOver) {
  auto all = curfew::async_all(ctx, throws_after(1h), fails_after(90min, refused()), obedient(seen, cleaned));
  EXPECT_THROW(static_cast<void>(run(std::move(all))), std::runtime_error);
  EXPECT_EQ(seen.message(), "a task threw an exception");
  EXPECT_TRUE(cleaned);
  auto other_way = curfew::async_all(ctx, throws_after(2h), fails_after(1h, refused()));
  EXPECT_EQ(run(std::move(other_way)).error().message(), refused().message());
}

TEST_F(AsyncAll, WithAnEndedContextRunsNothing) {
  scope.cancel("user left");
  int runs = 0;
  auto count = [&](context) -> coroutine<result<int>> { co_return ++runs; };
  EXPECT_EQ(run(curfew::async_all(scope, count, count)).error().message(),
            "all: canceled (cause: user left)");
  EXPECT_EQ(run(curfew::async_all(scope, std::vector<task>{count})).error().message(),
            "all: canceled (cause: user left)");
  EXPECT_EQ(runs, 0);
}

TEST_F(AsyncAll, EndsWithItsContextAndKeepsValuesThatComeAllTheSame) {
  auto ended = start(curfew::async_all(scope, obedient(seen, cleaned)));
  auto kept = start(curfew::async_all(scope, after(2h, 1), after(1h, 2)));
  scope.cancel("user left");
  poll(io);
  EXPECT_FALSE(over(ended)) << "it did not wait for its coroutine";
  EXPECT_EQ(finish(ended).error().message(), "waiting: canceled (cause: user left)");
  EXPECT_EQ(kept.get(), std::tuple(1, 2));
}

TEST_F(AsyncAll, OfARangeReturnsAVectorOfTheValues) {
  std::vector<task> tasks;
  for (int i = 0; i != 100; ++i) tasks.emplace_back(after((100 - i) * 1s, i));
  auto got = run(curfew::async_all(ctx, std::move(tasks)));
  static_assert(std::is_same_v<decltype(got), result<std::vector<int>>>);
  ASSERT_TRUE(got);
  ASSERT_EQ(got->size(), 100U);
  for (int i = 0; i != 100; ++i) EXPECT_EQ((*got)[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(clock.now(), at(100s));
  EXPECT_EQ(run(curfew::async_all(ctx, std::vector<task>())), std::vector<int>());
}

TEST_F(AsyncAll, OfARangeWithoutValuesIsAResultWithoutAValue) {
  int runs = 0;
  auto count = [&](context) -> coroutine<void> {
    ++runs;
    co_return;
  };
  std::vector<std::function<coroutine<void>(context)>> tasks(3, count);
  auto got = run(curfew::async_all(ctx, tasks));
  static_assert(std::is_same_v<decltype(got), result<>>);
  EXPECT_TRUE(got);
  EXPECT_EQ(runs, 3);
}

TEST_F(AsyncAll, OfARangeTheFirstErrorCancelsTheOthers) {
  const std::vector<task> tasks{after(1min, 1), obedient(seen, cleaned), fails_after(1h, refused())};
  auto got = run(curfew::async_all(ctx, tasks));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message(), refused().message());
  EXPECT_EQ(seen.message(), refused().message());
  EXPECT_TRUE(cleaned);
}

TEST_F(AsyncAll, RunsOnTheExecutorOfTheCaller) {
  asio::thread_pool pool(4);
  auto strand = asio::make_strand(pool);
  int alone = 0;  // not atomic: the strand runs one at a time
  auto hop = [&](context its) -> coroutine<result<int>> {
    for (int i = 0; i != 50; ++i) {
      EXPECT_TRUE(strand.running_in_this_thread());
      ++alone;
      static_cast<void>(co_await curfew::async_sleep_for(its, 0s));
    }
    co_return 1;
  };
  result<std::vector<int>> got;
  auto finish = [&](const std::exception_ptr& /*thrown*/, result<std::vector<int>> values) {
    got = std::move(values);
  };
  auto begin = [&] {
    auto all = curfew::async_all(curfew::background(), std::vector<decltype(hop)>(8, hop));
    asio::co_spawn(strand, std::move(all), finish);
  };
  asio::post(strand, begin);  // as Asio counts the owners of an executor in a way that tsan does not see
  pool.join();
  EXPECT_EQ(got, std::vector<int>(8, 1));
  EXPECT_EQ(alone, 8 * 50);
}

TEST_F(AsyncAll, RunsInManyThreadsOfAPool) {
  asio::thread_pool pool(4);
  curfew::channel<int> c(1);
  auto send = [&](context its) -> coroutine<result<>> {
    for (int i = 0; i != 100; ++i) {
      auto sent = co_await curfew::async_send(its, c, 1);
      if (!sent) co_return sent;
    }
    co_return result<>();
  };
  auto receive = [&](context its) -> coroutine<result<int>> {
    int sum = 0;
    for (int i = 0; i != 200; ++i) {
      auto item = co_await curfew::async_receive(its, c);
      sum += item.value().value();
    }
    co_return sum;
  };
  auto all = curfew::async_all(curfew::background(), send, receive, send, send, receive, send);
  auto done = asio::co_spawn(pool, std::move(all), asio::use_future);
  const auto got = done.get();
  ASSERT_TRUE(got);
  EXPECT_EQ(std::get<1>(*got) + std::get<4>(*got), 400);
}

/// Waits for the end of its context, which does not come, and notes when it is destroyed.
auto suspended(const std::shared_ptr<int>& guarded) {
  return [guarded](context its) -> coroutine<result<int>> {
    static_cast<void>(co_await curfew::async_wait(its.done()));
    *guarded = 1;
    co_return 1;
  };
}

TEST_F(AsyncAll, GoesWithItsIoContext) {
  const auto guarded = std::make_shared<int>(0);
  {
    asio::io_context gone;
    asio::co_spawn(gone, curfew::async_all(scope, suspended(guarded), suspended(guarded)), asio::detached);
    const std::vector<task> tasks(3, suspended(guarded));
    asio::co_spawn(gone, curfew::async_all(scope, tasks), asio::detached);
    poll(gone);
  }
  EXPECT_EQ(guarded.use_count(), 1) << "a coroutine outlives its io_context";
  EXPECT_EQ(*guarded, 0);
  scope.cancel();
}

// ---- Asio's per-operation cancellation of those that wait for several

/// Emits a signal to what waits for coroutines of the same thread, which end with their context. In a process
/// of its own, which an alarm ends if the thread hangs.
template <class Make>
void cancel_in_a_process_of_its_own(Make make) {
  alarm(10);
  asio::cancellation_signal signal;
  auto scope = curfew::with_cancel(curfew::background());
  int running = 0;
  auto waits = [&](context its) -> coroutine<result<int>> {
    ++running;
    static_cast<void>(co_await curfew::async_wait(its.done()));
    --running;
    co_return std::unexpected(error::ended(its, "waiting"));
  };
  asio::io_context io;
  auto slot_too = asio::bind_cancellation_slot(signal.slot(), asio::use_future);
  auto waited = asio::co_spawn(io, make(scope.ctx(), waits), slot_too);
  poll(io);
  if (running == 0) std::_Exit(2);
  signal.emit(asio::cancellation_type::terminal);
  poll(io);  // whether that ends it is not said
  scope.cancel();
  poll(io);
  std::_Exit(over(waited) && running == 0 ? 0 : 1);
}

class AsioCancellationDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(AsioCancellationDeathTest, OfAllDoesNotBlockTheThread) {
  const auto make = [](context its, auto& waits) { return curfew::async_all(std::move(its), waits, waits); };
  EXPECT_EXIT(cancel_in_a_process_of_its_own(make), ::testing::ExitedWithCode(0), "");
}

TEST_F(AsioCancellationDeathTest, OfARaceDoesNotBlockTheThread) {
  const auto make = [](context its, auto& waits) { return curfew::async_race(std::move(its), waits, waits); };
  EXPECT_EXIT(cancel_in_a_process_of_its_own(make), ::testing::ExitedWithCode(0), "");
}

TEST_F(AsioCancellationDeathTest, OfAHedgeDoesNotBlockTheThread) {
  const auto make = [](context its, auto& waits) { return curfew::async_hedge(std::move(its), 24h, waits); };
  EXPECT_EXIT(cancel_in_a_process_of_its_own(make), ::testing::ExitedWithCode(0), "");
}

// ---- race

using AsyncRace = Coroutines;

TEST_F(AsyncRace, TheFirstSuccessWinsAndCancelsTheOthersWhichItWaitsFor) {
  auto got = run(curfew::async_race(ctx, after(5h, 1), after(1h, 2), obedient(seen, cleaned)));
  static_assert(std::is_same_v<decltype(got), result<int>>);
  EXPECT_EQ(got, 2);
  EXPECT_EQ(seen, errc::canceled);
  EXPECT_EQ(seen.message(), "the race is decided");
  EXPECT_TRUE(cleaned);
  EXPECT_EQ(clock.now(), at(5h));
}

TEST_F(AsyncRace, AFailureDoesNotDecideIt) {
  auto got =
      run(curfew::async_race(ctx, fails_after(1s, malformed()), fails_after(2s, refused()), after(3s, 3)));
  EXPECT_EQ(got, 3);
}

TEST_F(AsyncRace, IfAllFailTheErrorIsTheFirstInTimeButATransientOneBeforeAnother) {
  auto first_in_time = curfew::async_race(ctx, fails_after(2s, malformed()), fails_after(1s, unknown()));
  EXPECT_EQ(run(std::move(first_in_time)).error().message(), unknown().message());
  auto transient = curfew::async_race(ctx, fails_after(1s, malformed()), fails_after(2s, refused()),
                                      fails_after(3s, error(errc::deadline_exceeded, "reading")),
                                      fails_after(4s, unknown()));
  EXPECT_EQ(run(std::move(transient)).error().message(), refused().message());
}

TEST_F(AsyncRace, WhatOneThrowsBeforeASuccessDecidesItToo) {
  auto race = curfew::async_race(ctx, throws_after(1h), after(2h, 2), obedient(seen, cleaned));
  EXPECT_THROW(static_cast<void>(run(std::move(race))), std::runtime_error);
  EXPECT_EQ(seen.message(), "the race is decided");
  EXPECT_TRUE(cleaned);
  EXPECT_EQ(run(curfew::async_race(ctx, throws_after(2h), after(1h, 2))), 2) << "a loser's is dropped";
}

TEST_F(AsyncRace, OfOneIsThatOneWhateverItReturns) {
  auto nothing = [](context) -> coroutine<void> { co_return; };
  auto bad_code = [](context) -> coroutine<std::error_code> {
    co_return std::make_error_code(std::errc::io_error);
  };
  auto owner = [](context) -> coroutine<result<std::unique_ptr<int>>> { co_return std::make_unique<int>(7); };
  auto none = run(curfew::async_race(ctx, nothing));
  static_assert(std::is_same_v<decltype(none), result<>>);
  EXPECT_TRUE(none);
  EXPECT_EQ(run(curfew::async_race(ctx, bad_code)).error(), std::errc::io_error);
  EXPECT_EQ(*run(curfew::async_race(ctx, owner)).value(), 7);
  EXPECT_TRUE(run(curfew::async_race(ctx, bad_code, nothing)));
}

TEST_F(AsyncRace, WithAnEndedContextRunsNothing) {
  scope.cancel("user left");
  int runs = 0;
  auto count = [&](context) -> coroutine<result<int>> { co_return ++runs; };
  EXPECT_EQ(run(curfew::async_race(scope, count, count)).error().message(),
            "race: canceled (cause: user left)");
  EXPECT_EQ(run(curfew::async_race(scope, std::vector<task>{count})).error().message(),
            "race: canceled (cause: user left)");
  EXPECT_EQ(runs, 0);
}

TEST_F(AsyncRace, EndsWithItsContextUnlessOneSucceedsAllTheSame) {
  const auto report = curfew::with_timeout(ctx, 1h, cause("report budget"));
  auto ended = run(curfew::async_race(report, fails_after(1min, refused()), obedient(seen, cleaned)));
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error(), errc::deadline_exceeded);
  EXPECT_EQ(ended.error().cause(), cause("report budget"));
  EXPECT_TRUE(cleaned);
  auto kept = start(curfew::async_race(scope, fails_after(1h, refused()), after(2h, 2)));
  scope.cancel();
  EXPECT_EQ(finish(kept), 2);
}

TEST_F(AsyncRace, OfARangeIsWonByOneAndNobodyCannotWin) {
  const std::vector<task> tasks{fails_after(1s, refused()), obedient(seen, cleaned), after(1h, 3)};
  EXPECT_EQ(run(curfew::async_race(ctx, tasks)), 3);
  EXPECT_EQ(seen.message(), "the race is decided");
  EXPECT_TRUE(cleaned);
  auto of_nobody = curfew::async_race(ctx, std::vector<task>());
  EXPECT_THROW(static_cast<void>(run(std::move(of_nobody))), std::invalid_argument);
}

TEST_F(AsyncRace, HasOneWinnerInManyThreadsOfAPool) {
  asio::thread_pool pool(4);
  for (int round = 0; round != 50; ++round) {
    std::atomic<int> running{0};
    std::vector<task> tasks;
    for (int i = 0; i != 8; ++i) {
      tasks.emplace_back([&running, i](context its) -> coroutine<result<int>> {
        ++running;
        for (int hops = 0; hops != 5; ++hops) static_cast<void>(co_await curfew::async_sleep_for(its, 0s));
        --running;
        if (i % 2 == 0) co_return std::unexpected(refused());
        co_return i;
      });
    }
    auto race = curfew::async_race(curfew::background(), std::move(tasks));
    auto won = asio::co_spawn(pool, std::move(race), asio::use_future);
    const auto winner = won.get();
    ASSERT_TRUE(winner);
    EXPECT_EQ(*winner % 2, 1);
    EXPECT_EQ(running, 0) << "it did not wait for all";
  }
}

TEST_F(AsyncRace, GoesWithItsIoContext) {
  const auto guarded = std::make_shared<int>(0);
  {
    asio::io_context gone;
    asio::co_spawn(gone, curfew::async_race(scope, suspended(guarded), suspended(guarded)), asio::detached);
    const std::vector<task> tasks(3, suspended(guarded));
    asio::co_spawn(gone, curfew::async_race(scope, tasks), asio::detached);
    poll(gone);
  }
  EXPECT_EQ(guarded.use_count(), 1) << "a coroutine outlives its io_context";
  EXPECT_EQ(*guarded, 0);
  scope.cancel();
}

// ---- hedge

using AsyncHedge = Coroutines;

/// Two tries, each of which takes a time and ends in its own way.
struct two_tries {
  struct one {
    curfew::clock::duration takes;
    result<int> outcome;
  };
  std::vector<one> tries;
  std::vector<curfew::clock::time_point> calls = {};
  std::vector<cause> causes = {};

  /// Ends when its context does.
  coroutine<result<int>> operator()(context ctx) {
    const std::size_t mine = calls.size();
    calls.push_back(ctx.now());
    const one now = tries.at(mine);
    auto slept = co_await curfew::async_sleep_for(ctx, now.takes);
    if (!slept) {
      causes.push_back(ctx.cause());
      co_return std::unexpected(error::ended(ctx, "looking up"));
    }
    co_return now.outcome;
  }
};

using calls_at = std::vector<curfew::clock::time_point>;

TEST_F(AsyncHedge, OfOneThatIsFastEnoughMakesNoSecondTry) {
  two_tries f{{{1h - 1ns, 1}}};
  EXPECT_EQ(run(curfew::async_hedge(ctx, 1h, std::ref(f))), 1);
  EXPECT_EQ(f.calls.size(), 1U);
  EXPECT_EQ(clock.now(), at(1h - 1ns));
}

TEST_F(AsyncHedge, MakesTheSecondTryAfterTheDelayAndTheFasterWins) {
  two_tries second_wins{{{5h, 1}, {1h, 2}}};
  EXPECT_EQ(run(curfew::async_hedge(ctx, 1h, std::ref(second_wins))), 2);
  EXPECT_EQ(second_wins.calls, (calls_at{at(0h), at(1h)}));
  EXPECT_EQ(clock.now(), at(2h));
  ASSERT_EQ(second_wins.causes.size(), 1U);
  EXPECT_EQ(second_wins.causes[0], errc::canceled);
  EXPECT_EQ(second_wins.causes[0].message(), "the other try has decided");

  two_tries first_wins{{{90min, 1}, {1h, 2}}};
  EXPECT_EQ(run(curfew::async_hedge(ctx, 1h, std::ref(first_wins))), 1);
  EXPECT_EQ(clock.now(), at(3h + 30min));
  EXPECT_EQ(first_wins.causes.size(), 1U);
}

TEST_F(AsyncHedge, WithoutADelayMakesBothTriesAtOnce) {
  for (const curfew::clock::duration delay : {0s, -1s}) {
    two_tries f{{{1h, 1}, {1min, 2}}};
    const auto began = clock.now();
    EXPECT_EQ(run(curfew::async_hedge(ctx, delay, std::ref(f))), 2);
    EXPECT_EQ(f.calls, (calls_at{began, began}));
  }
}

TEST_F(AsyncHedge, MakesTheSecondTryAtOnceWhenTheFirstFailsWithATransientError) {
  two_tries f{{{1min, std::unexpected(refused())}, {1h, 2}}};
  EXPECT_EQ(run(curfew::async_hedge(ctx, 24h, std::ref(f))), 2);
  EXPECT_EQ(f.calls, (calls_at{at(0h), at(1min)}));
  EXPECT_EQ(clock.now(), at(1h + 1min));
}

TEST_F(AsyncHedge, AnErrorThatIsNotTransientDecides) {
  two_tries alone{{{1min, std::unexpected(malformed())}}};
  EXPECT_EQ(run(curfew::async_hedge(ctx, 1h, std::ref(alone))).error().message(), malformed().message());
  EXPECT_EQ(alone.calls.size(), 1U);
  two_tries both{{{24h, 1}, {1min, std::unexpected(malformed())}}};
  EXPECT_EQ(run(curfew::async_hedge(ctx, 1h, std::ref(both))).error().message(), malformed().message());
  EXPECT_EQ(both.causes.size(), 1U);
}

TEST_F(AsyncHedge, IfBothFailTheErrorIsThatOfTheFirstToFail) {
  const error timeout(errc::deadline_exceeded, "reading");
  two_tries f{{{3h, std::unexpected(refused())}, {1h, std::unexpected(timeout)}}};
  EXPECT_EQ(run(curfew::async_hedge(ctx, 1h, std::ref(f))).error().message(), timeout.message());
  EXPECT_EQ(clock.now(), at(3h)) << "the first was canceled by a failure that decides nothing";
}

TEST_F(AsyncHedge, RethrowsWhatATryThrowsBeforeTheOtherHasDecided) {
  int calls = 0;
  auto f = [&](context its) -> coroutine<result<int>> {
    if (++calls == 2) throw std::runtime_error("bug");
    static_cast<void>(co_await curfew::async_wait(its.done()));
    seen = its.cause();
    throw std::logic_error("dropped");
  };
  EXPECT_THROW(static_cast<void>(run(curfew::async_hedge(ctx, 1h, f))), std::runtime_error);
  EXPECT_EQ(seen.message(), "the other try has decided");
}

TEST_F(AsyncHedge, WithAnEndedContextIsNotCalled) {
  scope.cancel("user left");
  two_tries f;
  EXPECT_EQ(run(curfew::async_hedge(scope, 1h, std::ref(f))).error().message(),
            "hedge: canceled (cause: user left)");
  EXPECT_TRUE(f.calls.empty());
}

TEST_F(AsyncHedge, MakesNoSecondTryOnceItsContextHasEnded) {
  two_tries f{{{24h, 1}}};
  const auto report = curfew::with_timeout(ctx, 1h, cause("report budget"));
  const auto got = run(curfew::async_hedge(report, 1h, std::ref(f)));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message(), "looking up: deadline exceeded (cause: report budget)");
  EXPECT_EQ(f.calls.size(), 1U);
  EXPECT_EQ(clock.now(), at(1h));
}

TEST_F(AsyncHedge, KeepsASuccessThoughItsContextHasEnded) {
  auto kept = start(curfew::async_hedge(scope, 24h, after(1h, 1)));
  scope.cancel();
  EXPECT_EQ(finish(kept), 1);
}

TEST_F(AsyncHedge, HandsOnAValueThatCanOnlyBeMovedOrNone) {
  auto owner = [only = std::make_unique<int>(7)](context) mutable -> coroutine<result<std::unique_ptr<int>>> {
    co_return std::move(only);
  };
  EXPECT_EQ(*run(curfew::async_hedge(ctx, 1h, std::move(owner))).value(), 7);
  auto bad_code = [](context) -> coroutine<std::error_code> {
    co_return std::make_error_code(std::errc::io_error);
  };
  EXPECT_EQ(run(curfew::async_hedge(ctx, 1h, bad_code)).error(), std::errc::io_error);
}

TEST_F(AsyncHedge, HasOneOutcomeInManyThreadsOfAPool) {
  asio::thread_pool pool(4);
  for (int round = 0; round != 50; ++round) {
    std::atomic<int> calls{0};
    std::atomic<int> running{0};
    auto f = [&](context its) -> coroutine<result<int>> {
      const int mine = ++calls;
      ++running;
      for (int hops = 0; hops != 5; ++hops) static_cast<void>(co_await curfew::async_sleep_for(its, 0s));
      --running;
      if (mine == 1 + round % 2) co_return std::unexpected(refused());
      co_return mine;
    };
    auto hedge = curfew::async_hedge(curfew::background(), 0s, f);
    auto won = asio::co_spawn(pool, std::move(hedge), asio::use_future);
    EXPECT_EQ(won.get(), 2 - round % 2);
    EXPECT_EQ(running, 0) << "it did not wait for both";
  }
}

TEST_F(AsyncHedge, GoesWithItsIoContext) {
  const auto guarded = std::make_shared<int>(0);
  {
    asio::io_context gone;
    asio::co_spawn(gone, curfew::async_hedge(scope, 1h, suspended(guarded)), asio::detached);
    asio::co_spawn(gone, curfew::async_hedge(scope, 0h, suspended(guarded)), asio::detached);
    poll(gone);
  }
  EXPECT_EQ(guarded.use_count(), 1) << "a coroutine outlives its io_context";
  clock.advance(1h);
  EXPECT_EQ(*guarded, 0);
}

// ---- retry

using AsyncRetry = Coroutines;

/// Fails as often as it is told to, and writes down when it was called.
struct flaky {
  int failures = std::numeric_limits<int>::max();
  error how = refused();
  std::vector<curfew::clock::time_point> calls = {};

  result<int> call(const context& ctx) {
    calls.push_back(ctx.now());
    if (static_cast<int>(calls.size()) <= failures) return std::unexpected(how);
    return 42;
  }
  coroutine<result<int>> operator()(context ctx) { co_return call(ctx); }
};

/// A wait of more than an hour, before the second try.
retry_policy long_wait() { return retry_policy().initial(24h).max(24h).seed(7); }

TEST_F(AsyncRetry, TriesAgainAfterErrorsThatAreTransientAtTheSameTimesAsRetry) {
  const auto policy = retry_policy().initial(1s).multiplier(3).max(5s).seed(42);
  flaky f{.failures = 6};
  EXPECT_EQ(run(curfew::async_retry(ctx, policy, std::ref(f))), 42);
  manual_clock other;
  other.autojump(1);
  flaky twin{.failures = 6};
  EXPECT_EQ(curfew::retry(other.background(), policy, [&](const context& its) { return twin.call(its); }),
            42);
  EXPECT_EQ(f.calls, twin.calls);
  EXPECT_EQ(f.calls.size(), 7U);
  EXPECT_GT(f.calls.back(), at(0s));
}

TEST_F(AsyncRetry, DoesNotTryAgainWhereThatMakesNoSense) {
  flaky permanent{.how = malformed()};
  EXPECT_EQ(run(curfew::async_retry(ctx, retry_policy(), std::ref(permanent))).error().message(),
            malformed().message());
  EXPECT_EQ(permanent.calls.size(), 1U);

  flaky often;
  const auto third = run(curfew::async_retry(ctx, retry_policy().max_tries(3), std::ref(often)));
  EXPECT_EQ(third.error().doing(), "connecting (3 tries)");
  EXPECT_EQ(often.calls.size(), 3U);

  flaky late;
  const auto soon = curfew::with_timeout(ctx, 1ns);
  const auto began = clock.now();
  auto given_up = start(curfew::async_retry(soon, long_wait(), std::ref(late)));
  ASSERT_TRUE(over(given_up));
  EXPECT_EQ(given_up.get().error().doing(), "connecting (1 try, the deadline comes before the next)");
  EXPECT_EQ(clock.now(), began);
}

TEST_F(AsyncRetry, LetsOutWhatATryThrowsAndDoesNotTryAgain) {
  curfew::retry_budget budget(0.5, 3);
  int calls = 0;
  auto throws = [&](context) -> coroutine<result<int>> {
    if (++calls == 2) throw std::runtime_error("bug");
    co_return std::unexpected(refused());
  };
  auto tries = curfew::async_retry(ctx, retry_policy().budget(budget), throws);
  EXPECT_THROW(static_cast<void>(run(std::move(tries))), std::runtime_error);
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(budget.left(), 2U) << "the second try was made";
}

TEST_F(AsyncRetry, WithAnEndedContextIsNotCalledAndKeepsAValueThoughItHasEnded) {
  auto ends_it = [&](context) -> coroutine<result<int>> {
    scope.cancel("user left");
    co_return 5;
  };
  EXPECT_EQ(run(curfew::async_retry(scope, retry_policy(), ends_it)), 5);
  flaky f;
  EXPECT_EQ(run(curfew::async_retry(scope, retry_policy(), std::ref(f))).error().message(),
            "before the first try: canceled (cause: user left)");
  EXPECT_TRUE(f.calls.empty());
}

TEST_F(AsyncRetry, IsCanceledInAWaitAtOnceAndTheBudgetGetsItsTokenBack) {
  curfew::retry_budget budget(0.5, 3);
  flaky f;
  auto tries = start(curfew::async_retry(scope, long_wait().budget(budget), std::ref(f)));
  EXPECT_EQ(budget.left(), 2U);
  scope.cancel("user left");
  poll(io);
  ASSERT_TRUE(over(tries));
  EXPECT_EQ(tries.get().error().message(), "waiting for another try (1 try, the last: " +
                                               refused().message() + "): canceled (cause: user left)");
  EXPECT_EQ(f.calls.size(), 1U);
  EXPECT_EQ(budget.left(), 3U);
}

TEST_F(AsyncRetry, ObeysAsiosCancellationSlotInAWaitAndTheBudgetGetsItsTokenBack) {
  curfew::retry_budget budget(0.5, 3);
  flaky f;
  auto slot_too = asio::bind_cancellation_slot(signal.slot(), asio::use_future);
  auto what = curfew::async_retry(ctx, long_wait().budget(budget), std::ref(f));
  auto tries = asio::co_spawn(io, std::move(what), slot_too);
  poll(io);
  EXPECT_EQ(budget.left(), 2U);
  signal.emit(asio::cancellation_type::terminal);
  poll(io);
  ASSERT_TRUE(over(tries));
  EXPECT_EQ(tries.get().error().message(),
            "waiting for another try (1 try, the last: " + refused().message() + "): canceled");
  EXPECT_EQ(f.calls.size(), 1U);
  EXPECT_EQ(budget.left(), 3U);
}

TEST_F(AsyncRetry, TheBudgetGetsItsTokenBackIfItGoesWithItsIoContext) {
  curfew::retry_budget budget(0.5, 3);
  const auto guarded = std::make_shared<int>(0);
  auto f = [kept = guarded](context) -> coroutine<result<int>> {
    ++*kept;
    co_return std::unexpected(refused());
  };
  {
    asio::io_context gone;
    asio::co_spawn(gone, curfew::async_retry(ctx, long_wait().budget(budget), std::move(f)), asio::detached);
    poll(gone);
    EXPECT_EQ(budget.left(), 2U);
  }
  EXPECT_EQ(budget.left(), 3U);
  EXPECT_EQ(guarded.use_count(), 1) << "a coroutine outlives its io_context";
  clock.advance(48h);
  EXPECT_EQ(*guarded, 1);
}

TEST_F(AsyncRetry, TakesFromTheBudgetForEachRetryAndASuccessFillsIt) {
  curfew::retry_budget budget(0.5, 2);
  const auto policy = retry_policy().budget(budget);
  flaky f;
  EXPECT_EQ(run(curfew::async_retry(ctx, policy, std::ref(f))).error().doing(),
            "connecting (3 tries, the retry budget is used up)");
  EXPECT_EQ(f.calls.size(), 3U);
  EXPECT_EQ(budget.left(), 0U);
  flaky succeeds{.failures = 0};
  EXPECT_TRUE(run(curfew::async_retry(ctx, policy, std::ref(succeeds))));
  EXPECT_TRUE(run(curfew::async_retry(ctx, policy, std::ref(succeeds))));
  EXPECT_EQ(budget.left(), 1U);
}

TEST_F(AsyncRetry, GivesEachTryItsContextAndHandsOnWhatItReturns) {
  std::vector<context> given;
  auto owner = [&](context its) -> coroutine<result<std::unique_ptr<int>>> {
    given.push_back(its);
    if (given.size() < 3) co_return std::unexpected(refused());
    co_return std::make_unique<int>(7);
  };
  EXPECT_EQ(*run(curfew::async_retry(scope, retry_policy(), owner)).value(), 7);
  EXPECT_EQ(given, std::vector<context>(3, scope.ctx()));
  int codes = 0;
  auto code = [&](context) -> coroutine<std::error_code> {
    if (++codes < 3) co_return std::make_error_code(std::errc::connection_refused);
    co_return std::error_code();
  };
  auto none = run(curfew::async_retry(scope, retry_policy(), code));
  static_assert(std::is_same_v<decltype(none), result<>>);
  EXPECT_TRUE(none);
  EXPECT_EQ(codes, 3);
}

}  // namespace
