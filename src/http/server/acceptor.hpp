#pragma once

#include <cstddef>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/core/error.hpp>
#include <curfew/http/server.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "http/server/listening_socket.hpp"
#include "http/server/worker.hpp"
#include "http/wire/loop.hpp"

namespace curfew::http {

struct server_state;

/// The listening sockets. They are watched by the first worker, and the connections are handed to all workers in turn.
/// When there is no room, or no descriptor left, all of them pause: the clients wait in the kernel's queues.
///
/// Invariant: `mutex_` guards the sockets, which the thread that shuts the server down closes, however busy the
/// first worker is. Nothing is called under it but the system. Everything else belongs to the first worker's
/// thread once start() has been called.
class acceptor {
 public:
  explicit acceptor(server_state& server) noexcept : server_(server) {}
  acceptor(const acceptor&) = delete;
  acceptor& operator=(const acceptor&) = delete;
  ~acceptor() { stop(); }

  /// Takes the addresses, all or none.
  result<> open(const std::vector<server_options::listener>& where);
  [[nodiscard]] bool is_open() const noexcept { return !doors_.empty(); }
  [[nodiscard]] std::uint16_t port() const noexcept;
  [[nodiscard]] std::string url() const;
  [[nodiscard]] std::vector<std::string> addresses() const;

  /// Begins to accept. Any thread.
  void start(std::vector<std::unique_ptr<worker>>& workers);
  /// Closes the sockets: on return clients are refused and the addresses are free. Any thread.
  void stop() noexcept;

 private:
  struct door final : watched {
    door(acceptor& a, listening_socket s, const listen_options& how)
        : of(a),
          socket(std::move(s)),
          expects_proxy_header(how.proxy_protocol()),
          tls(how.tls()) {}
    void on_event(std::uint32_t /*events*/) override { of.accept_from(*this); }

    acceptor& of;
    listening_socket socket;  // guarded by mutex_
    const bool expects_proxy_header;
    const std::optional<tls_server> tls;
  };

  int accept(door& at, peer& from);
  [[nodiscard]] bool lets_in(const door& at, peer& from) const;
  void watch_for(std::uint32_t events);

  // Of the first worker's thread.

  void accept_from(door& at);
  void pause(clock::duration at_least);
  void resume();

  server_state& server_;
  std::vector<std::unique_ptr<worker>>* workers_ = nullptr;
  std::size_t turn_ = 0;
  std::mutex mutex_;
  std::vector<std::unique_ptr<door>> doors_;  // what they are is set by open()
  bool paused_ = false;
  clock::time_point not_before_;
  clock::duration back_off_{};  // after an error of the system, doubled each time
};

}  // namespace curfew::http
