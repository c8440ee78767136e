#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "program.hpp"

namespace curfew::tests {

/// What a client of Redis talks to that a test wants to say anything to it, each connection in a thread of its own:
///
///     scripted_server server([](scripted_server::link& on) {
///       while (on.read()) on.say("$3\r\nbar\r\n");
///     });
///     redis::client client(server.url());
class scripted_server {
 public:
  /// A connection. It is closed when the talk is over.
  class link {
   public:
    explicit link(int fd) : fd_(fd) {}
    link(const link&) = delete;
    link& operator=(const link&) = delete;
    ~link() = default;

    /// The next command but for those of a connection's beginning, which are answered; none: the client has closed.
    std::optional<std::vector<std::string>> read() {
      for (;;) {
        auto command = read_any();
        if (!command || !answer_greeting(*command)) return command;
      }
    }
    std::optional<std::vector<std::string>> read_any() {
      const auto count = read_number('*');
      if (!count) return std::nullopt;
      std::vector<std::string> words;
      for (std::size_t i = 0; i != *count; ++i) {
        const auto size = read_number('$');
        if (!size || !fill(*size + 2)) return std::nullopt;
        words.push_back(in_.substr(0, *size));
        in_.erase(0, *size + 2);
      }
      return words;
    }
    /// False: the client has closed.
    bool say(std::string_view bytes) const {
      while (!bytes.empty()) {
        const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(n));
      }
      return true;
    }
    /// Waits until the client closes.
    void wait_for_close() {
      while (fill(in_.size() + 1)) in_.clear();
    }
    /// Has its close reach the client as a reset.
    void reset() const {
      const linger at_once{1, 0};
      ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }

   private:
    friend class scripted_server;

    bool answer_greeting(const std::vector<std::string>& command) const {
      const auto& word = command.front();
      if (word == "HELLO") return say("-ERR unknown command\r\n");
      if (word == "CLIENT" && command.size() > 1 && command[1] == "ID") return say(":7\r\n");
      if (word == "AUTH" || word == "SELECT" || word == "CLIENT") return say("+OK\r\n");
      return false;
    }
    bool fill(std::size_t size) {
      std::array<char, 65536> bytes{};
      while (in_.size() < size) {
        const ssize_t n = ::recv(fd_, bytes.data(), bytes.size(), 0);
        if (n <= 0) return false;
        in_.append(bytes.data(), static_cast<std::size_t>(n));
      }
      return true;
    }
    std::optional<std::size_t> read_number(char of) {
      std::size_t end = 0;
      for (std::size_t size = 1; (end = in_.find("\r\n")) == std::string::npos; size = in_.size() + 1) {
        if (!fill(size)) return std::nullopt;
      }
      std::size_t number = 0;
      if (in_[0] != of) return std::nullopt;
      std::from_chars(in_.data() + 1, in_.data() + end, number);
      in_.erase(0, end + 2);
      return number;
    }

    int fd_;
    std::string in_;
  };
  using talk = std::function<void(link&)>;

  explicit scripted_server(talk says) : says_(std::move(says)), accepts_([this] { accept(); }) {}
  scripted_server(const scripted_server&) = delete;
  scripted_server& operator=(const scripted_server&) = delete;
  ~scripted_server() {
    {
      const std::lock_guard guard(mutex_);
      over_ = true;
      for (const auto& each : links_) {
        if (each.is_open) ::shutdown(each.on.fd_, SHUT_RDWR);
      }
    }
    ::shutdown(port_.fd(), SHUT_RDWR);
    accepts_.join();
    for (auto& each : links_) each.thread.join();
  }

  [[nodiscard]] std::uint16_t port() const noexcept { return port_.number(); }
  [[nodiscard]] std::string url() const { return "redis://" + port_.address(); }
  [[nodiscard]] std::size_t connections() const {
    const std::lock_guard guard(mutex_);
    return links_.size();
  }

 private:
  struct entry {
    explicit entry(int fd) : on(fd) {}
    link on;
    bool is_open = true;
    std::thread thread;
  };

  void accept() {
    for (;;) {
      const int fd = ::accept4(port_.fd(), nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      const int yes = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
      const std::lock_guard guard(mutex_);
      if (over_) {
        ::close(fd);
        return;
      }
      auto& made = links_.emplace_back(fd);
      made.thread = std::thread([this, &made] {
        says_(made.on);
        const std::lock_guard done(mutex_);
        made.is_open = false;
        ::close(made.on.fd_);
      });
    }
  }

  talk says_;
  free_port port_;
  mutable std::mutex mutex_;
  // guarded by mutex_
  std::list<entry> links_;
  bool over_ = false;

  std::thread accepts_;
};

}  // namespace curfew::tests
