#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>
#include <curfew/sql/error.hpp>
#include <memory>
#include <string>

namespace curfew::sql {

/// What a NOTIFY has sent.
struct notification {
  std::string channel;
  std::string payload;
  int process = 0;  ///< Of the server, that has sent it.
};

/// Notifications of PostgreSQL, on a connection of their own, which is none of the pool's:
///
///     auto news = db.listen(ctx, "orders");
///     if (!news) return news.error();
///     for (;;) {
///       auto one = news->next(ctx);
///       if (!one) return one.error();
///       std::cout << one->payload << '\n';
///     }
///
/// What is sent from the moment that `listen` has returned arrives, in the order of the commits. After connection_lost
/// what was sent meanwhile is lost: listen again, and look at the tables then.
///
/// Lifetime:       may outlive the pool.
/// Thread safety:  one call at a time.
class [[nodiscard("a listener that is not kept hears nothing: name it")]] listener {
 public:
  listener(listener&& other) noexcept;
  listener& operator=(listener&& other) noexcept;
  ~listener();

  /// Waits for the next one.
  ///
  /// Completes when:  one has come, or ctx ends.
  /// Errors:          the end of ctx, with its cause; errc::connection_lost, then again and again.
  /// Cancellation:    none is lost by it: the next call gets it.
  [[nodiscard]] result<notification> next(const context& ctx);
  [[nodiscard]] boost::asio::awaitable<result<notification>> async_next(context ctx);

  class impl;
  explicit listener(std::unique_ptr<impl> made) noexcept;

 private:
  std::unique_ptr<impl> impl_;  // null: it was moved from
};

}  // namespace curfew::sql
