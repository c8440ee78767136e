#include "tls/certificate_text.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <array>
#include <boost/asio/ip/address.hpp>
#include <cstdio>
#include <ctime>
#include <curfew/tls/detail/engine.hpp>
#include <tuple>

namespace curfew::tls {

namespace {

constexpr std::size_t longest_name = 100;
constexpr int most_names = 4;

std::string shown(std::string_view text) {
  std::string printable(text.substr(0, longest_name));
  for (char& c : printable) {
    if (c < ' ' || c > '~' || c == '"') c = '?';
  }
  return printable;
}

std::string shown(const ASN1_STRING* text) {
  return shown(std::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                                static_cast<std::size_t>(ASN1_STRING_length(text))));
}

std::string common_name(const X509_NAME* of) {
  const int at = X509_NAME_get_index_by_NID(of, NID_commonName, -1);
  if (at < 0) return {};
  return shown(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(of, at)));
}

std::string quoted(std::string_view name) {
  std::string text = "\"";
  text += name;
  text += '"';
  return text;
}

std::string address_text(const ASN1_OCTET_STRING* bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = ASN1_STRING_length(bytes) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(bytes) != 16) return {};
  if (::inet_ntop(family, ASN1_STRING_get0_data(bytes), text.data(), text.size()) == nullptr) return {};
  return text.data();
}

}  // namespace

std::string name_of(const X509* certificate) {
  auto name = common_name(X509_get_subject_name(certificate));
  if (!name.empty()) return name;
  const auto hosts = hosts_of(certificate);
  return hosts.empty() ? std::string() : hosts.front();
}

std::string issuer_of(const X509* certificate) { return common_name(X509_get_issuer_name(certificate)); }

std::vector<std::string> hosts_of(const X509* certificate) {
  std::vector<std::string> hosts;
  const openssl_ptr<GENERAL_NAMES> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (!names) return hosts;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()) && hosts.size() < most_names; ++i) {
    const GENERAL_NAME* const each = sk_GENERAL_NAME_value(names.get(), i);
    if (each->type == GEN_DNS) {
      hosts.push_back(shown(each->d.dNSName));
    } else if (each->type == GEN_IPADD) {
      hosts.push_back(address_text(each->d.iPAddress));
    }
  }
  return hosts;
}

std::string time_text(const ASN1_TIME* at) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(at, &parts) != 1) return "?";
  std::array<char, 64> text{};
  const auto size = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return {text.data(), size};
}

bool is_address(const std::string& host) {
  boost::system::error_code no_address;
  std::ignore = boost::asio::ip::make_address(host, no_address);
  return !no_address && host.find('%') == std::string::npos;
}

std::string distrust_text(int error, const X509* certificate, std::string_view host) {
  const std::string reason = X509_verify_cert_error_string(error);
  if (certificate == nullptr) return "the certificate: " + reason;
  const std::string which = "the certificate " + quoted(name_of(certificate));
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return which + " expired on " + time_text(X509_get0_notAfter(certificate));
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return which + " is valid from " + time_text(X509_get0_notBefore(certificate)) + " on";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: {
      std::string names;
      for (const auto& each : hosts_of(certificate)) names += (names.empty() ? "" : ", ") + quoted(each);
      return which + " is for " + (names.empty() ? "no host" : names) +
             (host.empty() ? ", not for this address" : ", not for " + quoted(shown(host)));
    }
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return which + " is signed by itself, and not among those that are trusted";
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return "the authority " + quoted(name_of(certificate)) + " is not trusted";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return which + " was issued by " + quoted(issuer_of(certificate)) +
             ", which is not trusted, and was not sent along";
    default:
      return which + ": " + reason;
  }
}

std::optional<key_digest> digest_of_key(const X509* certificate) {
  unsigned char* encoded = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &encoded);
  if (size <= 0) return std::nullopt;
  key_digest made{};
  const int done =
      EVP_Digest(encoded, static_cast<std::size_t>(size), made.data(), nullptr, EVP_sha256(), nullptr);
  OPENSSL_free(encoded);
  return done == 1 ? std::optional(made) : std::nullopt;
}

std::string pin_text(const key_digest& digest) {
  std::array<unsigned char, 45> base64{};
  EVP_EncodeBlock(base64.data(), digest.data(), static_cast<int>(digest.size()));
  return std::string(pin_scheme) + reinterpret_cast<const char*>(base64.data());
}

}  // namespace curfew::tls
