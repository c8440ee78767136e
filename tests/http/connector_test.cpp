#include "http/client/connector.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <net/if.h>

#include <cstring>
#include <curfew/http/errc.hpp>
#include <filesystem>
#include <fstream>
#include <list>
#include <thread>
#include <vector>

#include "http/client_peer.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using namespace std::chrono_literals;
using boost::asio::ip::make_address;
using state = connector::state;

/// Any: an attempt's time is what advance() is told.
constexpr clock::time_point start(1h);

std::shared_ptr<const resolver::addresses> list(std::initializer_list<const char*> texts) {
  resolver::addresses made;
  for (const char* each : texts) made.push_back(make_address(each));
  return std::make_shared<const resolver::addresses>(std::move(made));
}

/// Waits for the sockets of what is pending, at that time.
state wait_at(connector& c, clock::time_point now) {
  for (;;) {
    if (const state is = c.advance(now); is != state::pending) return is;
    std::vector<pollfd> watched;
    for (const int fd : c.descriptors()) watched.push_back({.fd = fd, .events = POLLOUT, .revents = 0});
    if (poll(watched.data(), watched.size(), static_cast<int>(patience.count()) * 1000) == 0) {
      ADD_FAILURE() << "no end";
      return state::pending;
    }
  }
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

std::uint16_t port_of_peer(int socket) {
  sockaddr_in there{};
  socklen_t size = sizeof there;
  return getpeername(socket, reinterpret_cast<sockaddr*>(&there), &size) == 0 ? ntohs(there.sin_port)
                                                                              : std::uint16_t{0};
}

/// A listening socket of 127.0.0.1 whose connections nobody accepts: they are made all the same.
class listening {
 public:
  listening() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(socket_, generic, size) != 0 || listen(socket_, 4096) != 0 ||
        getsockname(socket_, generic, &size) != 0) {
      throw std::runtime_error("no listening socket");
    }
    port = ntohs(address.sin_port);
  }
  listening(const listening&) = delete;
  listening& operator=(const listening&) = delete;
  ~listening() { close(socket_); }

  std::uint16_t port = 0;

 private:
  int socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
};

TEST(Connector, GivesASocketThatIsReadyForUse) {
  peer server(answering(ok("here")));
  connector c(list({"127.0.0.1"}), server.port());
  ASSERT_EQ(wait_at(c, start), state::connected);
  EXPECT_EQ(c.next_at(), std::nullopt);
  const int socket = c.release();
  EXPECT_TRUE(c.descriptors().empty());
  EXPECT_EQ(port_of_peer(socket), server.port());
  EXPECT_NE(fcntl(socket, F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(socket, F_GETFD) & FD_CLOEXEC, 0);
  int nodelay = 0;
  socklen_t size = sizeof nodelay;
  getsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &nodelay, &size);
  EXPECT_NE(nodelay, 0);
  close(socket);
}

TEST(Connector, IsRefusedWhereNothingListens) {
  connector c(list({"127.0.0.1", "::1", "127.0.0.2"}), unused_port());
  ASSERT_EQ(wait_at(c, start), state::failed);
  EXPECT_EQ(c.failure(), errc::connection_refused);
  EXPECT_EQ(c.detail(), "");
  EXPECT_TRUE(c.descriptors().empty());
  EXPECT_EQ(c.next_at(), std::nullopt);
  EXPECT_EQ(c.advance(start + 1h), state::failed);
}

TEST(Connector, SaysWhyTheLastAttemptFailed) {
  connector c(list({"127.0.0.1", "ff02::1"}), unused_port());  // TCP does not go to a group
  ASSERT_EQ(wait_at(c, start), state::failed);
  EXPECT_EQ(c.failure(), errc::connection_refused);
  EXPECT_EQ(c.detail(), std::generic_category().message(ENETUNREACH));
}

TEST(Connector, GoesOnAtOnceWhereOneIsRefusedOrOutOfReach) {
  peer server(answering(ok("here")));
  connector c(list({"ff02::1", "127.0.0.2", "224.0.0.1", "127.0.0.1", "127.0.0.3"}), server.port());
  ASSERT_EQ(wait_at(c, start), state::connected);
  const int socket = c.release();
  EXPECT_EQ(port_of_peer(socket), server.port());
  close(socket);
}

TEST(Connector, TriesTheNextAddressWhileTheFirstDoesNotAnswer) {
  const listening server;
  const unanswering first(INADDR_LOOPBACK + 1, server.port);
  const std::size_t before = open_descriptors();
  connector c(list({"127.0.0.2", "127.0.0.1"}), server.port);
  ASSERT_EQ(c.advance(start), state::pending);
  ASSERT_EQ(c.descriptors().size(), 1U);
  EXPECT_EQ(c.fresh().size(), 1U);
  EXPECT_EQ(c.next_at(), start + 250ms);
  ASSERT_EQ(c.advance(start + 250ms - 1ns), state::pending);
  EXPECT_EQ(c.descriptors().size(), 1U);
  EXPECT_TRUE(c.fresh().empty());
  ASSERT_EQ(wait_at(c, start + 250ms), state::connected);
  EXPECT_EQ(c.descriptors().size(), 1U);
  const int socket = c.release();
  EXPECT_EQ(port_of_peer(socket), server.port);
  close(socket);
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Connector, BeginsEachAttemptAQuarterOfASecondAfterTheOneBefore) {
  const unanswering first;
  const unanswering second(INADDR_LOOPBACK + 1, first.number);
  const unanswering third(INADDR_LOOPBACK + 2, first.number);
  connector c(list({"127.0.0.1", "127.0.0.2", "127.0.0.3"}), first.number);
  ASSERT_EQ(c.advance(start), state::pending);
  // Late: what comes after counts from when the attempt began, not from when its time had come.
  ASSERT_EQ(c.advance(start + 400ms), state::pending);
  EXPECT_EQ(c.descriptors().size(), 2U);
  EXPECT_EQ(c.fresh().size(), 1U);
  EXPECT_EQ(c.fresh().front(), c.descriptors().back());
  EXPECT_EQ(c.next_at(), start + 650ms);
  ASSERT_EQ(c.advance(start + 650ms), state::pending);
  EXPECT_EQ(c.descriptors().size(), 3U);
  EXPECT_EQ(c.next_at(), std::nullopt);
  ASSERT_EQ(c.advance(start + 1h), state::pending);
  EXPECT_EQ(c.descriptors().size(), 3U);
}

TEST(Connector, DestroyedHalfWayLeavesNoDescriptor) {
  const unanswering first;
  const unanswering second(INADDR_LOOPBACK + 1, first.number);
  const std::size_t before = open_descriptors();
  {
    connector c(list({"127.0.0.1", "127.0.0.2"}), first.number);
    ASSERT_EQ(c.advance(start), state::pending);
    ASSERT_EQ(c.advance(start + 1s), state::pending);
    EXPECT_EQ(open_descriptors(), before + 2);
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Connector, DestroyedWithItsConnectionClosesIt) {
  peer server([](conversation& c) { EXPECT_TRUE(c.sees_close()); });
  connector c(list({"127.0.0.1"}), server.port());
  ASSERT_EQ(wait_at(c, start), state::connected);
}

TEST(Connector, ConnectsManyAtOnce) {
  const listening server;
  constexpr int count = 300;
  const std::size_t before = open_descriptors();
  {
    std::list<connector> all;
    for (int i = 0; i < count; ++i)
      all.emplace_back(list({"127.0.0.2", "127.0.0.1"}), server.port).advance(start);
    for (connector& each : all) EXPECT_EQ(wait_at(each, start), state::connected);
    EXPECT_EQ(open_descriptors(), before + count);
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Connector, ReportsThatTheProcessHasNoDescriptorLeft) {
  peer server(answering(ok("here")));
  connector c(list({"127.0.0.1", "::1"}), server.port());
  const int lowest_free = fcntl(0, F_DUPFD_CLOEXEC, 0);
  close(lowest_free);
  rlimit usual{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &usual), 0);
  const rlimit none{.rlim_cur = static_cast<rlim_t>(lowest_free), .rlim_max = usual.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const state is = c.advance(start);
  setrlimit(RLIMIT_NOFILE, &usual);
  ASSERT_EQ(is, state::failed);
  EXPECT_EQ(c.failure(), std::errc::too_many_files_open);
  EXPECT_EQ(c.detail(), "");
}

/// An edge-triggered set that enters what a connector begins, as its header says.
class edges {
 public:
  ~edges() { close(set_); }
  void enter(const connector& c) const {
    for (const int fd : c.fresh()) {
      epoll_event wanted{.events = EPOLLOUT | EPOLLET, .data = {.fd = fd}};
      EXPECT_EQ(epoll_ctl(set_, EPOLL_CTL_ADD, fd, &wanted), 0);
    }
  }
  void remove(int fd) const { EXPECT_EQ(epoll_ctl(set_, EPOLL_CTL_DEL, fd, nullptr), 0); }
  /// How many events come within the time.
  [[nodiscard]] int wait(std::chrono::milliseconds time = patience) const {
    std::array<epoll_event, 8> got;
    return epoll_wait(set_, got.data(), static_cast<int>(got.size()), static_cast<int>(time.count()));
  }

 private:
  int set_ = epoll_create1(EPOLL_CLOEXEC);
};

TEST(Connector, ItsConnectionTellsAnEdgeTriggeredSetThatItIsReady) {
  peer server(answering(ok("here")));
  connector c(list({"127.0.0.1"}), server.port());
  const edges set;
  do {
    c.advance(start);
    set.enter(c);
    EXPECT_EQ(set.wait(), 1);
  } while (c.advance(start) == state::pending);
  EXPECT_EQ(c.advance(start), state::connected);
}

TEST(Connector, TakesClosedSocketsOutOfTheSetThoughAChildProcessHasCopies) {
  const edges set;
  const unanswering first;
  const unanswering second(INADDR_LOOPBACK + 1, first.number);
  std::vector<int> copies;
  std::vector<int> closed;
  {
    connector c(list({"127.0.0.1", "127.0.0.2"}), first.number, [&](int fd) {
      closed.push_back(fd);
      set.remove(fd);
    });
    for (const auto at : {start, start + 1s}) {
      ASSERT_EQ(c.advance(at), state::pending);
      set.enter(c);
      copies.push_back(fcntl(c.fresh().front(), F_DUPFD_CLOEXEC, 0));
    }
    EXPECT_TRUE(closed.empty());
  }
  EXPECT_EQ(closed.size(), 2U);
  for (const int each : copies) shutdown(each, SHUT_RDWR);
  EXPECT_EQ(set.wait(0ms), 0);
  for (const int each : copies) close(each);
}

TEST(Connector, ClosesALoserWithAWordButNotTheWinner) {
  const listening server;
  const unanswering first(INADDR_LOOPBACK + 1, server.port);
  std::vector<int> closed;
  connector c(list({"127.0.0.2", "127.0.0.1"}), server.port, [&](int fd) { closed.push_back(fd); });
  ASSERT_EQ(c.advance(start), state::pending);
  const int loser = c.descriptors().front();
  ASSERT_EQ(wait_at(c, start + 1s), state::connected);
  close(c.release());
  EXPECT_EQ(closed, std::vector{loser});
}

// The kernel sends what the full queue has dropped again after a second: only so is a connection made and reset before
// advance() looks.
TEST(Connector, GivesAConnectionThatWasResetBeforeItLooked) {
  unanswering server;
  connector c(list({"127.0.0.1"}), server.number);
  const edges set;
  ASSERT_EQ(c.advance(start), state::pending);
  const linger now{.l_onoff = 1, .l_linger = 0};
  for (int i = 0; i < 2; ++i) {  // the one that fills the queue, and this
    const int accepted = accept(server.listener, nullptr, nullptr);
    setsockopt(accepted, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(accepted);
  }
  set.enter(c);
  EXPECT_EQ(set.wait(), 1);
  ASSERT_EQ(c.advance(start), state::connected);
  const int socket = c.release();
  char byte = 0;
  EXPECT_LE(recv(socket, &byte, 1, 0), 0);
  EXPECT_LT(send(socket, "x", 1, MSG_NOSIGNAL), 0);
  close(socket);
}

/// Runs `f` in a thread whose network is a loopback alone, with no other port for clients but `port`; false where the
/// system does not let it.
template <class F>
bool with_one_port(std::uint16_t port, F f) {
  bool ready = false;
  std::thread([&] {
    if (unshare(CLONE_NEWNET) != 0) return;
    ifreq loopback{};
    std::strcpy(loopback.ifr_name, "lo");
    loopback.ifr_flags = IFF_UP;
    const int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const bool up = ioctl(any, SIOCSIFFLAGS, &loopback) == 0;
    close(any);
    std::ofstream range("/proc/sys/net/ipv4/ip_local_port_range");
    range << port << ' ' << port << std::flush;
    ready = up && range.good();
    if (ready) f();
  }).join();
  return ready;
}

TEST(Connector, IsNotItsOwnPeer) {
  static constexpr std::uint16_t port = 40'000;
  // What a plain socket does.
  const bool permitted = with_one_port(port, [] {
    const int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    EXPECT_EQ(connect(plain, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(port_of_peer(plain), port);
    close(plain);
  });
  if (!permitted) GTEST_SKIP() << "a network of its own is for root";
  with_one_port(port, [] {
    connector c(list({"127.0.0.1"}), port);
    EXPECT_EQ(wait_at(c, start), state::failed);
    EXPECT_EQ(c.failure(), errc::connection_refused);
    EXPECT_EQ(c.detail(), "");
  });
}

}  // namespace
}  // namespace curfew::http
