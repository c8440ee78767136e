#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/core/error.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "http/server/worker.hpp"
#include "http/wire/loop.hpp"

namespace curfew::http {

struct server_state;

/// The listening socket. It is watched by the first worker and hands the connections to all of them in turn.
/// When there is no room, or no descriptor left, it pauses: the clients wait in the kernel's queue.
///
/// Invariant: `mutex_` guards `socket_`, which the thread that shuts the server down closes, however busy the
/// first worker is. Nothing is called under it but the system. Everything else belongs to the first worker's
/// thread once start() has been called.
class acceptor final : public watched {
 public:
  explicit acceptor(server_state& server) noexcept : server_(server) {}
  acceptor(const acceptor&) = delete;
  acceptor& operator=(const acceptor&) = delete;
  ~acceptor() override { stop(); }

  /// Takes the address.
  result<> open(const std::string& address);
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] std::string url() const;

  /// Begins to accept. Any thread.
  void start(std::vector<std::unique_ptr<worker>>& workers);
  /// Closes the socket: on return clients are refused and the address is free. Any thread.
  void stop() noexcept;

  void on_event(std::uint32_t events) override;  // of the first worker's thread, as all below

 private:
  int accept(boost::asio::ip::tcp::endpoint& from) noexcept;
  void pause(clock::duration at_least);
  void resume();

  server_state& server_;
  std::vector<std::unique_ptr<worker>>* workers_ = nullptr;
  std::size_t turn_ = 0;
  std::mutex mutex_;
  int socket_ = -1;  // guarded by mutex_
  std::uint16_t port_ = 0;
  std::string host_;
  bool paused_ = false;
  clock::time_point not_before_;
  clock::duration back_off_{};  // after an error of the system, doubled each time
};

}  // namespace curfew::http
