#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <cstddef>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/context.hpp>
#include <curfew/http/client.hpp>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/live_feed.hpp"
#include "base/request_log.hpp"
#include "front/request_tree.hpp"
#include "front/service_process.hpp"
#include "front/worker_watch.hpp"

namespace curfew_dashboard {

namespace http = curfew::http;

/// The processes whose requests the view shows.
struct observed {
  request_log* front;  ///< Outlives the view.
  std::shared_ptr<http::client> client;
  std::vector<std::shared_ptr<service_process>> services;
  std::shared_ptr<worker_watch> workers;  ///< Null: there are none.
};

/// The view of the requests in all processes. Follows the services' own events, over one connection to each, and the workers
/// while at least one viewer looks.
/// Thread safety: any thread.
class request_view : public std::enable_shared_from_this<request_view> {
 public:
  /// \param executor  Where the services are followed.
  request_view(asio::any_io_executor executor, observed what);

  /// Keeps the view up to date from its construction to its destruction.
  class viewer {
   public:
    explicit viewer(std::shared_ptr<request_view> view) : view_(std::move(view)) { view_->arrive(); }
    viewer(const viewer&) = delete;
    viewer& operator=(const viewer&) = delete;
    ~viewer() { view_->leave(); }

   private:
    std::shared_ptr<request_view> view_;
  };

  /// The current state. Up to date while there is a viewer.
  [[nodiscard]] live_view look() const;
  /// Notified when it changes.
  [[nodiscard]] change_hub& changes() const noexcept { return what_.front->changes(); }

  /// Asks all services once, and listens to the workers until each has spoken, for everything that they remember.
  asio::awaitable<json::object> async_ask(curfew::context ctx);

 private:
  using latest = std::expected<json::object, std::string>;

  void arrive();
  void leave() noexcept;
  static asio::awaitable<void> follow(std::shared_ptr<request_view> self, curfew::context ctx,
                                      std::size_t service);
  asio::awaitable<std::string> follow_once(curfew::context ctx, std::size_t service);
  asio::awaitable<service_view> ask_one(curfew::context ctx, std::size_t service);
  void keep(const curfew::context& ctx, std::size_t service, latest now);

  const asio::any_io_executor executor_;
  const observed what_;

  mutable std::mutex mutex_;
  std::size_t viewers_ = 0;                        // guarded by mutex_, as all below
  std::optional<curfew::cancel_scope> following_;  // while there are viewers
  std::vector<latest> latest_;                     // by service
};

}  // namespace curfew_dashboard
