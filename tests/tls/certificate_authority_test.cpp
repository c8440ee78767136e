#include <curfew/tls/certificate_authority.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <array>
#include <curfew/tls/detail/engine.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace curfew::tls {
namespace {

using curfew::testing::certificate_authority;
using curfew::testing::certificate_options;
using curfew::testing::test_certificate;
using curfew::testing::validity;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string content(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::unique_ptr<BIO, decltype(&BIO_free)> reading(const std::string& pem) {
  return {BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free};
}

std::vector<tls::openssl_ptr<X509>> certificates(const std::string& pem) {
  std::vector<tls::openssl_ptr<X509>> all;
  const auto bio = reading(pem);
  while (X509* one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) all.emplace_back(one);
  ERR_clear_error();
  return all;
}

tls::openssl_ptr<EVP_PKEY> key(const std::string& pem) {
  return tls::openssl_ptr<EVP_PKEY>(PEM_read_bio_PrivateKey(reading(pem).get(), nullptr, nullptr, nullptr));
}

/// What a verifier says of a chain that trusts the root.
int verdict(const certificate_authority& ca, const test_certificate& of, const char* host = nullptr,
            int purpose = X509_PURPOSE_SSL_SERVER) {
  const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> store(X509_STORE_new(), &X509_STORE_free);
  EXPECT_EQ(X509_STORE_load_file(store.get(), ca.root_file().c_str()), 1);
  const auto chain = certificates(of.chain_pem());
  const std::unique_ptr<STACK_OF(X509), void (*)(STACK_OF(X509)*)> rest(
      sk_X509_new_null(), [](STACK_OF(X509) * p) { sk_X509_free(p); });
  for (std::size_t i = 1; i < chain.size(); ++i) sk_X509_push(rest.get(), chain[i].get());
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> check(X509_STORE_CTX_new(),
                                                                              &X509_STORE_CTX_free);
  X509_STORE_CTX_init(check.get(), store.get(), chain.at(0).get(), rest.get());
  X509_VERIFY_PARAM* wanted = X509_STORE_CTX_get0_param(check.get());
  X509_VERIFY_PARAM_set_flags(wanted, X509_V_FLAG_X509_STRICT);
  X509_VERIFY_PARAM_set_purpose(wanted, purpose);
  if (host != nullptr && X509_VERIFY_PARAM_set1_ip_asc(wanted, host) != 1)
    X509_VERIFY_PARAM_set1_host(wanted, host, 0);
  X509_verify_cert(check.get());
  return X509_STORE_CTX_get_error(check.get());
}

TEST(CertificateAuthority, ItsChainsAreTrustedByThoseThatTrustItsRoot) {
  const certificate_authority ca;
  const auto made = ca.issue({"localhost", "127.0.0.1", "::1", "*.example.test"});
  for (const char* host : {"localhost", "127.0.0.1", "::1", "a.example.test"})
    EXPECT_EQ(verdict(ca, made, host), X509_V_OK) << host;
  EXPECT_EQ(verdict(ca, made, "other.test"), X509_V_ERR_HOSTNAME_MISMATCH);
  EXPECT_EQ(verdict(ca, made, "127.0.0.2"), X509_V_ERR_IP_ADDRESS_MISMATCH);
  EXPECT_EQ(verdict(ca, ca.issue({"localhost"}, certificate_options().rsa()), "localhost"), X509_V_OK);
}

TEST(CertificateAuthority, AnotherOneOfTheSameNameIsAnother) {
  const certificate_authority ca;
  const certificate_authority other;
  EXPECT_NE(verdict(ca, other.issue({"localhost"})), X509_V_OK);
}

TEST(CertificateAuthority, MakesCertificatesThatAreRefused) {
  const certificate_authority ca;
  const auto refused = [&](const certificate_options& options) {
    return verdict(ca, ca.issue({"localhost"}, options), "localhost");
  };
  EXPECT_EQ(refused(certificate_options().valid(validity::expired)), X509_V_ERR_CERT_HAS_EXPIRED);
  EXPECT_EQ(refused(certificate_options().valid(validity::not_yet)), X509_V_ERR_CERT_NOT_YET_VALID);
  EXPECT_EQ(refused(certificate_options().self_signed()), X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT);
  EXPECT_EQ(refused(certificate_options().without_intermediate()),
            X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
  EXPECT_EQ(refused(certificate_options().for_client()), X509_V_ERR_INVALID_PURPOSE);
}

TEST(CertificateAuthority, AClientsCertificateIsForClientsAlone) {
  const certificate_authority ca;
  const auto client = ca.issue({"worker", "spiffe://test/worker"}, certificate_options().for_client());
  EXPECT_EQ(verdict(ca, client, nullptr, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
  EXPECT_EQ(verdict(ca, ca.issue({"worker"}), nullptr, X509_PURPOSE_SSL_CLIENT), X509_V_ERR_INVALID_PURPOSE);
}

TEST(CertificateAuthority, EachNameIsOfItsKind) {
  const certificate_authority ca;
  const auto made = ca.issue({"host_1.test", "192.0.2.1", "2001:db8::1", "me@example.test", "spiffe://a/b"});
  const auto chain = certificates(made.chain_pem());
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(chain.at(0).get(), NID_subject_alt_name, nullptr, nullptr));
  std::vector<int> kinds;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) kinds.push_back(sk_GENERAL_NAME_value(names, i)->type);
  GENERAL_NAMES_free(names);
  EXPECT_THAT(kinds, ElementsAre(GEN_DNS, GEN_IPADD, GEN_IPADD, GEN_EMAIL, GEN_URI));
  std::array<char, 64> common_name{};
  X509_NAME_get_text_by_NID(X509_get_subject_name(chain[0].get()), NID_commonName, common_name.data(), 64);
  EXPECT_STREQ(common_name.data(), "host_1.test");
}

TEST(CertificateAuthority, NamesThatNoCertificateCanHaveAreRefused) {
  const certificate_authority ca;
  EXPECT_THROW(std::ignore = ca.issue({}), std::invalid_argument);
  for (const std::string bad : {"", "a b", "localhost,DNS:other", "127.0.0.1:80", "a/b", "n\xc3\xa4me"})
    EXPECT_THROW(std::ignore = ca.issue({"localhost", bad}), std::invalid_argument) << bad;
  // A name too long for a common name is one of the names all the same.
  const std::string label(60, 'a');
  const std::string host = label + '.' + label + ".test";
  EXPECT_EQ(verdict(ca, ca.issue({host}), host.c_str()), X509_V_OK);
}

TEST(CertificateAuthority, TheFilesHoldWhatTheTextsSay) {
  const certificate_authority ca;
  const auto made = ca.issue({"localhost"});
  EXPECT_EQ(content(ca.root_file()), ca.root_pem());
  EXPECT_EQ(content(made.chain_file()), made.chain_pem());
  EXPECT_EQ(content(made.key_file()), made.key_pem());
  EXPECT_EQ(certificates(made.chain_pem()).size(), 2U);
  EXPECT_TRUE(made.chain_pem().ends_with(ca.intermediate_pem()));
  struct stat about{};
  ASSERT_EQ(stat(made.key_file().c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777U, 0600U);
}

TEST(CertificateAuthority, TheKeyBelongsToTheCertificate) {
  const certificate_authority ca;
  for (const bool rsa : {false, true}) {
    const auto made = ca.issue({"localhost"}, certificate_options().rsa(rsa));
    const auto own = key(made.key_pem());
    EXPECT_EQ(X509_check_private_key(certificates(made.chain_pem()).at(0).get(), own.get()), 1);
    EXPECT_EQ(EVP_PKEY_get_base_id(own.get()), rsa ? EVP_PKEY_RSA : EVP_PKEY_EC);
  }
}

TEST(CertificateAuthority, ThePinIsOfThePublicKey) {
  const certificate_authority ca;
  const auto made = ca.issue({"localhost"});
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key(made.key_pem()).get(), &der);
  ASSERT_GT(size, 0);
  std::array<unsigned char, 32> digest{};
  EVP_Digest(der, static_cast<std::size_t>(size), digest.data(), nullptr, EVP_sha256(), nullptr);
  OPENSSL_free(der);
  std::array<unsigned char, 48> text{};
  EVP_EncodeBlock(text.data(), digest.data(), 32);
  EXPECT_EQ(made.key_pin(), std::string("sha256/") + reinterpret_cast<const char*>(text.data()));
}

TEST(CertificateAuthority, ItsFilesStayUntilItAndItsCertificatesAreGone) {
  std::optional<certificate_authority> ca(std::in_place);
  const std::string directory = ca->directory();
  std::optional<test_certificate> made = ca->issue({"localhost"});
  ca.reset();
  EXPECT_FALSE(content(made->key_file()).empty());
  made.reset();
  EXPECT_FALSE(std::filesystem::exists(directory));
}

}  // namespace
}  // namespace curfew::tls
