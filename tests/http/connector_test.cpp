#include "http/client/connector.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <curfew/http/errc.hpp>
#include <vector>

#include "http/client_peer.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using boost::asio::ip::make_address;

std::shared_ptr<const resolver::addresses> list(std::initializer_list<const char*> texts) {
  resolver::addresses made;
  for (const char* each : texts) made.push_back(make_address(each));
  return std::make_shared<const resolver::addresses>(std::move(made));
}

/// Waits as an owner does, until it is not pending any more.
connector::state run(connector& c) {
  for (;;) {
    const auto now = clock::now();
    if (const auto state = c.advance(now); state != connector::state::pending) return state;
    std::vector<pollfd> watched;
    for (const int fd : c.descriptors()) watched.push_back({.fd = fd, .events = POLLOUT, .revents = 0});
    const auto until = c.next_at().value_or(now + patience);
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(until - now);
    if (poll(watched.data(), watched.size(), static_cast<int>(wait.count())) == 0 && !c.next_at()) {
      ADD_FAILURE() << "no end";
      return connector::state::pending;
    }
  }
}

TEST(Connector, GivesAConnectedSocket) {
  peer server(answering(ok("here")));
  connector c(list({"127.0.0.1"}), server.port());
  ASSERT_EQ(run(c), connector::state::connected);
  conversation with(c.release(), 1);
  EXPECT_TRUE(c.descriptors().empty());
  EXPECT_NE(fcntl(with.fd(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(with.fd(), F_GETFD) & FD_CLOEXEC, 0);
  int nodelay = 0;
  socklen_t size = sizeof nodelay;
  getsockopt(with.fd(), IPPROTO_TCP, TCP_NODELAY, &nodelay, &size);
  EXPECT_NE(nodelay, 0);
  close(with.fd());
}

TEST(Connector, IsRefusedWhereNothingListens) {
  connector c(list({"127.0.0.1", "::1"}), unused_port());
  ASSERT_EQ(run(c), connector::state::failed);
  EXPECT_EQ(c.failure(), errc::connection_refused);
  EXPECT_EQ(c.detail(), "");
  EXPECT_TRUE(c.descriptors().empty());
}

}  // namespace
}  // namespace curfew::http
