#pragma once

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/system/error_code.hpp>
#include <optional>

#include "redis/inline_executor.hpp"

namespace curfew::redis {

/// A socket that an event loop watches only while it has something to wait for there: Asio's reactor is woken by all that
/// comes to a socket that it has, which would be a switch of threads for each answer that another thread reads.
///
/// Thread safety: none.
class loop_socket {
 public:
  using watched_type =
      boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol, inline_executor>;

  explicit loop_socket(boost::asio::execution_context& loop) noexcept : loop_(loop) {}
  loop_socket(const loop_socket&) = delete;
  loop_socket& operator=(const loop_socket&) = delete;
  ~loop_socket() { close(); }

  /// \param fd  Is owned from here on; in place of none.
  void open(int fd) noexcept;
  void close() noexcept;
  /// -1: closed.
  [[nodiscard]] int fd() const noexcept { return fd_; }

  /// For the waiting of the loop. Null: the system refuses. Only while it is open.
  [[nodiscard]] watched_type* watch(boost::system::error_code& why);
  /// Nothing waits there.
  void unwatch() noexcept;
  /// What waits ends with operation_aborted.
  void cancel() noexcept;

 private:
  boost::asio::execution_context& loop_;
  int fd_ = -1;
  std::optional<watched_type> watched_;  // owns fd_ meanwhile
};

}  // namespace curfew::redis
