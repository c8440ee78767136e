#pragma once

#include <array>
#include <chrono>
#include <curfew/core/error.hpp>
#include <curfew/http/tls.hpp>
#include <curfew/tls/detail/engine.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "http/tls/ticket_keys.hpp"

namespace curfew::http {

/// What the files of a server said when they were read, and what handshakes go by: a context of OpenSSL for each
/// certificate. They differ in nothing else.
///
/// Whose session may be resumed: OpenSSL decides that before it looks at the name that a client asks for, and a resumed
/// session is not checked again (CVE-2025-23419 is of that kind). So a session is bound to all that it was begun under:
/// its context is the hash of all certificates and of the policy for clients, the same for each name; and the keys of
/// the tickets are this server's own, handed on to what is read later only if the policy is the same.
///
/// Immutable, so any thread. Lifetime: outlives each handshake that has begun with it.
class server_identity {
 public:
  /// \param before  What was read before; null: nothing.
  static result<std::shared_ptr<const server_identity>> read(const tls_server_options& options,
                                                             const server_identity* before);
  server_identity(const server_identity&) = delete;
  server_identity& operator=(const server_identity&) = delete;

  /// Of a connection that begins. Throws: std::bad_alloc.
  [[nodiscard]] tls::openssl_ptr<SSL> make_ssl() const;
  [[nodiscard]] bool asks_clients() const noexcept { return asks_clients_; }
  [[nodiscard]] std::chrono::system_clock::time_point expires() const noexcept { return expires_; }

 private:
  using digest = std::array<unsigned char, 32>;

  server_identity() = default;
  result<> add(const tls_server_options::files& files);
  result<> trust_clients(const tls_server_options& options);
  void complete(const tls_server_options& options);
  [[nodiscard]] SSL_CTX* find(std::string_view name) const;
  static int choose(SSL* ssl, int* alert, void* self) noexcept;

  std::vector<tls::openssl_ptr<SSL_CTX>> contexts_;  // one for each certificate, in their order
  std::unordered_map<std::string, SSL_CTX*> names_;
  bool asks_clients_ = false;
  std::vector<tls::openssl_ptr<X509>> authorities_;
  digest policy_{};
  std::string certificates_;  // their fingerprints
  std::shared_ptr<ticket_keys> ticket_keys_;
  std::chrono::system_clock::time_point expires_ = std::chrono::system_clock::time_point::max();
};

struct tls_server::impl {
  explicit impl(const tls_server_options& given) : options(given) {}

  [[nodiscard]] std::shared_ptr<const server_identity> get() const {
    const std::lock_guard guard(mutex);
    return current;
  }

  const tls_server_options options;
  std::mutex reloading;      // one reload at a time; taken before `mutex`
  mutable std::mutex mutex;  // for what is below
  std::shared_ptr<const server_identity> current;
};

/// For the server, what connections begin with.
struct tls_server_access {
  static std::shared_ptr<const server_identity> identity(const tls_server& of) { return of.impl_->get(); }
};

/// What the client's certificate says; null if it has shown none. Throws: std::bad_alloc.
[[nodiscard]] std::shared_ptr<const peer_certificate> certificate_of_client(const SSL* ssl);

}  // namespace curfew::http
