// The programs of docs/guide/mistakes.md that a compiler takes: they do what the page says of them.

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/sync.hpp>
#include <curfew/testing.hpp>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
using curfew::context;
using curfew::when;
using curfew::testing::manual_clock;
using namespace std::chrono_literals;

/// Another service: it answers after a while, or stops when ctx ends.
asio::awaitable<curfew::result<std::string>> ask(context ctx, curfew::clock::duration takes) {
  auto passed = co_await curfew::async_sleep_for(ctx, takes);
  if (!passed) co_return passed.error();
  co_return "answer";
}

/// The outcome of `work` on a manual clock, which moves when all coroutines wait.
template <class T>
T play(manual_clock& clock, asio::io_context& io, asio::awaitable<T> work) {
  std::optional<T> outcome;
  io.restart();
  asio::co_spawn(io, std::move(work), [&](std::exception_ptr, T got) { outcome = std::move(got); });
  while (io.poll() != 0 || clock.advance_to_next()) io.restart();
  return std::move(outcome).value();
}

// --- a context in a long-lived object

namespace kept::wrong {
class mailbox {
 public:
  explicit mailbox(context ctx) : ctx_(std::move(ctx)) {}  // of the request that opened it
  curfew::result<> put(std::string text) { return texts_.send(ctx_, std::move(text)); }

 private:
  context ctx_;
  curfew::channel<std::string> texts_{16};
};
}  // namespace kept::wrong

namespace kept::right {
class mailbox {
 public:
  curfew::result<> put(const context& ctx, std::string text) { return texts_.send(ctx, std::move(text)); }

 private:
  curfew::channel<std::string> texts_{16};
};
}  // namespace kept::right

TEST(Mistakes, AnObjectThatKeepsTheContextOfOneRequestFailsTheNext) {
  auto first = curfew::with_cancel(curfew::background());
  kept::wrong::mailbox wrong(first);
  kept::right::mailbox right;
  EXPECT_TRUE(wrong.put("one"));
  EXPECT_TRUE(right.put(first, "one"));
  first.cancel();
  auto second = curfew::with_cancel(curfew::background());
  EXPECT_FALSE(wrong.put("two"));
  EXPECT_TRUE(right.put(second, "two"));
}

// --- the err of the wrong context

namespace whose_end::wrong {
asio::awaitable<std::string> answer(context ctx) {
  auto scope = curfew::with_timeout(ctx, 3s);
  auto got = co_await ask(scope, 1min);
  if (!got && ctx.err()) co_return "timed out";  // the deadline is the scope's: ctx still lives
  co_return got ? *got : "the service failed";
}
}  // namespace whose_end::wrong

namespace whose_end::right {
asio::awaitable<std::string> answer(context ctx) {
  auto scope = curfew::with_timeout(ctx, 3s);
  auto got = co_await ask(scope, 1min);
  if (!got && scope.err()) co_return "timed out";  // the context that the call was given
  co_return got ? *got : "the service failed";
}
}  // namespace whose_end::right

TEST(Mistakes, TheParentDoesNotEndWhenItsChildDoes) {
  manual_clock clock;
  asio::io_context io;
  EXPECT_EQ(play(clock, io, whose_end::wrong::answer(clock.background())), "the service failed");
  EXPECT_EQ(play(clock, io, whose_end::right::answer(clock.background())), "timed out");
}

// --- work that outlives its scope

asio::awaitable<void> refresh(context ctx, std::shared_ptr<bool> done) {
  auto got = co_await ask(std::move(ctx), 10s);
  *done = got.has_value();
}

namespace detached::wrong {
asio::awaitable<int> handler(context ctx, std::shared_ptr<bool> done) {
  auto scope = curfew::with_timeout(ctx, 30s);
  auto io = co_await asio::this_coro::executor;
  asio::co_spawn(io, refresh(scope, done), asio::detached);
  co_return 200;  // the scope leaves, and cancels what has only begun
}
}  // namespace detached::wrong

namespace detached::right {
asio::awaitable<int> handler(context ctx, std::shared_ptr<bool> done) {
  auto scope = curfew::with_timeout(ctx, 30s);
  co_await refresh(scope, done);
  co_return 200;
}
}  // namespace detached::right

TEST(Mistakes, WorkThatIsDetachedFromItsScopeIsCanceledAtOnce) {
  manual_clock clock;
  asio::io_context io;
  auto done = std::make_shared<bool>(false);
  EXPECT_EQ(play(clock, io, detached::wrong::handler(clock.background(), done)), 200);
  EXPECT_FALSE(*done);
  EXPECT_EQ(play(clock, io, detached::right::handler(clock.background(), done)), 200);
  EXPECT_TRUE(*done);
}

// --- the context of a scope that leaves

namespace returned::wrong {
context limited(const context& ctx) {
  auto scope = curfew::with_timeout(ctx, 5s);
  return scope.ctx();  // `return scope` does not compile; this does, and is canceled on return
}
}  // namespace returned::wrong

namespace returned::right {
curfew::cancel_scope limited(const context& ctx) { return curfew::with_timeout(ctx, 5s); }
}  // namespace returned::right

TEST(Mistakes, AContextThatOutlivesItsScopeHasEnded) {
  EXPECT_EQ(returned::wrong::limited(curfew::background()).err(), curfew::errc::canceled);
  EXPECT_FALSE(returned::right::limited(curfew::background()).err());
}

// --- a select without the context

namespace deaf::wrong {
std::size_t next(const context&, curfew::channel<int>& numbers) {
  return curfew::select(when(numbers.receiving(), [] {}));  // waits on when ctx has ended
}
}  // namespace deaf::wrong

namespace deaf::right {
std::size_t next(const context& ctx, curfew::channel<int>& numbers) {
  return curfew::select(when(ctx.done(), [] {}), when(numbers.receiving(), [] {}));
}
}  // namespace deaf::right

TEST(Mistakes, ASelectKnowsTheContextThatItIsGiven) {
  std::ignore = &deaf::wrong::next;  // compiles, and would not return
  auto scope = curfew::with_cancel(curfew::background());
  scope.cancel();
  curfew::channel<int> numbers;
  EXPECT_EQ(deaf::right::next(scope, numbers), 0U);
}

// --- a loop that does not look

namespace busy::wrong {
long sum(const context&, const std::vector<long>& numbers) {
  long total = 0;
  for (long each : numbers) total += each;
  return total;
}
}  // namespace busy::wrong

namespace busy::right {
curfew::result<long> sum(const context& ctx, const std::vector<long>& numbers) {
  long total = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (i % 1024 == 0 && ctx.err()) return curfew::error::ended(ctx);
    total += numbers[i];
  }
  return total;
}
}  // namespace busy::right

TEST(Mistakes, ALoopHasToLook) {
  auto scope = curfew::with_cancel(curfew::background());
  scope.cancel();
  EXPECT_EQ(busy::wrong::sum(scope, {1, 2, 3}), 6);
  EXPECT_EQ(busy::right::sum(scope, {1, 2, 3}).error().code(), curfew::errc::canceled);
}

// --- a lock that is held at destruction

namespace locked::wrong {
class session {
 public:
  explicit session(const context& ctx) : on_end_(std::in_place, ctx, end{this}) {}
  void close() {
    const std::scoped_lock lock(mutex_);
    on_end_.reset();  // waits for a callback that runs, which waits for mutex_
  }

 private:
  struct end {
    session* self;
    void operator()() const noexcept {
      const std::scoped_lock lock(self->mutex_);
      self->ended_ = true;
    }
  };

  std::mutex mutex_;
  bool ended_ = false;
  std::optional<curfew::on_done<end>> on_end_;
};
}  // namespace locked::wrong

namespace locked::right {
class session {
 public:
  explicit session(const context& ctx) : on_end_(std::in_place, ctx, end{this}) {}
  void close() {
    on_end_.reset();  // no lock is held: from here on the callback neither runs nor will run
    const std::scoped_lock lock(mutex_);
    ended_ = true;
  }

 private:
  struct end {
    session* self;
    void operator()() const noexcept {
      const std::scoped_lock lock(self->mutex_);
      self->ended_ = true;
    }
  };

  std::mutex mutex_;
  bool ended_ = false;
  std::optional<curfew::on_done<end>> on_end_;
};
}  // namespace locked::right

TEST(Mistakes, ACallbackIsRemovedWithoutALockThatItTakes) {
  auto scope = curfew::with_cancel(curfew::background());
  locked::wrong::session wrong(scope);  // nothing else runs here, so it does not meet its callback
  wrong.close();
  locked::right::session right(scope);
  right.close();
  scope.cancel();
  SUCCEED();
}

}  // namespace
