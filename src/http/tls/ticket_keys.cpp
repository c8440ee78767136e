#include "http/tls/ticket_keys.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <new>

namespace curfew::http {

struct ticket_keys::key {
  explicit key(clock::time_point at) : begun(at) {}
  key(const key&) = delete;
  key& operator=(const key&) = delete;
  ~key() {
    OPENSSL_cleanse(encrypts.data(), encrypts.size());
    OPENSSL_cleanse(signs.data(), signs.size());
  }

  bool draw() {
    return RAND_bytes(name.data(), static_cast<int>(name.size())) == 1 &&
           RAND_priv_bytes(encrypts.data(), static_cast<int>(encrypts.size())) == 1 &&
           RAND_priv_bytes(signs.data(), static_cast<int>(signs.size())) == 1;
  }
  bool ready(EVP_MAC_CTX* mac) {
    std::array<char, 7> digest{"SHA256"};
    const std::array parameters = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, signs.data(), signs.size()),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
        OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, parameters.data()) == 1;
  }

  const clock::time_point begun;
  std::array<unsigned char, name_size> name{};
  std::array<unsigned char, 32> encrypts{};
  std::array<unsigned char, 32> signs{};
};

namespace {

/// As SSL_CTX_set_tlsext_ticket_key_evp_cb wants it.
int on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
              int closes) noexcept {
  auto& keys = *static_cast<ticket_keys*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  const auto now = ticket_keys::clock::now();
  try {
    if (closes == 1) {
      const std::span<unsigned char, ticket_keys::name_size> into(name, ticket_keys::name_size);
      return keys.close(into, iv, cipher, mac, now) ? 1 : -1;
    }
    const std::span<const unsigned char, ticket_keys::name_size> of(name, ticket_keys::name_size);
    switch (keys.open(of, iv, cipher, mac, now)) {
      case ticket_keys::opened::failed:
        return -1;
      case ticket_keys::opened::unknown:
        return 0;  // a whole handshake
      case ticket_keys::opened::current:
        return SSL_version(ssl) >= TLS1_3_VERSION ? 2
                                                  : 1;  // a ticket of TLS 1.3 is used once: it wants another
      case ticket_keys::opened::old:
        return 2;
    }
  } catch (const std::bad_alloc&) {
    return -1;
  }
  return -1;
}

}  // namespace

ticket_keys::ticket_keys() noexcept = default;

ticket_keys::~ticket_keys() = default;

void ticket_keys::serve(SSL_CTX* context) noexcept {
  SSL_CTX_set_app_data(context, this);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
}

bool ticket_keys::turn(clock::time_point now) {
  if (before_ && now - before_->begun >= 2 * lasts) before_.reset();
  if (current_ && now - current_->begun < lasts) return true;
  auto made = std::make_unique<key>(now);
  if (!made->draw()) return false;
  before_ = std::move(current_);
  if (before_ && now - before_->begun >= 2 * lasts) before_.reset();
  current_ = std::move(made);
  return true;
}

bool ticket_keys::close(std::span<unsigned char, name_size> name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                        EVP_MAC_CTX* mac, clock::time_point now) {
  const std::lock_guard guard(mutex_);
  if (!turn(now)) return false;
  std::ranges::copy(current_->name, name.begin());
  const EVP_CIPHER* const by = EVP_aes_256_cbc();
  return RAND_bytes(iv, EVP_CIPHER_get_iv_length(by)) == 1 &&
         EVP_EncryptInit_ex(cipher, by, nullptr, current_->encrypts.data(), iv) == 1 && current_->ready(mac);
}

ticket_keys::opened ticket_keys::open(std::span<const unsigned char, name_size> name, const unsigned char* iv,
                                      EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, clock::time_point now) {
  const std::lock_guard guard(mutex_);
  if (!turn(now)) return opened::failed;
  const auto has_name = [&](const std::unique_ptr<key>& each) {
    return each && std::ranges::equal(each->name, name);
  };
  const bool is_old = has_name(before_);
  if (!is_old && !has_name(current_)) return opened::unknown;
  key& by = is_old ? *before_ : *current_;
  if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, by.encrypts.data(), iv) != 1 || !by.ready(mac))
    return opened::failed;
  return is_old ? opened::old : opened::current;
}

}  // namespace curfew::http
