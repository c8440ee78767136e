#pragma once

#include <cstddef>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/core/error.hpp>
#include <memory>
#include <string>
#include <vector>

#include "http/worker.hpp"

namespace curfew::http {

struct server_state;

/// The listening socket. It is watched by the first worker and hands the connections to all of them in turn.
/// When there is no room, or no descriptor left, it pauses: the clients wait in the kernel's queue.
class acceptor final : public watched {
 public:
  explicit acceptor(server_state& server) noexcept : server_(server) {}
  acceptor(const acceptor&) = delete;
  acceptor& operator=(const acceptor&) = delete;
  ~acceptor() override { close(); }

  /// Takes the address.
  result<> open(const std::string& address);
  [[nodiscard]] bool is_open() const noexcept { return socket_ >= 0; }
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] std::string url() const;

  /// Begins to accept. Any thread.
  void start(std::vector<std::unique_ptr<worker>>& workers);
  /// Ends it; any thread. Clients are refused once the first worker has done it.
  void stop();

  void on_event(std::uint32_t events) override;  // of the first worker's thread, as all below

 private:
  void pause(clock::duration at_least);
  void resume();
  void close() noexcept;

  server_state& server_;
  std::vector<std::unique_ptr<worker>>* workers_ = nullptr;
  std::size_t turn_ = 0;
  int socket_ = -1;
  std::uint16_t port_ = 0;
  std::string host_;
  bool paused_ = false;
  clock::time_point not_before_;
  clock::duration back_off_{};  // after an error of the system, doubled each time
};

}  // namespace curfew::http
