#pragma once

#include <array>
#include <curfew/tls/detail/engine.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace curfew::tls {

class sessions;

struct trust_options {
  std::string ca_file;     ///< PEM; empty: the system's authorities.
  std::string chain_file;  ///< The client's certificate, PEM; empty: none, as key_file then.
  std::string key_file;
  std::vector<std::string> pinned_keys;  ///< "sha256/" and the base64 of the SHA-256 of a public key.
  std::string protocol;                  ///< By ALPN; empty: none is told.
};

/// What a client trusts over TLS, and the certificate that it shows: all of its connections share them.
/// Thread safety: any thread.
class client_trust {
 public:
  /// Reads the files that the options name.
  /// \param why  Set where the result is null: which file, and what is wrong with it.
  static std::shared_ptr<client_trust> make(const trust_options& options, std::string& why);

  /// A client's end of a connection.
  /// \param host    A name or an address, without brackets, perhaps with a zone: the certificate has to be for it.
  /// \param origin  Whose sessions may be resumed.
  /// \param socket  Outlives the engine.
  /// Throws: std::bad_alloc.
  [[nodiscard]] std::unique_ptr<engine> begin(std::string host, const std::string& origin, int socket) const;

  /// What speaks against a connection whose handshake is done: its key is not one of those that are pinned. Empty: nothing.
  [[nodiscard]] std::string objection(const engine& to) const;

 private:
  openssl_ptr<SSL_CTX> ctx_;
  std::vector<std::array<unsigned char, 32>> pins_;
  std::shared_ptr<sessions> sessions_;
};

}  // namespace curfew::tls
