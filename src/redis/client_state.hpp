#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/execution_context.hpp>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "redis/connection.hpp"
#include "redis/engine.hpp"
#include "redis/operation.hpp"
#include "redis/settings.hpp"

namespace curfew::redis {

class lane;

/// The lanes of one event loop, which outlives that. Whatever has been done to a loop's sockets in another thread was done
/// before `mutex` was taken for the last time.
struct lanes_of_loop {
  std::mutex mutex;
  std::vector<std::weak_ptr<lane>> all;  // guarded by mutex
};

/// The connections that the calls of one event loop share.
class lane {
 public:
  lane(boost::asio::execution_context& loop, const std::shared_ptr<const settings>& with,
       const std::shared_ptr<connector>& by, std::shared_ptr<lanes_of_loop> among);

  /// The one with the least under way.
  [[nodiscard]] const std::shared_ptr<connection>& pick() const noexcept;
  void close(const error& why) noexcept;
  /// The loop goes.
  void drop() noexcept;
  [[nodiscard]] bool is_dropped() const noexcept { return dropped_.load(std::memory_order_acquire); }

 private:
  std::vector<std::shared_ptr<connection>> connections_;
  const std::shared_ptr<lanes_of_loop> among_;
  std::atomic<bool> dropped_{false};
};

/// What the calls of a client share; it lives as long as one of them begins.
///
/// Thread safety: any thread.
class client_state : public std::enable_shared_from_this<client_state> {
 public:
  explicit client_state(settings with);
  client_state(const client_state&) = delete;
  client_state& operator=(const client_state&) = delete;

  /// Commands that are sent together. Blocks.
  [[nodiscard]] answers exchange(const context& ctx, std::string bytes, std::size_t commands);
  /// The same in a coroutine, which awaits it at once. \param here  Its executor.
  [[nodiscard]] boost::asio::awaitable<answers> async_exchange(const boost::asio::any_io_executor& here,
                                                               context ctx, std::string bytes,
                                                               std::size_t commands);
  /// A command that waits in the server. Blocks.
  [[nodiscard]] answers wait(const context& ctx, std::string bytes);
  [[nodiscard]] boost::asio::awaitable<answers> async_wait(context ctx, std::string bytes);

  /// One for messages, which is closed with the client. Null: that is closed.
  [[nodiscard]] std::shared_ptr<connection> make_listener();
  /// Sends on such a one. Blocks.
  [[nodiscard]] answers exchange_on(const std::shared_ptr<connection>& on, const context& ctx,
                                    std::string bytes, std::size_t commands);
  [[nodiscard]] boost::asio::awaitable<answers> async_exchange_on(std::shared_ptr<connection> on,
                                                                  const boost::asio::any_io_executor& here,
                                                                  context ctx, std::string bytes,
                                                                  std::size_t commands);

  /// Ends what is under way, and waits for its thread. Again: nothing.
  void close() noexcept;

  [[nodiscard]] const client_options& options() const noexcept { return with_->options; }

 private:
  class service;
  struct waiting_call;

  [[nodiscard]] std::shared_ptr<connection> connection_of(boost::asio::execution_context& loop);
  [[nodiscard]] std::shared_ptr<connection> take_waiting();
  void give_back(std::shared_ptr<connection> one);
  [[nodiscard]] boost::asio::awaitable<answers> run_waiting(context ctx, std::string bytes);
  [[nodiscard]] boost::asio::awaitable<void> cut_off(std::shared_ptr<waiting_call> call);
  /// \return false: the client is closed.
  bool begin_waiting(const context& ctx, std::string bytes, const std::shared_ptr<answers_completion>& done);

  const std::shared_ptr<const settings> with_;
  const std::shared_ptr<engine> engine_;

  std::mutex mutex_;
  // Guarded by mutex_.
  bool closed_ = false;
  std::unordered_map<const boost::asio::execution_context*, std::shared_ptr<lane>> lanes_;
  std::vector<std::shared_ptr<connection>> idle_;  // for commands that wait
  std::vector<std::weak_ptr<connection>> own_;     // all that are in no lane
};

/// The error of calls whose client is gone.
[[nodiscard]] error client_gone(std::string doing = {});

}  // namespace curfew::redis
