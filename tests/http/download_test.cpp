// A response whose body is read piece by piece.
#include <curfew/http/client.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <future>
#include <optional>
#include <string>

#include "http/client_peer.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using namespace std::chrono_literals;

class Download : public ::testing::Test {
 protected:
  client sender;

  static std::string all_of(download& from, const context& ctx = background()) {
    std::string all;
    for (;;) {
      auto piece = from.read(ctx);
      if (!piece) {
        ADD_FAILURE() << piece.error();
        return all;
      }
      if (!*piece) return all;
      EXPECT_FALSE((*piece)->empty());
      all += **piece;
    }
  }
};

TEST_F(Download, ComesInPiecesAsTheyAreSent) {
  moment first_read;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    if (first_read.wait()) c.write("6\r\nsecond\r\n0\r\n\r\n");
  });
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  EXPECT_EQ(from->head().status(), status::ok);
  EXPECT_EQ(*from->head().fields().find("x"), "1");
  EXPECT_EQ(from->head().body(), "");
  EXPECT_EQ(from->read(background()).value(), "first");
  first_read.set();
  EXPECT_EQ(from->read(background()).value(), "second");
  EXPECT_EQ(from->read(background()).value(), std::nullopt);
  EXPECT_EQ(from->read(background()).value(), std::nullopt);
}

TEST_F(Download, OpensBeforeThereIsABody) {
  moment opened;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    if (opened.wait()) c.write("body");
  });
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  opened.set();
  EXPECT_EQ(all_of(*from), "body");
}

TEST_F(Download, OfNothingEndsAtOnce) {
  peer server(answering(ok("")));
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  EXPECT_EQ(all_of(*from), "");
  auto head = sender.open(background(), request("HEAD", server.url()));
  ASSERT_TRUE(head) << head.error();
  EXPECT_EQ(all_of(*head), "");
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(Download, HoldsBackASenderThatNobodyReadsFrom) {
  constexpr std::size_t total = 64 * 1024 * 1024;
  moment held_back;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(total) + "\r\n\r\n");
    const std::string block(64 * 1024, 'x');
    for (std::size_t sent = 0; sent < total; sent += block.size()) {
      pollfd p{.fd = c.fd(), .events = POLLOUT, .revents = 0};
      if (poll(&p, 1, 200) == 0) held_back.set();
      if (!c.write(block)) return;
    }
  });
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  ASSERT_TRUE(held_back.wait());
  std::size_t received = 0;
  std::size_t largest = 0;
  for (;;) {
    const auto piece = from->read(background());
    ASSERT_TRUE(piece) << piece.error();
    if (!*piece) break;
    received += (*piece)->size();
    largest = std::max(largest, (*piece)->size());
  }
  EXPECT_EQ(received, total);
  EXPECT_LE(largest, 512u * 1024);
}

TEST_F(Download, EndsWithTheContextItWasOpenedWith) {
  for (const bool held_back : {false, true}) {
    moment ready;
    moment closed;
    peer server([&](conversation& c) {
      c.read_request();
      c.write("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
      pollfd p{.fd = c.fd(), .events = POLLOUT, .revents = 0};
      while (held_back && poll(&p, 1, 200) == 1) c.write(std::string(4096, 'x'));
      ready.set();
      if (c.sees_close()) closed.set();
    });
    auto scope = with_cancel(background());
    auto from = sender.open(scope, get_of(server.url()));
    ASSERT_TRUE(from) << from.error();
    std::future<result<std::optional<std::string>>> reading;
    if (!held_back) reading = std::async(std::launch::async, [&] { return from->read(background()); });
    ASSERT_TRUE(ready.wait());
    scope.cancel(cause("enough"));
    EXPECT_TRUE(closed.wait());
    const auto piece = held_back ? from->read(background()) : reading.get();
    ASSERT_FALSE(piece);
    EXPECT_EQ(piece.error(), curfew::errc::canceled);
    EXPECT_EQ(piece.error().cause().message(), "enough");
    EXPECT_EQ(piece.error().doing(), "GET " + server.url() + " : reading the body");
  }
}

TEST_F(Download, TheEndOfAReadsOwnContextTakesNothing) {
  moment read_ended;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    if (read_ended.wait()) c.write("body");
  });
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  {
    const auto short_time = with_timeout(background(), 10ms);
    const auto piece = from->read(short_time);
    ASSERT_FALSE(piece);
    EXPECT_EQ(piece.error(), curfew::errc::deadline_exceeded);
    const auto again = from->read(short_time);
    ASSERT_FALSE(again);
  }
  read_ended.set();
  EXPECT_EQ(all_of(*from), "body");
}

// Hunts: the end of a read's context while the piece that it waits for arrives.
TEST_F(Download, LosesNothingToReadsThatAreCanceled) {
  std::string sent;
  for (int i = 0; i < 300; ++i) sent += "piece " + std::to_string(i) + ';';
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(sent.size()) + "\r\n\r\n");
    for (std::size_t i = 0; i < sent.size(); i += 7) {
      c.write(sent.substr(i, 7));
      std::this_thread::yield();
    }
  });
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  std::string received;
  int canceled = 0;
  for (bool over = false; !over;) {
    auto scope = with_cancel(background());
    std::future<result<std::optional<std::string>>> piece;
    from->async_read(scope.ctx(), into(piece));
    scope.cancel();
    const auto got = piece.get();
    if (!got) {
      ASSERT_EQ(got.error(), curfew::errc::canceled) << got.error();
      ++canceled;
    } else if (*got) {
      received += **got;
    } else {
      over = true;
    }
  }
  EXPECT_EQ(received, sent);
  std::cout << canceled << " reads canceled\n";
}

TEST_F(Download, ThatIsGivenUpClosesItsConnection) {
  moment closed;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
    if (c.sees_close()) closed.set();
  });
  {
    auto from = sender.open(background(), get_of(server.url()));
    ASSERT_TRUE(from) << from.error();
    EXPECT_EQ(from->read(background()).value(), "abc");
  }
  EXPECT_TRUE(closed.wait());
}

TEST_F(Download, ThatIsGivenUpCompletesItsPendingRead) {
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    c.sees_close();
  });
  std::future<result<std::optional<std::string>>> piece;
  {
    auto from = sender.open(background(), get_of(server.url()));
    ASSERT_TRUE(from) << from.error();
    from->async_read(background(), into(piece));
  }
  ASSERT_EQ(piece.wait_for(patience), std::future_status::ready);
  EXPECT_EQ(piece.get().error(), curfew::errc::canceled);
}

TEST_F(Download, HasOneReadAtATime) {
  moment refused;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    if (refused.wait()) c.write("body");
  });
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  std::future<result<std::optional<std::string>>> first;
  from->async_read(background(), into(first));
  const auto second = from->read(background());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), std::errc::operation_in_progress);
  refused.set();
  EXPECT_EQ(first.get().value(), "body");
}

TEST_F(Download, GivesWhatCameBeforeItWasTruncated) {
  peer server(closing_after("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"));
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  EXPECT_EQ(from->read(background()).value(), "abc");
  for (int i = 0; i < 2; ++i) {
    const auto piece = from->read(background());
    ASSERT_FALSE(piece);
    EXPECT_EQ(piece.error(), errc::truncated_body) << piece.error();
  }
}

TEST_F(Download, MayOutliveItsClient) {
  moment read_it;
  peer server([&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
    c.sees_close();
  });
  peer finished(answering(ok("all of it")));
  std::optional<download> open;
  std::optional<download> complete;
  {
    client short_lived;
    auto from = short_lived.open(background(), get_of(server.url()));
    ASSERT_TRUE(from) << from.error();
    open.emplace(*std::move(from));
    EXPECT_EQ(open->read(background()).value(), "abc");
    auto other = short_lived.open(background(), get_of(finished.url()));
    ASSERT_TRUE(other) << other.error();
    complete.emplace(*std::move(other));
    EXPECT_EQ(complete->read(background()).value(), "all of it");
  }
  const auto piece = open->read(background());
  ASSERT_FALSE(piece);
  EXPECT_EQ(piece.error(), curfew::errc::canceled);
  EXPECT_EQ(open->head().status(), status::ok);
  EXPECT_EQ(all_of(*complete), "");
}

TEST_F(Download, IsNotLimitedInSize) {
  client small(client_options().max_body_size(10));
  peer server(answering(ok(std::string(100'000, 'x'))));
  auto from = small.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  EXPECT_EQ(all_of(*from).size(), 100'000u);
}

TEST_F(Download, FailsToOpenAsACallFails) {
  peer garbage(closing_after("garbage\r\n\r\n"));
  const auto bad = sender.open(background(), get_of(garbage.url()));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error(), errc::bad_response) << bad.error();
  moment asked;
  moment closed;
  peer server([&](conversation& c) {
    c.read_request();
    asked.set();
    if (c.sees_close()) closed.set();
  });
  auto scope = with_cancel(background());
  auto opening = std::async(std::launch::async, [&] { return sender.open(scope, get_of(server.url())); });
  ASSERT_TRUE(asked.wait());
  scope.cancel();
  const auto none = opening.get();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error(), curfew::errc::canceled);
  EXPECT_TRUE(closed.wait());
}

}  // namespace
}  // namespace curfew::http
