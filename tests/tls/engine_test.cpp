// Two ends of TLS with a wire between them that passes bytes as the test says. No thread, no time.
#include <curfew/tls/detail/engine.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <curfew/tls/certificate_authority.hpp>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "tls/wire.hpp"

namespace curfew::tls {
namespace {

using namespace tests;
using curfew::testing::certificate_options;
using curfew::testing::validity;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using progress = tls::engine::progress;

std::string text_of(std::size_t size) {
  std::string made;
  for (std::size_t i = 0; made.size() < size; ++i) made += std::to_string(i) + ' ';
  made.resize(size);
  return made;
}

ssize_t write(tls::engine& to, std::string_view text) { return to.write({&text, 1}); }

/// All that can be read now, up to `most` bytes a time; what it ends with is in errno, 0 for close_notify.
std::string read_all(tls::engine& from, std::size_t most = 4096) {
  std::string all;
  std::string into(most, '\0');
  for (ssize_t n = 0; (n = from.read(into)) != 0;) {
    if (n < 0) return all;
    all.append(into, 0, static_cast<std::size_t>(n));
  }
  errno = 0;
  return all;
}

class TlsEngine : public ::testing::TestWithParam<int> {};

TEST_P(TlsEngine, ShakesHandsAndSpeaksByteByByte) {
  tls_pair pair(GetParam());
  ASSERT_TRUE(pair.shake(1)) << pair.client.failure() << pair.server.failure();
  EXPECT_EQ(SSL_version(pair.client.ssl()), GetParam());
  EXPECT_EQ(write(pair.client, "question"), 8);
  EXPECT_EQ(write(pair.server, "answer"), 6);
  std::string heard;
  std::string answered;
  while (pair.pump(1)) {
    heard += read_all(pair.server);
    EXPECT_EQ(errno, EAGAIN);
    answered += read_all(pair.client);
    EXPECT_EQ(errno, EAGAIN);
  }
  EXPECT_EQ(heard, "question");
  EXPECT_EQ(answered, "answer");
}

TEST_P(TlsEngine, ShakesHandsWhileItReadsOrWrites) {
  tls_pair pair(GetParam());
  std::string heard;
  bool asked = false;
  for (int idle = 0; idle < 2; idle = pair.pump() ? 0 : idle + 1) {
    if (!asked) asked = write(pair.client, "question") == 8;
    heard += read_all(pair.server);
  }
  EXPECT_TRUE(asked);
  EXPECT_EQ(heard, "question");
}

TEST_P(TlsEngine, WholeRecordsAreReadByteByByteWithoutANewEvent) {
  tls_pair pair(GetParam());
  ASSERT_TRUE(pair.shake());
  const std::string text = text_of(16 * 1024);
  ASSERT_EQ(write(pair.server, text), std::ssize(text));
  while (pair.pump()) {
  }
  EXPECT_TRUE(read_all(pair.client, 1) == text);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_P(TlsEngine, KnowsWhenItHasGivenAllThatCame) {
  tls_pair pair(GetParam());
  ASSERT_TRUE(pair.shake());
  ASSERT_EQ(write(pair.server, "one"), 3);
  ASSERT_EQ(write(pair.server, "two"), 3);
  ASSERT_EQ(write(pair.server, text_of(9000)), 9000);
  while (pair.pump()) {
  }
  std::string into(4096, '\0');
  for (int i = 0; i != 2; ++i) {  // of as many records as there are
    ASSERT_EQ(pair.client.read(into), 4096);
    EXPECT_FALSE(pair.client.is_drained());
  }
  ASSERT_EQ(pair.client.read(into), 3 + 3 + 9000 - 2 * 4096);
  EXPECT_TRUE(pair.client.is_drained());
  ASSERT_EQ(write(pair.server, "more"), 4);
  while (pair.pump()) {
  }
  ASSERT_EQ(pair.client.read(into), 4);
  EXPECT_TRUE(pair.client.is_drained());
  // An end that came with the last bytes is still to be said.
  ASSERT_EQ(write(pair.server, "last"), 4);
  ASSERT_EQ(pair.server.finish(), engine::progress::done);
  while (pair.pump()) {
  }
  ASSERT_EQ(pair.client.read(into), 4);
  EXPECT_FALSE(pair.client.is_drained());
  EXPECT_EQ(pair.client.read(into), 0);
}

TEST_P(TlsEngine, NothingIsSentTwiceOrChangedWhateverTheSocketTakes) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 numbers(seed);
  bool kept = false;
  for (const int buffer : {0, 1}) {
    for (const std::size_t most : {1UL, 100UL, 5000UL, 100'000UL}) {
      tls_pair pair(GetParam(), buffer);
      ASSERT_TRUE(pair.shake(most));
      speaker client(pair.client, numbers);
      speaker server(pair.server, numbers);
      const std::size_t enough = most == 1 ? 2'000 : most == 100 ? 50'000 : 300'000;
      while (client.said().size() < enough || server.said().size() < enough) {
        client.write(40'000);
        server.write(40'000);
        kept = kept || pair.client.has_output();
        for (auto steps = numbers() % 20; steps-- != 0;) pair.pump(most);
        if (numbers() % 4 == 0) client.read(numbers() % 20'000);
        if (numbers() % 4 == 0) server.read(numbers() % 20'000);
        ASSERT_EQ(client.wrong() + server.wrong(), 0) << pair.client.failure() << pair.server.failure();
      }
      for (int idle = 0; idle < 2;) {
        std::ignore = pair.client.flush();
        std::ignore = pair.server.flush();
        const bool moved = pair.pump(100'000);
        idle = client.read_all() || server.read_all() || moved ? 0 : idle + 1;
      }
      EXPECT_TRUE(client.heard() == server.said());
      EXPECT_TRUE(server.heard() == client.said());
    }
  }
  EXPECT_TRUE(kept);
}

TEST_P(TlsEngine, WhatTheSocketDoesNotTakeIsKeptAndTakesTheNextCallsPlace) {
  tls_pair pair(GetParam(), 1);
  ASSERT_TRUE(pair.shake());
  const std::string text = text_of(1'000'000);
  std::string_view rest = text;
  const ssize_t first = pair.client.write({&rest, 1});
  ASSERT_GT(first, 0);
  ASSERT_LT(first, std::ssize(text));
  EXPECT_EQ(std::ssize(rest) + first, std::ssize(text));
  EXPECT_TRUE(pair.client.has_output());
  EXPECT_EQ(pair.client.flush(), progress::blocked);
  EXPECT_EQ(write(pair.client, "more"), -1);
  EXPECT_EQ(errno, EAGAIN);
  std::string heard;
  while (pair.pump() || pair.client.has_output()) {
    std::ignore = pair.client.flush();
    heard += read_all(pair.server);
  }
  EXPECT_EQ(pair.client.flush(), progress::done);
  EXPECT_TRUE(heard == text.substr(0, static_cast<std::size_t>(first))) << heard.size();
}

TEST_P(TlsEngine, WritingNothingIsNothing) {
  tls_pair pair(GetParam());
  ASSERT_TRUE(pair.shake());
  while (pair.pump()) {
  }
  const std::size_t before = pair.up.passed();
  std::array<std::string_view, 3> empty{};
  EXPECT_EQ(pair.client.write(empty), 0);
  EXPECT_EQ(pair.client.write({}), 0);
  EXPECT_FALSE(pair.pump());
  EXPECT_EQ(pair.up.passed(), before);
}

TEST_P(TlsEngine, CloseNotifyEndsOneDirection) {
  tls_pair pair(GetParam());
  ASSERT_TRUE(pair.shake());
  write(pair.client, "question");
  EXPECT_EQ(pair.client.finish(), progress::done);
  EXPECT_EQ(pair.client.finish(), progress::done);
  EXPECT_EQ(write(pair.client, "more"), -1);
  EXPECT_EQ(errno, EPIPE);
  while (pair.pump()) {
  }
  EXPECT_EQ(read_all(pair.server), "question");
  EXPECT_EQ(errno, 0);
  EXPECT_EQ(read_all(pair.server), "");
  EXPECT_EQ(errno, 0) << "it stays so";
  const std::string answer = text_of(100'000);
  std::string_view rest = answer;
  std::string heard;
  while (!rest.empty()) {
    ASSERT_TRUE(pair.server.write({&rest, 1}) > 0 || errno == EAGAIN) << pair.server.failure();
    while (pair.pump()) heard += read_all(pair.client);
  }
  EXPECT_TRUE(heard == answer);
  EXPECT_EQ(pair.server.finish(), progress::done);
  while (pair.pump()) {
  }
  EXPECT_EQ(read_all(pair.client), "");
  EXPECT_EQ(errno, 0);
}

TEST_P(TlsEngine, AnEndWithoutCloseNotifyIsAReset) {
  tls_pair pair(GetParam());
  ASSERT_TRUE(pair.shake());
  write(pair.client, "question");
  ::shutdown(pair.at_client.fds[0], SHUT_WR);
  while (pair.pump()) {
  }
  EXPECT_EQ(read_all(pair.server), "question");
  for (int again = 0; again < 3; ++again) {
    EXPECT_EQ(errno, ECONNRESET);
    EXPECT_EQ(pair.server.failure(), "the connection was cut");
    EXPECT_EQ(write(pair.server, "answer"), -1);
    EXPECT_EQ(errno, ECONNRESET);
    EXPECT_EQ(pair.server.flush(), progress::failed);
    EXPECT_EQ(pair.server.finish(), progress::failed);
    EXPECT_EQ(read_all(pair.server), "");
  }
}

TEST_P(TlsEngine, ACutInsideARecordGivesNothingOfIt) {
  const std::string text = text_of(100);
  for (std::size_t at = 0;; ++at) {
    tls_pair pair(GetParam());
    ASSERT_TRUE(pair.shake());
    while (pair.pump()) {
    }
    const std::size_t before = pair.up.passed();
    pair.up.cut_after(before + at);
    write(pair.client, text);
    while (pair.pump()) {
    }
    const bool whole = pair.up.passed() - before > text.size() && read_all(pair.server) == text;
    if (!whole) {
      EXPECT_EQ(read_all(pair.server), "");
    }
    EXPECT_EQ(errno, ECONNRESET) << at;
    if (whole) break;
    ASSERT_LT(at, 1000U);
  }
}

/// How many bytes a handshake has in each direction.
std::pair<std::size_t, std::size_t> handshake_size(int version) {
  tls_pair pair(version);
  EXPECT_TRUE(pair.shake());
  while (pair.pump()) {
  }
  return {pair.up.passed(), pair.down.passed()};
}

TEST_P(TlsEngine, ACutInTheHandshakeFailsWhereverItIs) {
  const auto [up, down] = handshake_size(GetParam());
  for (const bool of_client : {true, false}) {
    const std::size_t size = of_client ? up : down;
    for (std::size_t at = 0; at < size; ++at) {
      tls_pair pair(GetParam());
      (of_client ? pair.up : pair.down).cut_after(at);
      pair.shake();
      while (pair.pump()) {
      }
      pair.up.cut();  // signatures differ in length: there may be fewer bytes
      for (tls::engine* each : {&pair.client, &pair.server}) {
        const bool was_open = each->is_open();
        EXPECT_EQ(read_all(*each), "");
        EXPECT_EQ(errno, ECONNRESET) << at << ' ' << each->failure();
        EXPECT_EQ(each->handshake(), progress::failed);
        if (!was_open) {
          EXPECT_FALSE(each->is_open());
          EXPECT_THAT(each->failure(), AnyOf("the connection was closed in the handshake", "Broken pipe"))
              << at;
        }
      }
    }
  }
}

TEST_P(TlsEngine, ASocketThatIsGoneRaisesNoSignal) {
  const auto before = std::signal(SIGPIPE, SIG_DFL);
  tls_pair pair(GetParam());
  ASSERT_TRUE(pair.shake());
  socket_pair::close(pair.at_client.fds[1]);
  EXPECT_EQ(write(pair.client, "question"), -1);
  EXPECT_EQ(errno, ECONNRESET);
  EXPECT_FALSE(pair.client.failure().empty());
  EXPECT_EQ(pair.client.finish(), progress::failed);
  tls_pair early(GetParam());
  socket_pair::close(early.at_client.fds[1]);
  EXPECT_EQ(early.client.handshake(), progress::failed);
  std::signal(SIGPIPE, before);
}

/// What may become of a record on the way.
struct damage {
  const char* name;
  std::function<void(std::string&, std::mt19937_64&)> change;
  bool is_seen = true;  // by the one that receives it, whichever record it is
};

void randomize(std::string& bytes, std::size_t from, std::mt19937_64& numbers) {
  for (std::size_t i = from; i < bytes.size(); ++i) bytes[i] = static_cast<char>(numbers());
}

std::vector<damage> damages() {
  return {
      {"garbage", [](std::string& r, std::mt19937_64& n) { randomize(r, 0, n); }},
      {"garbage behind the header", [](std::string& r, std::mt19937_64& n) { randomize(r, 5, n); }},
      {"a bit",
       [](std::string& r, std::mt19937_64& n) { r[n() % r.size()] ^= static_cast<char>(1U << n() % 8); },
       false},
      {"twice", [](std::string& r, std::mt19937_64&) { r += std::string(r); }, false},
      {"lost", [](std::string& r, std::mt19937_64&) { r.clear(); }, false},
      {"shorter", [](std::string& r, std::mt19937_64& n) { r.resize(n() % r.size()); }, false},
      {"an empty one before it",
       [](std::string& r, std::mt19937_64&) { r.insert(0, std::string("\x17\x03\x03\0\0", 5)); }, false},
      {"an alert in plain",
       [](std::string& r, std::mt19937_64&) { r.assign("\x15\x03\x03\0\x02\x01\0", 7); }},
      {"HTTP", [](std::string& r, std::mt19937_64&) { r = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"; }},
  };
}

/// A handshake, a question, an answer, both close_notify, with one record damaged. \return was there such a record?
bool survives(int version, bool of_client, int which, const damage& how, std::mt19937_64& numbers) {
  tls_pair pair(version);
  bool met = false;
  bool changed = false;
  (of_client ? pair.up : pair.down).on_record([&](std::string& record, int number) {
    if (number != which) return;
    const std::string before = record;
    how.change(record, numbers);
    met = true;
    changed = record != before;
  });
  const std::string question = text_of(1000);
  const std::string answer = text_of(30'000);
  std::string heard;
  std::string answered;
  std::string_view to_ask = question;
  std::string_view to_answer = answer;
  int client_end = EAGAIN;
  int server_end = EAGAIN;
  const auto step = [&] {
    if (!to_ask.empty() && pair.client.write({&to_ask, 1}) > 0 && to_ask.empty())
      std::ignore = pair.client.finish();
    if (server_end == EAGAIN) heard += read_all(pair.server), server_end = errno;
    if (server_end == 0 && !to_answer.empty() && pair.server.write({&to_answer, 1}) > 0 && to_answer.empty())
      std::ignore = pair.server.finish();
    if (client_end == EAGAIN) answered += read_all(pair.client), client_end = errno;
    std::ignore = pair.client.flush();
    std::ignore = pair.server.flush();
    return pair.pump();
  };
  int steps = 0;
  for (int idle = 0; idle < 2 && steps < 10'000; ++steps) idle = step() ? 0 : idle + 1;
  EXPECT_LT(steps, 10'000);
  pair.up.cut();
  step();
  // What was heard is what was said, and an end is only where it was said.
  EXPECT_TRUE(question.starts_with(heard));
  EXPECT_TRUE(answer.starts_with(answered));
  EXPECT_TRUE(server_end == 0 ? heard == question : server_end == EPROTO || server_end == ECONNRESET)
      << server_end;
  EXPECT_TRUE(client_end == 0 ? answered == answer : client_end == EPROTO || client_end == ECONNRESET)
      << client_end;
  if (server_end != 0) {
    EXPECT_FALSE(pair.server.failure().empty());
  }
  if (client_end != 0) {
    EXPECT_FALSE(pair.client.failure().empty());
  }
  if (changed && how.is_seen) {
    EXPECT_NE(of_client ? server_end : client_end, 0);
  }
  if (!changed) {
    EXPECT_EQ(server_end, 0);
    EXPECT_EQ(client_end, 0);
  }
  return met;
}

TEST_P(TlsEngine, ADamagedRecordIsAFailureAndNeverContent) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 numbers(seed);
  for (const auto& how : damages()) {
    for (const bool of_client : {true, false}) {
      for (int which = 0; which < 100; ++which) {
        SCOPED_TRACE(std::string(how.name) + (of_client ? " of the client, " : " of the server, ") +
                     std::to_string(which));
        bool met = true;
        for (int round = 0; round < 3 && met; ++round)
          met = survives(GetParam(), of_client, which, how, numbers);
        if (HasFatalFailure() || HasNonfatalFailure()) return;
        if (!met) break;
      }
    }
  }
}

TEST_P(TlsEngine, WhatDoesNotSpeakTlsFails) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 numbers(seed);
  for (int i = 0; i < 200; ++i) {
    for (const bool is_server : {true, false}) {
      tls_pair pair(GetParam());
      tls::engine& engine = is_server ? pair.server : pair.client;
      const int other = is_server ? pair.at_server.fds[1] : pair.at_client.fds[1];
      std::string garbage(numbers() % 3000, '\0');
      randomize(garbage, 0, numbers);
      if (i % 2 == 0) garbage.insert(0, std::string("\x16\x03\x01", 3));
      ASSERT_EQ(::send(other, garbage.data(), garbage.size(), MSG_NOSIGNAL), std::ssize(garbage));
      ::shutdown(other, SHUT_WR);
      EXPECT_EQ(engine.handshake(), progress::failed);
      EXPECT_FALSE(engine.failure().empty());
      EXPECT_EQ(read_all(engine), "");
      EXPECT_TRUE(errno == EPROTO || errno == ECONNRESET);
    }
  }
}

TEST_P(TlsEngine, ACloseNotifyInPlainIsNoEnd) {
  const std::string_view close_notify("\x15\x03\x03\0\x02\x01\0", 7);
  for (const bool is_open : {false, true}) {
    tls_pair pair(GetParam());
    if (is_open) {
      ASSERT_TRUE(pair.shake());
    }
    while (pair.pump()) {
    }
    for (auto [engine, other] :
         {std::pair(&pair.server, &pair.at_server), std::pair(&pair.client, &pair.at_client)}) {
      ASSERT_EQ(::send(other->fds[1], close_notify.data(), close_notify.size(), 0), std::ssize(close_notify));
      EXPECT_EQ(read_all(*engine), "");
      EXPECT_TRUE(errno == EPROTO || errno == ECONNRESET) << errno;
      EXPECT_EQ(engine->handshake(), progress::failed);
      EXPECT_FALSE(engine->failure().empty());
    }
  }
}

TEST_P(TlsEngine, WhatCameBeforeTheSocketWasGoneCanStillBeRead) {
  for (const bool ends_in_order : {true, false}) {
    tls_pair pair(GetParam());
    ASSERT_TRUE(pair.shake());
    write(pair.server, "refused");
    if (ends_in_order) std::ignore = pair.server.finish();
    while (pair.down.pump(100)) {
    }
    socket_pair::close(pair.at_client.fds[1]);
    EXPECT_EQ(write(pair.client, "question"), -1);
    EXPECT_EQ(errno, ECONNRESET);
    EXPECT_EQ(read_all(pair.client), "refused");
    EXPECT_EQ(errno, ends_in_order ? 0 : ECONNRESET);
    EXPECT_FALSE(pair.client.failure().empty());
  }
}

TEST_P(TlsEngine, AnHttpRequestIsNamed) {
  tls_pair pair(GetParam());
  const std::string_view request = "GET / HTTP/1.1\r\n\r\n";
  ASSERT_EQ(::send(pair.at_server.fds[1], request.data(), request.size(), 0), std::ssize(request));
  EXPECT_EQ(pair.server.handshake(), progress::failed);
  EXPECT_EQ(pair.server.reason(), SSL_R_HTTP_REQUEST);
}

INSTANTIATE_TEST_SUITE_P(Of, TlsEngine, ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& of) { return of.param == TLS1_2_VERSION ? "Tls12" : "Tls13"; });

TEST(TlsEngineKeyUpdate, MayComeAnywhereInBothDirections) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 numbers(seed);
  int updates = 0;
  for (const int buffer : {0, 1}) {
    for (const std::size_t most : {1000UL, 100'000UL}) {
      tls_pair pair(TLS1_3_VERSION, buffer);
      ASSERT_TRUE(pair.shake());
      speaker client(pair.client, numbers);
      speaker server(pair.server, numbers);
      while (client.said().size() < 300'000 || server.said().size() < 300'000) {
        for (tls::engine* each : {&pair.client, &pair.server}) {
          if (numbers() % 8 != 0) continue;
          const int kind = numbers() % 4 == 0 ? SSL_KEY_UPDATE_NOT_REQUESTED : SSL_KEY_UPDATE_REQUESTED;
          updates += SSL_key_update(each->ssl(), kind);
        }
        client.write(40'000);
        server.write(40'000);
        for (auto steps = numbers() % 100; steps-- != 0;) pair.pump(most);
        if (numbers() % 3 == 0) client.read_all(1 + numbers() % 20'000);
        if (numbers() % 3 == 0) server.read_all(1 + numbers() % 20'000);
        ASSERT_EQ(client.wrong() + server.wrong(), 0) << pair.client.failure() << pair.server.failure();
      }
      for (int idle = 0; idle < 2;) {
        std::ignore = pair.client.flush();
        std::ignore = pair.server.flush();
        const bool moved = pair.pump(100'000);
        idle = client.read_all() || server.read_all() || moved ? 0 : idle + 1;
      }
      EXPECT_TRUE(client.heard() == server.said());
      EXPECT_TRUE(server.heard() == client.said());
    }
  }
  EXPECT_GT(updates, 10);
}

TEST(TlsEngineKeyUpdate, AnEndThatAsksForThemAndReadsNoneIsHeldBack) {
  tls_pair pair(TLS1_3_VERSION, 1);
  ASSERT_TRUE(pair.shake());
  while (pair.pump()) {
  }
  const std::size_t before = pair.down.passed();
  std::size_t asked = 0;
  std::size_t heard = 0;
  bool held_back = false;
  // Bytes go up, and none comes down.
  for (int round = 0; round < 30'000 && !held_back; ++round) {
    if (SSL_key_update(pair.client.ssl(), SSL_KEY_UPDATE_REQUESTED) == 1 && write(pair.client, "x") == 1)
      ++asked;
    std::ignore = pair.client.flush();
    const bool moved = pair.up.pump(100'000);
    const std::size_t now = read_all(pair.server).size();
    heard += now;
    held_back = !moved && now == 0;
  }
  EXPECT_TRUE(held_back) << asked;
  EXPECT_TRUE(pair.server.has_output());
  // And all goes on as soon as it reads.
  for (int idle = 0; idle < 2;) {
    std::ignore = pair.client.flush();
    std::ignore = pair.server.flush();
    heard += read_all(pair.server).size();
    std::ignore = read_all(pair.client);
    ASSERT_EQ(errno, EAGAIN) << pair.client.failure();
    idle = pair.pump(100'000) ? 0 : idle + 1;
  }
  EXPECT_EQ(heard, asked);
  EXPECT_LT(pair.down.passed() - before, 1'000'000U);
}

TEST(TlsEngineTrust, SaysWhichCertificateIsRefusedAndWhy) {
  const auto& shared = shared_authority::get();
  const curfew::testing::certificate_authority stranger("stranger");
  const auto client = client_context(shared.ca.root_file());
  const auto refused = [&](const curfew::testing::test_certificate& who, const char* host = "localhost") {
    const auto server = server_context(who);
    tls_pair pair(server.get(), client.get(), 0, 0, host);
    EXPECT_FALSE(pair.shake());
    EXPECT_FALSE(pair.client.is_open());
    EXPECT_EQ(pair.client.read({}), -1);
    EXPECT_EQ(errno, EPROTO);
    std::ignore = read_all(pair.server);
    EXPECT_THAT(pair.server.failure(), HasSubstr("the other end refuses")) << pair.client.failure();
    return pair.client.failure();
  };
  EXPECT_THAT(refused(shared.ca.issue({"localhost"}, certificate_options().valid(validity::expired))),
              AllOf(HasSubstr("localhost"), HasSubstr("expired")));
  EXPECT_THAT(refused(shared.ca.issue({"localhost"}, certificate_options().valid(validity::not_yet))),
              AllOf(HasSubstr("localhost"), HasSubstr("valid")));
  EXPECT_THAT(refused(shared.ca.issue({"other.test"})),
              AllOf(HasSubstr("localhost"), HasSubstr("other.test")));
  EXPECT_THAT(refused(stranger.issue({"localhost"})), HasSubstr("stranger"));
  EXPECT_FALSE(refused(shared.ca.issue({"localhost"}, certificate_options().self_signed())).empty());
  EXPECT_FALSE(refused(shared.ca.issue({"localhost"}, certificate_options().without_intermediate())).empty());
  EXPECT_FALSE(refused(shared.ca.issue({"localhost"}, certificate_options().for_client())).empty());
}

TEST(TlsEngineTrust, AClientLearnsThatItsCertificateIsRefused) {
  const auto& shared = shared_authority::get();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const auto server = server_context(shared.localhost);
    ASSERT_EQ(SSL_CTX_load_verify_file(server.get(), shared.ca.root_file().c_str()), 1);
    SSL_CTX_set_verify(server.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    const auto client = client_context(shared.ca.root_file());
    tls_pair pair(server.get(), client.get(), version);
    pair.shake();
    EXPECT_FALSE(pair.server.is_open());
    for (int i = 0; i < 4; ++i) {
      std::ignore = pair.server.flush();
      pair.pump();
    }
    EXPECT_EQ(read_all(pair.client), "");
    EXPECT_EQ(errno, EPROTO);
    EXPECT_THAT(pair.client.failure(), HasSubstr("the other end refuses"));
  }
}

}  // namespace
}  // namespace curfew::tls
