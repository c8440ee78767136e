#pragma once

#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <curfew/tls/certificate_authority.hpp>
#include <curfew/tls/detail/engine.hpp>
#include <functional>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

namespace curfew::tls::tests {

/// Both ends of a connection, neither of which blocks.
struct socket_pair {
  explicit socket_pair(int buffer = 0) {
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) != 0)
      throw std::system_error(errno, std::generic_category(), "socketpair");
    for (const int fd : fds) {
      if (buffer != 0) ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    }
  }
  socket_pair(const socket_pair&) = delete;
  socket_pair& operator=(const socket_pair&) = delete;
  ~socket_pair() {
    for (int& fd : fds) close(fd);
  }
  static void close(int& fd) noexcept {
    if (fd >= 0) ::close(std::exchange(fd, -1));
  }

  std::array<int, 2> fds{};
};

/// One direction between two ends: bytes pass when the test says so, and may be changed on the way.
class lane {
 public:
  /// \param record  A whole record of TLS, with its header; what is left in it passes.
  using change = std::function<void(std::string& record, int number)>;

  lane(int from, int to) : from_(from), to_(to) {}

  void on_record(change f) { change_ = std::move(f); }
  /// Behind so many bytes both directions end.
  void cut_after(std::size_t bytes) { cut_after_ = bytes; }

  /// Passes on up to `most` bytes. \return did anything happen?
  bool pump(std::size_t most) {
    bool moved = false;
    if (held_.size() < most && !ended_) {
      std::array<char, 4096> bytes;
      const ssize_t n = ::recv(from_, bytes.data(), std::min(most, bytes.size()), 0);
      if (n > 0) take({bytes.data(), static_cast<std::size_t>(n)});
      ended_ = n == 0 || (n < 0 && errno != EAGAIN);
      moved = n > 0 || ended_;
      if (ended_) held_ += std::exchange(partial_, {});
    }
    if (const auto now = held_.substr(0, std::min(most, room())); !now.empty()) {
      const ssize_t n = ::send(to_, now.data(), now.size(), MSG_NOSIGNAL);
      if (n > 0) held_.erase(0, static_cast<std::size_t>(n));
      if (n > 0) passed_ += static_cast<std::size_t>(n);
      if (n < 0 && errno != EAGAIN) held_.clear();
      moved = moved || n > 0;
    }
    if (cut_after_ && passed_ >= *cut_after_ && !cut_) {
      cut();
      moved = true;
    } else if (ended_ && held_.empty() && !told_) {
      told_ = true;
      ::shutdown(to_, SHUT_WR);
      moved = true;
    }
    return moved;
  }
  /// Ends both directions.
  void cut() {
    cut_ = true;
    ::shutdown(to_, SHUT_RDWR);
    ::shutdown(from_, SHUT_RDWR);
  }

  [[nodiscard]] std::size_t passed() const noexcept { return passed_; }
  [[nodiscard]] int records() const noexcept { return records_; }

 private:
  [[nodiscard]] std::size_t room() const {
    if (cut_) return 0;
    return cut_after_ ? *cut_after_ - std::min(*cut_after_, passed_) : held_.size();
  }
  void take(std::string_view bytes) {
    partial_ += bytes;
    constexpr std::size_t header = 5;
    while (partial_.size() >= header) {
      const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(partial_[i]); };
      const std::size_t size = header + (std::size_t{byte(3)} << 8U) + byte(4);
      if (partial_.size() < size) break;
      std::string record = partial_.substr(0, size);
      partial_.erase(0, size);
      if (change_) change_(record, records_);
      ++records_;
      held_ += record;
    }
    if (!change_) held_ += std::exchange(partial_, {});  // nobody waits for whole records
  }

  int from_;
  int to_;
  change change_;
  std::optional<std::size_t> cut_after_;
  std::string partial_;  // of a record
  std::string held_;
  std::size_t passed_ = 0;
  int records_ = 0;
  bool ended_ = false;
  bool told_ = false;
  bool cut_ = false;
};

/// The authority of all tests here.
struct shared_authority {
  testing::certificate_authority ca;
  testing::test_certificate localhost = ca.issue({"localhost"});

  static const shared_authority& get() {
    static const shared_authority made;
    return made;
  }
};

inline void check(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

inline tls::openssl_ptr<SSL_CTX> server_context(const testing::test_certificate& who) {
  tls::openssl_ptr<SSL_CTX> made(SSL_CTX_new(TLS_server_method()));
  check(SSL_CTX_use_certificate_chain_file(made.get(), who.chain_file().c_str()) == 1, "the chain");
  check(SSL_CTX_use_PrivateKey_file(made.get(), who.key_file().c_str(), SSL_FILETYPE_PEM) == 1, "the key");
  return made;
}

inline tls::openssl_ptr<SSL_CTX> client_context(const std::string& root_file) {
  tls::openssl_ptr<SSL_CTX> made(SSL_CTX_new(TLS_client_method()));
  check(SSL_CTX_load_verify_file(made.get(), root_file.c_str()) == 1, "the root");
  SSL_CTX_set_verify(made.get(), SSL_VERIFY_PEER, nullptr);
  return made;
}

inline tls::openssl_ptr<SSL> server_end(SSL_CTX* of, int version = 0) {
  tls::openssl_ptr<SSL> made(SSL_new(of));
  SSL_set_max_proto_version(made.get(), version);
  SSL_set_accept_state(made.get());
  return made;
}

inline tls::openssl_ptr<SSL> client_end(SSL_CTX* of, const char* host = "localhost") {
  tls::openssl_ptr<SSL> made(SSL_new(of));
  SSL_set1_host(made.get(), host);
  SSL_set_connect_state(made.get());
  return made;
}

/// A client and a server, and the wire between them.
struct tls_pair {
  explicit tls_pair(int version = TLS1_3_VERSION, int send_buffer = 0)
      : tls_pair(contexts::shared().server.get(), contexts::shared().client.get(), version, send_buffer) {}
  tls_pair(SSL_CTX* of_server, SSL_CTX* of_client, int version = 0, int send_buffer = 0,
           const char* host = "localhost")
      : at_client(send_buffer),
        at_server(send_buffer),
        client(client_end(of_client, host), at_client.fds[0]),
        server(server_end(of_server, version), at_server.fds[0]),
        up(at_client.fds[1], at_server.fds[1]),
        down(at_server.fds[1], at_client.fds[1]) {}

  /// \return did anything happen?
  bool pump(std::size_t most = 4096) {
    const bool went_up = up.pump(most);
    return down.pump(most) || went_up;
  }
  /// Until both are open, or one has failed, or nothing moves any more. \return are both open?
  bool shake(std::size_t most = 4096) {
    for (int idle = 0; idle < 2;) {
      std::ignore = client.handshake();
      std::ignore = server.handshake();
      idle = pump(most) ? 0 : idle + 1;
      if (client.is_open() && server.is_open()) return true;
    }
    return false;
  }

  struct contexts {
    tls::openssl_ptr<SSL_CTX> server = server_context(shared_authority::get().localhost);
    tls::openssl_ptr<SSL_CTX> client = client_context(shared_authority::get().ca.root_file());

    static const contexts& shared() {
      static const contexts made;
      return made;
    }
  };

  socket_pair at_client;  // [0] is the engine's
  socket_pair at_server;
  tls::engine client;
  tls::engine server;
  lane up;
  lane down;
};

/// One end that writes what comes into its mind and notes what it hears.
class speaker {
 public:
  using random = std::mt19937_64;

  speaker(tls::engine& engine, random& numbers) : engine_(engine), numbers_(numbers) {}

  /// \return did anything happen?
  bool write(std::size_t most) {
    if (write_wrong_ != 0) return false;
    std::array<std::string, 4> content;
    std::array<std::string_view, 4> parts;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      content[i].resize(numbers_() % 2 == 0 ? numbers_() % 40 : numbers_() % (most + 1));
      const auto first = numbers_();
      for (std::size_t at = 0; at < content[i].size(); ++at)
        content[i][at] = static_cast<char>(first + at * 7 + at / 256);
      parts[i] = content[i];
    }
    const std::string all = content[0] + content[1] + content[2] + content[3];
    const ssize_t n = engine_.write(parts);
    if (n < 0) return fail(write_wrong_);
    said_ += all.substr(0, static_cast<std::size_t>(n));
    std::size_t left = 0;
    for (const auto part : parts) left += part.size();
    check(left + static_cast<std::size_t>(n) == all.size(), "as much is taken off as was taken");
    for (auto& each : content) each.assign(each.size(), '!');  // the caller's again
    return n > 0;
  }
  bool read(std::size_t most) {
    if (at_end_ || read_wrong_ != 0) return false;
    std::string into(std::max<std::size_t>(most, 1), '\0');
    const ssize_t n = engine_.read(into);
    if (n < 0) return fail(read_wrong_);
    heard_.append(into, 0, static_cast<std::size_t>(n));
    at_end_ = n == 0;
    return true;
  }
  bool read_all(std::size_t most = 16384) {
    bool any = false;
    while (read(most)) any = true;
    return any;
  }

  [[nodiscard]] const std::string& said() const noexcept { return said_; }
  [[nodiscard]] const std::string& heard() const noexcept { return heard_; }
  /// errno of what goes no more; 0: nothing is wrong
  [[nodiscard]] int wrong() const noexcept { return read_wrong_ != 0 ? read_wrong_ : write_wrong_; }
  /// That of its reads.
  [[nodiscard]] int read_wrong() const noexcept { return read_wrong_; }
  [[nodiscard]] bool at_end() const noexcept { return at_end_; }

 private:
  static bool fail(int& wrong) {
    const int why = errno;
    check(why == EAGAIN || why == ECONNRESET || why == EPROTO || why == EPIPE, "another errno");
    if (why != EAGAIN) wrong = why;
    return wrong != 0;
  }

  tls::engine& engine_;
  random& numbers_;
  std::string said_;
  std::string heard_;
  int read_wrong_ = 0;
  int write_wrong_ = 0;
  bool at_end_ = false;
};

}  // namespace curfew::tls::tests
