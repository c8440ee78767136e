#pragma once

#include <openssl/x509.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace curfew::tls {

// What certificates say, as text. It is a stranger's: shown are printable characters, and not many.

/// The name whom it is for: its common name, else its first alternative name.
[[nodiscard]] std::string name_of(const X509* certificate);
[[nodiscard]] std::string issuer_of(const X509* certificate);
/// Its alternative names that are DNS names or addresses; the first few.
[[nodiscard]] std::vector<std::string> hosts_of(const X509* certificate);
/// "2026-11-02 13:05:00 UTC"
[[nodiscard]] std::string time_text(const ASN1_TIME* at);

/// Is it an address of IPv4 or IPv6, without a zone, as certificates have them apart from names?
[[nodiscard]] bool is_address(const std::string& host);

/// Why it is not trusted.
/// \param error        X509_V_ERR_…
/// \param certificate  Which; may be null.
/// \param host         Whom the caller wanted to speak with; may be empty.
[[nodiscard]] std::string distrust_text(int error, const X509* certificate, std::string_view host);

/// By which a key is pinned: the SHA-256 of its SubjectPublicKeyInfo.
using key_digest = std::array<unsigned char, 32>;
constexpr std::string_view pin_scheme = "sha256/";

/// None where there is no memory, or no key.
[[nodiscard]] std::optional<key_digest> digest_of_key(const X509* certificate);
/// "sha256/" and the base64 of it.
[[nodiscard]] std::string pin_text(const key_digest& digest);

}  // namespace curfew::tls
