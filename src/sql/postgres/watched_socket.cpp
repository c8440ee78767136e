#include "sql/postgres/watched_socket.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/execution_context.hpp>
#include <boost/asio/query.hpp>
#include <cerrno>
#include <mutex>
#include <system_error>

namespace curfew::sql::postgres {

namespace asio = boost::asio;

namespace {

asio::execution_context& context_of(const asio::any_io_executor& loop) {
  return asio::query(loop, asio::execution::context);
}

}  // namespace

/// What is registered with a loop; it outlives that.
struct watched_socket::roster {
  std::mutex mutex;
  curfew::detail::intrusive_list<watched_socket> all;  // guarded by mutex
};

/// Drops what is registered when the loop goes. Services are shut down in the reverse order of their making: so what
/// descriptors need is made before this one.
class watched_socket::service final : public asio::execution_context::service {
 public:
  inline static asio::execution_context::id id;  // NOLINT(readability-identifier-naming): Asio's name

  explicit service(asio::execution_context& owner) : asio::execution_context::service(owner) {}

  const std::shared_ptr<roster> registered = std::make_shared<roster>();

 private:
  void shutdown() override {
    const std::lock_guard guard(registered->mutex);
    while (auto* const first = registered->all.front()) first->drop();
  }
};

watched_socket::watched_socket(const asio::any_io_executor& loop, int socket) : loop_(&context_of(loop)) {
  const int duplicate = ::fcntl(socket, F_DUPFD_CLOEXEC, 0);
  if (duplicate == -1) throw std::system_error(errno, std::generic_category(), "a query's socket");
  try {
    descriptor_.emplace(loop, duplicate);
  } catch (...) {
    ::close(duplicate);
    throw;
  }
  roster_ = asio::use_service<service>(context_of(loop)).registered;
  const std::lock_guard guard(roster_->mutex);
  roster_->all.push_back(*this);
}

watched_socket::~watched_socket() {
  const std::lock_guard guard(roster_->mutex);
  if (descriptor_) drop();
}

bool watched_socket::is_of(const asio::any_io_executor& loop) const noexcept {
  if (loop_ != &context_of(loop)) return false;
  const std::lock_guard guard(roster_->mutex);
  return descriptor_.has_value();
}

/// Under the roster's mutex.
void watched_socket::drop() noexcept {
  roster_->all.remove(*this);
  // Not closed by Asio, which would count on the number's end to take it out of epoll: the socket lives on.
  const int duplicate = descriptor_->release();
  descriptor_.reset();
  ::close(duplicate);
}

}  // namespace curfew::sql::postgres
