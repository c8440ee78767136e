// A pool of things that are costly to make.

#include "io/coroutines.hpp"
#include "sync/waiting.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io/pool.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/testing.hpp>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::context;
using curfew::errc;
using curfew::pool_options;
using curfew::result;
using namespace curfew::testing;

/// Counts itself.
struct thing {
  int id;
  std::shared_ptr<int> alive;

  thing(int number, const std::shared_ptr<int>& counter) : id(number), alive(counter) { ++*alive; }
  thing(thing&& other) noexcept : id(other.id), alive(std::move(other.alive)) {}
  thing& operator=(thing&&) = delete;
  ~thing() {
    if (alive) --*alive;
  }
};

using things = curfew::pool<thing>;
using lease = things::lease;

static_assert(std::is_nothrow_move_constructible_v<lease>);
static_assert(!std::is_copy_constructible_v<lease>);
static_assert(!std::is_copy_constructible_v<things>);

struct Pool : ::testing::Test {
  manual_clock clock;
  const context& ctx = clock.background();
  asio::io_context io;
  std::shared_ptr<int> alive = std::make_shared<int>(0);
  int made = 0;
  bool good = true;
  std::optional<things> pool;

  things& with(pool_options options) {
    const auto is_good = [this](thing&) { return good; };
    return pool.emplace(options, is_good, ctx);
  }
  thing make() { return {++made, alive}; }
  lease take() {
    auto got = pool->acquire(ctx, [this](const context&) -> result<thing> { return make(); });
    if (!got) throw std::runtime_error(got.error().message());
    return std::move(*got);
  }

  asio::awaitable<result<lease>> acquire(context its) {
    auto maker = [this](context) -> asio::awaitable<result<thing>> { co_return make(); };
    co_return co_await curfew::async_acquire(its, *pool, maker);
  }
  /// Makes nothing before its context ends.
  asio::awaitable<result<lease>> acquire_slowly(context its) {
    auto maker = [](context of) -> asio::awaitable<result<thing>> {
      co_await curfew::async_wait(of.done());
      co_return curfew::error::ended(of, "making");
    };
    co_return co_await curfew::async_acquire(its, *pool, maker);
  }
  std::future<result<lease>> start(const context& its) {
    auto waits = curfew::testing::start(io, acquire(its));
    poll(io);
    return waits;
  }
  template <class T>
  bool got(const std::future<T>& f) {
    poll(io);
    return over(f);
  }
};

TEST_F(Pool, LendsTheThingGivenBackLast) {
  with(pool_options());
  auto one = std::optional(take());
  auto two = std::optional(take());
  EXPECT_EQ((*one)->id, 1);
  EXPECT_EQ((*two)->id, 2);
  EXPECT_EQ(pool->stats().lent, 2U);
  two.reset();
  one.reset();
  EXPECT_EQ(pool->stats().idle, 2U);
  EXPECT_EQ(pool->stats().size(), 2U);
  auto last = take();
  auto before = take();
  EXPECT_EQ(last->id, 1);
  EXPECT_EQ(before->id, 2);
  EXPECT_EQ(made, 2);
}

TEST_F(Pool, DestroysWhatIsDiscardedAndMakesAnother) {
  with(pool_options().capacity(1));
  auto one = take();
  one.discard();
  EXPECT_FALSE(one);
  EXPECT_EQ(*alive, 0);
  EXPECT_EQ(pool->stats().size(), 0U);
  EXPECT_EQ(take()->id, 2);
}

TEST_F(Pool, KeepsNoMoreThanMaxIdle) {
  with(pool_options().max_idle(1));
  {
    auto one = take();
    auto two = take();
  }
  EXPECT_EQ(*alive, 1);
}

TEST_F(Pool, DestroysWhatFailsTheCheckAndTriesTheNext) {
  with(pool_options());
  {
    auto one = take();
    auto two = take();
  }
  good = false;
  EXPECT_EQ(take()->id, 3);
  EXPECT_EQ(*alive, 1);
}

TEST_F(Pool, DestroysIdleThingsThoughNothingAsksForThem) {
  with(pool_options().idle_time(10s));
  {
    auto one = take();
    auto two = take();
  }
  clock.advance(10s - 1ns);
  EXPECT_EQ(*alive, 2);
  static_cast<void>(take());
  clock.advance(1ns);
  EXPECT_EQ(*alive, 1) << "the one that was used since stays";
  clock.advance(10s);
  EXPECT_EQ(*alive, 0);
  EXPECT_EQ(pool->stats().size(), 0U);
}

TEST_F(Pool, DestroysThingsAtTheEndOfTheirLife) {
  with(pool_options().idle_time(8s).life_time(10s));
  auto old = take();
  clock.advance(5s);
  {
    auto young = take();
  }
  {
    const lease back = std::move(old);
  }
  EXPECT_EQ(*alive, 2);
  clock.advance(5s);
  EXPECT_EQ(*alive, 1) << "its alarm comes before the one that was set first";
  auto lent = take();
  EXPECT_EQ(lent->id, 2);
  clock.advance(1h);
  EXPECT_EQ(*alive, 1) << "it is lent";
  {
    const lease back = std::move(lent);
  }
  EXPECT_EQ(*alive, 0);
}

TEST_F(Pool, WaitsInTurnWhereAllAreLent) {
  with(pool_options().capacity(1));
  auto mine = std::optional(take());
  auto first = start(ctx);
  auto second = start(ctx);
  EXPECT_EQ(pool->stats().waiting, 2U);
  mine.reset();
  ASSERT_TRUE(got(first));
  EXPECT_FALSE(got(second));
  {
    auto lent = first.get();
    EXPECT_EQ((*lent)->id, 1);
  }
  ASSERT_TRUE(got(second));
  EXPECT_EQ((*second.get())->id, 1);
  EXPECT_EQ(pool->stats().waiting, 0U);
}

TEST_F(Pool, ACanceledWaitHoldsNothingAndTheNextGoesOn) {
  with(pool_options().capacity(1));
  auto mine = std::optional(take());
  auto scope = curfew::with_cancel(ctx);
  auto first = start(scope);
  auto second = start(ctx);
  scope.cancel("user left");
  mine.reset();
  ASSERT_TRUE(got(first));
  const auto refused = first.get();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(), "pool: canceled (cause: user left)");
  ASSERT_TRUE(got(second));
  EXPECT_TRUE(second.get());
}

TEST_F(Pool, AWaitThatIsCanceledAfterItsTurnCameHandsItOn) {
  with(pool_options().capacity(1));
  auto mine = std::optional(take());
  auto scope = curfew::with_cancel(ctx);
  auto slow = curfew::testing::start(io, acquire_slowly(scope));
  poll(io);
  auto second = start(ctx);
  mine->discard();
  mine.reset();
  scope.cancel();  // its turn came, but it has not been resumed
  ASSERT_TRUE(got(slow));
  EXPECT_FALSE(slow.get());
  ASSERT_TRUE(got(second));
  EXPECT_TRUE(second.get());
}

TEST_F(Pool, AMakingThatIsCanceledGivesItsPlaceToTheNext) {
  with(pool_options().capacity(1));
  auto scope = curfew::with_cancel(ctx);
  auto slow = curfew::testing::start(io, acquire_slowly(scope));
  poll(io);
  EXPECT_EQ(pool->stats().lent, 1U);
  auto second = start(ctx);
  EXPECT_FALSE(got(second));
  scope.cancel();
  ASSERT_TRUE(got(slow));
  EXPECT_EQ(slow.get().error(), errc::canceled);
  ASSERT_TRUE(got(second));
  EXPECT_TRUE(second.get());
}

TEST_F(Pool, AMakerThatFailsOrThrowsHoldsNothing) {
  with(pool_options().capacity(1));
  const auto failed = pool->acquire(ctx, [](const context&) -> result<thing> {
    return curfew::error(std::make_error_code(std::errc::connection_refused), "connecting");
  });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), std::errc::connection_refused);
  const auto throwing = [](const context&) -> result<thing> { throw std::runtime_error("no"); };
  EXPECT_THROW(static_cast<void>(pool->acquire(ctx, throwing)), std::runtime_error);
  EXPECT_EQ(take()->id, 1);
}

TEST_F(Pool, AnEndedContextGetsNothing) {
  with(pool_options());
  static_cast<void>(take());
  const auto scope = curfew::with_timeout(ctx, 0s);
  const auto late = pool->acquire(scope, [this](const context&) -> result<thing> { return make(); });
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error(), errc::deadline_exceeded);
  EXPECT_EQ(pool->stats().idle, 1U);
}

TEST_F(Pool, CloseEndsWaitsAndLaterCalls) {
  with(pool_options().capacity(2));
  auto mine = std::optional(take());
  static_cast<void>(take());
  auto other = std::optional(take());
  auto waits = start(ctx);
  other.reset();
  ASSERT_TRUE(got(waits));
  static_cast<void>(waits.get());
  other = take();
  auto waiting = start(ctx);
  auto blocked = std::async(std::launch::async, [&] {
    return pool->acquire(ctx, [this](const context&) -> result<thing> { return make(); });
  });
  await([&] { return pool->stats().waiting == 2; });
  pool->close();
  ASSERT_TRUE(got(waiting));
  EXPECT_EQ(waiting.get().error().message(), curfew::error(make_error_code(errc::closed), "pool").message());
  EXPECT_EQ(blocked.get().error(), errc::closed);
  EXPECT_EQ(pool->acquire(ctx, [this](const context&) -> result<thing> { return make(); }).error(),
            errc::closed);
  EXPECT_EQ(*alive, 2);
  mine.reset();
  other.reset();
  EXPECT_EQ(*alive, 0);
}

TEST_F(Pool, CloseDropsWhatIsStillBeingMade) {
  with(pool_options());
  const auto late = pool->acquire(ctx, [this](const context&) -> result<thing> {
    pool->close();
    return make();
  });
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error(), errc::closed);
  EXPECT_EQ(*alive, 0);
}

TEST_F(Pool, CloseIdleLeavesWhatIsLent) {
  with(pool_options());
  auto lent = take();
  static_cast<void>(take());
  pool->close_idle();
  EXPECT_EQ(*alive, 1);
  EXPECT_EQ(lent->id, 1);
}

TEST_F(Pool, ALeaseAndAWaitMayOutliveThePool) {
  with(pool_options().capacity(1));
  auto lent = std::optional(take());
  auto waits = start(ctx);
  pool.reset();
  ASSERT_TRUE(got(waits));
  EXPECT_EQ(waits.get().error(), errc::closed);
  EXPECT_EQ(*alive, 1);
  lent.reset();
  EXPECT_EQ(*alive, 0);
}

TEST_F(Pool, AWaitThatGoesWithItsIoContextHoldsNothing) {
  with(pool_options().capacity(1));
  auto lent = std::optional(take());
  std::future<result<lease>> waits;
  {
    asio::io_context other;
    waits = curfew::testing::start(other, acquire(ctx));
    poll(other);
    lent.reset();  // its turn has come, and it is never resumed
  }
  EXPECT_THROW(static_cast<void>(waits.get()), std::future_error);
  EXPECT_EQ(pool->stats().waiting, 0U);
  EXPECT_EQ(take()->id, 1);
}

TEST_F(Pool, WhatExpiresWhileAllPlacesAreTakenIsLeftToTheCallThatHasOne) {
  with(pool_options().capacity(1).idle_time(1s));
  auto lent = std::optional(take());
  auto waits = start(ctx);
  lent.reset();  // its turn has come; it is not resumed yet
  clock.advance(1s);
  EXPECT_EQ(*alive, 1) << "destroyed beside the one that may be made";
  ASSERT_TRUE(got(waits));
  EXPECT_EQ((*waits.get())->id, 2);
}

TEST_F(Pool, HoldsThePlaceUntilTheThingIsDestroyed) {
  struct witness {
    std::function<void()> dies;
    explicit witness(std::function<void()> f) : dies(std::move(f)) {}
    witness(witness&& other) noexcept : dies(std::exchange(other.dies, nullptr)) {}
    witness& operator=(witness&&) = delete;
    ~witness() {
      if (dies) dies();
    }
  };
  curfew::pool<witness> witnesses(pool_options().capacity(1).max_idle(0), {}, ctx);
  int seen = 0;
  const auto maker = [&](const context&) -> result<witness> {
    return witness([&] {
      ++seen;
      EXPECT_EQ(witnesses.stats().lent, 1U);
    });
  };
  static_cast<void>(witnesses.acquire(ctx, maker));
  EXPECT_EQ(seen, 1);
  auto broken = witnesses.acquire(ctx, maker);
  ASSERT_TRUE(broken);
  broken->discard();
  EXPECT_EQ(seen, 2);
}

TEST_F(Pool, ADestructorMayUseThePool) {
  struct nosy {
    curfew::pool<std::unique_ptr<nosy>>* of;
    explicit nosy(curfew::pool<std::unique_ptr<nosy>>* its) : of(its) {}
    nosy(const nosy&) = delete;
    nosy& operator=(const nosy&) = delete;
    ~nosy() { EXPECT_EQ(of->stats().idle, 0U); }
  };
  curfew::pool<std::unique_ptr<nosy>> nosies(pool_options().idle_time(1s), {}, ctx);
  const auto maker = [&](const context&) -> result<std::unique_ptr<nosy>> {
    return std::make_unique<nosy>(&nosies);
  };
  static_cast<void>(nosies.acquire(ctx, maker));
  clock.advance(1s);
  static_cast<void>(nosies.acquire(ctx, maker));
  nosies.close_idle();
}

}  // namespace
