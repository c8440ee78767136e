#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/http/server.hpp>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace curfew::http {

/// server_options, as they are read.
struct server_settings {
  std::string address;
  unsigned threads;
  clock::duration max_request_time;
  clock::duration grace;
  clock::duration header_timeout;
  clock::duration body_timeout;
  clock::duration idle_timeout;
  std::size_t max_header_size;
  std::size_t max_body_size;
  std::size_t max_connections;
  bool half_close_is_alive;
  std::function<void(std::string_view)> on_error;
};

struct server_options_access {
  static server_settings read(server_options options);
};

/// What the threads of one server share.
struct server_state {
  server_state(router r, server_options options)
      : settings(server_options_access::read(std::move(options))),
        routes(std::move(r)) {}

  const server_settings settings;
  const router routes;
  // The parent of all requests: the values of serve's context. Set before the threads start.
  context base = background();

  std::atomic<std::size_t> open{0};   // connections
  std::atomic<bool> stopping{false};  // nothing new begins
  std::atomic<bool> ending{false};    // contexts have been ended: whoever waits gives up
  std::function<void()> on_room;  // a connection has gone; called from any thread while accepting has paused
  std::atomic<bool> wants_room{false};

  std::mutex mutex;                 // for `changed` alone
  std::condition_variable changed;  // a connection has gone while stopping

  /// One connection less.
  void closed() noexcept {
    open.fetch_sub(1);
    if (wants_room.load()) on_room();
    if (stopping.load()) {
      const std::lock_guard guard(mutex);
      changed.notify_all();
    }
  }
};

}  // namespace curfew::http
