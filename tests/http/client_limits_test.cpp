// What a hostile server can make a client keep: header, trailers, body and what the body expands to are bounded.
#include <curfew/http/client.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <limits>
#include <string>
#include <string_view>

#include "http/client_peer.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using ::testing::HasSubstr;

constexpr std::size_t mib = 1024 * 1024;

/// A peer that answers one request with `head` and then repeats `block` until `total` bytes have gone.
peer::script flooding(std::string head, std::string block, std::size_t total, std::string end) {
  return [=](conversation& c) {
    c.read_request();
    if (!c.write(head)) return;
    for (std::size_t sent = 0; sent < total; sent += block.size()) {
      if (!c.write(block)) return;
    }
    c.write(end);
  };
}

/// Trailer fields without end: 64 MiB of them.
peer::script trailer_flood() {
  std::string block;
  while (block.size() < 64 * 1024) block += "X-Trailer: " + std::string(200, 't') + "\r\n";
  return flooding("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", block, 64 * mib,
                  "\r\n");
}

/// `size` zero bytes as a zstd frame: a block of four bytes stands for 128 KiB.
std::string zstd_bomb(std::size_t size) {
  constexpr std::size_t block = 128 * 1024;
  std::string bytes("\x28\xb5\x2f\xfd\x00\x58", 6);  // magic, no flags, a window of 2 MiB
  for (std::size_t made = 0; made < size; made += block) {
    const std::size_t header = block << 3 | 1 << 1 | (made + block >= size ? 1 : 0);  // repeats one byte
    bytes += static_cast<char>(header & 0xff);
    bytes += static_cast<char>(header >> 8 & 0xff);
    bytes += static_cast<char>(header >> 16 & 0xff);
    bytes += '\0';
  }
  return bytes;
}

/// The largest amount of memory that the process has had, in bytes.
std::size_t peak_memory() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return static_cast<std::size_t>(used.ru_maxrss) * 1024;
}

TEST(ClientLimits, TrailersCountAgainstTheHeaderLimit) {
  peer server(trailer_flood());
  client sender;
  const auto answer = sender.send(background(), get_of(server.url()));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error(), errc::too_large);
  EXPECT_THAT(answer.error().message(), HasSubstr("trailer"));
}

TEST(ClientLimits, ALineOfTheTrailerThatGoesOnAndOn) {
  peer server(flooding("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
                       std::string(1024, 'x'), mib, "\r\n\r\n"));
  client sender;
  const auto answer = sender.send(background(), get_of(server.url()));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error(), errc::too_large) << answer.error();
}

TEST(ClientLimits, HeaderAndTrailersShareOneLimit) {
  const std::string fields = "X: " + std::string(600, 'x') + "\r\n";
  const std::string chunked = "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n";
  client sender(client_options().max_header_size(1000));
  const auto code_for = [&](const std::string& header, const std::string& trailer) {
    peer server(flooding("HTTP/1.1 200 OK\r\n" + header + chunked + trailer, "", 0, "\r\n"));
    const auto answer = sender.send(background(), get_of(server.url()));
    return answer ? std::error_code() : answer.error().code();
  };
  EXPECT_EQ(code_for(fields, ""), std::error_code());
  EXPECT_EQ(code_for("", fields), std::error_code());
  EXPECT_EQ(code_for(fields, fields), errc::too_large);
}

TEST(ClientLimits, TrailersOfADownloadCountToo) {
  peer server(trailer_flood());
  client sender;
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  const auto piece = from->read(background());
  ASSERT_TRUE(piece) << piece.error();
  EXPECT_EQ(*piece, "ok") << "what came before is delivered";
  const auto end = from->read(background());
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error(), errc::too_large);
}

TEST(ClientLimits, ABodyThatExpandsStaysWithinTheBodyLimit) {
  const std::string bomb = zstd_bomb(1024 * mib);
  ASSERT_LT(bomb.size(), 64 * 1024U);
  peer server([&](conversation& c) {
    c.read_request();
    c.write(ok(bomb, "Content-Encoding: zstd\r\n"));
  });
  client sender(client_options().max_body_size(mib));
  const std::size_t before = peak_memory();
  const auto answer = sender.send(background(), get_of(server.url()));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error(), errc::too_large);
  EXPECT_LT(peak_memory() - before, 64 * mib);
}

TEST(ClientLimits, ABodyWithoutALimitIsDecodedToo) {
  const std::string zeros = zstd_bomb(mib);
  peer server([&](conversation& c) {
    c.read_request();
    c.write(ok(zeros, "Content-Encoding: zstd\r\n"));
  });
  client sender(client_options().max_body_size(std::numeric_limits<std::size_t>::max()));
  const auto answer = sender.send(background(), get_of(server.url()));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), std::string(mib, '\0'));
}

TEST(ClientLimits, ADownloadAsksForTheBodyAsItIsAndGetsItAsItCame) {
  const std::string bomb = zstd_bomb(1024 * mib);
  std::string asked;
  moment seen;
  peer server([&](conversation& c) {
    asked = c.read_request();
    seen.set();
    c.write(ok(bomb, "Content-Encoding: zstd\r\n"));  // although it was not asked for
  });
  client sender;
  auto from = sender.open(background(), get_of(server.url()));
  ASSERT_TRUE(from) << from.error();
  ASSERT_TRUE(seen.wait());
  EXPECT_THAT(asked, HasSubstr("\r\nAccept-Encoding: identity\r\n"));
  ASSERT_TRUE(from->head().fields().contains("Content-Encoding"));
  EXPECT_EQ(*from->head().fields().find("Content-Encoding"), "zstd");
  EXPECT_EQ(*from->head().fields().find("Content-Length"), std::to_string(bomb.size()));
  std::string all;
  for (;;) {
    auto piece = from->read(background());
    ASSERT_TRUE(piece) << piece.error();
    if (!*piece) break;
    all += **piece;
  }
  EXPECT_EQ(all, bomb);
}

TEST(ClientLimits, ADownloadSendsTheCallersAcceptEncoding) {
  std::string asked;
  moment seen;
  peer server([&](conversation& c) {
    asked = c.read_request();
    seen.set();
    c.write(ok(""));
  });
  client sender;
  auto from = sender.open(background(), get_of(server.url()).set("Accept-Encoding", "gzip"));
  ASSERT_TRUE(from) << from.error();
  ASSERT_TRUE(seen.wait());
  EXPECT_THAT(asked, HasSubstr("\r\nAccept-Encoding: gzip\r\n"));
  EXPECT_EQ(asked.find("identity"), std::string::npos);
}

TEST(ClientLimits, ATransferCodingThatWasNotAskedForIsRefused) {
  const std::string bomb = zstd_bomb(1024 * mib);
  for (const char* coding : {"zstd", "br", "gzip, chunked", "chunked, gzip"}) {
    peer server([&](conversation& c) {
      c.read_request();
      c.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + std::string(coding) + "\r\n\r\n" + bomb);
    });
    client sender;
    const auto whole = sender.send(background(), get_of(server.url()));
    ASSERT_FALSE(whole) << coding;
    EXPECT_EQ(whole.error(), errc::bad_response) << coding;
    const auto pieces = sender.open(background(), get_of(server.url()));
    ASSERT_FALSE(pieces) << coding;
    EXPECT_EQ(pieces.error(), errc::bad_response) << coding;
  }
}

}  // namespace
}  // namespace curfew::http
