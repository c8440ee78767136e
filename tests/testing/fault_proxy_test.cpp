// Each fault, seen by a plain client and a plain server on both sides of the proxy.
#include <curfew/testing/fault_proxy.hpp>

#include <arpa/inet.h>
#include <dirent.h>
#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <future>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace curfew::testing {
namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

/// A blocking TCP socket. What takes longer than the proxy's patience throws.
class plain_socket {
 public:
  explicit plain_socket(int fd) : fd_(fd) {
    const int yes = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  }
  plain_socket(plain_socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  plain_socket& operator=(plain_socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~plain_socket() { close(); }

  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0) throw std::system_error(errno, std::generic_category(), "send");
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  /// What one read gives; "" at the end. A reset throws std::system_error.
  [[nodiscard]] std::string read_some() const {
    if (!readable(fault_proxy::patience)) throw std::runtime_error("nothing came");
    char bytes[16384];
    const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
    if (n < 0) throw std::system_error(errno, std::generic_category(), "recv");
    return {bytes, static_cast<std::size_t>(n)};
  }
  [[nodiscard]] std::string read_exactly(std::size_t size) const {
    std::string all;
    while (all.size() < size) {
      const auto more = read_some();
      if (more.empty()) break;
      all += more;
    }
    return all;
  }
  /// Everything up to the end; `reset` says which end it was.
  [[nodiscard]] std::string read_to_end(bool* reset = nullptr) const {
    std::string all;
    try {
      for (std::string more; !(more = read_some()).empty();) all += more;
    } catch (const std::system_error& e) {
      if (reset == nullptr || e.code() != std::errc::connection_reset) throw;
      *reset = true;
    }
    return all;
  }
  [[nodiscard]] bool readable(std::chrono::milliseconds limit) const {
    pollfd p{.fd = fd_, .events = POLLIN, .revents = 0};
    return ::poll(&p, 1, static_cast<int>(limit.count())) > 0;
  }
  /// Sends until no buffer on the way takes more; returns how much that was.
  [[nodiscard]] std::size_t fill() const {
    const std::string block(64 * 1024, 'x');
    std::size_t all = 0;
    pollfd p{.fd = fd_, .events = POLLOUT, .revents = 0};
    while (::poll(&p, 1, 200) > 0) {
      const ssize_t n = ::send(fd_, block.data(), block.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0) break;
      all += static_cast<std::size_t>(n);
    }
    return all;
  }
  /// Data segments that have come.
  [[nodiscard]] unsigned segments_in() const {
    tcp_info info{};
    socklen_t size = sizeof info;
    EXPECT_EQ(::getsockopt(fd_, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    return info.tcpi_data_segs_in;
  }
  [[nodiscard]] int fd() const { return fd_; }
  void half_close() const { ::shutdown(fd_, SHUT_WR); }
  void reset() {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

/// None where the connection is refused.
std::optional<plain_socket> try_connect(std::uint16_t port) {
  plain_socket made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto to = loopback(port);
  if (::connect(made.fd(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    EXPECT_EQ(errno, ECONNREFUSED);
    return std::nullopt;
  }
  return made;
}

class plain_listener {
 public:
  plain_listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    auto address = loopback(0);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(socket_.fd(), generic, size) != 0 || ::listen(socket_.fd(), 128) != 0 ||
        ::getsockname(socket_.fd(), generic, &size) != 0) {
      throw std::system_error(errno, std::generic_category(), "listen");
    }
    port_ = ntohs(address.sin_port);
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] plain_socket accept() const {
    if (!has_client(fault_proxy::patience)) throw std::runtime_error("no client came");
    return plain_socket(::accept4(socket_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  [[nodiscard]] bool has_client(std::chrono::milliseconds limit) const { return socket_.readable(limit); }

 private:
  plain_socket socket_;
  std::uint16_t port_ = 0;
};

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* dir = ::opendir("/proc/self/fd");
  while (::readdir(dir) != nullptr) ++count;
  ::closedir(dir);
  return count;
}

/// A client and a server with a proxy between them.
class FaultProxy : public ::testing::Test {
 protected:
  void begin(const fault_options& options = {}) {
    proxy.set(options);
    client = try_connect(proxy.port());
    ASSERT_TRUE(client);
    server = listener.accept();
  }

  plain_listener listener;
  fault_proxy proxy{listener.port()};
  std::optional<plain_socket> client;
  std::optional<plain_socket> server;
};

TEST_F(FaultProxy, PassesBothWaysAndCounts) {
  begin();
  client->send("question");
  EXPECT_EQ(server->read_exactly(8), "question");
  server->send("answer");
  EXPECT_EQ(client->read_exactly(6), "answer");
  EXPECT_EQ(proxy.accepted(), 1u);
  EXPECT_EQ(proxy.open(), 1u);
  EXPECT_EQ(proxy.bytes_to_server(), 8u);
  EXPECT_EQ(proxy.bytes_to_client(), 6u);
  EXPECT_TRUE(proxy.wait_accepted());
  EXPECT_TRUE(proxy.wait_bytes_to_server(8));
  EXPECT_TRUE(proxy.wait_bytes_to_client(6));
  EXPECT_FALSE(proxy.wait_accepted(2, 1ms));
  EXPECT_FALSE(proxy.wait_bytes_to_server(9, 1ms));
  EXPECT_FALSE(proxy.wait_bytes_to_client(7, 1ms));
  EXPECT_FALSE(proxy.wait_ended(1ms));
  EXPECT_EQ(proxy.address(), "127.0.0.1:" + std::to_string(proxy.port()));
}

TEST_F(FaultProxy, PassesMoreThanAllBuffersHold) {
  begin();
  const std::string much(20'000'000, 'x');
  auto sending = std::async(std::launch::async, [&] {
    server->send(much);
    server->half_close();
  });
  EXPECT_TRUE(client->read_to_end() == much);
  sending.get();
  EXPECT_EQ(proxy.bytes_to_client(), much.size());
}

TEST_F(FaultProxy, AHalfClosePassesBehindTheBytesAndLeavesTheOtherDirection) {
  begin(fault_options().to_server(faults().split(1)));
  client->send("last words");
  client->half_close();
  EXPECT_EQ(server->read_to_end(), "last words");
  server->send("still heard");
  EXPECT_EQ(client->read_exactly(11), "still heard");
  EXPECT_EQ(proxy.open(), 1u);
  server->close();
  EXPECT_EQ(client->read_to_end(), "");
  EXPECT_TRUE(proxy.wait_ended());
  EXPECT_EQ(proxy.accepted(), 1u);
}

TEST_F(FaultProxy, AResetPasses) {
  begin();
  client->reset();
  bool reset = false;
  EXPECT_EQ(server->read_to_end(&reset), "");
  EXPECT_TRUE(reset);
  EXPECT_TRUE(proxy.wait_ended());

  begin();
  server->reset();
  reset = false;
  EXPECT_EQ(client->read_to_end(&reset), "");
  EXPECT_TRUE(reset);
  EXPECT_TRUE(proxy.wait_ended());
}

TEST_F(FaultProxy, DelaysEachPiece) {
  begin(fault_options().to_client(faults().split(2).delay(20ms)));
  const auto before = steady::now();
  server->send("aabbcc");
  EXPECT_EQ(client->read_some(), "aa");
  EXPECT_GE(steady::now() - before, 20ms);
  EXPECT_EQ(client->read_exactly(4), "bbcc");
  EXPECT_GE(steady::now() - before, 60ms);
}

TEST_F(FaultProxy, SplitsIntoSegmentsOfOneByte) {
  begin(fault_options().to_client(faults().split(1)));
  const std::string all(300, 'x');
  server->send(all);
  EXPECT_EQ(client->read_exactly(all.size()), all);
  EXPECT_EQ(client->segments_in(), all.size());
}

TEST_F(FaultProxy, StopsAfterSomeBytesAndGoesOnWhenTheFaultGoes) {
  begin(fault_options().to_client(faults().stop_after(3)));
  server->send("abcdef");
  server->half_close();
  EXPECT_EQ(client->read_exactly(3), "abc");
  client->send("question");
  EXPECT_EQ(server->read_exactly(8), "question") << "the other direction passes";
  EXPECT_FALSE(client->readable(20ms));
  EXPECT_EQ(proxy.bytes_to_client(), 3u);
  proxy.set(fault_options());
  EXPECT_EQ(client->read_to_end(), "def");
}

TEST_F(FaultProxy, ABlackHoleHoldsBackTheSender) {
  begin(fault_options().to_server(faults().stop_after(0)));
  const std::size_t sent = client->fill();
  EXPECT_EQ(proxy.bytes_to_server(), 0u);
  client->half_close();
  EXPECT_FALSE(server->readable(20ms));
  proxy.set(fault_options());
  EXPECT_EQ(server->read_to_end().size(), sent);
}

TEST_F(FaultProxy, AConnectionWhoseEndsStayInABlackHoleHasEnded) {
  begin(fault_options().to_server(faults().stop_after(0)).to_client(faults().stop_after(0)));
  client->close();
  EXPECT_FALSE(server->readable(20ms));
  EXPECT_EQ(proxy.open(), 1u);
  server->close();
  EXPECT_TRUE(proxy.wait_ended());
}

TEST_F(FaultProxy, ClosesBothSidesAfterSomeBytes) {
  begin(fault_options().to_client(faults().close_after(4)));
  client->send("question");
  EXPECT_EQ(server->read_exactly(8), "question");
  server->send("abcdef");
  EXPECT_EQ(client->read_to_end(), "abcd");
  EXPECT_EQ(server->read_to_end(), "");
  client->send("thrown away");
  client->close();
  server->close();
  EXPECT_TRUE(proxy.wait_ended());
  EXPECT_EQ(proxy.bytes_to_server(), 8u);
}

TEST_F(FaultProxy, ResetsBothSidesAfterSomeBytes) {
  begin(fault_options().to_client(faults().reset_after(4)));
  server->send("abcdef");
  bool reset = false;
  EXPECT_EQ(client->read_to_end(&reset), "abcd");
  EXPECT_TRUE(reset);
  reset = false;
  EXPECT_EQ(server->read_to_end(&reset), "");
  EXPECT_TRUE(reset);
  EXPECT_TRUE(proxy.wait_ended());
}

TEST_F(FaultProxy, TheSmallestCountHolds) {
  begin(fault_options().to_client(faults().close_after(2).reset_after(4).stop_after(6)));
  server->send("abcdef");
  EXPECT_EQ(client->read_to_end(), "ab");
}

TEST_F(FaultProxy, ACountThatIsReachedActsAtOnce) {
  begin();
  server->send("abcdef");
  EXPECT_EQ(client->read_exactly(6), "abcdef");
  proxy.set(fault_options().to_client(faults().reset_after(2)));
  bool reset = false;
  EXPECT_EQ(client->read_to_end(&reset), "");
  EXPECT_TRUE(reset);
}

TEST_F(FaultProxy, ResetsRightAfterAccept) {
  proxy.set(fault_options().to_server(faults().reset_after(0)));
  client = try_connect(proxy.port());
  bool reset = false;
  EXPECT_EQ(client->read_to_end(&reset), "");
  EXPECT_TRUE(reset);
  EXPECT_TRUE(proxy.wait_ended());
}

TEST_F(FaultProxy, AcceptsAndSaysNothing) {
  proxy.set(fault_options().connects(proxy_connects::never));
  client = try_connect(proxy.port());
  client->send("hello?");
  EXPECT_TRUE(proxy.wait_bytes_to_server(6));
  EXPECT_FALSE(client->readable(20ms));
  EXPECT_FALSE(listener.has_client(0ms));
  client->half_close();
  EXPECT_EQ(client->read_to_end(), "");
  EXPECT_TRUE(proxy.wait_ended());
}

TEST_F(FaultProxy, ConnectsWithTheFirstByte) {
  proxy.set(fault_options().connects(proxy_connects::at_first_byte));
  client = try_connect(proxy.port());
  EXPECT_TRUE(proxy.wait_accepted());
  EXPECT_FALSE(listener.has_client(20ms));
  client->send("x");
  server = listener.accept();
  EXPECT_EQ(server->read_some(), "x");
  server->send("y");
  EXPECT_EQ(client->read_some(), "y");

  auto silent = try_connect(proxy.port());
  silent->close();
  client->close();
  server->close();
  EXPECT_TRUE(proxy.wait_accepted(2));
  EXPECT_TRUE(proxy.wait_ended());
}

TEST_F(FaultProxy, RefusesAndAcceptsAgain) {
  begin();
  proxy.refuse();
  proxy.refuse();
  EXPECT_FALSE(try_connect(proxy.port()));
  client->send("x");
  EXPECT_EQ(server->read_some(), "x") << "open connections go on";
  proxy.accept();
  proxy.accept();
  begin();
  client->send("y");
  EXPECT_EQ(server->read_some(), "y");
  EXPECT_EQ(proxy.accepted(), 2u);
}

TEST(FaultProxyServer, ThatRefusesReadsAsAReset) {
  std::uint16_t unused = 0;
  {
    const plain_listener gone;
    unused = gone.port();
  }
  const fault_proxy proxy(unused);
  const auto client = try_connect(proxy.port());
  bool reset = false;
  EXPECT_EQ(client->read_to_end(&reset), "");
  EXPECT_TRUE(reset);
}

TEST(FaultProxyEnd, ResetsWhatIsOpenAndLeavesNothing) {
  const auto before = open_descriptors();
  {
    const plain_listener listener;
    std::optional<fault_proxy> proxy(std::in_place, listener.port());
    const auto client = try_connect(proxy->port());
    const auto server = listener.accept();
    proxy.reset();
    bool reset = false;
    EXPECT_EQ(client->read_to_end(&reset), "");
    EXPECT_TRUE(std::exchange(reset, false));
    EXPECT_EQ(server.read_to_end(&reset), "");
    EXPECT_TRUE(reset);
  }
  EXPECT_EQ(open_descriptors(), before);
}

// Hunts: set() while the thread moves bytes. No byte is lost, doubled or out of order, however they are cut.
TEST_F(FaultProxy, FaultsMayChangeWhileBytesPass) {
  begin(fault_options().to_client(faults().split(1000).delay(50us)));
  std::string all;
  for (unsigned i = 0; all.size() < 400'000; ++i) all += std::to_string(i) + ' ';
  auto sending = std::async(std::launch::async, [&] {
    server->send(all);
    server->half_close();
  });
  auto changing = std::async(std::launch::async, [&] {
    for (std::size_t i = 1; proxy.bytes_to_client() < all.size(); ++i) {
      auto next = faults().split(i % 3 * 1000 + 100).delay(i % 5 * 25us);
      if (i % 7 == 0) next.stop_after(proxy.bytes_to_client() + 1);
      proxy.set(fault_options().to_client(next));
      std::this_thread::yield();
    }
  });
  EXPECT_TRUE(client->read_to_end() == all);
  sending.get();
  changing.get();
}

}  // namespace
}  // namespace curfew::testing
