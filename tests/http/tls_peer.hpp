#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <csignal>
#include <curfew/http/testing.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "http/client_peer.hpp"

namespace curfew::http::client_tests {

struct free_tls {
  void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
  void operator()(SSL* p) const { SSL_free(p); }
};

/// The authority of all tests of the program.
inline const curfew::testing::certificate_authority& test_authority() {
  static const curfew::testing::certificate_authority made;
  return made;
}

inline const curfew::testing::test_certificate& localhost_certificate() {
  static const auto made =
      test_authority().issue({"localhost", "127.0.0.1", "peer.test", "peer2.test", "sub.localhost"});
  return made;
}

/// The server's end of a TLS connection whose handshake is done.
class tls_conversation {
 public:
  tls_conversation(SSL* ssl, conversation& over) : ssl_(ssl), over_(over) {}

  [[nodiscard]] SSL* ssl() const { return ssl_; }
  [[nodiscard]] conversation& tcp() const { return over_; }
  /// None: the other side has closed.
  std::string read_some() {
    char bytes[16384];
    const int n = SSL_read(ssl_, bytes, sizeof bytes);
    return n > 0 ? std::string(bytes, static_cast<std::size_t>(n)) : std::string();
  }
  std::string read_header() {
    std::string header;
    while (header.find("\r\n\r\n") == std::string::npos) {
      const std::string more = read_some();
      if (more.empty()) return {};
      header += more;
    }
    return header;
  }
  bool write(std::string_view bytes) {
    return bytes.empty() || SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) > 0;
  }
  /// Says close_notify; else the connection is cut.
  void finish() { SSL_shutdown(ssl_); }

 private:
  SSL* ssl_;
  conversation& over_;
};

using tls_script = std::function<void(tls_conversation&)>;

/// A server over TLS that plays a script on every connection.
class tls_script_peer {
 public:
  explicit tls_script_peer(tls_script play, const std::function<void(SSL_CTX*)>& set = {},
                           const curfew::testing::test_certificate& who = localhost_certificate())
      : play_(std::move(play)),
        tls_(SSL_CTX_new(TLS_server_method())),
        tcp_([this](conversation& c) { serve(c); }) {
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL's, in the peer's threads
    EXPECT_EQ(SSL_CTX_use_certificate_chain_file(tls_.get(), who.chain_file().c_str()), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey_file(tls_.get(), who.key_file().c_str(), SSL_FILETYPE_PEM), 1);
    if (set) set(tls_.get());
  }

  [[nodiscard]] std::string url(std::string_view path = "/", std::string_view host = "localhost") const {
    return "https" + tcp_.url(path, host).substr(4);
  }
  [[nodiscard]] std::uint16_t port() const { return tcp_.port(); }
  [[nodiscard]] int connections() const { return tcp_.connections(); }
  /// Speaks TLS on a connection that is there already.
  void serve(conversation& c) const {
    const std::unique_ptr<SSL, free_tls> ssl(SSL_new(tls_.get()));
    SSL_set_fd(ssl.get(), c.fd());
    if (SSL_accept(ssl.get()) != 1) return;
    tls_conversation over(ssl.get(), c);
    play_(over);
    ERR_clear_error();
  }

 private:
  const tls_script play_;
  const std::unique_ptr<SSL_CTX, free_tls> tls_;
  peer tcp_;
};

/// Answers every request of a connection, none of which has a body.
inline tls_script answering_each(std::string answer) {
  return [answer = std::move(answer)](tls_conversation& c) {
    while (!c.read_header().empty() && c.write(answer)) {
    }
    c.finish();
  };
}

inline client_options trusting_options() { return client_options().ca_file(test_authority().root_file()); }

}  // namespace curfew::http::client_tests
