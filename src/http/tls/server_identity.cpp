#include "http/tls/server_identity.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <curfew/http/errc.hpp>
#include <curfew/tls/detail/begin.hpp>
#include <curfew/tls/detail/pem_files.hpp>
#include <new>
#include <system_error>
#include <tuple>
#include <utility>

#include "http/message/syntax.hpp"

namespace curfew::http {

namespace {

// ECDHE alone, and what authenticates while it encrypts; those of TLS 1.3 are all so.
constexpr const char* ciphers_of_tls12 = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr const char* groups = "X25519:P-256:P-384";
constexpr long session_seconds = std::chrono::seconds(ticket_keys::lasts).count();
constexpr int security_level = 2;  // keys of RSA have 2048 bits at least

void expect(bool ok) {
  if (ok) return;
  ERR_clear_error();
  throw std::bad_alloc();  // nothing else fails there
}

/// \return the length of the name that was chosen; 0: none is ours.
int choose_protocol(SSL* /*ssl*/, const unsigned char** out, unsigned char* size,
                    const unsigned char* offered, unsigned int offered_size, void* /*arg*/) noexcept {
  static constexpr unsigned char ours[] = "\x08http/1.1\x08http/1.0";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, size, ours, sizeof ours - 1, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

std::string_view text_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

/// Calls `f(kind, text)` for each alternative name that is text. One with a NUL inside is none: read as a C string
/// it would be another.
template <class F>
void for_each_name(const X509* certificate, F f) {
  const tls::openssl_ptr<GENERAL_NAMES> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (!names) return ERR_clear_error();
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const each = sk_GENERAL_NAME_value(names.get(), i);
    if (each->type != GEN_DNS && each->type != GEN_EMAIL && each->type != GEN_URI) continue;
    const auto text = text_of(each->d.ia5);
    if (text.find('\0') == std::string_view::npos) f(each->type, text);
  }
}

std::string fingerprint(const X509* certificate) {
  std::string bytes(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  expect(X509_digest(certificate, EVP_sha256(), reinterpret_cast<unsigned char*>(bytes.data()), &size) == 1);
  bytes.resize(size);
  return bytes;
}

std::chrono::system_clock::time_point time_of(const ASN1_TIME* at) {
  std::tm fields{};
  if (ASN1_TIME_to_tm(at, &fields) != 1) return {};
  return std::chrono::system_clock::from_time_t(::timegm(&fields));
}

std::string subject_of(const X509* certificate) {
  const tls::openssl_ptr<BIO> out(BIO_new(BIO_s_mem()));
  expect(out != nullptr);
  constexpr unsigned long how = XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB);
  X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0, how);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
}

void hash(std::string_view bytes, std::array<unsigned char, 32>& into) {
  expect(EVP_Digest(bytes.data(), bytes.size(), into.data(), nullptr, EVP_sha256(), nullptr) == 1);
}

error refusal(const tls::pem_problem& why) {
  return error(why.system ? why.system : make_error_code(errc::tls_failure), why.doing);
}

error invalid(std::string doing) {
  return error(std::make_error_code(std::errc::invalid_argument), std::move(doing));
}

}  // namespace

result<std::shared_ptr<const server_identity>> server_identity::read(const tls_server_options& options,
                                                                     const server_identity* before) {
  tls::begin_openssl();
  if (options.certificates().empty())
    return invalid("serving TLS (it needs a certificate: see certificate())");
  const std::shared_ptr<server_identity> made(new server_identity);
  for (const auto& files : options.certificates()) {
    if (auto added = made->add(files); !added) return added.error();
  }
  if (auto trusts = made->trust_clients(options); !trusts) return trusts.error();
  const bool same_policy = before != nullptr && before->policy_ == made->policy_;
  made->ticket_keys_ = same_policy ? before->ticket_keys_ : std::make_shared<ticket_keys>();
  made->complete(options);
  return std::shared_ptr<const server_identity>(made);
}

result<> server_identity::add(const tls_server_options::files& files) {
  auto pair = tls::read_key_pair(files.chain, files.key);
  if (!pair) return refusal(pair.error());
  tls::openssl_ptr<SSL_CTX> made(SSL_CTX_new(TLS_server_method()));
  expect(made != nullptr);
  SSL_CTX* const c = made.get();
  SSL_CTX_set_security_level(c, security_level);
  if (const std::string why = tls::use(c, *pair); !why.empty()) {
    return error(make_error_code(errc::tls_failure),
                 "using the certificate " + files.chain + " (" + why + ')');
  }
  const X509* const certificate = pair->certificate.get();
  for_each_name(certificate, [&](int kind, std::string_view name) {
    if (kind == GEN_DNS) names_.emplace(lowered(name), c);
  });
  expires_ = std::min(expires_, time_of(X509_get0_notAfter(certificate)));
  certificates_ += fingerprint(certificate);
  contexts_.push_back(std::move(made));
  return {};
}

result<> server_identity::trust_clients(const tls_server_options& options) {
  asks_clients_ = options.client_certificates() != client_certificates::none;
  std::string policy(1, static_cast<char>('0' + static_cast<int>(options.client_certificates())));
  if (asks_clients_) {
    if (options.client_ca_file().empty()) {
      return invalid(
          "serving TLS (clients are asked for certificates, which needs a file of authorities: see "
          "client_certificates())");
    }
    auto all = tls::read_authorities(options.client_ca_file());
    if (!all) return refusal(all.error());
    authorities_ = std::move(*all);
    for (const auto& each : authorities_) policy += fingerprint(each.get());
  }
  hash(policy, policy_);
  return {};
}

/// All that is the same for each certificate.
void server_identity::complete(const tls_server_options& options) {
  digest session{};
  hash(std::string(policy_.begin(), policy_.end()) + certificates_, session);
  for (const auto& each : contexts_) {
    SSL_CTX* const c = each.get();
    expect(SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(c, 0) == 1 && SSL_CTX_set_cipher_list(c, ciphers_of_tls12) == 1 &&
           SSL_CTX_set1_groups_list(c, groups) == 1);
    // An openssl.cnf of the system may have set more than we want.
    SSL_CTX_clear_options(c, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION |
                                 SSL_OP_NO_TICKET | SSL_OP_NO_TLSv1_2 | SSL_OP_NO_TLSv1_3);
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_max_early_data(c, 0);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(c, session_seconds);
    expect(SSL_CTX_set_session_id_context(c, session.data(), session.size()) == 1);
    if (options.tickets()) {
      ticket_keys_->serve(c);
    } else {
      SSL_CTX_set_options(c, SSL_OP_NO_TICKET);
      SSL_CTX_set_num_tickets(c, 0);  // of TLS 1.3, which would be bare ids without the option above
    }
    SSL_CTX_set_alpn_select_cb(c, choose_protocol, nullptr);
    if (asks_clients_) {
      X509_STORE* const store = SSL_CTX_get_cert_store(c);
      for (const auto& authority : authorities_) {
        expect(X509_STORE_add_cert(store, authority.get()) == 1 &&
               SSL_CTX_add_client_CA(c, authority.get()) == 1);
      }
      X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);  // what is named is trusted, below a root, too
      const bool required = options.client_certificates() == client_certificates::required;
      SSL_CTX_set_verify(c, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
    }
  }
  SSL_CTX* const first = contexts_.front().get();  // where each handshake begins
  SSL_CTX_set_tlsext_servername_callback(first, &server_identity::choose);
  SSL_CTX_set_tlsext_servername_arg(first, this);
}

/// \return null: none is for that name.
SSL_CTX* server_identity::find(std::string_view name) const {
  if (name.ends_with('.')) name.remove_suffix(1);
  const std::string wanted = lowered(name);
  if (const auto exact = names_.find(wanted); exact != names_.end()) return exact->second;
  const auto dot = wanted.find('.');
  if (dot == std::string::npos || dot == 0) return nullptr;
  const auto below = names_.find('*' + wanted.substr(dot));
  return below != names_.end() ? below->second : nullptr;
}

int server_identity::choose(SSL* ssl, int* /*alert*/, void* self) noexcept {
  const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  try {
    SSL_CTX* const found = static_cast<const server_identity*>(self)->find(name);
    if (found == nullptr) return SSL_TLSEXT_ERR_NOACK;
    if (SSL_set_SSL_CTX(ssl, found) == nullptr) return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
  } catch (const std::bad_alloc&) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
}

tls::openssl_ptr<SSL> server_identity::make_ssl() const {
  tls::openssl_ptr<SSL> made(SSL_new(contexts_.front().get()));
  expect(made != nullptr);
  SSL_set_accept_state(made.get());
  return made;
}

std::shared_ptr<const peer_certificate> certificate_of_client(const SSL* ssl) {
  const tls::openssl_ptr<X509> shown(SSL_get1_peer_certificate(ssl));
  if (!shown) return nullptr;
  auto made = std::make_shared<peer_certificate>();
  made->subject = subject_of(shown.get());
  for_each_name(shown.get(), [&](int kind, std::string_view name) {
    (kind == GEN_DNS ? made->dns : kind == GEN_EMAIL ? made->emails : made->uris).emplace_back(name);
  });
  constexpr std::string_view digits = "0123456789abcdef";
  for (const char c : fingerprint(shown.get())) {
    const auto byte = static_cast<unsigned char>(c);
    made->sha256 += digits[byte / 16];
    made->sha256 += digits[byte % 16];
  }
  made->not_after = time_of(X509_get0_notAfter(shown.get()));
  return made;
}

// The public handle.

result<tls_server> tls_server::load(const tls_server_options& options) {
  auto made = std::make_shared<impl>(options);
  auto first = server_identity::read(options, nullptr);
  if (!first) return first.error();
  made->current = std::move(*first);
  return tls_server(std::move(made));
}

result<> tls_server::reload() {
  const std::lock_guard one_at_a_time(impl_->reloading);
  const auto before = impl_->get();
  auto now = server_identity::read(impl_->options, before.get());
  if (!now) return now.error();
  const std::lock_guard guard(impl_->mutex);
  impl_->current = std::move(*now);
  return {};
}

std::chrono::system_clock::time_point tls_server::expires() const { return impl_->get()->expires(); }

}  // namespace curfew::http
