#include <curfew/tls/detail/pem_files.hpp>

#include <openssl/err.h>
#include <openssl/pem.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>

namespace curfew::tls {

namespace {

constexpr std::size_t largest_file = 16 * 1024 * 1024;  // the authorities of a whole system have 250 KB

std::unexpected<pem_problem> bad(std::string_view what, const std::string& file, std::string_view why) {
  return std::unexpected(pem_problem{
      .system = {}, .doing = "reading " + std::string(what) + ' ' + file + " (" + std::string(why) + ')'});
}

struct close_file {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

pem_result<std::string> read_file(std::string_view what, const std::string& file) {
  const auto fail = [&](int code) {
    return std::unexpected(pem_problem{.system = std::error_code(code, std::generic_category()),
                                       .doing = "reading " + std::string(what) + ' ' + file});
  };
  const std::unique_ptr<std::FILE, close_file> from(std::fopen(file.c_str(), "rbe"));
  if (!from) return fail(errno);
  std::string bytes;
  char block[16 * 1024];
  for (;;) {
    const std::size_t count = std::fread(block, 1, sizeof block, from.get());
    if (count == 0) break;
    bytes.append(block, count);
    if (bytes.size() > largest_file) return fail(EFBIG);
  }
  if (std::ferror(from.get()) != 0) return fail(errno);
  return bytes;
}

openssl_ptr<BIO> bio_of(const std::string& bytes) {
  openssl_ptr<BIO> made(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
  if (!made) throw std::bad_alloc();
  return made;
}

/// What OpenSSL says, as far as that helps.
std::string_view openssl_reason() {
  const char* const text = ERR_reason_error_string(ERR_peek_last_error());
  return text != nullptr ? text : "OpenSSL does not say why";
}

/// All certificates of a file.
pem_result<std::vector<openssl_ptr<X509>>> read_certificates(std::string_view what, const std::string& file) {
  const auto bytes = read_file(what, file);
  if (!bytes) return std::unexpected(bytes.error());
  const openssl_ptr<BIO> from = bio_of(*bytes);
  std::vector<openssl_ptr<X509>> all;
  ERR_clear_error();
  while (openssl_ptr<X509> next{PEM_read_bio_X509_AUX(from.get(), nullptr, nullptr, nullptr)})
    all.push_back(std::move(next));
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (!at_end) {
    const std::string why = "certificate " + std::to_string(all.size() + 1) +
                            " of it is broken: " + std::string(openssl_reason());
    ERR_clear_error();
    return bad(what, file, why);
  }
  ERR_clear_error();
  if (all.empty())
    return bad(what, file, "there is no certificate in it: it has to be PEM, BEGIN CERTIFICATE");
  return all;
}

pem_result<openssl_ptr<EVP_PKEY>> read_key(const std::string& file) {
  constexpr std::string_view what = "the key";
  const auto bytes = read_file(what, file);
  if (!bytes) return std::unexpected(bytes.error());
  const openssl_ptr<BIO> from = bio_of(*bytes);
  bool encrypted = false;
  // Without a function OpenSSL asks the terminal.
  const auto no_password = [](char* /*into*/, int /*size*/, int /*writes*/, void* asked) {
    *static_cast<bool*>(asked) = true;
    return -1;
  };
  ERR_clear_error();
  openssl_ptr<EVP_PKEY> key(PEM_read_bio_PrivateKey(from.get(), nullptr, no_password, &encrypted));
  const bool none = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string why(key ? "" : openssl_reason());
  ERR_clear_error();
  if (key) return key;
  if (encrypted)
    return bad(what, file, "it is encrypted, and nothing asks for passwords here: store it without one");
  if (none || why.find("unsupported") != std::string::npos)
    return bad(what, file, "there is no private key in it: it has to be PEM, BEGIN PRIVATE KEY");
  return bad(what, file, why);
}

}  // namespace

std::string pem_problem::text() const { return system ? doing + ": " + system.message() : doing; }

pem_result<key_pair> read_key_pair(const std::string& chain_file, const std::string& key_file) {
  auto all = read_certificates("the certificate", chain_file);
  if (!all) return std::unexpected(all.error());
  auto key = read_key(key_file);
  if (!key) return std::unexpected(key.error());
  key_pair made;
  made.certificate = std::move(all->front());
  all->erase(all->begin());
  made.chain = std::move(*all);
  made.key = std::move(*key);
  const bool fits = X509_check_private_key(made.certificate.get(), made.key.get()) == 1;
  ERR_clear_error();
  if (!fits) return bad("the key", key_file, "it does not belong to the first certificate of " + chain_file);
  return made;
}

pem_result<std::vector<openssl_ptr<X509>>> read_authorities(const std::string& file) {
  return read_certificates("the authorities", file);
}

std::string use(SSL_CTX* context, const key_pair& pair) {
  ERR_clear_error();
  bool taken = SSL_CTX_use_certificate(context, pair.certificate.get()) == 1 &&
               SSL_CTX_use_PrivateKey(context, pair.key.get()) == 1;
  for (const auto& above : pair.chain) taken = taken && SSL_CTX_add1_chain_cert(context, above.get()) == 1;
  const std::string why(taken ? "" : openssl_reason());
  ERR_clear_error();
  return why;
}

}  // namespace curfew::tls
