#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>
#include <mutex>
#include <optional>

namespace curfew::sql::postgres {

/// libpq's socket under another number, registered with the event loop that has waited for it last: one registration for
/// many queries. It outlives neither the loop, which drops it, nor its connection.
///
/// Thread safety: one user at a time; the loop may go in any thread meanwhile, if nothing waits.
class watched_socket {
 public:
  /// Throws: std::system_error, boost::system::system_error.
  static std::shared_ptr<watched_socket> make(const boost::asio::any_io_executor& loop, int socket);
  watched_socket(const watched_socket&) = delete;
  watched_socket& operator=(const watched_socket&) = delete;
  ~watched_socket() { drop(); }

  /// Whether it is of this loop, which is still there.
  [[nodiscard]] bool is_of(const boost::asio::any_io_executor& loop) noexcept;
  [[nodiscard]] boost::asio::posix::stream_descriptor& descriptor() noexcept { return *descriptor_; }

 private:
  class service;

  watched_socket(const boost::asio::any_io_executor& loop, int duplicate);
  void drop() noexcept;

  const boost::asio::execution_context* const loop_;
  std::mutex mutex_;
  std::optional<boost::asio::posix::stream_descriptor>
      descriptor_;  // guarded by mutex_; none: the loop has gone
};

}  // namespace curfew::sql::postgres
