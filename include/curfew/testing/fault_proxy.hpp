#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace curfew::testing {

/// What a fault_proxy does to the bytes of one direction. Each setter returns the faults, so they can be
/// chained; the overload without an argument reads the fault. Default: none; bytes pass as they come.
///
/// Counts are of one connection, from its first byte in this direction. Of several, the smallest count holds.
class faults {
 public:
  using duration = std::chrono::nanoseconds;

  /// How long each piece is held back: from when it has come, and from when the piece before it has passed.
  faults& delay(duration d) { return delay_ = d, *this; }
  [[nodiscard]] duration delay() const noexcept { return delay_; }
  /// Largest piece, in bytes, down to 1: each is sent as a TCP segment of its own. 0: as they come. Without a
  /// delay the receiver may find several of them in one read.
  faults& split(std::size_t bytes) { return split_ = bytes, *this; }
  [[nodiscard]] std::size_t split() const noexcept { return split_; }
  /// A black hole: behind this many bytes nothing passes, neither bytes nor an orderly end, and the connection
  /// stays open. Nothing is read either, so that the sender is held back once the kernel's buffers are full.
  faults& stop_after(std::size_t bytes) { return stop_after_ = bytes, *this; }
  [[nodiscard]] std::optional<std::size_t> stop_after() const noexcept { return stop_after_; }
  /// Ends the connection in order (FIN) on both sides once this many bytes have passed. What comes afterwards
  /// is read and thrown away.
  faults& close_after(std::size_t bytes) { return close_after_ = bytes, *this; }
  [[nodiscard]] std::optional<std::size_t> close_after() const noexcept { return close_after_; }
  /// Resets the connection (RST) on both sides once this many bytes have passed.
  faults& reset_after(std::size_t bytes) { return reset_after_ = bytes, *this; }
  [[nodiscard]] std::optional<std::size_t> reset_after() const noexcept { return reset_after_; }

 private:
  duration delay_{};
  std::size_t split_ = 0;
  std::optional<std::size_t> stop_after_;
  std::optional<std::size_t> close_after_;
  std::optional<std::size_t> reset_after_;
};

/// When a fault_proxy connects to its server for a client.
enum class proxy_connects {
  at_once,        ///< As soon as it has accepted the client.
  at_first_byte,  ///< When the client has sent something.
  never,          ///< Accepts and says nothing. What the client sends is read and thrown away.
};

/// What a fault_proxy does to its connections. Each setter returns the options, so they can be chained; the
/// overload without an argument reads the option.
class fault_options {
 public:
  /// What the client sends. Default: no faults.
  fault_options& to_server(const faults& f) { return to_server_ = f, *this; }
  [[nodiscard]] const faults& to_server() const noexcept { return to_server_; }
  /// What the server sends. Default: no faults.
  fault_options& to_client(const faults& f) { return to_client_ = f, *this; }
  [[nodiscard]] const faults& to_client() const noexcept { return to_client_; }
  /// Of connections that are accepted from now on. Default: at once.
  fault_options& connects(proxy_connects when) { return connects_ = when, *this; }
  [[nodiscard]] proxy_connects connects() const noexcept { return connects_; }

 private:
  faults to_server_;
  faults to_client_;
  proxy_connects connects_ = proxy_connects::at_once;
};

/// A TCP proxy in front of a server of 127.0.0.1, which makes the faults of a network for tests of clients and
/// servers. It listens on a free port of 127.0.0.1, runs on a thread of its own, and needs no test framework.
///
///     curfew::testing::fault_proxy proxy(server_port);
///     auto silence = testing::fault_options().to_client(testing::faults().stop_after(10));
///     proxy.set(silence);                      // the answer stops within its first line
///     std::string where = proxy.address();     // "127.0.0.1:40312": what the client connects to
///     // … the client's call, under a deadline …
///     bool gone = proxy.wait_ended();          // and it has closed its connection
///
/// An end of one side passes as a half-close, behind the bytes before it. A reset passes at once. A server that
/// refuses the connection reads as a reset to the client.
///
/// Thread safety: any thread. Waits and delays are of real time.
class fault_proxy {
 public:
  static constexpr std::chrono::seconds patience{20};

  /// \param server  The port of 127.0.0.1 to connect to; nothing needs to listen there yet.
  /// Throws: std::system_error if there is no port, or no thread.
  explicit fault_proxy(std::uint16_t server, const fault_options& options = {});
  fault_proxy(const fault_proxy&) = delete;
  fault_proxy& operator=(const fault_proxy&) = delete;
  /// Resets the connections that are still open.
  ~fault_proxy();

  [[nodiscard]] std::uint16_t port() const noexcept;
  /// "127.0.0.1:40312"
  [[nodiscard]] std::string address() const;

  /// Takes the place of the options before, for open connections too: on return no byte passes under the old ones
  /// any more. A black hole that goes lets pass what it has held back; a count that is reached already acts now.
  void set(const fault_options& options);
  [[nodiscard]] fault_options options() const;

  /// Closes the port: connections are refused from now on. The port stays reserved, and open connections go on.
  void refuse() noexcept;
  /// Opens it again. Throws: std::system_error.
  void accept();

  /// Connections so far, and those of them that have not ended. A connection has ended when both of its sides
  /// have, or when it was reset.
  [[nodiscard]] std::size_t accepted() const;
  [[nodiscard]] std::size_t open() const;
  /// Bytes that have passed, of all connections together; with proxy_connects::never, those thrown away.
  [[nodiscard]] std::size_t bytes_to_server() const;
  [[nodiscard]] std::size_t bytes_to_client() const;

  /// Waits until so many connections were accepted, or bytes have passed, in all. False after `limit`.
  [[nodiscard]] bool wait_accepted(std::size_t count = 1, faults::duration limit = patience) const;
  [[nodiscard]] bool wait_bytes_to_server(std::size_t count, faults::duration limit = patience) const;
  [[nodiscard]] bool wait_bytes_to_client(std::size_t count, faults::duration limit = patience) const;
  /// Waits until none of the accepted connections is open. False after `limit`.
  [[nodiscard]] bool wait_ended(faults::duration limit = patience) const;

 private:
  class impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace curfew::testing
