// Clients that come, ask, and leave in every way at any moment, against handlers of every kind, for a while.
// It hunts what a single test cannot: a context that does not end, a connection that stays, an answer that
// belongs to another request.
#include <dirent.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io/wait.hpp>
#include <iostream>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "http/raw_client.hpp"
#include "http/waiting.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::testing::http_server;
using tests::eventually;
using tests::raw_client;

struct counts {
  std::atomic<int> running{0};
  std::atomic<int> ended{0};
  std::atomic<int> answered{0};
};

/// Counts a handler as running while it lives.
class running_guard {
 public:
  explicit running_guard(counts& c) : counts_(c) { ++counts_.running; }
  running_guard(const running_guard&) = delete;
  running_guard& operator=(const running_guard&) = delete;
  ~running_guard() { --counts_.running; }

 private:
  counts& counts_;
};

router stress_routes(counts& c) {
  router routes;
  routes.get("/quick/{n}", [](context, const request& r) -> asio::awaitable<response> {
    co_return text(status::ok, std::string(r.param("n")));
  });
  routes.get("/sleep/{n}", [&c](context ctx, const request& r) -> asio::awaitable<response> {
    const running_guard guard(c);
    const auto slept = co_await async_sleep_for(ctx, 2ms);
    if (!slept) ++c.ended;
    co_return text(status::ok, std::string(r.param("n")));
  });
  routes.get("/wait/{n}", [&c](context ctx, const request&) -> asio::awaitable<response> {
    const running_guard guard(c);
    co_await async_wait(ctx.done());
    ++c.ended;
    co_return text(status::gateway_timeout, "ended");
  });
  routes.post("/echo/{n}", [](context, const request& r) -> asio::awaitable<response> {
    co_return text(status::ok, std::string(r.param("n")) + r.body());
  });
  routes.get("/stream/{n}", [&c](context, const request& r) -> asio::awaitable<response> {
    const std::string n(r.param("n"));
    const auto source = [&c, n](context ctx, body_writer out) -> asio::awaitable<void> {
      const running_guard guard(c);
      for (int i = 0; i < 5; ++i) {
        const auto sent = co_await out.async_write(ctx, n + ' ');
        if (!sent) {
          ++c.ended;
          co_return;
        }
        if (i % 2 == 0) std::ignore = co_await async_sleep_for(ctx, 300us);
      }
    };
    co_return stream("text/plain", source);
  });
  routes.get("/throw/{n}", [](context, const request&) -> asio::awaitable<response> {
    throw std::runtime_error("on purpose");
    co_return response();
  });
  return routes;
}

/// What a client asks, and what the answer has to be; "" where there is none.
struct question {
  std::string bytes;
  int status;
  std::string body;
};

question make_question(std::minstd_rand& random) {
  const auto n = std::to_string(random());
  const auto get = [](const std::string& path, const std::string& fields = "") {
    return "GET " + path + " HTTP/1.1\r\nHost: t\r\n" + fields + "\r\n";
  };
  switch (random() % 7) {
    case 0:
      return {get("/quick/" + n), 200, n};
    case 1:
      return {get("/sleep/" + n), 200, n};
    case 2:
      return {get("/wait/" + n, "Request-Timeout-Ms: 3\r\n"), 504, "ended"};
    case 3: {
      const std::string body(random() % 30'000, 'b');
      return {"POST /echo/" + n + " HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(body.size()) +
                  "\r\n\r\n" + body,
              200, n + body};
    }
    case 4: {
      std::string all;
      for (int i = 0; i < 5; ++i) all += n + ' ';
      return {get("/stream/" + n), 200, all};
    }
    case 5:
      return {get("/throw/" + n), 500, "500 Internal Server Error\n"};
    default:
      return {get("/none/" + n), 404, "404 Not Found\n"};
  }
}

void be_a_client(std::uint16_t port, unsigned seed, counts& c, clock::time_point until) {
  std::minstd_rand random(seed);
  while (clock::now() < until) {
    raw_client client(port, random() % 4 == 0 ? 4096 : 0);
    const auto rounds = random() % 4;
    for (unsigned round = 0; round < rounds; ++round) {
      std::vector<question> asked;
      std::string bytes;
      for (auto left = 1 + random() % 4; left > 0; --left) {
        asked.push_back(make_question(random));
        bytes += asked.back().bytes;
      }
      client.send(bytes);
      for (const auto& q : asked) {
        const auto got = client.read_response();
        ASSERT_EQ(got.status, q.status) << q.bytes.substr(0, 60);
        // A request whose time is over before its turn has come is answered without its handler.
        const bool too_late = q.body == "ended" && got.body == "504 Gateway Timeout\n";
        ASSERT_TRUE(too_late || got.body == q.body) << got.body << " instead of " << q.body;
        ++c.answered;
      }
    }
    // The way out: something may be under way, or half sent.
    auto last = make_question(random).bytes;
    if (random() % 2 == 0) last += make_question(random).bytes;
    if (random() % 3 == 0) last += "GET /wait/forever HTTP/1.1\r\nHost: t\r\n\r\n";
    if (random() % 3 == 0) last.resize(random() % last.size());
    client.try_send(last);
    if (random() % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000));
    switch (random() % 3) {
      case 0:
        client.close();
        break;
      case 1:
        client.reset();
        break;
      default:
        client.half_close();
        client.is_closed();
        break;
    }
  }
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* dir = ::opendir("/proc/self/fd");
  while (::readdir(dir) != nullptr) ++count;
  ::closedir(dir);
  return count;
}

TEST(HttpServerStress, ClientsThatLeaveAtAnyMomentLeaveNothingBehind) {
  const unsigned seed = std::random_device()();
  std::cout << "seed " << seed << '\n';
  counts c;
  const auto before = open_descriptors();
  {
    http_server s(stress_routes(c), server_options().grace(10s).threads(2));
    const auto until = clock::now() + 3s;
    std::vector<std::thread> clients;
    for (unsigned i = 0; i < 6; ++i) {
      clients.emplace_back([&, i] { be_a_client(s.port(), seed + i, c, until); });
    }
    for (auto& client : clients) client.join();
    EXPECT_TRUE(eventually([&] { return c.running == 0; })) << c.running << " handlers still run";
    const auto report = s.stop();
    EXPECT_EQ(report.ended, 0U);
    EXPECT_TRUE(report.stuck.empty());
    EXPECT_GT(c.answered, 0);
    EXPECT_GT(c.ended, 0);
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST(HttpServerStress, AServerStopsAtAnyMoment) {
  const unsigned seed = std::random_device()();
  std::cout << "seed " << seed << '\n';
  std::minstd_rand random(seed);
  const auto until = clock::now() + 3s;
  while (clock::now() < until) {
    counts c;
    std::atomic<bool> over{false};
    std::vector<std::thread> clients;
    {
      http_server s(stress_routes(c),
                    server_options().grace(std::chrono::milliseconds(random() % 10)).threads(2));
      for (unsigned i = 0; i < 4; ++i) {
        clients.emplace_back([&, port = s.port(), mine = seed + i] {
          std::minstd_rand way(mine);
          while (!over) {
            try {
              raw_client client(port);
              for (int round = 0; round < 3; ++round) {
                const auto q = make_question(way);
                client.send(q.bytes);
                // An answer that comes is whole, or the connection is visibly cut.
                EXPECT_EQ(client.read_response().status, q.status);
              }
            } catch (const std::exception&) {
              // refused, reset or closed: the server stops
            }
          }
        });
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % 20));
      const auto report = s.stop();
      EXPECT_TRUE(report.stuck.empty());
      over = true;
    }
    for (auto& client : clients) client.join();
    EXPECT_EQ(c.running, 0);
  }
}

}  // namespace
}  // namespace curfew::http
