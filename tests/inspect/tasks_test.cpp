#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/inspect.hpp>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace curfew::inspect {
namespace {

using namespace std::chrono_literals;

constexpr task_kind resizing{"resize"};
constexpr task_kind reading{"read"};
constexpr const char* for_paint = "paint";
constexpr key<std::string> user{"user", show_value};
constexpr key<std::string> password{"password"};

template <class F>
bool eventually(F f) {
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (!f()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

std::vector<task_info> all() {
  std::vector<task_info> found;
  each_task([&](task_info&& t) {
    found.push_back(std::move(t));
    return true;
  });
  return found;
}

std::optional<task_info> named(std::string_view name) {
  for (auto& t : all()) {
    if (t.name == name) return std::move(t);
  }
  return {};
}

place_info place_of(const task_info& t) {
  for (const auto& p : places()) {
    if (p.where.line() == t.where.line() && std::string_view(p.kind) == t.kind) return p;
  }
  return {};
}

/// Burns CPU, without a system call.
void burn(std::chrono::nanoseconds duration) {
  const auto until = std::chrono::steady_clock::now() + duration;
  while (std::chrono::steady_clock::now() < until) {
  }
}

void ignore(const task_info& /*zombie*/) {}
inspection_options quiet() { return inspection_options().on_zombie(&ignore); }

TEST(CurrentTask, IsTheInnermostOfThisThread) {
  const inspection on;
  EXPECT_EQ(current_task_id(), 0U);
  {
    const curfew::task outer(background(), resizing, "outer");
    {
      const curfew::task inner(background(), reading, "inner");
      EXPECT_EQ(current_task_id(), named("inner").value().id);
    }
    EXPECT_EQ(current_task_id(), named("outer").value().id);
    std::thread([] { EXPECT_EQ(current_task_id(), 0U); }).join();
  }
  EXPECT_EQ(current_task_id(), 0U);
}

TEST(OneLine, SaysWhatGoesOnAndWhereItWasOpened) {
  const inspection on;
  auto scope = with_cancel(background());
  const curfew::task working(scope, resizing, "a\x1b[31m");
  scope.cancel("left");
  const std::string line = one_line(named("a\x1b[31m").value());
  EXPECT_THAT(line, testing::StartsWith("resize \"a?[31m\" ("));
  EXPECT_THAT(line, testing::HasSubstr(" ms ago (left) and goes on; opened at "));
  EXPECT_THAT(line, testing::HasSubstr("tasks_test.cpp:"));
}

TEST(Task, IsSeenWhileItIsOpen) {
  const inspection on(quiet());
  const auto scope = with_timeout(background(), 1h);
  const auto ctx = with_value(with_value(scope, password, "secret"), user, "Ada");
  std::uint64_t id = 0;
  {
    const task working(ctx, resizing, "photo 17");
    const auto line = std::source_location::current().line() - 1;
    const auto seen = named("photo 17");
    ASSERT_TRUE(seen);
    EXPECT_STREQ(seen->kind, "resize");
    EXPECT_EQ(seen->where.line(), line);
    EXPECT_EQ(seen->parent, 0u);
    EXPECT_EQ(seen->path, ctx.path());
    EXPECT_EQ(seen->state, state::running);
    EXPECT_FALSE(seen->detached);
    EXPECT_FALSE(seen->told);
    EXPECT_GT(seen->remaining, 59min);
    ASSERT_EQ(seen->values.size(), 1u);
    EXPECT_EQ(seen->values[0].key, "user");
    EXPECT_EQ(seen->values[0].text, "Ada");
    id = seen->id;
    EXPECT_EQ(find_task(id)->name, "photo 17");
    EXPECT_EQ(count().open, 1u);
  }
  EXPECT_FALSE(named("photo 17"));
  EXPECT_FALSE(find_task(id));
  EXPECT_EQ(count().open, 0u);
  const auto over = last_ended(1);
  ASSERT_EQ(over.size(), 1u);
  EXPECT_EQ(over[0].id, id);
  EXPECT_EQ(over[0].name, "photo 17");
  EXPECT_FALSE(over[0].told);
}

TEST(Task, IsNotSeenWithoutInspection) {
  const task working(background(), resizing, "unseen");
  EXPECT_EQ(all().size(), 0u);
  {
    const inspection on(quiet());
  }
  const task after(background(), resizing, "unseen");
  EXPECT_EQ(all().size(), 0u);
}

TEST(Task, OpenedWhileInspectedMayEndLater) {
  std::optional<task> working;
  {
    const inspection on(quiet());
    working.emplace(background(), resizing, "late");
  }
  working.reset();
  const inspection again(quiet());
  EXPECT_EQ(all().size(), 0u);
}

TEST(Task, ThatNestsHasTheOuterAsParent) {
  const inspection on(quiet());
  const task outer(background(), resizing, "outer");
  {
    const task inner(background(), reading, "inner");
    EXPECT_EQ(named("inner")->parent, named("outer")->id);
    EXPECT_EQ(named("inner")->state, state::running);
    EXPECT_EQ(named("outer")->state, state::waiting);
    EXPECT_TRUE(named("inner")->detached);
  }
  EXPECT_EQ(named("outer")->state, state::running);
}

TEST(Task, KeepsALongNameAndCutsAVeryLongOne) {
  const inspection on(quiet());
  const task a(background(), resizing, std::string(100, 'a'));
  const task b(background(), resizing, std::string(10'000, 'b'));
  EXPECT_TRUE(named(std::string(100, 'a')));
  EXPECT_TRUE(named(std::string(200, 'b')));
}

TEST(Task, SaysWhatItsThreadWaitsFor) {
  const inspection on(quiet());
  const task working(background(), resizing, "x");
  {
    const detail::waiting_for paint(for_paint, 7);
    const auto seen = named("x");
    EXPECT_EQ(seen->state, state::waiting);
    ASSERT_TRUE(seen->waits);
    EXPECT_STREQ(seen->waits->what, "paint");
    EXPECT_EQ(seen->waits->on, 7u);
  }
  EXPECT_FALSE(named("x")->waits);
  EXPECT_EQ(named("x")->state, state::running);
}

TEST(Task, SaysWhatItsCoroutineWaitsForUntilItGoesOn) {
  const inspection on(quiet());
  const detail::open_task of(background(), resizing, "x", std::source_location::current());
  EXPECT_EQ(named("x")->state, state::queued);
  {
    const detail::working_for here(of.ref());
    EXPECT_EQ(named("x")->state, state::running);
    detail::about_to_wait(for_paint);
  }
  EXPECT_EQ(named("x")->state, state::waiting);
  EXPECT_STREQ(named("x")->waits->what, "paint");
  const detail::working_for here(of.ref());
  EXPECT_FALSE(named("x")->waits);
}

TEST(Task, ThatNestsIsFoundAgainByACoroutineThatGoesOn) {
  const inspection on(quiet());
  const detail::carrier lane;
  std::optional<detail::nested> inner;
  detail::open_task of(background(), resizing, "inner", std::source_location::current());
  {
    const detail::working_for here(lane.ref());
    inner.emplace(lane.ref(), of.ref());
    EXPECT_EQ(named("inner")->state, state::running);
  }
  EXPECT_EQ(named("inner")->state, state::waiting);
  EXPECT_EQ(named("inner")->parent, 0u);
  std::thread([&] {
    const detail::working_for here(lane.ref());
    EXPECT_EQ(named("inner")->state, state::running);
    const task below(background(), resizing, "below");
    EXPECT_EQ(named("below")->parent, named("inner")->id);
  }).join();
  std::thread([&] {
    const detail::working_for here(lane.ref());
    EXPECT_EQ(named("inner")->state, state::running);
    inner.reset();
    of.close();
    const task next(background(), resizing, "next");
    EXPECT_EQ(named("next")->parent, 0u);
  }).join();
  EXPECT_EQ(all().size(), 0u);
}

TEST(Task, ToldToStopSaysWhyAndSinceWhen) {
  const inspection on(quiet().zombie_after(1h));
  auto scope = with_cancel(background());
  const task working(scope, resizing, "x");
  const auto before = clock::now();
  scope.cancel("the client has gone");
  const auto after = clock::now();
  const auto seen = named("x");
  EXPECT_EQ(seen->state, state::told);
  ASSERT_TRUE(seen->told);
  EXPECT_EQ(seen->told->err, errc::canceled);
  EXPECT_EQ(seen->told->cause.message(), "the client has gone");
  EXPECT_GE(seen->told->at, before - 1ms);
  EXPECT_LE(seen->told->at, after + 1ms);
  EXPECT_EQ(count().told, 1u);
}

TEST(Task, OpenedUnderAnEndedContextIsToldAtOnce) {
  const inspection on(quiet());
  auto scope = with_cancel(background());
  scope.cancel();
  const task working(scope, resizing, "x");
  EXPECT_TRUE(named("x")->told);
  EXPECT_TRUE(eventually([] { return named("x")->state == state::zombie; }));
}

TEST(Zombie, IsFoundAndTold) {
  std::mutex mutex;
  std::vector<task_info> told;
  const inspection on(inspection_options().zombie_after(20ms).on_zombie([&](const task_info& t) {
    const std::lock_guard guard(mutex);
    told.push_back(t);
  }));
  auto scope = with_cancel(background());
  const auto before = count().zombies_ever;
  std::uint64_t id = 0;
  {
    const task working(scope, resizing, "x");
    const task other(background(), resizing, "y");
    id = named("x")->id;
    scope.cancel("gone");
    ASSERT_TRUE(eventually([&] {
      const std::lock_guard guard(mutex);
      return !told.empty();
    }));
    EXPECT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].id, id);
    EXPECT_EQ(told[0].state, state::zombie);
    EXPECT_EQ(told[0].told->cause.message(), "gone");
    const auto now = zombies();
    ASSERT_EQ(now.size(), 1u);
    EXPECT_EQ(now[0].id, id);
    EXPECT_EQ(count().zombies, 1u);
    EXPECT_EQ(place_of(told[0]).zombies, 1u);
    EXPECT_EQ(place_of(told[0]).told, 0u);
  }
  ASSERT_TRUE(eventually([] { return count().zombies == 0; }));
  EXPECT_EQ(zombies().size(), 0u);
  EXPECT_EQ(count().zombies_ever, before + 1);
  const auto dying = longest_dying(100);
  const auto found = std::ranges::find(dying, id, &ended_task::id);
  ASSERT_NE(found, dying.end());
  EXPECT_EQ(found->name, "x");
  EXPECT_EQ(found->told->cause.message(), "gone");
  EXPECT_GE(found->ended - found->told->at, 20ms);
  EXPECT_EQ(place_of(told[0]).told, 1u);
  EXPECT_EQ(place_of(told[0]).zombies, 1u);
}

TEST(Zombie, IsNotATaskThatStopsInTime) {
  std::atomic<int> told{0};
  const inspection on(inspection_options().zombie_after(1h).on_zombie([&](const task_info&) { ++told; }));
  for (int i = 0; i != 100; ++i) {
    auto scope = with_cancel(background());
    const task working(scope, resizing, "x");
    scope.cancel();
  }
  EXPECT_EQ(told, 0);
  EXPECT_EQ(count().told, 0u);
  EXPECT_EQ(count().told_to_over.count[0] + count().told_to_over.count[1] + count().told_to_over.count[2] > 0,
            true);
}

TEST(Zombie, ByItsCpuLoopIsChargedForNobody) {
  const inspection on(quiet().zombie_after(10ms));
  auto scope = with_cancel(background());
  std::atomic<bool> goes_on{true};
  std::thread loop([&] {
    const task working(scope, resizing, "loop");
    while (goes_on.load()) burn(100us);
  });
  ASSERT_TRUE(eventually([] { return named("loop").has_value(); }));
  std::this_thread::sleep_for(20ms);
  scope.cancel();
  ASSERT_TRUE(eventually([] { return named("loop")->told->cpu > 5ms; }));
  const auto seen = named("loop");
  EXPECT_GT(seen->cpu, seen->told->cpu);
  EXPECT_NE(seen->thread, 0);
  EXPECT_TRUE(eventually([] { return count().cpu_for_nobody > 5ms; }));
  goes_on = false;
  loop.join();
  EXPECT_GT(count().cpu_for_nobody, 5ms);
  EXPECT_GT(count().cpu, count().cpu_for_nobody);
}

TEST(Cpu, OfATaskThatSleepsIsLittle) {
  const inspection on(quiet());
  std::uint64_t id = 0;
  {
    const task working(background(), resizing, "x");
    id = named("x")->id;
    std::this_thread::sleep_for(50ms);
    EXPECT_LT(named("x")->cpu, 40ms);
  }
  EXPECT_EQ(last_ended(1)[0].id, id);
  EXPECT_LT(last_ended(1)[0].cpu, 40ms);
}

TEST(Cpu, GoesToTheInnermostTask) {
  const inspection on(quiet());
  const task outer(background(), resizing, "outer");
  {
    const task inner(background(), resizing, "inner");
    burn(30ms);
  }
  EXPECT_LT(named("outer")->cpu, last_ended(1)[0].cpu);
}

TEST(CancelByHand, EndsTheContextWithAReason) {
  const inspection on(quiet());
  const auto scope = with_cancel(background());
  const task working(scope, resizing, "x");
  EXPECT_TRUE(cancel(named("x")->id, "it loops"));
  EXPECT_EQ(scope.err(), errc::canceled);
  EXPECT_EQ(scope.cause().message(), "operator: it loops");
  EXPECT_FALSE(cancel(named("x")->id, "again"));
}

TEST(CancelByHand, OfWhatIsNotThereOrCannotEndSaysSo) {
  const inspection on(quiet());
  EXPECT_FALSE(cancel(0, ""));
  EXPECT_FALSE(cancel(1, ""));
  const task working(background(), resizing, "x");
  EXPECT_FALSE(cancel(named("x")->id, ""));
}

TEST(Span, IsToldOfEachTaskThatIsOver) {
  std::vector<ended_task> told;
  {
    const inspection on(quiet().on_span([&](const ended_task& t) { told.push_back(t); }));
    const task working(background(), resizing, "x");
  }
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].name, "x");
}

// What looks at its context itself may stop, and be over, before the callbacks of the context have come as far as the task's.
TEST(Span, OfATaskThatIsOverBeforeItIsToldSaysWhyItStopped) {
  std::vector<ended_task> told;
  {
    const inspection on(quiet().on_span([&](const ended_task& t) { told.push_back(t); }));
    cancel_scope scope = with_cancel(background());
    std::optional<task> working;
    const auto stop = [&] { working.reset(); };
    const on_done one_before(scope.ctx(), stop);
    working.emplace(scope, resizing, "at once");
    const on_done one_after(scope.ctx(), stop);  // one of the two is called before the task's
    scope.cancel("client gone");
    EXPECT_EQ(count().told, 0u);
  }
  ASSERT_EQ(told.size(), 1u);
  ASSERT_TRUE(told[0].told.has_value());
  EXPECT_EQ(told[0].told->err, errc::canceled);
  EXPECT_EQ(told[0].told->cause.message(), "client gone");
}

TEST(Inspection, TheFirstOneHasASay) {
  std::atomic<int> first{0};
  std::atomic<int> second{0};
  const inspection a(inspection_options().zombie_after(1ms).on_zombie([&](const task_info&) { ++first; }));
  const inspection b(inspection_options().zombie_after(1h).on_zombie([&](const task_info&) { ++second; }));
  auto scope = with_cancel(background());
  const task working(scope, resizing, "x");
  scope.cancel();
  EXPECT_TRUE(eventually([&] { return first == 1; }));
  EXPECT_EQ(second, 0);
}

TEST(Ended, KeepsTheSlowest) {
  const inspection on(quiet());
  {
    const task slow(background(), resizing, "slow");
    std::this_thread::sleep_for(5ms);
  }
  for (int i = 0; i != 1000; ++i) const task quick(background(), resizing, "quick");
  const auto slow = slowest(100);
  EXPECT_GE(slow[0].ended - slow[0].opened, 5ms);
  EXPECT_TRUE(
      std::ranges::is_sorted(slow, std::greater<>(), [](const ended_task& t) { return t.ended - t.opened; }));
  const auto last = last_ended(1000);
  EXPECT_LE(last.size(), 1000u);
  EXPECT_EQ(last[0].name, "quick");
}

TEST(Ids, AreNeverReused) {
  const inspection on(quiet().zombie_after(0ms));
  std::vector<std::uint64_t> ids;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int n = 0; n != 4; ++n) {
    threads.emplace_back([&] {
      std::vector<std::uint64_t> mine;
      for (int i = 0; i != 10'000; ++i) {
        const detail::open_task t(background(), resizing, "x", std::source_location::current());
        mine.push_back(detail::task_listener()->id(t.ref()));
      }
      const std::lock_guard guard(mutex);
      ids.insert(ids.end(), mine.begin(), mine.end());
    });
  }
  for (auto& t : threads) t.join();
  std::ranges::sort(ids);
  EXPECT_EQ(std::ranges::adjacent_find(ids), ids.end());
}

}  // namespace
}  // namespace curfew::inspect
