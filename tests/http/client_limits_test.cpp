// What a hostile server can make a client keep: header, trailers, body and what the body expands to are bounded.
#include <curfew/http/client.hpp>

#include <brotli/encode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

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

/// The largest amount of memory since the peak was forgotten, in bytes.
std::size_t high_water() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::size_t kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib * 1024;
  }
  ADD_FAILURE() << "no VmHWM";
  return 0;
}

/// `text` in br.
std::string br(std::string_view text) {
  std::size_t size = BrotliEncoderMaxCompressedSize(text.size()) + 64;
  std::string out(size, '\0');
  EXPECT_EQ(BrotliEncoderCompress(5, BROTLI_MAX_WINDOW_BITS, BROTLI_MODE_GENERIC, text.size(),
                                  reinterpret_cast<const std::uint8_t*>(text.data()), &size,
                                  reinterpret_cast<std::uint8_t*>(out.data())),
            BROTLI_TRUE);
  out.resize(size);
  return out;
}

TEST(ClientLimits, AFewBytesOfBrDoNotBecomeAHundredMegabytes) {
  const std::string once = br(std::string(94 * 1000 * 1000, '\0'));
  ASSERT_LT(once.size(), 1000U);
  const std::string twice = br(zstd_bomb(1024 * mib));
  ASSERT_LT(twice.size(), 4096U);
  for (const auto& [bomb, coding] : {std::pair(once, "br"), std::pair(twice, "zstd, br")}) {
    peer server([&](conversation& c) {
      c.read_request();
      c.write(ok(bomb, "Content-Encoding: " + std::string(coding) + "\r\n"));
    });
    client sender(client_options().max_body_size(mib));
    std::ofstream("/proc/self/clear_refs") << 5;  // the peak is that of now: encoding took its share
    const std::size_t before = high_water();
    const auto whole = sender.send(background(), get_of(server.url()));
    ASSERT_FALSE(whole) << coding;
    EXPECT_EQ(whole.error(), errc::too_large) << whole.error();
    auto from = sender.open(background(), get_of(server.url()));
    ASSERT_TRUE(from) << from.error();
    auto piece = from->read(background());
    ASSERT_TRUE(piece) << piece.error();
    EXPECT_EQ(*piece, bomb) << "a download is not decoded";
#ifdef __SANITIZE_ADDRESS__
    std::ignore = before;  // what is freed stays in the sanitizer's quarantine, up to 256 MiB
#else
    EXPECT_LT(high_water() - before, 48 * mib) << coding;  // the window of br is a third of it
#endif
  }
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
