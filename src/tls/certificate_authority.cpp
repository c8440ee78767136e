#include <fcntl.h>
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <curfew/tls/certificate_authority.hpp>
#include <curfew/tls/detail/engine.hpp>
#include <filesystem>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tls/certificate_text.hpp"

namespace curfew::testing {

namespace {

using tls::openssl_ptr;

constexpr long day = 24 * 60 * 60;

/// What OpenSSL has made, or its reason as an exception.
template <class T>
T made(T what) {
  if (what) return what;
  std::array<char, 256> why{};
  ERR_error_string_n(ERR_get_error(), why.data(), why.size());
  throw std::runtime_error(std::string("making a certificate: ") + why.data());
}

struct identity {
  openssl_ptr<EVP_PKEY> key;
  openssl_ptr<X509> certificate;
};

void set_name(X509* of, std::string_view common_name) {
  constexpr std::size_t longest = 64;                             // RFC 5280, appendix A.1
  if (common_name.size() > longest) common_name = "curfew test";  // an empty subject would be refused
  made(X509_NAME_add_entry_by_txt(X509_get_subject_name(of), "CN", MBSTRING_UTF8,
                                  reinterpret_cast<const unsigned char*>(common_name.data()),
                                  static_cast<int>(common_name.size()), -1, 0));
}

/// No two alike, in no two processes: browsers refuse another certificate of the same number and issuer.
void set_serial(X509* of) {
  const std::unique_ptr<BIGNUM, decltype(&BN_free)> number(made(BN_new()), &BN_free);
  made(BN_rand(number.get(), 120, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY));
  made(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(of)));
}

/// A certificate that is whole but for its extensions and its signature.
identity begin(const std::string& common_name, bool rsa, long from, long until) {
  identity begun{openssl_ptr<EVP_PKEY>(made(rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"))),
                 openssl_ptr<X509>(made(X509_new()))};
  X509* x = begun.certificate.get();
  made(X509_set_version(x, X509_VERSION_3));
  set_serial(x);
  made(X509_gmtime_adj(X509_getm_notBefore(x), from));
  made(X509_gmtime_adj(X509_getm_notAfter(x), until));
  made(X509_set_pubkey(x, begun.key.get()));
  set_name(x, common_name);
  return begun;
}

void extend(X509* of, X509* issuer, int what, const char* value) {
  X509V3_CTX about{};
  X509V3_set_ctx(&about, issuer, of, nullptr, nullptr, 0);
  const openssl_ptr<X509_EXTENSION> extension(made(X509V3_EXT_conf_nid(nullptr, &about, what, value)));
  made(X509_add_ext(of, extension.get(), -1));
}

void sign(X509* what, const identity& by) {
  X509* issuer = by.certificate.get();
  made(X509_set_issuer_name(what, X509_get_subject_name(issuer)));
  // Of two authorities with the same name, this tells a verifier which it was.
  extend(what, issuer, NID_subject_key_identifier, "hash");
  extend(what, issuer, NID_authority_key_identifier, what == issuer ? "keyid" : "keyid:always");
  made(X509_sign(what, by.key.get(), EVP_sha256()));
}

/// \param by  Null: signs itself.
identity make_authority(const std::string& name, const identity* by) {
  constexpr long years = 365 * day;
  identity begun = begin(name, false, -years, 10 * years);
  X509* x = begun.certificate.get();
  extend(x, x, NID_basic_constraints, by == nullptr ? "critical,CA:TRUE" : "critical,CA:TRUE,pathlen:0");
  extend(x, x, NID_key_usage, "critical,keyCertSign,cRLSign");
  sign(x, by == nullptr ? begun : *by);
  return begun;
}

std::invalid_argument no_name(const std::string& name) {
  return std::invalid_argument("a certificate for \"" + name +
                               "\": not a host, address, mail address or URI");
}

int kind_of(const std::string& name) {
  constexpr std::string_view of_hosts = "-._*";
  const auto is_plain = [](char c) { return c > ' ' && c < '\x7f'; };
  if (name.empty() || !std::ranges::all_of(name, is_plain)) throw no_name(name);
  if (tls::is_address(name)) return GEN_IPADD;
  if (name.find("://") != std::string::npos) return GEN_URI;
  if (name.find('@') != std::string::npos) return GEN_EMAIL;
  const bool is_host = std::ranges::all_of(name, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           of_hosts.find(c) != std::string_view::npos;
  });
  if (!is_host) throw no_name(name);
  return GEN_DNS;
}

void add_names(X509* to, const std::vector<std::string>& names) {
  const openssl_ptr<GENERAL_NAMES> list(made(GENERAL_NAMES_new()));
  for (const auto& name : names) {
    GENERAL_NAME* one = made(a2i_GENERAL_NAME(nullptr, nullptr, nullptr, kind_of(name), name.c_str(), 0));
    if (sk_GENERAL_NAME_push(list.get(), one) <= 0) {
      GENERAL_NAME_free(one);
      throw std::bad_alloc();
    }
  }
  made(X509_add1_ext_i2d(to, NID_subject_alt_name, list.get(), 0, X509V3_ADD_DEFAULT));
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string pem_of(X509* certificate) {
  const openssl_ptr<BIO> bio(made(BIO_new(BIO_s_mem())));
  made(PEM_write_bio_X509(bio.get(), certificate));
  return text_of(bio.get());
}

std::string pem_of(EVP_PKEY* key) {
  const openssl_ptr<BIO> bio(made(BIO_new(BIO_s_mem())));
  made(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr));
  return text_of(bio.get());
}

std::string pin_of(X509* certificate) {
  const auto digest = tls::digest_of_key(certificate);
  made(digest.has_value());
  return tls::pin_text(*digest);
}

/// A directory of its own; removed at the end.
class own_directory {
 public:
  own_directory() {
    path_ = (std::filesystem::temp_directory_path() / "curfew-certificates-XXXXXX").string();
    if (::mkdtemp(path_.data()) == nullptr) throw std::system_error(errno, std::generic_category(), path_);
  }
  own_directory(const own_directory&) = delete;
  own_directory& operator=(const own_directory&) = delete;
  ~own_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// \return the file's path.
  [[nodiscard]] std::string write(const std::string& name, std::string_view content, mode_t mode) const {
    std::string file = path_ + '/' + name;
    const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    const bool good = fd >= 0 && ::write(fd, content.data(), content.size()) == std::ssize(content);
    const int why = errno;
    if (fd >= 0) ::close(fd);
    if (!good) throw std::system_error(why, std::generic_category(), file);
    return file;
  }

 private:
  std::string path_;
};

constexpr mode_t for_all = 0644;
constexpr mode_t for_owner = 0600;

}  // namespace

struct test_certificate::impl {
  std::shared_ptr<const own_directory> directory;  // as long as its files are named
  std::string chain_pem;
  std::string key_pem;
  std::string key_pin;
  std::string chain_file;
  std::string key_file;
};

const std::string& test_certificate::chain_file() const noexcept { return impl_->chain_file; }
const std::string& test_certificate::key_file() const noexcept { return impl_->key_file; }
const std::string& test_certificate::chain_pem() const noexcept { return impl_->chain_pem; }
const std::string& test_certificate::key_pem() const noexcept { return impl_->key_pem; }
const std::string& test_certificate::key_pin() const noexcept { return impl_->key_pin; }

struct certificate_authority::impl {
  explicit impl(const std::string& name)
      : root(make_authority(name + " root", nullptr)),
        intermediate(make_authority(name + " intermediate", &root)) {}

  const identity root;
  const identity intermediate;
  const std::shared_ptr<const own_directory> directory = std::make_shared<own_directory>();
  const std::string root_pem = pem_of(root.certificate.get());
  const std::string intermediate_pem = pem_of(intermediate.certificate.get());
  const std::string root_file = directory->write("root.pem", root_pem, for_all);
  std::atomic<int> issued = 0;
};

certificate_authority::certificate_authority(std::string_view name)
    : impl_(std::make_shared<impl>(std::string(name))) {}
certificate_authority::certificate_authority(certificate_authority&&) noexcept = default;
certificate_authority& certificate_authority::operator=(certificate_authority&&) noexcept = default;
certificate_authority::~certificate_authority() = default;

test_certificate certificate_authority::issue(const std::vector<std::string>& names,
                                              const certificate_options& options) const {
  if (names.empty()) throw std::invalid_argument("a certificate without a name");
  long from = -day;
  long until = 30 * day;
  if (options.valid() == validity::expired) {
    from = -30 * day;
    until = -day;
  } else if (options.valid() == validity::not_yet) {
    from = day;
  }
  const identity begun = begin(names.front(), options.is_rsa(), from, until);
  X509* x = begun.certificate.get();
  extend(x, x, NID_basic_constraints, "critical,CA:FALSE");
  extend(x, x, NID_key_usage, "critical,digitalSignature");
  extend(x, x, NID_ext_key_usage, options.is_for_client() ? "clientAuth" : "serverAuth");
  add_names(x, names);
  sign(x, options.is_self_signed() ? begun : impl_->intermediate);

  const auto issued = std::make_shared<test_certificate::impl>();
  issued->directory = impl_->directory;
  issued->chain_pem = pem_of(x);
  if (!options.is_self_signed() && !options.is_without_intermediate())
    issued->chain_pem += impl_->intermediate_pem;
  issued->key_pem = pem_of(begun.key.get());
  issued->key_pin = pin_of(x);
  const std::string number = std::to_string(++impl_->issued);
  issued->chain_file = impl_->directory->write("chain-" + number + ".pem", issued->chain_pem, for_all);
  issued->key_file = impl_->directory->write("key-" + number + ".pem", issued->key_pem, for_owner);
  return test_certificate(issued);
}

const std::string& certificate_authority::root_file() const noexcept { return impl_->root_file; }
const std::string& certificate_authority::root_pem() const noexcept { return impl_->root_pem; }
const std::string& certificate_authority::intermediate_pem() const noexcept {
  return impl_->intermediate_pem;
}
const std::string& certificate_authority::directory() const noexcept { return impl_->directory->path(); }

}  // namespace curfew::testing
