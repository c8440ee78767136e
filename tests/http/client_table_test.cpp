// The table of the client: each phase of a call, and what ends it there. Each row holds what the call returns, that it
// returns at once, and that nothing is left over.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/testing/fault_proxy.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <future>
#include <optional>
#include <ostream>
#include <string>
#include <system_error>

#include "fake_resolver.hpp"
#include "http/client_peer.hpp"
#include "http/waiting.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using namespace std::chrono_literals;
using curfew::testing::fault_options;
using curfew::testing::fault_proxy;
using curfew::testing::faults;
using tests::eventually;
using tests::open_descriptors;

enum phase {
  resolving,   // the lookup hangs
  connecting,  // the server's queue is full
  sending,     // the server does not read a large body
  waiting,     // for the first byte of the response
  in_header,   // a part of the header has come
  in_body,     // a part of the body has come
  reading,     // in_body, of a download
};
enum way {
  cancel,
  silence,  // until the deadline
  trickle,  // until the deadline: bytes pass, one at a time
  reset,
  fin,
};
enum outcome { canceled, late, lost, truncated };

struct row {
  phase when;
  way how;
  outcome what;
};

// clang-format off
constexpr row table[] = {
    // phase     ended by  the call returns
    {resolving,  cancel,   canceled},
    {resolving,  silence,  late},
    {connecting, cancel,   canceled},
    {connecting, silence,  late},
    {sending,    cancel,   canceled},
    {sending,    silence,  late},
    {sending,    trickle,  late},
    {sending,    reset,    lost},
    {sending,    fin,      lost},
    {waiting,    cancel,   canceled},
    {waiting,    silence,  late},
    {waiting,    reset,    lost},
    {waiting,    fin,      lost},
    {in_header,  cancel,   canceled},
    {in_header,  silence,  late},
    {in_header,  trickle,  late},
    {in_header,  reset,    lost},
    {in_header,  fin,      lost},
    {in_body,    cancel,   canceled},
    {in_body,    silence,  late},
    {in_body,    trickle,  late},
    {in_body,    reset,    truncated},
    {in_body,    fin,      truncated},
    {reading,    cancel,   canceled},
    {reading,    silence,  late},
    {reading,    trickle,  late},
    {reading,    reset,    truncated},
    {reading,    fin,      truncated},
};
// clang-format on

/// What the error says of the phase.
constexpr const char* texts[] = {
    "resolving",          "connecting",       "sending",         "waiting for the response",
    "reading the header", "reading the body", "reading the body"};

std::string name_of(const row& r) {
  static constexpr const char* phases[] = {"Resolving",        "Connecting",     "Sending",         "Waiting",
                                           "ReadingTheHeader", "ReadingTheBody", "ReadingADownload"};
  static constexpr const char* ways[] = {"Cancel", "Silence", "Trickle", "Reset", "Fin"};
  return std::string(phases[r.when]) + ways[r.how];
}
void PrintTo(const row& r, std::ostream* out) { *out << name_of(r); }

std::error_code code_of(outcome what) {
  switch (what) {
    case canceled:
      return curfew::errc::canceled;
    case late:
      return curfew::errc::deadline_exceeded;
    case lost:
      return errc::connection_lost;
    case truncated:
      return errc::truncated_body;
  }
  return {};
}

/// A header of which a part passes, and a body of which a part passes.
std::string answer_for(phase when) {
  const std::string field = when == in_header ? "X: " + std::string(50'000, 'x') + "\r\n" : "";
  return ok(std::string(200'000, 'b'), field);
}

class ClientTable : public ::testing::TestWithParam<row> {
 protected:
  ClientTable() {
    // So that what the client keeps is there.
    const auto warm = sender.send(background(), get_of(other.url()));
    EXPECT_TRUE(warm) << warm.error();
    before = open_descriptors();
  }

  /// What the server does with each connection.
  void serve(conversation& c) const {
    const phase when = GetParam().when;
    if (when != sending) c.read_request();
    if (when != sending && when != waiting) c.write(answer_for(when));
    c.sees_close();
  }

  void start(const context& ctx, const std::string& url) {
    request what(GetParam().when == sending ? "POST" : "GET", url);
    // More than the sockets' buffers may grow to: 32 MB and 4 MB on some systems.
    if (GetParam().when == sending) what.body(std::string(48'000'000, 'x'));
    call = std::async(std::launch::async, [this, ctx, what] { return error_of_call(ctx, what); });
  }

  error error_of_call(const context& ctx, const request& what) {
    if (GetParam().when != reading) return error_of(sender.send(ctx, what));
    auto from = sender.open(ctx, what);
    if (!from) return from.error();
    for (;;) {
      const auto piece = from->read(without_cancel(ctx));
      if (!piece) return piece.error();
      if (!*piece) return error(std::error_code());
    }
  }

  /// Faults that hold the call in its phase, and how many bytes pass until it is there.
  void hold(fault_proxy& proxy) {
    const phase when = GetParam().when;
    const bool slow = GetParam().how == trickle;
    const std::string answer = answer_for(when);
    const std::size_t header = answer.find("\r\n\r\n") + 4;
    const std::size_t there = when == waiting ? 0 : when == in_header ? 12 : header + 5;
    faults held;
    if (slow) {
      held.split(1).delay(100us);
    } else {
      held.stop_after(when == sending ? 100'000 : there);
    }
    fault_options options;
    if (when == sending) options.to_server(held);
    if (when != sending) options.to_client(held);
    proxy.set(options);
    to_server = when == sending ? (slow ? 300U : 100'000U) : 30U;
    to_client = when == sending ? 0 : there;
  }

  curfew::testing::manual_clock clock;
  cancel_scope scope = with_timeout(clock.background(), 1min, "budget");
  peer other{answering(ok(""))};
  client sender;
  std::size_t before = 0;
  std::size_t to_server = 0;
  std::size_t to_client = 0;
  std::future<error> call;
};

TEST_P(ClientTable, Holds) {
  const row& r = GetParam();
  std::string url;
  {
    std::optional<unanswering> there;
    std::optional<peer> server;
    std::optional<fault_proxy> proxy;
    if (r.when == resolving) {
      url = "http://stuck.test/";
      start(scope, url);
      ASSERT_TRUE(tests::wait_for_stuck_lookup());
    } else if (r.when == connecting) {
      there.emplace();
      url = there->url;
      start(scope, url);
      ASSERT_TRUE(wait_until_connecting());
    } else {
      server.emplace([this](conversation& c) { serve(c); });
      proxy.emplace(server->port());
      hold(*proxy);
      url = "http://" + proxy->address() + "/";
      start(scope, url);
      ASSERT_TRUE(proxy->wait_bytes_to_server(to_server));
      ASSERT_TRUE(proxy->wait_bytes_to_client(to_client));
      ASSERT_TRUE(wait_until_read(proxy->port()));
    }
    ASSERT_EQ(call.wait_for(0s), std::future_status::timeout);

    // A large body goes on being held back.
    fault_options over;
    if (r.when == sending) over.to_server(faults().stop_after(100'000));
    const auto ended = curfew::clock::now();
    switch (r.how) {
      case cancel:
        scope.cancel(cause("enough"));
        break;
      case silence:
      case trickle:
        clock.advance(1min);
        break;
      case reset:
        proxy->set(over.to_client(faults().reset_after(0)));
        break;
      case fin:
        proxy->set(over.to_client(faults().close_after(0)));
        break;
    }
    ASSERT_EQ(call.wait_for(patience), std::future_status::ready);
    EXPECT_LT(curfew::clock::now() - ended, 5s);
    const error e = call.get();
    EXPECT_EQ(e.code(), code_of(r.what)) << e;
    // A proxy that closes throws away what still comes: the body may be sent to its end before the client sees that.
    const phase latest = r.when == sending && r.how == fin ? waiting : r.when;
    EXPECT_THAT(e.doing(), ::testing::AnyOf(::testing::HasSubstr(url + " : " + texts[r.when]),
                                            ::testing::HasSubstr(url + " : " + texts[latest])));
    EXPECT_EQ(e.cause().message(), r.what == canceled ? "enough" : r.what == late ? "budget" : "");

    if (r.when == resolving) tests::release_stuck_lookups();
    if (proxy) {
      // What was held back passes, so that each side learns of the other's end.
      if (r.how != reset && r.how != fin) proxy->set(fault_options());
      EXPECT_TRUE(proxy->wait_ended());
      EXPECT_EQ(proxy->accepted(), 1u) << "nothing was sent twice";
    }
  }
  EXPECT_TRUE(eventually([&] { return open_descriptors() == before; }))
      << open_descriptors() << " for " << before;
  const auto next = sender.send(background(), get_of(other.url()));
  EXPECT_TRUE(next) << next.error();
}

INSTANTIATE_TEST_SUITE_P(, ClientTable, ::testing::ValuesIn(table),
                         [](const auto& of) { return name_of(of.param); });

// The server is there, so this is no refusal. The call may have come as far as waiting by then.
TEST(ClientTableAccept, AResetRightAfterItIsALostConnection) {
  for (int i = 0; i < 50; ++i) {
    client sender;
    const fault_proxy proxy(unused_port(), fault_options().to_server(faults().reset_after(0)));
    const error e = error_of(sender.send(background(), get_of("http://" + proxy.address() + "/")));
    EXPECT_EQ(e, errc::connection_lost) << e;
    EXPECT_TRUE(e.transient());
  }
}

// The bounds of every piece are met: of the request by the server, of the response by the client.
TEST(ClientInPieces, OfOneByteGetsTheSameAnswers) {
  router routes;
  routes.post("/echo", [](context, const request& r) -> boost::asio::awaitable<response> {
    co_return text(status::ok, r.body());
  });
  routes.get("/stream", [](context, const request&) -> boost::asio::awaitable<response> {
    co_return stream("text/plain", [](context ctx, body_writer out) -> boost::asio::awaitable<void> {
      for (const char* piece : {"one ", "two ", "three"}) {
        if (!co_await out.async_write(ctx, piece)) co_return;
      }
    });
  });
  curfew::testing::http_server server(routes);
  fault_proxy proxy(server.port(), fault_options().to_server(faults().split(1)).to_client(faults().split(1)));
  const std::string url = "http://" + proxy.address();
  client sender;
  for (int i = 0; i < 3; ++i) {
    const auto echo = sender.send(background(), request("POST", url + "/echo").body(std::string(100, 'b')));
    ASSERT_TRUE(echo) << echo.error();
    EXPECT_EQ(echo->body(), std::string(100, 'b'));
    const auto stream = sender.send(background(), get_of(url + "/stream"));
    ASSERT_TRUE(stream) << stream.error();
    EXPECT_EQ(stream->body(), "one two three");
    const auto none = sender.send(background(), get_of(url + "/none"));
    ASSERT_TRUE(none) << none.error();
    EXPECT_EQ(none->status(), status::not_found);
  }
  EXPECT_EQ(proxy.accepted(), 1u) << "one connection was enough";
}

}  // namespace
}  // namespace curfew::http
