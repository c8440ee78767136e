#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>
#include <curfew/redis/error.hpp>
#include <memory>
#include <string>
#include <vector>

namespace curfew::redis {

/// What a PUBLISH has sent.
struct message {
  std::string channel;
  std::string payload;
};

/// Messages of channels, on a connection of their own:
///
///     auto news = cache.subscribe(ctx, {"orders"});
///     if (!news) return news.error();
///     for (;;) {
///       auto one = news->next(ctx);
///       if (!one) return one.error();
///       std::cout << one->channel << ": " << one->payload << '\n';
///     }
///
/// What is published from the moment that `subscribe` has returned arrives, in order. Redis keeps no messages: after
/// connection_lost, what was published meanwhile is lost. Subscribe anew then, and read what the messages are about.
///
/// Lifetime:       the client outlives it, or ends it with errc::canceled.
/// Thread safety:  any thread; each message goes to one call of `next`.
class [[nodiscard("a subscription that is not kept hears nothing: name it")]] subscription {
 public:
  subscription(subscription&& other) noexcept;
  subscription& operator=(subscription&& other) noexcept;
  ~subscription();

  /// Waits for the next message.
  ///
  /// Completes when:  one has come, or ctx ends.
  /// Errors:          the end of ctx, with its cause; connection_lost, then again and again; too_large where more messages
  ///                  wait to be received than client_options::max_waiting_messages().
  /// Cancellation:    no message is lost by it: the next call gets it.
  [[nodiscard]] result<message> next(const context& ctx);
  [[nodiscard]] boost::asio::awaitable<result<message>> async_next(context ctx);

  /// Adds channels, and leaves some. When it returns the server has confirmed it.
  [[nodiscard]] result<> add(const context& ctx, std::vector<std::string> channels);
  [[nodiscard]] boost::asio::awaitable<result<>> async_add(context ctx, std::vector<std::string> channels);
  [[nodiscard]] result<> remove(const context& ctx, std::vector<std::string> channels);
  [[nodiscard]] boost::asio::awaitable<result<>> async_remove(context ctx, std::vector<std::string> channels);

  class impl;
  explicit subscription(std::shared_ptr<impl> made) noexcept;

 private:
  std::shared_ptr<impl> impl_;  // null: it was moved from
};

}  // namespace curfew::redis
