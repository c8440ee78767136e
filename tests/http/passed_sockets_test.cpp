#include "http/server/passed_sockets.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <curfew/http/errc.hpp>
#include <string>
#include <vector>

#include "http/server/listening_socket.hpp"

namespace curfew::http {
namespace {

using ::testing::HasSubstr;

int listening() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ::listen(fd, 1);
  return fd;
}

/// Sockets as systemd passes them, from a descriptor on that nothing else uses.
class passed {
 public:
  explicit passed(const std::vector<int>& sockets, const char* names = nullptr) {
    for (std::size_t i = 0; i < sockets.size(); ++i) {
      ::dup2(sockets[i], first + static_cast<int>(i));  // without FD_CLOEXEC
      ::close(sockets[i]);
    }
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDS", std::to_string(sockets.size()).c_str(), 1);
    if (names != nullptr) ::setenv("LISTEN_FDNAMES", names, 1);
  }
  passed(const passed&) = delete;
  passed& operator=(const passed&) = delete;
  ~passed() {
    for (const auto* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
  }

  static constexpr int first = 700;
  passed_sockets all{first};
};

TEST(PassedSockets, AreTakenOnceAndTheEnvironmentTellsOfThemNoMore) {
  passed p({listening(), listening()});
  {
    const auto taken = p.all.take("");
    ASSERT_TRUE(taken) << taken.error();
    ASSERT_EQ(taken->size(), 2U);
    EXPECT_EQ(taken->front().get(), passed::first);
    for (const auto& one : *taken) {
      EXPECT_NE(::fcntl(one.get(), F_GETFD) & FD_CLOEXEC, 0);
      EXPECT_NE(::fcntl(one.get(), F_GETFL) & O_NONBLOCK, 0);
    }
  }
  for (const auto* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})
    EXPECT_EQ(std::getenv(name), nullptr);
  const auto again = p.all.take("");
  EXPECT_EQ(again.error(), errc::bad_address);
  EXPECT_THAT(again.error().message(), HasSubstr("taken it already"));
}

TEST(PassedSockets, AreChosenByName) {
  passed p({listening(), listening(), listening()}, "web:admin:web");
  EXPECT_EQ(p.all.take("web")->size(), 2U);
  EXPECT_EQ(p.all.take("admin")->front().get(), passed::first + 1);
  EXPECT_THAT(p.all.take("none").error().message(), HasSubstr("systemd passed \"web\", \"admin\", \"web\""));
  EXPECT_THAT(p.all.take("web").error().message(), HasSubstr("taken it already"));
}

TEST(PassedSockets, SayWhatIsMissing) {
  passed_sockets none(passed::first);
  EXPECT_EQ(none.take("").error(), errc::bad_address);
  EXPECT_THAT(
      none.take("web").error().message(),
      HasSubstr("listening on systemd:web (systemd passed no socket: start the program by its .socket unit"));
}

TEST(PassedSockets, OfAnotherProcessAreNotTaken) {
  const passed p({listening()});
  ::setenv("LISTEN_PID", "1", 1);
  passed_sockets all(passed::first);
  EXPECT_THAT(all.take("").error().message(),
              HasSubstr("systemd passed its sockets to process 1, and this is "));
  EXPECT_NE(::fcntl(passed::first, F_GETFD), -1) << "it is not ours to close";
  ::close(passed::first);
}

TEST(PassedSockets, HaveToBeThereAndToListen) {
  for (const auto* count : {"0", "-1", "x", "1x", ""}) {
    const passed p({});
    ::setenv("LISTEN_FDS", count, 1);
    passed_sockets all(passed::first);
    EXPECT_THAT(all.take("").error().message(), HasSubstr("is no number of sockets")) << count;
  }
  {
    passed p({});
    ::setenv("LISTEN_FDS", "1", 1);
    EXPECT_THAT(p.all.take("").error().message(),
                HasSubstr("descriptor 700, which LISTEN_FDS counts, is not open"));
  }
  passed p(
      {::socket(AF_INET, SOCK_DGRAM, 0), ::socket(AF_INET, SOCK_STREAM, 0), ::open("/dev/null", O_RDONLY)},
      "dns:accepts:null");
  EXPECT_THAT(p.all.take("dns").error().message(),
              HasSubstr("\"dns\" that systemd passed is no stream socket"));
  EXPECT_THAT(p.all.take("accepts").error().message(),
              HasSubstr("does not listen: its unit needs Accept=no"));
  EXPECT_THAT(p.all.take("null").error().message(), HasSubstr("is no stream socket"));
}

TEST(PassedSockets, AreListenedOnAndStayWithSystemd) {
  const int mine = listening();
  const int its = ::fcntl(mine, F_DUPFD_CLOEXEC, 0);
  passed p({mine}, "web");
  auto opened = listening_socket::open(server_options().listen("systemd:web").listeners().front(), p.all);
  ASSERT_TRUE(opened) << opened.error();
  ASSERT_EQ(opened->size(), 1U);
  EXPECT_NE(opened->front().port(), 0);
  EXPECT_EQ(opened->front().url(), "http://127.0.0.1:" + std::to_string(opened->front().port()));
  opened->front().close();
  int listens = 0;
  socklen_t size = sizeof listens;
  ::getsockopt(its, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
  EXPECT_EQ(listens, 1) << "clients wait there for the next server";
  ::close(its);
}

}  // namespace
}  // namespace curfew::http
