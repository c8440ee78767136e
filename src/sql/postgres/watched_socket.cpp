#include "sql/postgres/watched_socket.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/execution_context.hpp>
#include <boost/asio/query.hpp>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

namespace curfew::sql::postgres {

namespace asio = boost::asio;

namespace {

asio::execution_context& context_of(const asio::any_io_executor& loop) {
  return asio::query(loop, asio::execution::context);
}

}  // namespace

/// What a loop drops when it goes.
class watched_socket::service final : public asio::execution_context::service {
 public:
  inline static asio::execution_context::id id;  // NOLINT(readability-identifier-naming): Asio's name

  explicit service(asio::execution_context& owner) : asio::execution_context::service(owner) {}

  void add(const std::shared_ptr<watched_socket>& one) {
    const std::lock_guard guard(mutex_);
    if (all_.size() == all_.capacity()) std::erase_if(all_, [](const auto& each) { return each.expired(); });
    all_.push_back(one);
  }

  void shutdown() override {
    std::vector<std::weak_ptr<watched_socket>> all;
    {
      const std::lock_guard guard(mutex_);
      all.swap(all_);
    }
    for (const auto& each : all) {
      if (const auto one = each.lock()) one->drop();
    }
  }

 private:
  std::mutex mutex_;
  std::vector<std::weak_ptr<watched_socket>> all_;  // guarded by mutex_
};

watched_socket::watched_socket(const asio::any_io_executor& loop, int duplicate)
    : loop_(&context_of(loop)),
      descriptor_(std::in_place, loop, duplicate) {}

std::shared_ptr<watched_socket> watched_socket::make(const asio::any_io_executor& loop, int socket) {
  auto& all = asio::use_service<service>(context_of(loop));
  const int duplicate = ::fcntl(socket, F_DUPFD_CLOEXEC, 0);
  if (duplicate == -1) throw std::system_error(errno, std::generic_category(), "a query's socket");
  std::shared_ptr<watched_socket> made(new watched_socket(loop, duplicate));
  all.add(made);
  return made;
}

bool watched_socket::is_of(const asio::any_io_executor& loop) noexcept {
  if (loop_ != &context_of(loop)) return false;
  const std::lock_guard guard(mutex_);
  return descriptor_.has_value();
}

void watched_socket::drop() noexcept {
  const std::lock_guard guard(mutex_);
  if (!descriptor_) return;
  // Not closed by Asio, which would count on the number's end to take it out of epoll: the socket lives on.
  const int duplicate = descriptor_->release();
  descriptor_.reset();
  ::close(duplicate);
}

}  // namespace curfew::sql::postgres
