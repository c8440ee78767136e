#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <chrono>
#include <csignal>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/errc.hpp>
#include <filesystem>
#include <future>
#include <memory>
#include <string>

#include "http/client_peer.hpp"
#include "http/fake_resolver.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct free_openssl {
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(X509_EXTENSION* p) const { X509_EXTENSION_free(p); }
  void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
  void operator()(SSL* p) const { SSL_free(p); }
};
template <class T>
using owned = std::unique_ptr<T, free_openssl>;

/// A certificate and its key.
struct identity {
  owned<EVP_PKEY> key;
  owned<X509> certificate;
};

constexpr long day = 24 * 60 * 60;

/// \param issuer     Null: signs itself.
/// \param alt_names  "DNS:localhost"; empty for an authority.
identity make_identity(const std::string& name, const identity* issuer, const std::string& alt_names,
                       long from = -day, long until = day) {
  static std::atomic<long> serial = 1;
  identity made{owned<EVP_PKEY>(EVP_EC_gen("P-256")), owned<X509>(X509_new())};
  X509* x = made.certificate.get();
  X509_set_version(x, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
  X509_gmtime_adj(X509_getm_notBefore(x), from);
  X509_gmtime_adj(X509_getm_notAfter(x), until);
  X509_set_pubkey(x, made.key.get());
  const auto* text = reinterpret_cast<const unsigned char*>(name.c_str());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, text, -1, -1, 0);
  const identity& signer = issuer != nullptr ? *issuer : made;
  X509_set_issuer_name(x, X509_get_subject_name(signer.certificate.get()));
  X509V3_CTX about{};
  X509V3_set_ctx(&about, signer.certificate.get(), x, nullptr, nullptr, 0);
  const auto extend = [&](int what, const std::string& value) {
    const owned<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, &about, what, value.c_str()));
    EXPECT_TRUE(extension);
    X509_add_ext(x, extension.get(), -1);
  };
  if (alt_names.empty()) {
    extend(NID_basic_constraints, "critical,CA:TRUE");
    extend(NID_key_usage, "critical,keyCertSign,cRLSign");
  } else {
    extend(NID_basic_constraints, "critical,CA:FALSE");
    extend(NID_ext_key_usage, "serverAuth");
    extend(NID_subject_alt_name, alt_names);
  }
  EXPECT_NE(X509_sign(x, signer.key.get(), EVP_sha256()), 0);
  return made;
}

/// A root, an intermediate below it, and files that name the root.
struct authority {
  explicit authority(const std::string& name = "test")
      : root(make_identity(name + " root", nullptr, "")),
        intermediate(make_identity(name + " intermediate", &root, "")) {
    static std::atomic<int> number = 0;
    directory = std::filesystem::temp_directory_path() /
                ("curfew-tls-" + std::to_string(getpid()) + '-' + std::to_string(++number));
    std::filesystem::create_directories(directory);
    root_file = (directory / "root.pem").string();
    const std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(root_file.c_str(), "w"), &fclose);
    EXPECT_EQ(PEM_write_X509(file.get(), root.certificate.get()), 1);
  }
  authority(const authority&) = delete;
  authority& operator=(const authority&) = delete;
  ~authority() { std::filesystem::remove_all(directory); }

  identity root;
  identity intermediate;
  std::filesystem::path directory;
  std::string root_file;
};

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
  EXPECT_THAT(fails(server).message(), HasSubstr("unable to get local issuer certificate"));
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
  EXPECT_THAT(fails(server).message(), HasSubstr("self-signed certificate"));
}

TEST_F(Tls, AChainWithoutItsIntermediateIsNot) {
  const tls_peer server(ca, localhost, false);
  EXPECT_THAT(fails(server).message(), HasSubstr("unable to get local issuer certificate"));
}

TEST_F(Tls, AnotherHostsCertificateIsNot) {
  const tls_peer server(ca, localhost);
  EXPECT_THAT(fails(server, "peer.test").message(), HasSubstr("peer.test"));
}

TEST_F(Tls, AnExpiredCertificateIsNot) {
  const identity expired = make_identity("localhost", &ca.intermediate, "DNS:localhost", -2 * day, -day);
  const tls_peer server(ca, expired);
  EXPECT_THAT(fails(server).message(), HasSubstr("certificate has expired"));
}

TEST_F(Tls, ACertificateOfTheFutureIsNot) {
  const identity early = make_identity("localhost", &ca.intermediate, "DNS:localhost", day, 2 * day);
  const tls_peer server(ca, early);
  EXPECT_THAT(fails(server).message(), HasSubstr("certificate is not yet valid"));
}

TEST_F(Tls, AMissingFileOfAuthoritiesTrustsNobody) {
  const tls_peer server(ca, localhost);
  client lost(client_options().ca_file((ca.directory / "none.pem").string()));
  const auto answer = lost.send(background(), request("GET", server.url("localhost")));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error(), errc::tls_failure) << answer.error();
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
