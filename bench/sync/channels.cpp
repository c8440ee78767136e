// Items from one party to another: between two threads, and between two coroutines of one thread.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/sync.hpp>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "sync/rows.hpp"

namespace {

namespace asio = boost::asio;
using namespace curfew;
using bench::check;
using bench::nanoseconds_each;
using bench::numbers;

constexpr std::size_t items = 300'000;
constexpr std::size_t rounds = 100'000;

template <class Transfer>
numbers of_each_capacity(Transfer transfer) {
  return {transfer(0), transfer(1), transfer(128)};
}

/// Nanoseconds of each of `items`, from the start of `send` in a thread of its own to the end of `receive`.
template <class Send, class Receive>
double between_threads(Send send, Receive receive) {
  std::size_t got = 0;
  const double all = nanoseconds_each(1, [&] {
    std::jthread other(send);
    got = receive();
  });
  return check(got == items, all / items);
}

// Each thread has the context by value, as Go's has: a variable on the stack of another one shares a cache line
// with what that one writes.

double transfer(std::size_t capacity) {
  const auto scope = with_cancel(background());
  channel<int> c(capacity);
  return between_threads(
      [&c, ctx = scope.ctx()] {
        for (std::size_t i = 0; i != items; ++i) check(c.send(ctx, static_cast<int>(i)).has_value(), 0);
        c.close();
      },
      [&c, ctx = scope.ctx()] {
        std::size_t got = 0;
        for (auto item : drain(ctx, c)) {
          static_cast<void>(item);
          ++got;
        }
        return got;
      });
}

/// What one writes by hand: no context, and no rendezvous, so capacity 0 is none of its business.
double transfer_by_hand(std::size_t capacity) {
  if (capacity == 0) return bench::no_number;
  std::mutex mutex;
  std::condition_variable room;
  std::condition_variable there;
  std::deque<int> queue;
  return between_threads(
      [&] {
        for (std::size_t i = 0; i != items; ++i) {
          std::unique_lock lock(mutex);
          room.wait(lock, [&] { return queue.size() < capacity; });
          queue.push_back(static_cast<int>(i));
          lock.unlock();
          there.notify_one();
        }
      },
      [&] {
        std::size_t got = 0;
        for (; got != items; ++got) {
          std::unique_lock lock(mutex);
          there.wait(lock, [&] { return !queue.empty(); });
          queue.pop_front();
          lock.unlock();
          room.notify_one();
        }
        return got;
      });
}

double coroutines(std::size_t capacity) {
  asio::io_context io(1);
  const auto scope = with_cancel(background());
  channel<int> c(capacity);
  std::size_t got = 0;
  auto send = [&]() -> asio::awaitable<void> {
    for (std::size_t i = 0; i != items; ++i) {
      auto sent = co_await async_send(scope.ctx(), c, static_cast<int>(i));
      check(sent.has_value(), 0);
    }
    c.close();
  };
  auto receive = [&]() -> asio::awaitable<void> {
    for (;;) {
      auto item = co_await async_receive(scope.ctx(), c);
      if (!item || !*item) co_return;
      ++got;
    }
  };
  asio::co_spawn(io, send, asio::detached);
  asio::co_spawn(io, receive, asio::detached);
  const double all = nanoseconds_each(1, [&] { io.run(); });
  return check(got == items, all / items);
}

/// Boost.Asio's own channel, under a context by `with`, as curfew's is.
double coroutines_of_asio(std::size_t capacity) {
  asio::io_context io(1);
  const auto scope = with_cancel(background());
  asio::experimental::channel<void(boost::system::error_code, int)> c(io, capacity);
  std::size_t got = 0;
  auto send = [&]() -> asio::awaitable<void> {
    for (std::size_t i = 0; i != items; ++i) {
      auto sent = co_await c.async_send(boost::system::error_code(), static_cast<int>(i), with(scope.ctx()));
      check(sent.has_value(), 0);
    }
    c.close();
  };
  auto receive = [&]() -> asio::awaitable<void> {
    for (;;) {
      auto item = co_await c.async_receive(with(scope.ctx()));
      if (!item) co_return;
      ++got;
    }
  };
  asio::co_spawn(io, send, asio::detached);
  asio::co_spawn(io, receive, asio::detached);
  const double all = nanoseconds_each(1, [&] { io.run(); });
  return check(got == items, all / items);
}

// ---- back and forth

numbers ping_pong() {
  const auto scope = with_cancel(background());
  channel<int> there;
  channel<int> back;
  std::jthread other([&there, &back, ctx = scope.ctx()] {
    for (auto item : drain(ctx, there)) check(back.send(ctx, item).has_value(), 0);
  });
  const double each = nanoseconds_each(
      rounds, [&] { check(there.send(scope, 1).has_value() && back.receive(scope).has_value(), 0); });
  there.close();
  return {each};
}

// ---- select

numbers select_ready() {
  const auto scope = with_cancel(background());
  channel<int> a(1);
  channel<int> b(1);
  std::size_t got = 0;
  const double each = nanoseconds_each(items, [&] {
    check(a.try_send(1).has_value(), 0);
    select(when(scope.done(), [] {}), when(a.receiving(), [&] { ++got; }), when(b.receiving(), [] {}));
  });
  return {check(got == items, each)};
}

numbers select_waiting() {
  const auto scope = with_cancel(background());
  channel<int> a;
  channel<int> b;
  channel<int> back;
  std::jthread other([&a, &b, &back, ctx = scope.ctx()] {
    for (std::size_t i = 0; i != rounds; ++i) {
      select(when(ctx.done(), [] {}), when(a.receiving(), [] {}), when(b.receiving(), [] {}));
      check(back.send(ctx, 1).has_value(), 0);
    }
  });
  std::size_t i = 0;
  return {nanoseconds_each(rounds, [&] {
    channel<int>& to = ++i % 2 == 0 ? a : b;
    check(to.send(scope, 1).has_value() && back.receive(scope).has_value(), 0);
  })};
}

}  // namespace

std::vector<bench::measurement> bench::channel_rows() {
  return {
      {"threads",
       {{"channel between two threads, under a context: capacity 0", "ns", "ahead of Go"},
        {"capacity 1", "ns", "ahead of Go"},
        {"capacity 128", "ns", "ahead of Go"}},
       [] { return of_each_capacity(transfer); },
       [] { return of_each_capacity(transfer_by_hand); }},
      {"threads_plain",
       {{"the same; Go without a context: capacity 0", "ns", "ahead of Go"},
        {"capacity 1", "ns", "ahead of Go"},
        {"capacity 128", "ns", "ahead of Go"}},
       [] { return of_each_capacity(transfer); }},
      {"coroutines",
       {{"between two coroutines of one thread: capacity 0", "ns"},
        {"capacity 1", "ns"},
        {"capacity 128", "ns"}},
       [] { return of_each_capacity(coroutines); },
       {},
       [] { return of_each_capacity(coroutines_of_asio); }},
      {"ping_pong", {{"ping-pong of two threads, there and back", "ns"}}, ping_pong},
      {"select_ready",
       {{"select over two channels and done, one ready (with a send)", "ns", "Go ≥ 2 ×"}},
       select_ready},
      {"select_waiting", {{"select that waits, there and back", "ns"}}, select_waiting},
  };
}
