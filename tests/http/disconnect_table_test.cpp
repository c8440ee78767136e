// The table of disconnects: how a client goes, in which phase of a request, and what it has sent behind that. Each
// row holds what the context of its request says, that it says so at once, and that nothing is left over. In plain, and
// over TLS, where a client half-closes by close_notify alone, and may go without.
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <curfew/tls/certificate_authority.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "http/raw_client.hpp"
#include "http/tls_client.hpp"
#include "http/waiting.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::testing::http_server;
using tests::ends;
using tests::event;
using tests::eventually;
using tests::open_descriptors;
using tests::raw_client;

enum phase {
  idle,       // one request has been answered
  in_header,  // half a header has come
  in_body,    // half a body has come
  running,    // the handler waits
  sending,    // the client does not read on in a large response
  streaming,  // the first piece has been sent, and the body's source waits
};
enum way {
  close,
  half_close,
  reset,
  cut,   // TLS: the connection ends without close_notify
  torn,  // TLS: in the middle of a record
};
enum behind { nothing, one_byte, kb_100, kb_200 };
enum says {
  no_context,   // no handler has been called
  client_gone,  // at once: canceled, with that cause
  unseen,       // at the latest at its deadline: TCP has the end behind bytes that nothing reads yet
};

struct row {
  phase when;
  way how;
  behind what;
  says context;
  int tls = 0;  // its version; 0: in plain
};

// clang-format off
constexpr row table[] = {
    // phase    goes by     behind    the context says
    {idle,      close,      nothing,  no_context},
    {idle,      close,      one_byte, no_context},
    {idle,      close,      kb_200,   no_context},
    {idle,      half_close, nothing,  no_context},
    {idle,      half_close, one_byte, no_context},
    {idle,      half_close, kb_200,   no_context},
    {idle,      reset,      nothing,  no_context},
    {idle,      reset,      one_byte, no_context},
    {idle,      reset,      kb_200,   no_context},
    {in_header, close,      nothing,  no_context},
    {in_header, close,      one_byte, no_context},
    {in_header, close,      kb_200,   no_context},
    {in_header, half_close, nothing,  no_context},
    {in_header, half_close, one_byte, no_context},
    {in_header, half_close, kb_200,   no_context},
    {in_header, reset,      nothing,  no_context},
    {in_header, reset,      one_byte, no_context},
    {in_header, reset,      kb_200,   no_context},
    {in_body,   close,      nothing,  no_context},
    {in_body,   close,      one_byte, no_context},
    {in_body,   close,      kb_200,   no_context},
    {in_body,   half_close, nothing,  no_context},
    {in_body,   half_close, one_byte, no_context},
    {in_body,   half_close, kb_200,   no_context},
    {in_body,   reset,      nothing,  no_context},
    {in_body,   reset,      one_byte, no_context},
    {in_body,   reset,      kb_200,   no_context},
    {running,   close,      nothing,  client_gone},
    {running,   close,      one_byte, client_gone},
    {running,   close,      kb_100,   client_gone},
    {running,   close,      kb_200,   unseen},
    {running,   half_close, nothing,  client_gone},
    {running,   half_close, one_byte, client_gone},
    {running,   half_close, kb_100,   client_gone},
    {running,   half_close, kb_200,   unseen},
    {running,   reset,      nothing,  client_gone},
    {running,   reset,      one_byte, client_gone},
    {running,   reset,      kb_100,   client_gone},
    {running,   reset,      kb_200,   client_gone},
    {sending,   close,      nothing,  client_gone},
    {sending,   close,      one_byte, client_gone},
    {sending,   close,      kb_200,   client_gone},  // a close with unread bytes is a reset
    {sending,   half_close, nothing,  client_gone},
    {sending,   half_close, one_byte, client_gone},
    {sending,   half_close, kb_200,   unseen},
    {sending,   reset,      nothing,  client_gone},
    {sending,   reset,      one_byte, client_gone},
    {sending,   reset,      kb_200,   client_gone},
    {streaming, close,      nothing,  client_gone},
    {streaming, close,      one_byte, client_gone},
    {streaming, close,      kb_200,   unseen},
    {streaming, half_close, nothing,  client_gone},
    {streaming, half_close, one_byte, client_gone},
    {streaming, half_close, kb_200,   unseen},
    {streaming, reset,      nothing,  client_gone},
    {streaming, reset,      one_byte, client_gone},
    {streaming, reset,      kb_200,   client_gone},
};
constexpr row tls_table[] = {
    // Over TLS only.
    {idle,      cut,        nothing,  no_context},
    {idle,      torn,       nothing,  no_context},
    {in_header, cut,        nothing,  no_context},
    {in_header, torn,       nothing,  no_context},
    {in_body,   cut,        nothing,  no_context},
    {in_body,   torn,       nothing,  no_context},
    {running,   cut,        nothing,  client_gone},
    {running,   cut,        one_byte, client_gone},
    {running,   cut,        kb_100,   client_gone},
    {running,   torn,       nothing,  client_gone},
    {running,   torn,       one_byte, client_gone},
    {sending,   cut,        nothing,  client_gone},
    {sending,   torn,       nothing,  client_gone},
    {streaming, cut,        nothing,  client_gone},
    {streaming, cut,        one_byte, client_gone},
    {streaming, torn,       nothing,  client_gone},
};
// clang-format on

/// Over both versions of TLS.
std::vector<row> rows_over_tls() {
  std::vector<row> all;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (row r : table) {
      r.tls = version;
      // A close_notify lies behind what is not read ahead, 64 KiB; the end of a socket is seen beyond that.
      if (r.when == running && r.how == half_close && r.what == kb_100) r.context = unseen;
      all.push_back(r);
    }
    for (row r : tls_table) {
      r.tls = version;
      all.push_back(r);
    }
  }
  return all;
}

std::string name_of(const row& r) {
  static constexpr const char* phases[] = {"Idle",           "InTheHeader",       "InTheBody",
                                           "HandlerRunning", "ResponseBeingSent", "Streaming"};
  static constexpr const char* ways[] = {"Close", "HalfClose", "Reset", "Cut", "Torn"};
  static constexpr const char* sent[] = {"", "BehindOneByte", "Behind100KB", "Behind200KB"};
  const char* const over = r.tls == 0 ? "" : r.tls == TLS1_2_VERSION ? "OverTls12" : "OverTls13";
  return std::string(phases[r.when]) + ways[r.how] + sent[r.what] + over;
}
void PrintTo(const row& r, std::ostream* out) { *out << name_of(r); }

constexpr std::string_view get_none = "GET /none HTTP/1.1\r\nHost: t\r\n\r\n";

/// A server whose only handler, "/work", tells how its context ended, and does what the phase needs.
class DisconnectTable : public ::testing::TestWithParam<row> {
 protected:
  DisconnectTable() {
    const auto work = [this](context ctx, const request&) -> asio::awaitable<response> {
      return run(std::move(ctx));
    };
    router routes;
    routes.get("/work", work).post("/work", work);
    auto options = server_options().max_request_time(1min);
    if (GetParam().tls != 0) options.listen("127.0.0.1:0", listen_options().tls(certificates()));
    server.emplace(routes, options, clock.background());
    serves();
    descriptors = open_descriptors();
  }

  static const tls_server& certificates() {
    static const curfew::testing::certificate_authority ca;
    static const auto issued = ca.issue({"localhost"});
    static const auto loaded =
        tls_server::load(tls_server_options().certificate(issued.chain_file(), issued.key_file()));
    return loaded.value();
  }

  asio::awaitable<response> run(context ctx) {
    // A callback, since the context of a response that is being sent has no handler any more.
    watch.emplace(ctx, [this, ctx] { ended.add(ctx); });
    started.set();
    if (GetParam().when == sending) co_return text(status::ok, std::string(large, 'x'));
    if (GetParam().when == streaming) {
      auto made = stream("text/plain", [](context own, body_writer out) -> asio::awaitable<void> {
        EXPECT_TRUE(co_await out.async_write(own, "first"));
        co_await async_wait(own.done());
      });
      co_return made;
    }
    co_await async_wait(ctx.done());
    co_return text(status::ok, "late");
  }

  /// Returns when the server's only thread has dealt with all that happened to other connections before.
  void serves() { EXPECT_EQ(other().get("/none").status, 404); }
  raw_client& other() {
    if (!other_) {
      other_.emplace(server->port());
      if (GetParam().tls != 0) tests::secure(*other_);
    }
    return *other_;
  }

  void bring_to(phase when, raw_client& client) {
    switch (when) {
      case idle:
        EXPECT_EQ(client.get("/none").status, 404);
        return;
      case in_header:
        client.send("GET /work HTTP/1.1\r\nHost: t\r\nX: ");
        return serves();
      case in_body:
        client.send("POST /work HTTP/1.1\r\nHost: t\r\nContent-Length: 400000\r\n\r\nbegin");
        return serves();
      case running:
      case sending:
      case streaming:
        break;
    }
    client.send("GET /work HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_TRUE(started.wait());
    if (when != running) client.read_until("\r\n\r\n");
    if (when == streaming) {
      EXPECT_EQ(client.read_chunk(), "first");
    }
  }

  static std::string bytes(behind what) {
    std::string all;
    if (what == nothing) return all;
    if (what == one_byte) return "G";
    while (all.size() < (what == kb_100 ? 100'000U : 200'000U)) all += get_none;
    return all;
  }

  static constexpr std::size_t large = 8'000'000;

  const std::size_t before = open_descriptors();
  curfew::testing::manual_clock clock;
  event started;
  ends ended;
  std::optional<on_done<std::function<void()>>> watch;
  std::optional<http_server> server;
  std::optional<raw_client> other_;
  std::size_t descriptors = 0;
};

TEST_P(DisconnectTable, Holds) {
  const row& r = GetParam();
  raw_client client(server->port(), r.when == sending ? 4096 : 0);
  tests::tls_layer* tls = nullptr;
  if (r.tls != 0) {
    tests::tls_client_options how;
    how.version = r.tls;
    tls = &tests::secure(client, how);
  }
  bring_to(r.when, client);
  client.send(bytes(r.what));

  const auto gone_at = curfew::clock::now();
  switch (r.how) {
    case close:
      client.close();
      break;
    case half_close:
      client.half_close();
      break;
    case reset:
      client.reset();
      break;
    case cut:
      client.cut();
      break;
    case torn: {
      const auto record = tls->encrypt(get_none);
      ASSERT_EQ(::send(client.socket(), record.data(), record.size() / 2, MSG_NOSIGNAL),
                static_cast<ssize_t>(record.size() / 2));
      client.cut();
      break;
    }
  }
  if (r.context == unseen) {
    serves();
    clock.advance(1min);
  }
  if (r.context == no_context) {
    EXPECT_FALSE(started.is_set());
  } else {
    const auto [err, why] = ended.wait()[0];
    EXPECT_LT(curfew::clock::now() - gone_at, 5s);
    const bool late = r.context == unseen && err == curfew::errc::deadline_exceeded;
    if (!late) {
      EXPECT_EQ(err, curfew::errc::canceled);
      EXPECT_EQ(why, errc::client_gone);
    }
  }

  // A half-closed client gets its answer, and then the end.
  if (r.how == half_close) {
    if (r.when == running) {
      EXPECT_EQ(client.read_response().body, "late");
    }
    if (r.when == sending && r.context != unseen) {
      EXPECT_EQ(client.read_exactly(large).size(), large);
    }
    // Of an answer that was cut off there is no orderly end.
    if (r.tls == 0 || r.context != unseen) {
      EXPECT_TRUE(client.is_closed());
    }
    client.close();
  }
  if (r.how == cut || r.how == torn) {
    std::ignore = client.is_closed();  // in an orderly way or not
    client.close();
  }
  EXPECT_TRUE(eventually([&] { return open_descriptors() == descriptors; }))
      << open_descriptors() << " for " << descriptors;
  serves();
  // Its request has been answered before it is over: the server has closed its connection, so it is.
  other_.reset();
  EXPECT_TRUE(eventually([&] { return open_descriptors() == descriptors - 2; }));
  watch.reset();
  const auto report = server->stop();
  EXPECT_EQ(report.finished, 0u);
  EXPECT_EQ(report.ended, 0u);
  EXPECT_EQ(report.stuck, std::vector<std::string>());
  server.reset();
  EXPECT_EQ(open_descriptors(), before);
}

INSTANTIATE_TEST_SUITE_P(, DisconnectTable, ::testing::ValuesIn(table),
                         [](const auto& of) { return name_of(of.param); });
INSTANTIATE_TEST_SUITE_P(Tls, DisconnectTable, ::testing::ValuesIn(rows_over_tls()),
                         [](const auto& of) { return name_of(of.param); });

}  // namespace
}  // namespace curfew::http
