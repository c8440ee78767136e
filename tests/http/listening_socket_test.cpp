#include "http/server/listening_socket.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "http/raw_client.hpp"
#include "http/server/acceptor.hpp"
#include "http/server/server_state.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using tests::raw_client;

/// A directory of its own for a test.
class directory {
 public:
  directory() {
    std::string name = (fs::temp_directory_path() / "curfew-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  directory(const directory&) = delete;
  directory& operator=(const directory&) = delete;
  ~directory() { fs::remove_all(path_); }

  [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

result<std::vector<listening_socket>> open(const std::string& address, const listen_options& how = {}) {
  return listening_socket::open(server_options().listen(address, how).listeners().front());
}

std::string message_of(const std::string& address) {
  const auto opened = open(address);
  return opened ? "it listens" : opened.error().message();
}

unsigned mode_of(const std::string& path) {
  struct stat what{};
  return ::stat(path.c_str(), &what) == 0 ? what.st_mode & 0777U : 0;
}

/// The file of a server that died: bound, and nothing listens any more.
void leave_dead_socket(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
  ::close(fd);
}

router who_asks() {
  router routes;
  routes.get("/", [](context, const request& r) -> asio::awaitable<response> {
    co_return text(status::ok, r.remote());
  });
  return routes;
}

TEST(ListenOptions, TheFirstAddressReplacesTheDefaultAndTheOthersAreBesideIt) {
  server_options o;
  EXPECT_EQ(o.listen(), "127.0.0.1:0");
  o.also_listen("unix:a");
  EXPECT_EQ(o.listen(), "unix:a");
  o.also_listen("unix:b");
  EXPECT_EQ(o.listeners().size(), 2U);
  o.listen("unix:c");
  EXPECT_EQ(o.listeners().size(), 1U);
  EXPECT_EQ(o.listen(), "unix:c");
}

TEST(ListeningSocket, AServerListensOnAllOfThem) {
  const directory dir;
  server_options options;
  options.listen("127.0.0.1:0")
      .also_listen("[::1]:0")
      .also_listen("unix:" + dir / "s")
      .also_listen("unix:@curfew-" + dir / "s");
  server served(who_asks(), options);
  ASSERT_TRUE(served.listen());
  const auto names = served.addresses();
  EXPECT_EQ(served.url(), "http://" + names.front());
  EXPECT_THAT(names, ElementsAre("127.0.0.1:" + std::to_string(served.port()), HasSubstr("[::1]:"),
                                 "unix:" + dir / "s", "unix:@curfew-" + dir / "s"));
  const auto v6_port = static_cast<std::uint16_t>(std::stoi(names[1].substr(names[1].rfind(':') + 1)));
  cancel_scope until = with_cancel(background());
  std::thread serving([&] { EXPECT_TRUE(served.serve(until)); });
  EXPECT_THAT(raw_client(served.port()).get("/").body, HasSubstr("127.0.0.1:"));
  EXPECT_THAT(raw_client::v6(v6_port).get("/").body, HasSubstr("[::1]:"));
  EXPECT_EQ(raw_client::local(dir / "s").get("/").body, "unix:");
  EXPECT_EQ(raw_client::local("@curfew-" + dir / "s").get("/").body, "unix:");
  until.cancel();
  serving.join();
  EXPECT_FALSE(fs::exists(dir / "s"));
  for (const auto& name : names) EXPECT_EQ(message_of(name), "it listens") << "it is free";
}

TEST(ListeningSocket, AllInterfacesOfBothFamiliesLiveSideBySide) {
  const auto v4 = open("0.0.0.0:0");
  ASSERT_TRUE(v4);
  const auto v6 = open("[::]:" + std::to_string(v4->front().port()));
  ASSERT_TRUE(v6) << v6.error();
  EXPECT_EQ(v6->front().port(), v4->front().port());
  EXPECT_THAT(v6->front().url(), HasSubstr("http://[::1]:"));
}

TEST(ListeningSocket, ReplacesTheFileOfADeadServer) {
  const directory dir;
  leave_dead_socket(dir / "s");
  const auto opened = open("unix:" + dir / "s");
  ASSERT_TRUE(opened) << opened.error();
  EXPECT_NO_THROW(raw_client::local(dir / "s"));
}

TEST(ListeningSocket, LeavesTheFileOfALivingServer) {
  const directory dir;
  const auto first = open("unix:" + dir / "s");
  ASSERT_TRUE(first);
  const auto second = open("unix:" + dir / "s");
  EXPECT_EQ(second.error(), std::errc::address_in_use);
  EXPECT_THAT(second.error().message(),
              HasSubstr("listening on unix:" + dir / "s" + " (another program listens there"));
  EXPECT_NO_THROW(raw_client::local(dir / "s"));
}

TEST(ListeningSocket, LeavesAFileThatIsNoSocket) {
  const directory dir;
  std::ofstream(dir / "s") << "precious";
  const auto opened = open("unix:" + dir / "s");
  EXPECT_EQ(opened.error(), std::errc::address_in_use);
  EXPECT_THAT(opened.error().message(), HasSubstr("a file that is no socket is there"));
  EXPECT_EQ(fs::file_size(dir / "s"), 8U);
}

TEST(ListeningSocket, LeavesTheFileOfASuccessor) {
  const directory dir;
  auto first = open("unix:" + dir / "s");
  ASSERT_TRUE(first);
  fs::remove(dir / "s");
  const auto second = open("unix:" + dir / "s");
  ASSERT_TRUE(second);
  first->front().close();
  EXPECT_NO_THROW(raw_client::local(dir / "s"));
}

TEST(ListeningSocket, HasThePermissionsThatItIsToHave) {
  const directory dir;
  const auto before = ::umask(0077);
  const auto made = open("unix:" + dir / "s", listen_options().permissions(0666));
  const auto by_umask = open("unix:" + dir / "t");
  ::umask(before);
  EXPECT_TRUE(made);
  EXPECT_EQ(mode_of(dir / "s"), 0666U);
  EXPECT_TRUE(by_umask);
  EXPECT_EQ(mode_of(dir / "t"), 0700U);
}

// Hunts: a server that is between bind and listen is taken for a dead one by a second, which removes its file.
TEST(ListeningSocket, OfServersThatStartAtOnceOneGetsThePath) {
  const directory dir;
  for (int round = 0; round < 20; ++round) {
    leave_dead_socket(dir / "s");
    std::vector<std::thread> starting;
    std::array<std::optional<result<std::vector<listening_socket>>>, 4> made;
    std::atomic<int> up{0};
    for (auto& one : made) {
      starting.emplace_back([&] {
        one.emplace(open("unix:" + dir / "s"));
        if (*one) ++up;
      });
    }
    for (auto& s : starting) s.join();
    EXPECT_EQ(up, 1);
    EXPECT_NO_THROW(raw_client::local(dir / "s"));
  }
}

TEST(ListeningSocket, DoesWithoutTheLockThatAnotherProgramHolds) {
  const directory dir;
  const int held = ::open((dir / ".").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(::flock(held, LOCK_EX), 0);
  EXPECT_TRUE(open("unix:" + dir / "s"));
  ::close(held);
}

TEST(ListeningSocket, StopsInItsDirectoryWhereverTheProgramHasGone) {
  const directory dir;
  const auto before = fs::current_path();
  fs::current_path(dir / ".");
  auto opened = open("unix:s");
  fs::current_path(before);
  ASSERT_TRUE(opened) << opened.error();
  EXPECT_TRUE(fs::exists(dir / "s"));
  opened->front().close();
  EXPECT_FALSE(fs::exists(dir / "s"));
}

/// An option of a connection that came to it.
int accepted_option(const listening_socket& at, int level, int name) {
  const raw_client client(at.port());
  pollfd ready{at.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&ready, 1, 20'000), 1);
  const int made = ::accept(at.get(), nullptr, nullptr);
  int value = -1;
  socklen_t size = sizeof value;
  ::getsockopt(made, level, name, &value, &size);
  ::close(made);
  return value;
}

TEST(ListeningSocket, ItsConnectionsEndIfTheOtherEndIsSilent) {
  const auto opened = open("127.0.0.1:0");
  ASSERT_TRUE(opened);
  const auto& s = opened->front();
  s.ends_silent_after(clock::duration::max());
  EXPECT_EQ(accepted_option(s, SOL_SOCKET, SO_KEEPALIVE), 0);
  s.ends_silent_after(60s);
  EXPECT_EQ(accepted_option(s, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(accepted_option(s, IPPROTO_TCP, TCP_KEEPIDLE), 30);
  EXPECT_EQ(accepted_option(s, IPPROTO_TCP, TCP_KEEPINTVL), 10);
  EXPECT_EQ(accepted_option(s, IPPROTO_TCP, TCP_KEEPCNT), 3);
  EXPECT_EQ(accepted_option(s, IPPROTO_TCP, TCP_USER_TIMEOUT), 60'000);
  s.ends_silent_after(1ms);
  EXPECT_EQ(accepted_option(s, IPPROTO_TCP, TCP_KEEPIDLE), 1);
  EXPECT_EQ(accepted_option(s, IPPROTO_TCP, TCP_USER_TIMEOUT), 1);
  s.ends_silent_after(24h * 365);
  EXPECT_EQ(accepted_option(s, IPPROTO_TCP, TCP_KEEPIDLE), 32767);
}

TEST(ListeningSocket, OfAServerItHasTheTimeOfTheOptions) {
  server_state state(router(), server_options().silent_peer_timeout(20s));
  acceptor door(state);
  ASSERT_TRUE(door.open(state.settings.listeners()));
  // Found by its address: no interface names the descriptor.
  int timeout = 0;
  for (int fd = 0; fd < 1024 && timeout == 0; ++fd) {
    sockaddr_in name{};
    socklen_t size = sizeof name;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) continue;
    if (name.sin_family != AF_INET || ntohs(name.sin_port) != door.port()) continue;
    size = sizeof timeout;
    ::getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, &size);
  }
  EXPECT_EQ(timeout, 20'000);
}

TEST(ListeningSocket, SaysWhatToDoAboutABadAddress) {
  const directory dir;
  EXPECT_THAT(message_of("8080"), HasSubstr("listening on \"8080\" (write it as 127.0.0.1:8080"));
  EXPECT_THAT(message_of("unix:"), HasSubstr("write it as unix:/run/app.sock"));
  EXPECT_THAT(message_of("unix:@"), HasSubstr("write it as unix:/run/app.sock"));
  EXPECT_THAT(message_of("unix:" + std::string(108, 'x')),
              HasSubstr("has 108 bytes, and a Unix socket's at most 107"));
  EXPECT_THAT(message_of("unix:@" + std::string(108, 'x')), HasSubstr("at most 108"));
  EXPECT_EQ(message_of("unix:@" + std::string(107, 'x')), "it listens");
  EXPECT_THAT(message_of("unix:" + dir / "no/s"), HasSubstr("the directory does not exist: make it"));
  std::ofstream(dir / "file") << "x";
  EXPECT_THAT(message_of("unix:" + dir / "file/s"), HasSubstr("a part of the path is no directory"));
  EXPECT_THAT(message_of("192.0.2.1:0"), HasSubstr("this machine does not have that address"));
  EXPECT_THAT(message_of("systemd"), HasSubstr("systemd passed no socket"));
  const auto held = open("unix:@curfew-" + dir / "s");
  EXPECT_THAT(message_of("unix:@curfew-" + dir / "s"), HasSubstr("another program listens there"));
}

}  // namespace
}  // namespace curfew::http
