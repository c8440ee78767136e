#pragma once

#include <curfew/core/error.hpp>
#include <string>
#include <vector>

#include "http/tls/engine.hpp"

namespace curfew::http {

/// A certificate, those of the authorities above it, and its key.
struct key_pair {
  openssl_ptr<X509> certificate;
  std::vector<openssl_ptr<X509>> chain;
  openssl_ptr<EVP_PKEY> key;
};

/// Reads them from files in PEM, which may be one.
/// Errors: that of the system for a file that cannot be read; else errc::tls_failure. Each names the file, and says what is
///         wrong with it: that there is no certificate in it, that the key is another certificate's, or encrypted.
[[nodiscard]] result<key_pair> read_key_pair(const std::string& chain_file, const std::string& key_file);

/// Reads a file of authorities in PEM: one at least.
/// Errors: the same.
[[nodiscard]] result<std::vector<openssl_ptr<X509>>> read_authorities(const std::string& file);

}  // namespace curfew::http
