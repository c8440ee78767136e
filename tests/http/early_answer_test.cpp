// An answer that comes before its request has been sent to the end, such as 413, at each byte of the upload: it is the
// answer to that request and to no other, on this connection and on the next.
#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/testing/fault_proxy.hpp>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "http/client_peer.hpp"
#include "http/raw_client.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using namespace client_tests;
using curfew::testing::fault_options;
using curfew::testing::fault_proxy;
using curfew::testing::faults;
using curfew::testing::http_server;
using tests::raw_client;

std::string field_of(std::string_view header, std::string_view name) {
  const auto at = header.find("\r\n" + std::string(name) + ": ");
  if (at == std::string_view::npos) return {};
  const auto begin = at + name.size() + 4;
  return std::string(header.substr(begin, header.find('\r', begin) - begin));
}

/// What the peer does once it has refused an upload.
enum class then {
  reads_on,        // the rest of the body, and the next request
  says_it_closes,  // and closes in order: what still comes is read
  closes,          // in order, without a word before
  drops_unread,    // closes with the rest unread, which resets the connection
};

/// Answers each request with its own X-Id, an upload with 413 once X-At bytes of its body have come.
class refusing {
 public:
  explicit refusing(then next) : next_(next), server_([this](conversation& c) { serve(c); }) {}

  [[nodiscard]] const peer& server() const { return server_; }
  /// Has an upload come twice?
  [[nodiscard]] bool repeated() const { return repeated_; }

 private:
  void serve(conversation& c) {
    for (std::string header; !(header = c.read_header()).empty();) {
      const std::string id = "X-Id: " + field_of(header, "X-Id") + "\r\n";
      if (header.starts_with("GET ")) {
        if (!c.write(ok(field_of(header, "X-Id"), id))) return;
        continue;
      }
      {
        const std::lock_guard guard(mutex_);
        if (!uploads_.insert(id).second) repeated_ = true;
      }
      const std::size_t at = std::stoul(field_of(header, "X-At"));
      const std::size_t length = std::stoul(field_of(header, "Content-Length"));
      if (c.read_exactly(at).size() < at) return;
      const std::string answer = "HTTP/1.1 413 Content Too Large\r\n" + id +
                                 (next_ == then::says_it_closes ? "Connection: close\r\n" : "") +
                                 "Content-Length: 9\r\n\r\ntoo large";
      if (!c.write(answer) || next_ == then::drops_unread) return;
      if (next_ == then::reads_on) {
        c.read_exactly(length - at);
        continue;
      }
      shutdown(c.fd(), SHUT_WR);
      c.sees_close();
      return;
    }
  }

  const then next_;
  std::mutex mutex_;
  std::set<std::string> uploads_;  // guarded by mutex_
  std::atomic<bool> repeated_ = false;
  peer server_;
};

/// Makes calls, each with an id of its own.
class numbered {
 public:
  explicit numbered(std::string url) : url_(std::move(url)) {}

  /// Gets a 413, or loses the connection where that may be.
  void upload(std::size_t at, std::size_t size, bool may_be_lost) {
    const std::string id = std::to_string(++id_);
    auto what = request("POST", url_).set("X-Id", id).set("X-At", std::to_string(at));
    const auto got = sender_.send(background(), what.body(std::string(size, 'b')));
    if (!got && may_be_lost) {
      // Before the answer, or within it.
      EXPECT_EQ(got.error(), std::errc::connection_reset) << at << ": " << got.error();
      return;
    }
    ASSERT_TRUE(got) << at << ": " << got.error();
    EXPECT_EQ(got->status(), status::content_too_large) << at;
    EXPECT_EQ(got->body(), "too large") << at;
    expect_id(*got, id);
  }
  void get() {
    const std::string id = std::to_string(++id_);
    const auto got = sender_.send(background(), request("GET", url_).set("X-Id", id));
    ASSERT_TRUE(got) << got.error();
    EXPECT_EQ(got->body(), id);
    expect_id(*got, id);
  }

 private:
  static void expect_id(const response& of, const std::string& id) {
    EXPECT_EQ(of.fields().find("X-Id"), id) << "the answer to another request";
  }

  const std::string url_;
  client sender_;
  std::size_t id_ = 0;
};

class EarlyAnswer : public ::testing::TestWithParam<then> {
 protected:
  // With the connection that is reset; or that the client keeps, since it does not know that its end is on the way.
  const bool may_be_lost = GetParam() == then::closes || GetParam() == then::drops_unread;
};

TEST_P(EarlyAnswer, AtEachByteOfAnUploadIsThatOfItsRequest) {
  constexpr std::size_t size = 2000;
  const refusing other(GetParam());
  numbered calls(other.server().url());
  for (std::size_t at = 0; at <= size && !HasFailure(); ++at) {
    calls.upload(at, size, may_be_lost);
    if (at % 2 == 0) calls.get();  // and an upload after an upload
  }
  EXPECT_FALSE(other.repeated());
}

// More than the buffers on the way hold: the client is still sending.
TEST_P(EarlyAnswer, ComesWhileTheClientIsSending) {
  constexpr std::size_t size = 12'000'000;
  const refusing other(GetParam());
  numbered calls(other.server().url());
  for (const std::size_t at : {0UZ, 1UZ, 1000UZ, 65'536UZ, 1'000'000UZ}) {
    calls.upload(at, size, may_be_lost);
    calls.get();
  }
}

TEST_P(EarlyAnswer, InPiecesOfAnySizeIsThatOfItsRequest) {
  constexpr std::size_t size = 300;
  const refusing other(GetParam());
  fault_proxy between(other.server().port());
  numbered calls("http://" + between.address() + '/');
  for (std::size_t at = 0; at <= size && !HasFailure(); at += 5) {
    const auto pieces =
        fault_options().to_server(faults().split(1 + at % 37)).to_client(faults().split(1 + at % 11));
    between.set(pieces);
    calls.upload(at, size, may_be_lost);
    calls.get();
  }
}

std::string name_of(const ::testing::TestParamInfo<then>& of) {
  constexpr const char* names[] = {"ReadsOn", "SaysItCloses", "Closes", "DropsTheRest"};
  return names[static_cast<int>(of.param)];
}

INSTANTIATE_TEST_SUITE_P(APeerThat, EarlyAnswer,
                         ::testing::Values(then::reads_on, then::says_it_closes, then::closes,
                                           then::drops_unread),
                         name_of);

constexpr std::size_t limit = 1000;

/// Answers with the id of the request, and with the length of its body.
router routes() {
  router made;
  const auto answer = [](context, const request& r) -> asio::awaitable<response> {
    response reply = text(status::ok, std::to_string(r.body().size()));
    reply.set("X-Id", r.fields().find("X-Id").value_or("none"));
    co_return reply;
  };
  made.get("/", answer).post("/", answer);
  return made;
}

// The client and the server of this library: uploads of any length around the limit, whole and in pieces.
TEST(UploadsAroundTheLimit, AreAnsweredEachForItself) {
  const http_server server(routes(), server_options().max_body_size(limit));
  fault_proxy between(server.port());
  client sender;
  std::size_t id = 0;
  for (std::size_t size = 0; size <= 2 * limit && !::testing::Test::HasFailure(); size += size < 5 ? 1 : 9) {
    const auto pieces = fault_options()
                            .to_server(faults().split(size % 4 == 0 ? 0 : 10 + size % 97))
                            .to_client(faults().split(size % 5));
    between.set(pieces);
    for (const bool upload : {true, false}) {
      const std::string number = std::to_string(++id);
      auto what = request(upload ? "POST" : "GET", "http://" + between.address() + '/').set("X-Id", number);
      if (upload) what.body(std::string(size, 'b'));
      const auto got = sender.send(background(), what);
      ASSERT_TRUE(got) << size << ": " << got.error();
      if (upload && size > limit) {
        EXPECT_EQ(got->status(), status::content_too_large) << size;
        continue;
      }
      EXPECT_EQ(got->body(), std::to_string(upload ? size : 0));
      EXPECT_EQ(got->fields().find("X-Id"), number);
    }
  }
}

// The bytes of two requests in two pieces, cut at each place: the second one is refused.
TEST(AnUploadThatIsTooLarge, IsRefusedBehindTheAnswerToTheRequestBefore) {
  const http_server server(routes(), server_options().max_body_size(limit));
  const std::string get = "GET / HTTP/1.1\r\nHost: t\r\nX-Id: first\r\n\r\n";
  const std::string body(limit + 50, 'b');
  const std::string with_length =
      "POST / HTTP/1.1\r\nHost: t\r\nX-Id: second\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  const std::string in_chunks =
      "POST / HTTP/1.1\r\nHost: t\r\nX-Id: second\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" +
      body.substr(0, limit) + "\r\n32\r\n" + body.substr(limit) + "\r\n0\r\n\r\n";
  for (const std::string& upload : {with_length, in_chunks}) {
    const std::string all = get + upload;
    for (std::size_t cut = 1; cut < all.size() && !::testing::Test::HasFailure(); ++cut) {
      raw_client client(server.port());
      const auto first = [&] { EXPECT_EQ(client.read_response().field("X-Id"), "first") << cut; };
      client.send(all.substr(0, cut));
      const bool whole = cut >= get.size();
      if (whole) first();
      client.try_send(all.substr(cut));  // in vain where it is refused already
      if (!whole) first();
      const auto refused = client.read_response();
      EXPECT_EQ(refused.status, 413) << cut;
      EXPECT_EQ(refused.field("X-Id"), "") << cut;
      EXPECT_EQ(client.read_to_end(), "") << cut;
    }
  }
}

}  // namespace
}  // namespace curfew::http
