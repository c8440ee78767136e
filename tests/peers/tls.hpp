#pragma once

#include <curfew/http/client.hpp>
#include <curfew/tls/certificate_authority.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "program.hpp"

namespace curfew::tests {

/// The authority that all trust here, and the certificate of all that serve.
struct test_tls {
  testing::certificate_authority ca;
  testing::test_certificate server = ca.issue({"localhost", "127.0.0.1"});

  static const test_tls& shared() {
    static const test_tls made;
    return made;
  }
  /// What makes the tests' programs in other languages trust it, in front of a command: the tests' own environment may name
  /// other authorities.
  [[nodiscard]] std::vector<std::string> trusting() const {
    return {"/usr/bin/env", "SSL_CERT_FILE=" + ca.root_file(), "NODE_EXTRA_CA_CERTS=" + ca.root_file()};
  }
  /// What makes them serve https.
  [[nodiscard]] std::vector<std::string> serving() const {
    return {"TLS_CHAIN=" + server.chain_file(), "TLS_KEY=" + server.key_file()};
  }
  [[nodiscard]] http::client_options client() const { return http::client_options().ca_file(ca.root_file()); }
};

}  // namespace curfew::tests
