#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

namespace curfew::http::client_tests {

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

inline constexpr long day = 24 * 60 * 60;

/// \param issuer     Null: signs itself.
/// \param alt_names  "DNS:localhost"; empty for an authority.
inline identity make_identity(const std::string& name, const identity* issuer, const std::string& alt_names,
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

}  // namespace curfew::http::client_tests
