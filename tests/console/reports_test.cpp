// What sync, io and http report of their own work.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <ctime>
#include <curfew/core.hpp>
#include <curfew/http.hpp>
#include <curfew/inspect.hpp>
#include <curfew/io.hpp>
#include <curfew/sync.hpp>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace curfew::inspect {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

std::optional<task_info> first(const std::function<bool(const task_info&)>& is) {
  std::optional<task_info> found;
  each_task([&](task_info&& t) {
    if (is(t)) found = std::move(t);
    return !found;
  });
  return found;
}

/// Waits for one; none after 20 s.
std::optional<task_info> await_task(const std::function<bool(const task_info&)>& is) {
  const auto until = std::chrono::steady_clock::now() + 20s;
  for (;;) {
    if (auto found = first(is)) return found;
    if (std::chrono::steady_clock::now() > until) return {};
    std::this_thread::sleep_for(1ms);
  }
}

/// Waits until it holds, for 20 s.
void eventually(const std::function<bool()>& holds) {
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (!holds() && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(1ms);
  EXPECT_TRUE(holds());
}

std::optional<task_info> waiting(std::string_view kind, std::string_view what) {
  return await_task([&](const task_info& t) { return t.kind == kind && t.waits && t.waits->what == what; });
}

/// Takes that much CPU, however long the thread has to wait for it.
void burn(std::chrono::nanoseconds duration) {
  const auto spent = [] {
    timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
  };
  const auto until = spent() + duration;
  while (spent() < until) {
  }
}

void ignore(const task_info& /*zombie*/) {}

class Reports : public ::testing::Test {
 protected:
  static inspection_options how() { return inspection_options().zombie_after(20ms).on_zombie(&ignore); }
  const inspection on{how()};
};

TEST_F(Reports, ATaskOfAGroupAndWhatItWaitsFor) {
  channel<int> numbers(0);
  semaphore permits(1);
  mutex held;
  task_group group(background());
  auto permit = permits.acquire(background());
  ASSERT_TRUE(permit);
  const std::unique_lock lock(held);
  const auto line = std::source_location::current().line() + 1;
  group.spawn([&](const context& ctx) { EXPECT_FALSE(numbers.receive(ctx)); });
  group.spawn([&](const context& ctx) { EXPECT_FALSE(permits.acquire(ctx)); });
  group.spawn([&](const context& ctx) { EXPECT_FALSE(held.lock(ctx)); });
  group.spawn([&](const context& ctx) { EXPECT_FALSE(sleep_for(ctx, 1h)); });
  group.spawn([&](const context& ctx) { ctx.done().wait(); });
  group.spawn(
      [&](const context& ctx) { select(when(ctx.done(), [] {}), when(numbers.receiving(), [](auto) {})); });
  const auto receives = waiting("task", "receive");
  ASSERT_TRUE(receives);
  EXPECT_EQ(receives->where.line(), line);
  EXPECT_EQ(receives->state, state::waiting);
  EXPECT_TRUE(waiting("task", "acquire"));
  EXPECT_TRUE(waiting("task", "lock"));
  EXPECT_TRUE(waiting("task", "sleep"));
  EXPECT_TRUE(waiting("task", "the end of a context"));
  EXPECT_TRUE(waiting("task", "select"));
  group.cancel();
  EXPECT_TRUE(group.join());
  EXPECT_FALSE(first([](const task_info&) { return true; }));
}

constexpr task_kind holds{"holds"};
constexpr task_kind comes_next{"comes next"};
constexpr task_kind comes_last{"comes last"};

/// The one task of this kind.
std::optional<task_info> only(const task_kind& kind) {
  return first([&](const task_info& t) { return std::string_view(t.kind) == kind.name; });
}

/// Waits until a task of the first kind says that it waits for `what`, which a task of the second kind holds.
void expect_held_by(const task_kind& waiter, std::string_view what, const task_kind& holder) {
  eventually([&] {
    const auto waits = only(waiter);
    const auto held = only(holder);
    return waits && waits->waits && waits->waits->what == what && held && waits->waits->on == held->id;
  });
}

TEST_F(Reports, AWaitForALockNamesTheTaskThatHoldsItWheneverOneLooks) {
  mutex lock;
  auto first_holds = with_cancel(background());
  task_group group(background());
  const auto spawn_one = [&](const context& until, const task_kind& kind) {
    group.spawn([&lock, until, &kind](const context& ctx) {
      const task mine(ctx, kind);
      const auto held = lock.acquire(ctx);
      until.done().wait();
    });
  };
  spawn_one(first_holds, holds);
  ASSERT_TRUE(waiting("holds", "the end of a context"));
  spawn_one(group.ctx(), comes_next);
  ASSERT_TRUE(waiting("comes next", "lock"));
  spawn_one(group.ctx(), comes_last);
  expect_held_by(comes_next, "lock", holds);
  expect_held_by(comes_last, "lock", holds);
  first_holds.cancel();
  expect_held_by(comes_last, "lock", comes_next);
  group.cancel();
  EXPECT_TRUE(group.join());
}

TEST_F(Reports, AWaitForALockOfNoTaskNamesNone) {
  mutex lock;
  task_group group(background());
  {
    const task mine(background(), holds);
    const std::lock_guard held_by_a_task(lock);
  }
  const std::lock_guard held(lock);
  group.spawn([&](const context& ctx) { EXPECT_FALSE(lock.lock(ctx)); });
  const auto waits = waiting("task", "lock");
  ASSERT_TRUE(waits);
  EXPECT_EQ(waits->waits->on, 0U);
  group.cancel();
  EXPECT_TRUE(group.join());
}

TEST_F(Reports, AReaderNamesTheWriterAndAWaitForOnceTheCallThatRuns) {
  shared_mutex table;
  once loaded;
  task_group group(background());
  group.spawn([&](const context& ctx) {
    const task mine(ctx, holds);
    const std::lock_guard writing(table);
    std::ignore = loaded.call(ctx, [](const context& until) { until.done().wait(); });
  });
  ASSERT_TRUE(waiting("holds", "the end of a context"));
  group.spawn([&](const context& ctx) {
    const task mine(ctx, comes_next);
    EXPECT_FALSE(table.lock_shared(ctx));
  });
  group.spawn([&](const context& ctx) {
    const task mine(ctx, comes_last);
    std::ignore = loaded.call(ctx, [](const context& /*ctx*/) {});
  });
  expect_held_by(comes_next, "lock", holds);
  expect_held_by(comes_last, "once", holds);
  group.cancel();
  EXPECT_TRUE(group.join());
}

TEST_F(Reports, ACoroutineNamesTheCoroutineThatHoldsTheLockAndIsNamedInItsTurn) {
  asio::io_context io(1);
  mutex lock;
  auto first_holds = with_cancel(background());
  task_group group(background());
  const auto spawn_one = [&](const context& until, const task_kind& kind) {
    auto member = [&lock, until, &kind](context ctx) -> asio::awaitable<void> {
      const task mine(ctx, kind);
      auto held = co_await async_lock(ctx, lock);
      std::ignore = co_await async_wait(until.done());
    };
    spawn(group, io.get_executor(), member);
  };
  spawn_one(first_holds, holds);
  spawn_one(group.ctx(), comes_next);
  spawn_one(group.ctx(), comes_last);
  std::thread loop([&] { io.run(); });
  expect_held_by(comes_next, "lock", holds);
  expect_held_by(comes_last, "lock", holds);
  first_holds.cancel();
  expect_held_by(comes_last, "lock", comes_next);
  group.cancel();
  EXPECT_TRUE(group.join());
  loop.join();
}

TEST_F(Reports, ATaskOfAGroupIsBelowTheTaskThatSpawnedIt) {
  static constexpr task_kind outer{"outer"};
  const task working(background(), outer);
  task_group group(background());
  group.spawn([](const context& ctx) { ctx.done().wait(); });
  const auto below = waiting("task", "the end of a context");
  ASSERT_TRUE(below);
  EXPECT_EQ(below->parent, first([](const task_info& t) { return std::string_view(t.kind) == "outer"; })->id);
}

TEST_F(Reports, AJobOfAPoolIsOpenUntilItIsOver) {
  thread_pool pool(1);
  std::atomic<bool> goes_on{true};
  pool.post([&] {
    while (goes_on.load()) std::this_thread::sleep_for(1ms);
  });
  pool.post([] {});
  EXPECT_TRUE(await_task(
      [](const task_info& t) { return std::string_view(t.kind) == "job" && t.state == state::running; }));
  EXPECT_TRUE(await_task(
      [](const task_info& t) { return std::string_view(t.kind) == "job" && t.state == state::queued; }));
  goes_on = false;
  eventually([] { return !first([](const task_info&) { return true; }); });
}

TEST_F(Reports, ACoroutineIsFollowedThroughWaitsOfAnyKind) {
  asio::io_context io(1);
  auto scope = with_cancel(background());
  std::optional<task_info> in_wait;
  std::optional<task_info> after_timer;
  auto member = [&](context ctx) -> asio::awaitable<void> {
    std::ignore = co_await async_sleep_for(ctx, 1ms);
    asio::steady_timer timer(co_await asio::this_coro::executor, 1ms);
    co_await timer.async_wait(asio::use_awaitable);
    burn(2ms);
    after_timer = first([](const task_info& t) { return t.state == state::running; });
    channel<int> never(0);
    std::ignore = co_await async_receive(ctx, never);
  };
  auto look = [&](context ctx) -> asio::awaitable<void> {
    for (int i = 0; i != 2000 && !in_wait; ++i) {
      in_wait =
          first([](const task_info& t) { return t.waits && std::string_view(t.waits->what) == "receive"; });
      std::ignore = co_await async_sleep_for(ctx, 1ms);
    }
    scope.cancel();
  };
  auto body = [&](task_group& group) -> asio::awaitable<void> {
    spawn(group, co_await asio::this_coro::executor, member);
    spawn(group, co_await asio::this_coro::executor, look);
  };
  auto all = [&]() -> asio::awaitable<void> { std::ignore = co_await async_task_group(scope, body); };
  asio::co_spawn(io, all, asio::detached);
  io.run();
  ASSERT_TRUE(after_timer);
  EXPECT_STREQ(after_timer->kind, "coroutine");
  EXPECT_GE(after_timer->cpu, 1ms);
  ASSERT_TRUE(in_wait);
  EXPECT_EQ(in_wait->id, after_timer->id);
  EXPECT_EQ(in_wait->state, state::waiting);
}

TEST_F(Reports, OffloadedWorkAndTheCoroutineThatWaitsForIt) {
  asio::io_context io(1);
  std::atomic<bool> goes_on{true};
  const auto work = [&](const context& /*ctx*/) {
    while (goes_on.load()) burn(100us);
  };
  auto member = [&](context ctx) -> asio::awaitable<void> {
    std::ignore = co_await async_offload(ctx, work);
  };
  task_group group(background());
  spawn(group, io.get_executor(), member);
  std::thread loop([&] { io.run(); });
  const auto offloaded = await_task([](const task_info& t) {
    return std::string_view(t.kind) == "offloaded work" && t.state == state::running;
  });
  const auto waits = waiting("coroutine", "offloaded work");
  goes_on = false;
  ASSERT_TRUE(offloaded);
  ASSERT_TRUE(waits);
  EXPECT_EQ(waits->waits->on, offloaded->id);
  EXPECT_EQ(offloaded->parent, waits->id);
  EXPECT_TRUE(group.join());
  loop.join();
}

/// Work that does not look at its context, and how it is let go.
class Planted : public Reports {
 protected:
  /// The zombie that `work` is, once it is one. It is told to stop when it has begun.
  template <class Work, class LetGo>
  static std::optional<task_info> zombie_of(Work work, LetGo let_go) {
    task_group group(background());
    group.spawn([&work](const context& ctx) {
      if constexpr (std::is_invocable_v<Work&, const context&>) {
        work(ctx);
      } else {
        work();
      }
    });
    EXPECT_TRUE(await_task(
        [](const task_info& t) { return t.state == state::running || t.state == state::waiting; }));
    group.cancel("nobody waits");
    auto found = await_task([](const task_info& t) { return t.state == state::zombie; });
    let_go();
    std::ignore = group.join();
    return found;
  }

  static void expect_here(const std::optional<task_info>& found) {
    ASSERT_TRUE(found);
    EXPECT_STREQ(found->kind, "task");
    EXPECT_TRUE(std::string_view(found->where.file_name()).ends_with("reports_test.cpp"));
    EXPECT_EQ(found->told->cause.message(), "nobody waits");
  }
};

TEST_F(Planted, ABlockingReadWithoutAContext) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const auto found = zombie_of(
      [&] {
        char byte = 0;
        EXPECT_EQ(::read(ends[0], &byte, 1), 0);
      },
      [&] { ::close(ends[1]); });
  ::close(ends[0]);
  expect_here(found);
  EXPECT_LT(found->told->cpu, 15ms);
}

TEST_F(Planted, ALockOfTheStandardLibrary) {
  std::mutex held;
  held.lock();
  expect_here(zombie_of([&] { const std::lock_guard guard(held); }, [&] { held.unlock(); }));
}

TEST_F(Planted, AThreadThatSleeps) {
  std::atomic<bool> goes_on{true};
  expect_here(zombie_of(
      [&] {
        while (goes_on.load()) std::this_thread::sleep_for(5ms);
      },
      [&] { goes_on = false; }));
}

TEST_F(Planted, AWaitUnderAnotherContextSaysWhatItWaitsFor) {
  channel<int> never(0);
  const auto found = zombie_of([&] { std::ignore = never.receive(background()); }, [&] { never.close(); });
  expect_here(found);
  ASSERT_TRUE(found->waits);
  EXPECT_STREQ(found->waits->what, "receive");
}

TEST_F(Planted, AChildThatIsDetachedIsBelowItsParent) {
  static constexpr task_kind cleaning{"clean up"};
  std::atomic<bool> goes_on{true};
  std::optional<task_info> child;
  const auto parent = zombie_of(
      [&](const context& ctx) {
        const task below(without_cancel(ctx), cleaning);
        while (goes_on.load()) std::this_thread::sleep_for(1ms);  // NOLINT(curfew-blocking-call): a zombie
      },
      [&] {
        child = first([](const task_info& t) { return std::string_view(t.kind) == "clean up"; });
        goes_on = false;
      });
  expect_here(parent);
  ASSERT_TRUE(child);
  EXPECT_TRUE(child->detached);
  EXPECT_FALSE(child->told);
  EXPECT_EQ(child->parent, parent->id);
}

class HttpReports : public Reports {
 protected:
  template <class Handler>
  void serve(Handler h) {
    http::router routes;
    line = std::source_location::current().line() + 1;
    routes.get("/work", std::move(h));
    server.emplace(std::move(routes));
    ASSERT_TRUE(server->listen());
    serving = std::thread([this] { EXPECT_TRUE(server->serve(life)); });
  }
  ~HttpReports() override {
    life.cancel();
    if (serving.joinable()) serving.join();
  }
  [[nodiscard]] std::string url() const { return server->url() + "/work?token=secret"; }

  cancel_scope life = with_cancel(background());
  std::atomic<bool> goes_on{true};  // what a handler that does not stop looks at; outlives it
  std::optional<http::server> server;
  std::thread serving;
  unsigned line = 0;
};

TEST_F(HttpReports, ARequestAndItsCall) {
  serve([](context ctx, const http::request&) -> asio::awaitable<http::response> {
    std::ignore = co_await async_sleep_for(ctx, 1h);
    co_return http::text(http::status::ok, "late");
  });
  auto scope = with_cancel(background());
  std::thread client([&] { EXPECT_FALSE(http::get(scope, url())); });
  const auto request = waiting("http request", "sleeping");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->name, "GET /work");
  EXPECT_EQ(request->where.line(), line);
  const auto call = waiting("http call", "waiting for the response");
  ASSERT_TRUE(call);
  EXPECT_EQ(call->name, "GET " + server->url() + "/work");
  EXPECT_EQ(call->parent, 0u);
  EXPECT_EQ(request->parent, call->id);
  scope.cancel();
  client.join();
  eventually([] { return count().open == 0; });
}

TEST_F(HttpReports, AHandlerThatDoesNotStopIsAZombieAtTheLineOfItsRoute) {
  serve([this](context, const http::request&) -> asio::awaitable<http::response> {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    while (goes_on.load()) {
      timer.expires_after(1ms);
      co_await timer.async_wait(asio::use_awaitable);
      burn(1ms);
    }
    co_return http::text(http::status::ok, "late");
  });
  auto scope = with_cancel(background());
  std::thread client([&] { EXPECT_FALSE(http::get(scope, url())); });
  EXPECT_TRUE(await_task(
      [](const task_info& t) { return std::string_view(t.kind) == "http request" && t.cpu > 2ms; }));
  scope.cancel();
  client.join();
  const auto zombie =
      await_task([](const task_info& t) { return t.state == state::zombie && t.told->cpu > 3ms; });
  ASSERT_TRUE(zombie);
  EXPECT_EQ(zombie->name, "GET /work");
  EXPECT_EQ(zombie->where.line(), line);
  EXPECT_EQ(zombie->told->cause.message(), "client gone");
  goes_on = false;
}

TEST_F(HttpReports, ACallOfAHandlerIsBelowItsRequest) {
  serve([this](context ctx, const http::request& r) -> asio::awaitable<http::response> {
    if (r.query("q") == "inner") {
      std::ignore = co_await async_sleep_for(ctx, 1h);
      co_return http::text(http::status::ok, "late");
    }
    const std::string inner = server->url() + "/work?q=inner";
    auto answer = co_await http::async_get(ctx, inner);
    co_return http::text(http::status::bad_gateway, answer ? "an answer" : "no answer");
  });
  auto scope = with_cancel(background());
  std::thread client([&] { EXPECT_FALSE(http::get(scope, url())); });
  const auto outer = waiting("http request", "call");
  ASSERT_TRUE(outer);
  const auto call = await_task([&](const task_info& t) { return t.id == outer->waits->on; });
  ASSERT_TRUE(call);
  EXPECT_STREQ(call->kind, "http call");
  EXPECT_EQ(call->parent, outer->id);
  // As if it were another process: the inner request came with the field `traceparent`, and knows the call by that.
  const auto inner = await_task([&](const task_info& t) { return t.parent == call->id; });
  ASSERT_TRUE(inner);
  EXPECT_STREQ(inner->kind, "http request");
  EXPECT_EQ(outer->trace.size(), 32U);
  EXPECT_EQ(call->trace, outer->trace);
  EXPECT_EQ(inner->trace, outer->trace);
  scope.cancel();
  client.join();
  const auto was_part_of_it = [&](const ended_task& t) { return t.trace == outer->trace; };
  eventually([&] { return std::ranges::count_if(last_ended(10), was_part_of_it) == 3; });
}

TEST_F(HttpReports, ADownloadIsACallUntilItsBodyHasCome) {
  serve([this](context /*ctx*/, const http::request&) -> asio::awaitable<http::response> {
    co_return http::stream("text/plain", [this](context ctx, http::body_writer out) -> asio::awaitable<void> {
      std::ignore = co_await out.async_write(ctx, "first");
      while (goes_on.load()) {
        auto slept = co_await async_sleep_for(ctx, 1ms);
        if (!slept) co_return;
      }
      std::ignore = co_await out.async_write(ctx, "last");
    });
  });
  const auto call = [] {
    return first([](const task_info& t) { return std::string_view(t.kind) == "http call"; });
  };
  auto got = http::client::shared().open(background(), http::request("GET", url()));
  ASSERT_TRUE(got);
  ASSERT_TRUE(got->read(background()));
  ASSERT_TRUE(call());
  EXPECT_STREQ(call()->waits->what, "reading the body");
  EXPECT_EQ(call()->id, waiting("http request", "sleeping")->parent);
  goes_on = false;
  while (got->read(background())->has_value()) {
  }
  EXPECT_FALSE(call());

  goes_on = true;
  auto scope = with_cancel(background());
  auto given_up = http::client::shared().open(scope, http::request("GET", url()));
  ASSERT_TRUE(given_up);
  EXPECT_TRUE(call());
  scope.cancel();
  EXPECT_FALSE(call());
  {
    auto dropped = http::client::shared().open(background(), http::request("GET", url()));
    EXPECT_TRUE(call());
  }
  EXPECT_FALSE(call());
}

TEST_F(HttpReports, WorkThatKnowsNoParentIsBelowTheRequestOfItsContext) {
  static constexpr task_kind apart{"apart"};
  std::thread elsewhere;
  serve([&](context ctx, const http::request&) -> asio::awaitable<http::response> {
    elsewhere = std::thread([ctx] {
      const task working(ctx, apart);
      ctx.done().wait();
    });
    std::ignore = co_await async_sleep_for(ctx, 1h);
    co_return http::text(http::status::ok, "late");
  });
  auto scope = with_cancel(background());
  std::thread client([&] { EXPECT_FALSE(http::get(scope, url())); });
  const auto work = waiting("apart", "the end of a context");
  const auto request = waiting("http request", "sleeping");
  scope.cancel();
  client.join();
  elsewhere.join();
  ASSERT_TRUE(work && request);
  EXPECT_EQ(work->parent, request->id);
  EXPECT_EQ(work->trace, request->trace);
}

}  // namespace
}  // namespace curfew::inspect
