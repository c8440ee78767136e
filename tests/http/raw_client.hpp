#pragma once

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/http/fields.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace curfew::tests {

/// A blocking TCP client that sends what it is told to, byte for byte. Whatever takes longer than `patience`
/// throws.
class raw_client {
 public:
  /// What lies between it and the socket: TLS.
  class layer {
   public:
    virtual ~layer() = default;
    /// As send and recv of a socket that blocks; 0 bytes are an orderly end.
    virtual ssize_t send(std::string_view bytes) = 0;
    virtual ssize_t receive(char* into, std::size_t size) = 0;
    /// Is there something for receive() that does not come from the socket?
    virtual bool has_input() = 0;
    /// Says that nothing more will be sent.
    virtual void half_close() = 0;
  };

  static constexpr std::chrono::seconds patience{20};

  struct response {
    int status = 0;
    std::string head;  // status line and fields
    std::string body;

    /// The value of a field, or "" if there is none.
    [[nodiscard]] std::string field(std::string_view name) const {
      std::size_t at = head.find("\r\n");
      while (at != std::string::npos && at + 2 < head.size()) {
        at += 2;
        const auto end = head.find("\r\n", at);
        const auto colon = head.find(':', at);
        if (colon < end && http::same_name(std::string_view(head).substr(at, colon - at), name)) {
          return head.substr(colon + 2, end - colon - 2);
        }
        at = end;
      }
      return {};
    }
  };

  /// \param receive_buffer  Bytes that the kernel takes for us; 0: its default.
  explicit raw_client(std::uint16_t port, int receive_buffer = 0)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (socket_ < 0) fail("socket");
    if (receive_buffer > 0)
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    const int yes = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connect(&to, sizeof to);
  }
  /// Connects to 127.0.0.1 from another address of the loopback interface: "127.0.0.2".
  static raw_client from(const char* source, std::uint16_t port) {
    sockaddr_in there{};
    there.sin_family = AF_INET;
    there.sin_port = htons(port);
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in here{};
    here.sin_family = AF_INET;
    ::inet_pton(AF_INET, source, &here.sin_addr);
    return raw_client(AF_INET, &there, sizeof there, &here);
  }
  /// Connects to ::1.
  static raw_client v6(std::uint16_t port) {
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    to.sin6_port = htons(port);
    to.sin6_addr = IN6ADDR_LOOPBACK_INIT;
    return raw_client(AF_INET6, &to, sizeof to);
  }
  /// \param path  Of a Unix socket; with a '@' in front an abstract name.
  static raw_client local(std::string_view path) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    path.copy(to.sun_path, sizeof to.sun_path - 1);
    if (path.front() == '@') to.sun_path[0] = '\0';
    return raw_client(AF_UNIX, &to, offsetof(sockaddr_un, sun_path) + path.size());
  }
  raw_client(raw_client&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)),
        received_(std::move(other.received_)),
        layer_(std::move(other.layer_)) {}
  raw_client& operator=(raw_client&& other) noexcept {
    std::swap(socket_, other.socket_);
    std::swap(received_, other.received_);
    std::swap(layer_, other.layer_);
    return *this;
  }
  ~raw_client() { close(); }

  [[nodiscard]] int socket() const noexcept { return socket_; }
  /// From now on what is sent and received goes through it.
  void put(std::unique_ptr<layer> between) { layer_ = std::move(between); }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n =
          layer_ ? layer_->send(bytes) : ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0) fail("send");
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  /// As `send`, but an error, such as the other side having closed, is nothing.
  void try_send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n =
          layer_ ? layer_->send(bytes) : ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }

  /// Sends until no buffer on the way takes more.
  void fill() {
    const std::string block(64 * 1024, 'x');
    pollfd p{socket_, POLLOUT, 0};
    while (::poll(&p, 1, 100) > 0) {
      if (::send(socket_, block.data(), block.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN) {
        fail("send");
      }
    }
  }

  /// Everything up to and with `mark`; throws if the connection ends before.
  std::string read_until(std::string_view mark) {
    for (;;) {
      if (const auto at = received_.find(mark); at != std::string::npos) return take(at + mark.size());
      if (!receive()) throw std::runtime_error("connection ended after " + begin_of_received());
    }
  }
  std::string read_exactly(std::size_t size) {
    while (received_.size() < size) {
      if (!receive()) throw std::runtime_error("connection ended after " + begin_of_received());
    }
    return take(size);
  }
  /// Everything until the server closes. A reset throws std::system_error.
  std::string read_to_end() {
    while (receive()) {
    }
    return take(received_.size());
  }
  /// A whole response. \param to_head  It answers a HEAD request: there is no body.
  response read_response(bool to_head = false) {
    response r;
    r.head = read_until("\r\n\r\n");
    r.head.resize(r.head.size() - 2);
    r.status = std::stoi(r.head.substr(9, 3));
    if (to_head || r.status < 200 || r.status == 204 || r.status == 304) return r;
    if (r.field("Transfer-Encoding") == "chunked") {
      for (auto chunk = read_chunk(); !chunk.empty(); chunk = read_chunk()) r.body += chunk;
    } else if (const auto length = r.field("Content-Length"); !length.empty()) {
      r.body = read_exactly(std::stoul(length));
    } else {
      r.body = read_to_end();
    }
    return r;
  }
  /// The next chunk of a chunked body; "" is the last one.
  std::string read_chunk() {
    const auto line = read_until("\r\n");
    std::size_t size = 0;
    std::from_chars(line.data(), line.data() + line.size(), size, 16);
    auto chunk = read_exactly(size + 2);
    chunk.resize(size);
    return chunk;
  }
  /// Sends a GET and reads the answer.
  response get(std::string_view target, std::string_view more_fields = {}) {
    send("GET " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n" + std::string(more_fields) + "\r\n");
    return read_response();
  }

  /// Has the server closed, or reset, the connection? Waits for it; what it still sends is dropped.
  bool is_closed() {
    try {
      read_to_end();
    } catch (const std::system_error& e) {
      return e.code() == std::errc::connection_reset;
    }
    return true;
  }

  /// Is there something to read, or does it come within that time?
  bool has_input(std::chrono::milliseconds within = std::chrono::milliseconds(50)) {
    pollfd p{socket_, POLLIN, 0};
    return !received_.empty() || ::poll(&p, 1, static_cast<int>(within.count())) > 0;
  }

  /// Makes a `send` that blocks in another thread return.
  void stop_sending() { ::shutdown(socket_, SHUT_RDWR); }
  void half_close() {
    if (layer_) return layer_->half_close();
    cut();
  }
  /// Ends the socket's sending side; a layer above it says nothing of it.
  void cut() { ::shutdown(socket_, SHUT_WR); }
  /// As a machine that is switched off: from now on nothing of what comes is answered, not even by the kernel. What was
  /// sent before has been acknowledged: no repetition of it gives a sign of life.
  void fall_silent() {
    const auto until = std::chrono::steady_clock::now() + patience;
    for (int sent = 1; ::ioctl(socket_, SIOCOUTQ, &sent) == 0 && sent > 0;) {
      if (std::chrono::steady_clock::now() > until) throw std::runtime_error("nothing is acknowledged");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    sock_filter drop[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    const sock_fprog program{1, drop};
    if (::setsockopt(socket_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) fail("a filter");
  }
  void reset() {
    const linger at_once{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    layer_.reset();
    close();
  }
  void close() {
    if (layer_ && socket_ >= 0) layer_->half_close();
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }

 private:
  raw_client(int family, const void* to, std::size_t size, const sockaddr_in* from = nullptr)
      : socket_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (socket_ < 0) fail("socket");
    if (from != nullptr && ::bind(socket_, reinterpret_cast<const sockaddr*>(from), sizeof *from) != 0) {
      fail("bind");
    }
    connect(to, size);
  }
  void connect(const void* to, std::size_t size) {
    if (::connect(socket_, static_cast<const sockaddr*>(to), static_cast<socklen_t>(size)) == 0) return;
    const int code = errno;
    close();
    throw std::system_error(code, std::generic_category(), "connect");
  }

  [[noreturn]] static void fail(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
  }

  std::string take(std::size_t size) {
    auto taken = received_.substr(0, size);
    received_.erase(0, size);
    return taken;
  }
  [[nodiscard]] std::string begin_of_received() const { return '"' + received_.substr(0, 200) + '"'; }
  bool receive() {
    pollfd p{socket_, POLLIN, 0};
    const bool there = layer_ && layer_->has_input();
    if (!there && ::poll(&p, 1, static_cast<int>(std::chrono::milliseconds(patience).count())) == 0)
      throw std::runtime_error("nothing came after " + begin_of_received());
    char bytes[16 * 1024];
    const ssize_t n = layer_ ? layer_->receive(bytes, sizeof bytes) : ::recv(socket_, bytes, sizeof bytes, 0);
    if (n < 0) fail("recv");
    received_.append(bytes, static_cast<std::size_t>(n));
    return n > 0;
  }

  int socket_;
  std::string received_;
  std::unique_ptr<layer> layer_;
};

}  // namespace curfew::tests
