// An operation of a module's own, made with what io gives to such modules.

#include "io/coroutines.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <curfew/core.hpp>
#include <curfew/io/extend.hpp>
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

namespace {

namespace asio = boost::asio;
using curfew::background;
using curfew::context;
using curfew::errc;
using curfew::error;
using curfew::result;
using namespace curfew::testing;

/// A library that answers a question at a time, in whatever thread calls answer().
class oracle {
 public:
  template <class Token = curfew::default_token>
  auto async_ask(context ctx, Token&& token = {}) {
    return curfew::extend::initiate<result<int>>(
        std::forward<Token>(token),
        [this, ctx](curfew::extend::handler<result<int>> complete) { start_ask(ctx, std::move(complete)); });
  }

  /// \return whether there was a question that had not been given up.
  bool answer(int with) { return asked_ && asked_->complete_with(with); }
  void forget() { asked_.reset(); }

 private:
  struct question {
    struct stop {
      question* of;
      void operator()() const noexcept { of->complete_with(error::ended(of->ctx, "ask")); }
    };

    question(context c, curfew::extend::handler<result<int>> h) : ctx(std::move(c)), complete(std::move(h)) {}

    bool complete_with(result<int> outcome) {
      if (over.exchange(true)) return false;
      complete(std::move(outcome));
      return true;
    }

    context ctx;
    curfew::extend::handler<result<int>> complete;
    std::atomic<bool> over{false};
    std::optional<curfew::on_done<stop>> ending;  // the last member: it is destroyed first
  };

  void start_ask(const context& ctx, curfew::extend::handler<result<int>> complete) {
    if (ctx.err()) return complete(error::ended(ctx, "ask"));
    asked_ = std::make_unique<question>(ctx, std::move(complete));
    asked_->ending.emplace(ctx, question::stop{asked_.get()});
  }

  std::unique_ptr<question> asked_;
};

struct Extend : ::testing::Test {
  oracle delphi;
  curfew::cancel_scope scope = curfew::with_cancel(background());
  asio::io_context io;

  asio::awaitable<result<int>> ask(context ctx) { co_return co_await delphi.async_ask(ctx); }
};

TEST_F(Extend, AnOperationCompletesOnItsExecutorWhichHasWorkUntilThen) {
  std::optional<result<int>> got;
  std::thread::id where;
  const auto handler = [&](result<int> outcome) {
    got = std::move(outcome);
    where = std::this_thread::get_id();
  };
  delphi.async_ask(scope.ctx(), asio::bind_executor(io, handler));
  std::thread other([&] { EXPECT_TRUE(delphi.answer(42)); });
  io.run();  // returns when there is nothing to wait for
  other.join();
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, 42);
  EXPECT_EQ(where, std::this_thread::get_id());
}

TEST_F(Extend, AnOperationCompletesNeitherInsideItsStartNorInsideItsCompletion) {
  bool called = false;
  const auto handler = [&](const result<int>&) { called = true; };
  delphi.async_ask(scope.ctx(), asio::bind_executor(io, handler));
  EXPECT_TRUE(delphi.answer(42));
  EXPECT_FALSE(called);
  scope.cancel();
  poll(io);
  EXPECT_TRUE(called);
  called = false;
  delphi.async_ask(scope.ctx(), asio::bind_executor(io, handler));
  EXPECT_FALSE(called);
  poll(io);
  EXPECT_TRUE(called);
}

TEST_F(Extend, AnOperationObeysItsContextBeforeItStartsAndWhileItWaits) {
  auto waits = start(io, ask(scope));
  poll(io);
  std::thread other([&] { scope.cancel("user left"); });
  other.join();
  poll(io);
  EXPECT_EQ(waits.get().error().message(), "ask: canceled (cause: user left)");
  EXPECT_FALSE(delphi.answer(42)) << "what is canceled has not happened";
  auto late = start(io, ask(scope));
  poll(io);
  EXPECT_EQ(late.get().error(), errc::canceled);
}

TEST_F(Extend, AnOperationGoesWithItsIoContextAndItsCompletionDoesNothingThen) {
  const auto guarded = std::make_shared<int>(0);
  {
    asio::io_context gone;
    auto waits = [&](std::shared_ptr<int> kept) -> asio::awaitable<void> {
      const result<int> got = co_await delphi.async_ask(background());
      *kept = got ? 1 : 2;
    };
    spawn(gone, waits(guarded));
    poll(gone);
  }
  EXPECT_EQ(guarded.use_count(), 1) << "the coroutine outlives its io_context";
  EXPECT_TRUE(delphi.answer(42));
  EXPECT_EQ(*guarded, 0);
}

TEST_F(Extend, ADroppedHandlerTakesItsCoroutineAlong) {
  auto waits = start(io, ask(background()));
  poll(io);
  delphi.forget();
  poll(io);  // Asio unwinds a coroutine on its executor
  ASSERT_TRUE(over(waits));
  EXPECT_THROW(static_cast<void>(waits.get()), std::future_error);
  EXPECT_TRUE(io.stopped()) << "the io_context has work left";
}

TEST_F(Extend, AnOperationTakesAnyToken) {
  auto waits = delphi.async_ask(background(), asio::use_future);
  EXPECT_TRUE(delphi.answer(42));
  EXPECT_EQ(waits.get(), 42);
}

}  // namespace
