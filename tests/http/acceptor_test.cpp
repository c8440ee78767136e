#include "http/server/acceptor.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/testing.hpp>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "http/raw_client.hpp"
#include "http/server/connection.hpp"
#include "http/server/server_state.hpp"
#include "http/waiting.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using curfew::testing::http_server;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using tests::event;
using tests::raw_client;

struct open_door {
  result<> open(const std::string& address) {
    return door.open(server_options().listen(address).listeners());
  }

  server_state state{router(), server_options()};
  acceptor door{state};
};

bool is_refused(std::uint16_t port) {
  try {
    const raw_client made(port);
    return false;
  } catch (const std::system_error& e) {
    return e.code() == std::errc::connection_refused;
  }
}

TEST(Acceptor, TakesAFreePortAndNamesIt) {
  open_door v4;
  EXPECT_EQ(v4.door.port(), 0);
  EXPECT_EQ(v4.door.url(), "");
  ASSERT_TRUE(v4.open("localhost:0"));
  EXPECT_EQ(v4.door.url(), "http://127.0.0.1:" + std::to_string(v4.door.port()));
  open_door all;
  ASSERT_TRUE(all.open("0.0.0.0:0"));
  EXPECT_THAT(all.door.url(), StartsWith("http://127.0.0.1:")) << "an address that a client can use";
}

TEST(Acceptor, RefusesWhatIsNoAddress) {
  for (const auto* bad : {"", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
                          "127.0.0.1:80x", "::1:80", "[127.0.0.1]:80", "example.org:80"}) {
    open_door d;
    const auto up = d.open(bad);
    ASSERT_FALSE(up) << bad;
    EXPECT_EQ(up.error(), errc::bad_address) << bad;
    EXPECT_EQ(d.door.port(), 0);
  }
}

TEST(Acceptor, SaysWhatToDoAboutAPortThatIsTaken) {
  open_door first;
  ASSERT_TRUE(first.open("127.0.0.1:0"));
  open_door second;
  const auto up = second.open("127.0.0.1:" + std::to_string(first.door.port()));
  ASSERT_FALSE(up);
  EXPECT_EQ(up.error().code(), std::errc::address_in_use);
  EXPECT_THAT(up.error().message(), HasSubstr("another program listens there"));
}

TEST(Acceptor, TakesAllAddressesOrNone) {
  open_door first;
  ASSERT_TRUE(first.open("127.0.0.1:0"));
  const auto taken = first.door.addresses().front();
  open_door second;
  EXPECT_EQ(
      second.door.open(server_options().listen("unix:@curfew-all-or-none").also_listen(taken).listeners())
          .error(),
      std::errc::address_in_use);
  EXPECT_FALSE(second.door.is_open());
  open_door third;
  EXPECT_TRUE(third.open("unix:@curfew-all-or-none")) << "the second has let go of it";
}

TEST(Acceptor, HandsConnectionsToTheWorkersInTurn) {
  open_door d;
  ASSERT_TRUE(d.open("127.0.0.1:0"));
  std::vector<std::unique_ptr<worker>> workers;
  for (int i = 0; i < 3; ++i) workers.push_back(std::make_unique<worker>(d.state));
  for (auto& w : workers) w->start();
  d.door.start(workers);
  std::vector<raw_client> clients;
  for (int i = 0; i < 6; ++i) {
    clients.emplace_back(d.door.port());
    EXPECT_EQ(clients.back().get("/").status, 404);
  }
  EXPECT_EQ(d.state.open.load(), 6U);
  d.door.stop();
  EXPECT_TRUE(is_refused(d.door.port()));
  EXPECT_EQ(clients.front().get("/").status, 404) << "connections outlive the listening socket";
  clients.clear();
  ASSERT_TRUE(tests::eventually([&] { return d.state.open.load() == 0; }));
  for (auto& w : workers) w->stop();
  for (auto& w : workers) w->join();
}

/// While it lives the process can open no descriptor.
class shortage {
 public:
  shortage() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = std::min<rlim_t>(before_.rlim_cur, 256);
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  shortage(const shortage&) = delete;
  shortage& operator=(const shortage&) = delete;
  ~shortage() {
    for (const int fd : taken_) ::close(fd);
    ::setrlimit(RLIMIT_NOFILE, &before_);
  }
  void take_all() {
    for (;;) {
      const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
      if (fd < 0) return;
      taken_.push_back(fd);
    }
  }

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

TEST(Acceptor, PausesDuringAShortageOfDescriptors) {
  open_door d;
  ASSERT_TRUE(d.open("127.0.0.1:0"));
  std::vector<std::unique_ptr<worker>> workers;
  workers.push_back(std::make_unique<worker>(d.state));
  workers.front()->start();
  d.door.start(workers);
  {
    raw_client before(d.door.port());
    EXPECT_EQ(before.get("/").status, 404);
    // Where the undefined-behaviour sanitizer looks at the type of the tick for the first time, it makes a pipe.
    event ticked;
    asio::post(workers.front()->io(), [&] {
      workers.front()->events().each_tick([&](clock::time_point) {
        ticked.set();
        return false;
      });
    });
    ASSERT_TRUE(ticked.wait());
    std::optional<raw_client> waits;
    {
      shortage none_left;
      const int mine = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      none_left.take_all();
      ::close(mine);  // one is left, for the client
      waits.emplace(d.door.port());
      // Paused: the socket is out of the epoll set, so the loop does not spin.
      ASSERT_TRUE(tests::eventually([&] { return d.state.wants_room.load(); }));
      EXPECT_EQ(before.get("/").status, 404) << "the connections that are open are served";
    }
    EXPECT_EQ(waits->get("/").status, 404) << "it waited in the kernel's queue";
    EXPECT_TRUE(tests::eventually([&] { return !d.state.wants_room.load(); }));
  }
  d.door.stop();
  ASSERT_TRUE(tests::eventually([&] { return d.state.open.load() == 0; }));
  workers.front()->stop();
  workers.front()->join();
}

TEST(Acceptor, StopFreesTheAddressAtOnce) {
  open_door d;
  ASSERT_TRUE(d.open("127.0.0.1:0"));
  d.door.stop();
  d.door.stop();
  open_door next;
  EXPECT_TRUE(next.open("127.0.0.1:" + std::to_string(d.door.port())));
}

TEST(Acceptor, TheAddressIsFreeWhenServeReturnsHoweverBusyTheThreadIs) {
  event started;
  event go;
  router routes;
  routes.get("/blocks", [&](context, const request&) -> asio::awaitable<response> {
    started.set();
    go.wait();  // in the thread that accepts
    co_return text(status::ok, "x");
  });
  http_server s(routes, server_options().grace(clock::duration::zero()));
  raw_client client(s.port());
  client.send("GET /blocks HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(started.wait());
  EXPECT_EQ(s.stop().stuck.size(), 1U);
  server next(router(), server_options().listen("127.0.0.1:" + std::to_string(s.port())));
  const auto up = next.listen();
  EXPECT_TRUE(up) << up.error();
  go.set();
}

}  // namespace
}  // namespace curfew::http
