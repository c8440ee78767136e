// How long each phase of a call took.
#include <curfew/http/timings.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <thread>

#include "http/client_peer.hpp"
#include "http/waiting.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using namespace std::chrono_literals;

TEST(Timings, SayWhereACallSpentItsTime) {
  tests::event has_head;
  peer server([&](conversation& c) {
    while (!c.read_request().empty()) {
      std::this_thread::sleep_for(20ms);
      if (!c.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")) return;
      EXPECT_TRUE(has_head.wait());
      std::this_thread::sleep_for(20ms);
      if (!c.write("ok")) return;
    }
  });
  client sender(client_options().on_response([&](const incoming_response&) -> std::error_code {
    has_head.set();
    return {};
  }));
  const auto begun = clock::now();
  const auto first = sender.send(background(), get_of(server.url()));
  const auto took = clock::now() - begun;
  ASSERT_TRUE(first) << first.error();
  const timings& of_first = first->timings();
  EXPECT_GE(of_first.sending + of_first.waiting,
            20ms);  // the server may have read what the client was still sending
  EXPECT_GE(of_first.reading, 20ms);
  EXPECT_GT(of_first.connecting, 0ns);
  EXPECT_EQ(of_first.tls, 0ns);
  EXPECT_EQ(of_first.proxy, 0ns);
  EXPECT_FALSE(of_first.reused);
  EXPECT_LE(of_first.total(), took);
  const auto second = sender.send(background(), get_of(server.url()));
  ASSERT_TRUE(second) << second.error();
  EXPECT_TRUE(second->timings().reused);
  EXPECT_EQ(second->timings().connecting, 0ns);
  EXPECT_EQ(second->timings().resolving, 0ns);
}

TEST(Timings, OfADownloadEndWithItsHeader) {
  tests::event go;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    EXPECT_TRUE(go.wait());
    c.write("ok");
  });
  client sender;
  auto opened = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(opened) << opened.error();
  EXPECT_GT(opened->head().timings().total(), 0ns);
  go.set();
  EXPECT_EQ(opened->read(background()).value(), "ok");
}

TEST(Timings, CountTheWaitForAConnection) {
  tests::event started;
  tests::event go;
  peer server([&](conversation& c) {
    for (bool first = true; !c.read_request().empty(); first = false) {
      if (first) {
        started.set();
        EXPECT_TRUE(go.wait());
      }
      if (!c.write(ok("x"))) return;
    }
  });
  client sender(client_options().max_connections_per_host(1));
  std::jthread holds([&] { EXPECT_TRUE(sender.get(background(), server.url())); });
  ASSERT_TRUE(started.wait());
  std::jthread later([&] {
    std::this_thread::sleep_for(20ms);
    go.set();
  });
  const auto answer = sender.get(background(), server.url());
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_GT(answer->timings().queued, 0ns);
  EXPECT_TRUE(answer->timings().reused);
}

}  // namespace
}  // namespace curfew::http
