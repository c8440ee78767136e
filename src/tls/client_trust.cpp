#include <curfew/tls/detail/client_trust.hpp>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <curfew/tls/detail/begin.hpp>
#include <curfew/tls/detail/pem_files.hpp>
#include <new>
#include <optional>
#include <utility>

#include "tls/certificate_text.hpp"
#include "tls/sessions.hpp"

namespace curfew::tls {

namespace {

// Of TLS 1.2; every cipher of TLS 1.3 is one that authenticates what it encrypts.
constexpr const char* ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20";

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

/// \return what is wrong; empty: nothing.
std::string trust_authorities(SSL_CTX* ctx, const std::string& file) {
  if (file.empty())
    return SSL_CTX_set_default_verify_paths(ctx) == 1 ? "" : "the system's authorities cannot be read";
  const auto all = read_authorities(file);
  if (!all) return all.error().text();
  for (const auto& each : *all) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), each.get()) != 1) throw std::bad_alloc();
  }
  return {};
}

/// The same.
std::string use_certificate(SSL_CTX* ctx, const std::string& chain_file, const std::string& key_file) {
  if (chain_file.empty() && key_file.empty()) return {};
  const auto pair = read_key_pair(chain_file, key_file);
  if (!pair) return pair.error().text();
  const std::string why = use(ctx, *pair);
  return why.empty() ? why : "using the certificate " + chain_file + " (" + why + ')';
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
  why = trust_authorities(ctx, options.ca_file);
  if (why.empty()) why = use_certificate(ctx, options.chain_file, options.key_file);
  ERR_clear_error();
  if (!why.empty()) return nullptr;
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
