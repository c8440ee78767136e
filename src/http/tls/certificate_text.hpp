#pragma once

#include <openssl/x509.h>

#include <string>
#include <string_view>
#include <vector>

namespace curfew::http {

// What certificates say, for people. All that is in one was written by whoever made it: shown are printable characters of
// limited number.

/// The name whom it is for: its common name, else its first alternative name.
[[nodiscard]] std::string name_of(const X509* certificate);
[[nodiscard]] std::string issuer_of(const X509* certificate);
/// Its alternative names that are DNS names or addresses; the first few.
[[nodiscard]] std::vector<std::string> hosts_of(const X509* certificate);
/// "2026-11-02 13:05:00 UTC"
[[nodiscard]] std::string time_text(const ASN1_TIME* at);

/// Why it is not trusted.
/// \param error        X509_V_ERR_…
/// \param certificate  Which; may be null.
/// \param host         Whom the caller wanted to speak with; may be empty.
[[nodiscard]] std::string distrust_text(int error, const X509* certificate, std::string_view host);

}  // namespace curfew::http
