#pragma once

#include <curfew/tls/detail/engine.hpp>
#include <expected>
#include <string>
#include <system_error>
#include <vector>

namespace curfew::tls {

/// A certificate, those of the authorities above it, and its key.
struct key_pair {
  openssl_ptr<X509> certificate;
  std::vector<openssl_ptr<X509>> chain;
  openssl_ptr<EVP_PKEY> key;
};

/// Why a file is of no use.
struct pem_problem {
  std::error_code system;  ///< That of the system, for one that cannot be read.
  std::string doing;       ///< "reading the key /etc/key.pem", and without a code what is wrong with it.

  /// Both in one line.
  [[nodiscard]] std::string text() const;
};
template <class T>
using pem_result = std::expected<T, pem_problem>;

/// Reads them from files in PEM, which may be one.
[[nodiscard]] pem_result<key_pair> read_key_pair(const std::string& chain_file, const std::string& key_file);

/// Reads a file of authorities in PEM: one at least.
[[nodiscard]] pem_result<std::vector<openssl_ptr<X509>>> read_authorities(const std::string& file);

/// Has the context show the certificate, with its chain. \return why OpenSSL does not take it; empty: it does.
[[nodiscard]] std::string use(SSL_CTX* context, const key_pair& pair);

}  // namespace curfew::tls
