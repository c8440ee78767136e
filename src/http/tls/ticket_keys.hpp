#pragma once

#include <openssl/evp.h>
#include <openssl/ssl.h>

#include <array>
#include <chrono>
#include <memory>
#include <mutex>
#include <span>

namespace curfew::http {

/// The keys by which a server closes the tickets of its sessions, and opens them again. A key that is stolen opens what was
/// recorded of the sessions of TLS 1.2 whose tickets it has closed, so none lasts long: each closes for `lasts`, opens for as
/// long again, and is wiped out at the first use after that.
/// Thread safety: any thread.
class ticket_keys {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::chrono::hours lasts{
      1};  // no less than a session, so that each can be resumed while it lives
  static constexpr std::size_t name_size = 16;

  ticket_keys() noexcept;
  ticket_keys(const ticket_keys&) = delete;
  ticket_keys& operator=(const ticket_keys&) = delete;
  ~ticket_keys();

  /// Has the context, and those of the same server, use these keys, which have to outlive its handshakes.
  void serve(SSL_CTX* context) noexcept;

  /// Readies `cipher` and `mac` to close a ticket. \return false: OpenSSL has failed.
  bool close(std::span<unsigned char, name_size> name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
             EVP_MAC_CTX* mac, clock::time_point now);
  enum class opened { failed, unknown, current, old };
  /// Readies them to open one; `old`: the client should get another.
  opened open(std::span<const unsigned char, name_size> name, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
              EVP_MAC_CTX* mac, clock::time_point now);

 private:
  struct key;
  /// Under mutex_. \return false: there is no new one.
  bool turn(clock::time_point now);

  std::mutex mutex_;
  // Guarded by mutex_.
  std::unique_ptr<key> current_;
  std::unique_ptr<key> before_;
};

}  // namespace curfew::http
