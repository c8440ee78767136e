#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/redis.hpp>
#include <curfew/remote.hpp>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "hub_fixture.hpp"

namespace curfew::remote {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

/// A worker in a thread of its own, which ends with this.
class worker {
 public:
  template <class Queue, class F>
  worker(Queue& of, F f, std::size_t at_a_time = 1)
      : thread_([this, &of, f = std::move(f), at_a_time] {
          auto ended = of.work(scope_.ctx(), f, at_a_time);
          EXPECT_EQ(ended.error(), curfew::errc::canceled);
        }) {}
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;
  ~worker() { stop(); }

  void stop() {
    scope_.cancel();
    if (thread_.joinable()) thread_.join();
  }

 private:
  cancel_scope scope_ = with_cancel(background());
  std::thread thread_;
};

class Queue : public hub_test {
 protected:
  static queue_options fast() { return queue_options().job_lease(short_lease); }
};

TEST_F(Queue, GivesBackWhatAWorkerAnswers) {
  tests::redis_server server;
  side here(server.url(), hub_options());
  side there(server.url(), hub_options());
  queue<std::string, std::int64_t> asks(here.hub, "lengths");
  queue<std::string, std::int64_t> works(there.hub, "lengths");
  const worker one(works, [](const context&, const std::string& text) -> result<std::int64_t> {
    return static_cast<std::int64_t>(text.size());
  });
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(asks.run(background(), std::string(static_cast<std::size_t>(i), 'x')).value(), i);
  const auto stats = asks.stats(background()).value();
  EXPECT_EQ(stats.length, 0U);
  EXPECT_EQ(stats.begun, 0U);
}

TEST_F(Queue, TellsWhatAWorkerFailedWith) {
  tests::redis_server server;
  side here(server.url(), hub_options());
  queue<std::string> jobs(here.hub, "jobs");
  const worker one(jobs, [](const context&, const std::string& text) -> result<std::string> {
    if (text == "throw") throw std::runtime_error("thrown");
    return error(std::make_error_code(std::errc::no_such_file_or_directory), "opening " + text);
  });
  const auto got = jobs.run(background(), "cat.jpg");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::job_failed);
  EXPECT_EQ(got.error().doing(), "opening cat.jpg: No such file or directory");
  EXPECT_EQ(jobs.run(background(), "throw").error().doing(), "thrown");
}

TEST_F(Queue, EndsTheWorkThatNobodyWaitsFor) {
  tests::redis_server server;
  side here(server.url(), hub_options());
  side there(server.url(), hub_options());
  queue<std::string> asks(here.hub, "reports");
  queue<std::string> works(there.hub, "reports");
  std::promise<cause> ended;
  std::promise<void> begun;
  const worker one(works, [&](const context& ctx, const std::string&) -> result<std::string> {
    begun.set_value();
    ctx.done().wait();
    ended.set_value(ctx.cause());
    return error::ended(ctx);
  });
  auto scope = with_cancel(background());
  auto asking = std::async(std::launch::async, [&] { return asks.run(scope.ctx(), "sales"); });
  begun.get_future().wait();
  scope.cancel(cause("Refresh"));
  EXPECT_EQ(asking.get().error(), curfew::errc::canceled);
  EXPECT_EQ(ended.get_future().get().message(), "Refresh");
  EXPECT_TRUE(eventually([&] { return asks.stats(background()).value().length == 0; }));
}

TEST_F(Queue, BeginsNoJobWhoseOriginHasEnded) {
  tests::redis_server server;
  side here(server.url(), hub_options());
  queue<std::string> jobs(here.hub, "jobs");
  for (int i = 0; i < 5; ++i) {
    const auto limit = with_timeout(background(), 20ms);
    EXPECT_EQ(jobs.run(limit.ctx(), "late").error(), curfew::errc::deadline_exceeded);
  }
  std::atomic<int> late{0};
  const worker one(jobs, [&](const context&, const std::string& text) -> result<std::string> {
    if (text == "late") ++late;
    return text;
  });
  EXPECT_EQ(jobs.run(background(), "now").value(), "now");
  EXPECT_EQ(late, 0);
  EXPECT_TRUE(eventually([&] { return jobs.stats(background()).value().length == 0; }));
}

TEST_F(Queue, DoesJobsThatNobodyWaitsFor) {
  tests::redis_server server;
  side there(server.url(), hub_options());
  {
    side here(server.url(), hub_options());
    queue<std::int64_t> jobs(here.hub, "jobs");
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(jobs.post(background(), i));
  }
  std::mutex mutex;
  std::multiset<std::int64_t> done;
  queue<std::int64_t> jobs(there.hub, "jobs");
  const worker four(
      jobs,
      [&](const context&, std::int64_t number) -> result<std::string> {
        const std::lock_guard guard(mutex);
        done.insert(number);
        return std::string();
      },
      4);
  EXPECT_TRUE(eventually([&] { return jobs.stats(background()).value().length == 0; }));
  const std::lock_guard guard(mutex);
  EXPECT_EQ(done.size(), 100U);
  EXPECT_EQ(std::set<std::int64_t>(done.begin(), done.end()).size(), 100U);
}

TEST_F(Queue, RefusesMoreThanItHolds) {
  tests::redis_server server;
  side here(server.url(), hub_options());
  queue<std::string> jobs(here.hub, "jobs", queue_options().max_length(2));
  EXPECT_TRUE(jobs.post(background(), "a"));
  EXPECT_TRUE(jobs.post(background(), "b"));
  const auto got = jobs.post(background(), "c");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::queue_full);
  EXPECT_TRUE(got.error().transient());
}

TEST_F(Queue, GivesAJobBackThatAnEndingWorkerDidNotDo) {
  tests::redis_server server;
  side here(server.url(), hub_options());
  queue<std::string> jobs(here.hub, "jobs", fast());
  std::promise<void> begun;
  worker lazy(jobs, [&](const context& ctx, const std::string&) -> result<std::string> {
    begun.set_value();
    ctx.done().wait();
    return error::ended(ctx);
  });
  auto asking = std::async(std::launch::async, [&] { return jobs.run(background(), "x"); });
  begun.get_future().wait();
  lazy.stop();
  std::atomic<unsigned> attempt{0};
  const worker diligent(
      jobs, [&](const context&, const std::string& text, const job_info& info) -> result<std::string> {
        attempt = info.attempt;
        return text;
      });
  EXPECT_EQ(asking.get().value(), "x");
  EXPECT_EQ(attempt, 2U);
}

TEST_F(Queue, GivesUpWhatWasBegunTooOften) {
  tests::redis_server server;
  side here(server.url(), hub_options());
  queue<std::string> jobs(here.hub, "jobs", fast().max_attempts(2));
  auto asking = std::async(std::launch::async, [&] { return jobs.run(background(), "bad"); });
  for (int i = 0; i < 2; ++i) {
    std::promise<void> begun;
    worker dying(jobs, [&](const context& ctx, const std::string&) -> result<std::string> {
      begun.set_value();
      ctx.done().wait();
      return error::ended(ctx);
    });
    begun.get_future().wait();
    dying.stop();
  }
  const worker last(jobs, [&](const context&, const std::string&) -> result<std::string> {
    ADD_FAILURE() << "it is begun once more";
    return std::string();
  });
  EXPECT_EQ(asking.get().error(), errc::gave_up);
  const auto dead = jobs.dead_letters(background()).value();
  ASSERT_EQ(dead.size(), 1U);
  EXPECT_EQ(dead[0].job, "bad");
  EXPECT_EQ(dead[0].why, "begun 2 times");
  EXPECT_EQ(jobs.drop_dead_letters(background()).value(), 1U);
  EXPECT_EQ(jobs.stats(background()).value().dead, 0U);
}

asio::awaitable<result<std::string>> echo(context ctx, std::string text) {
  auto slept = co_await async_sleep_for(ctx, 1ms);
  if (!slept) co_return std::move(slept).error();
  co_return text;
}

asio::awaitable<void> ask_many(queue<std::string>& of, std::size_t count, std::atomic<std::size_t>& right) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::string text = std::to_string(i);
    auto got = co_await of.async_run(background(), text);
    if (got && *got == text) ++right;
  }
}

TEST_F(Queue, ServesCoroutines) {
  tests::redis_server server;
  side here(server.url(), hub_options());
  queue<std::string> jobs(here.hub, "jobs");
  asio::io_context workers;
  auto scope = with_cancel(background());
  auto working = asio::co_spawn(workers, jobs.async_work(scope.ctx(), echo, 8), asio::use_future);
  std::thread thread([&] { workers.run(); });
  asio::io_context askers;
  std::atomic<std::size_t> right{0};
  for (int i = 0; i < 16; ++i) asio::co_spawn(askers, ask_many(jobs, 20, right), asio::use_future);
  askers.run();
  EXPECT_EQ(right, 320U);
  scope.cancel();
  thread.join();
  EXPECT_EQ(working.get().error(), curfew::errc::canceled);
}

TEST_F(Queue, LeavesNothingInRedisButItself) {
  tests::redis_server server;
  {
    side here(server.url(), hub_options());
    queue<std::string> jobs(here.hub, "jobs");
    const worker one(jobs,
                     [](const context&, const std::string& text) -> result<std::string> { return text; });
    EXPECT_EQ(jobs.run(background(), "x").value(), "x");
  }
  EXPECT_EQ(server.ask_for({"KEYS", "*"}), "curfew:{queue:jobs}");
  EXPECT_EQ(server.ask_for({"XLEN", "curfew:{queue:jobs}"}), "0");
  EXPECT_EQ(server.ask_for({"XINFO", "CONSUMERS", "curfew:{queue:jobs}", "workers"}), "");
}

TEST_F(Queue, GoesOnAfterRedisWasKilled) {
  tests::redis_server server;
  side here(server.url(), hub_options().lease(long_lease));
  queue<std::string> jobs(here.hub, "jobs", queue_options().job_lease(long_lease));
  const worker one(jobs, [](const context&, const std::string& text) -> result<std::string> { return text; });
  EXPECT_EQ(jobs.run(background(), "x").value(), "x");
  server.kill9();
  server.start();
  EXPECT_TRUE(eventually([&] {
    const auto limit = with_timeout(background(), 5s);
    const auto got = jobs.run(limit.ctx(), "y");
    return got && *got == "y";
  }));
}

}  // namespace
}  // namespace curfew::remote
