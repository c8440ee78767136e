#include "http/wire/proxy_header.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace curfew::http {
namespace {

using progress = proxy_header::progress;
using source = proxy_header::source;
using namespace std::string_literals;

const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;

/// Of version 2.
std::string binary(unsigned char command, unsigned char family, const std::string& block) {
  std::string made = signature;
  made += static_cast<char>(command);
  made += static_cast<char>(family);
  made += static_cast<char>(block.size() >> 8U);
  made += static_cast<char>(block.size() & 0xFFU);
  return made + block;
}

const std::string block_v4 = "\xC0\x00\x02\x01\xC6\x33\x64\x01\x9D\x78\x00\x50"s;
const std::string block_v6 =
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"s + std::string(16, '\1') + "\x9D\x78\x00\x50"s;

struct outcome {
  progress how;
  source from;
  std::string address;
  std::string rest;
};

/// Feeds the first `cut` bytes, and then the others.
outcome read(const std::string& bytes, std::size_t cut) {
  proxy_header header;
  std::string_view first = std::string_view(bytes).substr(0, cut);
  auto how = header.feed(first);
  std::string rest(first);
  if (how == progress::need_more) {
    EXPECT_EQ(rest, "") << "it keeps what it has taken";
    std::string_view second = std::string_view(bytes).substr(cut);
    how = header.feed(second);
    rest = second;
  } else {
    rest += bytes.substr(cut);
  }
  return {how, header.from(), header.address().to_string(), rest};
}

outcome read(const std::string& bytes) { return read(bytes, bytes.size()); }

struct good {
  std::string bytes;
  source from;
  std::string address;
};

std::vector<good> good_headers() {
  return {
      {"PROXY TCP4 192.0.2.1 198.51.100.1 40312 80\r\n", source::address, "192.0.2.1"},
      {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", source::address, "255.255.255.255"},
      {"PROXY TCP6 2001:db8::7 2001:db8::1 0 80\r\n", source::address, "2001:db8::7"},
      {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
       "65535\r\n",
       source::address, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
      {"PROXY UNKNOWN\r\n", source::none, ""},
      {"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
       "65535\r\n",
       source::none, ""},
      {binary(0x21, 0x11, block_v4), source::address, "192.0.2.1"},
      {binary(0x21, 0x11, block_v4 + "\x04\x00\x02xx"s), source::address, "192.0.2.1"},
      {binary(0x21, 0x21, block_v6), source::address, "2001:db8::7"},
      {binary(0x21, 0x21, block_v6 + std::string(65535 - 36, 'x')), source::address, "2001:db8::7"},
      {binary(0x21, 0x31, std::string(216, 'p')), source::unix_socket, ""},
      {binary(0x21, 0x00, ""), source::none, ""},
      {binary(0x21, 0x00, "what it likes"), source::none, ""},
      {binary(0x20, 0x00, ""), source::none, ""},
      {binary(0x20, 0x11, block_v4), source::none, ""},
      {binary(0x20, 0x99, "x"), source::none, ""},
  };
}

TEST(ProxyHeader, IsReadHoweverItIsCut) {
  for (const auto& [bytes, from, address] : good_headers()) {
    const std::size_t step = bytes.size() > 1000 ? 97 : 1;
    for (std::size_t cut = 0; cut <= bytes.size() + 3; cut += step) {
      const auto got = read(bytes + "GET", cut);
      ASSERT_EQ(got.how, progress::done) << bytes << " cut at " << cut;
      ASSERT_EQ(got.from, from) << bytes;
      if (from == source::address) {
        ASSERT_EQ(got.address, address);
      }
      ASSERT_EQ(got.rest, "GET") << bytes;
    }
  }
}

std::string tlv(char type, const std::string& value) {
  std::string made(1, type);
  made += static_cast<char>(value.size() >> 8U);
  made += static_cast<char>(value.size() & 0xFFU);
  return made + value;
}

TEST(ProxyHeader, TellsOfTlsInATlv) {
  const auto tls = [](char client) { return tlv('\x20', client + "\0\0\0\0\x21\0\x07TLSv1.3"s); };
  const auto other = tlv('\x03', "crc3") + tlv('\x04', "") + tlv('\x05', std::string(300, '\x20'));
  struct {
    unsigned char family;
    std::string block;
    bool by_tls;
  } const cases[] = {
      {0x11, block_v4, false},
      {0x11, block_v4 + tls('\1'), true},
      {0x11, block_v4 + tls('\7'), true},
      {0x11, block_v4 + tls('\0'), false},
      {0x11, block_v4 + tls('\6'), false},
      {0x11, block_v4 + other, false},
      {0x11, block_v4 + other + tls('\1') + other, true},
      {0x11, block_v4 + tlv('\x05', tls('\1')), false},
      {0x11, block_v4 + tlv('\x20', ""), false},
      {0x11, block_v4 + tlv('\x20', "") + tls('\1'), true},
      {0x11, block_v4 + "\x20\xFF\xFF\1"s, true},  // longer than the header
      {0x11, block_v4 + "\x20\0\5"s, false},       // without its value
      {0x11, block_v4 + "\x20"s, false},
      {0x21, block_v6 + tls('\1'), true},
      {0x31, std::string(216, '\x20') + tls('\1'), true},
      {0x31, std::string(216, '\x20'), false},
  };
  for (const auto& [family, block, by_tls] : cases) {
    const auto bytes = binary(0x21, family, block);
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
      proxy_header header;
      std::string_view first = std::string_view(bytes).substr(0, cut);
      std::string_view second = std::string_view(bytes).substr(cut);
      ASSERT_EQ(header.feed(first), cut < bytes.size() ? progress::need_more : progress::done) << cut;
      if (cut < bytes.size()) {
        ASSERT_EQ(header.feed(second), progress::done);
      }
      ASSERT_EQ(header.by_tls(), by_tls) << block << " cut at " << cut;
    }
  }
  for (const auto command : {0x20, 0x21}) {
    proxy_header header;
    const auto bytes = binary(static_cast<unsigned char>(command), 0x00, tls('\1'));
    std::string_view rest = bytes;
    ASSERT_EQ(header.feed(rest), progress::done);
    EXPECT_FALSE(header.by_tls()) << "of a client that is not known";
  }
}

TEST(ProxyHeader, ThatIsNotWholeNeedsMore) {
  for (const auto& header : good_headers()) {
    if (header.bytes.size() > 1000) continue;
    for (std::size_t size = 0; size < header.bytes.size(); ++size) {
      ASSERT_EQ(read(header.bytes.substr(0, size)).how, progress::need_more)
          << header.bytes << " up to " << size;
    }
  }
}

TEST(ProxyHeader, ThatIsMalformedFails) {
  for (const std::string& bad : {
           "GET / HTTP/1.1\r\n"s,
           "PROXX"s,
           "proxy TCP4"s,
           "PROXY\r\n"s,
           "PROXY \r\n"s,
           "PROXY TCP4\r\n"s,
           "PROXY TCP5 192.0.2.1 198.51.100.1 40312 80\r\n"s,
           "PROXY tcp4 192.0.2.1 198.51.100.1 40312 80\r\n"s,
           "PROXY TCP4 192.0.2.1 198.51.100.1 40312 80\n"s,
           "PROXY TCP4 192.0.2.1 198.51.100.1 40312\r\n"s,
           "PROXY TCP4 192.0.2.1 198.51.100.1 40312 80 \r\n"s,
           "PROXY TCP4  192.0.2.1 198.51.100.1 40312 80\r\n"s,
           "PROXY TCP4 192.0.2.1 198.51.100.1 40312 80x\r\n"s,
           "PROXY TCP4 192.0.2.1 198.51.100.1 65536 80\r\n"s,
           "PROXY TCP4 192.0.2.1 198.51.100.1 -1 80\r\n"s,
           "PROXY TCP4 192.0.2.1 198.51.100.1 040312 80\r\n"s,
           "PROXY TCP4 192.0.2.01 198.51.100.1 40312 80\r\n"s,
           "PROXY TCP4 192.0.2 198.51.100.1 40312 80\r\n"s,
           "PROXY TCP4 2001:db8::7 2001:db8::1 40312 80\r\n"s,
           "PROXY TCP6 192.0.2.1 198.51.100.1 40312 80\r\n"s,
           "PROXY TCP6 fe80::1%lo fe80::2%lo 40312 80\r\n"s,
           "PROXY TCP4 192.0.2.1 localhost 40312 80\r\n"s,
           "PROXY TCP4 192.0.2.1\0 198.51.100.1 40312 80\r\n"s,
           "PROXY UNKNOWN " + std::string(92, 'x') + "\r\n",  // 108 bytes
           "\r\n\r\n\0\r\nQUIX\n"s,
           "\r\n\r\nG"s,
           binary(0x11, 0x11, block_v4),
           binary(0x22, 0x11, block_v4),
           binary(0x21, 0x12, block_v4),
           binary(0x21, 0x22, block_v6),
           binary(0x21, 0x32, std::string(216, 'p')),
           binary(0x21, 0x41, block_v6),
           binary(0x21, 0x11, block_v4.substr(1)),
           binary(0x21, 0x21, block_v4),
           binary(0x21, 0x31, std::string(215, 'p')),
       }) {
    for (std::size_t cut = 0; cut <= bad.size(); ++cut) {
      ASSERT_EQ(read(bad, cut).how, progress::failed) << bad << " cut at " << cut;
    }
  }
}

TEST(ProxyHeader, FailsAtTheFirstByteThatCannotBeOne) {
  proxy_header header;
  std::string_view bytes = "PROXY";
  EXPECT_EQ(header.feed(bytes), progress::need_more);
  bytes = "x";
  EXPECT_EQ(header.feed(bytes), progress::failed);
}

TEST(ProxyHeader, OfRandomBytesEnds) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::minstd_rand random(seed);
  const auto headers = good_headers();
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = headers[random() % headers.size()].bytes.substr(0, 300);
    for (auto changes = random() % 4; changes != 0; --changes) {
      bytes[random() % bytes.size()] = static_cast<char>(random() % 256);
    }
    const auto whole = read(bytes);
    const auto halves = read(bytes, random() % bytes.size());
    ASSERT_EQ(whole.how, halves.how) << bytes;
    ASSERT_EQ(whole.from, halves.from);
    if (whole.how == progress::done) {
      ASSERT_EQ(whole.rest, halves.rest);
    }
  }
}

}  // namespace
}  // namespace curfew::http
