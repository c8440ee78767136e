// The programs of docs/guide/which-one-when.md: the wrong ones do what the page says of them, and so do the right ones.
// Time is a manual clock's: none of them waits.

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <condition_variable>
#include <curfew/core.hpp>
#include <curfew/http.hpp>
#include <curfew/io.hpp>
#include <curfew/sync.hpp>
#include <curfew/testing.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
namespace http = curfew::http;
using curfew::testing::manual_clock;
using namespace std::chrono_literals;

/// Another service: it answers after a while, or stops when ctx ends.
asio::awaitable<curfew::result<std::string>> ask(curfew::context ctx, std::string what,
                                                 curfew::clock::duration takes = 2s) {
  auto passed = co_await curfew::async_sleep_for(ctx, takes);
  if (!passed) co_return passed.error();
  co_return what;
}

/// A manual clock and a loop: time passes when all coroutines wait.
class stage {
 public:
  [[nodiscard]] const curfew::context& ctx() const { return clock_.background(); }
  [[nodiscard]] curfew::clock::time_point now() const { return clock_.now(); }

  /// The outcome of `work`; none if it waits for something else than the clock.
  template <class T>
  std::optional<T> play(asio::awaitable<T> work) {
    std::optional<T> outcome;
    asio::co_spawn(io_, std::move(work), [&](std::exception_ptr, T got) { outcome = std::move(got); });
    while (io_.poll() != 0 || (!outcome && clock_.advance_to_next())) io_.restart();
    return outcome;
  }

  /// How much time has passed.
  [[nodiscard]] curfew::clock::duration took() const { return now() - start_; }

 private:
  manual_clock clock_;
  asio::io_context io_;
  curfew::clock::time_point start_ = clock_.now();
};

// --- with_timeout

namespace with_timeout::wrong {
asio::awaitable<curfew::result<>> report(curfew::context ctx) {
  for (const char* page : {"sales", "stock", "staff"}) {
    auto scope = curfew::with_timeout(ctx, 3s);  // three seconds for each: nine for the report
    auto got = co_await ask(scope, page);
    if (!got) co_return got.error();
  }
  co_return curfew::result<>();
}
}  // namespace with_timeout::wrong

namespace with_timeout::right {
asio::awaitable<curfew::result<>> report(curfew::context ctx) {
  auto scope = curfew::with_timeout(ctx, 3s);  // three seconds for all of it
  for (const char* page : {"sales", "stock", "staff"}) {
    auto got = co_await ask(scope, page);
    if (!got) co_return got.error();
  }
  co_return curfew::result<>();
}
}  // namespace with_timeout::right

TEST(WhichOneWhen, ATimeoutInsideALoopIsOneForEachTurn) {
  stage wrong;
  EXPECT_TRUE(wrong.play(with_timeout::wrong::report(wrong.ctx())).value());
  EXPECT_EQ(wrong.took(), 6s);
  stage right;
  EXPECT_TRUE(right.play(with_timeout::right::report(right.ctx())).value().error() ==
              curfew::errc::deadline_exceeded);
  EXPECT_EQ(right.took(), 3s);
}

// --- with_idle_timeout

namespace with_idle_timeout::wrong {
asio::awaitable<curfew::result<int>> copy(curfew::context ctx) {
  auto scope = curfew::with_timeout(ctx, 5s);  // five seconds for all of it, however well it goes
  for (int pieces = 0;; ++pieces) {
    if (pieces == 10) co_return pieces;
    auto piece = co_await ask(scope, "piece");
    if (!piece) co_return piece.error();
  }
}
}  // namespace with_idle_timeout::wrong

namespace with_idle_timeout::right {
asio::awaitable<curfew::result<int>> copy(curfew::context ctx) {
  auto scope = curfew::with_idle_timeout(ctx, 5s);  // five seconds without a piece
  for (int pieces = 0;; ++pieces) {
    if (pieces == 10) co_return pieces;
    auto piece = co_await ask(scope, "piece");
    if (!piece) co_return piece.error();
    scope.touch();
  }
}
}  // namespace with_idle_timeout::right

TEST(WhichOneWhen, ATimeoutForAllOfAStreamCutsOffAStreamThatFlows) {
  stage wrong;
  EXPECT_FALSE(wrong.play(with_idle_timeout::wrong::copy(wrong.ctx())).value());
  EXPECT_EQ(wrong.took(), 5s);
  stage right;
  EXPECT_EQ(right.play(with_idle_timeout::right::copy(right.ctx())).value().value(), 10);
  EXPECT_EQ(right.took(), 20s);
}

// --- with_deadline

namespace with_deadline::wrong {
asio::awaitable<curfew::result<std::string>> bid(curfew::context ctx, curfew::clock::time_point closes) {
  const auto left = closes - ctx.now();
  auto price = co_await ask(ctx, "price");  // takes two seconds, of which `left` knows nothing
  if (!price) co_return price.error();
  auto scope = curfew::with_timeout(ctx, left);
  co_return co_await ask(scope, "bid at " + *price, 4s);
}
}  // namespace with_deadline::wrong

namespace with_deadline::right {
asio::awaitable<curfew::result<std::string>> bid(curfew::context ctx, curfew::clock::time_point closes) {
  auto scope = curfew::with_deadline(ctx, closes);
  auto price = co_await ask(scope, "price");
  if (!price) co_return price.error();
  co_return co_await ask(scope, "bid at " + *price, 4s);
}
}  // namespace with_deadline::right

TEST(WhichOneWhen, APointInTimeThatBecomesADurationIsLate) {
  stage wrong;
  EXPECT_TRUE(wrong.play(with_deadline::wrong::bid(wrong.ctx(), wrong.now() + 5s)).value());
  EXPECT_EQ(wrong.took(), 6s);
  stage right;
  EXPECT_FALSE(right.play(with_deadline::right::bid(right.ctx(), right.now() + 5s)).value());
  EXPECT_EQ(right.took(), 5s);
}

// --- with_cancel

/// What a build starts, and what has to stop with it.
std::optional<curfew::context> compiler;
void compile(const curfew::context& ctx) { compiler = ctx; }

using button = std::function<void()>;

namespace with_cancel::wrong {
void build(const curfew::context& ctx, button& cancel) {
  auto scope = std::make_shared<curfew::cancel_scope>(curfew::with_cancel(ctx));
  cancel = [scope] { scope->cancel("the user's button"); };  // the button owns the scope, too
  compile(*scope);
}
}  // namespace with_cancel::wrong

namespace with_cancel::right {
void build(const curfew::context& ctx, button& cancel) {
  auto scope = curfew::with_cancel(ctx);
  cancel = [canceler = scope.canceler()] { canceler.cancel("the user's button"); };
  compile(scope);
}
}  // namespace with_cancel::right

TEST(WhichOneWhen, AScopeThatIsSharedDoesNotCancelWhenTheBlockIsLeft) {
  button cancel;
  with_cancel::wrong::build(curfew::background(), cancel);
  EXPECT_FALSE(compiler->err());
  with_cancel::right::build(curfew::background(), cancel);
  EXPECT_TRUE(compiler->err());
  compiler.reset();
}

// --- the handler's ctx

namespace handler::wrong {
asio::awaitable<http::response> stock(curfew::context, const http::request&) {
  auto answer = co_await ask(curfew::background(), "stock", 1min);  // goes on for a client that has left
  co_return answer ? http::text(http::status::ok, *answer) : http::text(http::status::bad_gateway, "");
}
}  // namespace handler::wrong

namespace handler::right {
asio::awaitable<http::response> stock(curfew::context ctx, const http::request&) {
  auto answer = co_await ask(ctx, "stock", 1min);
  co_return answer ? http::text(http::status::ok, *answer) : http::text(http::status::bad_gateway, "");
}
}  // namespace handler::right

TEST(WhichOneWhen, WhatAHandlerStartsUnderTheBackgroundGoesOnForNobody) {
  const auto answers_when_the_client_leaves = [](auto handler) {
    asio::io_context io;
    const http::request request("GET", "/stock");
    auto scope = curfew::with_cancel(curfew::background());
    bool answered = false;
    asio::co_spawn(io, handler(scope, request),
                   [&](std::exception_ptr, const http::response&) { answered = true; });
    io.poll();
    scope.cancel(http::errc::client_gone);
    io.poll();
    return answered;
  };
  EXPECT_FALSE(answers_when_the_client_leaves(handler::wrong::stock));
  EXPECT_TRUE(answers_when_the_client_leaves(handler::right::stock));
}

// --- background

void flush() {}

namespace background::wrong {
std::jthread start_flusher() {
  return std::jthread([] {
    while (curfew::sleep_for(curfew::background(), 1min)) flush();  // never ends, so the join waits for ever
  });
}
}  // namespace background::wrong

namespace background::right {
std::jthread start_flusher() {
  return std::jthread([](std::stop_token token) {
    auto scope = curfew::with_stop_token(curfew::background(), std::move(token));
    while (curfew::sleep_for(scope, 1min)) flush();
  });
}
}  // namespace background::right

TEST(WhichOneWhen, AThreadUnderTheBackgroundEndsWithItsStopToken) {
  std::ignore = &background::wrong::start_flusher;  // compiles, and would never return
  auto flusher = background::right::start_flusher();
  flusher.request_stop();
  flusher.join();
  SUCCEED();
}

// --- todo

std::string greet(const curfew::context& ctx) { return ctx.err() ? "" : "hello"; }

namespace todo::wrong {
std::string greeting() { return greet(curfew::background()); }  // meant for a day; there for years
}  // namespace todo::wrong

namespace todo::right {
std::string greeting() { return greet(curfew::todo()); }  // todo_places() tells this line
}  // namespace todo::right

TEST(WhichOneWhen, APlaceMarkedWithTodoIsFound) {
  const auto marked = [] {
    return std::ranges::count_if(curfew::todo_places(), [](const std::source_location& at) {
      return std::string_view(at.file_name()).ends_with("which_one_when_test.cpp");
    });
  };
  EXPECT_EQ(todo::wrong::greeting(), "hello");
  EXPECT_EQ(marked(), 0);
  EXPECT_EQ(todo::right::greeting(), "hello");
  EXPECT_EQ(marked(), 1);
}

// --- with_value

namespace with_value::wrong {
inline constexpr curfew::key<std::size_t> page_size{"page size"};

std::vector<int> first_page(const curfew::context& ctx, std::vector<int> rows) {
  const std::size_t* size = ctx.value(page_size);  // without it no rows, and no compiler says so
  rows.resize(std::min(rows.size(), size != nullptr ? *size : 0));
  return rows;
}
}  // namespace with_value::wrong

namespace with_value::right {
inline constexpr curfew::key<std::string> trace_id{"trace id", curfew::show_value};

std::string log_line(const curfew::context& ctx, std::string_view text) {
  const std::string* id = ctx.value(trace_id);
  return (id != nullptr ? *id : "-") + ' ' + std::string(text);
}

std::vector<int> first_page(const curfew::context& ctx, std::vector<int> rows, std::size_t page_size) {
  if (!ctx.err()) rows.resize(std::min(rows.size(), page_size));
  return rows;
}
}  // namespace with_value::right

TEST(WhichOneWhen, AParameterThatTravelsAsAValueCanBeForgotten) {
  EXPECT_TRUE(with_value::wrong::first_page(curfew::background(), {1, 2, 3}).empty());
  EXPECT_EQ(with_value::right::first_page(curfew::background(), {1, 2, 3}, 2).size(), 2U);
  const auto ctx = curfew::with_value(curfew::background(), with_value::right::trace_id, "4bf92f35");
  EXPECT_EQ(with_value::right::log_line(ctx, "started"), "4bf92f35 started");
  EXPECT_EQ(with_value::right::log_line(curfew::background(), "started"), "- started");
}

// --- without_cancel

namespace without_cancel::wrong {
asio::awaitable<curfew::result<std::string>> pay(curfew::context ctx) {
  auto paid = co_await ask(ctx, "paid", 1min);
  if (!paid) co_return co_await ask(ctx, "reservation undone");  // ctx has ended: this fails at once
  co_return paid;
}
}  // namespace without_cancel::wrong

namespace without_cancel::right {
asio::awaitable<curfew::result<std::string>> pay(curfew::context ctx) {
  auto paid = co_await ask(ctx, "paid", 1min);
  if (!paid) {
    auto tidy = curfew::with_timeout(curfew::without_cancel(ctx), 5s);  // and not for ever either
    co_return co_await ask(tidy, "reservation undone");
  }
  co_return paid;
}
}  // namespace without_cancel::right

TEST(WhichOneWhen, CleaningUpUnderTheContextThatEndedDoesNothing) {
  stage wrong;
  auto gone = curfew::with_timeout(wrong.ctx(), 10s);
  EXPECT_FALSE(wrong.play(without_cancel::wrong::pay(gone)).value());
  stage right;
  auto gone_too = curfew::with_timeout(right.ctx(), 10s);
  EXPECT_EQ(right.play(without_cancel::right::pay(gone_too)).value().value(), "reservation undone");
  EXPECT_EQ(right.took(), 12s);
}

// --- grace

namespace grace::wrong {
asio::awaitable<curfew::result<int>> work_off(curfew::context ctx) {
  auto rest = curfew::with_timeout(curfew::without_cancel(ctx), 5s);  // from now on, not from the end of ctx
  int done = 0;
  for (; !ctx.err(); ++done) {
    auto job = co_await ask(rest, "job");
    if (!job) co_return job.error();
  }
  co_return done;
}
}  // namespace grace::wrong

namespace grace::right {
asio::awaitable<curfew::result<int>> work_off(curfew::context ctx) {
  const curfew::grace grace(ctx, 5s);
  int done = 0;
  for (; !grace.soft().err(); ++done) {            // no new job once ctx has ended
    auto job = co_await ask(grace.hard(), "job");  // the last one has five seconds more
    if (!job) co_return job.error();
  }
  co_return done;
}
}  // namespace grace::right

TEST(WhichOneWhen, AGraceBeginsWhenItsContextEnds) {
  stage wrong;
  auto until = curfew::with_timeout(wrong.ctx(), 21s);
  EXPECT_FALSE(wrong.play(grace::wrong::work_off(until)).value());
  EXPECT_EQ(wrong.took(), 5s);
  stage right;
  auto shutdown = curfew::with_timeout(right.ctx(), 21s);
  EXPECT_EQ(right.play(grace::right::work_off(shutdown)).value().value(), 11);
  EXPECT_EQ(right.took(), 22s);
}

// --- merge

namespace merge::wrong {
asio::awaitable<curfew::result<std::string>> backup(curfew::context request, curfew::context shutdown) {
  if (shutdown.err()) co_return curfew::error::ended(shutdown);
  co_return co_await ask(request, "backup", 1h);  // looks at one of the two for an hour
}
}  // namespace merge::wrong

namespace merge::right {
asio::awaitable<curfew::result<std::string>> backup(curfew::context request, curfew::context shutdown) {
  auto either = curfew::merge(request, shutdown);
  co_return co_await ask(either, "backup", 1h);
}
}  // namespace merge::right

TEST(WhichOneWhen, AWaitLooksAtOneContext) {
  stage wrong;
  auto shutdown = curfew::with_timeout(wrong.ctx(), 1s, "shutdown");
  EXPECT_TRUE(wrong.play(merge::wrong::backup(wrong.ctx(), shutdown)).value());
  EXPECT_EQ(wrong.took(), 1h);
  stage right;
  auto shutdown_too = curfew::with_timeout(right.ctx(), 1s, "shutdown");
  EXPECT_EQ(right.play(merge::right::backup(right.ctx(), shutdown_too)).value().error().cause().message(),
            "shutdown");
  EXPECT_EQ(right.took(), 1s);
}

// --- with_hangup

/// Takes a minute, or stops when ctx ends.
curfew::result<std::string> report(const curfew::context& ctx) {
  if (auto slept = curfew::sleep_for(ctx, 1min); !slept) return slept.error();
  return "report";
}

namespace with_hangup::wrong {
curfew::result<std::string> serve_client(const curfew::context& ctx, int /*connection*/) {
  return report(ctx);  // a minute, for a client that may have left
}
}  // namespace with_hangup::wrong

namespace with_hangup::right {
curfew::result<std::string> serve_client(const curfew::context& ctx, int connection) {
  auto scope = curfew::with_hangup(ctx, connection);
  return report(scope);
}
}  // namespace with_hangup::right

TEST(WhichOneWhen, AThreadLearnsThatItsClientHasLeft) {
  std::ignore = &with_hangup::wrong::serve_client;  // compiles, and takes a minute
  std::array<int, 2> ends{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
  close(ends[1]);
  EXPECT_EQ(with_hangup::right::serve_client(curfew::background(), ends[0]).error().code(),
            curfew::errc::canceled);
  close(ends[0]);
}

// --- on_done and after_func

/// A part that knows nothing of contexts, but can be stopped.
class old_queue {
 public:
  std::optional<int> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopped_; });
    return std::nullopt;
  }
  void stop() {
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
};

/// In which thread the last mail was sent; a mail takes seconds.
std::thread::id mailed_by;
void send_mail() { mailed_by = std::this_thread::get_id(); }

/// The client leaves while the work goes on.
curfew::canceler client;
void work(const curfew::context& /*ctx*/) { client.cancel(http::errc::client_gone); }

namespace on_done::wrong {
void serve(const curfew::context& ctx) {
  const curfew::on_done mail(ctx, [] { send_mail(); });  // the thread that cancels sends it; all others wait
  work(ctx);
}
}  // namespace on_done::wrong

namespace on_done::right {
std::optional<int> take(const curfew::context& ctx, old_queue& queue) {
  const curfew::on_done stop(ctx, [&] { queue.stop(); });
  return queue.take();  // blocks; `stop` wakes it, and is gone when this returns
}
}  // namespace on_done::right

TEST(WhichOneWhen, OnDoneTellsAnOldPartToStop) {
  old_queue queue;
  auto scope = curfew::with_cancel(curfew::background());
  const std::jthread canceling([&] { scope.cancel(); });
  EXPECT_EQ(on_done::right::take(scope, queue), std::nullopt);
}

struct session {
  void run(const curfew::context& ctx) { work(ctx); }
  void close() {}
};

namespace after_func::wrong {
void serve(const curfew::context& ctx, asio::thread_pool& pool) {
  session own;
  curfew::after_func(ctx, pool.get_executor(), [&] { own.close(); });  // may run when `own` is gone
  own.run(ctx);
}
}  // namespace after_func::wrong

namespace after_func::right {
void serve(const curfew::context& ctx, asio::thread_pool& pool) {
  auto mail = curfew::after_func(ctx, pool.get_executor(), [] { send_mail(); });
  work(ctx);
  mail.stop();  // if the work came to its end first, there is no mail
}
}  // namespace after_func::right

TEST(WhichOneWhen, ACallbackOfOnDoneHoldsUpTheThreadThatCancels) {
  auto scope = curfew::with_cancel(curfew::background());
  client = scope.canceler();
  on_done::wrong::serve(scope);
  EXPECT_EQ(mailed_by, std::this_thread::get_id());
}

TEST(WhichOneWhen, AfterFuncRunsElsewhere) {
  std::ignore = &after_func::wrong::serve;  // compiles, and reads what is gone
  asio::thread_pool pool(1);
  auto scope = curfew::with_cancel(curfew::background());
  client = scope.canceler();
  mailed_by = {};
  after_func::right::serve(scope, pool);
  pool.join();
  EXPECT_NE(mailed_by, std::this_thread::get_id());
  EXPECT_NE(mailed_by, std::thread::id());
}

}  // namespace
