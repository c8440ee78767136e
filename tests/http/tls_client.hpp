#pragma once

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <curfew/tls/certificate_authority.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/raw_client.hpp"

namespace curfew::tests {

struct free_tls {
  void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
  void operator()(SSL* p) const { SSL_free(p); }
  void operator()(SSL_SESSION* p) const { SSL_SESSION_free(p); }
};
using session_ptr = std::unique_ptr<SSL_SESSION, free_tls>;

/// What a client of TLS is like. It checks nothing but what is asked for.
struct tls_client_options {
  int version = 0;  // none other
  std::string name = "localhost";
  const testing::test_certificate* certificate = nullptr;
  std::string trusted;             // a file of authorities; empty: all
  std::string ciphers;             // of TLS 1.2
  std::string protocols;           // ALPN, in its form on the wire
  SSL_SESSION* session = nullptr;  // to be resumed
};

/// TLS between a raw_client and its socket, over memory: what it makes of bytes can be cut, or sent in pieces.
class tls_layer final : public raw_client::layer {
 public:
  tls_layer(int socket, const tls_client_options& how)
      : socket_(socket),
        context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX* const c = context_.get();
    SSL_CTX_set_security_level(c, 0);  // the server is what refuses
    if (how.version != 0) {
      SSL_CTX_set_min_proto_version(c, how.version);
      SSL_CTX_set_max_proto_version(c, how.version);
    }
    if (!how.ciphers.empty()) SSL_CTX_set_cipher_list(c, how.ciphers.c_str());
    if (how.certificate != nullptr) {
      SSL_CTX_use_certificate_chain_file(c, how.certificate->chain_file().c_str());
      SSL_CTX_use_PrivateKey_file(c, how.certificate->key_file().c_str(), SSL_FILETYPE_PEM);
    }
    if (!how.trusted.empty()) {
      SSL_CTX_load_verify_locations(c, how.trusted.c_str(), nullptr);
      SSL_CTX_set_verify(c, SSL_VERIFY_PEER, nullptr);
    }
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c, [](SSL* ssl, SSL_SESSION* made) {
      static_cast<tls_layer*>(SSL_get_app_data(ssl))->sessions_.emplace_back(made);
      return 1;
    });
    ssl_.reset(SSL_new(c));
    SSL_set_app_data(ssl_.get(), this);
    from_server_ = BIO_new(BIO_s_mem());
    to_server_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_.get(), from_server_, to_server_);
    if (!how.name.empty()) SSL_set_tlsext_host_name(ssl_.get(), how.name.c_str());
    if (!how.trusted.empty()) SSL_set1_host(ssl_.get(), how.name.c_str());
    if (!how.protocols.empty()) {
      SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(how.protocols.data()),
                          static_cast<unsigned>(how.protocols.size()));
    }
    if (how.session != nullptr) SSL_set_session(ssl_.get(), how.session);
    SSL_set_connect_state(ssl_.get());
  }

  /// \return "", or why not.
  std::string handshake() {
    for (;;) {
      ERR_clear_error();
      const int outcome = SSL_do_handshake(ssl_.get());
      flush();
      if (outcome == 1) return {};
      if (SSL_get_error(ssl_.get(), outcome) != SSL_ERROR_WANT_READ) return reason();
      if (!fetch()) return "the end";
    }
  }

  ssize_t send(std::string_view bytes) override {
    bytes = bytes.substr(0, 1024 * 1024);
    ERR_clear_error();
    const int taken = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
    if (taken <= 0) return errno = EPROTO, -1;
    return flush() ? taken : -1;
  }
  ssize_t receive(char* into, std::size_t size) override {
    for (;;) {
      ERR_clear_error();
      const int count = SSL_read(ssl_.get(), into, static_cast<int>(size));
      flush();  // answers to key updates
      if (count > 0) return count;
      switch (SSL_get_error(ssl_.get(), count)) {
        case SSL_ERROR_ZERO_RETURN:
          return 0;
        case SSL_ERROR_WANT_READ:
          if (!fetch()) {
            if (errno == 0) errno = EPIPE;  // an end without close_notify
            return -1;
          }
          break;
        default:
          failure_ = reason();
          return errno = EPROTO, -1;
      }
    }
  }
  bool has_input() override { return SSL_pending(ssl_.get()) > 0 || BIO_ctrl_pending(from_server_) > 0; }
  void half_close() override {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    flush();
  }

  /// What goes over the wire for these bytes; it is not sent.
  std::string encrypt(std::string_view bytes) {
    EXPECT_EQ(SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())),
              static_cast<int>(bytes.size()));
    return take_output();
  }
  /// The same for close_notify.
  std::string goodbye() {
    SSL_shutdown(ssl_.get());
    return take_output();
  }
  void update_key(bool ask_for_one = true) {
    EXPECT_EQ(
        SSL_key_update(ssl_.get(), ask_for_one ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED), 1);
  }
  /// Bytes are sent in pieces of that size; 0: all at once.
  void send_in(std::size_t pieces) { pieces_ = pieces; }
  /// Why the server said that it ends.
  [[nodiscard]] const std::string& failure() const { return failure_; }
  [[nodiscard]] SSL* ssl() const { return ssl_.get(); }
  /// The server's certificate.
  [[nodiscard]] std::string server_name() const {
    const std::unique_ptr<X509, void (*)(X509*)> shown(SSL_get1_peer_certificate(ssl_.get()), &X509_free);
    if (!shown) return {};
    char name[256] = {};
    X509_NAME_get_text_by_NID(X509_get_subject_name(shown.get()), NID_commonName, name, sizeof name);
    return name;
  }
  [[nodiscard]] bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  /// The newest that the server has given; null: none.
  session_ptr take_session() {
    if (sessions_.empty()) return nullptr;
    auto newest = std::move(sessions_.back());
    sessions_.clear();
    return newest;
  }

 private:
  static std::string reason() {
    const char* const text = ERR_reason_error_string(ERR_peek_last_error());
    return text != nullptr ? text : "no reason";
  }
  std::string take_output() {
    std::string bytes(BIO_ctrl_pending(to_server_), '\0');
    if (!bytes.empty()) BIO_read(to_server_, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }
  bool flush() {
    const std::string all = take_output();
    std::string_view left = all;
    while (!left.empty()) {
      const auto now = pieces_ == 0 ? left.size() : std::min(pieces_, left.size());
      const ssize_t count = ::send(socket_, left.data(), now, MSG_NOSIGNAL);
      if (count < 0) return false;
      left.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }
  /// \return false at the end, with errno 0, or after an error.
  bool fetch() {
    pollfd p{socket_, POLLIN, 0};
    if (::poll(&p, 1, static_cast<int>(std::chrono::milliseconds(raw_client::patience).count())) == 0)
      throw std::runtime_error("nothing came over TLS");
    char bytes[16 * 1024];
    errno = 0;
    const ssize_t count = ::recv(socket_, bytes, sizeof bytes, 0);
    if (count <= 0) return false;
    BIO_write(from_server_, bytes, static_cast<int>(count));
    return true;
  }

  const int socket_;
  std::unique_ptr<SSL_CTX, free_tls> context_;
  std::unique_ptr<SSL, free_tls> ssl_;
  BIO* from_server_ = nullptr;  // the SSL's
  BIO* to_server_ = nullptr;
  std::vector<session_ptr> sessions_;
  std::string failure_;
  std::size_t pieces_ = 0;
};

/// Puts TLS on a client that is connected, with a handshake. \return it, for what only TLS has; the client owns it.
inline tls_layer& secure(raw_client& client, const tls_client_options& how = {}) {
  auto made = std::make_unique<tls_layer>(client.socket(), how);
  tls_layer& layer = *made;
  if (const auto failure = layer.handshake(); !failure.empty())
    throw std::runtime_error("no handshake: " + failure);
  client.put(std::move(made));
  return layer;
}

}  // namespace curfew::tests
