#include <curfew/tls/detail/begin.hpp>

#include <openssl/crypto.h>

#include <tuple>

namespace curfew::tls {

void begin_openssl() noexcept {
  static const int begun = OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);
  std::ignore = begun;
}

}  // namespace curfew::tls
