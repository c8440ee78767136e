// Servers that stop and start again on the same addresses while clients connect without a pause.
// Hunts: a connection that was accepted while the shutdown began, before the thread that it goes to has adopted it, and
// then is neither served nor closed; a request that was handled and whose answer got lost; an address that is not free
// when the shutdown has returned; a descriptor that is left over. CURFEW_CONNECTIONS=100000 makes it long.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/http/server.hpp>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "http/raw_client.hpp"
#include "http/waiting.hpp"
#include "race.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using tests::raw_client;

/// A server that serves until it is told not to.
class running_server {
 public:
  running_server(const router& routes, const server_options& options) : server_(routes, options) {}
  running_server(const running_server&) = delete;
  running_server& operator=(const running_server&) = delete;
  ~running_server() { stop(); }

  result<> start() {
    if (auto up = server_.listen(); !up) return up;
    thread_ = std::thread([this] { report_ = server_.serve(until_); });
    return {};
  }
  /// On return its addresses are free.
  void stop() {
    if (!thread_.joinable()) return;
    until_.cancel();
    thread_.join();
    ASSERT_TRUE(report_ && *report_);
    EXPECT_EQ((*report_)->ended + (*report_)->stuck.size(), 0U);
  }

 private:
  server server_;
  cancel_scope until_ = with_cancel(background());
  std::optional<result<shutdown_report>> report_;
  std::thread thread_;
};

struct tally {
  std::atomic<std::size_t> connected{0};
  std::atomic<std::size_t> answered{0};
  std::atomic<std::size_t> turned_away{0};  // closed or reset before the first byte of an answer
  std::atomic<std::size_t> refused{0};
  std::atomic<std::size_t> handled{0};
  std::atomic<bool> over{false};
};

/// Connects, asks and leaves, until it is over. Every connection is answered in full, or ends before
/// the first byte of an answer.
void connect_without_pause(std::uint16_t port, const std::string& path, unsigned seed, tally& all) {
  std::minstd_rand random(seed);
  while (!all.over) {
    std::optional<raw_client> client;
    try {
      client.emplace(random() % 4 == 0 ? raw_client::local(path) : raw_client(port));
    } catch (const std::system_error& e) {
      // As long as no server has begun; the file of a Unix socket is there only while one listens.
      EXPECT_TRUE(e.code() == std::errc::connection_refused ||
                  e.code() == std::errc::no_such_file_or_directory || e.code() == std::errc::connection_reset)
          << e.what();
      ++all.refused;
      std::this_thread::yield();
      continue;
    }
    ++all.connected;
    const std::string id = std::to_string(random());
    client->try_send("GET /" + id + " HTTP/1.1\r\nHost: t\r\n\r\n");
    std::string got;
    try {
      got = client->read_until("\r\n\r\n");
    } catch (const std::system_error& e) {
      EXPECT_EQ(e.code(), std::errc::connection_reset) << e.what();
      ++all.turned_away;
      continue;
    } catch (const std::exception& e) {
      // "nothing came" would be a connection that got lost.
      EXPECT_STREQ(e.what(), "connection ended after \"\"");
      ++all.turned_away;
      continue;
    }
    EXPECT_TRUE(got.starts_with("HTTP/1.1 200 OK\r\n")) << got;
    try {
      EXPECT_EQ(client->read_exactly(id.size()), id);
      ++all.answered;
    } catch (const std::exception& e) {
      ADD_FAILURE() << "an answer was cut off: " << e.what();
    }
    client->reset();  // leaves no port in TIME_WAIT
  }
}

TEST(HttpServerStress, AShutdownLosesNoConnectionAndFreesItsAddresses) {
  const auto seed = static_cast<unsigned>(testing::announce_seed("shutdown against accepting"));
  const char* given = std::getenv("CURFEW_CONNECTIONS");
  const std::size_t connections = given != nullptr ? std::stoul(given) : 10'000;
  std::minstd_rand random(seed);
  tally all;
  router routes;
  routes.get("/{id}", [&all](context, const request& r) -> asio::awaitable<response> {
    ++all.handled;
    co_return text(status::ok, std::string(r.param("id")));
  });
  const auto before = tests::open_descriptors();
  std::size_t servers = 0;
  {
    const std::string path =
        (std::filesystem::temp_directory_path() / ("curfew-shutdown-" + std::to_string(::getpid()))).string();
    // Below the ports that the kernel chooses for clients: one of those may be taken while no server listens.
    std::uint16_t port = 0;
    std::unique_ptr<running_server> now;
    const auto start = [&] {
      server_options options;
      options.threads(2).grace(10s).listen("127.0.0.1:" + std::to_string(port)).also_listen("unix:" + path);
      now = std::make_unique<running_server>(routes, options);
      return now->start();
    };
    for (int tries = 0; tries < 100 && !now; ++tries) {
      port = static_cast<std::uint16_t>(20'000 + random() % 10'000);
      if (!start()) now.reset();
    }
    ASSERT_TRUE(now);
    std::vector<std::jthread> clients;
    for (unsigned i = 0; i < 4; ++i) {
      clients.emplace_back([&, i] { connect_without_pause(port, path, seed + i, all); });
    }
    while (all.connected < connections) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 5000));
      now->stop();
      // The server that has stopped is still there: its addresses are free nevertheless.
      const auto last = std::move(now);
      const auto up = start();
      EXPECT_TRUE(up) << up.error();
      if (!up) break;
      ++servers;
    }
    all.over = true;
    clients.clear();
  }
  std::cout << all.connected << " connections to " << servers << " servers: " << all.answered << " answered, "
            << all.turned_away << " turned away; " << all.refused << " refused\n";
  EXPECT_EQ(all.answered + all.turned_away, all.connected);
  EXPECT_EQ(all.handled, all.answered) << "what is handled is answered";
  EXPECT_GT(all.answered, 0U);
  EXPECT_EQ(tests::open_descriptors(), before);
}

}  // namespace
}  // namespace curfew::http
