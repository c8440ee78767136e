#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <chrono>
#include <csignal>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/errc.hpp>
#include <future>
#include <memory>
#include <string>

#include "fake_resolver.hpp"
#include "http/client_peer.hpp"
#include "http/tls_identity.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// An HTTPS server: answers every request with "secret".
class tls_peer {
 public:
  tls_peer(const authority& from, const identity& who, bool with_intermediate = true)
      : tls_(SSL_CTX_new(TLS_server_method())),
        tcp_([this](conversation& c) { serve(c); }) {
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL's, in this thread's peer; the client has to live without
    SSL_CTX_use_certificate(tls_.get(), who.certificate.get());
    SSL_CTX_use_PrivateKey(tls_.get(), who.key.get());
    if (with_intermediate) SSL_CTX_add1_chain_cert(tls_.get(), from.intermediate.certificate.get());
  }

  [[nodiscard]] std::string url(const std::string& host) const {
    return "https" + tcp_.url("/", host).substr(4);
  }
  [[nodiscard]] int connections() const { return tcp_.connections(); }
  /// Handshakes that the client carried through.
  [[nodiscard]] int trusting() const { return trusting_; }
  std::function<void()> asked = [] {};
  bool silent = false;  // after the request
  bool cuts_after_each = false;
  bool truncates = false;
  moment saw_close;

 private:
  void serve(conversation& c) {
    const owned<SSL> ssl(SSL_new(tls_.get()));
    SSL_set_fd(ssl.get(), c.fd());
    if (SSL_accept(ssl.get()) != 1) return;
    std::string request;
    char bytes[4096];
    for (int n = 0; (n = SSL_read(ssl.get(), bytes, sizeof bytes)) > 0;) {
      request.append(bytes, static_cast<std::size_t>(n));
      if (!request.ends_with("\r\n\r\n")) continue;
      request.clear();
      ++trusting_;
      asked();
      if (silent) {
        if (c.sees_close()) saw_close.set();
        return;
      }
      const std::string answer = truncates ? ok("secret").substr(0, 40) : ok("secret");
      SSL_write(ssl.get(), answer.data(), static_cast<int>(answer.size()));
      if (truncates || cuts_after_each) return;
    }
  }

  owned<SSL_CTX> tls_;
  std::atomic<int> trusting_ = 0;
  peer tcp_;
};

class Tls : public testing::Test {
 protected:
  error fails(const tls_peer& server, const std::string& host = "localhost") {
    const auto answer = sender.send(background(), request("GET", server.url(host)));
    if (answer) {
      ADD_FAILURE() << answer->status_line();
      return error(std::error_code());
    }
    EXPECT_EQ(answer.error(), errc::tls_failure) << answer.error();
    EXPECT_FALSE(answer.error().transient());
    EXPECT_THAT(answer.error().doing(), StartsWith("GET " + server.url(host) + " : in the TLS handshake ("));
    EXPECT_EQ(server.trusting(), 0);  // not a byte of the request has left
    return answer.error();
  }

  authority ca;
  identity localhost = make_identity("localhost", &ca.intermediate, "DNS:localhost,IP:127.0.0.1");
  client sender{client_options().ca_file(ca.root_file)};
};

TEST_F(Tls, ATrustedChainIsAccepted) {
  const tls_peer server(ca, localhost);
  for (const char* host : {"localhost", "127.0.0.1", "localhost"}) {
    const auto answer = sender.send(background(), request("GET", server.url(host)));
    ASSERT_TRUE(answer) << answer.error();
    EXPECT_EQ(answer->body(), "secret");
  }
  EXPECT_EQ(server.connections(), 2);  // one for each name, kept
}

TEST_F(Tls, AnAuthorityThatNobodyKnowsIsNot) {
  const authority stranger("strange");
  const identity self_made = make_identity("localhost", &stranger.intermediate, "DNS:localhost");
  const tls_peer server(stranger, self_made);
  EXPECT_THAT(fails(server).message(),
              HasSubstr("\"strange intermediate\" was issued by \"strange root\", which is not trusted"));
}

TEST_F(Tls, TheSystemsAuthoritiesDoNotKnowTheTestsRoot) {
  const tls_peer server(ca, localhost);
  client plain;
  const auto answer = plain.send(background(), request("GET", server.url("localhost")));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error(), errc::tls_failure) << answer.error();
}

TEST_F(Tls, ASelfSignedCertificateIsNot) {
  const identity alone = make_identity("localhost", nullptr, "DNS:localhost");
  const tls_peer server(ca, alone, false);
  EXPECT_THAT(fails(server).message(), HasSubstr("the certificate \"localhost\" is signed by itself"));
}

TEST_F(Tls, AChainWithoutItsIntermediateIsNot) {
  const tls_peer server(ca, localhost, false);
  EXPECT_THAT(
      fails(server).message(),
      HasSubstr(
          "\"localhost\" was issued by \"test intermediate\", which is not trusted, and was not sent along"));
}

TEST_F(Tls, AnotherHostsCertificateIsNot) {
  const tls_peer server(ca, localhost);
  EXPECT_THAT(fails(server, "peer.test").message(), HasSubstr("not for \"peer.test\""));
}

TEST_F(Tls, AnExpiredCertificateIsNot) {
  const identity expired = make_identity("localhost", &ca.intermediate, "DNS:localhost", -2 * day, -day);
  const tls_peer server(ca, expired);
  EXPECT_THAT(fails(server).message(), HasSubstr("the certificate \"localhost\" expired on 20"));
}

TEST_F(Tls, ACertificateOfTheFutureIsNot) {
  const identity early = make_identity("localhost", &ca.intermediate, "DNS:localhost", day, 2 * day);
  const tls_peer server(ca, early);
  EXPECT_THAT(fails(server).message(), HasSubstr("the certificate \"localhost\" is valid from 20"));
}

TEST_F(Tls, AMissingFileOfAuthoritiesTrustsNobody) {
  const tls_peer server(ca, localhost);
  client lost(client_options().ca_file((ca.directory / "none.pem").string()));
  const auto answer = lost.send(background(), request("GET", server.url("localhost")));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error(), errc::tls_failure) << answer.error();
  EXPECT_THAT(answer.error().message(), HasSubstr("none.pem: No such file or directory"));
  EXPECT_EQ(server.trusting(), 0);
}

TEST_F(Tls, APeerThatDoesNotSpeakItIsATlsFailure) {
  peer plain([](conversation& c) {
    c.read_some();
    c.write("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  const auto answer = sender.send(background(), request("GET", "https" + plain.url().substr(4)));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error(), errc::tls_failure) << answer.error();
  EXPECT_THAT(answer.error().message(), HasSubstr("in the TLS handshake"));
}

TEST_F(Tls, ABodyCutOffOnTheWayIsTruncated) {
  tls_peer server(ca, localhost);
  server.truncates = true;
  const auto answer = sender.send(background(), request("GET", server.url("localhost")));
  ASSERT_FALSE(answer) << answer->body();
  EXPECT_EQ(answer.error(), errc::truncated_body) << answer.error();
}

TEST_F(Tls, AKeptConnectionThatTheServerCutsIsReplaced) {
  tls_peer server(ca, localhost);
  server.cuts_after_each = true;
  for (int i = 1; i <= 3; ++i) {
    const auto answer = sender.send(background(), request("GET", server.url("localhost")));
    ASSERT_TRUE(answer) << answer.error();
    EXPECT_EQ(answer->body(), "secret");
  }
  EXPECT_EQ(server.connections(), 3);
}

TEST_F(Tls, TheEndOfTheContextClosesTheConnection) {
  tls_peer server(ca, localhost);
  moment asked;
  server.silent = true;
  server.asked = [&] { asked.set(); };
  auto scope = with_cancel(background());
  auto reply = std::async(std::launch::async,
                          [&] { return sender.send(scope, request("GET", server.url("localhost"))); });
  ASSERT_TRUE(asked.wait());
  scope.cancel();
  ASSERT_EQ(reply.wait_for(patience), std::future_status::ready);
  const auto answer = reply.get();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error(), curfew::errc::canceled);
  EXPECT_TRUE(server.saw_close.wait());
}

}  // namespace
}  // namespace curfew::http
