#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <curfew/core/context.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/message.hpp>
#include <curfew/http/router.hpp>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "base/access.hpp"
#include "base/live_feed.hpp"
#include "base/places.hpp"
#include "base/request_log.hpp"
#include "front/panel.hpp"
#include "front/request_view.hpp"
#include "front/service_process.hpp"
#include "options.hpp"

namespace curfew_dashboard {

/// The server that the page talks to; its interface is in API.md.
/// Lifetime: outlives the server that has its routes.
class front {
 public:
  /// \param executor  Where the services are followed while a page looks.
  /// \param log       Of this process; outlives the front.
  front(asio::any_io_executor executor, const front_options& options,
        const std::vector<std::shared_ptr<service_process>>& services, request_log& log);

  [[nodiscard]] http::router routes();

  /// Sets the gate, before the first request comes. Until then every request is refused.
  void let_in(front_access access) { access_ = std::move(access); }

 private:
  using parameters = std::expected<std::string, http::response>;

  asio::awaitable<http::response> config(curfew::context ctx, const http::request& request);
  asio::awaitable<http::response> show_panel(curfew::context ctx, const http::request& request);
  asio::awaitable<http::response> requests(curfew::context ctx, const http::request& request);
  asio::awaitable<http::response> events(curfew::context ctx, const http::request& request);
  asio::awaitable<http::response> ignore(curfew::context ctx, const http::request& request);
  asio::awaitable<http::response> stack(curfew::context ctx, const http::request& request);
  asio::awaitable<json::object> ignore_one(curfew::context ctx, std::shared_ptr<service_process> service,
                                           std::string body);

  /// The wrapper of all that the front answers: behind the gate, with the security fields.
  [[nodiscard]] http::handler secured(http::handler inner) const;

  std::vector<panel> panels_;
  std::vector<std::string> roots_;
  const http::router console_;
  std::optional<front_access> access_;
  observed parts_;
  std::shared_ptr<request_view> view_;
  live_feed feed_;
  places panel_places_;
  places viewer_places_;
};

}  // namespace curfew_dashboard
