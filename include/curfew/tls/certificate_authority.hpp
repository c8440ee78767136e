#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace curfew::testing {

/// When a certificate for tests is valid.
enum class validity { now, expired, not_yet };

/// How a certificate for tests is made. Each setter returns the options, so they can be chained; the overload without an
/// argument reads the option. Default: a server's, good for 30 days, with an EC key (P-256) and its chain.
class certificate_options {
 public:
  /// `expired`: since yesterday. `not_yet`: from tomorrow on.
  certificate_options& valid(validity when) { return valid_ = when, *this; }
  [[nodiscard]] validity valid() const noexcept { return valid_; }
  /// For a client that proves who it is, instead of a server.
  certificate_options& for_client(bool on = true) { return for_client_ = on, *this; }
  [[nodiscard]] bool is_for_client() const noexcept { return for_client_; }
  /// An RSA key of 2048 bits. Takes a good part of a second to make.
  certificate_options& rsa(bool on = true) { return rsa_ = on, *this; }
  [[nodiscard]] bool is_rsa() const noexcept { return rsa_; }
  /// `chain_file()` holds the certificate alone, as servers are often set up by mistake.
  certificate_options& without_intermediate(bool on = true) { return without_intermediate_ = on, *this; }
  [[nodiscard]] bool is_without_intermediate() const noexcept { return without_intermediate_; }
  /// Signed with its own key: no authority knows it.
  certificate_options& self_signed(bool on = true) { return self_signed_ = on, *this; }
  [[nodiscard]] bool is_self_signed() const noexcept { return self_signed_; }

 private:
  validity valid_ = validity::now;
  bool for_client_ = false;
  bool rsa_ = false;
  bool without_intermediate_ = false;
  bool self_signed_ = false;
};

/// A certificate for tests and its key, as files and as text in PEM. Copies share the files, which stay until the last
/// copy, and the authority, are gone.
///
/// Thread safety: any thread.
class test_certificate {
 public:
  /// The certificate, then the intermediate: what servers are given.
  [[nodiscard]] const std::string& chain_file() const noexcept;
  /// The key, without a password; no other user may read it.
  [[nodiscard]] const std::string& key_file() const noexcept;
  [[nodiscard]] const std::string& chain_pem() const noexcept;
  [[nodiscard]] const std::string& key_pem() const noexcept;
  /// What pins the key: "sha256/" and the SHA-256 of the public key (SPKI) in base64, as curl's --pinnedpubkey takes
  /// it after "sha256//".
  [[nodiscard]] const std::string& key_pin() const noexcept;

 private:
  friend class certificate_authority;
  struct impl;
  explicit test_certificate(std::shared_ptr<const impl> made) : impl_(std::move(made)) {}
  std::shared_ptr<const impl> impl_;
};

/// Certificates for tests of TLS: a root that the other side is told to trust, and an intermediate, which signs. Each
/// authority is another one, whatever its name. Its files are in a directory of its own, which goes with it and its
/// certificates.
///
///     curfew::testing::certificate_authority ca;
///     auto server = ca.issue({"localhost", "127.0.0.1", "*.example.test"});
///     auto past = curfew::testing::certificate_options().valid(curfew::testing::validity::expired);
///     auto old = ca.issue({"localhost"}, past);
///     auto trusting = http::client_options().ca_file(ca.root_file());
///
/// Thread safety: any thread.
class certificate_authority {
 public:
  /// \param name  Of its subjects: "curfew test root", "curfew test intermediate".
  /// Throws: std::system_error if a file cannot be written.
  explicit certificate_authority(std::string_view name = "curfew test");
  certificate_authority(certificate_authority&&) noexcept;
  certificate_authority& operator=(certificate_authority&&) noexcept;
  certificate_authority(const certificate_authority&) = delete;
  certificate_authority& operator=(const certificate_authority&) = delete;
  ~certificate_authority();

  /// \param names  What it is for: names of hosts, "*.example.test" too, addresses ("127.0.0.1", "::1"), mail addresses, URIs
  ///               ("spiffe://test/worker"). The first is its common name, too.
  /// Throws: std::invalid_argument without a name, or with one that no certificate can have; std::system_error if a file
  ///         cannot be written.
  [[nodiscard]] test_certificate issue(const std::vector<std::string>& names,
                                       const certificate_options& options = {}) const;

  /// The root's certificate: what is trusted.
  [[nodiscard]] const std::string& root_file() const noexcept;
  [[nodiscard]] const std::string& root_pem() const noexcept;
  /// The intermediate's certificate, as it stands in chains.
  [[nodiscard]] const std::string& intermediate_pem() const noexcept;
  /// Where the files are. What a test puts there goes with them.
  [[nodiscard]] const std::string& directory() const noexcept;

 private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace curfew::testing
