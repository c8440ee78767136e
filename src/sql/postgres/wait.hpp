#pragma once

#include <cstdint>

namespace curfew::sql::postgres {

/// What a connection waits for before it goes on.
enum class wants : std::uint8_t { nothing, read, write };

/// What a wait for a socket has found.
enum class readiness : std::uint8_t { none, writable, readable };

/// A descriptor that is closed with it; of an eventfd.
class wake_event {
 public:
  /// Throws: std::system_error.
  wake_event();
  wake_event(const wake_event&) = delete;
  wake_event& operator=(const wake_event&) = delete;
  ~wake_event();

  [[nodiscard]] int fd() const noexcept { return fd_; }
  void set() const noexcept;
  void clear() const noexcept;

 private:
  int fd_;
};

/// Ends a wait, of a thread.
struct wake_up {
  const wake_event* waker;
  void operator()() const noexcept { waker->set(); }
};

/// Blocks until the socket is ready, or `waker` is set. One that is to be written is waited for in both directions: a server
/// that is stuck with what it sends does not read.
/// \return none: it was woken. The caller looks again at what it waits for.
[[nodiscard]] readiness wait_for(int socket, wants what, const wake_event& waker) noexcept;

}  // namespace curfew::sql::postgres
