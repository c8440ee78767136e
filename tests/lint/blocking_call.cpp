#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "coroutines.hpp"

using curfew::context;

// ---- what it finds

void sleeps(const context& ctx) {
  std::this_thread::sleep_for(1s);
  // CHECK: 'sleep_for' blocks, and does not end with 'ctx'
  // FIX: if (auto slept = curfew::sleep_for(ctx, 1s); !slept) return;
  static_cast<void>(ctx);
}

curfew::result<> sleeps_and_says_so(const context& ctx) {
  std::this_thread::sleep_for(1s);
  // CHECK: blocks, and does not end with 'ctx'
  // FIX: if (auto slept = curfew::sleep_for(ctx, 1s); !slept) return slept.error();
  if (ctx.err()) return curfew::error::ended(ctx);
  return {};
}

struct PGconn;
struct PGresult;
extern "C" PGresult* PQgetResult(PGconn*);
extern "C" int PQisBusy(PGconn*);

asio::awaitable<PGresult*> awaits_the_database_in_vain(context ctx, PGconn* database, PGconn* other) {
  std::ignore = co_await curfew::async_sleep_for(ctx, 1ms);
  if (PQisBusy(other)) co_return nullptr;
  co_return PQgetResult(database);
  // CHECK: 'PQgetResult' blocks the thread of a coroutine
}

int reads(const context& ctx, int fd, char* to) {
  pollfd one{fd, POLLIN, 0};
  poll(&one, 1, -1);
  // CHECK: 'poll' blocks
  if (ctx.err()) return 0;
  return static_cast<int>(recv(fd, to, 1, MSG_NOSIGNAL));
  // CHECK: 'recv' blocks
}

int waits_for_others(const context& ctx, std::future<int>& answer, std::thread& other) {
  if (ctx.err()) return 0;
  other.join();
  // CHECK: 'join' blocks
  return answer.get();
  // CHECK: 'get' blocks
}

void waits_for_a_condition(const context& ctx, std::condition_variable_any& changed, std::mutex& mutex,
                           bool& ready) {
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return ready; });
  // CHECK: blocks, and does not end with 'ctx'
  // FIX: changed.wait(lock, ctx.stop_token(), [&] { return ready; });
  static_cast<void>(ctx);
}

asio::awaitable<void> in_a_coroutine(context ctx) {
  std::this_thread::sleep_for(1s);
  // CHECK: blocks the thread of a coroutine
  // FIX: if (auto slept = co_await curfew::async_sleep_for(ctx, 1s); !slept) co_return;
  std::ignore = co_await curfew::async_sleep_for(ctx, 1s);
}

asio::awaitable<void> without_a_context() {
  std::system("true");
  // CHECK: 'system' blocks the thread of a coroutine
  co_return;
}

asio::awaitable<void> the_blocking_twin(context ctx) {
  std::ignore = curfew::sleep_for(ctx, 1s);
  // CHECK: 'sleep_for' blocks the thread of a coroutine, and all that runs on it: co_await 'async_sleep_for'
  // FIX: std::ignore = co_await curfew::async_sleep_for(ctx, 1s);
  co_return;
}

// ---- where it is silent

void no_context(std::thread& other) {
  std::this_thread::sleep_for(1s);
  other.join();
}

curfew::result<> right(const context& ctx) { return curfew::sleep_for(ctx, 1s); }

int at_once(const context& ctx, int fd, char* to) {
  pollfd one{fd, POLLIN, 0};
  poll(&one, 1, 0);
  if (ctx.err()) return 0;
  return static_cast<int>(recv(fd, to, 1, MSG_DONTWAIT | MSG_NOSIGNAL));
}

void with_the_end_among_them(const context& ctx, int fd) {
  const auto done = ctx.done();
  pollfd both[2] = {{fd, POLLIN, 0}, {done.fd(), POLLIN, 0}};
  poll(both, 2, -1);
}

void with_what_remains(const context& ctx, int fd) {
  const auto left = ctx.remaining().value_or(1s);
  pollfd one{fd, POLLIN, 0};
  poll(&one, 1, static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(left).count()));
}

ssize_t interrupted(const context& ctx, int fd, char* to) {
  curfew::on_done stop(ctx, [fd]() noexcept { ::shutdown(fd, SHUT_RDWR); });
  return recv(fd, to, 1, 0);
}

class shut_down_at_the_end {
 public:
  shut_down_at_the_end(int& fd, const context& ctx);
  ~shut_down_at_the_end();
};
ssize_t guarded(const context& ctx, int fd, char* to) {
  const shut_down_at_the_end guard(fd, ctx);
  return recv(fd, to, 1, 0);
}

void a_condition_that_ends(const context& ctx, std::condition_variable_any& changed, std::mutex& mutex,
                           bool& ready) {
  std::unique_lock lock(mutex);
  changed.wait(lock, ctx.stop_token(), [&] { return ready; });
}

int ready_already(const context& ctx, std::future<int>& answer) {
  while (answer.wait_for(10ms) != std::future_status::ready) {
    if (ctx.err()) return 0;
  }
  return answer.get();
}

void start(const context& ctx, std::function<void(int)> done);
int by_a_promise(const context& ctx) {
  std::promise<int> made;
  auto waiting = made.get_future();
  start(ctx, [&made](int number) { made.set_value(number); });
  return waiting.get();
}

asio::awaitable<void> on_another_thread(context ctx) {
  std::thread other([] { std::this_thread::sleep_for(1s); });
  other.detach();
  std::ignore = co_await curfew::async_sleep_for(ctx, 1s);
}

asio::awaitable<int> asks_the_database_first(context ctx, PGconn* database) {
  int count = 0;
  while (PQisBusy(database) == 0) {
    if (PQgetResult(database) == nullptr) break;
    ++count;
  }
  std::ignore = co_await curfew::async_sleep_for(ctx, 1ms);
  co_return count;
}

struct sleep_for {  // of another family
  void wait() {}
};
void a_name_alone(const context& ctx, sleep_for& it) {
  it.wait();
  static_cast<void>(ctx);
}

void waived(const context& ctx, std::thread& other) {
  other.join();  // NOLINT(curfew-blocking-call): it ends with ctx
  static_cast<void>(ctx);
}

#define PAUSE() std::this_thread::sleep_for(1ms)
void from_a_macro(const context& ctx) {
  PAUSE();
  static_cast<void>(ctx);
}
