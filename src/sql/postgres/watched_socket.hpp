#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <curfew/core/detail/intrusive_list.hpp>
#include <memory>
#include <optional>

namespace curfew::sql::postgres {

/// libpq's socket under another number, registered with the event loop that has waited for it last: one registration for
/// many queries. It outlives neither the loop, which drops it, nor its connection.
///
/// Race: the loop goes while the connection, in another thread, drops what it had there: the one waits for the other.
/// Thread safety: one user at a time; the loop may go in any thread meanwhile, if nothing waits.
class watched_socket : private curfew::detail::list_hook<> {
 public:
  /// Throws: std::system_error, boost::system::system_error, std::bad_alloc.
  watched_socket(const boost::asio::any_io_executor& loop, int socket);
  watched_socket(const watched_socket&) = delete;
  watched_socket& operator=(const watched_socket&) = delete;
  ~watched_socket();

  /// Whether it is of this loop, which is still there.
  [[nodiscard]] bool is_of(const boost::asio::any_io_executor& loop) const noexcept;
  [[nodiscard]] boost::asio::posix::stream_descriptor& descriptor() noexcept { return *descriptor_; }

 private:
  friend class curfew::detail::intrusive_list<watched_socket>;
  struct roster;
  class service;

  void drop() noexcept;

  const boost::asio::execution_context* const loop_;
  // Guarded by the roster's mutex: in its list while it is registered.
  std::optional<boost::asio::posix::stream_descriptor> descriptor_;
  std::shared_ptr<roster> roster_;
};

}  // namespace curfew::sql::postgres
