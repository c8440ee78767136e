#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <condition_variable>
#include <curfew/core.hpp>
#include <curfew/http.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io.hpp>
#include <filesystem>
#include <map>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "http/waiting.hpp"
#include "race.hpp"

namespace curfew {
namespace {

using namespace std::chrono_literals;

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

std::atomic<int> handlers_running = 0;

struct counted {
  counted() { ++handlers_running; }
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;
  ~counted() { --handlers_running; }
};

boost::asio::awaitable<http::response> at_once(context, const http::request& request) {
  const counted here;
  co_return http::text(http::status::ok, request.body());
}

boost::asio::awaitable<http::response> never(context ctx, const http::request&) {
  const counted here;
  co_await async_wait(ctx.done());
  co_return http::text(http::status::ok, "nobody reads this");
}

boost::asio::awaitable<void> write_on(context ctx, http::body_writer out) {
  const counted here;
  for (;;) {
    std::string piece(20'000, 'x');
    auto written = co_await out.async_write(ctx, std::move(piece));
    if (!written) throw std::runtime_error("ended");  // a body that is not complete must not look so
  }
}

boost::asio::awaitable<http::response> without_end(context, const http::request&) {
  co_return http::stream("application/octet-stream", write_on);
}

/// Ends contexts after a while, in a thread of its own.
class ender {
 public:
  ~ender() {
    {
      const std::lock_guard guard(mutex_);
      over_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

  void end(canceler who, clock::time_point when) {
    {
      const std::lock_guard guard(mutex_);
      planned_.emplace(when, std::move(who));
    }
    changed_.notify_one();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (planned_.empty()) {
        if (over_) return;
        changed_.wait(lock);
      } else if (const auto first = planned_.begin(); first->first > clock::now()) {
        const auto when = first->first;
        changed_.wait_until(lock, when);
      } else {
        const canceler who = first->second;
        planned_.erase(first);
        lock.unlock();
        who.cancel("at random");
        lock.lock();
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<clock::time_point, canceler> planned_;
  bool over_ = false;
  std::thread thread_{[this] { run(); }};
};

/// What became of the calls.
struct tally {
  std::atomic<int> complete = 0;
  std::atomic<int> canceled = 0;
  std::atomic<int> late = 0;
  std::atomic<int> other = 0;

  template <class T>
  void add(const result<T>& r) {
    if (r) {
      ++complete;
    } else if (r.error() == errc::canceled) {
      ++canceled;
    } else if (r.error() == errc::deadline_exceeded) {
      ++late;
    } else {
      ADD_FAILURE() << r.error();
      ++other;
    }
  }
  [[nodiscard]] int all() const { return complete + canceled + late + other; }
};

// Hunts: the end of a context in any phase of a call, from other threads, against its completion, its start,
// the reads of its body and the dropping of its download; and what any of these might leave behind.
TEST(HttpClientStress, CallsCanceledAtRandomMomentsLeaveNothing) {
  const std::uint64_t seed =
      testing::announce_seed("the end of a call's context against all that the call does");
  constexpr int callers = 4;
  constexpr int calls_each = 500;
  tally outcomes;
  std::size_t before = 0;
  const auto round = [&](int calls) {
    http::router routes;
    routes.post("/echo", at_once).get("/never", never).get("/stream", without_end);
    curfew::testing::http_server server(std::move(routes), http::server_options().threads(2));
    {
      http::client sender(http::client_options().max_connections_per_host(seed % 2 == 0 ? 0 : 3));
      ender ends;
      const auto call_many = [&](std::uint64_t caller_seed) {
        std::mt19937_64 random(caller_seed);
        const auto pick = [&](unsigned n) {
          return std::uniform_int_distribution<unsigned>(0, n - 1)(random);
        };
        std::atomic<int> open = 0;
        for (int i = 0; i < calls; ++i) {
          const auto after = std::chrono::microseconds(pick(2) == 0 ? pick(200) : pick(3000));
          const bool by_deadline = pick(2) == 0;
          auto scope = by_deadline ? with_timeout(background(), after) : with_cancel(background());
          if (!by_deadline) ends.end(scope.canceler(), clock::now() + after);
          const unsigned what = pick(4);
          http::request request(what == 0 ? "POST" : "GET", server.url() + (what == 0   ? "/echo"
                                                                            : what == 1 ? "/never"
                                                                                        : "/stream"));
          if (what == 0) request.body(std::string(pick(2) == 0 ? 10 : 300'000, 'b'));
          if (what < 2 && pick(2) == 0) {
            ++open;
            context ctx = scope;
            sender.async_send(ctx, request, [&, scope = std::move(scope)](const result<http::response>& r) {
              outcomes.add(r);
              --open;
              open.notify_one();
            });
          } else if (what < 2) {
            outcomes.add(sender.send(scope, request));
          } else {
            auto from = sender.open(scope, request);
            outcomes.add(from);
            for (unsigned reads = pick(4); from && reads > 0; --reads) {
              const auto own = with_timeout(background(), std::chrono::microseconds(pick(500)));
              const auto piece = from->read(own);
              if (from->head().status() == http::status::gateway_timeout) break;  // too late, says the server
              EXPECT_TRUE(!piece || piece->has_value()) << from->head().status_line();
            }
          }
        }
        for (int left; (left = open) != 0;) open.wait(left);
      };
      std::vector<std::thread> threads;
      for (std::uint64_t t = 0; t < callers; ++t) threads.emplace_back(call_many, seed + t);
      for (std::thread& t : threads) t.join();
    }
    // Every handler hears of the end, without the server being told to stop.
    EXPECT_TRUE(tests::eventually([] { return handlers_running == 0; }));
    const http::shutdown_report report = server.stop();
    EXPECT_EQ(report.ended, 0u);
    EXPECT_TRUE(report.stuck.empty());
  };
  round(5);  // what the process keeps: threads and descriptors of its runtime
  before = open_descriptors();
  round(calls_each);
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(outcomes.all(), callers * (5 + calls_each));
  EXPECT_EQ(outcomes.other, 0);
  EXPECT_GT(outcomes.canceled, 0);
  EXPECT_GT(outcomes.late, 0);
  std::cout << outcomes.complete << " complete, " << outcomes.canceled << " canceled, " << outcomes.late
            << " late\n";
}

}  // namespace
}  // namespace curfew
