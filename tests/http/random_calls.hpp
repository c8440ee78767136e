#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io/wait.hpp>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace curfew::tests {

/// Calls of one client over at most 8 connections, many at a time, from coroutines and from threads, of which a
/// random part is canceled at random moments, and one in eight never. Each answer has to be that of its own request.
class random_calls {
 public:
  random_calls(std::size_t calls, std::uint64_t seed) : calls_(calls), seed_(seed) {}

  void run() {
    constexpr unsigned coroutines = 48;
    constexpr unsigned threads = 4;
    current_.resize(coroutines + threads);
    boost::asio::io_context io;
    for (unsigned i = 0; i < coroutines; ++i) {
      boost::asio::co_spawn(io, call_from_coroutine(i), boost::asio::detached);
    }
    std::vector<std::thread> all;
    for (unsigned i = 0; i < threads; ++i) {
      all.emplace_back([this, i] { call_from_thread(coroutines + i); });
    }
    for (int i = 0; i < 2; ++i) {
      all.emplace_back([&io] { io.run(); });
    }
    std::jthread canceling([this](const std::stop_token& until) { cancel_at_random(until); });
    for (std::thread& t : all) t.join();
  }

  [[nodiscard]] std::size_t answered() const { return answered_; }
  [[nodiscard]] std::size_t canceled() const { return canceled_; }

 private:
  using random = std::mt19937_64;
  static unsigned pick(random& from, unsigned n) {
    return std::uniform_int_distribution<unsigned>(0, n - 1)(from);
  }

  /// The body that belongs to a path: "/17/3000" is 3,000 bytes of "17;17;17;…".
  static std::string body_of(std::string_view path) {
    const auto second = path.find('/', 1);
    const std::string id(path.substr(1, second - 1));
    const std::size_t size = std::stoul(std::string(path.substr(second + 1)));
    std::string made;
    while (made.size() < size) made.append(id).append(1, ';');
    return made;
  }

  static boost::asio::awaitable<http::response> answer(context ctx, const http::request& request) {
    const std::string path = request.path();
    const std::string all = body_of(path);
    if (all.size() % 3 == 0)
      std::ignore = co_await async_sleep_for(ctx, std::chrono::microseconds(all.size() % 1000));
    http::response made = http::text(http::status::ok, all);
    if (all.size() % 2 == 0) {
      made = http::stream("text/plain",
                          [all](context own, http::body_writer out) -> boost::asio::awaitable<void> {
                            for (std::size_t at = 0; at < all.size(); at += 1000) {
                              if (!co_await out.async_write(own, all.substr(at, 1000))) co_return;
                            }
                          });
    }
    made.set("X-Path", path);
    co_return made;
  }

  static http::router routes() {
    http::router made;
    made.get("/{id}/{size}", answer).post("/{id}/{size}", answer);
    return made;
  }

  /// None when all calls have been made.
  std::optional<http::request> next(random& from) {
    const std::size_t id = made_++;
    if (id >= calls_) return std::nullopt;
    const unsigned size = 1 + pick(from, pick(from, 10) == 0 ? 100'000 : 300);
    const std::string path = "/" + std::to_string(id) + "/" + std::to_string(size);
    http::request request(pick(from, 4) == 0 ? "POST" : "GET", server_.url(path));
    if (request.method() == "POST") request.body(std::string(pick(from, 50'000), 'b'));
    return request;
  }

  cancel_scope begin(unsigned caller, random& from) {
    auto scope = with_cancel(background());
    const bool may_be_canceled = pick(from, 8) != 0;  // on a slow machine all of them would be
    const std::lock_guard guard(mutex_);
    current_[caller].reset();
    if (may_be_canceled) current_[caller] = scope.canceler();
    return scope;
  }

  void check(const http::request& request, const result<http::response>& got) {
    if (!got) {
      EXPECT_EQ(got.error(), errc::canceled) << got.error();
      ++canceled_;
      return;
    }
    const std::string path = request.target().substr(server_.url().size());
    const auto of = got->fields().find("X-Path");
    EXPECT_TRUE(of && *of == path) << path << " got the answer of " << (of.value_or("none"));
    EXPECT_TRUE(got->body() == body_of(path)) << path << " got " << got->body().substr(0, 50);
    ++answered_;
  }

  boost::asio::awaitable<void> call_from_coroutine(unsigned caller) {
    random from(seed_ + caller);
    while (auto request = next(from)) {
      const auto scope = begin(caller, from);
      const auto got = co_await client_.async_send(scope.ctx(), *request);
      check(*request, got);
    }
  }
  void call_from_thread(unsigned caller) {
    random from(seed_ + caller);
    while (const auto request = next(from)) {
      const auto scope = begin(caller, from);
      check(*request, client_.send(scope, *request));
    }
  }

  void cancel_at_random(const std::stop_token& until) {
    random from(seed_);
    while (!until.stop_requested()) {
      std::this_thread::sleep_for(std::chrono::microseconds(pick(from, 100)));
      std::optional<canceler> one;
      {
        const std::lock_guard guard(mutex_);
        one = current_[pick(from, static_cast<unsigned>(current_.size()))];
      }
      if (one) one->cancel("at random");
    }
  }

  const std::size_t calls_;
  const std::uint64_t seed_;
  testing::http_server server_{routes(), http::server_options().threads(1)};
  http::client client_{http::client_options().max_connections_per_host(8).send_deadline(false)};
  std::atomic<std::size_t> made_ = 0;
  std::atomic<std::size_t> answered_ = 0;
  std::atomic<std::size_t> canceled_ = 0;
  std::mutex mutex_;
  std::vector<std::optional<canceler>> current_;  // guarded by mutex_; the call that each caller makes
};

}  // namespace curfew::tests
