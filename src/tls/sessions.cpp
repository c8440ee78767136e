#include "tls/sessions.hpp"

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

namespace curfew::tls {

namespace {

/// Where a connection's sessions go.
struct destination {
  std::weak_ptr<sessions> to;
  std::string origin;
};

void forget(void* /*parent*/, void* held, CRYPTO_EX_DATA* /*of*/, int /*index*/, long /*number*/,
            void* /*pointer*/) noexcept {
  delete static_cast<destination*>(held);
}

/// Where an SSL holds its destination.
int index_of_destination() {
  static const int given = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, &forget);
  return given;
}

/// \return 1: the session is ours; else OpenSSL lets it go.
int on_session(SSL* of, SSL_SESSION* made) noexcept {
  const auto* const where = static_cast<destination*>(SSL_get_ex_data(of, index_of_destination()));
  const auto to = where != nullptr ? where->to.lock() : nullptr;
  if (!to) return 0;
  openssl_ptr<SSL_SESSION> one(made);
  try {
    to->put(where->origin, std::move(one));
  } catch (const std::bad_alloc&) {
    return 1;  // the next connection shakes hands in full
  }
  return 1;
}

}  // namespace

void sessions::collect(SSL_CTX* ctx) noexcept {
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ctx, &on_session);
}

void sessions::remember(SSL* connection, const std::string& origin) {
  auto where = std::make_unique<destination>(weak_from_this(), origin);
  if (SSL_set_ex_data(connection, index_of_destination(), where.get()) != 1) throw std::bad_alloc();
  std::ignore = where.release();  // goes with the connection
}

void sessions::put(const std::string& origin, openssl_ptr<SSL_SESSION> one) {
  const std::lock_guard guard(mutex_);
  const auto is_of_origin = [&](const entry& each) { return each.origin == origin; };
  if (std::ranges::count_if(kept_, is_of_origin) >= static_cast<std::ptrdiff_t>(most_per_origin)) {
    kept_.erase(std::ranges::find_if(kept_, is_of_origin));
  } else if (kept_.size() >= most) {
    kept_.pop_front();
  }
  const auto until = clock::now() + std::chrono::seconds(SSL_SESSION_get_timeout(one.get()));
  kept_.push_back({origin, std::move(one), until});
}

openssl_ptr<SSL_SESSION> sessions::take(const std::string& origin) {
  const std::lock_guard guard(mutex_);
  const auto now = clock::now();
  std::erase_if(kept_, [&](const entry& each) {
    return each.origin == origin && (each.until <= now || SSL_SESSION_is_resumable(each.session.get()) == 0);
  });
  const auto newest = std::ranges::find_if(kept_.rbegin(), kept_.rend(),
                                           [&](const entry& each) { return each.origin == origin; });
  if (newest == kept_.rend()) return nullptr;
  if (SSL_SESSION_get_protocol_version(newest->session.get()) != TLS1_3_VERSION) {
    SSL_SESSION_up_ref(newest->session.get());
    return openssl_ptr<SSL_SESSION>(newest->session.get());
  }
  auto once = std::move(newest->session);
  kept_.erase(std::next(newest).base());
  return once;
}

}  // namespace curfew::tls
