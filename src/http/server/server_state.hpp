#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/http/server.hpp>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "http/server/address_count.hpp"
#include "http/server/peer.hpp"
#include "http/server/trusted.hpp"

namespace curfew::http {

/// With what is left to the server: the number of threads, and where lines go; with times that can be added to others.
server_options with_defaults(server_options options);

/// What the threads of one server share.
struct server_state {
  server_state(router r, const server_options& options)
      : settings(with_defaults(options)),
        routes(std::move(r)),
        per_address(settings.max_connections_per_address()) {}

  const server_options settings;  // with_defaults
  const router routes;
  // The parent of all requests: the values of serve's context. Set before the threads start.
  context base = background();
  trusted_networks trusted;  // set before the first connection
  address_count per_address;

  std::atomic<std::size_t> open{0};       // connections
  std::atomic<std::size_t> lingering{0};  // those of them whose last exchange is over
  std::atomic<std::size_t> buffered{0};   // bytes of bodies
  std::atomic<bool> stopping{false};      // nothing new begins
  std::atomic<bool> ending{false};        // contexts have been ended: what waits for a client gives up
  std::function<void()>
      on_room;  // a connection has closed; called from any thread while accepting has paused
  std::atomic<bool> wants_room{false};

  std::atomic<clock::time_point> quiet_until{clock::time_point()};  // about handshakes
  std::atomic<std::size_t> untold{0};                               // handshakes that failed meanwhile

  std::mutex mutex;                 // for `changed` alone
  std::condition_variable changed;  // a connection has closed or lingers, while stopping

  std::mutex watch_mutex;                 // of the loop_watch
  std::condition_variable watch_changed;  // there is a connection while `watch_sleeps`
  std::atomic<bool> watch_sleeps{false};

  /// Counts the client's connection. \return false if it has as many as it may have.
  bool admit(peer& from) {
    if (!per_address.is_limited() || !from.address || from.is_trusted) return true;
    from.place = per_address.enter(*from.address);
    return from.place.has_value();
  }
  /// Of a client that did not get through the handshake.
  void handshake_failed(std::string_view who, std::string_view why) {
    const auto now = clock::now();
    auto until = quiet_until.load(std::memory_order_relaxed);
    if (now < until || !quiet_until.compare_exchange_strong(until, now + std::chrono::minutes(1))) {
      untold.fetch_add(1);
      return;
    }
    std::string line(who);
    line += ": the TLS handshake failed: ";
    line += why;
    if (const auto others = untold.exchange(0); others != 0)
      line += " (and those of " + std::to_string(others) + " more connections)";
    settings.on_error()(line);
  }
  /// One connection more: counted by the acceptor, which calls this outside of its lock.
  void opened() {
    if (!watch_sleeps.load()) return;
    const std::lock_guard guard(watch_mutex);
    watch_changed.notify_all();
  }
  /// One connection less.
  void closed() noexcept {
    open.fetch_sub(1);
    if (wants_room.load()) on_room();
    tell_shutdown();
  }
  /// A connection's last exchange is over. It takes itself off `lingering` before it is closed().
  void lingers() noexcept {
    lingering.fetch_add(1);
    tell_shutdown();
  }
  /// Is there no connection that a shutdown waits for?
  [[nodiscard]] bool is_home() const noexcept {
    const auto connections = open.load();  // first: one that closes between the two is counted, and tells
    return connections == lingering.load();
  }

 private:
  void tell_shutdown() noexcept {
    if (!stopping.load()) return;
    const std::lock_guard guard(mutex);
    changed.notify_all();
  }
};

}  // namespace curfew::http
