#pragma once

#include <curfew/http/client.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/tls/certificate_text.hpp"
#include "http/tls/engine.hpp"
#include "http/tls/sessions.hpp"

namespace curfew::http {

/// What a client trusts over TLS, and the certificate that it shows: all of its connections share them.
/// Thread safety: any thread.
class client_trust {
 public:
  /// Reads the files that the options name.
  /// \param why  Set where the result is null: which file, and what is wrong with it.
  static std::shared_ptr<client_trust> make(const client_options& options, std::string& why);

  /// A client's end of a connection.
  /// \param host    A name or an address, without brackets, perhaps with a zone: the certificate has to be for it.
  /// \param origin  Whose sessions may be resumed.
  /// \param socket  Outlives the engine.
  /// Throws: std::bad_alloc.
  [[nodiscard]] std::unique_ptr<tls_engine> begin(std::string host, const std::string& origin,
                                                  int socket) const;

  /// What speaks against a connection whose handshake is done: its key is not one of those that are pinned. Empty: nothing.
  [[nodiscard]] std::string objection(const tls_engine& to) const;

 private:
  openssl_ptr<SSL_CTX> ctx_;
  std::vector<key_digest> pins_;
  std::shared_ptr<tls_sessions> sessions_;
};

}  // namespace curfew::http
