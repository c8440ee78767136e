// TLS while it carries requests: sessions, other keys, the end of a connection, and who the client is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/tls/detail/engine.hpp>
#include <fstream>
#include <future>
#include <string>
#include <string_view>
#include <thread>

#include "http/client_peer.hpp"
#include "http/tls_peer.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using ::testing::HasSubstr;

void tls12(SSL_CTX* of) { SSL_CTX_set_max_proto_version(of, TLS1_2_VERSION); }
void tls13(SSL_CTX* of) { SSL_CTX_set_min_proto_version(of, TLS1_3_VERSION); }

std::string body_of(client& sender, const std::string& url) {
  const auto answer = sender.send(background(), request("GET", url));
  return answer ? answer->body() : answer.error().message();
}

// Sessions.

class TlsSessions : public ::testing::TestWithParam<void (*)(SSL_CTX*)> {
 protected:
  tls_script_peer server{
      [](tls_conversation& c) {
        if (c.read_header().empty()) return;
        c.write(ok(SSL_session_reused(c.ssl()) != 0 ? "resumed" : "new", "Connection: close\r\n"));
        c.finish();
      },
      GetParam()};
};

TEST_P(TlsSessions, AreResumedByTheSameClientAlone) {
  client sender(trusting_options());
  EXPECT_EQ(body_of(sender, server.url()), "new");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(body_of(sender, server.url()), "resumed");
  client other(trusting_options());
  EXPECT_EQ(body_of(other, server.url()), "new");
}

TEST_P(TlsSessions, AreThoseOfOneOrigin) {
  client sender(trusting_options());
  EXPECT_EQ(body_of(sender, server.url("/", "localhost")), "new");
  EXPECT_EQ(body_of(sender, server.url("/", "peer.test")), "new");
  EXPECT_EQ(body_of(sender, server.url("/", "127.0.0.1")), "new");
  EXPECT_EQ(body_of(sender, server.url("/", "peer.test")), "resumed");
}

INSTANTIATE_TEST_SUITE_P(OfEachVersion, TlsSessions, ::testing::Values(&tls12, &tls13),
                         [](const auto& of) { return of.param == &tls12 ? "Tls12" : "Tls13"; });

TEST(TlsSession, OfTls13IsUsedOnce) {
  SSL_CTX* context = nullptr;
  tls_script_peer server(
      [&](tls_conversation& c) {
        SSL_CTX_set_num_tickets(context, 0);  // the first connection has got the only one
        if (c.read_header().empty()) return;
        c.write(ok(SSL_session_reused(c.ssl()) != 0 ? "resumed" : "new", "Connection: close\r\n"));
      },
      [&](SSL_CTX* of) {
        context = of;
        tls13(of);
        SSL_CTX_set_num_tickets(of, 1);
      });
  client sender(trusting_options());
  EXPECT_EQ(body_of(sender, server.url()), "new");
  EXPECT_EQ(body_of(sender, server.url()), "resumed");
  EXPECT_EQ(body_of(sender, server.url()), "new");
}

// Connections that are kept.

TEST(TlsIdle, StaysWhereATicketComes) {
  moment send_ticket;
  moment sent;
  tls_script_peer server(
      [&](tls_conversation& c) {
        if (c.read_header().empty()) return;
        c.write(ok("first"));
        if (!send_ticket.wait()) return;
        SSL_new_session_ticket(c.ssl());
        SSL_do_handshake(c.ssl());
        sent.set();
        if (!c.read_header().empty()) c.write(ok("second"));
      },
      &tls13);
  client sender(trusting_options());
  EXPECT_EQ(body_of(sender, server.url()), "first");
  send_ticket.set();
  ASSERT_TRUE(sent.wait());
  EXPECT_EQ(body_of(sender, server.url()), "second");
  EXPECT_EQ(server.connections(), 1);
}

TEST(TlsIdle, StaysWhereOtherKeysCome) {
  moment go;
  moment sent;
  tls_script_peer server(
      [&](tls_conversation& c) {
        if (c.read_header().empty()) return;
        c.write(ok("first"));
        if (!go.wait()) return;
        SSL_key_update(c.ssl(), SSL_KEY_UPDATE_REQUESTED);
        SSL_do_handshake(c.ssl());
        sent.set();
        if (!c.read_header().empty()) c.write(ok("second"));
      },
      &tls13);
  client sender(trusting_options());
  EXPECT_EQ(body_of(sender, server.url()), "first");
  go.set();
  ASSERT_TRUE(sent.wait());
  EXPECT_EQ(body_of(sender, server.url()), "second");
  EXPECT_EQ(server.connections(), 1);
}

TEST(TlsIdle, GoesWhereAnAnswerComesThatNothingAskedFor) {
  moment go;
  moment sent;
  tls_script_peer server([&](tls_conversation& c) {
    if (c.read_header().empty()) return;
    if (c.tcp().number() > 1) {
      c.write(ok("right"));
      return;
    }
    c.write(ok("first"));
    if (!go.wait()) return;
    c.write(ok("stray"));
    sent.set();
    c.read_header();
  });
  client sender(trusting_options());
  EXPECT_EQ(body_of(sender, server.url()), "first");
  go.set();
  ASSERT_TRUE(sent.wait());
  EXPECT_EQ(body_of(sender, server.url()), "right");
  EXPECT_EQ(server.connections(), 2);
}

TEST(TlsIdle, GoesWithItsEnd) {
  for (const bool says_so : {true, false}) {
    moment go;
    moment gone;
    tls_script_peer server([&](tls_conversation& c) {
      if (c.read_header().empty()) return;
      c.write(ok(std::to_string(c.tcp().number())));
      if (c.tcp().number() > 1 || !go.wait()) return;
      if (says_so) c.finish();
      shutdown(c.tcp().fd(), SHUT_RDWR);
      gone.set();
    });
    client sender(trusting_options());
    EXPECT_EQ(body_of(sender, server.url()), "1");
    go.set();
    ASSERT_TRUE(gone.wait());
    const auto answer = sender.send(background(), request("POST", server.url()));
    ASSERT_TRUE(answer) << answer.error();
    EXPECT_EQ(answer->body(), "2");
  }
}

// Bodies.

std::string pattern(std::size_t size) {
  std::string made(size, '\0');
  for (std::size_t i = 0; i < size; ++i) made[i] = static_cast<char>('a' + i * 7 % 26);
  return made;
}

result<std::string> download_all(client& sender, const std::string& url) {
  auto from = sender.open(background(), request("GET", url));
  if (!from) return from.error();
  std::string body;
  for (;;) {
    auto part = from->read(background());
    if (!part) return part.error();
    if (!*part) return body;
    body += **part;
  }
}

TEST(TlsBody, IsReadWithOtherKeysOnTheWay) {
  const std::string body = pattern(1024 * 1024);
  tls_script_peer server(
      [&](tls_conversation& c) {
        if (c.read_header().empty()) return;
        c.write("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
        for (std::size_t at = 0; at < body.size(); at += 50'000) {
          if (at % 150'000 == 0) {
            SSL_key_update(c.ssl(),
                           at % 300'000 == 0 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
          }
          c.write(std::string_view(body).substr(at, 50'000));
        }
        c.read_some();
      },
      &tls13);
  client sender(trusting_options());
  const auto downloaded = download_all(sender, server.url());
  ASSERT_TRUE(downloaded) << downloaded.error();
  EXPECT_EQ(*downloaded, body);
  EXPECT_EQ(body_of(sender, server.url()), body);
}

TEST(TlsBody, IsSentWithOtherKeysOnTheWayToAServerThatReadsSlowly) {
  const std::string body = pattern(4 * 1024 * 1024);
  std::promise<std::string> got;
  tls_script_peer server(
      [&](tls_conversation& c) {
        const int small = 64 * 1024;
        setsockopt(c.tcp().fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        std::string seen = c.read_header();
        seen.erase(0, seen.find("\r\n\r\n") + 4);
        std::size_t next = 0;
        while (seen.size() < body.size()) {
          if (seen.size() > next) {
            SSL_key_update(c.ssl(), SSL_KEY_UPDATE_REQUESTED);
            SSL_do_handshake(c.ssl());
            next = seen.size() + 300'000;
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
          }
          const std::string more = c.read_some();
          if (more.empty()) break;
          seen += more;
        }
        got.set_value(std::move(seen));
        c.write(ok("thanks"));
        c.read_some();
      },
      &tls13);
  client sender(trusting_options());
  request asks("POST", server.url());
  asks.body(body);
  const auto answer = sender.send(background(), std::move(asks));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "thanks");
  EXPECT_EQ(got.get_future().get(), body);
}

TEST(TlsBody, IsWholeWithItsEndAlone) {
  struct framing {
    const char* head;
    const char* whole;
    bool needs_end;
  };
  for (const auto& [head, whole, needs_end] :
       {framing{"Content-Length: 6\r\n\r\n", "secret", false},
        framing{"Transfer-Encoding: chunked\r\n\r\n", "6\r\nsecret\r\n0\r\n\r\n", false},
        framing{"\r\n", "secret", true}}) {
    for (const bool says_end : {true, false}) {
      for (const bool cuts : {true, false}) {
        const std::string all(whole);
        tls_script_peer server([&](tls_conversation& c) {
          if (c.read_header().empty()) return;
          c.write("HTTP/1.1 200 OK\r\n" + std::string(head));
          c.write(all.substr(0, cuts ? 4 : all.size()));
          if (says_end) c.finish();
        });
        const bool is_whole = needs_end ? says_end : !cuts;
        client sender(trusting_options());
        const auto answer = sender.send(background(), request("GET", server.url()));
        const auto downloaded = download_all(sender, server.url());
        ASSERT_EQ(answer.has_value(), is_whole) << head << says_end << cuts;
        ASSERT_EQ(downloaded.has_value(), is_whole) << head << says_end << cuts;
        if (!is_whole) {
          EXPECT_EQ(answer.error(), errc::truncated_body) << answer.error();
          EXPECT_EQ(downloaded.error(), errc::truncated_body) << downloaded.error();
        }
      }
    }
  }
}

TEST(TlsBody, IsReadWhereEachRecordHasOneByte) {
  tls_script_peer server([&](tls_conversation& c) {
    if (c.read_header().empty()) return;
    for (const char byte : ok("secret")) c.write({&byte, 1});
    c.read_some();
  });
  client sender(trusting_options());
  EXPECT_EQ(body_of(sender, server.url()), "secret");
  const auto downloaded = download_all(sender, server.url());
  ASSERT_TRUE(downloaded) << downloaded.error();
  EXPECT_EQ(*downloaded, "secret");
}

TEST(TlsAnswer, ThatComesEarlyStopsTheBody) {
  tls_script_peer server([&](tls_conversation& c) {
    if (c.read_header().empty()) return;
    c.write("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    c.finish();
    c.tcp().sees_close();
  });
  client sender(trusting_options());
  request asks("POST", server.url());
  asks.body(std::string(8 * 1024 * 1024, 'x'));
  const auto answer = sender.send(background(), std::move(asks));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->status(), static_cast<status>(413));
}

// Ends.

TEST(TlsEnds, ComeInEachPhase) {
  enum class at { header, body, sending };
  for (const auto where : {at::header, at::body, at::sending}) {
    moment there;
    moment canceled;
    moment closed;
    tls_script_peer server([&](tls_conversation& c) {
      if (c.read_header().empty()) return;
      if (where == at::body) c.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nse");
      if (where == at::header) c.write("HTTP/1.1 200 OK\r\nX: ");
      there.set();
      if (where == at::sending && !canceled.wait()) return;
      if (c.tcp().sees_close()) closed.set();
    });
    client sender(trusting_options());
    auto scope = with_cancel(background());
    auto reply = std::async(std::launch::async, [&] {
      request asks(where == at::sending ? "POST" : "GET", server.url());
      if (where == at::sending) asks.body(std::string(64 * 1024 * 1024, 'x'));
      return sender.send(scope, std::move(asks));
    });
    ASSERT_TRUE(there.wait());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    scope.cancel();
    canceled.set();
    ASSERT_EQ(reply.wait_for(patience), std::future_status::ready);
    const auto answer = reply.get();
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error(), curfew::errc::canceled);
    EXPECT_TRUE(closed.wait());
  }
}

// Names, keys and authorities.

TEST(TlsName, IsToldToTheServerUnlessItIsAnAddress) {
  tls_script_peer server([](tls_conversation& c) {
    if (c.read_header().empty()) return;
    const char* const name = SSL_get_servername(c.ssl(), TLSEXT_NAMETYPE_host_name);
    c.write(ok(name != nullptr ? name : "none", "Connection: close\r\n"));
  });
  client sender(trusting_options());
  EXPECT_EQ(body_of(sender, server.url("/", "localhost")), "localhost");
  EXPECT_EQ(body_of(sender, server.url("/", "PEER.test")), "peer.test");
  EXPECT_EQ(body_of(sender, server.url("/", "sub.localhost")), "sub.localhost");
  EXPECT_EQ(body_of(sender, server.url("/", "127.0.0.1")), "none");
}

TEST(TlsName, HasToBeAnAlternativeName) {
  const auto wildcard = test_authority().issue({"*.test"});
  tls_script_peer server(answering_each(ok("trusted")), {}, wildcard);
  client sender(trusting_options());
  EXPECT_THAT(body_of(sender, server.url("/", "localhost")), HasSubstr("TLS failure"));
}

TEST(TlsHandshake, ThatIsCutIsALostConnection) {
  for (const bool resets : {false, true}) {
    peer server([resets](conversation& c) {
      c.read_some();
      if (resets) c.reset();
    });
    client sender(trusting_options());
    const auto error = error_of(sender.send(background(), get_of("https" + server.url().substr(4))));
    EXPECT_EQ(error, errc::connection_lost) << error;
    EXPECT_TRUE(error.transient());
    EXPECT_THAT(error.doing(), HasSubstr(" : in the TLS handshake ("));
  }
}

TEST(TlsVersion, Below12IsRefused) {
  tls_script_peer server(answering_each(ok("old")), [](SSL_CTX* of) {
    SSL_CTX_set_security_level(of, 0);
    SSL_CTX_set_min_proto_version(of, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(of, TLS1_1_VERSION);
  });
  client sender(trusting_options());
  const auto error = error_of(sender.send(background(), request("GET", server.url())));
  EXPECT_EQ(error, errc::tls_failure);
}

TEST(TlsVersion, Of12WithoutAuthenticatedEncryptionIsRefused) {
  tls_script_peer server(answering_each(ok("old")), [](SSL_CTX* of) {
    tls12(of);
    SSL_CTX_set_cipher_list(of, "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256");
  });
  client sender(trusting_options());
  EXPECT_EQ(error_of(sender.send(background(), request("GET", server.url()))), errc::tls_failure);
}

TEST(TlsPin, IsAskedForBesideTrust) {
  tls_script_peer server(answering_each(ok("pinned", "Connection: close\r\n")));
  const std::string right = localhost_certificate().key_pin();
  const std::string wrong = test_authority().issue({"localhost"}).key_pin();
  client one(trusting_options().pinned_key(wrong).pinned_key(right));
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(body_of(one, server.url()), "pinned");  // a session that is resumed, too
  client other(trusting_options().pinned_key(wrong));
  const auto error = error_of(other.send(background(), request("GET", server.url())));
  EXPECT_EQ(error, errc::tls_failure);
  EXPECT_THAT(error.message(), HasSubstr("the server's key " + right + " is none of those that are pinned"));
  client distrustful(client_options().pinned_key(right));
  EXPECT_EQ(error_of(distrustful.send(background(), request("GET", server.url()))), errc::tls_failure);
  for (const auto* bad : {"sha256/AAAA", "sha1/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", ""}) {
    client mistaken(trusting_options().pinned_key(bad));
    EXPECT_THAT(body_of(mistaken, server.url()), HasSubstr("is not sha256/ and the base64 of a SHA-256"));
  }
}

class TlsClientCertificate : public ::testing::TestWithParam<void (*)(SSL_CTX*)> {
 protected:
  tls_script_peer server{[](tls_conversation& c) {
                           if (c.read_header().empty()) return;
                           const X509* const who = SSL_get0_peer_certificate(c.ssl());
                           char name[100] = "nobody";
                           if (who != nullptr)
                             X509_NAME_get_text_by_NID(X509_get_subject_name(who), NID_commonName, name,
                                                       sizeof name);
                           c.write(ok(name, "Connection: close\r\n"));
                         },
                         [](SSL_CTX* of) {
                           GetParam()(of);
                           SSL_CTX_load_verify_file(of, test_authority().root_file().c_str());
                           SSL_CTX_set_verify(of, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
                         }};
};

TEST_P(TlsClientCertificate, IsShownToAServerThatAsks) {
  const auto worker = test_authority().issue({"worker"}, curfew::testing::certificate_options().for_client());
  client sender(trusting_options().client_certificate(worker.chain_file(), worker.key_file()));
  EXPECT_EQ(body_of(sender, server.url()), "worker");
}

TEST_P(TlsClientCertificate, IsMissedByAServerThatWantsOne) {
  client sender(trusting_options());
  const auto error = error_of(sender.send(background(), request("GET", server.url())));
  EXPECT_EQ(error, errc::tls_failure) << error;
  EXPECT_THAT(error.message(), HasSubstr("the other end refuses"));
}

INSTANTIATE_TEST_SUITE_P(OfEachVersion, TlsClientCertificate, ::testing::Values(&tls12, &tls13),
                         [](const auto& of) { return of.param == &tls12 ? "Tls12" : "Tls13"; });

/// The key of a file, in another one that wants a password.
std::string encrypted_copy_of(const std::string& key_file) {
  const tls::openssl_ptr<BIO> from(BIO_new_file(key_file.c_str(), "r"));
  const tls::openssl_ptr<EVP_PKEY> key(PEM_read_bio_PrivateKey(from.get(), nullptr, nullptr, nullptr));
  std::string to = test_authority().directory() + "/encrypted.pem";
  const tls::openssl_ptr<BIO> into(BIO_new_file(to.c_str(), "w"));
  EXPECT_EQ(
      PEM_write_bio_PKCS8PrivateKey(into.get(), key.get(), EVP_aes_256_cbc(), "secret", 6, nullptr, nullptr),
      1);
  return to;
}

TEST(TlsFiles, OfNoUseAreNamed) {
  tls_script_peer server(answering_each(ok("trusted")));
  const auto a = test_authority().issue({"a"});
  const auto b = test_authority().issue({"b"});
  const std::string no_pem = test_authority().directory() + "/no.pem";
  std::ofstream(no_pem) << "nothing\n";
  const auto says = [&](const client_options& options) {
    client sender(options);
    const auto error = error_of(sender.send(background(), request("GET", server.url())));
    EXPECT_EQ(error, errc::tls_failure);
    return error.message();
  };
  EXPECT_THAT(says(client_options().ca_file(no_pem)), HasSubstr(no_pem));
  EXPECT_THAT(says(client_options().ca_file("/nowhere/ca.pem")), HasSubstr("/nowhere/ca.pem: No such file"));
  EXPECT_THAT(says(trusting_options().client_certificate("/nowhere/c.pem", a.key_file())),
              HasSubstr("/nowhere/c.pem"));
  EXPECT_THAT(says(trusting_options().client_certificate(a.chain_file(), "/nowhere/k.pem")),
              HasSubstr("/nowhere/k.pem"));
  EXPECT_THAT(says(trusting_options().client_certificate(no_pem, a.key_file())), HasSubstr(no_pem));
  EXPECT_THAT(says(trusting_options().client_certificate(a.chain_file(), b.key_file())),
              HasSubstr(b.key_file()));
  // Nothing asks the terminal for a password.
  const std::string encrypted = encrypted_copy_of(a.key_file());
  EXPECT_THAT(says(trusting_options().client_certificate(a.chain_file(), encrypted)),
              HasSubstr(encrypted + " (it is encrypted"));
}

}  // namespace
}  // namespace curfew::http
