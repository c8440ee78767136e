#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <curfew/core/error.hpp>
#include <curfew/http/client.hpp>
#include <filesystem>
#include <functional>
#include <future>
#include <list>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace curfew::http::client_tests {

/// How long a test waits for what has to happen; only a hang is longer.
inline constexpr std::chrono::seconds patience{30};

/// The peer's end of one TCP connection.
class conversation {
 public:
  conversation(int fd, int number) : fd_(fd), number_(number) {
    const timeval limit{.tv_sec = patience.count(), .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }

  [[nodiscard]] int fd() const { return fd_; }
  /// 1 for the first connection of the peer.
  [[nodiscard]] int number() const { return number_; }

  /// The next bytes; none when the other side has closed.
  std::string read_some() {
    char bytes[16384];
    const ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
    return n > 0 ? std::string(bytes, static_cast<std::size_t>(n)) : std::string();
  }

  /// Reads up to the end of a header; empty if the other side closed before.
  std::string read_header() {
    for (;;) {
      if (const std::size_t end = unread_.find("\r\n\r\n"); end != std::string::npos) {
        std::string header = unread_.substr(0, end + 4);
        unread_.erase(0, end + 4);
        return header;
      }
      const std::string more = read_some();
      if (more.empty()) return {};
      unread_ += more;
    }
  }

  /// The same, and leaves it unread.
  std::string peek_header() {
    std::string header = read_header();
    unread_.insert(0, header);
    return header;
  }

  /// What has been read beyond a header, else the next bytes.
  std::string read_unread() { return unread_.empty() ? read_some() : std::exchange(unread_, {}); }

  /// Reads a header and the body that its Content-Length announces.
  std::string read_request() {
    std::string request = read_header();
    std::size_t length = 0;
    if (const std::size_t at = request.find("Content-Length: "); at != std::string::npos) {
      length = std::stoul(request.substr(at + 16));
    }
    const std::string body = read_exactly(length);
    if (body.size() < length) return {};
    return request + body;
  }

  /// The next `size` bytes; fewer if the other side closes before.
  std::string read_exactly(std::size_t size) {
    while (unread_.size() < size) {
      const std::string more = read_some();
      if (more.empty()) break;
      unread_ += more;
    }
    std::string bytes = unread_.substr(0, size);
    unread_.erase(0, size);
    return bytes;
  }

  /// False if the other side does not take it any more.
  bool write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  /// Reads on until the other side closes or resets. False: it did not within the test's patience.
  bool sees_close() {
    for (;;) {
      char bytes[16384];
      const ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
      if (n == 0) return true;
      if (n < 0) return errno != EAGAIN && errno != EWOULDBLOCK;
    }
  }

  /// Closes with a reset instead of an orderly end.
  void reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }

 private:
  int fd_;
  int number_;
  std::string unread_;
};

/// A TCP server on a free port of 127.0.0.1 that plays `script` on every connection, each in a thread of its
/// own, and closes the connection when the script returns.
class peer {
 public:
  using script = std::function<void(conversation&)>;

  explicit peer(script play) : play_(std::move(play)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (listener_ < 0 || bind(listener_, generic, size) != 0 || listen(listener_, 128) != 0 ||
        getsockname(listener_, generic, &size) != 0) {
      throw std::runtime_error("no listening socket");
    }
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  peer(const peer&) = delete;
  peer& operator=(const peer&) = delete;

  /// Closes what is still open, and waits for the scripts.
  ~peer() {
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
      const std::lock_guard guard(mutex_);
      for (const int fd : open_) shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& t : threads_) t.join();
    close(listener_);
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string url(std::string_view path = "/", std::string_view host = "127.0.0.1") const {
    return "http://" + std::string(host) + ':' + std::to_string(port_) + std::string(path);
  }
  /// Connections so far.
  [[nodiscard]] int connections() const { return connections_; }

 private:
  void accept_all() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      const int number = ++connections_;
      const std::lock_guard guard(mutex_);
      open_.push_back(fd);
      threads_.emplace_back([this, fd, number] {
        conversation c(fd, number);
        play_(c);
        const std::lock_guard closing(mutex_);
        open_.remove(fd);
        close(fd);
      });
    }
  }

  const script play_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  std::mutex mutex_;
  std::list<int> open_;             // guarded by mutex_
  std::list<std::thread> threads_;  // added to by acceptor_
  std::thread acceptor_;
};

/// Listens at an address without ever accepting; its queue is full, so the kernel lets further connections
/// wait.
class unanswering {
 public:
  explicit unanswering(in_addr_t host = INADDR_LOOPBACK, std::uint16_t port = 0) {
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(host);
    address.sin_port = htons(port);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener, generic, size) != 0 || listen(listener, 0) != 0 ||
        getsockname(listener, generic, &size) != 0 || connect(filler, generic, size) != 0) {
      throw std::runtime_error("no listening socket");
    }
    number = ntohs(address.sin_port);
    url = "http://127.0.0.1:" + std::to_string(number) + "/";
  }
  unanswering(const unanswering&) = delete;
  unanswering& operator=(const unanswering&) = delete;
  ~unanswering() {
    close(filler);
    close(listener);
  }

  int listener;
  int filler;
  std::uint16_t number = 0;  // of the port
  std::string url;
};

/// Calls `look` with the descriptors of this process until it returns true; false after the test's patience.
template <class Look>
bool wait_for_descriptor(Look look) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (std::chrono::steady_clock::now() < until) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      if (look(std::stoi(entry.path().filename()))) return true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

/// Waits until a call has read all that was sent to it from `port`.
inline bool wait_until_read(std::uint16_t port) {
  return wait_for_descriptor([&](int fd) {
    sockaddr_in other{};
    socklen_t size = sizeof other;
    int unread = 0;
    return getpeername(fd, reinterpret_cast<sockaddr*>(&other), &size) == 0 && other.sin_family == AF_INET &&
           ntohs(other.sin_port) == port && ioctl(fd, FIONREAD, &unread) == 0 && unread == 0;
  });
}

/// Waits until a socket of this process is connecting.
inline bool wait_until_connecting() {
  return wait_for_descriptor([](int fd) {
    tcp_info info{};
    socklen_t size = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_state == TCP_SYN_SENT;
  });
}

/// Something that happens once and that others wait for.
class moment {
 public:
  void set() {
    if (!done_.exchange(true)) promise_.set_value();
  }
  /// False if it does not happen within the test's patience.
  [[nodiscard]] bool wait() const { return future_.wait_for(patience) == std::future_status::ready; }
  [[nodiscard]] bool is_set() const { return done_; }

 private:
  std::promise<void> promise_;
  std::shared_future<void> future_{promise_.get_future()};
  std::atomic<bool> done_{false};
};

/// A complete response with that body.
inline std::string ok(std::string_view body, std::string_view more_fields = {}) {
  return "HTTP/1.1 200 OK\r\n" + std::string(more_fields) + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + std::string(body);
}

/// Answers every request of every connection with `answer(request)`.
inline peer::script answering(std::function<std::string(const std::string&)> answer) {
  return [answer = std::move(answer)](conversation& c) {
    for (std::string request; !(request = c.read_request()).empty();) {
      if (!c.write(answer(request))) return;
    }
  };
}

inline peer::script answering(std::string answer) {
  return answering([answer = std::move(answer)](const std::string&) { return answer; });
}

/// Sends its answer once and closes the connection.
inline peer::script closing_after(std::string answer) {
  return [answer = std::move(answer)](conversation& c) {
    c.read_request();
    c.write(answer);
  };
}

/// The request as the peer got it.
inline std::string seen_by_peer(client& sender, const context& ctx,
                                std::function<request(const peer&)> make) {
  std::string seen;
  std::mutex mutex;
  peer server([&](conversation& c) {
    std::string got = c.read_request();
    {
      const std::lock_guard guard(mutex);
      seen = std::move(got);
    }
    c.write(ok(""));
  });
  const auto answer = sender.send(ctx, make(server));
  EXPECT_TRUE(answer) << answer.error();
  const std::lock_guard guard(mutex);
  return seen;
}

/// A completion token: puts what it is called with into `to`.
template <class T>
auto into(std::future<T>& to) {
  std::promise<T> promise;
  to = promise.get_future();
  return [promise = std::move(promise)](T value) mutable { promise.set_value(std::move(value)); };
}

inline std::string redirect_to(const std::string& url, int code = 302) {
  return "HTTP/1.1 " + std::to_string(code) + " There\r\nLocation: " + url +
         "\r\nContent-Length: 5\r\n\r\nthere";
}

inline request get_of(const std::string& url) { return {"GET", url}; }

/// The error of one call; fails the test if there is none.
inline error error_of(result<response> answer) {
  if (!answer) return std::move(answer.error());
  ADD_FAILURE() << "no error: " << answer->status_line();
  return error(std::error_code());
}

inline std::uint16_t unused_port() {
  const peer gone(answering(""));
  return gone.port();
}

}  // namespace curfew::http::client_tests
