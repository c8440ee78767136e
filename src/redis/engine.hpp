#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/tls/detail/client_trust.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "redis/connection.hpp"
#include "redis/settings.hpp"

namespace curfew::redis {

/// The thread that a client has: it makes connections, for all loops, and is the loop of threads that block. It starts when
/// it is needed. No code of users runs in it.
///
/// Thread safety: any thread, but close().
class engine final : public connector, public std::enable_shared_from_this<engine> {
 public:
  explicit engine(std::shared_ptr<const settings> with);
  ~engine() override { close(); }

  void connect(const std::shared_ptr<connection>& what, clock::time_point not_before) override;
  /// Runs a coroutine in the thread. \return false once it is closed.
  /// Throws: std::system_error if there is no thread, std::bad_alloc.
  bool spawn(std::function<boost::asio::awaitable<void>()> what);
  [[nodiscard]] boost::asio::io_context& loop() noexcept { return loop_; }
  /// Ends when the engine is closed.
  [[nodiscard]] const context& living() const noexcept { return living_.ctx(); }

  /// Waits until all that was spawned has ended, which `living` tells. Again: nothing. Not in its own thread.
  void close() noexcept;

 private:
  boost::asio::awaitable<void> attempt(std::shared_ptr<connection> what, clock::time_point not_before);
  /// \param why  Set where the result is null: which file is of no use.
  std::shared_ptr<const tls::client_trust> trust(std::string& why);

  const std::shared_ptr<const settings> with_;
  std::shared_ptr<const tls::client_trust> trust_;  // for rediss://; of its thread
  cancel_scope living_;
  boost::asio::io_context loop_{1};

  std::mutex mutex_;
  // Guarded by mutex_.
  bool closed_ = false;
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_;
  std::thread thread_;
};

}  // namespace curfew::redis
