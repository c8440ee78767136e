#pragma once

#include <cstdint>
#include <curfew/io/detail/wake_event.hpp>

namespace curfew::sql::postgres {

/// What a connection waits for before it goes on.
enum class wants : std::uint8_t { nothing, read, write };

/// What a wait for a socket has found.
enum class readiness : std::uint8_t { none, writable, readable };

using curfew::detail::wake_event;

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
