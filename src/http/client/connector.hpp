#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/io/detail/resolver.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

namespace curfew::http {

using detail::resolver;

/// Connects to the first of some addresses that answers (RFC 8305, section 5). It has no loop: its owner watches the
/// sockets and the time, and calls advance().
///
///              advance(): one has answered          release()
///     pending ──────────────────────────► connected ────────► connected, empty
///        │      advance(): all have failed
///        └────────────────────────────► failed
///
/// An attempt begins when the one that began before it has failed, or 250 ms after it. Attempts that are under way go
/// on meanwhile; when one has its connection, advance() closes the others.
///
/// An owner with an epoll set enters fresh() after each call of advance(). With an edge-triggered set no edge is lost,
/// since the kernel reports a descriptor that is ready when it is entered. `closing` takes sockets out of the set: closing
/// alone would leave one there if a child process had a copy. Their numbers may be used again at once, so those of
/// descriptors() cannot be compared with those of before. An event of a socket that lost may still be among those that
/// have been fetched: after release() an event tells no more than to look at the socket.
///
/// A connection that was reset right away has been made, so it is given: its first read or write says what became of it.
///
/// Thread safety: none.
class connector {
 public:
  enum class state { pending, connected, failed };

  static constexpr clock::duration head_start = std::chrono::milliseconds(250);

  /// \param to       Not empty.
  /// \param closing  Called with each socket that has been in fresh() before it is closed; must not throw.
  connector(std::shared_ptr<const resolver::addresses> to, std::uint16_t port,
            std::move_only_function<void(int)> closing = {});
  connector(const connector&) = delete;
  connector& operator=(const connector&) = delete;
  /// Closes the sockets.
  ~connector();

  /// Looks what has become of the attempts, and begins the next if its time has come. To be called at first, when a
  /// socket of descriptors() can be written to or is broken, and at next_at(); at any other time it does no harm.
  state advance(clock::time_point now);

  /// While pending: the sockets to be watched for EPOLLOUT. When connected: the one that is.
  [[nodiscard]] std::span<const int> descriptors() const noexcept { return sockets_; }
  /// Those of them that the last advance() has added.
  [[nodiscard]] std::span<const int> fresh() const noexcept { return descriptors().last(fresh_); }
  /// When the next attempt begins, if there is one left.
  [[nodiscard]] std::optional<clock::time_point> next_at() const noexcept;

  /// When connected: the socket, which is now the caller's. Nonblocking, close-on-exec, TCP_NODELAY.
  [[nodiscard]] int release() noexcept;

  /// When failed: errc::connection_refused, whatever kept the last attempt from its connection. The system's code if
  /// there was no socket for it.
  [[nodiscard]] std::error_code failure() const noexcept { return failure_; }
  /// What the system says of the last attempt, where failure() does not; else empty.
  [[nodiscard]] std::string detail() const;

 private:
  enum class outcome { pending, connected, failed };

  void begin(clock::time_point now);
  outcome look_at(int socket) noexcept;
  void won(int socket) noexcept;
  void drop(int socket) noexcept;

  const std::shared_ptr<const resolver::addresses> to_;
  const std::uint16_t port_;
  std::move_only_function<void(int)> closing_;
  std::size_t next_ = 0;  // which of to_
  state state_ = state::pending;
  std::vector<int> sockets_;  // in the order in which they began
  std::size_t fresh_ = 0;
  int newest_ = -1;  // of sockets_: the attempt that began last, while it is pending
  clock::time_point newest_began_;
  std::error_code failure_;
  int errno_ = 0;  // of the attempt that failed last
};

}  // namespace curfew::http
