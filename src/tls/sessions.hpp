#pragma once

#include <cstddef>
#include <curfew/core/clock.hpp>
#include <curfew/tls/detail/engine.hpp>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

namespace curfew::tls {

/// The TLS sessions that one client may resume, by origin. A session of TLS 1.3 is given once: a second use would
/// show the network that two connections belong together; one of TLS 1.2 as long as it is valid.
/// Thread safety: any thread.
class sessions : public std::enable_shared_from_this<sessions> {
 public:
  static constexpr std::size_t most_per_origin = 4;
  static constexpr std::size_t most = 256;  // then the oldest goes

  /// Has the connections of `ctx` give their sessions to the origins of remember().
  static void collect(SSL_CTX* ctx) noexcept;

  /// What the connection gets is kept for `origin`.
  /// Throws: std::bad_alloc.
  void remember(SSL* connection, const std::string& origin);

  void put(const std::string& origin, openssl_ptr<SSL_SESSION> one);
  /// The newest that is still valid; may be null.
  [[nodiscard]] openssl_ptr<SSL_SESSION> take(const std::string& origin);

 private:
  struct entry {
    std::string origin;
    openssl_ptr<SSL_SESSION> session;
    clock::time_point until;
  };

  std::mutex mutex_;
  std::deque<entry> kept_;  // guarded by mutex_; the oldest first
};

}  // namespace curfew::tls
