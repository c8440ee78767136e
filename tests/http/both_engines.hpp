#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <curfew/http/client.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "http/client_peer.hpp"
#include "http/tls_identity.hpp"

namespace curfew::http::client_tests {

/// What carries a call: a socket, or TLS over one.
enum class engine { plain, tls };

inline std::string name_of(const testing::TestParamInfo<engine>& what) {
  return what.param == engine::plain ? "Plain" : "Tls";
}

/// One authority and one certificate for all tests of the program.
struct test_certificates {
  authority ca{"engines"};
  identity localhost = make_identity("localhost", &ca.intermediate, "DNS:localhost,IP:127.0.0.1");

  static test_certificates& shared() {
    static test_certificates made;
    return made;
  }
};

/// One direction of a relay: what has been read and not been written yet.
struct relayed {
  std::array<char, 16384> bytes;
  std::size_t begin = 0;
  std::size_t end = 0;

  [[nodiscard]] bool empty() const { return begin == end; }
  [[nodiscard]] const char* data() const { return bytes.data() + begin; }
  [[nodiscard]] int size() const { return static_cast<int>(end - begin); }
};

/// Speaks TLS with one side of a connection, and passes on what it hears to a port of this machine, and back. Neither
/// direction waits for the other.
inline void relay_tls(SSL_CTX* context, int tls, std::uint16_t port) {
  const int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const owned<SSL> ssl(SSL_new(context));
  SSL_set_fd(ssl.get(), tls);
  SSL_set_mode(ssl.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (SSL_accept(ssl.get()) == 1 &&
      connect(plain, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    for (const int each : {tls, plain}) fcntl(each, F_SETFL, fcntl(each, F_GETFL) | O_NONBLOCK);
    relayed in;
    relayed out;
    bool answered = false;  // the plain side has closed
    const auto is_over = [&](int moved) {
      const int why = SSL_get_error(ssl.get(), moved);
      return why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE;
    };
    for (;;) {
      if (in.empty()) {
        const int n = SSL_read(ssl.get(), in.bytes.data(), static_cast<int>(in.bytes.size()));
        if (n <= 0 && is_over(n)) break;
        in.begin = 0;
        in.end = n > 0 ? static_cast<std::size_t>(n) : 0;
      }
      if (!in.empty()) {
        const ssize_t n = send(plain, in.data(), static_cast<std::size_t>(in.size()), MSG_NOSIGNAL);
        if (n > 0) in.begin += static_cast<std::size_t>(n);
        if (n < 0 && errno != EAGAIN) in.begin = in.end;  // nothing hears it: the answer is still to come
      }
      if (out.empty() && !answered) {
        const ssize_t n = recv(plain, out.bytes.data(), out.bytes.size(), 0);
        out.begin = 0;
        out.end = n > 0 ? static_cast<std::size_t>(n) : 0;
        answered = n == 0 || (n < 0 && errno != EAGAIN);
      }
      if (!out.empty()) {
        const int n = SSL_write(ssl.get(), out.data(), out.size());
        if (n <= 0 && is_over(n)) break;
        if (n > 0) out.begin += static_cast<std::size_t>(n);
      }
      if (answered && out.empty()) break;
      const short plain_wants = static_cast<short>((out.empty() ? POLLIN : 0) | (in.empty() ? 0 : POLLOUT));
      const short tls_wants = static_cast<short>((in.empty() ? POLLIN : 0) | (out.empty() ? 0 : POLLOUT));
      std::array<pollfd, 2> both{pollfd{plain, plain_wants, 0}, pollfd{tls, tls_wants, 0}};
      if (SSL_pending(ssl.get()) != 0 && in.empty()) continue;
      // An end of the client has to be noticed also while the peer does not read.
      if (poll(both.data(), both.size(), 20) == 0 && !in.empty()) {
        char byte = 0;
        if (recv(tls, &byte, 1, MSG_PEEK) == 0) break;
      }
    }
    SSL_shutdown(ssl.get());
  }
  shutdown(plain, SHUT_RDWR);
  close(plain);
}

/// A peer for either engine: its script sees the same bytes.
class engine_peer {
 public:
  engine_peer(engine by, peer::script play) : plain_(std::move(play)) {
    if (by == engine::plain) return;
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL's, in the threads of the peer
    const auto& certificates = test_certificates::shared();
    tls_.reset(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_use_certificate(tls_.get(), certificates.localhost.certificate.get());
    SSL_CTX_use_PrivateKey(tls_.get(), certificates.localhost.key.get());
    SSL_CTX_add1_chain_cert(tls_.get(), certificates.ca.intermediate.certificate.get());
    front_.emplace([this](conversation& c) { relay_tls(tls_.get(), c.fd(), plain_.port()); });
  }

  [[nodiscard]] std::string url(std::string_view path = "/") const {
    return front_ ? "https" + front_->url(path).substr(4) : plain_.url(path);
  }
  [[nodiscard]] int connections() const { return plain_.connections(); }

 private:
  peer plain_;
  owned<SSL_CTX> tls_;
  std::optional<peer> front_;
};

/// Tests that run over both engines.
class OverBothEngines : public testing::TestWithParam<engine> {
 protected:
  static client_options options() {
    return client_options().ca_file(test_certificates::shared().ca.root_file);
  }

  client sender{options()};
};

#define CURFEW_OVER_BOTH_ENGINES(Suite)                                                             \
  INSTANTIATE_TEST_SUITE_P(Engines, Suite,                                                          \
                           testing::Values(client_tests::engine::plain, client_tests::engine::tls), \
                           client_tests::name_of)

}  // namespace curfew::http::client_tests
