#include <curfew/tls/detail/engine.hpp>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <system_error>
#include <tuple>
#include <utility>

#include "tls/certificate_text.hpp"

namespace curfew::tls {

namespace {

constexpr std::size_t record_size = 16 * 1024;   // of bytes that are not encrypted, at most
constexpr std::size_t gathered = 48 * 1024;      // is sent at once, with the record that fills it
constexpr std::size_t most_kept = 128 * 1024;    // then what answers the other end waits, and so do reads
constexpr std::size_t kept_capacity = 4 * 1024;  // larger buffers are given back after use
constexpr std::size_t longest_failure = 512;

}  // namespace

/// OpenSSL's view of the socket. Its own uses write(2), which raises SIGPIPE.
struct engine::bio {
  static engine& engine_of(BIO* b) noexcept { return *static_cast<engine*>(BIO_get_data(b)); }

  static int read(BIO* b, char* into, int size) noexcept {
    engine& self = engine_of(b);
    BIO_clear_retry_flags(b);
    for (;;) {
      const ssize_t count = ::recv(self.socket_, into, static_cast<std::size_t>(size), MSG_DONTWAIT);
      self.drained_ = count < size;
      if (count > 0) return static_cast<int>(count);
      if (count == 0) {
        self.socket_ended_ = true;
        return 0;
      }
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        BIO_set_retry_read(b);
      } else {
        self.io_error_ = errno;
      }
      return -1;
    }
  }

  /// What the socket does not take is kept; a broken one takes it in vain, and the next read or write says so.
  static int write(BIO* b, const char* from, int size) noexcept {
    engine& self = engine_of(b);
    BIO_clear_retry_flags(b);
    std::string_view bytes(from, static_cast<std::size_t>(size));
    if (!self.has_output() && !self.gathers_) self.send(bytes);
    if (self.broken_ || bytes.empty()) return size;
    if (self.out_.size() - self.out_sent_ + bytes.size() > most_kept) {
      BIO_set_retry_write(b);
      return -1;
    }
    try {
      if (self.gathers_) self.out_.reserve(gathered + 2 * record_size);
      self.out_ += bytes;
    } catch (const std::bad_alloc&) {
      self.io_error_ = ENOMEM;
      return -1;
    }
    return size;
  }

  static long control(BIO* b, int command, long /*number*/, void* /*pointer*/) noexcept {
    if (command == BIO_CTRL_FLUSH) return 1;
    if (command == BIO_CTRL_EOF) return engine_of(b).socket_ended_ ? 1 : 0;
    return 0;
  }

  static BIO_METHOD* method() {
    static BIO_METHOD* const made = [] {
      BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "curfew socket");
      if (m == nullptr) throw std::bad_alloc();
      BIO_meth_set_read(m, &read);
      BIO_meth_set_write(m, &write);
      BIO_meth_set_ctrl(m, &control);
      BIO_meth_set_create(m, [](BIO* b) {
        BIO_set_init(b, 1);
        return 1;
      });
      return m;
    }();
    return made;
  }

  /// Where an SSL knows its self.
  static int index() {
    static const int given = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return given;
  }
};

engine::engine(openssl_ptr<SSL> ssl, int socket) : socket_(socket), ssl_(std::move(ssl)) {
  BIO* const made = BIO_new(bio::method());
  if (made == nullptr) throw std::bad_alloc();
  BIO_set_data(made, this);
  SSL_set_bio(ssl_.get(), made, made);
  if (SSL_set_ex_data(ssl_.get(), bio::index(), this) != 1) throw std::bad_alloc();
  SSL_set_mode(ssl_.get(), SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_set_read_ahead(ssl_.get(), 1);
  if (const int mode = SSL_get_verify_mode(ssl_.get()); mode != SSL_VERIFY_NONE)
    SSL_set_verify(ssl_.get(), mode, &judge_certificate);
}

engine::~engine() {
  // A session may be resumed though its connection was closed without a word: OpenSSL would forbid it.
  if (open_ && (failed_ == 0 || failed_ == ECONNRESET))
    SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

engine::progress engine::handshake() noexcept {
  std::ignore = flush();
  if (failed_ != 0) return progress::failed;
  if (open_) return progress::done;
  ERR_clear_error();
  const int outcome = SSL_do_handshake(ssl_.get());
  if (outcome != 1) return judge(outcome);
  open_ = true;
  return progress::done;
}

/// Of a read or a write: the handshake, if it is not done, and what is kept.
int engine::begin_io() noexcept {
  if (failed_ != 0) return failed_;
  if (!open_) {
    const progress shaken = handshake();
    if (shaken == progress::failed) return failed_;
    if (shaken == progress::blocked) return EAGAIN;
  }
  std::ignore = flush();
  return failed_;
}

ssize_t engine::read(std::span<char> into) noexcept {
  errno = begin_io();
  if (errno != 0) return -1;
  if (at_end_) return 0;
  std::size_t total = 0;  // a record holds 16 KiB, and often less
  while (total != into.size()) {
    ERR_clear_error();
    std::size_t count = 0;
    const int outcome = SSL_read_ex(ssl_.get(), into.data() + total, into.size() - total, &count);
    if (outcome != 1) {
      const progress why = judge(outcome);
      if (total != 0) break;  // said by the next read
      if (at_end_) return 0;
      errno = why == progress::failed ? failed_ : EAGAIN;
      return -1;
    }
    total += count;
    if (is_drained()) break;
  }
  return static_cast<ssize_t>(total);
}

/// What the next record is to hold: a part, or several small ones put together in `room`.
std::string_view engine::next_record(std::span<std::string_view> parts, std::span<char> room) const noexcept {
  const auto first = std::ranges::find_if(parts, [](std::string_view each) { return !each.empty(); });
  if (first == parts.end()) return {};
  if (first->size() >= room.size() ||
      std::all_of(first + 1, parts.end(), [](std::string_view each) { return each.empty(); }))
    return first->substr(0, room.size());
  std::size_t size = 0;
  for (auto it = first; it != parts.end(); ++it) size += it->copy(room.data() + size, room.size() - size);
  return {room.data(), size};
}

ssize_t engine::write(std::span<std::string_view> parts) noexcept {
  errno = begin_io();
  if (errno == 0 && broken_) errno = ECONNRESET;
  if (errno == 0 && finished_) errno = EPIPE;
  if (errno == 0 && has_output()) errno = EAGAIN;
  if (errno != 0) return -1;
  std::array<char, record_size> room;
  std::size_t left = 0;
  for (const auto& part : parts) left += part.size();
  std::size_t total = 0;
  while (left != 0 && (gathers_ || !has_output())) {
    const std::string_view record = next_record(parts, room);
    gathers_ = left > record.size() && out_.size() < gathered;
    ERR_clear_error();
    std::size_t taken = 0;
    const int outcome = SSL_write_ex(ssl_.get(), record.data(), record.size(), &taken);
    if (outcome != 1) {
      const progress why = judge(outcome);
      gathers_ = false;
      std::ignore = flush();
      if (total != 0 && why == progress::blocked) break;
      errno = why == progress::failed ? failed_ : EAGAIN;
      return -1;
    }
    if (!gathers_) std::ignore = flush();
    if (broken_) {
      errno = ECONNRESET;
      return -1;
    }
    total += taken;
    left -= taken;
    for (auto& part : parts) {
      const std::size_t of_part = std::min(taken, part.size());
      part.remove_prefix(of_part);
      taken -= of_part;
    }
  }
  return static_cast<ssize_t>(total);
}

/// Takes off the front of `bytes` what the socket takes now.
void engine::send(std::string_view& bytes) noexcept {
  while (!bytes.empty() && !broken_) {
    const ssize_t count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (errno != EINTR) {
      broken_ = true;
      note_failure([code = errno] { return std::generic_category().message(code); });
    }
  }
}

engine::progress engine::flush() noexcept {
  if (has_output()) {
    std::string_view left = std::string_view(out_).substr(out_sent_);
    send(left);
    out_sent_ = out_.size() - left.size();
    if (left.empty() || broken_) {
      out_.clear();
      out_sent_ = 0;
      if (out_.capacity() > kept_capacity) out_.shrink_to_fit();
    }
  }
  if (failed_ != 0 || broken_) return progress::failed;
  return has_output() ? progress::blocked : progress::done;
}

engine::progress engine::finish() noexcept {
  if (failed_ != 0) return progress::failed;
  if (!open_) return progress::done;
  if (!std::exchange(finished_, true)) {
    ERR_clear_error();
    if (const int outcome = SSL_shutdown(ssl_.get()); outcome < 0) std::ignore = judge(outcome);
  }
  return flush();
}

engine::progress engine::judge(int outcome) noexcept {
  switch (SSL_get_error(ssl_.get(), outcome)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return progress::blocked;
    case SSL_ERROR_ZERO_RETURN:
      if (open_) {
        at_end_ = true;
        return progress::done;
      }
      socket_ended_ = true;  // in the handshake anyone on the way can say it
      break;
    default:
      break;
  }
  if (io_error_ != 0) {
    fail(ECONNRESET, [this] { return std::generic_category().message(io_error_); });
  } else if (socket_ended_) {
    fail(ECONNRESET, [this] {
      return std::string(open_ ? "the connection was cut" : "the connection was closed in the handshake");
    });
  } else {
    fail_of_protocol();
  }
  return progress::failed;
}

void engine::fail_of_protocol() noexcept {
  const unsigned long code = ERR_peek_last_error();
  reason_ = ERR_GET_REASON(code);
  fail(EPROTO, [&]() -> std::string {
    if (distrusted_.error != X509_V_OK) return why_distrusted();
    if (reason_ == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED)  // which is "unknown" to OpenSSL 3.0
      return "the other end refuses: certificate required";
    if (reason_ >= SSL_AD_REASON_OFFSET && reason_ < SSL_AD_REASON_OFFSET + 256) {
      return std::string("the other end refuses: ") +
             SSL_alert_desc_string_long(reason_ - SSL_AD_REASON_OFFSET);
    }
    const char* const text = ERR_reason_error_string(code);
    return text != nullptr ? text : "a breach of TLS";
  });
}

void engine::fail(int code, const auto& why) noexcept {
  failed_ = code;
  note_failure(why);
}

/// \param why  Makes the text; without memory there is none.
void engine::note_failure(const auto& why) noexcept {
  try {
    failure_ = why();
    failure_.resize(std::min(failure_.size(), longest_failure));
  } catch (const std::bad_alloc&) {
    failure_.clear();
  }
}

/// Called for each certificate of the other end, and with what is wrong with it.
int engine::judge_certificate(int is_good, X509_STORE_CTX* about) noexcept {
  if (is_good == 1) return 1;
  const auto* const ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(about, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto& self = *static_cast<engine*>(SSL_get_ex_data(ssl, bio::index()));
  self.distrusted_.error = X509_STORE_CTX_get_error(about);
  X509* const which = X509_STORE_CTX_get_current_cert(about);
  if (which != nullptr) X509_up_ref(which);
  self.distrusted_.certificate.reset(which);
  return 0;
}

std::string engine::why_distrusted() const {
  const char* const host = X509_VERIFY_PARAM_get0_host(SSL_get0_param(ssl_.get()), 0);
  return distrust_text(distrusted_.error, distrusted_.certificate.get(), host != nullptr ? host : "");
}

}  // namespace curfew::tls
