#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <deque>
#include <filesystem>
#include <mutex>
#include <random>
#include <thread>

namespace {

namespace asio = boost::asio;
using asio::local::stream_protocol;
using namespace std::chrono_literals;

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

/// A thread that ends contexts at random moments.
class ender {
 public:
  explicit ender(unsigned seed) : random_(seed), thread_([this] { run(); }) {}
  ender(const ender&) = delete;
  ender& operator=(const ender&) = delete;
  ~ender() {
    {
      const std::lock_guard guard(mutex_);
      closing_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

  void take(curfew::canceler c) {
    {
      const std::lock_guard guard(mutex_);
      queue_.push_back(std::move(c));
    }
    changed_.notify_one();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return !queue_.empty() || closing_; });
      if (queue_.empty()) return;
      const curfew::canceler next = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      // From at once to about the time that an operation takes: before it starts, while it runs, as it
      // completes.
      for (auto spin = random_() % 4000; spin > 0; --spin) asm volatile("" ::: "memory");
      next.cancel();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<curfew::canceler> queue_;  // guarded by mutex_
  bool closing_ = false;                // guarded by mutex_
  std::mt19937 random_;
  std::thread thread_;
};

struct counts {
  std::size_t completed = 0;
  std::size_t canceled = 0;
  std::size_t other = 0;

  template <class T>
  void add(const curfew::result<T>& got) {
    if (got) {
      ++completed;
    } else if (got.error() == curfew::errc::canceled || got.error() == curfew::errc::deadline_exceeded) {
      ++canceled;
    } else {
      ++other;
      last = got.error().message();
    }
  }

  std::string last;
};

asio::awaitable<void> timers(ender& end, int rounds, unsigned seed, counts& seen) {
  std::mt19937 random(seed);
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (int i = 0; i < rounds; ++i) {
    auto scope = curfew::with_cancel(curfew::background());
    timer.expires_after(std::chrono::microseconds(random() % 40));
    end.take(scope.canceler());
    seen.add(co_await timer.async_wait(curfew::with(scope)));
  }
}

asio::awaitable<void> sockets(ender& end, int rounds, unsigned seed, counts& seen) {
  std::mt19937 random(seed);
  auto executor = co_await asio::this_coro::executor;
  stream_protocol::socket a(executor);
  stream_protocol::socket b(executor);
  asio::local::connect_pair(a, b);
  std::array<char, 16> buffer{};
  std::size_t sent = 0;
  std::size_t received = 0;
  for (int i = 0; i < rounds; ++i) {
    auto scope = curfew::with_cancel(curfew::background());
    if (random() % 2 == 0 && a.available() < 64) sent += b.write_some(asio::buffer("x", 1));
    end.take(scope.canceler());
    auto got = co_await a.async_read_some(asio::buffer(buffer), curfew::with(scope));
    if (got) received += *got;
    seen.add(got);
  }
  received += a.available();
  EXPECT_EQ(sent, received) << "a canceled read took bytes with it";
}

asio::awaitable<void> accepts(ender& end, int rounds, unsigned seed, counts& seen) {
  std::mt19937 random(seed);
  auto executor = co_await asio::this_coro::executor;
  asio::ip::tcp::acceptor acceptor(executor, {asio::ip::address_v4::loopback(), 0});
  acceptor.non_blocking(true);
  for (int i = 0; i < rounds; ++i) {
    asio::ip::tcp::socket client(executor);
    auto scope = curfew::with_cancel(curfew::background());
    if (random() % 2 == 0) {
      end.take(scope.canceler());
      seen.add(co_await client.async_connect(acceptor.local_endpoint(), curfew::with(scope)));
    } else {
      client.connect(acceptor.local_endpoint());
    }
    auto again = curfew::with_timeout(curfew::background(), std::chrono::microseconds(random() % 100));
    end.take(again.canceler());
    seen.add(co_await acceptor.async_accept(curfew::with(again)));
    // What a canceled accept has left in the backlog, which would fill up.
    boost::system::error_code none_left;
    while (!none_left) acceptor.accept(executor, none_left);
  }
}

asio::awaitable<void> lookups(ender& end, int rounds, counts& seen) {
  asio::ip::tcp::resolver resolver(co_await asio::this_coro::executor);
  for (int i = 0; i < rounds; ++i) {
    auto scope = curfew::with_cancel(curfew::background());
    end.take(scope.canceler());
    seen.add(co_await resolver.async_resolve("127.0.0.1", "80", curfew::with(scope)));
  }
}

asio::awaitable<void> sleeps(ender& end, int rounds, unsigned seed, counts& seen) {
  std::mt19937 random(seed);
  for (int i = 0; i < rounds; ++i) {
    auto scope = curfew::with_cancel(curfew::background());
    end.take(scope.canceler());
    seen.add(co_await curfew::async_sleep_for(scope, std::chrono::microseconds(random() % 40)));
  }
}

asio::awaitable<void> work(ender& end, int rounds, counts& seen) {
  for (int i = 0; i < rounds; ++i) {
    auto scope = curfew::with_cancel(curfew::background());
    end.take(scope.canceler());
    auto look = [](const curfew::context& ctx) { return !ctx.err(); };
    seen.add(co_await curfew::async_offload(scope, look));
  }
}

// Hunts: the end of a context, in another thread, before an operation starts, while it waits, while it
// completes and right after; the double completion, the completion that never comes, the access after the
// end, the lost byte.
TEST(WithStress, OneHundredThousandOperationsEndedAtRandomMomentsNeitherLeakNorRaceNorHang) {
  const char* given = std::getenv("CURFEW_SEED");
  const unsigned seed =
      given ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : std::random_device()();
  SCOPED_TRACE("CURFEW_SEED=" + std::to_string(seed));
  const std::size_t descriptors = open_descriptors();
  counts seen;
  constexpr int share = 18'000;  // of six kinds of operations, lookups half of it, accepts twice
  {
    asio::io_context io;
    ender first(seed);
    ender second(seed + 1);
    asio::co_spawn(io, timers(first, share, seed + 2, seen), asio::detached);
    asio::co_spawn(io, sockets(second, share, seed + 3, seen), asio::detached);
    asio::co_spawn(io, accepts(first, share, seed + 4, seen), asio::detached);
    asio::co_spawn(io, lookups(second, share / 2, seen), asio::detached);
    asio::co_spawn(io, sleeps(first, share, seed + 5, seen), asio::detached);
    asio::co_spawn(io, work(second, share, seen), asio::detached);
    io.run();
  }
  EXPECT_EQ(seen.other, 0U) << seen.last;
  EXPECT_GE(seen.completed + seen.canceled, 100'000U);
  EXPECT_GT(seen.completed, 1000U);
  EXPECT_GT(seen.canceled, 1000U);
  EXPECT_EQ(open_descriptors(), descriptors);
}

}  // namespace
