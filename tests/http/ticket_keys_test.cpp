// For how long the keys of a server's tickets are good.
#include "http/tls/ticket_keys.hpp"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <array>
#include <chrono>
#include <curfew/tls/detail/engine.hpp>
#include <memory>
#include <string>

namespace curfew::http {
namespace {

using namespace std::chrono_literals;
using opened = ticket_keys::opened;

struct free_evp {
  void operator()(EVP_CIPHER_CTX* p) const noexcept { EVP_CIPHER_CTX_free(p); }
  void operator()(EVP_MAC* p) const noexcept { EVP_MAC_free(p); }
  void operator()(EVP_MAC_CTX* p) const noexcept { EVP_MAC_CTX_free(p); }
};
template <class T>
using evp_ptr = std::unique_ptr<T, free_evp>;

using block = std::array<unsigned char, 64>;

/// As OpenSSL does it with a session.
struct ticket {
  std::array<unsigned char, ticket_keys::name_size> name{};
  std::array<unsigned char, EVP_MAX_IV_LENGTH> iv{};
  block closed{};
  std::array<unsigned char, 32> signature{};
};

constexpr block session = {'a', ' ', 's', 'e', 's', 's', 'i', 'o', 'n'};

struct tools {
  evp_ptr<EVP_CIPHER_CTX> cipher{EVP_CIPHER_CTX_new()};
  evp_ptr<EVP_MAC> hmac{EVP_MAC_fetch(nullptr, "HMAC", nullptr)};
  evp_ptr<EVP_MAC_CTX> mac{EVP_MAC_CTX_new(hmac.get())};

  std::array<unsigned char, 32> sign(const block& bytes) const {
    std::array<unsigned char, 32> out{};
    std::size_t size = 0;
    EXPECT_EQ(EVP_MAC_init(mac.get(), nullptr, 0, nullptr), 1);
    EXPECT_EQ(EVP_MAC_update(mac.get(), bytes.data(), bytes.size()), 1);
    EXPECT_EQ(EVP_MAC_final(mac.get(), out.data(), &size, out.size()), 1);
    EXPECT_EQ(size, out.size());
    return out;
  }
};

ticket close(ticket_keys& keys, ticket_keys::clock::time_point now) {
  ticket made;
  const tools by;
  EXPECT_TRUE(keys.close(made.name, made.iv.data(), by.cipher.get(), by.mac.get(), now));
  int size = 0;
  EXPECT_EQ(EVP_EncryptUpdate(by.cipher.get(), made.closed.data(), &size, session.data(),
                              static_cast<int>(session.size())),
            1);
  made.signature = by.sign(made.closed);
  return made;
}

opened open(ticket_keys& keys, const ticket& with, ticket_keys::clock::time_point now) {
  const tools by;
  const opened how = keys.open(with.name, with.iv.data(), by.cipher.get(), by.mac.get(), now);
  if (how != opened::current && how != opened::old) return how;
  EXPECT_EQ(by.sign(with.closed), with.signature);
  block read{};
  int size = 0;
  EVP_CIPHER_CTX_set_padding(by.cipher.get(), 0);
  EXPECT_EQ(EVP_DecryptUpdate(by.cipher.get(), read.data(), &size, with.closed.data(),
                              static_cast<int>(with.closed.size())),
            1);
  EXPECT_EQ(read, session);
  return how;
}

constexpr ticket_keys::clock::time_point start{100h};

TEST(TicketKeys, OpenWhatTheyHaveClosed) {
  ticket_keys keys;
  const ticket made = close(keys, start);
  EXPECT_EQ(open(keys, made, start), opened::current);
  EXPECT_EQ(open(keys, made, start + 1h - 1ns), opened::current);
}

TEST(TicketKeys, OpenForAnHourAfterTheyHaveClosedTheirLast) {
  ticket_keys keys;
  close(keys, start);
  const ticket last = close(keys, start + 1h - 1ns);
  EXPECT_EQ(open(keys, last, start + 1h), opened::old);
  EXPECT_EQ(open(keys, last, start + 2h - 1ns), opened::old);
  EXPECT_EQ(open(keys, last, start + 2h), opened::unknown);
}

TEST(TicketKeys, AreNotKeptByAServerThatWasIdle) {
  ticket_keys keys;
  const ticket made = close(keys, start);
  EXPECT_EQ(open(keys, made, start + 24h), opened::unknown);
  EXPECT_EQ(open(keys, made, start), opened::unknown) << "they are gone";
}

TEST(TicketKeys, AreNewInEachHour) {
  ticket_keys keys;
  const ticket first = close(keys, start);
  const ticket second = close(keys, start + 1h);
  EXPECT_NE(first.name, second.name);
  EXPECT_EQ(open(keys, first, start + 1h), opened::old);
  EXPECT_EQ(open(keys, second, start + 1h), opened::current);
  const ticket third = close(keys, start + 2h);
  EXPECT_EQ(open(keys, first, start + 2h), opened::unknown);
  EXPECT_EQ(open(keys, second, start + 2h), opened::old);
  EXPECT_EQ(open(keys, third, start + 2h), opened::current);
}

TEST(TicketKeys, OfAnotherServerAreUnknown) {
  ticket_keys one;
  ticket_keys other;
  EXPECT_EQ(open(other, close(one, start), start), opened::unknown);
}

}  // namespace
}  // namespace curfew::http
