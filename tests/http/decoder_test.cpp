// Content codings, as their own libraries encode them: whole, cut anywhere, damaged, and much larger than they look.
#include "http/wire/decoder.hpp"

#include <brotli/encode.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace curfew::http {
namespace {

using state = decoder::state;

constexpr std::size_t mib = 1024 * 1024;
constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

/// \param window_bits  As zlib has it: +16 for gzip, negative for no frame.
std::string deflated(std::string_view text, int window_bits) {
  z_stream z{};
  EXPECT_EQ(deflateInit2(&z, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&z, text.size()) + 64, '\0');
  std::string in(text);
  z.next_in = reinterpret_cast<Bytef*>(in.data());
  z.avail_in = static_cast<uInt>(in.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}
std::string gzip(std::string_view text) { return deflated(text, 15 + 16); }
std::string zlib(std::string_view text) { return deflated(text, 15); }
std::string raw_deflate(std::string_view text) { return deflated(text, -15); }

std::string br(std::string_view text) {
  std::size_t size = BrotliEncoderMaxCompressedSize(text.size()) + 64;
  std::string out(size, '\0');
  EXPECT_EQ(BrotliEncoderCompress(5, 22, BROTLI_MODE_GENERIC, text.size(),
                                  reinterpret_cast<const std::uint8_t*>(text.data()), &size,
                                  reinterpret_cast<std::uint8_t*>(out.data())),
            BROTLI_TRUE);
  out.resize(size);
  return out;
}

std::string zstd(std::string_view text, int window_log = 0) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  std::string out(ZSTD_compressBound(text.size()), '\0');
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  ZSTD_inBuffer from{text.data(), text.size(), 0};
  // In two steps, so that the size of the text is not known when the window is chosen.
  ZSTD_compressStream2(context, &to, &from, ZSTD_e_continue);
  EXPECT_EQ(ZSTD_compressStream2(context, &to, &from, ZSTD_e_end), 0U);
  out.resize(to.pos);
  ZSTD_freeCCtx(context);
  return out;
}

struct coding {
  const char* name;
  std::string (*encode)(std::string_view);
};
std::string zstd_default(std::string_view text) { return zstd(text); }
const std::vector<coding> codings{{"gzip", gzip},
                                  {"X-GZIP", gzip},
                                  {"deflate", zlib},
                                  {"deflate", raw_deflate},
                                  {"br", br},
                                  {"zstd", zstd_default},
                                  {"identity", [](std::string_view t) { return std::string(t); }},
                                  {"gzip, br", [](std::string_view t) { return br(gzip(t)); }},
                                  {"zstd,deflate", [](std::string_view t) { return zlib(zstd(t)); }}};

/// Text that is worth compressing, and not all the same.
std::string sample(std::size_t size) {
  std::minstd_rand random(3);
  std::string text;
  while (text.size() < size) {
    text += "line " + std::to_string(random() % 1000) + " of a text\n";
    if (random() % 8 == 0) text += std::string(random() % 300, static_cast<char>('a' + random() % 26));
  }
  text.resize(size);
  return text;
}

/// Decodes all of it, `piece` bytes of input and at most `most` of output at a time. None: it failed, or was cut off.
std::optional<std::string> decoded(std::string_view name, std::string_view bytes,
                                   std::size_t piece = unlimited, std::size_t most = unlimited) {
  const auto d = decoder::make(name);
  if (!d) return std::nullopt;
  std::string out;
  state now = state::needs_input;
  while (!bytes.empty() && now != state::failed) {
    std::string_view in = bytes.substr(0, piece);
    bytes.remove_prefix(in.size());
    do {
      const std::size_t before = out.size();
      now = d->decode(in, out, most);
      EXPECT_LE(out.size() - before, most);
      EXPECT_TRUE(now != state::needs_input || in.empty());
      EXPECT_TRUE(now != state::done || in.empty());
    } while (now == state::has_more);
  }
  if (now != state::done) return std::nullopt;
  return out;
}

TEST(Decoder, UndoesEachCoding) {
  for (const auto& [name, encode] : codings) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{1000}, mib}) {
      const std::string text = sample(size);
      const std::string bytes = encode(text);
      if (bytes.empty()) continue;
      EXPECT_TRUE(decoded(name, bytes) == text) << name << ' ' << size;
    }
  }
}

TEST(Decoder, PiecesDoNotMatter) {
  const std::string text = sample(40'000);
  for (const auto& [name, encode] : codings) {
    const std::string bytes = encode(text);
    for (const std::size_t piece : std::initializer_list<std::size_t>{1, 2, 3, 7, 100, 1000}) {
      for (const std::size_t most : std::initializer_list<std::size_t>{1, 13, 1000, 100'000}) {
        ASSERT_TRUE(decoded(name, bytes, piece, most) == text) << name << ' ' << piece << ' ' << most;
      }
    }
    for (std::size_t cut = 1; cut < std::min<std::size_t>(bytes.size(), 300); ++cut) {
      const auto d = decoder::make(name);
      std::string out;
      std::string_view first = std::string_view(bytes).substr(0, cut);
      std::string_view second = std::string_view(bytes).substr(cut);
      ASSERT_NE(d->decode(first, out, unlimited), state::failed) << name << cut;
      ASSERT_EQ(d->decode(second, out, unlimited), state::done) << name << cut;
      ASSERT_TRUE(out == text);
    }
  }
}

TEST(Decoder, ACutStreamNeedsInput) {
  const std::string text = sample(2000);
  for (const auto& [name, encode] : codings) {
    if (std::string_view(name) == "identity") continue;  // has no end
    const std::string bytes = encode(text);
    for (std::size_t size = 1; size < bytes.size(); ++size) {
      const auto d = decoder::make(name);
      std::string out;
      std::string_view in = std::string_view(bytes).substr(0, size);
      ASSERT_EQ(d->decode(in, out, unlimited), state::needs_input) << name << ' ' << size;
      ASSERT_TRUE(in.empty());
      ASSERT_TRUE(std::string_view(text).starts_with(out));
      ASSERT_EQ(d->decode(in, out, unlimited), state::needs_input) << "it stays so";
    }
  }
}

TEST(Decoder, MembersOfGzipAndFramesOfZstdFollowEachOther) {
  const std::string skippable("\x50\x2a\x4d\x18\x03\x00\x00\x00xyz", 11);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{5}, unlimited}) {
    EXPECT_EQ(decoded("gzip", gzip("one ") + gzip("") + gzip("two"), piece), "one two");
    EXPECT_EQ(decoded("zstd", zstd("one ") + skippable + zstd("") + zstd("two"), piece), "one two");
  }
}

TEST(Decoder, BytesBehindTheEndAreRefused) {
  for (const auto& [name, encode] : codings) {
    if (std::string_view(name) == "identity") continue;
    for (const char* more : {"x", "more", "\r\n"}) {
      const std::string bytes = encode("text") + more;
      for (const std::size_t piece : {std::size_t{1}, unlimited}) {
        EXPECT_EQ(decoded(name, bytes, piece), std::nullopt) << name << more;
      }
    }
  }
  EXPECT_EQ(decoded("br", br("a") + br("b")), std::nullopt);
  EXPECT_EQ(decoded("deflate", zlib("a") + zlib("b")), std::nullopt);
}

TEST(Decoder, AFailureStays) {
  for (const char* name : {"gzip", "deflate", "br", "zstd", "gzip, br", "br, gzip"}) {
    const auto d = decoder::make(name);
    std::string out;
    const std::string junk(64, '\xff');
    std::string_view in = junk;
    ASSERT_EQ(d->decode(in, out, unlimited), state::failed) << name;
    in = {};
    EXPECT_EQ(d->decode(in, out, unlimited), state::failed) << name;
    const std::string good = gzip("text");
    in = good;
    EXPECT_EQ(d->decode(in, out, unlimited), state::failed) << name;
  }
}

TEST(Decoder, DamagedInputFailsOrEndsAndIsBounded) {
  const std::string text = sample(5000);
  std::minstd_rand random(4);
  int noticed = 0;
  for (const auto& [name, encode] : codings) {
    const std::string bytes = encode(text);
    for (int i = 0; i < 500; ++i) {
      std::string hurt = bytes;
      for (auto hits = 1 + random() % 3; hits > 0; --hits) {
        hurt[random() % hurt.size()] = static_cast<char>(random() % 256);
      }
      const auto d = decoder::make(name);
      std::string out;
      std::string_view in = hurt;
      state now = state::has_more;
      for (int calls = 0; calls < 1000 && now == state::has_more; ++calls) {
        out.clear();
        now = d->decode(in, out, 1000);
        ASSERT_LE(out.size(), 1000U);
      }
      if (now == state::failed) ++noticed;
    }
  }
  EXPECT_GT(noticed, 2000);
}

/// The largest amount of memory that the process has had, in bytes.
std::size_t peak_memory() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return static_cast<std::size_t>(used.ru_maxrss) * 1024;
}

constexpr std::size_t bomb_part = 16 * mib;
constexpr int bomb_parts = 64;

const std::string& zeros() {
  static const std::string all(bomb_part, '\0');
  return all;
}

/// Decodes `block` `times` times and `end` behind it; gives the size of what came out.
std::size_t blown_up(const char* name, std::string_view block, int times, std::string_view end) {
  const auto d = decoder::make(name);
  std::string out;
  std::size_t all = 0;
  state now = state::needs_input;
  for (int i = 0; i <= times; ++i) {
    std::string_view in = i < times ? block : end;
    do {
      out.clear();
      now = d->decode(in, out, 64 * 1024);
      EXPECT_LE(out.size(), 64U * 1024U);
      EXPECT_TRUE(zeros().starts_with(out));
      all += out.size();
    } while (now == state::has_more);
    if (now == state::failed) return 0;
  }
  EXPECT_EQ(now, state::done) << name;
  return all;
}

void expect_gibibyte(const char* name, std::string_view block, int times, std::string_view end) {
  const std::size_t before = peak_memory();
  EXPECT_EQ(blown_up(name, block, times, end), 1024 * mib);
#ifdef __SANITIZE_ADDRESS__
  std::ignore = before;  // what is freed stays in the sanitizer's quarantine, up to 256 MiB
#else
  EXPECT_LT(peak_memory() - before, 64 * mib);
#endif
}

TEST(Decoder, AGibibyteOfGzipIsDecodedInBoundedMemory) {
  const std::string member = gzip(zeros());
  expect_gibibyte("gzip", member, bomb_parts - 1, member);
}

TEST(Decoder, AGibibyteOfDeflateIsDecodedInBoundedMemory) {
  // A whole number of bytes that may stand again and again, and behind it a block that is the last one.
  std::string block(mib, '\0');
  std::string in = zeros();
  z_stream z{};
  ASSERT_EQ(deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
  z.next_in = reinterpret_cast<Bytef*>(in.data());
  z.avail_in = static_cast<uInt>(in.size());
  z.next_out = reinterpret_cast<Bytef*>(block.data());
  z.avail_out = static_cast<uInt>(block.size());
  ASSERT_EQ(deflate(&z, Z_FULL_FLUSH), Z_OK);
  block.resize(z.total_out);
  deflateEnd(&z);
  expect_gibibyte("deflate", block, bomb_parts, raw_deflate(""));
}

TEST(Decoder, AGibibyteOfBrIsDecodedInBoundedMemory) {
  BrotliEncoderState* encoder = BrotliEncoderCreateInstance(nullptr, nullptr, nullptr);
  BrotliEncoderSetParameter(encoder, BROTLI_PARAM_QUALITY, 1);
  BrotliEncoderSetParameter(encoder, BROTLI_PARAM_LGWIN, 24);
  std::string bytes(mib, '\0');
  std::size_t room = bytes.size();
  auto* to = reinterpret_cast<std::uint8_t*>(bytes.data());
  for (int i = 0; i < bomb_parts; ++i) {
    std::size_t size = zeros().size();
    const auto* from = reinterpret_cast<const std::uint8_t*>(zeros().data());
    const auto what = i + 1 < bomb_parts ? BROTLI_OPERATION_PROCESS : BROTLI_OPERATION_FINISH;
    while (size > 0 || (what == BROTLI_OPERATION_FINISH && BrotliEncoderIsFinished(encoder) == 0)) {
      ASSERT_EQ(BrotliEncoderCompressStream(encoder, what, &size, &from, &room, &to, nullptr), BROTLI_TRUE);
    }
  }
  bytes.resize(bytes.size() - room);
  BrotliEncoderDestroyInstance(encoder);
  expect_gibibyte("br", bytes, 0, bytes);
}

TEST(Decoder, AGibibyteOfZstdIsDecodedInBoundedMemory) {
  const std::string frame = zstd(zeros(), 23);
  expect_gibibyte("zstd", frame, bomb_parts - 1, frame);
}

TEST(Decoder, AWindowOfZstdBeyondEightMebibytesIsRefused) {
  const std::string text = sample(100);
  EXPECT_EQ(decoded("zstd", zstd(text, 23)), text);
  EXPECT_EQ(decoded("zstd", zstd(text, 24)), std::nullopt);
}

TEST(Decoder, AWindowOfBrIsAsLargeAsTheFormatAllowsAndNoLarger) {
  const auto in_window = [](std::string_view text, int bits) {
    BrotliEncoderState* encoder = BrotliEncoderCreateInstance(nullptr, nullptr, nullptr);
    BrotliEncoderSetParameter(encoder, BROTLI_PARAM_LARGE_WINDOW, bits > BROTLI_MAX_WINDOW_BITS ? 1 : 0);
    BrotliEncoderSetParameter(encoder, BROTLI_PARAM_LGWIN, static_cast<std::uint32_t>(bits));
    std::string bytes(text.size() + 1024, '\0');
    std::size_t room = bytes.size();
    auto* to = reinterpret_cast<std::uint8_t*>(bytes.data());
    std::size_t size = text.size();
    const auto* from = reinterpret_cast<const std::uint8_t*>(text.data());
    EXPECT_EQ(
        BrotliEncoderCompressStream(encoder, BROTLI_OPERATION_FINISH, &size, &from, &room, &to, nullptr),
        BROTLI_TRUE);
    EXPECT_NE(BrotliEncoderIsFinished(encoder), 0);
    BrotliEncoderDestroyInstance(encoder);
    bytes.resize(bytes.size() - room);
    return bytes;
  };
  const std::string text = sample(100);
  EXPECT_EQ(decoded("br", in_window(text, 24)), text) << "what the program brotli makes of files";
  for (const int bits : {25, 28, 30}) EXPECT_EQ(decoded("br", in_window(text, bits)), std::nullopt) << bits;
}

TEST(Decoder, CodingsThatItDoesNotKnow) {
  for (const char* name : {"compress", "gzip;q=1", "gzip br", "aws-chunked", "gzip, compress", "exi, gzip",
                           "gzip, gzip, gzip"}) {
    EXPECT_EQ(decoder::make(name), nullptr) << name;
  }
  for (const char* name : {"gzip", " GZip ", "gzip,br", ", gzip ,", "identity, gzip, identity, br", ""}) {
    EXPECT_NE(decoder::make(name), nullptr) << name;
  }
}

}  // namespace
}  // namespace curfew::http
