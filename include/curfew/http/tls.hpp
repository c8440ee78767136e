#pragma once

#include <chrono>
#include <curfew/core/error.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace curfew::http {

/// Does a server ask its clients for a certificate?
enum class client_certificates {
  none,      ///< No.
  optional,  ///< Yes; a client that has none may connect. One whose certificate is not trusted may not.
  required,  ///< Yes; no other client may connect.
};

/// What a server that encrypts is made of. Each setter returns the options, so they can be chained; the overload without an
/// argument reads the option.
class tls_server_options {
 public:
  /// A certificate as it is on disk.
  struct files {
    std::string chain;
    std::string key;
  };

  /// A certificate and its key, in PEM. Of several, the client gets the first one that is for the name that it asks for
  /// (SNI), "*.example.org" being for all names one level below; one that asks for another name, or for none, gets the first
  /// of all, and decides.
  /// \param chain_file  The certificate, and behind it those of the authorities below the root, as certbot's fullchain.pem.
  /// \param key_file    Not encrypted. May be the same file.
  tls_server_options& certificate(std::string chain_file, std::string key_file) {
    certificates_.push_back({std::move(chain_file), std::move(key_file)});
    return *this;
  }
  [[nodiscard]] const std::vector<files>& certificates() const noexcept { return certificates_; }
  /// Asks clients for certificates, which `request::client_certificate` shows. A certificate is checked when a session
  /// begins, and is trusted while that is resumed, each time within an hour, until it expires; without tickets each
  /// connection is checked. Revocation is not looked at. Default: none.
  /// \param ca_file  The authorities, in PEM, that are trusted for that; nothing else is.
  tls_server_options& client_certificates(http::client_certificates mode, std::string ca_file) {
    client_certificates_ = mode;
    client_ca_file_ = std::move(ca_file);
    return *this;
  }
  [[nodiscard]] http::client_certificates client_certificates() const noexcept {
    return client_certificates_;
  }
  [[nodiscard]] const std::string& client_ca_file() const noexcept { return client_ca_file_; }
  /// May a client resume a session (RFC 5077, RFC 8446), which saves the larger part of a handshake? Default: yes.
  tls_server_options& tickets(bool yes) { return tickets_ = yes, *this; }
  [[nodiscard]] bool tickets() const noexcept { return tickets_; }

 private:
  std::vector<files> certificates_;
  http::client_certificates client_certificates_ = http::client_certificates::none;
  std::string client_ca_file_;
  bool tickets_ = true;
};

/// What a server encrypts with: certificates, keys, and whom it trusts, read from files. A cheap handle; copies are the
/// same one.
///
///     http::tls_server_options files;
///     files.certificate("/etc/app/fullchain.pem", "/etc/app/privkey.pem");
///     auto tls = http::tls_server::load(files);
///     if (!tls) return tls.error();  // says which file, and what is wrong with it
///     http::server_options options;
///     options.listen("0.0.0.0:8443", http::listen_options().tls(*tls));
///
/// TLS 1.2 and 1.3, with ciphers that authenticate and keys that are forgotten (AEAD, ECDHE); no renegotiation, no
/// compression, no early data. ALPN: "http/1.1".
///
/// Thread safety: any thread.
class tls_server {
 public:
  /// Reads the files.
  /// Errors: that of the system, for a file that cannot be read; errc::tls_failure, for one that does not hold what it
  ///         should, or a key that does not belong to its certificate; std::errc::invalid_argument without a certificate,
  ///         or where clients are asked for theirs and there is no file of authorities. Each says which file and what is
  ///         wrong. A certificate that has expired is none: `expires` tells.
  [[nodiscard]] static result<tls_server> load(const tls_server_options& options);

  /// Reads the files again. New connections get what they hold now; those that are there go on as they are. On an error
  /// nothing changes. Sessions are resumed across this if neither certificates nor authorities have changed.
  /// Errors: as those of `load`.
  [[nodiscard]] result<> reload();

  /// When the first of the certificates expires.
  [[nodiscard]] std::chrono::system_clock::time_point expires() const;

 private:
  friend struct tls_server_access;
  struct impl;
  explicit tls_server(std::shared_ptr<impl> made) noexcept : impl_(std::move(made)) {}
  std::shared_ptr<impl> impl_;
};

/// The certificate that a client has shown, and that is trusted.
struct peer_certificate {
  std::string subject;              ///< "CN=alice,O=Example", as RFC 4514 writes it.
  std::vector<std::string> dns;     ///< Its names, by their kind.
  std::vector<std::string> emails;  ///< The same.
  std::vector<std::string> uris;    ///< The same: "spiffe://example.org/reports".
  std::string sha256;               ///< Its fingerprint: 64 hexadecimal digits, small letters.
  std::chrono::system_clock::time_point not_after;  ///< When it expires.
};

}  // namespace curfew::http
