#include <curfew/tls/detail/client_trust.hpp>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <cerrno>
#include <cstring>
#include <curfew/tls/detail/begin.hpp>
#include <fstream>
#include <new>
#include <optional>
#include <tuple>
#include <utility>

#include "tls/certificate_text.hpp"
#include "tls/sessions.hpp"

namespace curfew::tls {

namespace {

// Of TLS 1.2; every cipher of TLS 1.3 is one that authenticates what it encrypts.
constexpr const char* ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20";

bool is_address(const std::string& host) {
  boost::system::error_code no_address;
  std::ignore = boost::asio::ip::make_address(host, no_address);
  return !no_address;
}

/// What is wrong with a file that OpenSSL has not taken.
std::string problem_of(const std::string& file, std::string_view wanted) {
  if (::access(file.c_str(), R_OK) != 0) return file + ": " + std::strerror(errno);
  const unsigned long code = ERR_peek_last_error();
  if (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE)
    return file + ": it has no " + std::string(wanted) + " in PEM";
  const char* const text = ERR_reason_error_string(code);
  return file + ": " + (text != nullptr ? std::string(text) : "no " + std::string(wanted));
}

/// "sha256/" and the base64 of 32 bytes.
std::optional<key_digest> parse_pin(std::string_view text) {
  if (!text.starts_with(pin_scheme)) return std::nullopt;
  text.remove_prefix(pin_scheme.size());
  if (text.size() != 44 || text[43] != '=' || text[42] == '=') return std::nullopt;
  std::array<unsigned char, 33> bytes{};
  if (EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(text.data()), 44) != 33)
    return std::nullopt;
  key_digest pin{};
  std::copy_n(bytes.begin(), pin.size(), pin.begin());
  return pin;
}

bool trust_authorities(SSL_CTX* ctx, const std::string& file, std::string& why) {
  if (file.empty()) {
    if (SSL_CTX_set_default_verify_paths(ctx) == 1) return true;
    why = "the system's authorities cannot be read";
    return false;
  }
  if (SSL_CTX_load_verify_file(ctx, file.c_str()) == 1) return true;
  why = "the authorities of " + problem_of(file, "certificate");
  return false;
}

bool use_certificate(SSL_CTX* ctx, const std::string& chain, const std::string& key, std::string& why) {
  if (chain.empty() && key.empty()) return true;
  if (SSL_CTX_use_certificate_chain_file(ctx, chain.c_str()) != 1) {
    why = "the client's certificate " + problem_of(chain, "certificate");
    return false;
  }
  ERR_clear_error();
  if (SSL_CTX_use_PrivateKey_file(ctx, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    const bool is_for_another = ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_X509 &&
                                (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH ||
                                 ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_TYPE_MISMATCH);
    why = is_for_another ? "the client's key " + key + " is not that of the certificate " + chain
                         : "the client's key " + problem_of(key, "private key");
    return false;
  }
  if (SSL_CTX_check_private_key(ctx) == 1) return true;
  why = "the client's key " + key + " is not that of the certificate " + chain;
  return false;
}

}  // namespace

std::shared_ptr<client_trust> client_trust::make(const trust_options& options, std::string& why) {
  begin_openssl();
  ERR_clear_error();
  auto made = std::make_shared<client_trust>();
  for (const std::string& each : options.pinned_keys) {
    const auto pin = parse_pin(each);
    if (!pin) {
      why = "the pinned key \"" + each + "\" is not sha256/ and the base64 of a SHA-256";
      return nullptr;
    }
    made->pins_.push_back(*pin);
  }
  made->ctx_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* const ctx = made->ctx_.get();
  if (ctx == nullptr || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(ctx, ciphers) != 1) {
    throw std::bad_alloc();
  }
  if (const std::string& protocol = options.protocol; !protocol.empty()) {
    const std::string list = static_cast<char>(protocol.size()) + protocol;
    if (SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const unsigned char*>(list.data()),
                                static_cast<unsigned>(list.size())) != 0) {
      throw std::bad_alloc();
    }
  }
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
  if (!trust_authorities(ctx, options.ca_file, why) ||
      !use_certificate(ctx, options.chain_file, options.key_file, why)) {
    ERR_clear_error();
    return nullptr;
  }
  ERR_clear_error();
  sessions::collect(ctx);
  made->sessions_ = std::make_shared<sessions>();
  return made;
}

std::unique_ptr<engine> client_trust::begin(std::string host, const std::string& origin, int socket) const {
  openssl_ptr<SSL> ssl(SSL_new(ctx_.get()));
  if (!ssl) throw std::bad_alloc();
  SSL_set_connect_state(ssl.get());
  host.resize(std::min(host.find('%'), host.size()));  // the zone is nothing to the server
  bool is_set = false;
  if (is_address(host)) {
    is_set = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), host.c_str()) == 1;
  } else {
    if (host.ends_with('.')) host.pop_back();  // of a name that is absolute; certificates do not write it
    SSL_set_hostflags(ssl.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    is_set =
        SSL_set1_host(ssl.get(), host.c_str()) == 1 && SSL_set_tlsext_host_name(ssl.get(), host.c_str()) == 1;
  }
  if (!is_set) throw std::bad_alloc();
  sessions_->remember(ssl.get(), origin);
  if (const auto before = sessions_->take(origin)) SSL_set_session(ssl.get(), before.get());
  return std::make_unique<engine>(std::move(ssl), socket);
}

std::string client_trust::objection(const engine& to) const {
  if (pins_.empty()) return {};
  const X509* const leaf = SSL_get0_peer_certificate(to.ssl());
  const auto shown = leaf != nullptr ? digest_of_key(leaf) : std::nullopt;
  if (!shown) return "the server has shown no key";
  if (std::ranges::find(pins_, *shown) != pins_.end()) return {};
  return "the server's key " + pin_text(*shown) + " is none of those that are pinned";
}

}  // namespace curfew::tls
