#pragma once

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace curfew::tls {

/// Destroys what OpenSSL has made.
struct free_openssl {
  void operator()(SSL* p) const noexcept { SSL_free(p); }
  void operator()(SSL_CTX* p) const noexcept { SSL_CTX_free(p); }
  void operator()(SSL_SESSION* p) const noexcept { SSL_SESSION_free(p); }
  void operator()(X509* p) const noexcept { X509_free(p); }
  void operator()(X509_EXTENSION* p) const noexcept { X509_EXTENSION_free(p); }
  void operator()(GENERAL_NAMES* p) const noexcept { GENERAL_NAMES_free(p); }
  void operator()(EVP_PKEY* p) const noexcept { EVP_PKEY_free(p); }
  void operator()(BIO* p) const noexcept { BIO_free(p); }
};
template <class T>
using openssl_ptr = std::unique_ptr<T, free_openssl>;

/// One end of a TLS connection, over a socket that does not block: recv() and send() for what encrypts. The same for the
/// server and the client: the `SSL` that it is given knows its role.
///
///     handshaking ──handshake()──► open ──read() finds close_notify──► at_end
///          │                        │
///          └────────┬───────────────┘
///                   ▼
///                failed     stays so; failure() says why
///
/// An event of the socket names no direction: reads may have to write (a KeyUpdate's answer), and writes to read. So after
/// each event all that waits tries again, reads until there is EAGAIN: bytes that OpenSSL holds decrypted make no event.
///
/// A socket that takes nothing any more fails writes alone: what came before can still be read, an answer or an alert.
/// Records go to the socket several at a time: the other end is woken for each call. What is encrypted and the socket does
/// not take is kept, five of them at most, and sent by the next call of any kind; so bytes that write() has taken are its
/// own, and what comes next may be something else.
///
/// Thread safety: none; one thread at a time.
class engine {
 public:
  enum class progress { done, blocked, failed };

  /// \param ssl     Fresh, with all that is set for it, its role too.
  /// \param socket  Does not block; outlives this.
  /// Throws: std::bad_alloc.
  engine(openssl_ptr<SSL> ssl, int socket);
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;
  ~engine();

  /// Goes on with it. Again when it is done: only sends what is kept.
  progress handshake() noexcept;

  /// As recv(). \return how many bytes; 0: close_notify has come, everything before it has been read; -1 with errno: EAGAIN,
  /// ECONNRESET where the socket has ended without close_notify, or is broken, EPROTO for a breach of the protocol. The last
  /// two are for ever.
  ssize_t read(std::span<char> into) noexcept;
  /// Has read() taken all that the socket had, and given all of it? What comes then is told by an event. Not where an end
  /// or a failure is still to be said; of a socket that has ended it says nothing.
  [[nodiscard]] bool is_drained() const noexcept {
    return drained_ && !at_end_ && failed_ == 0 && SSL_has_pending(ssl_.get()) == 0;
  }
  /// As send_parts(): takes what it has encrypted off the front of the parts; of that some may be kept. \return how many
  /// bytes; 0: nothing to take, and nothing is kept; -1 with errno: EAGAIN while something is kept, which nothing is taken
  /// behind; as read().
  ssize_t write(std::span<std::string_view> parts) noexcept;
  /// Sends what is kept.
  progress flush() noexcept;
  /// Is there something that the socket has not taken?
  [[nodiscard]] bool has_output() const noexcept { return !out_.empty(); }
  /// How many bytes.
  [[nodiscard]] std::size_t kept() const noexcept { return out_.size() - out_sent_; }
  /// Says that nothing more will be written (close_notify), as far as the socket takes it. The socket stays open.
  progress finish() noexcept;

  /// After `failed`, ECONNRESET, EPROTO: "the certificate \"example.org\" expired on 2026-11-02", "the other end refuses:
  /// unknown CA", "the connection was closed in the handshake". Printable, of limited length.
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
  /// Of a breach of the protocol: OpenSSL's number for it, such as SSL_R_HTTP_REQUEST; else 0.
  [[nodiscard]] int reason() const noexcept { return reason_; }
  /// Has it failed since the socket has ended or is broken, and not by what was said?
  [[nodiscard]] bool was_cut() const noexcept { return failed_ == ECONNRESET; }
  [[nodiscard]] bool is_open() const noexcept { return open_; }
  [[nodiscard]] SSL* ssl() const noexcept { return ssl_.get(); }

 private:
  struct bio;
  /// The certificate of the other end that is not to be trusted.
  struct distrust {
    int error = X509_V_OK;
    openssl_ptr<X509> certificate;
  };

  static int judge_certificate(int is_good, X509_STORE_CTX* about) noexcept;
  [[nodiscard]] std::string why_distrusted() const;
  /// What a call of OpenSSL that has not succeeded means.
  progress judge(int outcome) noexcept;
  void fail(int code, const auto& why) noexcept;
  void fail_of_protocol() noexcept;
  void note_failure(const auto& why) noexcept;
  /// \return 0, or what errno is to be.
  [[nodiscard]] int begin_io() noexcept;
  void send(std::string_view& bytes) noexcept;
  std::string_view next_record(std::span<std::string_view> parts, std::span<char> room) const noexcept;

  const int socket_;
  openssl_ptr<SSL> ssl_;
  std::string out_;           // encrypted, and not all of it sent
  std::size_t out_sent_ = 0;  // of it
  std::string failure_;
  distrust distrusted_;
  int failed_ = 0;    // errno
  int io_error_ = 0;  // of the socket
  int reason_ = 0;
  bool open_ = false;
  bool broken_ = false;  // the socket takes nothing; what came before that can still be read
  bool socket_ended_ = false;
  bool drained_ = false;  // the last recv() has found less than it would have taken
  bool at_end_ = false;
  bool finished_ = false;
  bool gathers_ = false;  // more records come, to be sent with what is written
};

}  // namespace curfew::tls
