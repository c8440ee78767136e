#pragma once

#include <curfew/core/clock.hpp>

namespace curfew::http {

/// How long a call has spent in each of its phases, zero in those it did not need. Of redirects and repeats it is the sum.
struct timings {
  clock::duration queued{};      ///< Waiting for a connection: max_connections_per_host.
  clock::duration resolving{};   ///< Looking up the server's name, or the proxy's.
  clock::duration connecting{};  ///< To the server, or to the proxy.
  clock::duration proxy{};       ///< Asking the proxy for a way to the server.
  clock::duration tls{};         ///< Its handshake.
  clock::duration sending{};     ///< The request, up to its end or to the answer's first byte.
  clock::duration waiting{};     ///< For the answer's first byte.
  clock::duration reading{};     ///< The answer; where a download opens, its header.
  bool reused = false;           ///< The last request went over a connection that had been used before.

  [[nodiscard]] clock::duration total() const noexcept {
    return queued + resolving + connecting + proxy + tls + sending + waiting + reading;
  }
};

}  // namespace curfew::http
