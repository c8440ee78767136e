// What a task_group makes of tasks that fail.

#include "sync/group_tasks.hpp"
#include "sync/waiting.hpp"

#include <atomic>
#include <cstddef>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/done.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/sync/task_group.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <exception>
#include <expected>
#include <gtest/gtest.h>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

namespace curfew {
namespace {

using namespace std::chrono_literals;
using testing::await;
using testing::farewell;
using testing::io_error;
using testing::until_the_end;

// ---- errors ----

TEST(TaskGroup, TheFirstErrorCancelsTheRestAndIsTheCauseAndTheOutcome) {
  task_group group(background());
  std::optional<cause> why;
  std::latch waits(1);
  group.spawn([&](const context& ctx) -> result<> {
    waits.count_down();
    until_the_end(ctx);
    why = ctx.cause();
    return std::unexpected(error::ended(ctx, "second"));
  });
  group.spawn([&](const context&) -> result<> {
    waits.wait();
    return std::unexpected(io_error());
  });
  const auto joined = group.join();
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error(), std::errc::io_error);
  ASSERT_TRUE(why);
  EXPECT_EQ(why->code(), std::errc::io_error);
  EXPECT_EQ(why->message(), io_error().message());
}

TEST(TaskGroup, AnErrorCodeIsAnError) {
  task_group group(background());
  group.spawn([](const context&) { return std::make_error_code(std::errc::no_space_on_device); });
  EXPECT_EQ(group.join().error(), std::errc::no_space_on_device);
}

TEST(TaskGroup, DropsTasksThatWereNotStartedWhenOneFails) {
  thread_pool pool(1);
  std::atomic<int> ran{0};
  task_group group(background(), task_group::limit(1), pool);
  group.spawn([](const context&) -> result<> { return std::unexpected(io_error()); });
  for (int i = 0; i != 10; ++i) group.spawn([&](const context&) { ++ran; });
  EXPECT_EQ(group.join().error(), std::errc::io_error);
  EXPECT_EQ(ran, 0);
}

TEST(TaskGroup, ReportsTheEndOfItsContextOnlyIfTasksWereDroppedBecauseOfIt) {
  auto scope = with_cancel(background());
  task_group finished(scope, task_group::limit(1));  // one after the other
  finished.spawn([](const context&) {});
  finished.spawn([&](const context&) { scope.cancel("gone"); });
  task_group late(scope);
  EXPECT_TRUE(finished.join()) << "all of its tasks ran, and succeeded";
  late.spawn([](const context&) { FAIL() << "its context has ended"; });
  const auto joined = late.join();
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error(), errc::canceled);
  EXPECT_EQ(joined.error().cause().message(), "gone");
}

TEST(TaskGroup, KeepsADeadlineApartFromACancel) {
  testing::manual_clock clock;
  const auto scope = with_timeout(clock.background(), 1s);
  task_group group(scope);
  std::latch waits(1);
  group.spawn([&](const context& ctx) {
    waits.count_down();
    return until_the_end(ctx);
  });
  std::thread time([&] {
    waits.wait();
    clock.advance(1s);
  });
  EXPECT_EQ(group.join().error(), errc::deadline_exceeded);
  time.join();
}

TEST(TaskGroup, CarriesTheFirstExceptionToTheJoiner) {
  task_group group(background());
  group.spawn([](const context&) { throw std::runtime_error("from a task"); });
  try {
    std::ignore = group.join();
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "from a task");
  }
  EXPECT_EQ(group.ctx().err(), errc::canceled);
  EXPECT_EQ(group.ctx().cause().message(), "a task threw an exception");
}

TEST(TaskGroup, CarriesAnExceptionOfAnyType) {
  task_group group(background());
  group.spawn([](const context&) { throw 7; });  // NOLINT(hicpp-exception-baseclass)
  EXPECT_THROW(std::ignore = group.join(), int);
}

TEST(TaskGroup, AnErrorBeforeAnExceptionIsTheOutcome) {
  task_group group(background());
  std::latch waits(1);
  group.spawn([&](const context& ctx) {
    waits.count_down();
    until_the_end(ctx);
    throw std::runtime_error("too late");
  });
  group.spawn([&](const context&) -> result<> {
    waits.wait();
    return std::unexpected(io_error());
  });
  EXPECT_EQ(group.join().error(), std::errc::io_error);
  EXPECT_EQ(group.ctx().cause().code(), std::errc::io_error);
}

TEST(TaskGroup, AnExceptionBeforeAnErrorIsTheOutcome) {
  task_group group(background());
  std::latch waits(1);
  group.spawn([&](const context& ctx) -> result<> {
    waits.count_down();
    until_the_end(ctx);
    return std::unexpected(io_error());
  });
  group.spawn([&](const context&) {
    waits.wait();
    throw std::runtime_error("first");
  });
  EXPECT_THROW(std::ignore = group.join(), std::runtime_error);
  EXPECT_TRUE(group.join()) << "the error came too late";
}

TEST(TaskGroup, TheErrorOfATaskIsTheOutcomeThoughTheContextHadEnded) {
  task_group group(background());
  std::latch waits(1);
  group.spawn([&](const context& ctx) -> result<> {
    waits.count_down();
    until_the_end(ctx);
    return std::unexpected(io_error());
  });
  waits.wait();
  group.cancel("by hand");
  EXPECT_EQ(group.join().error(), std::errc::io_error);
  EXPECT_EQ(group.ctx().cause().message(), "by hand") << "the first end stays";
}

// ---- failures beside the group's own end

/// Waits for the end of the group, then reports it.
result<> report_the_end(const context& ctx, std::latch& started) {
  started.count_down();
  ctx.done().wait();
  return std::unexpected(error::ended(ctx, "waiting"));
}

TEST(TaskGroup, AnExceptionIsNotHiddenByATaskThatReportedACancelBefore) {
  task_group group(background());
  std::latch started(2);
  std::latch reported(1);
  group.spawn([&](const context& ctx) { return report_the_end(ctx, started); });
  group.spawn([&](const context& ctx) {
    started.count_down();
    ctx.done().wait();
    reported.wait();  // NOLINT(curfew-blocking-call): another task must have reported its end
    throw std::runtime_error("lost");
  });
  started.wait();
  group.cancel();
  await([&] { return group.size() == 1; });
  reported.count_down();
  EXPECT_THROW(std::ignore = group.join(), std::runtime_error);
}

TEST(TaskGroup, AnErrorIsNotHiddenByATaskThatReportedTheDeadlineBefore) {
  testing::manual_clock clock;
  const auto ctx = with_timeout(clock.background(), 1s);
  task_group group(ctx);
  std::latch started(2);
  std::latch reported(1);
  group.spawn([&](const context& its) { return report_the_end(its, started); });
  group.spawn([&](const context&) -> result<> {
    started.count_down();
    reported.wait();
    return std::unexpected(io_error());
  });
  started.wait();
  clock.advance(1s);
  await([&] { return group.size() == 1; });
  reported.count_down();
  EXPECT_EQ(group.join().error(), std::errc::io_error);
}

TEST(TaskGroup, ATaskThatIsCanceledByItselfHasFailed) {
  task_group group(background(), task_group::limit(1));
  group.spawn([](const context& ctx) -> result<> {
    auto own = with_cancel(ctx);
    own.cancel("its own");
    return std::unexpected(error::ended(own));
  });
  const auto joined = group.join();
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error(), errc::canceled);
  EXPECT_EQ(joined.error().cause().message(), "its own");
}

TEST(TaskGroup, ReportsTheEndIfTasksOnlyPassItOn) {
  task_group group(background());
  std::latch started(2);
  group.spawn([&](const context& ctx) { return report_the_end(ctx, started); });
  group.spawn([&](const context& ctx) { return report_the_end(ctx, started); });
  started.wait();
  group.cancel("enough");
  EXPECT_EQ(group.join_all().size(), 1U);
}

TEST(TaskGroup, GivesAllFailuresInTheOrderOfTime) {
  task_group group(background(), task_group::limit(1));
  group.keep_going();
  for (int i = 0; i != 3; ++i) {
    group.spawn([i](const context&) -> result<> {
      return std::unexpected(io_error(("reading " + std::to_string(i)).c_str()));
    });
  }
  group.spawn([](const context&) { throw std::runtime_error("broken"); });
  group.spawn([](const context&) {});
  const auto failed = group.join_all();
  ASSERT_EQ(failed.size(), 4U);
  for (std::size_t i = 0; i != 3; ++i) {
    ASSERT_NE(failed[i].returned(), nullptr);
    EXPECT_EQ(failed[i].returned()->doing(), "reading " + std::to_string(i));
    EXPECT_EQ(failed[i].message(), failed[i].returned()->message());
    EXPECT_EQ(failed[i].thrown(), nullptr);
  }
  EXPECT_EQ(failed[3].returned(), nullptr);
  EXPECT_EQ(failed[3].message(), "broken");
  EXPECT_THROW(std::rethrow_exception(failed[3].thrown()), std::runtime_error);
  EXPECT_TRUE(group.join_all().empty()) << "reported once";
}

TEST(TaskGroup, ThatKeepsGoingRunsTheRest) {
  task_group group(background(), task_group::limit(1));
  group.keep_going();
  int ran = 0;
  group.spawn([](const context&) -> result<> { return std::unexpected(io_error("the first")); });
  group.spawn([&](const context& ctx) {
    EXPECT_FALSE(ctx.err());
    ++ran;
  });
  group.spawn([](const context&) -> result<> { return std::unexpected(io_error("the second")); });
  const auto joined = group.join();
  EXPECT_EQ(joined.error().doing(), "the first");
  EXPECT_EQ(ran, 1);
  EXPECT_FALSE(group.ctx().err());
}

TEST(TaskGroup, DropsWhatIsSpawnedAfterItFailed) {
  task_group group(background());
  group.spawn([](const context&) -> result<> { return std::unexpected(io_error()); });
  EXPECT_EQ(group.join().error(), std::errc::io_error);
  bool destroyed = false;
  group.spawn([last = farewell([&] { destroyed = true; })](const context&) { FAIL() << "it has ended"; });
  const auto again = group.join();
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error(), errc::canceled);
  EXPECT_EQ(again.error().cause().code(), std::errc::io_error);
  EXPECT_TRUE(destroyed);
}

TEST(TaskGroup, WaitsForTasksThatDoNotObeyTheirContext) {
  testing::manual_clock clock;
  const auto scope = with_timeout(clock.background(), 1s);
  task_group group(scope);
  std::latch begun(1);
  std::latch go(1);
  bool over = false;
  group.spawn([&](const context& ctx) {
    begun.count_down();
    go.wait();  // NOLINT(curfew-blocking-call): it does not obey
    EXPECT_EQ(ctx.err(), errc::deadline_exceeded);
    over = true;
  });
  begun.wait();
  clock.advance(1s);
  EXPECT_EQ(group.size(), 1U);
  go.count_down();
  EXPECT_TRUE(group.join()) << "no task failed, and none was dropped";
  EXPECT_TRUE(over);
}

TEST(TaskGroup, ReportsAnErrorOnce) {
  task_group group(background());
  group.spawn([](const context&) -> result<> { return std::unexpected(io_error()); });
  EXPECT_FALSE(group.join());
  EXPECT_TRUE(group.join());
}

TEST(TaskGroup, CanBeCanceledWithACause) {
  task_group group(background());
  std::latch waits(1);
  group.spawn([&](const context& ctx) {
    waits.count_down();
    return until_the_end(ctx);
  });
  waits.wait();
  group.cancel("not needed");
  EXPECT_EQ(group.join().error(), errc::canceled);
  EXPECT_EQ(group.ctx().cause().message(), "not needed");
}

}  // namespace
}  // namespace curfew
