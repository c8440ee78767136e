#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/core/error.hpp>
#include <curfew/http/server.hpp>
#include <optional>
#include <string>
#include <vector>

#include "http/server/passed_sockets.hpp"
#include "http/wire/descriptor.hpp"

namespace curfew::http {

/// A socket that listens, without blocking, and what is to be undone when it stops.
class listening_socket {
 public:
  /// Takes the sockets of one address: one, or several of systemd's.
  static result<std::vector<listening_socket>> open(const server_options::listener& where,
                                                    passed_sockets& systemd = passed_sockets::of_process());

  listening_socket(listening_socket&&) noexcept = default;
  listening_socket& operator=(listening_socket&&) = delete;
  ~listening_socket() { close(); }

  /// -1 once closed.
  [[nodiscard]] int get() const noexcept { return socket_.get(); }
  [[nodiscard]] bool is_unix() const noexcept { return port_ == 0; }
  /// 0: a Unix socket.
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  /// "127.0.0.1:8080", "unix:/run/app.sock", "unix:@app".
  [[nodiscard]] const std::string& address() const noexcept { return address_; }
  /// "http://127.0.0.1:8080", which a client can use; empty for a Unix socket.
  [[nodiscard]] const std::string& url() const noexcept { return url_; }

  /// Has the kernel end TCP connections, which inherit this, whose other end gives no sign of life for so long.
  void ends_silent_after(clock::duration d) const noexcept;
  /// On return clients are refused and the address is free. A socket of systemd stays with it.
  void close() noexcept;

 private:
  /// The file of a Unix socket that this process has made.
  struct file {
    std::string path;
    dev_t device;
    ino_t inode;
  };

  explicit listening_socket(descriptor socket) noexcept : socket_(std::move(socket)) {}
  static result<listening_socket> open_tcp(const std::string& address);
  static result<listening_socket> open_unix(const std::string& address, const listen_options& how);
  void read_name();

  descriptor socket_;
  bool passed_ = false;  // by systemd, which has it too
  std::optional<file> file_;
  std::uint16_t port_ = 0;
  std::string address_;
  std::string url_;
};

}  // namespace curfew::http
